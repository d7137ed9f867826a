//! GCN circulars: a few header lines, an empty line, and prose.
//!
//! A file follows RFC 822 as Python's `email` package reads it, since that is what decides which circulars were
//! accepted so far: names are printable ASCII without a colon and become lower case, a line that begins with a blank
//! continues the one before, the first line that is neither ends the headers. Nothing in the values is decoded, and
//! the body is kept to the letter. On the wire a circular is JSON, `{"header": {…}, "body": "…"}`.
//!
//! No header is required: which ones GCN wants is for GCN to check.

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::python_json::{self, Json};
use super::{MessageModel, ModelError, WireForm, envelope};

/// A GCN circular.
///
/// ```
/// use hop::models::{GcnCircular, MessageModel};
///
/// let circular = GcnCircular::new([("title", "GCN CIRCULAR"), ("number", "1")], "Seen.\n");
/// assert_eq!(circular.to_text().as_ref(), b"TITLE:   GCN CIRCULAR\nNUMBER:  1\n\nSeen.\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcnCircular {
    header: Map<String, Value>,
    body: String,
}

impl GcnCircular {
    /// The format's name.
    pub const FORMAT: &'static str = "circular";

    /// A circular of these headers, whose names should be lower case, and this body.
    pub fn new<N: Into<String>, V: Into<String>>(
        header: impl IntoIterator<Item = (N, V)>,
        body: impl Into<String>,
    ) -> Self {
        let header =
            header.into_iter().map(|(name, value)| (name.into(), Value::String(value.into()))).collect();
        Self { header, body: body.into() }
    }

    /// Reads the text of a circular.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8; any text is a circular, if only one without headers.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        let text = ModelError::utf8(content, "a GCN circular")?;
        Ok(parse(&text.replace("\r\n", "\n").replace('\r', "\n")))
    }

    /// Reads the text of a circular from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not UTF-8.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload: the JSON form.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or not an object of just `header` and `body`.
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Self::from_json(Json::parse(payload)?)
    }

    /// Takes the JSON form.
    pub(super) fn from_json(json: Json) -> Result<Self, ModelError> {
        let wrong = |problem: &str| ModelError::structure(Self::FORMAT, problem);
        let Json::Object(mut members) = json else {
            return Err(wrong("expected a JSON object with \"header\" and \"body\""));
        };
        let header = members.shift_remove("header").ok_or_else(|| wrong("\"header\" is missing"))?;
        let body = members.shift_remove("body").ok_or_else(|| wrong("\"body\" is missing"))?;
        if let Some(name) = members.keys().next() {
            return Err(wrong(&format!("unknown key {name:?}: only \"header\" and \"body\" are allowed")));
        }
        let Value::Object(header) = header.into_value() else {
            return Err(wrong("\"header\" must be an object of names and values"));
        };
        if let Some((name, _)) = header.iter().find(|(_, value)| value.is_array() || value.is_object()) {
            return Err(wrong(&format!("the header {name:?} must be text")));
        }
        let body = match body {
            Json::String(body) => body,
            Json::Null => String::new(),
            _ => return Err(wrong("\"body\" must be text")),
        };
        Ok(Self { header, body })
    }

    /// The value of a header by its lower-case name; numbers and the like as JSON text.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header.get(name).map(header_text)
    }

    /// All headers in their order, with lower-case names when the circular was read from text.
    pub fn header(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.header.iter().map(|(name, value)| (name.as_str(), header_text(value)))
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl MessageModel for GcnCircular {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        json!({ "header": self.header, "body": self.body })
    }

    /// The headers with values in column ten, an empty line, the body.
    fn to_text(&self) -> Cow<'_, [u8]> {
        let mut text = String::new();
        for (name, value) in self.header() {
            let name = name.to_uppercase() + ":";
            text.push_str(&format!("{name:<9}{value}\n"));
        }
        text.push('\n');
        text.push_str(&self.body);
        Cow::Owned(text.into_bytes())
    }

    /// The JSON form: no version of hop-client reads the text form off the wire.
    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        let text = python_json::to_string(&self.to_json());
        Ok(if form == WireForm::Envelope { envelope(Self::FORMAT, &text) } else { text.into_bytes() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn header_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(python_json::to_string(other)),
    }
}

