//! LZ4 frames (the frame format of LZ4, 1.6): what goes around the blocks, which are `lz4_flex`'s. Its own frames would
//! take every byte through one buffer more.

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::{Compression, CompressionError};
use crate::wire::buffers::Buffer;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// Version 1, and blocks that stand alone.
const WRITTEN_FLAGS: u8 = 0b0110_0000;
/// Blocks of up to 64 KiB.
const WRITTEN_BLOCKS: u8 = 4 << 4;
const BLOCK_BYTES: usize = 64 * 1024;

const VERSION_BITS: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BIT: u8 = 1 << 5;
const BLOCK_CHECKSUM_BIT: u8 = 1 << 4;
const CONTENT_SIZE_BIT: u8 = 1 << 3;
const CONTENT_CHECKSUM_BIT: u8 = 1 << 2;
const DICTIONARY_BIT: u8 = 1;

/// A block's length has this bit where it is not compressed.
const RAW_BIT: u32 = 1 << 31;
/// How far back a block that does not stand alone may reach.
const WINDOW_BYTES: usize = 64 * 1024;
/// A byte makes no more than so many.
const MOST_RATIO: usize = 255;

/// How a frame's header is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderChecksum {
    /// As the format says.
    Right,
    /// Or over the magic number too, as in Kafka's messages before record batches (KAFKA-3160).
    RightOrOld,
}

/// Any number of joined frames.
pub(super) fn decompress(
    data: &[u8],
    out: &mut Buffer,
    limit: usize,
    header: HeaderChecksum,
) -> Result<(), CompressionError> {
    let mut rest = Rest(data);
    while !rest.0.is_empty() {
        frame(&mut rest, out, limit, header)?;
    }
    Ok(())
}

fn frame(
    rest: &mut Rest<'_>,
    out: &mut Buffer,
    limit: usize,
    checksum: HeaderChecksum,
) -> Result<(), CompressionError> {
    let whole = rest.0;
    if rest.array()? != MAGIC {
        return Err(damaged("it does not begin with a frame's magic number"));
    }
    let descriptor = rest.0;
    let [flags, blocks] = rest.array()?;
    if flags & VERSION_BITS != VERSION || flags & DICTIONARY_BIT != 0 {
        return Err(damaged("a frame of a kind that Kafka does not have"));
    }
    let most_block = match blocks >> 4 & 7 {
        size @ 4..=7 => 1_usize << (8 + 2 * size),
        _ => return Err(damaged("a frame's block size is none")),
    };
    let content_size =
        if flags & CONTENT_SIZE_BIT == 0 { None } else { Some(u64::from_le_bytes(rest.array()?)) };
    let described = |front: &[u8]| front.len() - rest.0.len();
    let (right, old) = (second_byte(descriptor, described(descriptor)), second_byte(whole, described(whole)));
    let [stated] = rest.array()?;
    if stated != right && (checksum == HeaderChecksum::Right || stated != old) {
        return Err(damaged("a frame's header does not have its checksum"));
    }

    let start = out.len();
    loop {
        let length = u32::from_le_bytes(rest.array()?);
        if length == 0 {
            break;
        }
        let block = rest.take(usize::try_from(length & !RAW_BIT).unwrap_or(usize::MAX))?;
        if block.len() > most_block {
            return Err(damaged("a block is larger than its frame allows"));
        }
        let left = limit.saturating_sub(out.len());
        if length & RAW_BIT != 0 {
            if block.len() > left {
                return Err(too_large(limit));
            }
            out.put(block);
        } else {
            let most = most_block.min(block.len().saturating_mul(MOST_RATIO));
            let (before, room) = out.split(most.min(left));
            let room = room.get_mut(..most.min(left)).unwrap_or_default();
            let decompressed = if flags & INDEPENDENT_BIT != 0 {
                decompress_into(block, room)
            } else {
                let window = before.len().saturating_sub(WINDOW_BYTES).max(start);
                decompress_into_with_dict(block, room, before.get(window..).unwrap_or_default())
            };
            match decompressed {
                Ok(count) => out.advance(count),
                Err(DecompressError::OutputTooSmall { .. }) if left < most => return Err(too_large(limit)),
                Err(error) => return Err(damaged(error.to_string())),
            }
        }
        if flags & BLOCK_CHECKSUM_BIT != 0 && u32::from_le_bytes(rest.array()?) != XxHash32::oneshot(0, block)
        {
            return Err(damaged("a block does not have its checksum"));
        }
    }
    let content = out.written().get(start..).unwrap_or_default();
    if content_size.is_some_and(|size| usize::try_from(size) != Ok(content.len())) {
        return Err(damaged("a frame is not as long as it states"));
    }
    if flags & CONTENT_CHECKSUM_BIT != 0 && u32::from_le_bytes(rest.array()?) != XxHash32::oneshot(0, content)
    {
        return Err(damaged("a frame does not have its checksum"));
    }
    Ok(())
}

