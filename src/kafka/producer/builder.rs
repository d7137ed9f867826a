//! How a producer is set up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::queue::Identity;
use super::queues::{Limits, Queues};
use super::{Producer, Shared, sender};
use crate::kafka::cluster::Cluster;
use crate::kafka::error::Error;
use crate::kafka::partitioner::Partitioner;
use crate::kafka::settings::FOREVER;
use crate::kafka::transaction::{Coordinator, TransactionalProducer};
use crate::wire::record::Compressor;

/// How to write; made by [`Client::producer`](crate::kafka::Client::producer).
///
/// # Defaults
///
/// Acknowledged by all in-sync replicas, idempotent, uncompressed; batches of up to 256 KiB in requests of up to 1 MiB,
/// which gather for 5 ms where others of the same partition are on their way, and messages of up to 1,000,000 bytes as
/// librdkafka has it; 32 MiB of memory; 2 min until a record that is not acknowledged fails.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ProducerBuilder {
    cluster: Arc<Cluster>,
    limits: Limits,
    memory: usize,
    acks: Acks,
    idempotent: bool,
    partitioner: Partitioner,
    transaction_timeout: Duration,
}

/// How large a record may be, if nothing is said.
pub(crate) const DEFAULT_MOST_RECORD_BYTES: usize = 1_000_000;

impl ProducerBuilder {
    pub(in crate::kafka) fn new(cluster: Arc<Cluster>) -> Self {
        let limits = Limits {
            compressor: Compressor::default(),
            batch_bytes: 256 * 1024,
            request_bytes: 1024 * 1024,
            record_bytes: DEFAULT_MOST_RECORD_BYTES,
            linger: Duration::from_millis(5),
            delivery_timeout: Duration::from_secs(120),
        };
        Self {
            cluster,
            limits,
            memory: 32 * 1024 * 1024,
            acks: Acks::All,
            idempotent: true,
            partitioner: Partitioner::default(),
            transaction_timeout: Duration::from_secs(60),
        }
    }

    /// How batches are compressed, where that makes them smaller. Kafka's `compression.type`, and with
    /// [`Compressor::at_level`] its `compression.gzip.level` and the like.
    pub fn compression(mut self, compressor: impl Into<Compressor>) -> Self {
        self.limits.compressor = compressor.into();
        self
    }

    /// How long after it was handed in a record may still be delivered; then it fails. Kafka's
    /// `delivery.timeout.ms`.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.limits.delivery_timeout = timeout.min(FOREVER);
        self
    }

    /// Where records go that do not name their partition. Kafka's `partitioner.class`, librdkafka's `partitioner`.
    pub fn partitioner(mut self, partitioner: Partitioner) -> Self {
        self.partitioner = partitioner;
        self
    }

    /// How many replicas have a record before it counts as acknowledged. Kafka's `acks`.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Whether brokers are given means to tell a record from its repetition (KIP-98): then a retry doubles nothing, and
    /// keeps the order, unless a broker still reads what was sent over a connection that had ended a minute before.
    /// Brokers that refuse it are written to without, with a warning. Needs [`Acks::All`], and is off with others. Kafka's
    /// `enable.idempotence`.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// How long records gather for a larger batch while others of their partition are on their way. A record of a
    /// partition that has nothing on its way leaves at once. Kafka's `linger.ms`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger.min(FOREVER);
        self
    }

    /// The size in bytes, uncompressed, that a batch has at most, unless a single record is larger. A full batch is sent
    /// at once. Kafka's `batch.size`.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.limits.batch_bytes = bytes;
        self
    }

    /// The size in bytes, uncompressed, at which no more batches are added to a request. Kafka's `max.request.size`.
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.limits.request_bytes = bytes;
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

    /// How long a transaction may be open until the coordinator aborts it; brokers allow 15 min unless they are set up
    /// otherwise. Kafka's `transaction.timeout.ms`.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// Starts a producer that writes in transactions under this transactional id, which is its user's alone: who has it
    /// already is fenced, and what they left open is aborted. Kafka's `transactional.id`.
    ///
    /// Dropping the future starts none; whoever had the id may be fenced all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a value that cannot work, and the coordinator's code: `INVALID_TRANSACTION_TIMEOUT`,
    /// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`; those of reaching the cluster.
    pub async fn build_transactional(
        self,
        transactional_id: impl Into<Arc<str>>,
    ) -> Result<TransactionalProducer, Error> {
        if !self.idempotent || self.acks != Acks::All {
            let reason = "must be all, and the producer idempotent, for transactions".to_owned();
            return Err(Error::Setting { setting: "acks", reason });
        }
        let (timeout, patience) = (self.transaction_timeout, self.limits.delivery_timeout);
        let cluster = Arc::clone(&self.cluster);
        let coordinator = Arc::new(Coordinator::new(cluster, transactional_id.into(), timeout, patience));
        let producer = self.start(Some(Arc::clone(&coordinator)))?;
        TransactionalProducer::init(producer, coordinator).await
    }

    /// Starts the producer: must be called inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a value that cannot work.
    pub fn build(self) -> Result<Producer, Error> {
        self.start(None)
    }

    fn start(self, transactions: Option<Arc<Coordinator>>) -> Result<Producer, Error> {
        let check = |setting, holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(Error::Setting { setting, reason: reason.to_owned() }) }
        };
        check("batch_bytes", self.limits.batch_bytes > 0, "must be at least 1")?;
        check("request_bytes", self.limits.request_bytes > 0, "must be at least 1")?;
        check("delivery_timeout", !self.limits.delivery_timeout.is_zero(), "must be longer than nothing")?;
        check("memory", self.memory >= self.limits.record_bytes, "must hold the largest record")?;
        check("memory", self.memory <= Semaphore::MAX_PERMITS, "is more than can be counted")?;
        let is_idempotent = self.idempotent && self.acks == Acks::All;
        let identity = if is_idempotent { Identity::Wanted } else { Identity::Anonymous };
        let shared = Arc::new(Shared {
            cluster: self.cluster,
            queues: Mutex::new(Queues::new(self.limits, self.partitioner, identity, transactions.is_some())),
            memory: Semaphore::new(self.memory),
            acks: self.acks,
            transactions,
            work: Notify::new(),
        });
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Ok(Producer { shared, limits: self.limits, memory: self.memory, sender })
    }
}

/// How many replicas have a record before it counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Acks {
    /// All that are in sync: as long as one of them lives, it is not lost. Kafka's `acks=all`.
    #[default]
    All,
    /// The leader alone: it is lost if the leader is before others have it. Kafka's `acks=1`.
    Leader,
    /// None: nobody says whether it arrived. It counts as acknowledged when it was handed to the operating system, and has
    /// no known offset. Kafka's `acks=0`.
    None,
}

impl Acks {
    pub(super) fn number(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}