/// Parses a text whose lines end in LF.
fn parse(text: &str) -> GcnCircular {
    let mut header = Map::new();
    // The header that continuation lines belong to.
    let mut open: Option<String> = None;
    let mut rest = text;
    let mut is_first = true;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        match HeaderLine::of(line) {
            None => {
                // The separator is dropped, any other line begins the body.
                rest = if line.is_empty() { after } else { rest };
                break;
            }
            Some(HeaderLine::Continuation) => {
                if let Some(Value::String(value)) = open.as_ref().and_then(|name| header.get_mut(name)) {
                    value.push('\n');
                    value.push_str(line);
                }
            }
            Some(HeaderLine::Field("", _)) => open = None,
            Some(HeaderLine::Field(name, value)) => {
                let name = name.to_ascii_lowercase();
                header.insert(name.clone(), Value::from(value.trim_start_matches([' ', '\t'])));
                open = Some(name);
            }
            Some(HeaderLine::Mailbox) => {
                // Mailboxes put such a line before a message, where it is dropped. As the last header line it is taken
                // for the beginning of the prose instead, and a separator after it is still dropped.
                open = None;
                let next = after.split('\n').next().unwrap_or_default();
                if !is_first && HeaderLine::of(next).is_none() {
                    let line = rest.get(..=line.len()).unwrap_or(rest);
                    let prose = if next.is_empty() { after.get(1..).unwrap_or_default() } else { after };
                    return GcnCircular { header, body: format!("{line}{prose}") };
                }
            }
        }
        is_first = false;
        rest = after;
    }
    GcnCircular { header, body: rest.to_owned() }
}

/// A line that belongs to the headers.
enum HeaderLine<'a> {
    Field(&'a str, &'a str),
    Continuation,
    /// `From ` without a colon right after it: what separates messages in a mailbox.
    Mailbox,
}

