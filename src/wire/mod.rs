//! Kafka's bytes: frames, requests and answers, API versions, error codes, record batches, compression.
//!
//! Everything here is a function from bytes to values or back. There are no sockets, clocks, tasks or log lines;
//! [`crate::kafka`] has those. The message schemas come from `kafka-protocol`; records, compression and every check of
//! what a peer states are ours.
//!
//! - [`frame`]: the length in front of everything, and what a wrong one gives away.
//! - [`message`]: requests and answers into frames and back.
//! - [`layout`]: where the lengths stand in each message, so that none is believed unseen.
//! - [`api`]: which requests are spoken, in which versions, and what each version brings.
//! - [`error_code`]: what a broker's codes mean, and what to do about each.
//! - `buffers`: memory that is used again.
//! - [`record`]: batches of records, read without copying and written once.

pub mod api;
pub(crate) mod buffers;
mod compression;
pub mod error_code;
pub mod frame;
pub mod layout;
pub mod message;
pub mod record;

/// The requests and answers themselves, from `kafka-protocol`.
pub use kafka_protocol::messages;

pub use api::{VersionRange, spoken};
pub use compression::{Compression, CompressionError, Compressor, UnknownCompression, UnknownCompressor};
