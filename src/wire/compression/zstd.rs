//! Zstandard frames (RFC 8878). They are decoded straight into what is handed over, which is their window too: what a frame
//! says of its window reserves nothing.

use structured_zstd::decoding::errors::FrameDecoderError;
use structured_zstd::decoding::{
    FrameDecoder, FrameSizeError, find_frame_compressed_size, frame_decompressed_bound,
};

use super::{Compression, CompressionError};
use crate::wire::buffers::Buffer;

/// A block that holds something takes a header of three bytes and one more at least, and makes no more than so many.
const LEAST_BLOCK_BYTES: usize = 4;
const MOST_OF_A_BLOCK: usize = 128 * 1024;

/// Any number of joined frames.
pub(super) fn decompress(data: &[u8], out: &mut Buffer, limit: usize) -> Result<(), CompressionError> {
    let mut decoder = FrameDecoder::new();
    let mut rest = data;
    while !rest.is_empty() {
        let length = find_frame_compressed_size(rest).map_err(of_frame)?;
        let (frame, behind) = rest.split_at_checked(length).ok_or_else(|| damaged("it is cut off".into()))?;
        // What the frame states, or what its blocks could be at most. Its word is believed only as far as its length
        // could make it true.
        let bound = frame_decompressed_bound(frame).map_err(of_frame)?;
        let bound = usize::try_from(bound).unwrap_or(usize::MAX);
        if bound > (frame.len() / LEAST_BLOCK_BYTES).saturating_mul(MOST_OF_A_BLOCK) {
            return Err(damaged("a frame states more bytes than it can hold".into()));
        }
        let most = bound.min(limit.saturating_sub(out.len()));
        let room = out.room(most).get_mut(..most).unwrap_or_default();
        match decoder.decode_all(frame, room) {
            Ok(count) => out.advance(count),
            Err(FrameDecoderError::TargetTooSmall) => {
                return Err(CompressionError::TooLarge { codec: Compression::Zstd, limit });
            }
            Err(error) => return Err(damaged(error.to_string())),
        }
        rest = behind;
    }
    Ok(())
}

fn of_frame(error: FrameSizeError) -> CompressionError {
    match error {
        FrameSizeError::Header(error) => damaged(error.to_string()),
        _ => damaged("a frame is cut off, or has a block that cannot be".into()),
    }
}

fn damaged(reason: String) -> CompressionError {
    CompressionError::Damaged { codec: Compression::Zstd, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::buffers::Buffers;

    #[test]
    fn a_frame_that_lies_of_its_size_reserves_nothing() {
        // One segment, its size in four bytes, and an empty block, the last.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
        frame.extend_from_slice(&100_000_000_u32.to_le_bytes());
        frame.extend_from_slice(&[1, 0, 0]);
        let mut out = Buffers::NONE.take(0);
        out.put(b"before");
        let error = decompress(&frame, &mut out, usize::MAX).unwrap_err();
        assert_eq!(error, damaged("a frame states more bytes than it can hold".into()));
        assert!(out.room(0).len() < 100);
    }
}