impl<'a> HeaderLine<'a> {
    fn of(line: &'a str) -> Option<Self> {
        if line.starts_with([' ', '\t']) {
            return Some(Self::Continuation);
        }
        if line.starts_with("From ") {
            return Some(Self::Mailbox);
        }
        let (name, value) = line.split_once(':')?;
        name.bytes().all(|byte| byte.is_ascii_graphic()).then_some(Self::Field(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTICE: &str = "TITLE:   GCN CIRCULAR\nNUMBER:  99999\nSUBJECT: GRB 260101A: upper limit from\n the Example \
                          Telescope\nDATE:    26/01/02 03:04:05 GMT\nFROM:    A. Observer at Example \
                          <a@example.org>\n\nWe saw nothing.\n\n  Nothing at all.\n";

    fn load(text: &str) -> GcnCircular {
        GcnCircular::load(text.as_bytes()).unwrap()
    }

    fn header(circular: &GcnCircular) -> Vec<(&str, String)> {
        circular.header().map(|(name, value)| (name, value.into_owned())).collect()
    }

    #[test]
    fn a_circular_is_read_and_shown_as_it_was_written() {
        let circular = load(NOTICE);
        assert_eq!(circular.field("number").as_deref(), Some("99999"));
        assert_eq!(
            circular.field("subject").as_deref(),
            Some("GRB 260101A: upper limit from\n the Example Telescope")
        );
        assert_eq!(circular.body(), "We saw nothing.\n\n  Nothing at all.\n");
        assert_eq!(circular.to_text().as_ref(), NOTICE.as_bytes());
    }

    #[test]
    fn every_line_end_counts() {
        assert_eq!(load(&NOTICE.replace('\n', "\r\n")), load(NOTICE));
        assert_eq!(load(&NOTICE.replace('\n', "\r")), load(NOTICE));
    }

    #[test]
    fn the_wire_forms_hold_header_and_body() {
        let circular = GcnCircular::new([("title", "T"), ("subject", "é")], "b\n");
        let json = r#"{"header": {"title": "T", "subject": "\u00e9"}, "body": "b\n"}"#;
        assert_eq!(circular.serialize(WireForm::Json).unwrap(), json.as_bytes());
        assert_eq!(circular.serialize(WireForm::Original).unwrap(), json.as_bytes());
        let envelope = format!("{{\"format\": \"circular\", \"content\": {json}}}");
        assert_eq!(circular.serialize(WireForm::Envelope).unwrap(), envelope.as_bytes());
        assert_eq!(GcnCircular::decode(json.as_bytes()).unwrap(), circular);
    }

    #[test]
    fn headers_end_at_the_first_line_that_is_none() {
        for (text, names, body) in [
            ("TITLE: t\n\n\nx", vec!["title"], "\nx"),
            ("TITLE: t\nnot a header\nA: b\n", vec!["title"], "not a header\nA: b\n"),
            ("TITLE : t\n", vec![], "TITLE : t\n"),
            ("\nTITLE: t\n", vec![], "TITLE: t\n"),
            ("\u{feff}TITLE: t\n", vec![], "\u{feff}TITLE: t\n"),
            ("Tïtle: t\n", vec![], "Tïtle: t\n"),
            ("A: b\n   \nC: d\n\nx", vec!["a", "c"], "x"),
            ("", vec![], ""),
            ("A: b", vec!["a"], ""),
        ] {
            let circular = load(text);
            assert_eq!(
                header(&circular).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
                names,
                "{text:?}"
            );
            assert_eq!(circular.body(), body, "{text:?}");
        }
    }

    #[test]
    fn odd_header_lines_are_taken_as_mail_readers_take_them() {
        assert_eq!(header(&load(" lost\n: lost\n lost\nA: b\n")), [("a", "b".to_owned())]);
        assert_eq!(
            header(&load("A: 1\nB: 2\nA:\t3\n 4\n")),
            [("a", "3\n 4".to_owned()), ("b", "2".to_owned())]
        );
        assert_eq!(header(&load("A:\n b \n")), [("a", "\n b ".to_owned())]);
    }

    #[test]
    fn a_mailbox_line_is_dropped_before_headers_and_prose_after_them() {
        let circular = load("From a@b Thu Jan 1\nA: b\nFrom c\n lost\nC: d\n\nx");
        assert_eq!((header(&circular).len(), circular.body()), (2, "x"));
        assert_eq!(load("A: b\nFrom here on\n\nmore").body(), "From here on\nmore");
        assert_eq!(load("A: b\nFrom here on\nmore").body(), "From here on\nmore");
        assert_eq!(load("A: b\nFrom here").body(), "From here");
    }

    #[test]
    fn latin1_is_refused_with_its_position() {
        let error = GcnCircular::load(b"TITLE: caf\xe9\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "a GCN circular must be UTF-8 text, but byte 10 (counted from 0) is 0xe9, which is not"
        );
    }

    #[test]
    fn what_is_no_circular_on_the_wire_is_explained() {
        for (payload, expected) in [
            ("[1]", "expected a JSON object"),
            ("{\"header\": {}}", "\"body\" is missing"),
            ("{\"body\": \"\"}", "\"header\" is missing"),
            ("{\"header\": [], \"body\": \"\"}", "\"header\" must be an object"),
            ("{\"header\": {\"a\": [1]}, \"body\": \"\"}", "the header \"a\" must be text"),
            ("{\"header\": {}, \"body\": 1}", "\"body\" must be text"),
            ("{\"header\": {}, \"body\": \"\", \"x\": 1}", "unknown key \"x\""),
            ("TITLE: x", "line 1, column 1"),
        ] {
            let error = GcnCircular::decode(payload.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{payload}: {error}");
        }
    }

    #[test]
    fn numbers_in_headers_are_kept_and_shown() {
        let circular = GcnCircular::decode(br#"{"header": {"number": 5}, "body": null}"#).unwrap();
        assert_eq!(circular.to_text().as_ref(), b"NUMBER:  5\n\n");
        assert_eq!(circular.json_line(), r#"{"header": {"number": 5}, "body": ""}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = GcnCircular::load(&bytes);
            let _ = GcnCircular::decode(&bytes);
        }

        #[test]
        fn what_is_sent_is_decoded_the_same(text in r"([A-Za-z: \n\tFrom]|\PC){0,80}") {
            let circular = load(&text);
            prop_assert_eq!(&GcnCircular::decode(&circular.serialize(WireForm::Json).unwrap()).unwrap(), &circular);
        }

        #[test]
        fn the_text_form_reads_back(
            names in prop::collection::btree_set("[a-z-]{1,12}", 0..5), value in r"[!-~]([ -~]{0,20}[!-~])?", body in r"\PC{0,40}",
        ) {
            let circular = GcnCircular::new(names.into_iter().map(|name| (name, value.clone())), body);
            prop_assert_eq!(GcnCircular::load(&circular.to_text()).unwrap(), circular);
        }
    }
}
