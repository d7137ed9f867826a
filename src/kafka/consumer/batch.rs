//! What a consumer hands over: a batch of one partition's records, borrowed from the bytes that came.

use bytes::Bytes;

use crate::kafka::error::Error;
use crate::kafka::group::CommittedOffset;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::record::{Batch, Record, RecordError, Rest, TimestampType};

/// Records of one partition, in the order of their offsets.
///
/// Keys, values and headers are borrowed from the bytes that the broker sent; [`slice`](Self::slice) makes an owned
/// view of one without copying it, which keeps the whole batch in memory for as long as it lives.
#[derive(Debug, Clone)]
pub struct FetchedBatch {
    pub(in crate::kafka) partition: TopicPartition,
    pub(in crate::kafka) batch: Batch,
    /// Brokers send whole batches: records outside of what was asked for are passed over.
    pub(in crate::kafka) from: i64,
    pub(in crate::kafka) before: Option<i64>,
}

impl FetchedBatch {
    /// The topic.
    pub fn topic(&self) -> &std::sync::Arc<str> {
        &self.partition.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// The topic and the partition's number.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset behind the last record: what to commit when all are handled.
    pub fn next_offset(&self) -> i64 {
        self.before.map_or(self.batch.next_offset(), |before| before.min(self.batch.next_offset()))
    }

    /// The epoch of the leader that appended the records (KIP-320); -1 where it is not known.
    pub fn leader_epoch(&self) -> i32 {
        self.batch.partition_leader_epoch()
    }

    /// What to commit when all are handled.
    pub(super) fn committed_offset(&self) -> CommittedOffset {
        CommittedOffset { leader_epoch: self.leader_epoch(), ..CommittedOffset::new(self.next_offset()) }
    }

    /// Whether timestamps are those of the producers or of the broker.
    pub fn timestamp_type(&self) -> TimestampType {
        self.batch.timestamp_type()
    }

    /// The records. The iterator ends after the first error.
    #[inline]
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Error>> {
        let mut near = self.batch.base_offset();
        self.batch.records().filter_map(move |record| self.wanted(record, &mut near))
    }

    /// The next record, for whoever owns the batch and takes one after the other.
    #[inline(always)]
    pub(crate) fn next_record(&self, place: &mut Place) -> Option<Result<Record<'_>, Error>> {
        let mut records = self.batch.records_of(place.rest);
        let next = records.find_map(|record| self.wanted(record, &mut place.near));
        place.rest = records.rest();
        next
    }

    /// Whether a record is one that was asked for.
    #[inline(always)]
    fn wanted<'a>(
        &self,
        record: Result<Record<'a>, RecordError>,
        near: &mut i64,
    ) -> Option<Result<Record<'a>, Error>> {
        match record {
            Ok(record) => {
                *near = record.offset;
                let wanted = record.offset >= self.from && self.before.is_none_or(|end| record.offset < end);
                wanted.then_some(Ok(record))
            }
            Err(source) => Some(Err(self.damaged(*near, source))),
        }
    }

    /// What is wrong with a record.
    #[cold]
    pub(crate) fn damaged(&self, offset: i64, source: RecordError) -> Error {
        let TopicPartition { topic, partition } = &self.partition;
        Error::Damaged { topic: topic.to_string(), partition: *partition, offset, source }
    }

    /// Before its first record.
    pub(crate) fn beginning(&self) -> Place {
        Place { rest: self.batch.whole(), near: self.batch.base_offset() }
    }

    /// An owned view of a key, value or header of this batch; nothing is copied.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        self.batch.slice(part)
    }
}

/// How far the records of a batch have been taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    rest: Rest,
    /// The offset of the last one.
    near: i64,
}

impl Place {
    /// How many records are to come, as far as the batch knows.
    pub(crate) fn left(self) -> usize {
        self.rest.count()
    }
}
