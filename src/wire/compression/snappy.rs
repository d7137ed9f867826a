//! Snappy, raw and in the framing of Java's library (xerial), which has a header and then blocks with their lengths.

use super::{Compression, CompressionError};
use crate::wire::buffers::Buffer;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic number, and two versions of four bytes.
const HEADER_BYTES: usize = 16;
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of 64 bytes takes at least two.
const MOST_RATIO: usize = 32;

pub(super) fn decompress(data: &[u8], out: &mut Buffer, limit: usize) -> Result<(), CompressionError> {
    let Some(mut rest) = data.strip_prefix(&MAGIC).and_then(|rest| rest.get(HEADER_BYTES - MAGIC.len()..))
    else {
        return append_block(data, out, limit);
    };
    while !rest.is_empty() {
        let (prefix, behind) =
            rest.split_first_chunk().ok_or_else(|| damaged("a block's length is cut off"))?;
        let length = usize::try_from(i32::from_be_bytes(*prefix))
            .map_err(|_| damaged("a block's length is negative"))?;
        let (block, behind) =
            behind.split_at_checked(length).ok_or_else(|| damaged("a block is longer than what is left"))?;
        append_block(block, out, limit)?;
        rest = behind;
    }
    Ok(())
}

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    out.extend_from_slice(&MAGIC);
    // The version, and the oldest that can read it.
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_BYTES) {
        let prefix_at = out.len();
        let block_at = prefix_at.saturating_add(4);
        out.resize(block_at.saturating_add(snap::raw::max_compress_len(block.len())), 0);
        let room = out.get_mut(block_at..).unwrap_or_default();
        let count = encoder.compress(block, room).map_err(|error| damaged(error.to_string()))?;
        let length = i32::try_from(count).map_err(|error| damaged(error.to_string()))?;
        out.truncate(block_at.saturating_add(count));
        if let Some(prefix) = out.get_mut(prefix_at..block_at) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// A block states its own length, which is believed only as far as the block could make it true.
fn append_block(block: &[u8], out: &mut Buffer, limit: usize) -> Result<(), CompressionError> {
    let stated = snap::raw::decompress_len(block).map_err(|error| damaged(error.to_string()))?;
    if stated > block.len().saturating_mul(MOST_RATIO) {
        return Err(damaged("a block states more bytes than it can hold"));
    }
    if out.len().saturating_add(stated) > limit {
        return Err(CompressionError::TooLarge { codec: Compression::Snappy, limit });
    }
    let room = out.room(stated).get_mut(..stated).unwrap_or_default();
    let count =
        snap::raw::Decoder::new().decompress(block, room).map_err(|error| damaged(error.to_string()))?;
    out.advance(count);
    Ok(())
}

fn damaged(reason: impl Into<String>) -> CompressionError {
    CompressionError::Damaged { codec: Compression::Snappy, reason: reason.into() }
}
