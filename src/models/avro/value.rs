//! The values that Avro has, as far as a reader can tell them apart.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::bad;
use crate::models::python_json::Json;
use crate::models::python_json::write::Writer;
use crate::models::{ModelError, bytes_to_json};

/// What a record, or a part of one, holds. Which of Avro's types it was written as, the schema says.
///
/// It prints (`{}`) as JSON in Python's spacing and escapes: bytes as a string where they are UTF-8, else as
/// `{"$binary": base64}`.
///
/// ```
/// use hop::models::AvroValue;
///
/// let value = AvroValue::try_from(serde_json::json!({ "name": "GRB 260101A", "far": 3e-8 }))?;
/// assert_eq!(value.to_string(), r#"{"name": "GRB 260101A", "far": 3e-08}"#);
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum AvroValue {
    /// `null`.
    #[default]
    Null,
    /// `boolean`.
    Boolean(bool),
    /// `int` or `long`.
    Long(i64),
    /// `float` or `double`.
    Double(f64),
    /// `bytes` or `fixed`.
    Bytes(Vec<u8>),
    /// `string`, or the symbol of an `enum`.
    String(String),
    /// `array`.
    Array(Vec<Self>),
    /// `map` or `record`. Of a repeated key the last value counts, at the place of the first.
    Map(IndexMap<String, Self>),
    /// A value whose schema says what it means: a date, a time, a decimal number, a UUID.
    Logical {
        /// The value as it was written: the number, or the bytes.
        value: Box<Self>,
        /// What it means, as it is printed: `2026-11-27T07:00:00+00:00`, `12.50`.
        text: String,
    },
}

impl AvroValue {
    /// The value as JSON for use with serde. A float that is none becomes a string, such as `NaN`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(*value),
            Self::Long(value) => Value::from(*value),
            Self::Double(value) => Json::from(*value).to_value(),
            Self::Bytes(bytes) => bytes_to_json(bytes),
            Self::String(text) | Self::Logical { text, .. } => Value::from(text.as_str()),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// What it is, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Long(_) => "an integer",
            Self::Double(_) => "a float",
            Self::Bytes(_) => "bytes of this length",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Logical { value, .. } => value.kind(),
        }
    }

    fn write(writer: &mut Writer, value: &Self) {
        match value {
            Self::Array(items) => writer.array(items, Self::write),
            Self::Map(members) => writer.object(members, Self::write),
            Self::String(text) | Self::Logical { text, .. } => writer.string(text),
            Self::Double(value) => writer.json(&Json::from(*value)),
            scalar => writer.value(&scalar.to_json()),
        }
    }
}

impl std::fmt::Display for AvroValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut writer = Writer::compact();
        Self::write(&mut writer, self);
        f.write_str(&writer.finish())
    }
}

impl From<bool> for AvroValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for AvroValue {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<f64> for AvroValue {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for AvroValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for AvroValue {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Vec<u8>> for AvroValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl TryFrom<Json> for AvroValue {
    type Error = ModelError;

    /// The same value; it fails for an integer of more than 64 bits, which Avro does not have.
    fn try_from(json: Json) -> Result<Self, ModelError> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Boolean(value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Self::Long(value),
                None if number.is_f64() => Self::Double(number.as_f64().unwrap_or_default()),
                None => return Err(too_large(&number.to_string())),
            },
            Json::BigInteger(digits) => return Err(too_large(&digits)),
            Json::NonFinite(number) => Self::Double(number.name().parse().unwrap_or(f64::NAN)),
            Json::String(text) => Self::String(text),
            Json::Array(items) => {
                Self::Array(items.into_iter().map(Self::try_from).collect::<Result<_, _>>()?)
            }
            Json::Object(members) => Self::Map(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::try_from(value)?)))
                    .collect::<Result<_, ModelError>>()?,
            ),
        })
    }
}

impl TryFrom<Value> for AvroValue {
    type Error = ModelError;

    /// The same value; it fails for an integer beyond those of `i64`, which Avro does not have.
    fn try_from(value: Value) -> Result<Self, ModelError> {
        Self::try_from(Json::from(value))
    }
}

fn too_large(digits: &str) -> ModelError {
    bad(&format!("{digits} is beyond the 64 bits of Avro's `long`; send it as a string"))
}
