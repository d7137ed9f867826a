//! Zstandard frames (RFC 8878). They are decoded straight into what is handed over, which is their window too: what a frame
//! says of its window reserves nothing.

use structured_zstd::decoding::errors::FrameDecoderError;
use structured_zstd::decoding::{
    FrameDecoder, FrameSizeError, find_frame_compressed_size, frame_decompressed_bound,
};

use super::{Compression, CompressionError};
use crate::wire::buffers::Buffer;

/// Any number of joined frames.
pub(super) fn decompress(data: &[u8], out: &mut Buffer, limit: usize) -> Result<(), CompressionError> {
    let mut decoder = FrameDecoder::new();
    let mut rest = data;
    while !rest.is_empty() {
        let length = find_frame_compressed_size(rest).map_err(of_frame)?;
        let (frame, behind) = rest.split_at_checked(length).ok_or_else(|| damaged("it is cut off".into()))?;
        // What the frame states, or what its blocks could be at most.
        let bound = frame_decompressed_bound(frame).map_err(of_frame)?;
        let most = usize::try_from(bound).unwrap_or(usize::MAX).min(limit.saturating_sub(out.len()));
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
