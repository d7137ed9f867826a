//! The compressions of record batches: gzip, snappy, lz4 and zstd, all in Rust.
//!
//! A batch does not say how large its records are uncompressed. So output grows by what comes, up to a limit that the
//! caller states: a small batch that would fill the memory is an error.
//!
//! | codec | written | read |
//! | --- | --- | --- |
//! | gzip | one member | any number of joined members |
//! | snappy | blocks of 32 KiB in Java's framing (xerial) | the same, and a raw block |
//! | lz4 | one frame of independent blocks of up to 64 KiB | any number of joined frames; those of old messages with their wrong checksum |
//! | zstd | one frame | any number of joined frames |

mod compressor;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use flate2::read::MultiGzDecoder;

use self::lz4::HeaderChecksum;
use super::buffers::Buffer;

pub use self::compressor::{Compressor, UnknownCompressor};

/// How a batch's records are compressed. Kafka's `compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952): small, slow to write.
    Gzip,
    /// Snappy: fast, less small.
    Snappy,
    /// LZ4 frames: fast.
    Lz4,
    /// Zstandard (RFC 8878), from Kafka 2.1 on: small and fast.
    Zstd,
}

impl Compression {
    /// The codec's number in a batch's attributes.
    pub fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number, if there is one.
    pub fn from_id(id: i16) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.id() == id)
    }

    /// The name that Kafka's settings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        (0..)
            .map_while(Self::from_id)
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompression { name: name.to_owned() })
    }
}

/// A name of no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is no compression; there are none, gzip, snappy, lz4 and zstd")]
pub struct UnknownCompression {
    name: String,
}

