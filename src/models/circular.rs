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
        let Some(kind) = Line::of(line) else {
            // The separator is dropped, any other line begins the body.
            rest = if line.is_empty() { after } else { rest };
            break;
        };
        match kind {
            Line::Continuation => {
                if let Some(Value::String(value)) = open.as_ref().and_then(|name| header.get_mut(name)) {
                    value.push('\n');
                    value.push_str(line);
                }
            }
            Line::Field("", _) => open = None,
            Line::Field(name, value) => {
                let name = name.to_ascii_lowercase();
                header.insert(name.clone(), Value::from(value.trim_start_matches([' ', '\t'])));
                open = Some(name);
            }
            Line::Envelope => {
                // Mailboxes put such a line before a message. Elsewhere it is noise, but after the last header it is
                // the beginning of the prose.
                open = None;
                let next = after.split('\n').next().unwrap_or_default();
                if !is_first && (after.is_empty() || Line::of(next).is_none()) {
                    let body = if next.is_empty() { after.get(1..).unwrap_or_default() } else { after };
                    return GcnCircular { header, body: format!("{}{body}", line_with_end(line, rest)) };
                }
            }
        }
        is_first = false;
        rest = after;
    }
    trim_line_ends(&mut header);
    GcnCircular { header, body: rest.to_owned() }
}

/// A line that belongs to the headers.
enum Line<'a> {
    Field(&'a str, &'a str),
    Continuation,
    /// `From ` without a colon: what separates messages in a mailbox.
    Envelope,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        if line.starts_with([' ', '\t']) {
            return Some(Self::Continuation);
        }
        if line.starts_with("From ") {
            return Some(Self::Envelope);
        }
        let (name, value) = line.split_once(':')?;
        name.bytes().all(|byte| byte.is_ascii_graphic()).then_some(Self::Field(name, value))
    }
}

/// The line together with its end, if it has one.
fn line_with_end<'a>(line: &str, rest: &'a str) -> &'a str {
    rest.get(..=line.len()).unwrap_or(rest)
}

/// A value keeps the line ends inside it, but not those at its end.
fn trim_line_ends(header: &mut Map<String, Value>) {
    for value in header.values_mut() {
        if let Value::String(text) = value {
            text.truncate(text.trim_end_matches('\n').len());
        }
    }
}
