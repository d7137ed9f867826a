//! Snappy, raw and in the framing of Java's library (xerial), which has a header and then blocks with their lengths.

use super::{Compression, CompressionError};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic number, and two versions of four bytes.
const HEADER_BYTES: usize = 16;
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of 64 bytes takes at least two.
const MOST_RATIO: usize = 32;

pub(super) fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    let Some(mut rest) = data.strip_prefix(&MAGIC).and_then(|rest| rest.get(HEADER_BYTES - MAGIC.len()..))
    else {
        append_block(data, &mut out, limit)?;
        return Ok(out);
    };
    while !rest.is_empty() {
        let (prefix, behind) =
            rest.split_first_chunk().ok_or_else(|| damaged("a block's length is cut off"))?;
        let length = usize::try_from(i32::from_be_bytes(*prefix))
            .map_err(|_| damaged("a block's length is negative"))?;
        let (block, behind) =
            behind.split_at_checked(length).ok_or_else(|| damaged("a block is longer than what is left"))?;
        append_block(block, &mut out, limit)?;
        rest = behind;
    }
    Ok(out)
}

pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::with_capacity(data.len() / 2);
    out.extend_from_slice(&MAGIC);
    // The version, and the oldest that can read it.
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).map_err(|error| damaged(error.to_string()))?;
        let length = i32::try_from(compressed.len()).map_err(|error| damaged(error.to_string()))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(out)
}

/// A block states its own length, which is believed only as far as the block could make it true.
fn append_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CompressionError> {
    let codec = Compression::Snappy;
    let stated = snap::raw::decompress_len(block).map_err(|error| damaged(error.to_string()))?;
    if stated > block.len().saturating_mul(MOST_RATIO) {
        return Err(damaged("a block states more bytes than it can hold"));
    }
    let start = out.len();
    let end = start.saturating_add(stated);
    if end > limit {
        return Err(CompressionError::TooLarge { codec, limit });
    }
    out.resize(end, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room).map_err(|error| damaged(error.to_string()))?;
    Ok(())
}

fn damaged(reason: impl Into<String>) -> CompressionError {
    CompressionError::Damaged { codec: Compression::Snappy, reason: reason.into() }
}
