//! The reader: one pass over the text, recursion bounded, positions for people.

use indexmap::IndexMap;
use serde_json::Number;

use super::scan::unescaped_prefix;
use super::{Json, JsonError, NonFinite};
use crate::models::error::line_and_column;

/// Deeper nesting is refused: every level costs stack, here and when the value is dropped.
pub(super) const MAX_DEPTH: usize = 256;

pub(super) fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(bytes, error.valid_up_to())),
    };
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        return Err(
            reader.error("the text begins with a byte order mark, which JSON does not allow; remove it")
        );
    }
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.expected("the end of the text after one value")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-I") => self.number(),
            _ => {
                let words = [
                    ("null", Json::Null),
                    ("true", Json::Bool(true)),
                    ("false", Json::Bool(false)),
                    ("NaN", Json::NonFinite(NonFinite::NaN)),
                    ("Infinity", Json::NonFinite(NonFinite::Infinity)),
                    ("-Infinity", Json::NonFinite(NonFinite::NegativeInfinity)),
                ];
                for (word, value) in words {
                    if self.rest().starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.expected("a value"))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut members = IndexMap::new();
        self.open(depth)?;
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a name in double quotes"));
            }
            let name = self.string()?;
            if !self.take(b':') {
                return Err(self.expected("a colon after the name"));
            }
            let value = self.value(depth + 1)?;
            members.insert(name, value);
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the closing brace"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.open(depth)?;
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the closing bracket"));
            }
        }
    }

    /// Steps over the bracket or brace that was seen, unless that would go too deep.
    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let plain = unescaped_prefix(self.rest().as_bytes());
            text.push_str(self.rest().get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(byte) => {
                    return Err(
                        self.error(format!("the control character {byte:#04x} must be escaped in a string"))
                    );
                }
                None => {
                    self.at = start;
                    return Err(self.error("the string that begins here has no closing quote"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match escaped {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let code = self.unicode_escape(start)?;
                return self.character(code, start);
            }
            _ => {
                self.at = start;
                return Err(self.error("unknown escape in a string"));
            }
        })
    }

    /// The character of a `\u` escape, together with a second one where the first is half of a pair.
    fn character(&mut self, first: u32, start: usize) -> Result<char, JsonError> {
        let mut code = first;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let after_first = self.at;
            self.at += 2;
            let second = self.unicode_escape(after_first)?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            }
        }
        char::from_u32(code).ok_or_else(|| {
            self.at = start;
            self.error("the escape of half a surrogate pair is no character")
        })
    }

    fn unicode_escape(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            self.at = start;
            return Err(self.error("\\u must be followed by four hexadecimal digits"));
        };
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => {
                self.at = start;
                return Err(self.expected("a value"));
            }
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') && self.is_digit(self.at + 1) {
            is_integer = false;
            self.at += 1;
            self.skip_digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.text.as_bytes().get(self.at + 1), Some(b'+' | b'-')));
            if self.is_digit(self.at + 1 + sign) {
                is_integer = false;
                self.at += 1 + sign;
                self.skip_digits();
            }
        }
        let digits = self.text.get(start..self.at).unwrap_or_default();
        if is_integer {
            return Ok(integer(digits));
        }
        // A float too large becomes an infinity, as in Python.
        digits.parse::<f64>().map(Json::from).map_err(|_| self.error("not a number"))
    }

    fn skip_digits(&mut self) {
        while self.is_digit(self.at) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether the next byte after white space is this one; it is then stepped over.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn is_digit(&self, at: usize) -> bool {
        self.text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> JsonError {
        match self.rest().chars().next() {
            Some(found) => self.error(format!("expected {what}, found {found:?}")),
            None => self.error(format!("expected {what}, but the text ends")),
        }
    }

    fn error(&self, problem: impl Into<String>) -> JsonError {
        let (line, column) = line_and_column(self.text, self.at);
        JsonError { line, column, problem: problem.into() }
    }
}

/// An integer of any length, from digits that are known to be well formed.
fn integer(digits: &str) -> Json {
    if digits == "-0" {
        // Python has no negative zero among its integers.
        return Json::Number(Number::from(0));
    }
    if let Ok(number) = digits.parse::<i64>() {
        return Json::Number(Number::from(number));
    }
    digits
        .parse::<u64>()
        .map_or_else(|_| Json::BigInteger(digits.into()), |number| Json::Number(Number::from(number)))
}

fn not_utf8(bytes: &[u8], valid: usize) -> JsonError {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let (line, column) = line_and_column(&before, before.len());
    let byte = bytes.get(valid).copied().unwrap_or_default();
    JsonError {
        line,
        column,
        problem: format!("byte {valid} (counted from 0) is {byte:#04x}, which is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> String {
        parse(text.as_bytes()).unwrap().to_string()
    }

    fn problem(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn all_kinds_of_values_are_read() {
        assert_eq!(
            read(" { \"a\" : [ 1 , -2.50 , true , false , null ] } \n"),
            r#"{"a": [1, -2.5, true, false, null]}"#
        );
        assert_eq!(read("[]"), "[]");
        assert_eq!(read("{}"), "{}");
        assert_eq!(
            read("[NaN,Infinity,-Infinity,1E400,-1e999]"),
            "[NaN, Infinity, -Infinity, Infinity, -Infinity]"
        );
        assert_eq!(read("[-0,-0.0,0,18446744073709551615]"), "[0, -0.0, 0, 18446744073709551615]");
        assert_eq!(read("-123456789012345678901234567890"), "-123456789012345678901234567890");
    }

    #[test]
    fn a_repeated_key_keeps_its_last_value_at_the_first_place() {
        assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#), r#"{"a": 3, "b": 2}"#);
    }

    #[test]
    fn escapes_are_characters() {
        let text = parse(br#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude80""#).unwrap();
        assert_eq!(text, Json::String("\"\\/\u{8}\u{c}\n\r\té🚀".into()));
    }

    #[test]
    fn faults_are_placed_and_explained() {
        for (text, expected) in [
            ("", "line 1, column 1: expected a value, but the text ends"),
            ("{\"a\": 1} x", "line 1, column 10: expected the end of the text after one value, found 'x'"),
            ("{'a': 1}", "line 1, column 2: expected a name in double quotes, found '\\''"),
            ("[1,\n 2\n 3]", "line 3, column 2: expected a comma or the closing bracket, found '3'"),
            ("{\"é\" 1}", "line 1, column 6: expected a colon after the name, found '1'"),
            ("\"open", "line 1, column 1: the string that begins here has no closing quote"),
            ("01", "line 1, column 2: expected the end of the text after one value, found '1'"),
            ("-", "line 1, column 1: expected a value, found '-'"),
            ("\"\\ud83d\"", "line 1, column 2: the escape of half a surrogate pair is no character"),
            ("\"\\ud83d\\u0041\"", "line 1, column 2: the escape of half a surrogate pair is no character"),
            ("\"\\u12\"", "line 1, column 2: \\u must be followed by four hexadecimal digits"),
            ("\"a\tb\"", "line 1, column 3: the control character 0x09 must be escaped in a string"),
            ("\"\\x\"", "line 1, column 2: unknown escape in a string"),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
        assert!(problem("\u{feff}{}").contains("byte order mark"));
        let error = parse(b"[1,\n\"\xff\"]").unwrap_err().to_string();
        assert_eq!(error, "line 2, column 2: byte 5 (counted from 0) is 0xff, which is not UTF-8");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(problem(&deep(MAX_DEPTH + 1)).contains("256 levels"));
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }

    /// Any JSON value that serde holds.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(|float| json!(float)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read_the_same(value in any_value()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(parse(&text).unwrap().into_value(), value);
        }

        #[test]
        fn what_is_written_is_read_the_same_by_both(value in any_value()) {
            let json = Json::from(value.clone());
            prop_assert_eq!(&parse(json.to_string().as_bytes()).unwrap(), &json);
            prop_assert_eq!(&parse(format!("{json:#}").as_bytes()).unwrap(), &json);
            prop_assert_eq!(serde_json::from_str::<Value>(&json.to_string()).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_it_panic_and_it_accepts_all_that_serde_accepts(bytes in any::<Vec<u8>>()) {
            let ours = parse(&bytes);
            if serde_json::from_slice::<Value>(&bytes).is_ok() {
                prop_assert!(ours.is_ok());
            }
        }

        #[test]
        fn json_like_text_is_accepted_where_serde_accepts_it(
            text in r#"[ \[\]{},:"\\0-9eE.+\-a-fntruls]{0,24}"#,
        ) {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert!(parse(text.as_bytes()).is_ok());
            } else if let Ok(json) = parse(text.as_bytes()) {
                // Only what Python adds: a float that overflows.
                prop_assert!(json.to_string().contains("Infinity"), "{}", text);
            }
        }
    }
}
