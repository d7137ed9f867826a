//! The requests of a consumer as the protocol has them, and what brokers answered to them by partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};
use kafka_protocol::protocol::{Request, StrBytes};

use super::positions::Positions;
use super::questions::{EndOfEpoch, FetchFrom, Index, OffsetOf, Which};
use super::session::SessionRequest;
use crate::kafka::cluster::{NEWEST, OwnLane};
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::topic_partition::{TopicPartition, by_topic};
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;

/// The newest version of Fetch that names topics by name.
const BY_NAME: i16 = TOPICS_BY_ID - 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// A broker that is alive answers a fetch this long after its wait, or sends parts of the answer: a network that has
/// gone is noticed by it.
const SILENCE: Duration = Duration::from_secs(10);

/// Whose records are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// Not those of transactions that are open or were aborted.
    #[default]
    ReadCommitted,
    /// Everybody's.
    ReadUncommitted,
}

/// How much of a broker is asked for at a time.
#[derive(Debug, Clone)]
pub(super) struct FetchLimits {
    pub(super) max_wait: Duration,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    pub(super) max_partition_bytes: i32,
    pub(super) isolation: Isolation,
    pub(super) rack: Option<String>,
}

/// What a broker sent for one partition.
#[derive(Debug)]
pub(super) struct PartitionData {
    pub(super) name: TopicPartition,
    pub(super) code: ErrorCode,
    pub(super) end: i64,
    /// No record beyond it is handed out; -1 where it is not known.
    pub(super) high_watermark: i64,
    pub(super) records: Bytes,
    pub(super) aborted: Vec<AbortedTransaction>,
    pub(super) preferred: Option<BrokerId>,
}

/// What a broker sent.
#[derive(Debug)]
pub(super) struct FetchAnswer {
    pub(super) code: ErrorCode,
    pub(super) session_id: i32,
    pub(super) partitions: Vec<PartitionData>,
}

/// A fetch as it goes to a broker.
#[derive(Debug)]
pub(super) struct FetchCall {
    request: FetchRequest,
    by_id: bool,
}

impl FetchCall {
    pub(super) fn new(
        limits: &FetchLimits,
        snapshot: &Snapshot,
        session: SessionRequest,
        by_id: bool,
    ) -> Self {
        let id = |topic: &Arc<str>| snapshot.topic(topic).map(|known| known.id).unwrap_or_default();
        let topics = by_topic(session.tell).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, from)| {
                FetchPartition::default()
                    .with_partition(partition)
                    .with_fetch_offset(from.offset)
                    .with_current_leader_epoch(from.leader_epoch)
                    .with_partition_max_bytes(limits.max_partition_bytes)
            });
            FetchTopic::default()
                .with_topic(name(&topic).into())
                .with_topic_id(id(&topic))
                .with_partitions(partitions.collect())
        });
        let forgotten = by_topic(session.forget.into_iter().map(|partition| (partition, ()))).into_iter();
        let forgotten = forgotten.map(|(topic, partitions)| {
            ForgottenTopic::default()
                .with_topic(name(&topic).into())
                .with_topic_id(id(&topic))
                .with_partitions(partitions.into_iter().map(|(partition, ())| partition).collect())
        });
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(i32::try_from(limits.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(limits.min_bytes)
            .with_max_bytes(limits.max_bytes)
            .with_isolation_level(limits.isolation.level())
            .with_session_id(session.id)
            .with_session_epoch(session.epoch)
            .with_topics(topics.collect())
            .with_forgotten_topics_data(forgotten.collect())
            .with_rack_id(StrBytes::from_string(limits.rack.clone().unwrap_or_default()));
        Self { request, by_id }
    }

    pub(super) async fn ask(
        &self,
        lane: &OwnLane,
        broker: BrokerId,
        max_wait: Duration,
    ) -> Result<FetchAnswer, Error> {
        let within = SILENCE.min(lane.cluster.settings.request_timeout) + max_wait;
        let newest = if self.by_id { NEWEST } else { BY_NAME };
        let answer = lane.send(broker, &self.request, newest, within).await?.await?;
        let snapshot = lane.cluster.snapshot();
        let mut partitions = Vec::new();
        for topic in answer.responses {
            let named: Option<Arc<str>> = if topic.topic_id.is_nil() {
                Some(Arc::from(&**topic.topic))
            } else {
                snapshot.name_of(topic.topic_id).cloned()
            };
            // A topic that is not known by this id any more was asked for before it was made anew.
            let Some(named) = named else { continue };
            partitions.extend(topic.partitions.into_iter().map(|data| PartitionData {
                name: TopicPartition::new(Arc::clone(&named), data.partition_index),
                code: ErrorCode(data.error_code),
                end: end(self.request.isolation_level, data.last_stable_offset, data.high_watermark),
                high_watermark: data.high_watermark,
                records: data.records.unwrap_or_default(),
                aborted: data.aborted_transactions.unwrap_or_default(),
                preferred: Some(data.preferred_read_replica.0).filter(|&replica| replica >= 0),
            }));
        }
        Ok(FetchAnswer { code: ErrorCode(answer.error_code), session_id: answer.session_id, partitions })
    }
}

