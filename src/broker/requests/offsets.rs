//! ListOffsets and OffsetForLeaderEpoch: which offset a time, an end or an epoch stands for.

use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::{Call, Reply};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::wire::error_code::ErrorCode;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const READ_COMMITTED: i8 = 1;
/// The first version whose answer has room for the leader epoch.
const TELLS_EPOCH: i16 = 4;

pub(super) fn list(request: ListOffsetsRequest, on: &mut Cluster, call: &Call) -> Reply<ListOffsetsResponse> {
    let committed = request.isolation_level == READ_COMMITTED;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let number = asked.partition_index;
            let found =
                find(on, call, &topic.name, number, asked.current_leader_epoch, asked.timestamp, committed);
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(number);
            match found {
                Ok((offset, timestamp, epoch)) => {
                    let epoch = if call.version >= TELLS_EPOCH { epoch } else { -1 };
                    answer.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
                }
                Err(code) => answer.with_offset(-1).with_timestamp(-1).with_error_code(code.0),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    Reply::Now(ListOffsetsResponse::default().with_topics(topics.collect()))
}

/// Offset, timestamp and leader epoch; -1 for each that is not known.
fn find(
    on: &mut Cluster,
    call: &Call,
    topic: &str,
    number: i32,
    epoch: i32,
    timestamp: i64,
    committed: bool,
) -> Result<(i64, i64, i32), ErrorCode> {
    call.authorize(Operation::Describe, topic)?;
    let partition = on.led_partition(call.node, topic, number)?;
    partition.check_epoch(epoch)?;
    let log = &partition.log;
    let end = if committed { log.last_stable_offset() } else { log.end() };
    let found = match timestamp {
        LATEST => return Ok((end, -1, partition.leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => return Ok((log.start(), -1, log.epoch_at(log.start()))),
        LATEST_TIERED => return Ok((-1, -1, -1)),
        NEWEST_TIMESTAMP => log.newest_timestamp(),
        timestamp if timestamp < 0 => return Err(ErrorCode::UNSUPPORTED_VERSION),
        timestamp => log.first_since(timestamp),
    };
    let found = found.map_err(|_| ErrorCode::KAFKA_STORAGE_ERROR)?;
    Ok(match found.filter(|&(offset, _)| offset < end) {
        Some((offset, timestamp)) => (offset, timestamp, log.epoch_at(offset)),
        None => (-1, -1, -1),
    })
}

pub(super) fn refuse_list(request: &ListOffsetsRequest, code: ErrorCode) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_offset(-1)
                .with_timestamp(-1)
                .with_error_code(code.0)
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

pub(super) fn ends_of_epochs(
    request: OffsetForLeaderEpochRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<OffsetForLeaderEpochResponse> {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let answer = EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            let found = call.authorize(Operation::Describe, &topic.topic).and_then(|()| {
                let partition = on.led_partition(call.node, &topic.topic, asked.partition)?;
                partition.check_epoch(asked.current_leader_epoch)?;
                // The leader's own epoch ends at the log's end, even if nothing was written in it.
                if asked.leader_epoch == partition.leader_epoch {
                    return Ok(Some((asked.leader_epoch, partition.log.end())));
                }
                Ok(partition
                    .log
                    .end_of_epoch(asked.leader_epoch)
                    .filter(|_| asked.leader_epoch < partition.leader_epoch))
            });
            match found {
                Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end),
                Ok(None) => answer,
                Err(code) => answer.with_error_code(code.0),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    Reply::Now(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}

pub(super) fn refuse_ends(
    request: &OffsetForLeaderEpochRequest,
    code: ErrorCode,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1)
                .with_error_code(code.0)
        });
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
