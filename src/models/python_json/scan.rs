//! How far a string or number goes on without anything special: most do to their end, and are copied whole.

/// Has a 1 in each byte.
const EACH: u64 = u64::MAX / 0xff;

/// The length of the part at the front of `bytes` that a JSON string may have as it is.
#[inline(always)]
pub(super) fn unescaped_prefix(bytes: &[u8]) -> usize {
    prefix(bytes, must_be_escaped)
}

/// The length of the part at the front of `bytes` that Python writes as it is: of that, what is printable ASCII.
#[inline(always)]
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    // 0x7f gets the highest bit; what is above has it.
    prefix(bytes, |word| must_be_escaped(word) | ((word | word.wrapping_add(EACH)) & (EACH * 0x80)))
}

/// The length of the part at the front of `bytes` in whose words, of eight bytes each, nothing is marked: `mark` sets the
/// highest bit of the first byte that ends it, and may set those of bytes behind that. To a vector unit it would be as
/// simple, but most strings are shorter than what that takes at a time.
#[inline(always)]
fn prefix(bytes: &[u8], mark: impl Fn(u64) -> u64) -> usize {
    let unmarked = |word: [u8; 8]| usize::try_from(mark(u64::from_le_bytes(word)).trailing_zeros() / 8);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let unmarked = unmarked(*word).unwrap_or(8);
        length += unmarked;
        if unmarked < 8 {
            return length;
        }
    }
    let mut last = [0; 8];
    for (byte, to) in rest.iter().zip(&mut last) {
        *to = *byte;
    }
    length + unmarked(last).unwrap_or(0).min(rest.len())
}

/// Marks quotation marks, backslashes and control characters.
#[inline(always)]
fn must_be_escaped(word: u64) -> u64 {
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH * 0x80)
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
    use super::{plain_number, plain_prefix, unescaped_prefix};

    #[test]
    fn the_first_byte_that_is_not_plain_is_found_wherever_it_is() {
        for end in 0..=u8::MAX {
            let must_be_escaped = end < 0x20 || end == b'"' || end == b'\\';
            let is_plain = !must_be_escaped && end < 0x7f;
            for length in 1..20 {
                for at in 0..length {
                    // The bytes before it are those that are nearest to what ends a string.
                    let mut bytes: Vec<u8> = b" !#[]~".iter().copied().cycle().take(length).collect();
                    bytes[at] = end;
                    let found = |ends: bool| if ends { at } else { length };
                    assert_eq!(plain_prefix(&bytes), found(!is_plain), "{end} {length} {at}");
                    assert_eq!(unescaped_prefix(&bytes), found(must_be_escaped), "{end} {length} {at}");
                }
            }
        }
        assert_eq!((plain_prefix(b""), unescaped_prefix(b"")), (0, 0));
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
