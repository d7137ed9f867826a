//! Which partition a record goes to.
//!
//! A [`Partitioner`] looks at one record, and names its partition or leaves it to the producer: it is a function of the
//! record, so that the same key goes to the same partition whoever writes it, and whenever. What depends on what was
//! written before is the producer's: where records go that no key decides about, evenly but in large batches
//! ([`Placement::Any`]), and whose turn it is ([`Placement::InTurn`]).
//!
//! A record that names its partition ([`Record::partition`](super::Record::partition)) goes there, and no partitioner
//! is asked.
//!
//! Clients that write to one topic must agree, else a key has two homes and its records no order:
//!
//! | | records with a key | an empty key | no key |
//! | --- | --- | --- | --- |
//! | [`Partitioner::ConsistentRandom`], librdkafka | CRC-32 | any | any |
//! | [`Partitioner::Murmur2`], Java, librdkafka's `murmur2_random` | murmur2 | murmur2 | any |
//!
//! Partitions that are added to a topic move most keys, with these as with every client's.
//!
//! # One of your own
//!
//! ```
//! use hop::kafka::partitioner::{Partitioner, Place, Placement, Unplaced};
//!
//! /// Keys are `device/quantity`: whatever a device measures goes to one partition, alarms have the first to themselves.
//! #[derive(Debug)]
//! struct ByDevice;
//!
//! impl Place for ByDevice {
//!     fn place(&self, record: &Unplaced<'_>, partitions: i32) -> Placement {
//!         let Some(key) = record.key else { return Placement::Any };
//!         if key.starts_with(b"alarm/") || partitions == 1 {
//!             return Placement::At(0);
//!         }
//!         let mut device = *record;
//!         device.key = key.split(|&byte| byte == b'/').next();
//!         match Partitioner::Murmur2.place(&device, partitions - 1) {
//!             Placement::At(partition) => Placement::At(partition + 1),
//!             undecided => undecided,
//!         }
//!     }
//! }
//!
//! let partitioner = Partitioner::custom(ByDevice);
//! let place = |key| partitioner.place(&Unplaced::new("measured", Some(key), None), 12);
//! assert_eq!(place(b"alarm/fire"), Placement::At(0));
//! assert_eq!(place(b"m31/flux"), place(b"m31/seeing"));
//! ```

mod murmur2;
pub(super) mod round_robin;
pub(super) mod sticky;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How a producer places the records that do not name their partition. Kafka's `partitioner.class`, librdkafka's
/// `partitioner`.
///
/// Cheap to clone. Parsed from the names of those settings; [`Display`](fmt::Display) writes the first of each:
///
/// | | names |
/// | --- | --- |
/// | [`ConsistentRandom`](Self::ConsistentRandom) | `consistent_random` |
/// | [`Murmur2`](Self::Murmur2) | `murmur2_random`, Java's `DefaultPartitioner` |
/// | [`UniformSticky`](Self::UniformSticky) | `uniform_sticky`, librdkafka's `random`, Java's `UniformStickyPartitioner` |
/// | [`RoundRobin`](Self::RoundRobin) | `round_robin`, Java's `RoundRobinPartitioner` |
///
/// Java's also with their package in front.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Partitioner {
    /// A key decides by its CRC-32, as librdkafka and what is built on it have it by default; empty is as none.
    #[default]
    ConsistentRandom,
    /// A key decides by its murmur2, as in Java's client; an empty one, too.
    Murmur2,
    /// Keys do not count: all records go where those without a key go. Java's `partitioner.ignore.keys`.
    UniformSticky,
    /// Keys do not count: each record goes to the partition behind that of the one before it. Evenest by number of
    /// records, and with the smallest batches.
    RoundRobin,
    /// The user's own.
    Custom(Arc<dyn Place>),
}

/// Decides about one record at a time: for those whom no [`Partitioner`] of ours suits.
///
/// Asked once for every record that does not name its partition, in the order they are handed in: it should be quick,
/// and must not wait.
pub trait Place: fmt::Debug + Send + Sync {
    /// Where the record goes, of so many partitions that its topic has (at least 1).
    ///
    /// Handing in a record that was placed [at](Placement::At) a partition that does not exist fails with
    /// [`ProduceError::NoSuchPartition`](super::ProduceError::NoSuchPartition).
    fn place(&self, record: &Unplaced<'_>, partitions: i32) -> Placement;
}

/// What a partitioner may look at. A key of no bytes is not the same as no key.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unplaced<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The payload, if there is one.
    pub value: Option<&'a [u8]>,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// To the partition with this number, from 0.
    At(i32),
    /// Wherever the producer likes: to one partition until about a batch has gone there, then to another, rather to
    /// those that have little waiting (KIP-480, KIP-794).
    Any,
    /// To the partition behind that of the topic's last record placed so.
    InTurn,
}

impl Partitioner {
    /// One of the user's own.
    pub fn custom(place: impl Place + 'static) -> Self {
        Self::Custom(Arc::new(place))
    }
}

impl Place for Partitioner {
    fn place(&self, record: &Unplaced<'_>, partitions: i32) -> Placement {
        match self {
            Self::ConsistentRandom => match record.key {
                Some(key) if !key.is_empty() => at(crc32fast::hash(key), partitions),
                _ => Placement::Any,
            },
            // Java takes the sign away by masking, not by the absolute value.
            Self::Murmur2 => {
                record.key.map_or(Placement::Any, |key| at(murmur2::murmur2(key) & 0x7fff_ffff, partitions))
            }
            Self::UniformSticky => Placement::Any,
            Self::RoundRobin => Placement::InTurn,
            Self::Custom(custom) => custom.place(record, partitions),
        }
    }
}

/// The hash's partition; any where there is none.
fn at(hash: u32, partitions: i32) -> Placement {
    let partition = u32::try_from(partitions).ok().and_then(|partitions| hash.checked_rem(partitions));
    partition.and_then(|partition| i32::try_from(partition).ok()).map_or(Placement::Any, Placement::At)
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsistentRandom => f.write_str("consistent_random"),
            Self::Murmur2 => f.write_str("murmur2_random"),
            Self::UniformSticky => f.write_str("uniform_sticky"),
            Self::RoundRobin => f.write_str("round_robin"),
            Self::Custom(custom) => write!(f, "{custom:?}"),
        }
    }
}

impl FromStr for Partitioner {
    type Err = UnknownPartitioner;

    fn from_str(name: &str) -> Result<Self, UnknownPartitioner> {
        match name.strip_prefix("org.apache.kafka.clients.producer.").unwrap_or(name) {
            "consistent_random" => Ok(Self::ConsistentRandom),
            "murmur2_random" | "DefaultPartitioner" | "internals.DefaultPartitioner" => Ok(Self::Murmur2),
            "uniform_sticky" | "random" | "UniformStickyPartitioner" => Ok(Self::UniformSticky),
            "round_robin" | "RoundRobinPartitioner" => Ok(Self::RoundRobin),
            _ => Err(UnknownPartitioner { name: name.to_owned() }),
        }
    }
}

/// A name of no partitioner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no partitioner; there are consistent_random, murmur2_random, uniform_sticky and round_robin"
)]
pub struct UnknownPartitioner {
    name: String,
}

impl<'a> Unplaced<'a> {
    /// A record, by what a partitioner may look at.
    pub fn new(topic: &'a str, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { topic, key, value }
    }
}

impl fmt::Debug for Unplaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads do not belong into logs.
        f.debug_struct("Unplaced")
            .field("topic", &self.topic)
            .field("key_bytes", &self.key.map(<[u8]>::len))
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .finish()
    }
}

#[cfg(test)]
mod tests;
