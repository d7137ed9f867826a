//! What a consumer makes of what only an Apache Kafka does: compaction, retention by time, and segments that are damaged
//! on its disk.
//!
//! `CONFORMANCE_BROKER=host:port` names one with a plaintext listener, and `KAFKA_DIR` the directory that `scripts/kafka`
//! made for it. Without them all of it fails.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what is wrong by panicking")]

mod compaction;
mod damage;
mod retention;
