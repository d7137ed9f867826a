//! Writing to topics: nothing acknowledged is lost, nothing is doubled, order is kept per partition.
//!
//! [`Producer::send`] encodes a record straight into the batch of its partition; a task of the producer's own sends
//! what is ready. `queues` decides what that is, with a `queue` for each partition; `sender` moves bytes, `record` and
//! `delivery` are what users hold.

mod builder;
mod delivery;
mod queue;
mod queues;
mod record;
mod sender;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

#[cfg(feature = "http")]
pub(crate) use self::builder::DEFAULT_MOST_RECORD_BYTES;
pub use self::builder::{Acks, ProducerBuilder};
pub use self::delivery::Delivery;
pub use self::record::{Acknowledged, ProduceError, Record};

use self::delivery::Completion;
use self::queue::Identity;
use self::queues::{Limits, Queues};
use super::cluster::Cluster;
use super::metadata::Snapshot;
use super::transaction::Coordinator;
use crate::wire::record::size_of_parts;

/// Writes records, in batches, in the background.
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use hop::kafka::Record;
/// let producer = client.producer().build()?;
/// let delivery = producer.send(Record::new("alerts").key("k").value("v")).await?; // accepted, in order
/// println!("stored at {:?}", delivery.await?.offset); // acknowledged
/// producer.flush().await?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping a producer gives up what is not yet acknowledged, as [`abort`](Self::abort) does: [`flush`](Self::flush) or
/// [`close`](Self::close) it first.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    limits: Limits,
    memory: usize,
    sender: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    queues: Mutex<Queues>,
    /// A permit is a byte.
    memory: Semaphore,
    acks: Acks,
    /// Where transactions are kept, for a producer that writes in them.
    transactions: Option<Arc<Coordinator>>,
    work: Notify,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
        self.shared.queues().fail_all(&ProduceError::Closed);
    }
}

impl Producer {
    /// Hands a record in. It has been accepted, behind those handed in before it, when this returns; the
    /// [`Delivery`] tells when it is acknowledged.
    ///
    /// Waits while the producer's memory is full, and for the topic's partitions when it is written to for the first
    /// time (brokers that create topics on demand do so now). Dropping the future before it returns hands nothing in.
    ///
    /// # Errors
    ///
    /// [`ProduceError::TooLarge`], [`ProduceError::NoSuchPartition`], or [`ProduceError::Refused`] when the topic
    /// cannot be looked up.
    pub async fn send(&self, record: Record) -> Result<Delivery, ProduceError> {
        let bytes = self.size_of(&record)?;
        let snapshot = match self.snapshot_with(&record.topic) {
            Some(snapshot) => snapshot,
            None => self.look_up(&record.topic).await?,
        };
        let permit = self.shared.memory.acquire_many(bytes).await.map_err(|_| ProduceError::Closed)?;
        let delivery = self.append(&record, bytes, &snapshot)?;
        // Given back by the sender when the batch is finished.
        permit.forget();
        Ok(delivery)
    }

    /// Hands a record in as [`send`](Self::send) does, but waits for nothing.
    ///
    /// # Errors
    ///
    /// [`ProduceError::Full`] while the producer's memory is full, [`ProduceError::NotLookedUp`] for a topic that was
    /// never written to by this producer, and is not known from elsewhere; else as [`send`](Self::send). The record comes
    /// back with neither: hand in a clone, which is cheap, to try it again.
    pub fn try_send(&self, record: &Record) -> Result<Delivery, ProduceError> {
        let bytes = self.size_of(record)?;
        let snapshot = self
            .snapshot_with(&record.topic)
            .ok_or_else(|| ProduceError::NotLookedUp { topic: record.topic.to_string() })?;
        let permit = self
            .shared
            .memory
            .try_acquire_many(bytes)
            .map_err(|_| ProduceError::Full { memory: self.memory })?;
        let delivery = self.append(record, bytes, &snapshot)?;
        permit.forget();
        Ok(delivery)
    }

    /// The memory to set aside for a record.
    fn size_of(&self, record: &Record) -> Result<u32, ProduceError> {
        let bytes = size_of_parts(record.key.as_deref(), record.value.as_deref(), &record.headers);
        u32::try_from(bytes).ok().filter(|_| bytes <= self.limits.record_bytes).ok_or_else(|| {
            ProduceError::TooLarge { topic: record.topic.to_string(), bytes, limit: self.limits.record_bytes }
        })
    }

