//! The value that holds all that Python's `json` reads.

use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Number, Value};

use super::{JsonError, read, write};

/// A JSON value, with the numbers that Python has beyond those of JSON. Keys keep their order.
///
/// It prints (`{}`) as Python's `json.dumps` writes it, and indented with `{:#}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of 64 bits, or a finite float.
    Number(Number),
    /// An integer beyond 64 bits: a sign if negative, then decimal digits, no leading zero.
    BigInteger(Box<str>),
    /// `NaN`, `Infinity` or `-Infinity`.
    NonFinite(NonFinite),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object. Of a repeated key the last value counts, at the place of the first.
    Object(IndexMap<String, Self>),
}

/// A float that is no finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonFinite {
    /// Not a number.
    NaN,
    /// Beyond every float.
    Infinity,
    /// Below every float.
    NegativeInfinity,
}

impl Json {
    /// Reads one JSON value with nothing but white space around it.
    ///
    /// # Errors
    ///
    /// With line and column, when the bytes are not UTF-8 or not JSON, or are nested more than 256 levels deep.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        read::parse(bytes)
    }

    /// The value for use with serde. A number that does not fit becomes a string: its digits, `NaN`, `Infinity` or
    /// `-Infinity`.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::BigInteger(digits) => Value::from(&**digits),
            Self::NonFinite(number) => Value::from(number.name()),
            Self::String(text) => Value::from(text.as_str()),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(key, value)| (key.clone(), value.to_value()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// The value for use with serde, as [`to_value`](Self::to_value), without copying strings.
    pub fn into_value(self) -> Value {
        match self {
            Self::String(text) => Value::String(text),
            Self::Array(items) => items.into_iter().map(Self::into_value).collect(),
            Self::Object(members) => members
                .into_iter()
                .map(|(key, value)| (key, value.into_value()))
                .collect::<Map<_, _>>()
                .into(),
            other => other.to_value(),
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&IndexMap<String, Self>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl NonFinite {
    /// The name that Python gives it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NaN => "NaN",
            Self::Infinity => "Infinity",
            Self::NegativeInfinity => "-Infinity",
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writer = if f.alternate() { write::Writer::indented() } else { write::Writer::compact() };
        f.write_str(&writer.finish_json(self))
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Number::from_f64(value).map_or_else(
            || {
                Self::NonFinite(if value.is_nan() {
                    NonFinite::NaN
                } else if value > 0.0 {
                    NonFinite::Infinity
                } else {
                    NonFinite::NegativeInfinity
                })
            },
            Self::Number,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn serde_values_pass_through_unchanged() {
        let value = json!({ "z": [1, -2.5, "x", null, true, {}], "a": u64::MAX });
        assert_eq!(Json::from(value.clone()).to_value(), value);
        assert_eq!(Json::from(value.clone()).into_value(), value);
    }

    #[test]
    fn numbers_that_serde_lacks_become_strings() {
        let text = b"[NaN, -Infinity, 99999999999999999999]";
        assert_eq!(
            Json::parse(text).unwrap().to_value(),
            json!(["NaN", "-Infinity", "99999999999999999999"])
        );
        assert_eq!(Json::from(f64::INFINITY).to_string(), "Infinity");
    }
}
