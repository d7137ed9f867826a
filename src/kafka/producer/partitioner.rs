//! Which partition a record goes to: librdkafka's `consistent_random`.
//!
//! A key that is not empty decides by its CRC-32, so that a record keeps its partition whichever of the two clients
//! wrote it. Without a key a random partition is kept for as long as its batch is open, then another is drawn: as
//! even as drawing for each record, in fewer and larger batches.

/// The partition that `key` belongs to, of `partitions`; `None` where the key does not decide.
pub(super) fn for_key(key: Option<&[u8]>, partitions: u32) -> Option<u32> {
    let key = key.filter(|key| !key.is_empty())?;
    crc32fast::hash(key).checked_rem(partitions)
}

#[cfg(test)]
mod tests {
    use super::for_key;

    #[test]
    fn keys_are_placed_by_their_crc32() {
        // The check value of CRC-32 for "123456789" is 0xcbf43926.
        assert_eq!(for_key(Some(b"123456789"), 1000), Some(0xcbf4_3926 % 1000));
        assert_eq!(for_key(Some(b"123456789"), 3), Some(0xcbf4_3926 % 3));
    }

    #[test]
    fn no_key_and_an_empty_one_do_not_decide() {
        assert_eq!(for_key(None, 3), None);
        assert_eq!(for_key(Some(b""), 3), None);
        assert_eq!(for_key(Some(b"k"), 0), None);
    }
}
