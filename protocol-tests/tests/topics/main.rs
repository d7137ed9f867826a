//! What a consumer makes of topics of every kind and of what happens to them while they are read, on two targets.
//!
//! `CONFORMANCE_BROKER=host:port` names an Apache Kafka with a plaintext listener; without it, the broker of this crate
//! is started. What only a real Kafka does is in `tests/kafka/`, what needs several nodes in `tests/three_nodes/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what is wrong by panicking")]

mod deletion;
mod growth;
mod limits;
mod out_of_range;
mod positions;
mod sessions;
mod transactions;
