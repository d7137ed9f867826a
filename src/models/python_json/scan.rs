//! How far a string or number goes on without anything special: most do to their end, and are copied whole.

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

/// The length of the number at the front of `bytes`, if it is short, and Python writes it in just this way whatever its
/// digits are: without an exponent, not below 1e-4, with no zero too many and fewer digits than a double keeps.
#[inline]
pub(super) fn plain_number(bytes: &[u8]) -> Option<usize> {
    very_short_number(bytes).or_else(|| short_number(bytes))
}

/// A number that ends within the bytes of a word, which are looked at all at once.
macro_rules! number_within {
    ($name:ident, $word:ty) => {
        #[inline]
        fn $name(bytes: &[u8]) -> Option<usize> {
            const BYTES: usize = size_of::<$word>();
            const EACH: $word = <$word>::MAX / 0xff;
            let window = bytes.first_chunk::<BYTES>()?;
            let negative = usize::from(window[0] == b'-');
            let values = (<$word>::from_le_bytes(*window) >> (8 * negative)) ^ (EACH * 0x30);
            // The highest bit of each byte that is no digit, up to the first of them; those behind it may differ.
            let mut others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
            let mut next_other = || {
                let place = negative + usize::try_from(others.trailing_zeros() / 8).unwrap_or(BYTES);
                others &= others.wrapping_sub(1);
                place
            };
            let point = next_other();
            let leading_zero = window.get(negative) == Some(&b'0');
            let whole = point - negative;
            if whole == 0 || (leading_zero && whole > 1) {
                return None;
            }
            match window.get(point)? {
                b'.' => {
                    let end = next_other();
                    let places = end - point - 1;
                    let is_whole = !matches!(window.get(end)?, b'e' | b'E') && places > 0;
                    let zero_too_many = places > 1 && window.get(end - 1) == Some(&b'0');
                    let may_be_tiny = leading_zero && places > 4;
                    (is_whole && !zero_too_many && !may_be_tiny).then_some(end)
                }
                b'e' | b'E' => None,
                // Python has no negative zero among its integers.
                _ => (negative == 0 || !leading_zero).then_some(point),
            }
        }
    };
}

number_within!(very_short_number, u64);
number_within!(short_number, u128);

#[cfg(test)]
mod tests {
    use super::{plain_number, plain_prefix};

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

    #[test]
    fn short_numbers_are_seen_at_a_glance_and_others_looked_at_closely() {
        let length = |number: &str| plain_number(format!("{number}, and something behind").as_bytes());
        for number in
            ["0", "7", "-7", "12.5", "-0.25", "0.0", "-1.0", "0.0001", "123456789012345", "1234567.1234567"]
        {
            assert_eq!(length(number), Some(number.len()), "{number}");
        }
        for number in [
            "-",
            "-0",
            "01",
            "00",
            "01.5",
            "1.",
            "-.5",
            ".5",
            "1.50",
            "1.00",
            "0.00001",
            "1e5",
            "1.5e5",
            "1.5E5",
            "x",
            "1234567890123456",
            "12345678.12345678",
            "-123456789012345",
            "\u{3a}",
            "\u{2f}",
        ] {
            assert_eq!(length(number), None, "{number}");
        }
        // What is behind the text cannot be seen.
        assert_eq!(plain_number(b"1.5, 2"), None);
    }
}
