//! What a consumer hands over: a batch of one partition's records, borrowed from the bytes that came.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::AbortedTransaction;

use crate::kafka::error::Error;
use crate::wire::record::{Batch, ControlType, Record, TimestampType};

/// Records of one partition, in the order of their offsets.
///
/// Keys, values and headers are borrowed from the bytes that the broker sent; [`slice`](Self::slice) makes an owned
/// view of one without copying it, which keeps the whole batch in memory for as long as it lives.
#[derive(Debug)]
pub struct FetchedBatch {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) batch: Batch,
    /// Brokers send whole batches: records outside of what was asked for are passed over.
    pub(super) from: i64,
    pub(super) before: Option<i64>,
}

impl FetchedBatch {
    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Whether timestamps are those of the producers or of the broker.
    pub fn timestamp_type(&self) -> TimestampType {
        self.batch.timestamp_type()
    }

    /// The records. The iterator ends after the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Error>> {
        let mut near = self.batch.base_offset();
        self.batch.records().filter_map(move |record| match record {
            Ok(record) => {
                near = record.offset;
                let wanted = record.offset >= self.from && self.before.is_none_or(|end| record.offset < end);
                wanted.then_some(Ok(record))
            }
            Err(source) => Some(Err(Error::Damaged {
                topic: self.topic.to_string(),
                partition: self.partition,
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

/// Which batches of one fetch belong to transactions that were aborted (KIP-98).
///
/// The broker lists each aborted transaction by its producer and first offset; it ends at that producer's abort
/// marker. Batches of other producers, and those outside of any transaction, pass.
#[derive(Debug, Default)]
pub(super) struct AbortFilter {
    /// Sorted by first offset, the next one last.
    upcoming: Vec<(i64, i64)>,
    aborting: HashSet<i64>,
}

impl AbortFilter {
    pub(super) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut upcoming: Vec<_> =
            aborted.iter().map(|aborted| (aborted.first_offset, aborted.producer_id.0)).collect();
        // Some brokers do not sort them.
        upcoming.sort_unstable_by(|a, b| b.cmp(a));
        Self { upcoming, aborting: HashSet::new() }
    }

    /// Whether the next batch of the fetch holds records that may be read.
    pub(super) fn passes(&mut self, batch: &Batch) -> bool {
        let (last, producer) = (batch.last_offset(), batch.producer_id());
        while let Some((_, producer)) = self.upcoming.pop_if(|(first, _)| *first <= last) {
            self.aborting.insert(producer);
        }
        if batch.is_control() {
            if batch.control_type() == Some(ControlType::Abort) {
                self.aborting.remove(&producer);
            }
            return false;
        }
        !(batch.is_transactional() && self.aborting.contains(&producer))
    }
}
