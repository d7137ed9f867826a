//! The writer: `json.dumps`, compact or indented.

use serde_json::{Number, Value};

use super::Json;
use super::scan::plain_prefix;

pub(in crate::models) struct Writer {
    out: String,
    indented: bool,
    depth: usize,
}

impl Writer {
    pub(in crate::models) fn compact() -> Self {
        Self { out: String::new(), indented: false, depth: 0 }
    }

    pub(super) fn indented() -> Self {
        Self { indented: true, ..Self::compact() }
    }

    /// What was written.
    pub(in crate::models) fn finish(self) -> String {
        self.out
    }

    pub(super) fn finish_value(mut self, value: &Value) -> String {
        self.value(value);
        self.out
    }

    pub(super) fn finish_json(mut self, value: &Json) -> String {
        self.json(value);
        self.out
    }

    pub(in crate::models) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.bool(*value),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items, Self::value),
            Value::Object(members) => self.object(members, Self::value),
        }
    }

    pub(in crate::models) fn json(&mut self, value: &Json) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(value) => self.bool(*value),
            Json::Number(number) => self.number(number),
            Json::BigInteger(digits) => self.out.push_str(digits),
            Json::NonFinite(number) => self.out.push_str(number.name()),
            Json::String(text) => self.string(text),
            Json::Array(items) => self.array(items, Self::json),
            Json::Object(members) => self.object(members, Self::json),
        }
    }

    pub(in crate::models) fn array<'a, T: 'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a T>,
        write: fn(&mut Self, &T),
    ) {
        self.out.push('[');
        self.depth += 1;
        let mut is_empty = true;
        for item in items {
            self.separate(is_empty);
            is_empty = false;
            write(self, item);
        }
        self.close(is_empty, ']');
    }

    pub(in crate::models) fn object<'a, T: 'a>(
        &mut self,
        members: impl IntoIterator<Item = (&'a String, &'a T)>,
        write: fn(&mut Self, &T),
    ) {
        self.out.push('{');
        self.depth += 1;
        let mut is_empty = true;
        for (name, value) in members {
            self.separate(is_empty);
            is_empty = false;
            self.string(name);
            self.out.push_str(": ");
            write(self, value);
        }
        self.close(is_empty, '}');
    }

    fn separate(&mut self, is_first: bool) {
        if !is_first {
            self.out.push(',');
        }
        if self.indented {
            self.new_line();
        } else if !is_first {
            self.out.push(' ');
        }
    }

    fn close(&mut self, is_empty: bool, bracket: char) {
        self.depth -= 1;
        if self.indented && !is_empty {
            self.new_line();
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }

    fn bool(&mut self, value: bool) {
        self.out.push_str(if value { "true" } else { "false" });
    }

    fn number(&mut self, number: &Number) {
        let text = if number.is_f64() { python_float(number) } else { number.to_string() };
        self.out.push_str(&text);
    }

    pub(in crate::models) fn string(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        loop {
            let plain = plain_prefix(rest.as_bytes());
            // What ends the plain part is ASCII or begins a character: both are boundaries.
            let (copied, special) = rest.split_at_checked(plain).unwrap_or((rest, ""));
            self.out.push_str(copied);
            let mut characters = special.chars();
            let Some(c) = characters.next() else { break };
            rest = characters.as_str();
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.unicode_escape(*unit);
                    }
                }
            }
        }
        self.out.push('"');
    }

    fn unicode_escape(&mut self, unit: u16) {
        self.out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            let digit = u32::from(unit >> shift & 0xf);
            self.out.push(char::from_digit(digit, 16).unwrap_or('0'));
        }
    }
}

/// A finite float as Python's `repr`: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16.
///
/// The digits are those of `serde_json`. Rust's own differ from Python's where two shortest ones are equally near:
/// Python takes the even one, -214858061520016.62 and not .63.
pub(super) fn python_float(number: &Number) -> String {
    let text = number.to_string();
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text.as_str()), |unsigned| ("-", unsigned));
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0');
    // The place of the point, counted from the first significant digit.
    let point =
        exponent.parse::<i64>().unwrap_or_default() + length(whole) - (length(&all) - length(significant));
    if digits.is_empty() {
        return format!("{sign}0.0");
    }
    match usize::try_from(point) {
        Ok(point @ 1..=16) if point >= digits.len() => format!("{sign}{digits:0<point$}.0"),
        Ok(point @ 1..=16) => {
            let (whole, fraction) = digits.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
        _ if (-3..=0).contains(&point) => {
            let zeros = "0".repeat(usize::try_from(-point).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let exponent = point - 1;
            let exponent_sign = if exponent < 0 { '-' } else { '+' };
            format!("{sign}{first}{dot}{rest}e{exponent_sign}{:02}", exponent.unsigned_abs())
        }
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{to_string, to_string_pretty};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn write(float: f64) -> String {
        python_float(&Number::from_f64(float).unwrap())
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (float, expected) in [
            (5.0, "5.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_012_345, "1.2345e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (-1.797_693_134_862_315_7e308, "-1.7976931348623157e+308"),
            (123_456_789_012_345.67, "123456789012345.67"),
            (-214_858_061_520_016.63, "-214858061520016.62"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
        ] {
            assert_eq!(write(float), expected);
        }
    }

    #[test]
    fn text_is_ascii() {
        assert_eq!(
            to_string(&json!("\"\\/\u{8}\u{c}\n\r\t\0\u{1b}\u{7f}\u{a0}é€🚀")),
            r#""\"\\/\b\f\n\r\t\u0000\u001b\u007f\u00a0\u00e9\u20ac\ud83d\ude80""#
        );
    }

    #[test]
    fn indentation_leaves_empty_parts_on_their_line() {
        assert_eq!(
            to_string_pretty(&json!({ "a": [], "b": {}, "c": [1, { "d": null }] })),
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": null\n    }\n  ]\n}"
        );
        assert_eq!(to_string(&json!({ "a": [1, 2], "b": {} })), r#"{"a": [1, 2], "b": {}}"#);
    }

    proptest! {
        #[test]
        fn every_float_reads_back(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            prop_assert_eq!(write(float).parse::<f64>().unwrap().to_bits(), float.to_bits());
        }
    }
}
