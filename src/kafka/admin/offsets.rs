//! Where partitions begin and end, and deleting what lies before an offset: ListOffsets, DeleteRecords (KIP-107).

use std::collections::HashMap;

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
};

use super::Admin;
use super::answer::{Deed, Subject, known, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;
use crate::kafka::topic_partition::{TopicPartition, by_topic};

/// Who asks and is no broker.
const NO_REPLICA: i32 = -1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first version of ListOffsets that knows the newest timestamp (KIP-734); earlier ones take it for a time.
const KNOWS_MAX_TIMESTAMP: i16 = 7;

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// Of the first record that is there.
    Earliest,
    /// The one that the next record gets, as far as readers are told: the high watermark.
    Latest,
    /// Of the first record with this timestamp or a later one, in milliseconds since 1970.
    Timestamp(i64),
    /// Of the record with the newest timestamp (KIP-734; brokers since Kafka 3.0).
    MaxTimestamp,
}

impl OffsetSpec {
    /// A time before 1970 is none: below 0 the protocol has its own meanings.
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => EARLIEST,
            Self::Latest => LATEST,
            Self::Timestamp(time) => time.max(0),
            Self::MaxTimestamp => MAX_TIMESTAMP,
        }
    }
}

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset; `None` where no record is as it was asked for.
    pub offset: Option<i64>,
    /// The record's timestamp, in milliseconds since 1970, where one was asked for.
    pub timestamp: Option<i64>,
    /// The leader epoch of that record, where the broker says so (KIP-320).
    pub leader_epoch: Option<i32>,
}

/// A partition, and which of its offsets.
type Wanted = (TopicPartition, OffsetSpec);

impl Admin {
    /// Offsets of partitions, from their leaders. A partition may be asked about several times.
    ///
    /// # Errors
    ///
    /// For each: [`Error::UnknownTopic`], [`Error::NotAuthorized`], [`Error::NoLeader`], or the broker's code:
    /// `UNKNOWN_TOPIC_OR_PARTITION` for a partition that the topic does not have; [`Error::TooOld`] for
    /// [`OffsetSpec::MaxTimestamp`] from a broker before Kafka 3.0. As a whole: those of reaching the cluster, where
    /// nothing could be asked for.
    pub async fn offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<ListedOffset, Error>)>, Error> {
        let mut results: Vec<_> = wanted.iter().map(|_| None).collect();
        let mut failure = None;
        for lot in lots(wanted) {
            let (places, asked): (Vec<usize>, Vec<Wanted>) = lot.into_iter().unzip();
            match self.offsets_once(&asked).await {
                Ok(answers) => {
                    for (place, answer) in places.into_iter().zip(answers) {
                        if let Some(result) = results.get_mut(place) {
                            *result = Some(answer);
                        }
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = &failure
            && results.iter().all(Option::is_none)
        {
            return Err(error.clone());
        }
        let partitions = wanted.iter().map(|(partition, _)| partition.clone());
        let result = |result: Option<_>| result.or_else(|| failure.clone().map(Err));
        Ok(partitions.zip(results.into_iter().filter_map(result)).collect())
    }

    async fn offsets_once(&self, wanted: &[Wanted]) -> Result<Vec<Result<ListedOffset, Error>>, Error> {
        let request = |wanted: &[&Wanted], asked: Asked<'_>| {
            if wanted.iter().any(|(_, spec)| *spec == OffsetSpec::MaxTimestamp) {
                asked.at_least(KNOWS_MAX_TIMESTAMP, "the offset of the newest timestamp", "3.0")?;
            }
            let topics = by_topic(wanted.iter().map(|(partition, spec)| (partition.clone(), *spec)));
            let topics = topics.into_iter().map(|(topic, partitions)| {
                let partitions = partitions.into_iter().map(|(partition, spec)| {
                    ListOffsetsPartition::default()
                        .with_partition_index(partition)
                        .with_timestamp(spec.timestamp())
                });
                ListOffsetsTopic::default()
                    .with_name(text(&topic).into())
                    .with_partitions(partitions.collect())
            });
            Ok(ListOffsetsRequest::default()
                .with_replica_id(NO_REPLICA.into())
                .with_topics(topics.collect())
                .with_timeout_ms(self.patience()))
        };
        let answer = |(partition, _): &Wanted, _, response: &ListOffsetsResponse| {
            let deed = Deed { action: "read offsets of", subject: Subject::Partition(partition) };
            let of_topic = response.topics.iter().filter(|topic| **topic.name == *partition.topic);
            let mut partitions = of_topic.flat_map(|topic| &topic.partitions);
            let result = partitions.find(|result| result.partition_index == partition.partition);
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, None)?;
            Ok(ListedOffset {
                offset: known(result.offset),
                timestamp: known(result.timestamp),
                leader_epoch: known(result.leader_epoch),
            })
        };
        let place = |(partition, _): &Wanted| Place::Leader(partition.clone());
        self.each(wanted, place, request, answer).await
    }

    /// Deletes the records of a partition that lie before an offset, for good; -1 stands for its end. Gives back where
    /// the partition begins now. Records of the same segment may stay on the disk for longer, where nobody reads them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTopic`], [`Error::NotAuthorized`], [`Error::NoLeader`], or the broker's code: `OFFSET_OUT_OF_RANGE`
    /// beyond the end, `POLICY_VIOLATION` for a topic that is only compacted. Those of reaching the cluster.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, Error> {
        let deleted = TopicPartition::new(topic, partition);
        let request = |_: Asked<'_>| {
            let before =
                DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before_offset);
            let of_topic =
                DeleteRecordsTopic::default().with_name(text(topic).into()).with_partitions(vec![before]);
            Ok(DeleteRecordsRequest::default().with_topics(vec![of_topic]).with_timeout_ms(self.patience()))
        };
        let answer = |response: &DeleteRecordsResponse| {
            let deed = Deed { action: "delete records of", subject: Subject::Partition(&deleted) };
            let of_topic = response.topics.iter().filter(|of| **of.name == *topic);
            let mut partitions = of_topic.flat_map(|of| &of.partitions);
            let result = partitions.find(|result| result.partition_index == partition);
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, None)?;
            Ok(result.low_watermark)
        };
        self.one(Place::Leader(deleted.clone()), request, answer).await
    }
}

