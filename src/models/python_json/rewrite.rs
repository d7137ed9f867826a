//! From JSON text to Python's form of it in one pass, without a value in between: what most messages need, since they
//! are printed as they come.
//!
//! It takes what alerts are made of, and leaves the rest to [`read`](super::read) and [`write`](super::write), whose
//! answer it gives where it gives one. Left to them are texts that are not JSON, repeated names, characters outside of
//! ASCII, and escapes that Python would write otherwise.

use std::ops::Range;

use serde_json::Number;

use super::read::MAX_DEPTH;
use super::scan::{plain_number, plain_prefix};
use super::write::python_float;

/// As many digits as a double keeps, whatever they are: no shorter number reads back as the same.
const SURE_DIGITS: usize = 15;
/// From 1e16 on Python writes an exponent.
const MOST_WHOLE_DIGITS: usize = 16;
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
    let mut rewriter =
        Rewriter { bytes, at: 0, kept: 0, out: Vec::new(), names: Vec::new(), names_format: false };
    rewriter.drop_space();
    if !matches!(rewriter.peek(), Some(b'{' | b'[')) {
        return None;
    }
    rewriter.value(0)?;
    rewriter.keep()?;
    rewriter.drop_space();
    if rewriter.peek().is_some() {
        return None;
    }
    // What is written is ASCII, of which this makes sure.
    let text = String::from_utf8(rewriter.out).ok()?;
    Some(Rewritten { text, names_format: rewriter.names_format })
}

