//! Records for those who want to keep them.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::{FetchedBatch, Place};
use crate::kafka::error::Error;
use crate::wire::record::{Record, TimestampType};

/// A record with all that belongs to it.
///
/// Its parts are views of the batch that it came in, which stays in memory for as long as one of them lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Its number in the partition.
    pub offset: i64,
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
    /// Whose the timestamp is.
    pub timestamp_type: TimestampType,
    /// The key; `None` is null, which is not the same as empty.
    pub key: Option<Bytes>,
    /// The payload; `None` is null, which marks a key as deleted.
    pub value: Option<Bytes>,
    /// The headers, in their order; names may repeat and values be null.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl ConsumedRecord {
    fn new(batch: &FetchedBatch, record: &Record<'_>) -> Result<Self, Error> {
        let slice = |part: &[u8]| batch.slice(part);
        let mut headers = Vec::with_capacity(record.likely_headers());
        for header in record.headers() {
            let header = header.map_err(|source| batch.damaged(record.offset, source))?;
            headers.push((slice(header.key), header.value.map(slice)));
        }
        Ok(Self {
            topic: Arc::clone(batch.topic()),
            partition: batch.partition(),
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: batch.timestamp_type(),
            key: record.key.map(slice),
            value: record.value.map(slice),
            headers,
        })
    }
}

/// The records of one batch on their way to the user, one by one.
#[derive(Debug)]
pub(in crate::kafka) struct Unpacked {
    pub(in crate::kafka) batch: FetchedBatch,
    place: Place,
    /// The offset behind the last record that was handed over.
    reached: i64,
}

impl Unpacked {
    pub(in crate::kafka) fn new(batch: FetchedBatch) -> Self {
        let reached = batch.from.max(batch.batch.base_offset());
        Self { place: batch.beginning(), batch, reached }
    }

    pub(in crate::kafka) fn next(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        let record = self.batch.next_record(&mut self.place)?;
        let record = record.and_then(|record| ConsumedRecord::new(&self.batch, &record));
        if let Ok(record) = &record {
            self.reached = record.offset.saturating_add(1);
        }
        Some(record)
    }

    pub(super) fn reached(&self) -> i64 {
        self.reached
    }
}
