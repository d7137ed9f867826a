//! Which formats are known, and how a message finds its own.
//!
//! Three generations of senders are read. Since 0.6 the `_format` header names the format. Before, the payload was a
//! JSON object of `format` and `content`, without headers. And anybody may write to a topic with another Kafka client
//! altogether: then JSON is shown as JSON and everything else as bytes.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::format::{Format, STANDARD};
use super::python_json::Json;
use super::{Blob, JsonBlob, MessageModel, ModelError};

/// The formats that a program knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    formats: Vec<Known>,
}

/// A format, and its name: each message asks for it.
#[derive(Debug, Clone)]
struct Known {
    name: Box<str>,
    format: Arc<dyn Format>,
}

impl From<Arc<dyn Format>> for Known {
    fn from(format: Arc<dyn Format>) -> Self {
        Self { name: format.name().into(), format }
    }
}

impl Registry {
    /// A registry that knows no format.
    pub fn empty() -> Self {
        Self { formats: Vec::new() }
    }

    /// The formats that come with this library.
    pub fn standard() -> Self {
        Self {
            formats: STANDARD
                .iter()
                .map(|format| Known::from(Arc::new(*format) as Arc<dyn Format>))
                .collect(),
        }
    }

    /// Adds a format. One of the same name, upper or lower case, is replaced and returned.
    pub fn register(&mut self, format: Arc<dyn Format>) -> Option<Arc<dyn Format>> {
        let format = Known::from(format);
        match self.formats.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&format.name)) {
            Some(known) => Some(std::mem::replace(known, format).format),
            None => {
                self.formats.push(format);
                None
            }
        }
    }

    /// The names in upper case, as the command line takes them, in the order of registration.
    pub fn names(&self) -> Vec<String> {
        self.formats.iter().map(|known| known.name.to_ascii_uppercase()).collect()
    }

    /// The format of this name, upper or lower case.
    pub fn get(&self, name: &str) -> Option<&dyn Format> {
        self.formats.iter().find(|known| known.name.eq_ignore_ascii_case(name)).map(|known| &*known.format)
    }

    /// Reads a payload, given the value of its first `_format` header if it has one. A header without a value
    /// counts as an empty name: pass `Some(b"")`. A message without a payload has an empty one.
    ///
    /// 1. With a format: that format reads the payload. A name that is not known gives a [`Blob`] and a warning.
    /// 2. Without, a JSON object that has both `format` (a string) and `content` is the envelope of old versions: the
    ///    named format reads the content, `blob` in any case being any JSON value; a name that is not known gives a
    ///    [`JsonBlob`] of the content and a warning.
    /// 3. Any other JSON is a [`JsonBlob`].
    /// 4. Anything else is a [`Blob`].
    ///
    /// # Errors
    ///
    /// When the format is known and its content is not what it should be. What to do then, drop the message or show
    /// its bytes, is for the caller to decide.
    pub fn decode(&self, format_header: Option<&[u8]>, payload: &[u8]) -> Result<Decoded, ModelError> {
        if let Some(name) = format_header {
            let name = String::from_utf8_lossy(name);
            return match self.get(&name) {
                Some(format) => Ok(Decoded::without_warning(format.decode(payload)?)),
                None => Ok(Decoded {
                    model: Box::new(Blob::new(payload)),
                    warning: Some(DecodeWarning::unknown(&name)),
                }),
            };
        }
        if let Some(json) = JsonBlob::of_plain(payload) {
            return Ok(Decoded::without_warning(Box::new(json)));
        }
        let Ok(json) = Json::parse(payload) else {
            return Ok(Decoded::without_warning(Box::new(Blob::new(payload))));
        };
        match open_envelope(json) {
            Ok((name, content)) => self.decode_content(&name, content),
            Err(json) => Ok(Decoded::without_warning(Box::new(JsonBlob::new(json)))),
        }
    }

    fn decode_content(&self, name: &str, content: Json) -> Result<Decoded, ModelError> {
        match self.get(name) {
            Some(format) => Ok(Decoded::without_warning(format.decode_envelope(content)?)),
            None => Ok(Decoded {
                model: Box::new(JsonBlob::new(content)),
                warning: Some(DecodeWarning::unknown(name)),
            }),
        }
    }

    /// Reads the content of a file as the format of this name, upper or lower case; `None` if there is no such format.
    ///
    /// # Errors
    ///
    /// When the content is not of that format.
    pub fn load(&self, name: &str, content: &[u8]) -> Option<Result<Box<dyn MessageModel>, ModelError>> {
        self.get(name).map(|format| format.load(content))
    }

    /// Reads a file as the format of this name; `None`, and no file is read, if there is no such format.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or its content is not of that format; the error names the file.
    pub fn load_file(
        &self,
        name: &str,
        path: impl AsRef<Path>,
    ) -> Option<Result<Box<dyn MessageModel>, ModelError>> {
        self.get(name).map(|format| ModelError::with_file(path.as_ref(), |content| format.load(content)))
    }

    /// Reads what a file would hold from elsewhere, to its end, as the format of this name; `None`, and nothing is read, if
    /// there is no such format.
    ///
    /// ```
    /// use hop::models::Registry;
    ///
    /// let circular = &b"TITLE: GCN CIRCULAR\n\nNothing seen.\n"[..];
    /// let model = Registry::standard().load_reader("circular", circular, 1 << 20).ok_or("no such format")??;
    /// assert_eq!(model.format(), "circular");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ModelError::TooLong`] when it has more than `most_bytes`, of which no more than one is read;
    /// [`ModelError::Input`] when it cannot be read; and when its content is not of that format.
    pub fn load_reader(
        &self,
        name: &str,
        reader: impl Read,
        most_bytes: u64,
    ) -> Option<Result<Box<dyn MessageModel>, ModelError>> {
        self.get(name).map(|format| {
            let mut content = Vec::new();
            reader.take(most_bytes.saturating_add(1)).read_to_end(&mut content).map_err(ModelError::Input)?;
            if u64::try_from(content.len()).is_ok_and(|length| length <= most_bytes) {
                format.load(&content)
            } else {
                Err(ModelError::TooLong { most_bytes })
            }
        })
    }
}

