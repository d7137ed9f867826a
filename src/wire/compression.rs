//! The compressions of record batches: gzip, snappy, lz4 and zstd, all in Rust.
//!
//! A batch does not say how large its records are uncompressed. So output grows by what comes, up to a limit that the
//! caller states: a small batch that would fill the memory is an error.
//!
//! | codec | written | read |
//! | --- | --- | --- |
//! | gzip | one member | any number of joined members |
//! | snappy | blocks of 32 KiB in Java's framing (xerial) | the same, and a raw block |
//! | lz4 | one frame of independent 64 KiB blocks | any number of joined frames; those of old messages with their wrong checksum |
//! | zstd | one frame | any number of joined frames, with windows up to 128 MiB |

mod compressor;
mod snappy;

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use structured_zstd::decoding::StreamingDecoder;

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

/// What `data` holds uncompressed, at most `limit` bytes.
///
/// # Errors
///
/// [`CompressionError`] where the data is damaged or holds more.
pub(super) fn decompress(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    match codec {
        Compression::None if data.len() > limit => Err(CompressionError::TooLarge { codec, limit }),
        Compression::None => Ok(data.to_vec()),
        Compression::Gzip => read_up_to(codec, MultiGzDecoder::new(data), data.len(), limit),
        Compression::Snappy => snappy::decompress(data, limit),
        Compression::Lz4 => {
            let (mut rest, mut out) = (data, Vec::new());
            // The decoder stops at the end of a frame.
            while !rest.is_empty() {
                let (compressed, limit_left) = (rest.len(), limit.saturating_sub(out.len()));
                let frame = read_up_to(codec, FrameDecoder::new(&mut rest), compressed, limit_left).map_err(
                    |error| match error {
                        CompressionError::TooLarge { .. } => CompressionError::TooLarge { codec, limit },
                        error => error,
                    },
                )?;
                if out.is_empty() {
                    out = frame;
                } else {
                    out.extend_from_slice(&frame);
                }
            }
            Ok(out)
        }
        Compression::Zstd => read_up_to(codec, StreamingDecoder::new(data), data.len(), limit),
    }
}

/// As [`decompress`], for messages before record batches: their LZ4 frames carry a wrong header checksum, which was
/// taken over the magic number too (KAFKA-3160).
pub(super) fn decompress_legacy(
    codec: Compression,
    data: &[u8],
    limit: usize,
) -> Result<Vec<u8>, CompressionError> {
    if codec != Compression::Lz4 {
        return decompress(codec, data, limit);
    }
    // Magic number, flags and block size; a content size where the flags say so; the checksum.
    let checksum_at = match data.get(4) {
        Some(flags) if flags & 0b1000 != 0 => 14,
        _ => 6,
    };
    let (Some(described), Some(_)) = (data.get(4..checksum_at), data.get(checksum_at)) else {
        return decompress(codec, data, limit);
    };
    let right = xxh32_second_byte(described);
    let mut mended = data.to_vec();
    if let Some(checksum) = mended.get_mut(checksum_at) {
        *checksum = right;
    }
    decompress(codec, &mended, limit)
}

fn read_up_to(
    codec: Compression,
    decoder: impl Read,
    compressed: usize,
    limit: usize,
) -> Result<Vec<u8>, CompressionError> {
    // Alerts shrink to about a quarter; what is more is made room for as it comes.
    let mut out = Vec::with_capacity(compressed.saturating_mul(4).min(limit));
    // One byte more than allowed, to tell the limit from the end.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(most)
        .read_to_end(&mut out)
        .map_err(|error| CompressionError::Damaged { codec, reason: error.to_string() })?;
    if out.len() > limit { Err(CompressionError::TooLarge { codec, limit }) } else { Ok(out) }
}

/// The second byte of the xxHash32 with seed 0 of fewer than 16 bytes: the header checksum of an LZ4 frame.
fn xxh32_second_byte(data: &[u8]) -> u8 {
    const PRIME_1: u32 = 0x9e37_79b1;
    const PRIME_2: u32 = 0x85eb_ca77;
    const PRIME_3: u32 = 0xc2b2_ae3d;
    const PRIME_4: u32 = 0x27d4_eb2f;
    const PRIME_5: u32 = 0x1656_67b1;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = PRIME_5.wrapping_add(length);
    let (words, bytes) = data.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_3));
        hash = hash.rotate_left(17).wrapping_mul(PRIME_4);
    }
    for &byte in bytes {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(PRIME_5));
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(PRIME_2);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(PRIME_3);
    hash ^= hash >> 16;
    let [_, second, ..] = hash.to_le_bytes();
    second
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compress(codec: Compression, data: &[u8]) -> Result<Vec<u8>, CompressionError> {
        Compressor::from(codec).compress(data)
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
                let compressed = compress(codec, &data).unwrap();
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
            let joined = [compress(codec, b"one ").unwrap(), compress(codec, b"two").unwrap()].concat();
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
        let mut old = compress(Compression::Lz4, b"old message").unwrap();
        assert_eq!(xxh32_second_byte(&old[4..6]), old[6]);
        old[6] ^= 0xff;
        assert!(decompress(Compression::Lz4, &old, 100).is_err());
        assert_eq!(decompress_legacy(Compression::Lz4, &old, 100).unwrap(), b"old message");
        for cut in 0..old.len() {
            let _ = decompress_legacy(Compression::Lz4, &old[..cut], 100);
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; 50_000_000];
        for codec in ALL {
            let bomb = compress(codec, &zeros).unwrap();
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
                let mut data = compress(codec, &alerts(bytes)).unwrap();
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
