//! From JSON text to Python's form of it in one pass, without a value in between: what most messages need, since they
//! are printed as they come.
//!
//! It takes what alerts are made of, and leaves the rest to [`read`](super::read) and [`write`](super::write), whose
//! answer it gives where it gives one. Left to them are texts that are not JSON, repeated names, characters outside of
//! ASCII, and escapes that Python would write otherwise.

use std::ops::Range;

use serde_json::Number;

use super::read::MAX_DEPTH;
use super::scan::plain_prefix;
use super::write::python_float;

/// As many digits as a double keeps, whatever they are: no shorter number reads back as the same.
const SURE_DIGITS: usize = 15;
/// Fewer names than this are compared one by one; more are sorted first, so that no text takes time by its square.
const FEW_NAMES: usize = 24;

/// An object or array as Python writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// Whether a member of the outermost object is called so.
    pub(crate) names_format: bool,
}

/// The object or array in `bytes` as Python's `json.dumps` writes it; `None` where that takes a closer look.
pub(crate) fn rewrite(bytes: &[u8]) -> Option<Rewritten> {
    // Python puts a space behind commas and colons; most senders do as well.
    let out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut rewriter = Rewriter { rest: bytes, out, names: Vec::new(), names_format: false };
    rewriter.skip_space();
    if !matches!(rewriter.peek(), Some(b'{' | b'[')) {
        return None;
    }
    rewriter.value(0)?;
    rewriter.skip_space();
    if !rewriter.rest.is_empty() {
        return None;
    }
    // What is written is ASCII, of which this makes sure.
    let text = String::from_utf8(rewriter.out).ok()?;
    Some(Rewritten { text, names_format: rewriter.names_format })
}

struct Rewriter<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    /// Where in `out` the names of the objects stand that are open, the innermost last.
    names: Vec<Range<usize>>,
    names_format: bool,
}

