//! A cursor over bytes that are not trusted.

use super::RecordError;

/// Bytes that are being read from the front; every read names the field that it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The last so many of these bytes; none where there are fewer.
    #[inline]
    pub(super) fn of_last(bytes: &'a [u8], count: usize) -> Self {
        let from = bytes.len().checked_sub(count);
        Self(from.and_then(|from| bytes.get(from..)).unwrap_or_default())
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RecordError::Truncated { field })?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError::Truncated { field })?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn i8(&mut self, field: &'static str) -> Result<i8, RecordError> {
        self.array(field).map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// A zigzag number of variable length, of at most 64 bits.
    #[inline]
    pub(super) fn varint(&mut self, field: &'static str) -> Result<i64, RecordError> {
        // Nearly all lengths and deltas take one or two bytes.
        let unsigned = match self.0 {
            [low @ 0..=0x7f, rest @ ..] => {
                self.0 = rest;
                u64::from(*low)
            }
            [low, high @ 0..=0x7f, rest @ ..] => {
                self.0 = rest;
                u64::from(*low & 0x7f) | (u64::from(*high) << 7)
            }
            _ => self.long_varint(field)?,
        };
        Ok((unsigned >> 1).cast_signed() ^ -((unsigned & 1).cast_signed()))
    }

    #[cold]
    fn long_varint(&mut self, field: &'static str) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array(field)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Impossible { field, value: i64::MAX })
    }

    /// Bytes with their length in front; a length of -1 stands for null.
    #[inline]
    pub(super) fn nullable(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
        match self.varint(field)? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| RecordError::Impossible { field, value: length })?;
                self.take(length, field).map(Some)
            }
        }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Option<i64> {
        Reader::new(bytes).varint("v").ok()
    }

    #[test]
    fn varints_are_zigzag() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x7f], -64),
            (&[0x80, 1], 64),
            (&[0xff, 0x7f], -8192),
            (&[0x80, 0x80, 1], 8192),
            (&[0xfe, 0xff, 0xff, 0xff, 0x0f], i64::from(i32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MIN),
        ] {
            assert_eq!(varint(bytes), Some(value), "{bytes:?}");
        }
    }

    #[test]
    fn varints_that_end_early_or_never_are_refused() {
        for bytes in [&[][..], &[0x80], &[0x80, 0x80], &[0xff; 9], &[0xff; 11]] {
            assert_eq!(varint(bytes), None, "{bytes:?}");
        }
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }

    #[test]
    fn lengths_below_null_or_beyond_the_end_are_refused() {
        assert_eq!(Reader::new(&[1]).nullable("k"), Ok(None));
        assert_eq!(Reader::new(&[0]).nullable("k"), Ok(Some(&[][..])));
        assert_eq!(Reader::new(&[4, 7]).nullable("k"), Err(RecordError::Truncated { field: "k" }));
        assert!(Reader::new(&[3]).nullable("k").is_err());
    }
}
