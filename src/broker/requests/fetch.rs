//! Fetch: sessions (KIP-227), long polls, committed reads (KIP-98), leader epochs (KIP-320), bounded answers (KIP-74).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, TopicName};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Call, Reply};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::fetch_sessions::{Asked, Key, Plan, Wanted};
use crate::broker::shared::now;
use crate::broker::topics::Partition;
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;

/// An answer holds at most this many bytes of records, whatever is asked for.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Nobody waits longer than this, whatever is asked for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
const READ_COMMITTED: i8 = 1;

/// What a fetch asks for, apart from its partitions.
#[derive(Debug, Clone, Copy)]
struct Terms {
    least_bytes: usize,
    most_bytes: usize,
    committed: bool,
}

pub(super) fn handle(request: FetchRequest, on: &mut Cluster, call: &Call) -> Reply<FetchResponse> {
    let terms = Terms {
        least_bytes: usize::try_from(request.min_bytes).unwrap_or_default(),
        most_bytes: usize::try_from(request.max_bytes).unwrap_or_default().min(MOST_BYTES),
        committed: request.isolation_level == READ_COMMITTED,
    };
    let wait =
        Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default()).min(LONGEST_WAIT);
    let deadline = call.now.instant + wait;
    let plan = match on.sessions.plan(asked(request, call.version)) {
        Ok(plan) => plan,
        Err(code) => return Reply::Now(FetchResponse::default().with_error_code(code.0)),
    };
    if wait.is_zero() || plan.partitions.is_empty() || is_ready(on, call, &plan, terms) {
        return Reply::Now(read(on, call, &plan, terms));
    }
    let call = call.clone();
    Reply::Later(Box::pin(async move { wait_for_records(&call, &plan, terms, deadline).await }))
}

/// The request in terms of partitions.
fn asked(request: FetchRequest, version: i16) -> Asked {
    let mut partitions = IndexMap::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let wanted = Wanted {
                leader_epoch: partition.current_leader_epoch,
                offset: partition.fetch_offset,
                last_fetched_epoch: partition.last_fetched_epoch,
                most_bytes: partition.partition_max_bytes,
                told: None,
            };
            partitions.insert((topic.topic.clone(), topic.topic_id, partition.partition), wanted);
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |number| (topic.topic.clone(), topic.topic_id, number))
    });
    Asked {
        session_id: request.session_id,
        epoch: request.session_epoch,
        partitions,
        forgotten: forgotten.collect(),
        by_id: version >= TOPICS_BY_ID,
    }
}

async fn wait_for_records(call: &Call, plan: &Plan, terms: Terms, deadline: Instant) -> FetchResponse {
    let changed = Arc::new(Notify::new());
    loop {
        {
            let mut cluster = call.shared.cluster();
            if is_ready(&mut cluster, call, plan, terms) || now().instant >= deadline {
                return read(&mut cluster, call, plan, terms);
            }
            for (name, id, number) in plan.partitions.keys() {
                let name = cluster.name_of(name, *id).map(str::to_owned);
                let topic = name.and_then(|name| cluster.topics.get_mut(&name));
                if let Some(partition) = topic.and_then(|topic| topic.partition_mut(*number)) {
                    partition.wake_on_change(&changed);
                }
            }
        }
        tokio::select! {
            () = changed.notified() => {}
            () = sleep_until(deadline) => {}
        }
    }
}

