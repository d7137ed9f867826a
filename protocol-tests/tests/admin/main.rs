//! What `hop::kafka::Admin` does, on two targets.
//!
//! `CONFORMANCE_BROKER=host:port` names an Apache Kafka with a plaintext listener whose anonymous users may do anything;
//! `CONFORMANCE_SASL_SSL=host:port` and `CONFORMANCE_CA=file` are then where its users log in. Without them the broker of
//! this crate is started, which has neither SCRAM users to change nor access rules, and must say so. What depends on
//! misbehaviour, on several brokers or on the age of a broker runs on our own in any case.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]
#![expect(clippy::indexing_slicing, reason = "an answer that is too short fails the test")]

mod groups;
mod members;
mod offsets;
mod old_broker;
mod routing;
mod security;
mod topics;
