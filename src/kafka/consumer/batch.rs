//! What a consumer hands over: a batch of one partition's records, borrowed from the bytes that came.

use bytes::Bytes;

use crate::kafka::error::Error;
use crate::kafka::group::CommittedOffset;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::record::{Batch, Record, TimestampType};

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
        self.batch.records().filter_map(move |record| match record {
            Ok(record) => {
                near = record.offset;
                let wanted = record.offset >= self.from && self.before.is_none_or(|end| record.offset < end);
                wanted.then_some(Ok(record))
            }
            Err(source) => Some(Err(Error::Damaged {
                topic: self.partition.topic.to_string(),
                partition: self.partition.partition,
                offset: near,
                source,
            })),
        })
    }

    /// An owned view of a key, value or header of this batch; nothing is copied.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        self.batch.slice(part)
    }
}