/// The partition that is asked for, if it may be read there.
fn find<'a>(
    on: &'a mut Cluster,
    call: &Call,
    key: &Key,
    wanted: &Wanted,
) -> Result<&'a mut Partition, ErrorCode> {
    let (name, id, number) = key;
    let name = on.name_of(name, *id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?.to_owned();
    call.authorize(Operation::Read, &name)?;
    let partition = on.led_partition(call.node, &name, *number)?;
    partition.check_epoch(wanted.leader_epoch)?;
    if wanted.offset < partition.log.start() || wanted.offset > partition.log.end() {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(partition)
}

/// Up to where may be read.
fn end_of(partition: &Partition, terms: Terms) -> i64 {
    if terms.committed { partition.log.last_stable_offset() } else { partition.log.end() }
}

/// Whether there is enough to read, or something to say at once.
fn is_ready(on: &mut Cluster, call: &Call, plan: &Plan, terms: Terms) -> bool {
    let mut bytes = 0_usize;
    for (key, wanted) in &plan.partitions {
        let Ok(partition) = find(on, call, key, wanted) else { return true };
        if diverges(partition, wanted).is_some() {
            return true;
        }
        let missing = terms.least_bytes.saturating_sub(bytes);
        let more = partition.log.bytes_from(wanted.offset, end_of(partition, terms), missing.max(1));
        bytes = bytes.saturating_add(more);
        if bytes >= terms.least_bytes {
            return true;
        }
    }
    false
}

fn read(on: &mut Cluster, call: &Call, plan: &Plan, terms: Terms) -> FetchResponse {
    let mut response = FetchResponse::default().with_session_id(plan.session_id);
    // What others' answers hold leaves less for this one; its first batch it gets in any case.
    let mut left = call.shared.answer_bytes_left().min(terms.most_bytes);
    let mut first = true;
    for (key, wanted) in &plan.partitions {
        let (name, id, number) = key;
        let mut data = match find(on, call, key, wanted) {
            Ok(partition) => read_partition(partition, *number, wanted, terms, left, first),
            Err(code) => refused(*number, code),
        };
        if data.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER.0
            || data.error_code == ErrorCode::FENCED_LEADER_EPOCH.0
        {
            data.current_leader = point_to_leader(on, call.listener, key, &mut response);
        }
        let size = data.records.as_ref().map_or(0, Bytes::len);
        let marks = (data.high_watermark, data.log_start_offset);
        let failed = data.error_code != ErrorCode::NONE.0;
        let news = failed || size > 0 || wanted.told != Some(marks) || data.diverging_epoch.epoch >= 0;
        first &= size == 0;
        left = left.saturating_sub(size);
        if plan.session_id != 0 {
            on.sessions.told(plan.session_id, key, if failed { (-1, -1) } else { marks }, size > 0);
        }
        if plan.incremental && !news {
            continue;
        }
        match response.responses.last_mut() {
            Some(last) if last.topic == *name && last.topic_id == *id => last.partitions.push(data),
            _ => response.responses.push(topic_of(name, *id, data)),
        }
    }
    response
}

fn topic_of(name: &TopicName, id: uuid::Uuid, data: PartitionData) -> FetchableTopicResponse {
    FetchableTopicResponse::default().with_topic(name.clone()).with_topic_id(id).with_partitions(vec![data])
}

fn read_partition(
    partition: &Partition,
    number: i32,
    wanted: &Wanted,
    terms: Terms,
    left: usize,
    first: bool,
) -> PartitionData {
    let log = &partition.log;
    let stable = log.last_stable_offset();
    let data = PartitionData::default()
        .with_partition_index(number)
        .with_high_watermark(log.end())
        .with_last_stable_offset(stable)
        .with_log_start_offset(log.start())
        .with_preferred_read_replica(BrokerId(-1))
        .with_aborted_transactions(terms.committed.then(Vec::new))
        .with_records(Some(Bytes::new()));
    if let Some((epoch, end_offset)) = diverges(partition, wanted) {
        return data
            .with_diverging_epoch(EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset));
    }
    let end = end_of(partition, terms);
    let most = usize::try_from(wanted.most_bytes).unwrap_or_default().min(left);
    let Ok(records) = log.read(wanted.offset, end, most, first) else {
        return refused(number, ErrorCode::KAFKA_STORAGE_ERROR);
    };
    let read_to = crate::wire::record::next_offset(&records).unwrap_or(wanted.offset);
    let aborted = terms.committed.then(|| {
        let touched = log.aborted_between(wanted.offset, read_to).into_iter();
        let told = touched.map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        });
        told.collect()
    });
    data.with_aborted_transactions(aborted).with_records(Some(records))
}

/// Where a reader's log parts from this one: what it read last was of an epoch that ended earlier here.
fn diverges(partition: &Partition, wanted: &Wanted) -> Option<(i32, i64)> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end) = partition.log.end_of_epoch(wanted.last_fetched_epoch)?;
    (epoch < wanted.last_fetched_epoch || end < wanted.offset).then_some((epoch, end))
}

fn refused(number: i32, code: ErrorCode) -> PartitionData {
    PartitionData::default()
        .with_partition_index(number)
        .with_error_code(code.0)
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(Bytes::new()))
}

/// Says who leads a partition, and where that broker is (KIP-951).
fn point_to_leader(
    on: &Cluster,
    listener: usize,
    key: &Key,
    response: &mut FetchResponse,
) -> LeaderIdAndEpoch {
    let (name, id, number) = key;
    let found = on.name_of(name, *id).and_then(|name| on.leader(name, *number, listener));
    let Some((leader, epoch, (host, port))) = found else { return LeaderIdAndEpoch::default() };
    if !response.node_endpoints.iter().any(|known| known.node_id == leader) {
        let endpoint = NodeEndpoint::default().with_node_id(leader).with_host(host).with_port(port);
        response.node_endpoints.push(endpoint);
    }
    LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(epoch)
}

pub(super) fn refuse(request: &FetchRequest, code: ErrorCode) -> FetchResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| refused(partition.partition, code));
        FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions.collect())
    });
    let response = FetchResponse::default().with_responses(topics.collect());
    // Codes of sessions, and of a fetch that names nothing, are those of the whole.
    let of_session = matches!(
        code,
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
            | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR
    );
    if of_session || response.responses.is_empty() {
        FetchResponse::default().with_error_code(code.0)
    } else {
        response
    }
}
