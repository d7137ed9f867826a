//! The requests of a share consumer as the protocol has them, and what brokers answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch as AcknowledgedBatch,
};
use kafka_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic,
};
use kafka_protocol::messages::{
    GroupId, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::batch::Acquired;
use super::held::Told;
use super::session::{Id, SessionFetch};
use super::sharing::{Answer, Ask, Errand, PartitionAnswer};
use crate::kafka::cluster::{Cluster, NEWEST, OwnLane};
use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::printable::printable;
use crate::wire::error_code::ErrorCode;

/// A broker that is alive answers this long after its wait: a network that has gone is noticed by it.
const SILENCE: Duration = Duration::from_secs(10);

/// Asks brokers in the name of one member. Its connections are its own: when one ends, its broker ends the session, and
/// releases what was acquired in it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) cluster: Arc<Cluster>,
    pub(super) group: Arc<str>,
    member: String,
    lane: OwnLane,
    limits: ShareLimits,
}

/// How much of a broker is asked for at a time.
#[derive(Debug, Clone)]
pub(super) struct ShareLimits {
    pub(super) max_wait: Duration,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    pub(super) max_records: i32,
}

impl Link {
    pub(super) fn new(cluster: Arc<Cluster>, group: Arc<str>, member: String, limits: ShareLimits) -> Self {
        let lane = OwnLane::of_member(Arc::clone(&cluster));
        Self { cluster, group, member, lane, limits }
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Error> {
        let answer = match ask.errand {
            Errand::Fetch(fetch) => {
                let request = self.fetch(fetch, ask.told);
                self.send(ask.broker, &request, self.limits.max_wait).await.map(Answer::from)
            }
            Errand::Acknowledge(epoch) => {
                let request = self.acknowledge(epoch, ask.told);
                self.send(ask.broker, &request, Duration::ZERO).await.map(Answer::from)
            }
        };
        answer.map_err(named)
    }

    async fn send<R: Request>(
        &self,
        broker: BrokerId,
        request: &R,
        wait: Duration,
    ) -> Result<R::Response, Error> {
        let within = SILENCE.min(self.cluster.settings.request_timeout) + wait;
        self.lane.send(broker, request, NEWEST, within).await?.await
    }

    fn fetch(&self, session: SessionFetch, told: Vec<(Id, Vec<Told>)>) -> ShareFetchRequest {
        let mut topics: BTreeMap<Uuid, BTreeMap<i32, Vec<Told>>> = BTreeMap::new();
        for ((topic, partition), told) in session.tell.into_iter().map(|id| (id, Vec::new())).chain(told) {
            topics.entry(topic).or_default().entry(partition).or_default().extend(told);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, told)| {
                let batch = |told: Told| {
                    AcknowledgementBatch::default()
                        .with_first_offset(told.first)
                        .with_last_offset(told.last)
                        .with_acknowledge_types(vec![told.fate.number()])
                };
                FetchPartition::default()
                    .with_partition_index(partition)
                    .with_acknowledgement_batches(told.into_iter().map(batch).collect())
            });
            FetchTopic::default().with_topic_id(topic).with_partitions(partitions.collect())
        });
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in session.forget {
            forgotten.entry(topic).or_default().push(partition);
        }
        let forgotten = forgotten.into_iter().map(|(topic, partitions)| {
            ForgottenTopic::default().with_topic_id(topic).with_partitions(partitions)
        });
        let ShareLimits { max_wait, min_bytes, max_bytes, max_records } = self.limits;
        ShareFetchRequest::default()
            .with_group_id(Some(self.group_id()))
            .with_member_id(Some(self.member_id()))
            .with_share_session_epoch(session.epoch)
            .with_max_wait_ms(i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(min_bytes)
            .with_max_bytes(max_bytes)
            .with_max_records(max_records)
            .with_batch_size(max_records)
            .with_topics(topics.collect())
            .with_forgotten_topics_data(forgotten.collect())
    }

    fn acknowledge(&self, epoch: i32, told: Vec<(Id, Vec<Told>)>) -> ShareAcknowledgeRequest {
        let mut topics: BTreeMap<Uuid, Vec<AcknowledgePartition>> = BTreeMap::new();
        for ((topic, partition), told) in told {
            let batch = |told: Told| {
                AcknowledgedBatch::default()
                    .with_first_offset(told.first)
                    .with_last_offset(told.last)
                    .with_acknowledge_types(vec![told.fate.number()])
            };
            let partition = AcknowledgePartition::default()
                .with_partition_index(partition)
                .with_acknowledgement_batches(told.into_iter().map(batch).collect());
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            AcknowledgeTopic::default().with_topic_id(topic).with_partitions(partitions)
        });
        ShareAcknowledgeRequest::default()
            .with_group_id(Some(self.group_id()))
            .with_member_id(Some(self.member_id()))
            .with_share_session_epoch(epoch)
            .with_topics(topics.collect())
    }

    fn group_id(&self) -> GroupId {
        StrBytes::from_string(self.group.to_string()).into()
    }

    fn member_id(&self) -> StrBytes {
        StrBytes::from_string(self.member.clone())
    }
}

/// What a broker lacks that does not take the requests of share groups.
pub(super) fn named(error: Error) -> Error {
    match error {
        Error::Unsupported { broker, .. } => Error::TooOld {
            broker,
            what: "share groups (KIP-932)",
            since: "4.2, where the cluster's feature share.version is at 1",
        },
        error => error,
    }
}

impl From<ShareFetchResponse> for Answer {
    fn from(response: ShareFetchResponse) -> Self {
        let partitions = response.responses.into_iter().flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.into_iter().map(move |data| PartitionAnswer {
                id: (id, data.partition_index),
                fetched: Some(ErrorCode(data.error_code)),
                acknowledged: ErrorCode(data.acknowledge_error_code),
                records: data.records.unwrap_or_default(),
                acquired: data
                    .acquired_records
                    .iter()
                    .map(|acquired| Acquired {
                        first: acquired.first_offset,
                        last: acquired.last_offset,
                        delivery_count: u16::try_from(acquired.delivery_count).unwrap_or_default(),
                    })
                    .collect(),
            })
        });
        Self {
            code: ErrorCode(response.error_code),
            message: response.error_message.as_ref().map(|message| printable(message)),
            lock: Duration::from_millis(
                u64::try_from(response.acquisition_lock_timeout_ms).unwrap_or_default(),
            ),
            partitions: partitions.collect(),
        }
    }
}

impl From<ShareAcknowledgeResponse> for Answer {
    fn from(response: ShareAcknowledgeResponse) -> Self {
        let partitions = response.responses.into_iter().flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.into_iter().map(move |data| PartitionAnswer {
                id: (id, data.partition_index),
                fetched: None,
                acknowledged: ErrorCode(data.error_code),
                records: Bytes::new(),
                acquired: Vec::new(),
            })
        });
        Self {
            code: ErrorCode(response.error_code),
            message: response.error_message.as_ref().map(|message| printable(message)),
            lock: Duration::ZERO,
            partitions: partitions.collect(),
        }
    }
}
