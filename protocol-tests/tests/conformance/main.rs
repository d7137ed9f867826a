//! What a broker answers, to the code: one body of tests for two targets.
//!
//! `CONFORMANCE_BROKER=host:port` names an Apache Kafka with a plaintext listener; without it, the broker of this crate
//! is started. Where the two differ, ours is wrong. The requests are made with `hop::wire` and nothing else of ours.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]
#![expect(clippy::indexing_slicing, reason = "an answer that is too short fails the test")]

mod consumer_groups;
mod groups;
mod reading;
mod topics;
mod transactions;
mod writing;
