//! Share groups (KIP-932), which only a real Kafka has.
//!
//! `CONFORMANCE_BROKER=host:port` names an Apache Kafka with a plaintext listener whose anonymous users may do anything.
//! `KAFKA_VERSION` says that it is too old for share groups where it begins with a 3: then, and on the broker of this
//! crate where no Kafka is named, every test of those that want Kafka is that the consumer says so. What a broker does
//! not do on demand is done by a scripted peer in any case.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]
#![expect(clippy::indexing_slicing, reason = "an answer that is too short fails the test")]

mod java;
mod members;
mod records;
mod scripted;
mod target;
mod transactions;
