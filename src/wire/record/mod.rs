//! Batches of records, as they are on a topic.
//!
//! Reading borrows: [`Batches`] cuts what a broker sent into [`Batch`]es, each checked and, where it is compressed,
//! decompressed once; a [`Record`]'s key, value and headers are slices of that. Writing encodes once:
//! [`BatchBuilder`] puts each record into the buffer that is sent.
//!
//! Read are batches of version 2 (KIP-98; Kafka 0.11 and later) and the messages of versions 0 and 1 before them;
//! written is version 2. Every length, count and sum that a peer states is checked.
//!
//! Reference: the record batch and message set formats of the Kafka documentation, chapter 5.3.

mod appended;
mod batch;
mod builder;
mod legacy;
mod reader;
mod records;

pub use self::appended::{PLACE_BYTES, end_of_transaction, place, place_front};
pub use self::batch::{Batch, Batches, ControlType, TimestampType, last_leader_epoch, next_offset};
pub use self::builder::{BatchBuilder, HeaderRef, ProducerStamp, record_size, restamp};
pub(crate) use self::builder::{HeaderParts, size_of_parts};
pub(crate) use self::records::Rest;
pub use self::records::{Header, Headers, Record, Records};
pub use super::compression::{Compression, CompressionError, Compressor};

/// What a peer may make this client hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The records of one batch, uncompressed, in bytes.
    pub decompressed_bytes: usize,
}

impl Default for DecodeLimits {
    /// 128 MiB: far above what brokers take by default (1 MiB compressed), far below what would hurt.
    fn default() -> Self {
        Self { decompressed_bytes: 128 * 1024 * 1024 }
    }
}

/// Why records cannot be read, or not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end, or a length points, beyond what is there.
    #[error("{field} goes beyond the end")]
    Truncated {
        /// The field that could not be read.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("{field} has the impossible value {value}")]
    Impossible {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The checksum does not hold: the bytes were changed on their way or on the broker's disk.
    #[error("the checksum is {stated:08x}, and should be {computed:08x}")]
    Checksum {
        /// As the batch states it.
        stated: u32,
        /// As its bytes have it.
        computed: u32,
    },
    /// A batch of a version, or with a compression, that does not exist yet.
    #[error("{field} {value} is not known; the records may have been written by a newer client")]
    Unknown {
        /// `format version` or `compression`.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The compressed records cannot be read, or hold too much.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// A record or batch to be written is larger than the format can say.
    #[error("a record or batch of more than 2 GiB cannot be written")]
    TooLarge,
}
