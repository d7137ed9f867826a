//! What the tests of hop-client share: the bodies of the fuzz targets, messages made up from their layouts, a scripted
//! peer, and what is wanted of a broker that may be ours or a real Kafka.
//!
//! The tests themselves are in `tests/`; those against a real Kafka and Python's hop-client in `interop/`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

pub mod consuming;
pub mod example_messages;
pub mod fuzz_bodies;
pub mod peer;
pub mod reading;
pub mod round_trip;
pub mod scripted_peer;
pub mod target;
pub mod transactions;
