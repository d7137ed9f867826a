//! Plain bytes: the format `blob`, and what a message of an unknown format is shown as.
//!
//! Nothing is read into the bytes, even where they happen to be JSON: a program that wants a value asks for
//! [`JsonBlob`](super::JsonBlob).

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::{MessageModel, ModelError, WireForm, bytes_to_json, envelope, python_json};

/// Bytes without a meaning of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob {
    content: Vec<u8>,
}

impl Blob {
    /// The format's name.
    pub const FORMAT: &'static str = "blob";

    /// A blob of these bytes.
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into() }
    }

    /// A blob of what a file holds. It cannot fail; the `Result` is that of every other format.
    ///
    /// # Errors
    ///
    /// None.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        Ok(Self::new(content))
    }

    /// A blob of the bytes in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// A blob of a payload.
    ///
    /// # Errors
    ///
    /// None.
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Ok(Self::new(payload))
    }

    /// The bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The bytes, taken out.
    pub fn into_content(self) -> Vec<u8> {
        self.content
    }
}

impl MessageModel for Blob {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    /// A string where the bytes are UTF-8, else `{"$binary": base64}`.
    fn to_json(&self) -> Value {
        bytes_to_json(&self.content)
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.content)
    }

    /// The bytes themselves. In an envelope they are a JSON string, as old versions sent the text of a file.
    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        if form != WireForm::Envelope {
            return Ok(self.content.clone());
        }
        let text = std::str::from_utf8(&self.content).map_err(|error| ModelError::NotRepresentable {
            format: Self::FORMAT.to_owned(),
            form,
            problem: format!(
                "an envelope holds text, and byte {} (counted from 0) is not UTF-8; \
                 send it without the envelope",
                error.valid_up_to()
            ),
        })?;
        Ok(envelope(Self::FORMAT, &python_json::to_string(&Value::from(text))))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sent_and_shown_as_they_are() {
        let blob = Blob::load(b"\x00\xffraw\n").unwrap();
        assert_eq!(blob.to_text().as_ref(), b"\x00\xffraw\n");
        assert_eq!(blob.serialize(WireForm::Json).unwrap(), b"\x00\xffraw\n");
        assert_eq!(blob.serialize(WireForm::Original).unwrap(), b"\x00\xffraw\n");
    }

    #[test]
    fn an_envelope_holds_the_text_as_a_string() {
        let blob = Blob::new("{\"a\":1}\né");
        assert_eq!(
            blob.serialize(WireForm::Envelope).unwrap(),
            br#"{"format": "blob", "content": "{\"a\":1}\n\u00e9"}"#
        );
    }

    #[test]
    fn an_envelope_refuses_what_is_not_text() {
        let error = Blob::new(b"ok\xff".to_vec()).serialize(WireForm::Envelope).unwrap_err().to_string();
        assert!(error.contains("envelope") && error.contains("byte 2"), "{error}");
    }
}
