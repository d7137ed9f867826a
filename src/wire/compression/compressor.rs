//! Compressing: a codec, and how hard it tries (KIP-390).

use std::fmt;
use std::io::Write;
use std::ops::RangeInclusive;
use std::str::FromStr;

use flate2::write::GzEncoder;
use structured_zstd::encoding::{CompressionLevel, compress_slice_to_vec};

use super::{Compression, CompressionError, UnknownCompression, lz4, snappy};

/// A codec and its level. Any [`Compression`] is one, at the codec's usual level.
///
/// ```
/// use hop::wire::{Compression, Compressor};
///
/// let small: Compressor = "zstd:19".parse()?;
/// assert_eq!((small.codec(), small.level()), (Compression::Zstd, Some(19)));
/// assert_eq!("gzip".parse(), Ok(Compressor::from(Compression::Gzip)));
/// assert!("lz4:9".parse::<Compressor>().is_err());
/// # Ok::<(), hop::wire::UnknownCompressor>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Compressor {
    codec: Compression,
    level: Option<i32>,
}

impl Compressor {
    /// A codec at a level: gzip from 1 to 9 (6 is usual), zstd up to 22 (1 is usual; below 0 it is faster still). The
    /// higher, the smaller and slower. The others have no levels here.
    ///
    /// # Errors
    ///
    /// [`UnknownCompressor::NoSuchLevel`] where the codec does not have it.
    pub fn at_level(codec: Compression, level: i32) -> Result<Self, UnknownCompressor> {
        if levels(codec).is_some_and(|levels| levels.contains(&level)) {
            Ok(Self { codec, level: Some(level) })
        } else {
            Err(UnknownCompressor::NoSuchLevel { codec, level: level.to_string() })
        }
    }

    /// The codec.
    #[must_use]
    pub fn codec(self) -> Compression {
        self.codec
    }

    /// The level; `None` is the codec's usual one.
    #[must_use]
    pub fn level(self) -> Option<i32> {
        self.level
    }

    /// Appends `data` compressed.
    ///
    /// # Errors
    ///
    /// [`CompressionError::Damaged`] with the codec's words; writing to memory gives it no reason to fail.
    pub(in crate::wire) fn compress(self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        let Self { codec, level } = self;
        match codec {
            Compression::None => out.extend_from_slice(data),
            Compression::Gzip => {
                let level = level.and_then(|level| level.try_into().ok());
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                let mut encoder = GzEncoder::new(out, level);
                encoder
                    .write_all(data)
                    .and_then(|()| encoder.try_finish())
                    .map_err(|error| CompressionError::Damaged { codec, reason: error.to_string() })?;
            }
            Compression::Snappy => snappy::compress(data, out)?,
            Compression::Lz4 => lz4::compress(data, out)?,
            Compression::Zstd => {
                let level = level.map_or(CompressionLevel::Fastest, CompressionLevel::from_level);
                out.extend_from_slice(&compress_slice_to_vec(data, level));
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(in crate::wire) fn compressed(self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.compress(data, &mut out).expect("memory to write to");
        out
    }
}

/// The levels that a codec has.
fn levels(codec: Compression) -> Option<RangeInclusive<i32>> {
    match codec {
        Compression::Gzip => Some(1..=9),
        Compression::Zstd => Some(CompressionLevel::MIN_LEVEL..=CompressionLevel::MAX_LEVEL),
        Compression::None | Compression::Snappy | Compression::Lz4 => None,
    }
}

impl From<Compression> for Compressor {
    fn from(codec: Compression) -> Self {
        Self { codec, level: None }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}:{level}", self.codec),
            None => self.codec.fmt(f),
        }
    }
}

impl FromStr for Compressor {
    type Err = UnknownCompressor;

    /// `zstd`, or `zstd:9`.
    fn from_str(text: &str) -> Result<Self, UnknownCompressor> {
        let Some((codec, level)) = text.split_once(':') else {
            return Ok(Self::from(text.parse::<Compression>()?));
        };
        let codec = codec.parse()?;
        match level.parse() {
            Ok(level) => Self::at_level(codec, level),
            Err(_) => Err(UnknownCompressor::NoSuchLevel { codec, level: level.to_owned() }),
        }
    }
}

/// A codec that does not exist, or a level that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownCompressor {
    /// There is no such codec.
    #[error(transparent)]
    NoSuchCodec(#[from] UnknownCompression),
    /// The codec does not have this level.
    #[error("{codec} has no level {level}; {}", there_are(*.codec))]
    NoSuchLevel {
        /// The codec.
        codec: Compression,
        /// The level.
        level: String,
    },
}

fn there_are(codec: Compression) -> String {
    match levels(codec) {
        Some(levels) => format!("there are those from {} to {}", levels.start(), levels.end()),
        None => "it has none: leave the level out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decompress;
    use super::*;
    use crate::wire::buffers::Buffers;

    #[test]
    fn names_and_levels_are_read_as_they_are_written() {
        for text in ["none", "snappy", "lz4", "gzip", "gzip:1", "gzip:9", "zstd", "zstd:-5", "zstd:22"] {
            assert_eq!(text.parse::<Compressor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        for (text, said) in [
            ("brotli", "'brotli' is no compression; there are none, gzip, snappy, lz4 and zstd"),
            ("gzip:10", "gzip has no level 10; there are those from 1 to 9"),
            ("gzip:", "gzip has no level ; there are those from 1 to 9"),
            ("zstd:high", "zstd has no level high; there are those from -131072 to 22"),
            ("lz4:1", "lz4 has no level 1; it has none: leave the level out"),
            (":1", "'' is no compression; there are none, gzip, snappy, lz4 and zstd"),
        ] {
            assert_eq!(text.parse::<Compressor>().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn every_level_can_be_read_and_higher_ones_are_smaller() {
        let data: Vec<u8> = (0..4_000_u32)
            .flat_map(|number| format!("{{\"flux\": {}.{number}}}\n", number * 7919 % 1000).into_bytes())
            .collect();
        for (codec, levels) in
            [(Compression::Gzip, vec![1, 6, 9]), (Compression::Zstd, vec![-7, 1, 3, 9, 19, 22])]
        {
            let sizes: Vec<usize> = levels
                .into_iter()
                .map(|level| {
                    let mut out = Buffers::NONE.take(0);
                    let compressed = Compressor::at_level(codec, level).unwrap().compressed(&data);
                    decompress(codec, &compressed, &mut out, data.len()).unwrap();
                    assert!(out.written() == data, "{codec} {level}");
                    compressed.len()
                })
                .collect();
            assert!(sizes.first() > sizes.last(), "{codec} {sizes:?}");
        }
    }
}
