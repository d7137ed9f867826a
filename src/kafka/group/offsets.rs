//! Offsets kept by a group's coordinator: asking for them, and what a commit is.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{Cluster, CoordinatorOf, Lane};
use crate::kafka::error::Error;
use crate::kafka::printable::printable;
use crate::kafka::topic_partition::{TopicPartition, by_topic};
use crate::wire::error_code::{ErrorCode, Reaction};

/// The newest version of OffsetFetch that asks for one group.
const ONE_GROUP: i16 = 7;
/// What a commit says that does not come from a member.
const NO_MEMBER: i32 = -1;

/// How far a group has read in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the record before it (KIP-320); -1 where it is not known.
    pub leader_epoch: i32,
    /// Whatever who committed it wrote beside it.
    pub metadata: String,
}

impl CommittedOffset {
    /// An offset without anything beside it.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// What the coordinator answered for each partition.
pub(crate) type Codes = Vec<(TopicPartition, ErrorCode)>;

/// Asks the coordinator how far the group has read these partitions; `None` for one without a committed offset.
/// Waits for transactions that are about to commit offsets of them (KIP-447). Tries again, elsewhere if need be, for
/// as long as a request may take.
pub(crate) async fn committed(
    cluster: &Cluster,
    group: &Arc<str>,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
    let topics = by_topic(partitions.iter().map(|partition| (partition.clone(), ()))).into_iter();
    let topics = topics.map(|(topic, partitions)| {
        OffsetFetchRequestTopic::default()
            .with_name(StrBytes::from_string(topic.to_string()).into())
            .with_partition_indexes(partitions.into_iter().map(|(partition, ())| partition).collect())
    });
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_topics(Some(topics.collect()))
        .with_require_stable(true);
    let deadline = Instant::now() + cluster.settings.request_timeout;
    let mut failures = 0;
    loop {
        let error = match ask(cluster, group, &request).await {
            Ok(response) => match read(group, &response) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            },
            Err(error) => error,
        };
        failures += 1;
        let wait = Backoff::REQUEST.wait(failures, fastrand::f64());
        if !error.is_retriable() || Instant::now() + wait >= deadline {
            return Err(error);
        }
        if !matches!(&error, Error::Broker { code, .. } if code.reaction() == Reaction::Retry) {
            cluster.forget_coordinator(CoordinatorOf::Group, group);
        }
        sleep(wait).await;
    }
}

async fn ask(
    cluster: &Cluster,
    group: &Arc<str>,
    request: &OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Error> {
    let broker = cluster.coordinator(CoordinatorOf::Group, group).await?;
    cluster.send(broker, Lane::Prompt, request, ONE_GROUP, cluster.settings.request_timeout).await?.await
}

fn read(
    group: &str,
    response: &OffsetFetchResponse,
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
    let doing = || format!("asking for the committed offsets of group '{group}'");
    let check = |code| match ErrorCode(code) {
        ErrorCode::NONE => Ok(()),
        code => Err(Error::for_group(code, "read offsets of", group, doing)),
    };
    check(response.error_code)?;
    let mut found = Vec::new();
    for topic in &response.topics {
        let name: Arc<str> = Arc::from(&**topic.name);
        for data in &topic.partitions {
            check(data.error_code)?;
            let committed = (data.committed_offset >= 0).then(|| CommittedOffset {
                offset: data.committed_offset,
                leader_epoch: data.committed_leader_epoch,
                metadata: data.metadata.as_ref().map(|text| printable(text)).unwrap_or_default(),
            });
            found.push((TopicPartition::new(Arc::clone(&name), data.partition_index), committed));
        }
    }
    Ok(found)
}

/// A request to keep these offsets; `identity` is that of the member that commits.
pub(crate) fn commit_request<'a>(
    group: &str,
    identity: Option<(String, i32)>,
    instance_id: Option<&str>,
    offsets: impl Iterator<Item = (&'a TopicPartition, &'a CommittedOffset)>,
) -> OffsetCommitRequest {
    let (member_id, generation) = identity.unwrap_or((String::new(), NO_MEMBER));
    let topics = by_topic(offsets.map(|(partition, offset)| (partition.clone(), offset))).into_iter();
    let topics = topics.map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, committed)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_committed_metadata(Some(StrBytes::from_string(committed.metadata.clone())))
        });
        OffsetCommitRequestTopic::default()
            .with_name(StrBytes::from_string(topic.to_string()).into())
            .with_partitions(partitions.collect())
    });
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(StrBytes::from_string(member_id))
        .with_generation_id_or_member_epoch(generation)
        .with_group_instance_id(instance_id.map(|id| StrBytes::from_string(id.to_owned())))
        .with_topics(topics.collect())
}

pub(crate) fn group_id(group: &str) -> GroupId {
    StrBytes::from_string(group.to_owned()).into()
}
