//! Writing to topics: nothing acknowledged is lost, nothing is doubled, order is kept per partition.
//!
//! [`Producer::send`] encodes a record straight into the batch of its partition; a task of the producer's own sends
//! what is ready. `queues` decides what that is, `sender` moves bytes, `record` is what users hold, `partitioner`
//! chooses where keys go.

mod partitioner;
mod queues;
mod record;
mod sender;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub use self::record::{Acknowledged, Delivery, ProduceError, Record};

use self::queues::{Limits, Queues};
use super::cluster::Cluster;
use super::error::Error;
use super::settings::FOREVER;
use crate::wire::record::{Compression, HeaderRef, record_size};

/// How to write; made by [`Client::producer`](super::Client::producer).
///
/// # Defaults
///
/// Acknowledged by all in-sync replicas, idempotent, uncompressed; batches of up to 256 KiB, messages of up to
/// 1,000,000 bytes as librdkafka has it; 32 MiB of memory; 2 min until a record that is not acknowledged fails.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ProducerBuilder {
    cluster: Arc<Cluster>,
    limits: Limits,
    memory: usize,
}

impl ProducerBuilder {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        let limits = Limits {
            compression: Compression::None,
            batch_bytes: 256 * 1024,
            record_bytes: 1_000_000,
            delivery_timeout: Duration::from_secs(120),
        };
        Self { cluster, limits, memory: 32 * 1024 * 1024 }
    }

    /// How batches are compressed. Kafka's `compression.type`.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.limits.compression = compression;
        self
    }

    /// How long after it was handed in a record may still be delivered; then it fails. Kafka's
    /// `delivery.timeout.ms`.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.limits.delivery_timeout = timeout.min(FOREVER);
        self
    }

    /// The size in bytes, uncompressed, that a batch is sent at even while others are in flight.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.limits.batch_bytes = bytes;
        self
    }

    /// The largest record in bytes, uncompressed and with its batch header. The topic's `max.message.bytes` counts too.
    pub fn most_record_bytes(mut self, bytes: usize) -> Self {
        self.limits.record_bytes = bytes;
        self
    }

    /// The memory in bytes that records take until they are acknowledged; [`Producer::send`] waits for some to come
    /// free. Kafka's `buffer.memory`.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Starts the producer: must be called inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a value that cannot work.
    pub fn build(self) -> Result<Producer, Error> {
        let check = |setting, holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(Error::Setting { setting, reason: reason.to_owned() }) }
        };
        check("batch_bytes", self.limits.batch_bytes > 0, "must be at least 1")?;
        check("delivery_timeout", !self.limits.delivery_timeout.is_zero(), "must be longer than nothing")?;
        check("memory", self.memory >= self.limits.record_bytes, "must hold the largest record")?;
        check("memory", self.memory <= Semaphore::MAX_PERMITS, "is more than can be counted")?;
        let shared = Arc::new(Shared {
            cluster: self.cluster,
            queues: Mutex::new(Queues::new(self.limits)),
            memory: Semaphore::new(self.memory),
            work: Notify::new(),
        });
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Ok(Producer { shared, limits: self.limits, _sender: SenderTask(sender) })
    }
}

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
/// Dropping a producer gives up what is not yet acknowledged: [`flush`](Self::flush) first.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    limits: Limits,
    _sender: SenderTask,
}

#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    queues: Mutex<Queues>,
    /// A permit is a byte.
    memory: Semaphore,
    work: Notify,
}

/// Ends the sender with its producer.
#[derive(Debug)]
struct SenderTask(tokio::task::JoinHandle<()>);

impl Drop for SenderTask {
    fn drop(&mut self) {
        self.0.abort();
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
        let headers: Vec<HeaderRef<'_>> =
            record.headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }).collect();
        let bytes = record_size(record.key.as_deref(), record.value.as_deref(), &headers);
        let too_large = |bytes| ProduceError::TooLarge {
            topic: record.topic.to_string(),
            bytes,
            limit: self.limits.record_bytes,
        };
        if bytes > self.limits.record_bytes {
            return Err(too_large(bytes));
        }
        let permits = u32::try_from(bytes).map_err(|_| too_large(bytes))?;

        let partitions = match self.partitions(&record.topic) {
            Some(partitions) => partitions,
            None => self.look_up(&record.topic).await?,
        };
        let permit = self.shared.memory.acquire_many(permits).await.map_err(|_| ProduceError::Closed)?;
        let timestamp = record.timestamp.unwrap_or_else(now_in_milliseconds);
        let (delivery, wake) = {
            let mut queues = self.shared.queues();
            queues.append(&record, timestamp, bytes, partitions, Instant::now())?
        };
        // Given back by the sender when the batch is finished.
        permit.forget();
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
        let outstanding = self.shared.queues().outstanding();
        self.shared.work.notify_one();
        for completion in outstanding {
            // What failed is kept as the first failure.
            let _ = poll_fn(|cx| completion.poll(cx)).await;
        }
        self.shared.queues().first_failure.take().map_or(Ok(()), Err)
    }

    /// Flushes and ends the producer.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(self) -> Result<(), ProduceError> {
        self.flush().await
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.queues().acknowledged
    }

    fn partitions(&self, topic: &str) -> Option<usize> {
        let snapshot = self.shared.cluster.snapshot();
        snapshot.topic(topic).map(|known| known.partitions.len()).filter(|&partitions| partitions > 0)
    }

    async fn look_up(&self, topic: &Arc<str>) -> Result<usize, ProduceError> {
        let known = self.shared.cluster.topics_known(std::slice::from_ref(topic), true, "write to").await;
        let refused = |source| ProduceError::Refused { topic: topic.to_string(), source: Box::new(source) };
        let snapshot = known.map_err(refused)?;
        Ok(snapshot.topic(topic).map_or(0, |known| known.partitions.len()))
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
