//! GCN text notices: lines of `NAME: value` with continuation lines, as GCN sends them by e-mail and on Kafka.
//!
//! The bytes are kept and sent on untouched; the fields are read out of them. A continuation line that has a colon of
//! its own (a time, say) reads as a new field: that is how hop-client reads it, and the bytes are there for whoever
//! knows better.

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::python_text::{is_space, split_lines, strip};
use super::{MessageModel, ModelError, WireForm, envelope, python_json};

/// A notice in GCN's text format.
///
/// ```
/// use hop::models::GcnTextNotice;
///
/// let notice = GcnTextNotice::load(b"TITLE:   GCN NOTICE\nSRC_RA:  10.5d (J2000),\n         10.6d (current)\n")?;
/// assert_eq!(notice.field("src_ra"), Some("10.5d (J2000),\n10.6d (current)"));
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcnTextNotice {
    raw: String,
    fields: Map<String, Value>,
}

impl GcnTextNotice {
    /// The format's name.
    pub const FORMAT: &'static str = "gcntextnotice";

    /// Reads a notice.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        let raw = ModelError::utf8(content, "a GCN text notice")?.to_owned();
        let fields = parse_fields(&raw);
        Ok(Self { raw, fields })
    }

    /// Reads a notice from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not UTF-8.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload, which holds the same bytes as a file.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Self::load(payload)
    }

    /// Takes the content of an envelope: an object whose `raw` is the notice.
    pub(super) fn from_envelope(content: &Value) -> Result<Self, ModelError> {
        let raw = content.get("raw").and_then(Value::as_str).ok_or_else(|| {
            ModelError::structure(
                Self::FORMAT,
                "the content of the envelope must be an object with a string \"raw\"",
            )
        })?;
        Self::load(raw.as_bytes())
    }

    /// The notice as it was received.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The value of a field by its lower-case name; repeated fields and continuation lines are joined by newlines.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// All fields in the order in which they first appear.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
    }
}

impl MessageModel for GcnTextNotice {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    /// `{"raw": the notice, "fields": {name: value}}`.
    fn to_json(&self) -> Value {
        json!({ "raw": self.raw, "fields": self.fields })
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.raw.as_bytes())
    }

    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        Ok(match form {
            WireForm::Envelope => envelope(Self::FORMAT, &python_json::to_string(&self.to_json())),
            _ => self.raw.clone().into_bytes(),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn parse_fields(raw: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut last = None;
    for line in split_lines(strip(raw)) {
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (strip(name).to_lowercase(), strip(value)),
            // A continuation; before any field it has nothing to continue.
            None => match last.take() {
                Some(name) => (name, line.trim_start_matches(is_space)),
                None => continue,
            },
        };
        match fields.get_mut(&name) {
            Some(Value::String(text)) => {
                text.push('\n');
                text.push_str(value);
            }
            _ => {
                fields.insert(name.clone(), Value::from(value));
            }
        }
        last = Some(name);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Vec<(String, String)> {
        let notice = GcnTextNotice::load(text.as_bytes()).unwrap();
        notice.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn names_are_lower_case_and_values_stripped() {
        assert_eq!(
            fields("TITLE:   GCN/DEMO NOTICE \r\nSrc Name : M 31\r\n"),
            pairs(&[("title", "GCN/DEMO NOTICE"), ("src name", "M 31")])
        );
    }

    #[test]
    fn lines_without_a_colon_continue_the_last_field() {
        assert_eq!(fields("A: 1\n   more\n\nB: 2\n"), pairs(&[("a", "1\nmore\n"), ("b", "2")]));
        assert_eq!(fields("nothing yet\nA: 1"), pairs(&[("a", "1")]));
    }

    #[test]
    fn a_repeated_field_gathers_its_values() {
        assert_eq!(fields("COMMENTS: a\nX: y\nComments: b"), pairs(&[("comments", "a\nb"), ("x", "y")]));
    }

    #[test]
    fn the_bytes_are_sent_on_untouched() {
        let text = b"\n  A: 1\r\n\r\n";
        let notice = GcnTextNotice::load(text).unwrap();
        assert_eq!(notice.serialize(WireForm::Json).unwrap(), text);
        assert_eq!(notice.to_text().as_ref(), text);
        assert_eq!(notice.json_line(), r#"{"raw": "\n  A: 1\r\n\r\n", "fields": {"a": "1"}}"#);
    }

    #[test]
    fn latin1_is_refused_with_its_position() {
        let error = GcnTextNotice::load(b"A: caf\xe9").unwrap_err().to_string();
        assert!(error.contains("byte 6") && error.contains("0xe9"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_kept(text in any::<String>()) {
            let notice = GcnTextNotice::load(text.as_bytes()).unwrap();
            prop_assert_eq!(notice.raw(), &text);
            let again = GcnTextNotice::decode(&notice.serialize(WireForm::Json).unwrap()).unwrap();
            prop_assert_eq!(again, notice);
        }
    }
}