/// Appends one frame.
pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let descriptor = [WRITTEN_FLAGS, WRITTEN_BLOCKS];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(second_byte(&descriptor, descriptor.len()));
    // The small one hashes fewer bytes: what it finds is shorter.
    let mut table = CompressTable::large();
    for block in data.chunks(BLOCK_BYTES) {
        let prefix_at = out.len();
        let block_at = prefix_at.saturating_add(4);
        out.resize(block_at.saturating_add(get_maximum_output_size(block.len())), 0);
        let room = out.get_mut(block_at..).unwrap_or_default();
        let count =
            compress_into_with_table(block, room, &mut table).map_err(|error| damaged(error.to_string()))?;
        let length = if count < block.len() {
            out.truncate(block_at.saturating_add(count));
            u32::try_from(count).unwrap_or(RAW_BIT)
        } else {
            out.truncate(block_at);
            out.extend_from_slice(block);
            u32::try_from(block.len()).unwrap_or(RAW_BIT) | RAW_BIT
        };
        if let Some(prefix) = out.get_mut(prefix_at..block_at) {
            prefix.copy_from_slice(&length.to_le_bytes());
        }
    }
    // No block: the end.
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// A header's checksum: of the hash of so many bytes at the front.
fn second_byte(bytes: &[u8], count: usize) -> u8 {
    let [_, second, ..] = XxHash32::oneshot(0, bytes.get(..count).unwrap_or(bytes)).to_le_bytes();
    second
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CompressionError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CompressionError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }
}

fn damaged(reason: impl Into<String>) -> CompressionError {
    CompressionError::Damaged { codec: Compression::Lz4, reason: reason.into() }
}

fn too_large(limit: usize) -> CompressionError {
    CompressionError::TooLarge { codec: Compression::Lz4, limit }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::buffers::Buffers;

    fn decompressed(data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
        let mut out = Buffers::NONE.take(0);
        decompress(data, &mut out, limit, HeaderChecksum::Right).map(|()| out.written().to_vec())
    }

    fn theirs(frame: FrameInfo, data: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Some of it repeats, near and far; some does not.
    fn content(bytes: usize) -> Vec<u8> {
        let words = (0_u32..).map(|number| match number % 3 {
            0 => "the same again and again".to_owned(),
            1 => (number % 9_000).to_string(),
            _ => number.wrapping_mul(2_654_435_761).to_string(),
        });
        words.flat_map(String::into_bytes).take(bytes).collect()
    }

    #[test]
    fn frames_of_every_kind_are_read() {
        let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
        for bytes in [0, 1, 13, 70_000, 700_000] {
            let data = content(bytes);
            for (size, mode) in sizes
                .iter()
                .flat_map(|size| [BlockMode::Independent, BlockMode::Linked].map(|mode| (*size, mode)))
            {
                let plain = FrameInfo::new().block_size(size).block_mode(mode);
                let length = u64::try_from(bytes).unwrap();
                let checked =
                    plain.clone().block_checksums(true).content_checksum(true).content_size(Some(length));
                for frame in [theirs(plain, &data), theirs(checked, &data)] {
                    assert!(decompressed(&frame, bytes).unwrap() == data, "{bytes} {size:?} {mode:?}");
                    if bytes > 0 {
                        let limit = bytes - 1;
                        assert_eq!(decompressed(&frame, limit), Err(too_large(limit)), "{bytes} {size:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_by_others() {
        for bytes in [0, 1, 13, BLOCK_BYTES, BLOCK_BYTES + 1, 700_000] {
            let mut noise = vec![0; bytes];
            fastrand::Rng::with_seed(1).fill(&mut noise);
            for data in [content(bytes), noise] {
                let (mut frame, mut read) = (vec![7], Vec::new());
                compress(&data, &mut frame).unwrap();
                let (front, frame) = frame.split_first().unwrap();
                FrameDecoder::new(frame).read_to_end(&mut read).unwrap();
                assert!(*front == 7 && read == data, "{bytes}");
            }
        }
    }

    #[test]
    fn every_checksum_and_length_counts() {
        let info = FrameInfo::new().block_checksums(true).content_checksum(true).content_size(Some(700));
        let frame = theirs(info, &content(700));
        // All but the reserved bits, which a later version may use.
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 0x40;
            assert!(decompressed(&changed, 1000).is_err(), "{at}");
            assert!(decompressed(&frame[..at], 1000).is_err() || at == 0, "{at}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_found_by_both_or_neither(
            data in prop::collection::vec(0..4_u8, 0..600),
            linked in any::<bool>(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mode = if linked { BlockMode::Linked } else { BlockMode::Independent };
            let mut frame = theirs(FrameInfo::new().block_mode(mode), &data);
            // Behind the header, about which opinions differ: nobody else needs dictionaries or later versions.
            let at = 7 + at.index(frame.len() - 7);
            frame[at] = byte;
            let mut read = Vec::new();
            let others = FrameDecoder::new(&frame[..]).read_to_end(&mut read);
            match decompressed(&frame, 1 << 20) {
                Ok(ours) => prop_assert!(others.is_ok() && ours == read),
                // Another frame behind the first is read here and left there.
                Err(_) => prop_assert!(others.is_err() || frame.ends_with(&[0; 4]) || byte == 0),
            }
        }
    }
}
