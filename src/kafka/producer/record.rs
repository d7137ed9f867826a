//! What a producer sends: [`Record`], and what comes back: [`Acknowledged`], or why not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::kafka::error::Error;

/// A message for one topic.
///
/// ```
/// use hop::kafka::Record;
/// let record = Record::new("alerts").key("GRB 250101A").value("{}").header("source", Some("example".into()));
/// # let _ = record;
/// ```
#[derive(Clone)]
pub struct Record {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(Bytes, Option<Bytes>)>,
}

impl Record {
    /// A record without key, value or headers: what Kafka calls a tombstone.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// The key: records with the same key go to the same partition, in order. Empty is not the same as none, but is
    /// placed as none.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The payload.
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header. Names may repeat; a value may be null.
    pub fn header(mut self, name: impl Into<Bytes>, value: Option<Bytes>) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// The partition, instead of the one that the partitioner would choose.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The time it stands for, in milliseconds since 1970 UTC; now, where none is given.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads do not belong into logs.
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Where an acknowledged record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledged {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` where the broker only says that it has the record already, after a retry.
    pub offset: Option<i64>,
    /// The broker's time in milliseconds since 1970 UTC, where the topic keeps that of appending.
    pub append_time: Option<i64>,
}

/// Why a record was not accepted, or not delivered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The record is larger than this producer may send.
    #[error(
        "a message of {bytes} bytes for topic '{topic}' is larger than the limit of {limit} bytes; send less, or raise the producer's limit and the topic's max.message.bytes"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// The size of the record as it would be sent, uncompressed.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },

    /// The topic has no such partition.
    #[error("topic '{topic}' has no partition {partition}; it has {partitions}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are, numbered from 0.
        partitions: usize,
    },

    /// The brokers refused the batch that the record was in, or its topic could not be looked up.
    #[error("topic '{topic}': {source}")]
    Refused {
        /// The topic.
        topic: String,
        /// The reason.
        source: Box<Error>,
    },

    /// The record was not acknowledged within the delivery time-out.
    #[error("a message for topic '{topic}' partition {partition} was not acknowledged within {} s{}; last failure: {}", after.as_secs_f32(), maybe(*maybe_written), reason(last.as_deref()))]
    Expired {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The delivery time-out.
        after: Duration,
        /// Whether it may be in the log all the same: an attempt was sent and its answer never came.
        maybe_written: bool,
        /// What went wrong with the last attempt, if there was one.
        last: Option<Box<Error>>,
    },

    /// The cluster does not let this producer write at all.
    #[error(transparent)]
    Cluster(Error),

    /// The transaction that the record was handed in to was aborted before it was sent.
    #[error("the transaction was aborted before this message was sent")]
    TransactionAborted,

    /// The producer was given up before the record was acknowledged.
    #[error("the producer was given up before this message was acknowledged")]
    Closed,

    /// The topic's partitions are not known, and [`try_send`](super::Producer::try_send) does not ask for them.
    #[error("topic '{topic}' has not been looked up: hand in a first message with `send`")]
    NotLookedUp {
        /// The topic.
        topic: String,
    },

    /// The producer's memory is full, and [`try_send`](super::Producer::try_send) does not wait.
    #[error("the producer's memory of {memory} bytes is full of messages that are not acknowledged")]
    Full {
        /// The bound, in bytes.
        memory: usize,
    },
}

fn maybe(written: bool) -> &'static str {
    if written { " (it may have been written)" } else { "" }
}

fn reason(last: Option<&Error>) -> String {
    last.map_or_else(|| "no broker could be asked".to_owned(), ToString::to_string)
}
