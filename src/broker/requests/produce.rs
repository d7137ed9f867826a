//! Produce.

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Call, Reply};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::log::{Appended, Incoming, Refusal};
use crate::broker::settings::Fsync;
use crate::broker::transactions::Identity;
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;

/// From here on partitions join a transaction by being written to (KIP-890).
const JOINS_BY_WRITING: i16 = 12;

pub(super) fn handle(request: ProduceRequest, on: &mut Cluster, call: &Call) -> Reply<ProduceResponse> {
    let acks = request.acks;
    let transactional_id = request.transactional_id.as_ref().map(|id| id.as_str());
    let mut response = ProduceResponse::default();
    let mut files = Vec::new();
    let mut failed = false;
    for topic in request.topic_data {
        let name = on.name_of(&topic.name, topic.topic_id).map(str::to_owned);
        let mut answered =
            TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
        for data in topic.partition_data {
            let result = match &name {
                _ if !(-1..=1).contains(&acks) => Err(ErrorCode::INVALID_REQUIRED_ACKS.into()),
                None => Err(ErrorCode::UNKNOWN_TOPIC_ID.into()),
                Some(name) => append(on, call, name, data.index, data.records, transactional_id),
            };
            failed |= result.is_err();
            let mut partition = PartitionProduceResponse::default().with_index(data.index);
            match (result, &name) {
                (Ok(appended), Some(name)) => {
                    let log = on.topics.get(name).and_then(|topic| topic.partition(data.index));
                    let log = log.map(|partition| &partition.log);
                    if call.shared.settings.fsync == Fsync::Always {
                        files.extend(log.and_then(|log| log.file_to_sync()));
                    }
                    partition = partition
                        .with_base_offset(appended.base_offset)
                        .with_log_append_time_ms(appended.append_time.unwrap_or(-1))
                        .with_log_start_offset(log.map_or(-1, |log| log.start()));
                }
                (Ok(_), None) => {}
                (Err(refusal), _) => partition = refused(partition, refusal),
            }
            if partition.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER.0
                && let Some(name) = &name
            {
                partition.current_leader =
                    point_to_leader(on, call.listener, name, data.index, &mut response);
            }
            answered.partition_responses.push(partition);
        }
        response.responses.push(answered);
    }
    match (acks, failed) {
        (0, true) => Reply::HangUp,
        (0, false) => Reply::Silence,
        _ if files.is_empty() => Reply::Now(response),
        _ => Reply::Later(Box::pin(async move {
            let synced = tokio::task::spawn_blocking(move || {
                files.into_iter().try_for_each(|file| file.and_then(|file| file.sync_data()))
            });
            match synced.await {
                Ok(Ok(())) => response,
                _ => storage_failed(response),
            }
        })),
    }
}

fn append(
    on: &mut Cluster,
    call: &Call,
    topic: &str,
    number: i32,
    records: Option<Bytes>,
    transactional_id: Option<&str>,
) -> Result<Appended, Refusal> {
    call.authorize(Operation::Write, topic)?;
    on.led_partition(call.node, topic, number)?;
    let settings =
        on.topics.get(topic).map(|topic| &topic.settings).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let append_time = settings.append_time.then_some(call.now.unix_ms);
    let batch = Incoming::check(records.unwrap_or_default(), settings, call.now.unix_ms)?;
    if let Some(stamp) = batch.stamp.filter(|stamp| stamp.transactional) {
        let producer = Identity { producer_id: stamp.producer_id, epoch: stamp.epoch };
        let joins = call.version >= JOINS_BY_WRITING;
        on.check_transaction(transactional_id, producer, (topic, number), joins, call.now)?;
    }
    let partition = on.led_partition(call.node, topic, number)?;
    let before = partition.log.bytes();
    let appended = partition.log.append(&batch, partition.leader_epoch, append_time)?;
    let grown = partition.log.bytes().saturating_sub(before);
    if !appended.duplicate {
        partition.wake();
    }
    on.grew(grown);
    Ok(appended)
}

fn refused(partition: PartitionProduceResponse, refusal: Refusal) -> PartitionProduceResponse {
    let records = refusal.records.into_iter().map(|(place, reason)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(place)
            .with_batch_index_error_message(Some(StrBytes::from_string(reason)))
    });
    partition
        .with_error_code(refusal.code.0)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_record_errors(records.collect())
        .with_error_message(Some(StrBytes::from_string(refusal.reason)))
}

/// Says who leads a partition, and where that broker is (KIP-951).
fn point_to_leader(
    on: &Cluster,
    listener: usize,
    topic: &str,
    number: i32,
    response: &mut ProduceResponse,
) -> LeaderIdAndEpoch {
    let Some((leader, epoch, (host, port))) = on.leader(topic, number, listener) else {
        return LeaderIdAndEpoch::default();
    };
    if !response.node_endpoints.iter().any(|known| known.node_id == leader) {
        let endpoint = NodeEndpoint::default().with_node_id(leader).with_host(host).with_port(port);
        response.node_endpoints.push(endpoint);
    }
    LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(epoch)
}

fn storage_failed(mut response: ProduceResponse) -> ProduceResponse {
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
        partition.error_code = ErrorCode::KAFKA_STORAGE_ERROR.0;
        partition.base_offset = -1;
    }
    response
}

pub(super) fn refuse(request: &ProduceRequest, code: ErrorCode) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            refused(PartitionProduceResponse::default().with_index(partition.index), code.into())
        });
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

const _: () = assert!(JOINS_BY_WRITING < TOPICS_BY_ID);
