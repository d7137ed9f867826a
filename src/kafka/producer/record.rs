//! What a producer sends: [`Record`], and what comes back: [`Delivery`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
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

/// The acknowledgement of one record, to be awaited or not: the record is on its way either way, and what became of
/// it shows in [`flush`](super::Producer::flush) too. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "await it, or rely on `flush` to learn of failures"]
pub struct Delivery {
    pub(super) completion: Arc<Completion>,
    /// The record's place in its batch.
    pub(super) place: i64,
}

impl Future for Delivery {
    type Output = Result<Acknowledged, ProduceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.completion.poll_record(self.place, cx)
    }
}

/// What became of a batch: written once, read by everyone who waits for one of its records.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Completion {
    resolution: OnceLock<Resolution>,
    waiting: Mutex<Vec<Waker>>,
}

#[derive(Debug)]
enum Resolution {
    /// Where the first record of the batch stands.
    Done(Result<Acknowledged, ProduceError>),
    /// It went on in two: the records before this place, and the others.
    Split(i64, [Arc<Completion>; 2]),
}

impl Completion {
    pub(super) fn complete(&self, outcome: Result<Acknowledged, ProduceError>) {
        self.resolve(Resolution::Done(outcome));
    }

    /// What becomes of the records before this place, and of the others.
    pub(super) fn split(&self, at: i64) -> [Arc<Self>; 2] {
        let parts: [Arc<Self>; 2] = Default::default();
        self.resolve(Resolution::Split(at, parts.clone()));
        parts
    }

    /// What became of the record at this place.
    pub(super) fn poll_record(
        &self,
        place: i64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Acknowledged, ProduceError>> {
        match ready!(self.poll(cx)) {
            Resolution::Done(outcome) => Poll::Ready(outcome.clone().map(|first| Acknowledged {
                offset: first.offset.map(|base| base.saturating_add(place)),
                ..first
            })),
            Resolution::Split(at, [first, _]) if place < *at => first.poll_record(place, cx),
            Resolution::Split(at, [_, second]) => second.poll_record(place.saturating_sub(*at), cx),
        }
    }

    /// Ready when it is known of all records what became of them.
    pub(in crate::kafka) fn poll_all(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll(cx)) {
            Resolution::Done(_) => Poll::Ready(()),
            Resolution::Split(_, [first, second]) => {
                ready!(first.poll_all(cx));
                second.poll_all(cx)
            }
        }
    }

    fn resolve(&self, resolution: Resolution) {
        let _ = self.resolution.set(resolution);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<&Resolution> {
        if let Some(resolution) = self.resolution.get() {
            return Poll::Ready(resolution);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        // It may have been resolved between the first look and the lock.
        self.resolution.get().map_or(Poll::Pending, Poll::Ready)
    }
}