/// The end of what may be read. Brokers tell the last stable offset to everybody, or as -1 where it is not known.
fn end(isolation_level: i8, last_stable_offset: i64, high_watermark: i64) -> i64 {
    let stable = isolation_level == Isolation::ReadCommitted.level() && last_stable_offset >= 0;
    if stable { last_stable_offset } else { high_watermark }
}

impl Isolation {
    pub(super) fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// What a broker answered of each partition that it was asked about.
pub(super) type Answers<T> = Vec<(TopicPartition, Result<T, ErrorCode>)>;

/// Asks for offsets: the code, or the offset, -1 where there is none of that time.
pub(super) async fn offsets(
    lane: &OwnLane,
    broker: BrokerId,
    isolation: Isolation,
    asked: Vec<(TopicPartition, OffsetOf)>,
) -> Result<Answers<i64>, Error> {
    let topics = by_topic(asked).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, of)| {
            ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_current_leader_epoch(of.leader_epoch)
                .with_timestamp(match of.which {
                    Which::Earliest => EARLIEST,
                    Which::Latest | Which::BeforeEnd(_) => LATEST,
                    Which::Timestamp(timestamp) => timestamp.max(0),
                })
        });
        ListOffsetsTopic::default().with_name(name(&topic).into()).with_partitions(partitions.collect())
    });
    let within = lane.cluster.settings.request_timeout.as_millis();
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_timeout_ms(i32::try_from(within).unwrap_or(i32::MAX))
        .with_isolation_level(isolation.level())
        .with_topics(topics.collect());
    let answer = ask(lane, broker, &request).await?;
    let mut answers = Vec::new();
    for topic in &answer.topics {
        let topic_name: Arc<str> = Arc::from(&**topic.name);
        answers.extend(topic.partitions.iter().map(|data| {
            let name = TopicPartition::new(Arc::clone(&topic_name), data.partition_index);
            (name, code(data.error_code).map(|()| data.offset))
        }));
    }
    Ok(answers)
}

/// Asks where epochs end: the code, or the newest epoch that is no newer, and the offset behind its last record.
pub(super) async fn ends_of_epochs(
    lane: &OwnLane,
    broker: BrokerId,
    asked: Vec<(TopicPartition, EndOfEpoch)>,
) -> Result<Answers<(i32, i64)>, Error> {
    let topics = by_topic(asked).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, of)| {
            OffsetForLeaderPartition::default()
                .with_partition(partition)
                .with_current_leader_epoch(of.leader_epoch)
                .with_leader_epoch(of.epoch)
        });
        OffsetForLeaderTopic::default().with_topic(name(&topic).into()).with_partitions(partitions.collect())
    });
    let request =
        OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
    let answer = ask(lane, broker, &request).await?;
    let mut answers = Vec::new();
    for topic in &answer.topics {
        let topic_name: Arc<str> = Arc::from(&**topic.topic);
        answers.extend(topic.partitions.iter().map(|data| {
            let name = TopicPartition::new(Arc::clone(&topic_name), data.partition);
            (name, code(data.error_code).map(|()| (data.leader_epoch, data.end_offset)))
        }));
    }
    Ok(answers)
}

/// The partitions that are asked about, by name, where they are still read.
pub(super) fn named<T: Copy>(
    positions: &Positions,
    asked: &[T],
    index: impl Fn(&T) -> Index,
) -> Vec<(TopicPartition, T)> {
    asked.iter().filter_map(|of| Some((positions.name(index(of))?.clone(), *of))).collect()
}

/// Whether every topic of these is known by its id.
pub(super) fn known_by_id(snapshot: &Snapshot, asked: &[(TopicPartition, FetchFrom)]) -> bool {
    asked.iter().all(|(name, _)| snapshot.topic(&name.topic).is_some_and(|topic| !topic.id.is_nil()))
}

/// What is asked before a fetch goes the same way, so that a login carries whichever is first.
async fn ask<R: Request>(lane: &OwnLane, broker: BrokerId, request: &R) -> Result<R::Response, Error> {
    let within = lane.cluster.settings.request_timeout;
    lane.send(broker, request, NEWEST, within).await?.await
}

fn code(code: i16) -> Result<(), ErrorCode> {
    match ErrorCode(code) {
        ErrorCode::NONE => Ok(()),
        code => Err(code),
    }
}

fn name(topic: &str) -> StrBytes {
    StrBytes::from_string(topic.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_of_committed_records_stop_before_open_transactions() {
        assert_eq!(end(Isolation::ReadCommitted.level(), 3, 9), 3);
        assert_eq!(end(Isolation::ReadCommitted.level(), -1, 9), 9);
        assert_eq!(end(Isolation::ReadUncommitted.level(), 3, 9), 9);
    }
}
