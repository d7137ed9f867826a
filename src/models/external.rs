//! A message that was too large for Kafka: where it is kept instead.

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::python_json::Json;
use super::{MessageModel, ModelError, WireForm, envelope, python_json};

/// What stands on a topic in the place of a message that is kept elsewhere: its URL.
///
/// Readers fetch such messages by themselves, so that this is seen where that is turned off, or the URL is one that is
/// not trusted.
///
/// ```
/// use hop::models::{External, MessageModel, WireForm};
///
/// let external = External::new("https://store.example.org/msg/1");
/// assert_eq!(external.serialize(WireForm::Json)?, br#"{"url": "https://store.example.org/msg/1"}"#);
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    url: String,
}

impl External {
    /// The format's name.
    pub const FORMAT: &'static str = "external";

    /// What stands for the message at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }

    /// Reads the JSON object that a file holds. What else it has is ignored.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object with a `url` that is text.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        Self::from_members(Json::parse(content)?).map(|(external, _)| external)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; else as for [`load`](Self::load).
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object of a `url` that is text, and nothing else.
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Self::from_json(Json::parse(payload)?)
    }

    /// Takes the JSON form.
    pub(super) fn from_json(json: Json) -> Result<Self, ModelError> {
        match Self::from_members(json)? {
            (external, None) => Ok(external),
            (_, Some(name)) => Err(ModelError::structure(
                Self::FORMAT,
                format!("unknown key {name:?}: only \"url\" is allowed"),
            )),
        }
    }

    /// The URL, and the name of something else that is there.
    fn from_members(json: Json) -> Result<(Self, Option<String>), ModelError> {
        let wrong = |problem: &str| ModelError::structure(Self::FORMAT, problem);
        let Json::Object(mut members) = json else {
            return Err(wrong("expected a JSON object with \"url\""));
        };
        match members.shift_remove("url") {
            Some(Json::String(url)) => Ok((Self { url }, members.into_keys().next())),
            Some(_) => Err(wrong("\"url\" must be text")),
            None => Err(wrong("\"url\" is missing")),
        }
    }

    /// Where the message is kept.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl MessageModel for External {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        serde_json::json!({ "url": self.url })
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.json_line().into_bytes())
    }

    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        let json = python_json::to_string(&self.to_json());
        Ok(match form {
            WireForm::Envelope => envelope(Self::FORMAT, &json),
            _ => json.into_bytes(),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_more_than_a_payload() {
        let file = br#"{"url": "http://x/y", "z": 1}"#;
        let external = External::load(file).unwrap();
        assert_eq!((external.url(), &*external.to_text()), ("http://x/y", &br#"{"url": "http://x/y"}"#[..]));
        let error = External::decode(file).unwrap_err().to_string();
        assert!(error.contains(r#"unknown key "z""#), "{error}");
        assert_eq!(External::decode(&external.serialize(WireForm::Json).unwrap()).unwrap(), external);
    }

    #[test]
    fn what_names_no_url_is_refused() {
        for payload in ["{}", "[]", r#"{"url": 1}"#, r#"{"url": "u", "x": 1}"#, "url"] {
            assert!(External::decode(payload.as_bytes()).is_err(), "{payload}");
        }
    }
}
