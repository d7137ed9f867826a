//! The byte stream of a connection, cut into frames.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::frame::{FrameError, frame_length};

/// The buffer grows by what arrives: no more than this is reserved on the peer's word alone.
const READ_STEP: usize = 1024 * 1024;
/// What is read at once at least.
const LEAST_READ: usize = 4096;

/// Cuts the byte stream into frames. Holds what has arrived of the next one, so its reads can be cancelled.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    most_frame_bytes: usize,
}

/// Why there is no next frame.
#[derive(Debug)]
pub(super) enum ReadError {
    Closed,
    Io(io::Error),
    Frame(FrameError),
}

impl FrameReader {
    pub(super) fn new(most_frame_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), most_frame_bytes }
    }

    /// The next frame without its length prefix. Cancel safe.
    pub(super) async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Bytes, ReadError> {
        loop {
            let wanted = match self.buffer.first_chunk::<4>() {
                None => 4,
                Some(&prefix) => {
                    let length = frame_length(prefix, self.most_frame_bytes).map_err(ReadError::Frame)?;
                    let whole = length.saturating_add(4);
                    if self.buffer.len() >= whole {
                        let mut frame = self.buffer.split_to(whole).freeze();
                        frame.advance(4);
                        return Ok(frame);
                    }
                    whole
                }
            };
            let missing = wanted - self.buffer.len();
            self.buffer.reserve(missing.clamp(LEAST_READ, READ_STEP.max(self.buffer.len())));
            match stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(ReadError::Closed),
                Ok(_) => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Writes frames in pieces of these sizes, and reads them back.
    async fn read_back(frames: &[Vec<u8>], pieces: &[usize]) -> Vec<Bytes> {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend(frame);
        }
        let pieces = pieces.to_vec();
        tokio::spawn(async move {
            let mut rest = &bytes[..];
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                theirs.write_all(now).await.unwrap();
                rest = later;
                if rest.is_empty() {
                    return;
                }
            }
        });
        let mut reader = FrameReader::new(1000);
        let mut read = Vec::new();
        loop {
            match reader.next(&mut ours).await {
                Ok(frame) => read.push(frame),
                Err(ReadError::Closed) => return read,
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_anything_is_reserved() {
        let mut reader = FrameReader::new(1000);
        let mut stream = &[0x7f, 0xff, 0xff, 0xff, 1, 2][..];
        assert!(matches!(reader.next(&mut stream).await, Err(ReadError::Frame(_))));
        assert!(reader.buffer.capacity() <= LEAST_READ);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_are_the_same_however_the_stream_is_split(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..10),
            pieces in prop::collection::vec(1..100_usize, 1..5),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(read_back(&frames, &pieces));
            prop_assert_eq!(read.iter().map(|frame| frame.to_vec()).collect::<Vec<_>>(), frames);
        }
    }
}
