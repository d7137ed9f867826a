//! A Kafka client: connections, metadata, a producer, a consumer and what an administrator does.
//!
//! It speaks the protocol itself, to brokers from Kafka 2.1 on, and knows nothing of alerts: [`crate::stream`] does.
//! Begin at [`Client`]; [`Producer`] writes, [`Consumer`] reads, [`Admin`] makes and changes, [`Tls`] and [`Sasl`] say
//! how to be let in.
//!
//! Decisions are made by state machines without I/O: the handshake, the exchange of SASL tokens, the positions of a
//! consumer, the queues of a producer, the metadata snapshot. The files around them move bytes and timers.
//!
//! Log lines are `tracing` events: `warn` where an operator can act, `debug` for changes of state, `trace` for frames;
//! never payloads or credentials.

mod address;
pub mod admin;
mod backoff;
mod client;
mod cluster;
mod connection;
mod consumer;
mod error;
#[doc(hidden)]
pub mod for_fuzzing;
mod frame_reader;
pub mod group;
mod handshake;
#[cfg(feature = "http")]
pub(crate) mod http;
mod metadata;
mod metrics;
mod pace;
pub mod partitioner;
mod printable;
mod producer;
pub mod sasl;
mod settings;
#[cfg(feature = "share-groups")]
mod share;
mod silence;
pub mod tls;
mod topic_partition;
mod transaction;
mod transport;

/// The target of events that take back an earlier warning: it is over.
pub(crate) const ALL_CLEAR: &str = "hop::all_clear";

pub use address::{Address, AddressError, DEFAULT_PORT};
pub use admin::Admin;
pub use client::{Client, ClientBuilder, PartitionDescription, TopicDescription};
pub use consumer::{
    ConsumedRecord, Consumer, ConsumerBuilder, ConsumerEvent, FetchedBatch, Interruption, Isolation,
    OutOfRange, PartitionLag, RecordStream, StartOffset, Stopper,
};
pub(crate) use consumer::{OneByOne, Place, Source};
pub use error::{ConnectError, Error, Step};
pub use group::{Assignor, CommittedOffset, Group, GroupMetadata, GroupProtocol};
#[cfg(feature = "http")]
pub use http::{HttpError, HttpUrlError};
pub use metrics::{BrokerMetrics, Latencies};
pub use partitioner::Partitioner;
#[cfg(feature = "http")]
pub(crate) use producer::DEFAULT_MOST_RECORD_BYTES;
pub use producer::{Acknowledged, Acks, Delivery, ProduceError, Producer, ProducerBuilder, Record};
#[cfg(feature = "http")]
pub use sasl::Oidc;
pub use sasl::Sasl;
#[cfg(feature = "share-groups")]
pub use share::{
    Acknowledgement, AcquiredBatch, AcquiredRecord, ShareConsumer, ShareConsumerBuilder, SharedRecord,
};
pub use tls::{Tls, TlsError, TlsInspection};
pub use topic_partition::TopicPartition;
pub use transaction::{Transaction, TransactionError, TransactionalProducer};

/// How a simulation is tried: in as many cases as `PROPTEST_CASES` says (`scripts/simulate`), else in so many.
#[cfg(test)]
fn simulated(cases: u32) -> proptest::test_runner::Config {
    use proptest::test_runner::Config;
    if std::env::var_os("PROPTEST_CASES").is_some() { Config::default() } else { Config::with_cases(cases) }
}