/// Steps through the text and copies it in as long pieces as it can: most senders write as Python does.
struct Rewriter<'a> {
    bytes: &'a [u8],
    at: usize,
    /// From here up to `at` the text is as Python has it, and not yet in `out`.
    kept: usize,
    out: Vec<u8>,
    /// Where in `bytes` the names of the objects stand that are open, the innermost last.
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
        if self.opens_and_closes(depth, b'}')? {
            return Some(());
        }
        let first_name = self.names.len();
        loop {
            let name = self.string()?;
            self.names_format |= depth == 0 && self.bytes.get(name.clone())? == b"format";
            self.names.push(name);
            self.separator(b':')?;
            self.value(depth + 1)?;
            if !self.goes_on(b'}')? {
                break;
            }
        }
        let differ = all_differ(self.bytes, self.names.get_mut(first_name..)?);
        self.names.truncate(first_name);
        differ.then_some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        if self.opens_and_closes(depth, b']')? {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if !self.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Steps over an opening bracket, and over the closing one if there is nothing in between.
    fn opens_and_closes(&mut self, depth: usize, bracket: u8) -> Option<bool> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.closes(bracket)
    }

    /// Whether a comma comes next, or this bracket.
    #[inline(always)]
    fn goes_on(&mut self, bracket: u8) -> Option<bool> {
        match *self.bytes.get(self.at..)? {
            [b',', b' ', third, ..] if third > b' ' => {
                self.at += 2;
                Some(true)
            }
            [first, ..] if first == bracket => {
                self.at += 1;
                Some(false)
            }
            _ if self.closes(bracket)? => Some(false),
            _ => self.separator(b',').map(|()| true),
        }
    }

    /// Whether this bracket comes next; it is then stepped over. White space in front goes.
    #[inline]
    fn closes(&mut self, bracket: u8) -> Option<bool> {
        if matches!(self.peek()?, b' ' | b'\t' | b'\n' | b'\r') {
            self.keep()?;
            self.drop_space();
        }
        let closes = self.peek()? == bracket;
        self.at += usize::from(closes);
        Some(closes)
    }

    /// A comma or colon, and one space.
    #[inline(always)]
    fn separator(&mut self, mark: u8) -> Option<()> {
        if let [first, b' ', third, ..] = *self.bytes.get(self.at..)?
            && first == mark
            && third > b' '
        {
            self.at += 2;
            return Some(());
        }
        self.keep()?;
        self.drop_space();
        if self.peek()? != mark {
            return None;
        }
        self.at += 1;
        self.drop_space();
        self.out.extend_from_slice(&[mark, b' ']);
        Some(())
    }

    /// A string; where what is between its quotes stands.
    #[inline(always)]
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let plain = plain_prefix(rest);
            self.at += plain;
            match rest.get(plain..)? {
                [b'"', ..] => {
                    let end = self.at;
                    self.at += 1;
                    return Some(start..end);
                }
                [b'\\', b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f', ..] => self.at += 2,
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        if let Some(length) = plain_number(rest) {
            self.at += length;
            return Some(());
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let whole = count_digits(digits);
        let leading_zero = digits.first() == Some(&b'0');
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        let length = usize::from(negative) + whole;
        let behind = digits.get(whole..)?;
        match behind {
            [b'.', fraction @ ..] => {
                let places = count_digits(fraction);
                let is_odd = places == 0
                    || matches!(fraction.get(places), Some(b'e' | b'E'))
                    || is_tiny(leading_zero, fraction)
                    || whole > MOST_WHOLE_DIGITS;
                let length = length + 1 + places;
                let is_pythons = !is_odd
                    && (is_shortest(whole, fraction.get(..places)?)
                        || is_how_it_is_written(rest.get(..length)?));
                if !is_pythons {
                    return self.odd_number();
                }
                self.at += length;
                Some(())
            }
            [b'e' | b'E', ..] => self.odd_number(),
            // Python has no negative zero among its integers.
            _ if negative && leading_zero => None,
            _ => {
                self.at += length;
                Some(())
            }
        }
    }

    /// A float that may have another shortest form.
    fn odd_number(&mut self) -> Option<()> {
        self.keep()?;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let number = rest.get(..length)?;
        // Rust reads more than JSON allows: a point needs digits on both sides.
        let ends_well = number.last()?.is_ascii_digit();
        if !ends_well || number.windows(2).any(|pair| matches!(pair, [b'.', b'e' | b'E'])) {
            return None;
        }
        // Beyond all floats is an infinity, which is no number.
        let float = Number::from_f64(std::str::from_utf8(number).ok()?.parse().ok()?)?;
        self.out.extend_from_slice(python_float(&float).as_bytes());
        self.at += length;
        self.kept = self.at;
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let words: [&[u8]; 5] = [b"null", b"true", b"false", b"NaN", b"Infinity"];
        self.at += words.into_iter().find(|word| rest.starts_with(word))?.len();
        Some(())
    }

    /// Copies what is to be kept so far.
    fn keep(&mut self) -> Option<()> {
        let kept = self.bytes.get(self.kept..self.at)?;
        if self.out.is_empty() {
            self.out.reserve(self.bytes.len());
        }
        self.out.extend_from_slice(kept);
        self.kept = self.at;
        Some(())
    }

    /// Steps over white space, which is not kept; what is before it has been.
    fn drop_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.kept = self.at;
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// Whether a float of these digits is written in just this way, as far as their number tells.
fn is_shortest(whole: usize, fraction: &[u8]) -> bool {
    let trailing_zero = fraction.len() > 1 && fraction.last() == Some(&b'0');
    whole + fraction.len() <= SURE_DIGITS && !trailing_zero
}

/// Below 1e-4 Python writes an exponent.
fn is_tiny(leading_zero: bool, fraction: &[u8]) -> bool {
    leading_zero && fraction.starts_with(b"0000")
}

/// Whether the float that this is has no shorter form, or another: most senders write all of a float's digits.
fn is_how_it_is_written(number: &[u8]) -> bool {
    let float: Option<f64> = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    float.is_some_and(|float| zmij::Buffer::new().format(float).as_bytes() == number)
}

/// How many digits stand in front.
#[inline]
fn count_digits(bytes: &[u8]) -> usize {
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
            (
                "[0.30000000000000004,0.1000000000000000055511151231257827,1234567890123456.7,9999999999999999.9]",
                "[0.30000000000000004, 0.1, 1234567890123456.8, 1e+16]",
            ),
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
            // And with enough behind it for a number to be seen whole.
            text(&format!("{json}{:16}", ""));
        }

        #[test]
        fn every_number_is_as_python_has_it(number in r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?") {
            text(&format!("[{number}]"));
            text(&format!("[{number}, \"something behind\"]"));
        }

        #[test]
        fn every_float_is_taken(float in any::<f64>().prop_filter("JSON has no others", |float| float.is_finite())) {
            let taken = text(&format!("[{float:?}]")).is_some();
            prop_assert!(taken);
        }
    }
}
