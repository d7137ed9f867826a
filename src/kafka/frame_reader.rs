//! The byte stream of a connection, cut into frames.
//!
//! Small frames are cut from one buffer, as many as a read brings. A large one, which is records as a rule, gets a buffer
//! to itself, that is used again when nobody has anything of it any more.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::buffers::{Buffer, Buffers};
use crate::wire::frame::{FrameError, frame_length};

/// The buffer grows by what arrives: no more than this is reserved on the peer's word alone.
const READ_STEP: usize = 1024 * 1024;
/// What is read at once at least.
const LEAST_READ: usize = 4096;
/// What gets a buffer to itself.
const LEAST_LARGE: usize = 64 * 1024;
/// What waits to be used again at most: two answers of the size that a consumer asks for by default.
const MOST_WAITING: usize = 8 * 1024 * 1024 + 64 * 1024;

/// Cuts the byte stream into frames. Holds what has arrived of the next one, so its reads can be cancelled.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    /// A large frame of which a part has arrived, and its length.
    large: Option<(Buffer, usize)>,
    buffers: Buffers,
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
        let buffers = Buffers::new(MOST_WAITING);
        Self { buffer: BytesMut::new(), large: None, buffers, most_frame_bytes }
    }

    /// The next frame without its length prefix. Cancel safe.
    pub(super) async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Bytes, ReadError> {
        loop {
            if let Some((frame, _)) = self.large.take_if(|(frame, length)| frame.len() >= *length) {
                return Ok(frame.freeze());
            }
            let read = if let Some((frame, length)) = &mut self.large {
                let missing = length.saturating_sub(frame.len());
                let room = frame.room(missing.min(READ_STEP.max(frame.len())));
                let most = missing.min(room.len());
                let read = stream.read(room.get_mut(..most).unwrap_or_default()).await;
                if let Ok(count) = read {
                    frame.advance(count);
                }
                read
            } else {
                let wanted = match self.buffer.first_chunk::<4>() {
                    None => 4,
                    Some(&prefix) => {
                        let length = frame_length(prefix, self.most_frame_bytes).map_err(ReadError::Frame)?;
                        let whole = length.saturating_add(4);
                        if self.buffer.len() >= whole {
                            let mut frame = self.buffer.split_to(whole).freeze();
                            frame.advance(4);
                            // Nothing large seems to come any more.
                            self.buffers.clear();
                            return Ok(frame);
                        }
                        if length >= LEAST_LARGE {
                            self.buffer.advance(4);
                            let mut frame = self.buffers.take(length);
                            frame.put(&self.buffer);
                            self.buffer.clear();
                            self.large = Some((frame, length));
                            continue;
                        }
                        whole
                    }
                };
                let missing = wanted.saturating_sub(self.buffer.len());
                self.buffer.reserve(missing.max(LEAST_READ));
                stream.read_buf(&mut self.buffer).await
            };
            match read {
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
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
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
        let mut reader = FrameReader::new(10_000_000);
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
    async fn large_frames_come_whole_between_small_ones_and_their_memory_is_used_again() {
        let frame = |byte: u8, length| vec![byte; length];
        let frames = [
            frame(1, 10),
            frame(2, LEAST_LARGE),
            frame(3, 3 * READ_STEP),
            frame(4, 0),
            frame(5, LEAST_LARGE - 1),
            frame(6, LEAST_LARGE + 1),
        ];
        for pieces in [vec![1_000_000], vec![70_001, 13], vec![64 * 1024 + 4]] {
            assert_eq!(read_back(&frames, &pieces).await, frames);
        }
        let mut stream = &[&200_000_u32.to_be_bytes()[..], &frame(7, 200_000)].concat().repeat(3)[..];
        let mut reader = FrameReader::new(1_000_000);
        let first = reader.next(&mut stream).await.unwrap();
        let second = reader.next(&mut stream).await.unwrap();
        let place = first.as_ptr();
        assert_ne!(place, second.as_ptr());
        drop(first);
        let third = reader.next(&mut stream).await.unwrap();
        assert_eq!((place, &third), (third.as_ptr(), &second));
    }

    #[tokio::test]
    async fn a_large_length_reserves_no_more_than_a_step() {
        let mut reader = FrameReader::new(usize::MAX);
        let mut stream = &[0x7f, 0xff, 0xff, 0xff, 1, 2][..];
        assert!(matches!(reader.next(&mut stream).await, Err(ReadError::Closed)));
        let (mut frame, _) = reader.large.unwrap();
        assert!(frame.room(0).len() <= READ_STEP);
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