impl Rewriter<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.open(depth, b'{')?;
        if self.take(b'}') {
            self.out.push(b'}');
            return Some(());
        }
        let first_name = self.names.len();
        loop {
            self.skip_space();
            let name = self.string()?;
            self.names_format |= depth == 0 && self.out.get(name.clone())? == b"format";
            self.names.push(name);
            if !self.take(b':') {
                return None;
            }
            self.out.extend_from_slice(b": ");
            self.skip_space();
            self.value(depth + 1)?;
            if self.take(b'}') {
                self.out.push(b'}');
                break;
            }
            self.comma()?;
        }
        let differ = all_differ(&self.out, self.names.get_mut(first_name..)?);
        self.names.truncate(first_name);
        differ.then_some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.open(depth, b'[')?;
        if self.take(b']') {
            self.out.push(b']');
            return Some(());
        }
        loop {
            self.skip_space();
            self.value(depth + 1)?;
            if self.take(b']') {
                self.out.push(b']');
                return Some(());
            }
            self.comma()?;
        }
    }

    fn open(&mut self, depth: usize, bracket: u8) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.copy(1)?;
        debug_assert_eq!(self.out.last(), Some(&bracket));
        Some(())
    }

    fn comma(&mut self) -> Option<()> {
        if !self.take(b',') {
            return None;
        }
        self.out.extend_from_slice(b", ");
        Some(())
    }

    /// A string, and where in `out` what is between its quotes stands.
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.copy(1)?;
        let start = self.out.len();
        loop {
            let plain = plain_prefix(self.rest, |byte| {
                (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
            });
            self.copy(plain)?;
            match *self.rest {
                [b'"', ..] => {
                    let end = self.out.len();
                    self.copy(1)?;
                    return Some(start..end);
                }
                [b'\\', b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f', ..] => self.copy(2)?,
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        let sign = usize::from(self.peek()? == b'-');
        let whole = digits(self.rest.get(sign..)?);
        let point = sign + whole;
        let leading_zero = self.rest.get(sign) == Some(&b'0');
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        let fraction = match self.rest.get(point) {
            Some(b'.') => digits(self.rest.get(point + 1..)?),
            _ => 0,
        };
        let end = if fraction == 0 { point } else { point + 1 + fraction };
        if matches!(self.rest.get(end), Some(b'e' | b'E' | b'.')) {
            return self.odd_number();
        }
        if fraction == 0 {
            // Python has no negative zero among its integers.
            return if leading_zero && sign == 1 { None } else { self.copy(end) };
        }
        let ends_with_zero = self.rest.get(end - 1) == Some(&b'0') && fraction > 1;
        // Below 1e-4 Python writes an exponent; what begins with a zero is looked at more closely altogether.
        let is_sure =
            whole + fraction <= SURE_DIGITS && !ends_with_zero && !(leading_zero && self.is_small(point));
        if is_sure { self.copy(end) } else { self.odd_number() }
    }

    /// Whether the digits behind the point begin with a zero.
    fn is_small(&self, point: usize) -> bool {
        self.rest.get(point + 1) == Some(&b'0')
    }

    /// A float that may have another shortest form.
    fn odd_number(&mut self) -> Option<()> {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(length)?;
        // The one reader of Rust's is wider than JSON's in what it takes at the ends only.
        let well_formed = digits.last()?.is_ascii_digit()
            && !digits.windows(2).any(|pair| matches!(pair, [b'.', b'e' | b'E']));
        if !well_formed {
            return None;
        }
        // A float too large becomes an infinity.
        let number = Number::from_f64(std::str::from_utf8(digits).ok()?.parse().ok()?)?;
        self.out.extend_from_slice(python_float(&number).as_bytes());
        self.rest = rest;
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let words: [&[u8]; 5] = [b"null", b"true", b"false", b"NaN", b"Infinity"];
        let word = words.into_iter().find(|word| self.rest.starts_with(word))?;
        self.copy(word.len())
    }

    fn copy(&mut self, count: usize) -> Option<()> {
        let (copied, rest) = self.rest.split_at_checked(count)?;
        self.out.extend_from_slice(copied);
        self.rest = rest;
        Some(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Whether the next byte after white space is this one; it is then stepped over.
    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }
}

/// How many digits stand in front.
#[inline]
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

/// Whether no two of these parts of `text` are the same.
fn all_differ(text: &[u8], names: &mut [Range<usize>]) -> bool {
    let name = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    if names.len() < FEW_NAMES {
        return names.iter().enumerate().all(|(index, one)| {
            names.iter().skip(index + 1).all(|other| one.len() != other.len() || name(one) != name(other))
        });
    }
    names.sort_unstable_by(|one, other| name(one).cmp(name(other)));
    names.windows(2).all(|pair| match pair {
        [one, other] => name(one) != name(other),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> Option<String> {
        let rewritten = rewrite(json.as_bytes());
        if let Some(rewritten) = &rewritten {
            assert_eq!(rewritten.text, Json::parse(json.as_bytes()).unwrap().to_string(), "{json}");
        }
        rewritten.map(|rewritten| rewritten.text)
    }

    #[test]
    fn what_alerts_are_made_of_is_rewritten() {
        for (json, expected) in [
            (r#"{"a":1,"b":[true,null,-2.50]}"#, r#"{"a": 1, "b": [true, null, -2.5]}"#),
            (" {\n\t\"a\" : \"x\\ny\" } ", r#"{"a": "x\ny"}"#),
            (
                "[NaN, Infinity,[],{}, 123456789012345678901234567890]",
                "[NaN, Infinity, [], {}, 123456789012345678901234567890]",
            ),
            (
                "[0.1,0.05,0.00001,1e5,1.0,12345678901234567.5,-0.0,1.10]",
                "[0.1, 0.05, 1e-05, 100000.0, 1.0, 1.2345678901234568e+16, -0.0, 1.1]",
            ),
            ("[214858061520016.62,123456789.123456789]", "[214858061520016.62, 123456789.12345679]"),
        ] {
            assert_eq!(text(json).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_rest_is_left_to_others() {
        for json in [
            "\"text\"",
            "1",
            "",
            "[1",
            "[1,]",
            "[01]",
            "[-0]",
            "[1.]",
            "[.5]",
            "[1.e5]",
            "[1e]",
            "[+1]",
            "[1e5.5]",
            "[--1]",
            "[1e999]",
            "[-Infinity]",
            r#"["é"]"#,
            "[\"\u{7f}\"]",
            r#"["\u0041"]"#,
            r#"["\/"]"#,
            r#"["\x"]"#,
            "[\"\t\"]",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1"#,
            r#"{"a"}"#,
            "{1:2}",
            "[] x",
            "[tru]",
            "\u{feff}[]",
            r#"{"a":1,}"#,
        ] {
            assert_eq!(text(json), None, "{json}");
        }
        assert_eq!(rewrite(b"[\"\xff\"]"), None);
    }

    #[test]
    fn nesting_is_bounded_as_everywhere() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(text(&nested(MAX_DEPTH)), Some(nested(MAX_DEPTH)));
        assert_eq!(text(&nested(MAX_DEPTH + 1)), None);
    }

    #[test]
    fn repeated_names_are_found_among_many() {
        for count in [2, FEW_NAMES - 1, FEW_NAMES, 500] {
            let mut members: Vec<_> =
                (0..count).map(|number| format!("\"n{number}\": {{\"n0\": 1}}")).collect();
            let object = |members: &[String]| format!("{{{}}}", members.join(", "));
            assert_eq!(text(&object(&members)), Some(object(&members)));
            members.push("\"n1\": 1".to_owned());
            assert_eq!(text(&object(&members)), None);
        }
    }

    #[test]
    fn a_format_is_seen_in_the_outermost_object_only() {
        let names_format = |json: &str| rewrite(json.as_bytes()).unwrap().names_format;
        assert!(names_format(r#"{"a": 1, "format": "blob"}"#));
        assert!(!names_format(r#"{"a": {"format": 1}}"#));
        assert!(!names_format(r#"[{"format": 1}]"#));
        assert!(!names_format(r#"{"a": "format"}"#));
    }

    proptest! {
        #[test]
        fn it_says_what_reading_and_writing_says(json in r#"[\[\]{}:,"a\\n0-9.eE+ -]{0,24}"#) {
            text(&json);
        }

        #[test]
        fn every_number_is_as_python_has_it(number in r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?") {
            text(&format!("[{number}]"));
        }

        #[test]
        fn every_float_is_taken(float in any::<f64>().prop_filter("JSON has no others", |float| float.is_finite())) {
            let taken = text(&format!("[{float:?}]")).is_some();
            prop_assert!(taken);
        }
    }
}