impl Default for Registry {
    /// The [`standard`](Self::standard) registry.
    fn default() -> Self {
        Self::standard()
    }
}

/// A message that was read, perhaps not as its sender meant it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// The message.
    pub model: Box<dyn MessageModel>,
    /// Why the message is shown as something else than its format says.
    pub warning: Option<DecodeWarning>,
}

impl Decoded {
    fn without_warning(model: Box<dyn MessageModel>) -> Self {
        Self { model, warning: None }
    }
}

/// Why a message was not read as the format that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeWarning {
    /// No format of this name is registered.
    UnknownFormat {
        /// The name as it was sent, shortened if it is very long.
        name: String,
    },
}

impl DecodeWarning {
    fn unknown(name: &str) -> Self {
        // A name is printed and logged, and comes from anybody.
        let short: String = name.chars().take(64).collect();
        Self::UnknownFormat { name: short }
    }
}

impl fmt::Display for DecodeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { name } => {
                write!(f, "message format {name:?} is not known; the content is shown as it was sent")
            }
        }
    }
}

/// Takes an envelope apart, or gives the value back if it is none.
fn open_envelope(json: Json) -> Result<(String, Json), Json> {
    let Json::Object(mut members) = json else {
        return Err(json);
    };
    let Some(name) = members.get("format").and_then(Json::as_str).map(str::to_owned) else {
        return Err(Json::Object(members));
    };
    match members.swap_remove("content") {
        Some(content) => Ok((name, content)),
        None => Err(Json::Object(members)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::WireForm;
    use proptest::prelude::*;

    fn decode(format: Option<&str>, payload: &str) -> Decoded {
        Registry::standard().decode(format.map(str::as_bytes), payload.as_bytes()).unwrap()
    }

    fn shown(format: Option<&str>, payload: &str) -> (String, String) {
        let decoded = decode(format, payload);
        assert_eq!(decoded.warning, None, "{payload}");
        (decoded.model.format().to_owned(), decoded.model.json_line())
    }

    #[test]
    fn the_command_line_names_are_upper_case_and_ordered() {
        let names = ["VOEVENT", "GCNTEXTNOTICE", "CIRCULAR", "BLOB", "JSON", "AVRO", "EXTERNAL"];
        assert_eq!(Registry::standard().names(), names);
        assert!(Registry::empty().names().is_empty());
    }

    #[test]
    fn the_format_header_decides() {
        assert_eq!(shown(Some("json"), "{\"a\":1}"), ("json".into(), r#"{"a": 1}"#.into()));
        assert_eq!(shown(Some("JSON"), "[]"), ("json".into(), "[]".into()));
        assert_eq!(shown(Some("blob"), "{\"a\":1}"), ("blob".into(), r#""{\"a\":1}""#.into()));
        let envelope = r#"{"format": "blob", "content": 1}"#;
        assert_eq!(
            shown(Some("json"), envelope),
            ("json".into(), envelope.into()),
            "no envelope under a header"
        );
        assert_eq!(shown(Some("circular"), r#"{"header": {}, "body": "b"}"#).0, "circular");
        assert_eq!(shown(Some("voevent"), r#"{"ivorn": "i"}"#).0, "voevent");
        assert_eq!(shown(Some("voevent"), "<voe:VOEvent ivorn='i'/>").0, "voevent");
        assert_eq!(shown(Some("gcntextnotice"), "A: 1").0, "gcntextnotice");
    }

    #[test]
    fn an_unknown_format_is_a_blob_with_a_warning() {
        for name in ["donut", "", "json ", "\u{1b}[31m"] {
            let decoded = decode(Some(name), "{}");
            assert_eq!(decoded.model.downcast_ref(), Some(&Blob::new("{}")), "{name:?}");
            let warning = decoded.warning.unwrap();
            assert_eq!(warning, DecodeWarning::UnknownFormat { name: name.to_owned() });
            assert!(
                warning.to_string().contains(&format!("{name:?}")),
                "no control characters reach the terminal"
            );
        }
        let decoded = Registry::standard().decode(Some(b"\xff"), b"x").unwrap();
        assert!(decoded.warning.is_some());
        let long = decode(Some(&"x".repeat(100_000)), "").warning.unwrap().to_string();
        assert!(long.len() < 200);
    }

    #[test]
    fn a_known_format_that_does_not_fit_is_an_error() {
        let registry = Registry::standard();
        for (format, payload) in [
            (Some("json"), "{"),
            (Some("circular"), "TITLE: x"),
            (Some("voevent"), "garbage"),
            (Some("voevent"), ""),
            (None, r#"{"format": "circular", "content": {"nope": 1}}"#),
            (None, r#"{"format": "voevent", "content": "x"}"#),
            (None, r#"{"format": "gcntextnotice", "content": {}}"#),
        ] {
            assert!(registry.decode(format.map(str::as_bytes), payload.as_bytes()).is_err(), "{payload}");
        }
    }

    #[test]
    fn envelopes_of_old_versions_are_opened() {
        assert_eq!(
            shown(None, r#"{"format":"blob","content":{"x":NaN}}"#),
            ("json".into(), r#"{"x": NaN}"#.into())
        );
        assert_eq!(
            shown(None, r#"{"content":"hi","format":"BLOB","z":1}"#),
            ("json".into(), r#""hi""#.into())
        );
        assert_eq!(shown(None, r#"{"format":"voevent","content":{"ivorn":"i"}}"#).0, "voevent");
        assert_eq!(shown(None, r#"{"format":"Circular","content":{"header":{},"body":""}}"#).0, "circular");
        let decoded = decode(None, r#"{"format": "donut", "content": [1]}"#);
        assert_eq!(decoded.model.json_line(), "[1]");
        assert_eq!(decoded.warning, Some(DecodeWarning::UnknownFormat { name: "donut".into() }));
    }

    #[test]
    fn other_json_is_json_and_the_rest_is_bytes() {
        for payload in
            [r#"{"format": 1, "content": 2}"#, r#"{"format": "voevent"}"#, r#"{"content": 1}"#, "null"]
        {
            assert_eq!(shown(None, payload), ("json".into(), payload.into()));
        }
        for payload in ["hello\n", "", "<voe:VOEvent ivorn='i'/>", "{\"a\": 1"] {
            assert_eq!(shown(None, payload).0, "blob");
            assert_eq!(decode(None, payload).model.to_text().as_ref(), payload.as_bytes());
        }
    }

    /// A format that counts the bytes of its payload.
    #[derive(Debug)]
    struct Counting(&'static str);

    impl Format for Counting {
        fn name(&self) -> &str {
            self.0
        }

        fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
            Ok(Box::new(JsonBlob::new(serde_json::json!(payload.len()))))
        }

        fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
            self.decode(content.to_string().as_bytes())
        }
    }

    #[test]
    fn a_registered_format_is_found_in_every_way() {
        let mut registry = Registry::standard();
        assert!(registry.register(Arc::new(Counting("counting"))).is_none());
        assert_eq!(registry.names().last().map(String::as_str), Some("COUNTING"));
        assert_eq!(registry.load("COUNTING", b"abc").unwrap().unwrap().json_line(), "3");
        assert_eq!(registry.decode(Some(b"counting"), b"ab").unwrap().model.json_line(), "2");
        let envelope = br#"{"format": "counting", "content": null}"#;
        assert_eq!(registry.decode(None, envelope).unwrap().model.json_line(), "4");
        assert!(registry.load("donut", b"").is_none());
        assert!(Registry::standard().get("counting").is_none(), "registries do not share formats");
    }

    #[test]
    fn files_and_readers_are_loaded_up_to_a_bound() {
        let registry = Registry::standard();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("message.json");
        std::fs::write(&path, "{\"a\":1}").unwrap();
        let model = registry.load_file("JSON", &path).unwrap().unwrap();
        assert_eq!(model.json_line(), r#"{"a": 1}"#);
        let gone = registry.load_file("json", directory.path().join("gone")).unwrap().unwrap_err();
        assert!(matches!(gone, ModelError::Unreadable { .. }));
        std::fs::write(&path, "{").unwrap();
        let broken = registry.load_file("json", &path).unwrap().unwrap_err();
        assert!(matches!(broken, ModelError::InFile { .. }));
        assert!(registry.load_file("donut", &path).is_none());

        let load = |most_bytes| registry.load_reader("blob", &b"12345"[..], most_bytes).unwrap();
        assert_eq!(load(5).unwrap().to_text().as_ref(), b"12345");
        assert!(matches!(load(4), Err(ModelError::TooLong { most_bytes: 4 })));
        assert!(load(u64::MAX).is_ok());
        assert!(registry.load_reader("donut", &b""[..], 1).is_none());
        // A directory can be opened, and not be read.
        #[cfg(unix)]
        {
            let unreadable = std::fs::File::open(directory.path()).unwrap();
            let error = registry.load_reader("blob", unreadable, 9).unwrap().unwrap_err();
            assert!(matches!(error, ModelError::Input(_)), "{error}");
        }
    }

    #[test]
    fn a_format_can_be_replaced() {
        let mut registry = Registry::standard();
        assert!(registry.register(Arc::new(Counting("donut"))).is_none());
        assert!(registry.decode(Some(b"donut"), b"{}").unwrap().warning.is_none());
        let old = registry.register(Arc::new(Counting("Json")));
        assert_eq!(old.map(|format| format.name().to_owned()).as_deref(), Some("json"));
        assert_eq!(registry.names().len(), 8);
        assert_eq!(registry.decode(Some(b"json"), b"{").unwrap().model.json_line(), "1");
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_shown_or_refused(
            format in prop::option::of("(?i)voevent|circular|blob|json|gcntextnotice|avro|\\PC{0,5}"),
            payload in any::<Vec<u8>>(),
        ) {
            if let Ok(decoded) = Registry::standard().decode(format.as_deref().map(str::as_bytes), &payload) {
                let _ = (decoded.model.to_text(), decoded.model.json_line(), decoded.model.to_json());
                for form in [WireForm::Json, WireForm::Original, WireForm::Envelope] {
                    let _ = decoded.model.serialize(form);
                }
            }
        }

        #[test]
        fn json_in_an_envelope_arrives_unchanged(text in r#"[ -~é]{0,20}"#, number in any::<f64>()) {
            let sent = JsonBlob::new(Json::Array(vec![Json::String(text), Json::from(number)]));
            let payload = sent.serialize(WireForm::Envelope).unwrap();
            let decoded = Registry::standard().decode(None, &payload).unwrap();
            prop_assert_eq!(decoded.model.downcast_ref(), Some(&sent));
        }
    }
}
