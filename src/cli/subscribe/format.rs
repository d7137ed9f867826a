//! `--format`: as what a message is printed.

use std::borrow::Cow;
use std::io::Write as _;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::template::{self, Piece};
use crate::models::{bytes_to_json, python_json};
use crate::stream::Message;

/// As what messages are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Format {
    /// For people.
    Text,
    /// One line of JSON.
    Json,
    /// One line of JSON that tells where the message stood, too.
    Ndjson,
    /// The bytes as they are on the wire.
    Raw,
    /// As a template says.
    Template(Template),
}

/// Text with what is known of a message in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Template(Vec<Piece<Field>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Topic,
    Partition,
    Offset,
    Time,
    Timestamp,
    Id,
    Sender,
    Format,
    Key,
    Test,
    Text,
    Json,
    Payload,
}

const FIELDS: [(&str, Field); 13] = [
    ("topic", Field::Topic),
    ("partition", Field::Partition),
    ("offset", Field::Offset),
    ("time", Field::Time),
    ("timestamp", Field::Timestamp),
    ("id", Field::Id),
    ("sender", Field::Sender),
    ("format", Field::Format),
    ("key", Field::Key),
    ("test", Field::Test),
    ("text", Field::Text),
    ("json", Field::Json),
    ("payload", Field::Payload),
];

impl Format {
    /// What is printed of a message.
    pub(in crate::cli) fn of<'a>(&self, message: &'a Message) -> Cow<'a, [u8]> {
        match self {
            Self::Text => message.model().to_text(),
            Self::Json => Cow::Owned(message.model().json_line().into_bytes()),
            Self::Ndjson => Cow::Owned(with_metadata(message).into_bytes()),
            Self::Raw => Cow::Borrowed(message.payload()),
            Self::Template(template) => Cow::Owned(template.of(message)),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "text" => Self::Text,
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "raw" => Self::Raw,
            template if template.contains('{') => {
                Self::Template(Template(template::parse(template, &FIELDS)?))
            }
            _ => {
                return Err(
                    "there are text, json, ndjson, raw, and templates such as '{time} {topic}: {text}'"
                        .to_owned(),
                );
            }
        })
    }
}

impl Template {
    fn of(&self, message: &Message) -> Vec<u8> {
        let at = message.metadata();
        let mut out = Vec::new();
        for piece in &self.0 {
            let field = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Field(field) => field,
            };
            // Writing to memory does not fail. What a message does not have is left out.
            let _ = match field {
                Field::Topic => out.write_all(at.topic.as_bytes()),
                Field::Partition => write!(out, "{}", at.partition),
                Field::Offset => write!(out, "{}", at.offset),
                Field::Time => out.write_all(rfc3339(at.timestamp).as_bytes()),
                Field::Timestamp => write!(out, "{}", at.timestamp),
                Field::Id => at.id().map_or(Ok(()), |id| write!(out, "{id}")),
                Field::Sender => out.write_all(at.sender().unwrap_or_default().as_bytes()),
                Field::Format => out.write_all(message.model().format().as_bytes()),
                Field::Key => out.write_all(at.key.as_deref().unwrap_or_default()),
                Field::Test => write!(out, "{}", at.is_test()),
                Field::Text => out.write_all(&message.model().to_text()),
                Field::Json => out.write_all(message.model().json_line().as_bytes()),
                Field::Payload => out.write_all(message.payload()),
            };
        }
        out
    }
}

/// The message and all that came with it, as one line of JSON. Bytes that are not UTF-8 are `{"$binary": base64}`.
fn with_metadata(message: &Message) -> String {
    let at = message.metadata();
    let bytes = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, bytes_to_json);
    let headers: Vec<Value> = at
        .headers
        .iter()
        .map(|header| json!([bytes(Some(header.name())), bytes(header.value().map(|value| &value[..]))]))
        .collect();
    let members = [
        ("topic", json!(&*at.topic)),
        ("partition", json!(at.partition)),
        ("offset", json!(at.offset)),
        ("timestamp", json!(at.timestamp)),
        ("time", json!(rfc3339(at.timestamp))),
        ("id", json!(at.id().map(|id| id.to_string()))),
        ("sender", json!(at.sender())),
        ("format", json!(message.model().format())),
        ("test", json!(at.is_test())),
        ("key", bytes(at.key.as_deref())),
        ("headers", Value::Array(headers)),
    ];
    let mut line = String::from("{");
    for (name, value) in members {
        line.push('"');
        line.push_str(name);
        line.push_str("\": ");
        line.push_str(&python_json::to_string(&value));
        line.push_str(", ");
    }
    line.push_str("\"message\": ");
    line.push_str(&message.model().json_line());
    line.push('}');
    line
}

/// A time as people and programs write it; the beginning of 1970 for what has none.
pub(in crate::cli) fn rfc3339(timestamp: i64) -> String {
    let millis = u64::try_from(timestamp).unwrap_or_default();
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    // Beyond the year 9999 there is no such form, and printing one would fail.
    let time = time.filter(|time| *time < UNIX_EPOCH + LATEST).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(time).to_string()
}

/// The end of the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_and_templates_have_braces() {
        for (text, format) in [
            ("text", Format::Text),
            ("json", Format::Json),
            ("ndjson", Format::Ndjson),
            ("raw", Format::Raw),
            ("{offset}", Format::Template(Template(vec![Piece::Field(Field::Offset)]))),
        ] {
            assert_eq!(text.parse(), Ok(format), "{text}");
        }
        assert!("JSON".parse::<Format>().unwrap_err().contains("templates such as"));
        assert!("{who}".parse::<Format>().unwrap_err().contains("{who} is not known; there are {topic}, "));
    }

    #[test]
    fn a_time_that_a_hostile_broker_makes_up_is_printed_all_the_same() {
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        for none in [-1, i64::MIN, i64::MAX, 253_402_300_800_000] {
            assert_eq!(rfc3339(none), "1970-01-01T00:00:00.000Z");
        }
    }
}