/// Why compressed records cannot be read, or records not be compressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The bytes are not what the codec writes.
    #[error("damaged {codec} data: {reason}")]
    Damaged {
        /// The codec.
        codec: Compression,
        /// What the codec says.
        reason: String,
    },
    /// They would be larger than is allowed.
    #[error("{codec} data that is larger than {limit} bytes uncompressed")]
    TooLarge {
        /// The codec.
        codec: Compression,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Appends to `out` what `data` holds uncompressed, until `out` has `limit` bytes at most.
///
/// # Errors
///
/// [`CompressionError`] where the data is damaged or holds more.
pub(super) fn decompress(
    codec: Compression,
    data: &[u8],
    out: &mut Buffer,
    limit: usize,
) -> Result<(), CompressionError> {
    match codec {
        Compression::None if data.len() > limit.saturating_sub(out.len()) => {
            Err(CompressionError::TooLarge { codec, limit })
        }
        Compression::None => {
            out.put(data);
            Ok(())
        }
        Compression::Gzip => read_to_end(codec, MultiGzDecoder::new(data), data.len(), out, limit),
        Compression::Snappy => snappy::decompress(data, out, limit),
        Compression::Lz4 => lz4::decompress(data, out, limit, HeaderChecksum::Right),
        Compression::Zstd => zstd::decompress(data, out, limit),
    }
}

/// As [`decompress`], for messages before record batches, whose LZ4 frames have a wrong header checksum.
pub(super) fn decompress_legacy(
    codec: Compression,
    data: &[u8],
    out: &mut Buffer,
    limit: usize,
) -> Result<(), CompressionError> {
    match codec {
        Compression::Lz4 => lz4::decompress(data, out, limit, HeaderChecksum::RightOrOld),
        codec => decompress(codec, data, out, limit),
    }
}

/// How many bytes `compressed` ones probably were: alerts shrink to about a quarter.
pub(super) fn likely_bytes(compressed: usize) -> usize {
    compressed.saturating_mul(4)
}

fn read_to_end(
    codec: Compression,
    mut decoder: impl Read,
    compressed: usize,
    out: &mut Buffer,
    limit: usize,
) -> Result<(), CompressionError> {
    let mut least = likely_bytes(compressed).max(1);
    loop {
        // One byte more than allowed, to tell the limit from the end.
        let left = limit.saturating_sub(out.len()).saturating_add(1);
        let room = out.room(least.min(left));
        let most = room.len().min(left);
        let count = decoder
            .read(room.get_mut(..most).unwrap_or_default())
            .map_err(|error| CompressionError::Damaged { codec, reason: error.to_string() })?;
        if count == 0 {
            return Ok(());
        }
        if count == left {
            return Err(CompressionError::TooLarge { codec, limit });
        }
        out.advance(count);
        // What is more is made room for as it comes.
        least = 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twox_hash::XxHash32;

    use super::*;
    use crate::wire::buffers::Buffers;

    fn compress(codec: Compression, data: &[u8]) -> Vec<u8> {
        Compressor::from(codec).compressed(data)
    }

    fn decompress(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
        let mut out = Buffers::NONE.take(0);
        super::decompress(codec, data, &mut out, limit).map(|()| out.written().to_vec())
    }

    fn decompress_legacy(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
        let mut out = Buffers::NONE.take(0);
        super::decompress_legacy(codec, data, &mut out, limit).map(|()| out.written().to_vec())
    }

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    fn alerts(bytes: usize) -> Vec<u8> {
        let alert = |number| {
            format!("{{\"id\": {number}, \"flux\": {}.5, \"name\": \"GRB\"}}\n", number * 7919 % 1000)
        };
        (0..).flat_map(|number: usize| alert(number).into_bytes()).take(bytes).collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for codec in ALL {
            for bytes in [0, 1, 100, 32 * 1024, 32 * 1024 + 1, 300_000] {
                let data = alerts(bytes);
                let compressed = compress(codec, &data);
                assert_eq!(decompress(codec, &compressed, bytes).unwrap(), data, "{codec} {bytes}");
                assert!(
                    codec == Compression::None || bytes < 1000 || compressed.len() < bytes / 2,
                    "{codec} {bytes}"
                );
            }
        }
    }

    #[test]
    fn joined_members_and_frames_are_read_to_the_end() {
        for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
            let joined = [compress(codec, b"one "), compress(codec, b"two")].concat();
            assert_eq!(decompress(codec, &joined, 100).unwrap(), b"one two", "{codec}");
        }
    }

    #[test]
    fn a_raw_snappy_block_is_read() {
        let raw = snap::raw::Encoder::new().compress_vec(&alerts(1000)).unwrap();
        assert_eq!(decompress(Compression::Snappy, &raw, 1000).unwrap(), alerts(1000));
    }

    #[test]
    fn the_wrong_checksum_of_old_lz4_messages_is_read() {
        let mut old = compress(Compression::Lz4, b"old message");
        let right = old[6];
        // Over the magic number too.
        let [_, wrong, ..] = XxHash32::oneshot(0, &old[..6]).to_le_bytes();
        old[6] = wrong;
        assert!(decompress(Compression::Lz4, &old, 100).is_err());
        for checksum in [wrong, right] {
            old[6] = checksum;
            assert_eq!(decompress_legacy(Compression::Lz4, &old, 100).unwrap(), b"old message");
        }
        old[6] = wrong ^ right;
        assert!(decompress_legacy(Compression::Lz4, &old, 100).is_err());
        for cut in 0..old.len() {
            let _ = decompress_legacy(Compression::Lz4, &old[..cut], 100);
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; 50_000_000];
        for codec in ALL {
            let bomb = compress(codec, &zeros);
            let error = decompress(codec, &bomb, 1_000_000).unwrap_err();
            assert_eq!(error, CompressionError::TooLarge { codec, limit: 1_000_000 });
        }
    }

    #[test]
    fn a_snappy_block_that_lies_of_its_size_is_refused() {
        // A varint of 2^31 - 1 and nothing behind it.
        let error = decompress(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x07], usize::MAX).unwrap_err();
        assert!(matches!(error, CompressionError::Damaged { .. }), "{error}");
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        for codec in ALL {
            assert_eq!(Compression::from_id(codec.id()), Some(codec));
            assert_eq!(codec.to_string().parse(), Ok(codec));
        }
        assert_eq!(Compression::from_id(5), None);
        assert!("brotli".parse::<Compression>().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_never_panics(bytes in 0..2000_usize, at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>()) {
            for codec in ALL {
                let mut data = compress(codec, &alerts(bytes));
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] ^= 1 << bit;
                    data.truncate(cut.index(data.len()) + 1);
                }
                let _ = decompress(codec, &data, 100_000);
                let _ = decompress_legacy(codec, &data, 100_000);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            for codec in ALL {
                let _ = decompress(codec, &data, 100_000);
                let _ = decompress_legacy(codec, &data, 100_000);
            }
        }
    }
}