    fn append(&self, record: &Record, bytes: u32, snapshot: &Snapshot) -> Result<Delivery, ProduceError> {
        let timestamp = record.timestamp.unwrap_or_else(now_in_milliseconds);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let known = snapshot.topic(&record.topic);
        let partitions = known.map_or(0, |known| known.partitions.len());
        let is_led = |place: usize| {
            known.and_then(|known| known.partitions.get(place)).is_some_and(|known| known.leader.is_some())
        };
        let (delivery, wake) =
            self.shared.queues().append(record, timestamp, bytes, partitions, is_led, Instant::now)?;
        if wake {
            self.shared.work.notify_one();
        }
        Ok(delivery)
    }

    /// Waits until everything handed in before is acknowledged or has failed.
    ///
    /// Dropping the future takes nothing back.
    ///
    /// # Errors
    ///
    /// The first failure since the last call, whether or not its [`Delivery`] was awaited too.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let outstanding = {
            let mut queues = self.shared.queues();
            queues.close_all();
            queues.outstanding()
        };
        self.shared.work.notify_one();
        for completion in outstanding {
            completion.settled().await;
        }
        self.shared.queues().first_failure.take().map_or(Ok(()), Err)
    }

    /// Flushes and ends the producer.
    ///
    /// Dropping the future gives up what is not yet acknowledged.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(self) -> Result<(), ProduceError> {
        self.flush().await
    }

    /// The same, but gives up after a time what is not yet acknowledged.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); [`ProduceError::Closed`] when the time was not enough. Then each [`Delivery`] that is
    /// still awaited fails with that.
    pub async fn close_within(self, patience: Duration) -> Result<(), ProduceError> {
        match timeout(patience, self.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => {
                self.abort();
                Err(ProduceError::Closed)
            }
        }
    }

    /// Gives up what is not yet acknowledged, and ends the producer: each [`Delivery`] that is still awaited fails with
    /// [`ProduceError::Closed`]. What was sent already may be written all the same. Dropping a producer does the same.
    pub fn abort(self) {
        drop(self);
    }

    /// Who this is to the brokers, for one that writes in transactions.
    pub(super) fn identity(&self) -> Option<(i64, i16)> {
        match self.shared.queues().identity() {
            Identity::Known { id, epoch } => Some((id, epoch)),
            Identity::Wanted | Identity::Anonymous => None,
        }
    }

    /// The coordinator has given this one.
    pub(super) fn take_identity(&self, (id, epoch): (i64, i16)) {
        self.shared.queues().identify(Identity::Known { id, epoch });
        self.shared.work.notify_one();
    }

    /// The transaction has ended; whether there was any record in it.
    pub(super) fn end_transaction(&self) -> bool {
        self.shared.queues().end_transaction()
    }

    /// Sends no more of what was handed in, unless it is on its way.
    pub(super) fn give_up_waiting(&self) {
        self.shared.queues().fail_waiting(&ProduceError::TransactionAborted);
    }

    /// The outcome of each batch that is still to come.
    pub(super) fn outstanding(&self) -> Vec<Arc<Completion>> {
        self.shared.queues().outstanding()
    }

    /// The first failure since the last time.
    pub(super) fn take_failure(&self) -> Option<ProduceError> {
        self.shared.queues().first_failure.take()
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.queues().acknowledged
    }

    /// What is known of the cluster, where that includes the topic's partitions.
    fn snapshot_with(&self, topic: &str) -> Option<Arc<Snapshot>> {
        let snapshot = self.shared.cluster.snapshot();
        let is_known = snapshot.topic(topic).is_some_and(|known| !known.partitions.is_empty());
        is_known.then_some(snapshot)
    }

    async fn look_up(&self, topic: &Arc<str>) -> Result<Arc<Snapshot>, ProduceError> {
        let known = self.shared.cluster.topics_known(std::slice::from_ref(topic), true, "write to").await;
        let refused = |source| ProduceError::Refused { topic: topic.to_string(), source: Box::new(source) };
        known.map_err(refused)
    }
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_in_milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
