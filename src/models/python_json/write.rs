//! The writer: `json.dumps`, compact or indented.

use serde_json::{Number, Value};

use super::Json;

pub(super) struct Writer {
    out: String,
    indented: bool,
    depth: usize,
}

impl Writer {
    pub(super) fn compact() -> Self {
        Self { out: String::new(), indented: false, depth: 0 }
    }

    pub(super) fn indented() -> Self {
        Self { indented: true, ..Self::compact() }
    }

    pub(super) fn finish_value(mut self, value: &Value) -> String {
        self.value(value);
        self.out
    }

    pub(super) fn finish_json(mut self, value: &Json) -> String {
        self.json(value);
        self.out
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.bool(*value),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items, Self::value),
            Value::Object(members) => self.object(members, Self::value),
        }
    }

    fn json(&mut self, value: &Json) {
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

    fn array<'a, T: 'a>(&mut self, items: impl IntoIterator<Item = &'a T>, write: fn(&mut Self, &T)) {
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

    fn object<'a, T: 'a>(
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
        match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => self.out.push_str(&python_float(float)),
            None => self.out.push_str(&number.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                ' '..='~' => self.out.push(c),
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
fn python_float(float: f64) -> String {
    // Rust's `{:e}` has the same shortest digits, as `d.ddd` and an exponent.
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        // `{:?}` writes a decimal with a point in this range, as Python does.
        let plain = format!("{float}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::super::{to_string, to_string_pretty};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

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
        ] {
            assert_eq!(python_float(float), expected);
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
            prop_assert_eq!(python_float(float).parse::<f64>().unwrap().to_bits(), float.to_bits());
        }
    }
}
