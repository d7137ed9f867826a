//! No length of a peer is believed.
//!
//! `kafka-protocol` reserves memory for whatever array length a frame states. So each frame is decoded twice. The
//! first pass reads through [`Suspicious`], which spoils every number that could be such a length and is larger than
//! what remains: a 32-bit integer reads as -2, which no array takes, and one of variable length fails. An array whose
//! length passes needs at least a byte for each element, so no more is reserved than a fixed multiple of the frame.
//! A number that was no length may be spoilt too; that does not matter, since nothing is kept of this pass. The second
//! pass reads the frame as it is.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// What an array length that cannot be is answered with.
const NO_LENGTH: i32 = -2;

/// Numbers up to this pass in any case: they may be those of tagged fields, which are counted from 0.
const MOST_TAG: usize = 16;

/// A variable-length integer has at most this many bytes: the decoder stops there, whatever the last one says.
const MOST_VARINT_BYTES: usize = 5;

/// A frame as the first pass sees it.
#[derive(Debug)]
pub(super) struct Suspicious {
    frame: Bytes,
    /// The last single bytes that said that more follow, the youngest first.
    open: [u8; MOST_VARINT_BYTES - 1],
    open_count: usize,
}

impl Suspicious {
    pub(super) fn new(frame: Bytes) -> Self {
        Self { frame, open: [0; MOST_VARINT_BYTES - 1], open_count: 0 }
    }

    /// The largest number that could end with this byte. Which bytes are read for their own sake and which as part of
    /// a number cannot be seen from here, so every beginning is tried.
    fn largest_ending_with(&mut self, byte: u8) -> u32 {
        let bits = |byte: u8| u32::from(byte & 0x7f);
        let ends = byte & 0x80 == 0;
        let (mut value, mut largest) = (bits(byte), if ends { bits(byte) } else { 0 });
        for (&before, bytes) in self.open.iter().take(self.open_count).zip(2..) {
            value = (value << 7) | bits(before);
            if ends || bytes == MOST_VARINT_BYTES {
                largest = largest.max(value);
            }
        }
        if ends {
            self.open_count = 0;
        } else {
            self.open.rotate_right(1);
            if let Some(youngest) = self.open.first_mut() {
                *youngest = byte;
            }
            self.open_count = self.open_count.saturating_add(1).min(self.open.len());
        }
        largest
    }
}

impl Buf for Suspicious {
    fn remaining(&self) -> usize {
        self.frame.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.frame
    }

    fn advance(&mut self, count: usize) {
        self.frame.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.frame.try_get_u8()?;
        let length = usize::try_from(self.largest_ending_with(byte).saturating_sub(1)).unwrap_or(usize::MAX);
        let most = self.remaining().max(MOST_TAG);
        if length > most {
            return Err(TryGetError { requested: most.saturating_add(1), available: self.remaining() });
        }
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.frame.try_get_i32()?;
        let plausible = usize::try_from(number).is_ok_and(|length| length <= self.remaining());
        Ok(if plausible || number < 0 { number } else { NO_LENGTH })
    }
}

impl ByteBuf for Suspicious {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.try_peek_bytes(range).unwrap_or_default()
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.try_get_bytes(size).unwrap_or_default()
    }

    fn try_peek_bytes(&mut self, range: std::ops::Range<usize>) -> Result<Bytes, NotEnoughBytesError> {
        if range.start > range.end || range.end > self.remaining() {
            Err(NotEnoughBytesError)
        } else {
            Ok(self.frame.slice(range))
        }
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        if size > self.remaining() { Err(NotEnoughBytesError) } else { Ok(self.frame.split_to(size)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(bytes: &'static [u8]) -> bool {
        let mut frame = Suspicious::new(Bytes::from_static(bytes));
        (0..bytes.len()).all(|_| frame.try_get_u8().is_ok())
    }

    #[test]
    fn numbers_beyond_the_end_do_not_pass() {
        assert!(passes(&[0, 1, 16, 0, 0]));
        assert!(!passes(&[0x7f, 0, 0]));
        assert!(!passes(&[0xff, 0xff, 0xff, 0xff, 0x0f]));
        // The decoder stops at five bytes even if the last one says that more follow.
        assert!(!passes(&[0x80, 0x80, 0x80, 0x80, 0x88, 0]));
        // A byte in front that is read for its own sake must not hide where the number begins.
        assert!(!passes(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x0f, 0]));
        assert!(!passes(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x0f, 0]));
    }

    #[test]
    fn integers_beyond_the_end_are_spoilt_and_others_are_not() {
        let mut frame =
            Suspicious::new(Bytes::from_static(&[0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
        assert_eq!(frame.try_get_i32().ok(), Some(5));
        assert_eq!(frame.try_get_i32().ok(), Some(-1));
        assert_eq!(frame.try_get_i32().ok(), Some(0));
        let mut frame = Suspicious::new(Bytes::from_static(&[0, 0, 0, 5, 0]));
        assert_eq!(frame.try_get_i32().ok(), Some(NO_LENGTH));
    }
}
