//! How far groups have read: OffsetFetch, OffsetCommit, OffsetDelete (KIP-496).

use std::sync::Arc;

use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Admin;
use super::answer::{Deed, Subject, known, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;
use crate::kafka::group::CommittedOffset;
use crate::kafka::group::offsets::commit_request;
use crate::kafka::topic_partition::{TopicPartition, by_topic};
use crate::wire::error_code::ErrorCode;

/// The first version of OffsetFetch that asks for several groups (KIP-709), and takes no group by itself.
const SEVERAL_GROUPS: i16 = 8;

/// A partition, and how far it was read.
type Committed = (TopicPartition, CommittedOffset);

/// One partition of an answer, whose type differs with the version.
type Fetched<'a> = (&'a StrBytes, i32, i64, i32, Option<&'a StrBytes>, i16);

impl Admin {
    /// The offsets that a group has committed, of all partitions, by topic and partition; none for a group that is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthorized`], the coordinator's code, and those of reaching the cluster.
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<Vec<(TopicPartition, CommittedOffset)>, Error> {
        let request = |asked: Asked<'_>| {
            Ok(if asked.version >= SEVERAL_GROUPS {
                let group = OffsetFetchRequestGroup::default().with_group_id(text(group).into());
                OffsetFetchRequest::default().with_groups(vec![group.with_topics(None)])
            } else {
                OffsetFetchRequest::default().with_group_id(text(group).into()).with_topics(None)
            })
        };
        let answer = |response: &OffsetFetchResponse| {
            let deed = Deed { action: "read the offsets of", subject: Subject::Group(group) };
            deed.outcome(response.error_code, None)?;
            for answered in &response.groups {
                deed.outcome(answered.error_code, None)?;
            }
            let mut offsets = Vec::new();
            for (topic, partition, offset, epoch, metadata, code) in fetched(response) {
                let partition = TopicPartition::new(topic.as_str(), partition);
                let deed = Deed { action: "read the offset of", subject: Subject::Partition(&partition) };
                deed.outcome(code, None)?;
                if known(offset).is_some() {
                    let metadata = metadata.map(ToString::to_string).unwrap_or_default();
                    offsets.push((partition, CommittedOffset { offset, leader_epoch: epoch, metadata }));
                }
            }
            offsets.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Ok(offsets)
        };
        self.one(Place::Coordinator(Arc::from(group)), request, answer).await
    }

    /// Sets how far a group has read these partitions, for a group without members; [`CommittedOffset::new`] takes the
    /// offset of the next record to read. Makes the group where it is not there.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], or the coordinator's code: `UNKNOWN_MEMBER_ID` while the group has members,
    /// `UNKNOWN_TOPIC_OR_PARTITION`. As a whole: those of reaching the cluster.
    pub async fn alter_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Vec<(TopicPartition, Result<(), Error>)>, Error> {
        let request = |offsets: &[&Committed], _: Asked<'_>| {
            Ok(commit_request(
                group,
                None,
                None,
                offsets.iter().map(|(partition, offset)| (partition, offset)),
            ))
        };
        let answer = |(partition, _): &Committed, _, response: &OffsetCommitResponse| {
            let deed = Deed { action: "set the group's offset of", subject: Subject::Partition(partition) };
            let of_topic = response.topics.iter().filter(|topic| **topic.name == *partition.topic);
            let mut partitions = of_topic.flat_map(|topic| &topic.partitions);
            let result = partitions.find(|result| result.partition_index == partition.partition);
            let code = result.ok_or_else(|| deed.unanswered())?.error_code;
            deed.outcome(code, in_use(code).as_ref())
        };
        let place = |_: &Committed| Place::Coordinator(Arc::from(group));
        let results = self.each(offsets, place, request, answer).await?;
        Ok(offsets.iter().map(|(partition, _)| partition.clone()).zip(results).collect())
    }

    /// Forgets how far a group has read these partitions (brokers since Kafka 2.4). Of a group with members only what no
    /// member subscribes to can be forgotten.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], or the coordinator's code: `GROUP_SUBSCRIBED_TO_TOPIC`,
    /// `GROUP_ID_NOT_FOUND`, `UNKNOWN_TOPIC_OR_PARTITION`. As a whole: those of reaching the cluster.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Result<(), Error>)>, Error> {
        let request = |partitions: &[&TopicPartition], _: Asked<'_>| {
            let topics = by_topic(partitions.iter().map(|&partition| (partition.clone(), ())));
            let topics = topics.into_iter().map(|(topic, partitions)| {
                let partitions = partitions.into_iter().map(|(partition, ())| {
                    OffsetDeleteRequestPartition::default().with_partition_index(partition)
                });
                OffsetDeleteRequestTopic::default()
                    .with_name(text(&topic).into())
                    .with_partitions(partitions.collect())
            });
            Ok(OffsetDeleteRequest::default().with_group_id(text(group).into()).with_topics(topics.collect()))
        };
        let answer = |partition: &TopicPartition, _, response: &OffsetDeleteResponse| {
            Deed { action: "forget offsets of", subject: Subject::Group(group) }
                .outcome(response.error_code, None)?;
            let deed =
                Deed { action: "forget the group's offset of", subject: Subject::Partition(partition) };
            let of_topic = response.topics.iter().filter(|topic| **topic.name == *partition.topic);
            let mut partitions = of_topic.flat_map(|topic| &topic.partitions);
            let result = partitions.find(|result| result.partition_index == partition.partition);
            deed.outcome(result.ok_or_else(|| deed.unanswered())?.error_code, None)
        };
        let place = |_: &TopicPartition| Place::Coordinator(Arc::from(group));
        let results = self.each(partitions, place, request, answer).await?;
        Ok(partitions.iter().cloned().zip(results).collect())
    }
}

/// What is behind a code that speaks of members, for who is none.
fn in_use(code: i16) -> Option<StrBytes> {
    (ErrorCode(code) == ErrorCode::UNKNOWN_MEMBER_ID)
        .then(|| StrBytes::from_static_str("the group has members, which commit themselves; stop them first"))
}

fn fetched(response: &OffsetFetchResponse) -> impl Iterator<Item = Fetched<'_>> {
    let by_itself = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|part| {
            let (offset, epoch) = (part.committed_offset, part.committed_leader_epoch);
            (&topic.name.0, part.partition_index, offset, epoch, part.metadata.as_ref(), part.error_code)
        })
    });
    let in_groups = response.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| {
        topic.partitions.iter().map(|part| {
            let (offset, epoch) = (part.committed_offset, part.committed_leader_epoch);
            (&topic.name.0, part.partition_index, offset, epoch, part.metadata.as_ref(), part.error_code)
        })
    });
    by_itself.chain(in_groups)
}
