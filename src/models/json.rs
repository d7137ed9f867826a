//! A JSON value as a message: the format `json`, the lines of standard input, and the content of an old blob.

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;

use super::python_json::{Json, rewrite};
use super::{Blob, MessageModel, ModelError, WireForm, envelope};

/// A JSON value.
///
/// What Python's `json` module reads is read, and written back the same way: see [`python_json`](super::python_json).
///
/// ```
/// use hop::models::{JsonBlob, MessageModel};
///
/// let message = JsonBlob::new(serde_json::json!({ "event": "S260101a", "far": 3e-8 }));
/// assert_eq!(message.json_line(), r#"{"event": "S260101a", "far": 3e-08}"#);
/// ```
#[derive(Debug, Clone)]
pub struct JsonBlob {
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Value(Json),
    /// An object or array as Python writes it, and its value once somebody asks.
    Text(String, OnceLock<Json>),
}

impl PartialEq for JsonBlob {
    fn eq(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}

impl JsonBlob {
    /// The format's name.
    pub const FORMAT: &'static str = "json";

    /// A message of this value.
    pub fn new(content: impl Into<Json>) -> Self {
        Self { content: Content::Value(content.into()) }
    }

    /// A message of whatever serde can serialize.
    ///
    /// ```
    /// use hop::models::{JsonBlob, MessageModel};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Candidate {
    ///     ra: f64,
    ///     name: Option<&'static str>,
    /// }
    ///
    /// let message = JsonBlob::from_serialize(&Candidate { ra: 10.5, name: None })?;
    /// assert_eq!(message.json_line(), r#"{"ra": 10.5, "name": null}"#);
    /// # Ok::<(), hop::models::ModelError>(())
    /// ```
    ///
    /// JSON has no numbers that are none, and no infinite ones: they become `null`.
    ///
    /// # Errors
    ///
    /// When its [`Serialize`] fails, or a map has keys that are no strings.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ModelError> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|error| {
            ModelError::structure(Self::FORMAT, format!("the value cannot be written as JSON: {error}"))
        })?;
        Self::load(&text)
    }

    /// Reads the JSON text that a file, or a line of standard input, holds.
    ///
    /// # Errors
    ///
    /// When it is not one JSON value; the error has the line and the column.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        match rewrite(content) {
            Some(rewritten) => Ok(Self::of_text(rewritten.text)),
            None => Ok(Self::new(Json::parse(content)?)),
        }
    }

    /// Reads an object or array that is no envelope of old versions; `None` where that takes a closer look.
    pub(super) fn of_plain(payload: &[u8]) -> Option<Self> {
        let rewritten = rewrite(payload)?;
        (!rewritten.names_format).then(|| Self::of_text(rewritten.text))
    }

    fn of_text(text: String) -> Self {
        Self { content: Content::Text(text, OnceLock::new()) }
    }

    /// Reads a file of JSON.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not one JSON value.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Self::load(payload)
    }

    /// The value.
    pub fn content(&self) -> &Json {
        match &self.content {
            Content::Value(value) => value,
            // Only what can be read was rewritten.
            Content::Text(text, value) => {
                value.get_or_init(|| Json::parse(text.as_bytes()).unwrap_or_default())
            }
        }
    }

    /// The value, taken out.
    pub fn into_content(self) -> Json {
        match self.content {
            Content::Value(value) => value,
            Content::Text(text, value) => {
                value.into_inner().unwrap_or_else(|| Json::parse(text.as_bytes()).unwrap_or_default())
            }
        }
    }

    /// JSON text as Python writes it.
    fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Content::Value(value) => Cow::Owned(value.to_string()),
            Content::Text(text, _) => Cow::Borrowed(text),
        }
    }
}

impl MessageModel for JsonBlob {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        self.content().to_value()
    }

    /// JSON text on one line; a string without its quotes and escapes.
    fn to_text(&self) -> Cow<'_, [u8]> {
        match &self.content {
            Content::Value(Json::String(text)) => Cow::Borrowed(text.as_bytes()),
            Content::Value(other) => Cow::Owned(other.to_string().into_bytes()),
            Content::Text(text, _) => Cow::Borrowed(text.as_bytes()),
        }
    }

    /// JSON text. An old version knows it as the content of a blob, so that is what an envelope calls it.
    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        let text = self.text();
        Ok(if form == WireForm::Envelope {
            envelope(Blob::FORMAT, &text)
        } else {
            text.into_owned().into_bytes()
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn json_line(&self) -> String {
        self.text().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_python_json_and_a_bare_string() {
        let object = JsonBlob::load(br#"{"b":1.50,"a":[null,"\u00e9"]}"#).unwrap();
        assert_eq!(object.to_text().as_ref(), br#"{"b": 1.5, "a": [null, "\u00e9"]}"#);
        let string = JsonBlob::load(br#""caf\u00e9\n""#).unwrap();
        assert_eq!(string.to_text().as_ref(), "café\n".as_bytes());
        assert_eq!(string.json_line(), r#""caf\u00e9\n""#);
        assert_eq!(string.serialize(WireForm::Json).unwrap(), br#""caf\u00e9\n""#);
    }

    #[test]
    fn an_envelope_calls_it_a_blob() {
        let blob = JsonBlob::load(b"[NaN, 123456789012345678901234567890]").unwrap();
        assert_eq!(
            blob.serialize(WireForm::Envelope).unwrap(),
            br#"{"format": "blob", "content": [NaN, 123456789012345678901234567890]}"#
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        let error = JsonBlob::load(b"{\n  \"a\": 1,\n}").unwrap_err().to_string();
        assert!(error.contains("line 3, column 1"), "{error}");
    }
}