/// What may go into one request: brokers refuse a partition that is named twice. What older brokers do not know goes by
/// itself. Each with its place in `wanted`.
fn lots(wanted: &[Wanted]) -> Vec<Vec<(usize, Wanted)>> {
    let mut lots: Vec<(bool, Vec<(usize, Wanted)>)> = Vec::new();
    let mut named: HashMap<(&TopicPartition, bool), usize> = HashMap::new();
    for (place, (partition, spec)) in wanted.iter().enumerate() {
        let new = *spec == OffsetSpec::MaxTimestamp;
        let times = named.entry((partition, new)).or_default();
        let lot = lots.iter_mut().filter(|(of_new, _)| *of_new == new).nth(*times);
        match lot {
            Some((_, lot)) => lot.push((place, (partition.clone(), *spec))),
            None => lots.push((new, vec![(place, (partition.clone(), *spec))])),
        }
        *times = times.saturating_add(1);
    }
    lots.into_iter().map(|(_, lot)| lot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_names_a_partition_twice() {
        use OffsetSpec::{Earliest, Latest, MaxTimestamp};
        let wanted = |partition, spec| (TopicPartition::new("t", partition), spec);
        let all = [
            wanted(0, Earliest),
            wanted(1, Earliest),
            wanted(0, Latest),
            wanted(0, MaxTimestamp),
            wanted(0, Latest),
            wanted(1, MaxTimestamp),
        ];
        let places: Vec<Vec<usize>> =
            lots(&all).into_iter().map(|lot| lot.into_iter().map(|(place, _)| place).collect()).collect();
        assert_eq!(places, [vec![0, 1], vec![2], vec![3, 5], vec![4]]);
        assert!(lots(&[]).is_empty());
    }
}
