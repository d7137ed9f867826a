//! What a share consumer hands over: the records of one batch that were acquired for it.

use std::sync::Arc;

use bytes::Bytes;

use crate::kafka::consumer::{ConsumedRecord, FetchedBatch};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::record::{Record, TimestampType};

/// Offsets that a broker has acquired for this consumer, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acquired {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) delivery_count: u16,
}

/// Records of one partition, in the order of their offsets, which nobody else of the group gets while their lock lasts.
///
/// Keys, values and headers are borrowed from the bytes that the broker sent; [`slice`](Self::slice) makes an owned
/// view of one without copying it, which keeps the whole batch in memory for as long as it lives.
#[derive(Debug, Clone)]
pub struct AcquiredBatch {
    pub(super) fetched: FetchedBatch,
    /// In the order of offsets, without overlaps.
    pub(super) acquired: Vec<Acquired>,
    /// The offsets of the records that were acquired.
    pub(super) offsets: Arc<[i64]>,
}

/// A record and how often it has been handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquiredRecord<'a> {
    /// The record.
    pub record: Record<'a>,
    /// How often it was acquired by a consumer of the group: 1 for the first time.
    pub delivery_count: u16,
}

/// A record and how often it has been handed over, to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedRecord {
    /// The record.
    pub record: ConsumedRecord,
    /// How often it was acquired by a consumer of the group: 1 for the first time.
    pub delivery_count: u16,
}

impl AcquiredBatch {
    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        self.fetched.topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.fetched.partition()
    }

    /// The topic and the partition's number.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.fetched.topic_partition()
    }

    /// Whether timestamps are those of the producers or of the broker.
    pub fn timestamp_type(&self) -> TimestampType {
        self.fetched.timestamp_type()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none: never of a batch that was handed over.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The records. All of them have been read once already, so that none is damaged.
    pub fn records(&self) -> impl Iterator<Item = AcquiredRecord<'_>> {
        let records = self.fetched.records().filter_map(Result::ok);
        records.filter_map(|record| {
            Some(AcquiredRecord { record, delivery_count: self.delivery_count(record.offset)? })
        })
    }

    /// The offsets of the records, for [`acknowledge_offsets`](super::ShareConsumer::acknowledge_offsets).
    pub fn offsets(&self) -> impl Iterator<Item = i64> + use<> {
        let offsets = Arc::clone(&self.offsets);
        (0..offsets.len()).filter_map(move |at| offsets.get(at).copied())
    }

    /// An owned view of a key, value or header of this batch; nothing is copied.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        self.fetched.slice(part)
    }

    /// `None` for a record that stands in the batch and is not this consumer's.
    pub(super) fn delivery_count(&self, offset: i64) -> Option<u16> {
        let behind = self.acquired.partition_point(|acquired| acquired.last < offset);
        let acquired = self.acquired.get(behind)?;
        (acquired.first <= offset).then_some(acquired.delivery_count)
    }
}
