//! How far a string goes on without anything special: most strings do to their end, and are copied whole.

/// As many bytes as are looked at together; the compiler makes a few vector instructions of it.
const TOGETHER: usize = 32;

/// The length of the part at the front of `bytes` that is `plain` throughout.
#[inline]
pub(super) fn plain_prefix(bytes: &[u8], plain: impl Fn(u8) -> bool) -> usize {
    let (blocks, _) = bytes.as_chunks::<TOGETHER>();
    // Without leaving early: that is what lets a block be tested as a whole.
    let block_is_plain = |block: &&[u8; TOGETHER]| block.iter().fold(true, |all, &byte| all & plain(byte));
    let whole = blocks.iter().take_while(block_is_plain).count() * TOGETHER;
    let rest = bytes.get(whole..).unwrap_or_default();
    whole + rest.iter().position(|&byte| !plain(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::plain_prefix;

    #[test]
    fn the_first_byte_that_is_not_plain_is_found_wherever_it_is() {
        for length in 0..100 {
            for at in 0..=length {
                let mut bytes = vec![b'a'; length];
                if at < length {
                    bytes[at] = b'!';
                }
                assert_eq!(plain_prefix(&bytes, |byte| byte != b'!'), at, "{length} {at}");
            }
        }
    }
}
