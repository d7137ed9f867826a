//! Which formats are known, and how a message finds its own.
//!
//! Three generations of senders are read. Since 0.6 the `_format` header names the format. Before, the payload was a
//! JSON object of `format` and `content`, without headers. And anybody may write to a topic with another Kafka client
//! altogether: then JSON is shown as JSON and everything else as bytes.

use std::fmt;
use std::sync::Arc;

use super::python_json::Json;
use super::{Blob, GcnCircular, GcnTextNotice, JsonBlob, MessageModel, ModelError, VoEvent};

/// A kind of message: how to read it from a file, a payload, and the envelope of old versions.
///
/// ```
/// use std::any::Any;
/// use std::borrow::Cow;
/// use std::sync::Arc;
///
/// use hop::models::python_json::Json;
/// use hop::models::{Format, MessageModel, ModelError, Registry, WireForm};
///
/// /// A magnitude, sent as text.
/// #[derive(Debug)]
/// struct Magnitude(f64);
///
/// impl MessageModel for Magnitude {
///     fn format(&self) -> &str { "magnitude" }
///     fn to_json(&self) -> serde_json::Value { self.0.into() }
///     fn to_text(&self) -> Cow<'_, [u8]> { Cow::Owned(self.0.to_string().into_bytes()) }
///     fn serialize(&self, _: WireForm) -> Result<Vec<u8>, ModelError> { Ok(self.0.to_string().into_bytes()) }
///     fn as_any(&self) -> &dyn Any { self }
/// }
///
/// #[derive(Debug)]
/// struct MagnitudeFormat;
///
/// impl Format for MagnitudeFormat {
///     fn name(&self) -> &str { "magnitude" }
///     fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
///         let text = String::from_utf8_lossy(payload);
///         let number = text.trim().parse().map_err(|error| ModelError::Other(Box::new(error)))?;
///         Ok(Box::new(Magnitude(number)))
///     }
///     fn from_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
///         self.decode(content.to_string().as_bytes())
///     }
/// }
///
/// let mut registry = Registry::standard();
/// registry.register(Arc::new(MagnitudeFormat));
/// let decoded = registry.decode(Some(b"magnitude"), b"17.5")?;
/// assert_eq!(decoded.model.downcast_ref::<Magnitude>().map(|m| m.0), Some(17.5));
/// # Ok::<(), ModelError>(())
/// ```
pub trait Format: fmt::Debug + Send + Sync {
    /// The lower-case name: what the `_format` header holds, and in upper case what `--format` takes.
    fn name(&self) -> &str;

    /// Reads the content of a file. Where a format does not say otherwise, a file holds what a payload holds.
    ///
    /// # Errors
    ///
    /// When it is not a file of this format.
    fn load(&self, content: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        self.decode(content)
    }

    /// Reads a payload that came with this format's name.
    ///
    /// # Errors
    ///
    /// When it is not a payload of this format.
    fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError>;

    /// Reads the content of an envelope that bears this format's name.
    ///
    /// # Errors
    ///
    /// When it is not a content of this format.
    fn from_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError>;
}

/// The formats that a program knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    formats: Vec<Arc<dyn Format>>,
}

impl Registry {
    /// A registry that knows no format.
    pub fn empty() -> Self {
        Self { formats: Vec::new() }
    }

    /// The formats that come with this library.
    pub fn standard() -> Self {
        Self { formats: STANDARD.iter().map(|format| Arc::new(*format) as Arc<dyn Format>).collect() }
    }

    /// Adds a format. One of the same name, upper or lower case, is replaced and returned.
    pub fn register(&mut self, format: Arc<dyn Format>) -> Option<Arc<dyn Format>> {
        let name = format.name().to_uppercase();
        match self.formats.iter_mut().find(|known| known.name().to_uppercase() == name) {
            Some(known) => Some(std::mem::replace(known, format)),
            None => {
                self.formats.push(format);
                None
            }
        }
    }

    /// The names in upper case, as the command line takes them, in the order of registration.
    pub fn names(&self) -> Vec<String> {
        self.formats.iter().map(|format| format.name().to_uppercase()).collect()
    }

    /// The format of this name, upper or lower case.
    pub fn get(&self, name: &str) -> Option<&dyn Format> {
        let name = name.to_uppercase();
        self.formats.iter().find(|format| format.name().to_uppercase() == name).map(AsRef::as_ref)
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
        let Ok(json) = Json::parse(payload) else {
            return Ok(Decoded::without_warning(Box::new(Blob::new(payload))));
        };
        match open_envelope(json) {
            Ok((name, content)) => self.decode_envelope(&name, content),
            Err(json) => Ok(Decoded::without_warning(Box::new(JsonBlob::new(json)))),
        }
    }

    fn decode_envelope(&self, name: &str, content: Json) -> Result<Decoded, ModelError> {
        match self.get(name) {
            Some(format) => Ok(Decoded::without_warning(format.from_envelope(content)?)),
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
    /// The format is known to hop-client, but this version has no model for it.
    NotYetRead {
        /// `avro` or `external`.
        name: String,
    },
}

impl DecodeWarning {
    fn unknown(name: &str) -> Self {
        // A name is printed and logged, and comes from anybody.
        let short: String = name.chars().take(64).collect();
        match name.to_uppercase().as_str() {
            "AVRO" | "EXTERNAL" => Self::NotYetRead { name: short.to_lowercase() },
            _ => Self::UnknownFormat { name: short },
        }
    }
}

impl fmt::Display for DecodeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat { name } => {
                write!(f, "message format {name:?} is not known; the content is shown as it was sent")
            }
            Self::NotYetRead { name } if name == "external" => f.write_str(
                "a message too large for Kafka is stored elsewhere, and this version does not fetch it; \
                 its address is shown",
            ),
            Self::NotYetRead { name } => {
                write!(
                    f,
                    "this version does not read messages of format {name:?}; the bytes are shown as they were sent"
                )
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

/// A format of this library: a name and three functions.
#[derive(Clone, Copy)]
struct Standard {
    name: &'static str,
    load: fn(&[u8]) -> Result<Box<dyn MessageModel>, ModelError>,
    decode: fn(&[u8]) -> Result<Box<dyn MessageModel>, ModelError>,
    from_envelope: fn(Json) -> Result<Box<dyn MessageModel>, ModelError>,
}

impl Format for Standard {
    fn name(&self) -> &str {
        self.name
    }

    fn load(&self, content: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        (self.load)(content)
    }

    fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        (self.decode)(payload)
    }

    fn from_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
        (self.from_envelope)(content)
    }
}

impl fmt::Debug for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Format").field(&self.name).finish()
    }
}

fn boxed<M: MessageModel>(model: M) -> Box<dyn MessageModel> {
    Box::new(model)
}

/// The order is that in which the command line lists them.
const STANDARD: [Standard; 5] = [
    Standard {
        name: VoEvent::FORMAT,
        load: |content| VoEvent::load(content).map(boxed),
        decode: |payload| VoEvent::decode(payload).map(boxed),
        from_envelope: |content| VoEvent::from_json(content.into_value()).map(boxed),
    },
    Standard {
        name: GcnTextNotice::FORMAT,
        load: |content| GcnTextNotice::load(content).map(boxed),
        decode: |payload| GcnTextNotice::decode(payload).map(boxed),
        from_envelope: |content| GcnTextNotice::from_envelope(&content.into_value()).map(boxed),
    },
    Standard {
        name: GcnCircular::FORMAT,
        load: |content| GcnCircular::load(content).map(boxed),
        decode: |payload| GcnCircular::decode(payload).map(boxed),
        from_envelope: |content| GcnCircular::from_json(content).map(boxed),
    },
    Standard {
        name: Blob::FORMAT,
        load: |content| Blob::load(content).map(boxed),
        decode: |payload| Blob::decode(payload).map(boxed),
        // What old versions called a blob was any JSON value.
        from_envelope: |content| Ok(boxed(JsonBlob::new(content))),
    },
    Standard {
        name: JsonBlob::FORMAT,
        load: |content| JsonBlob::load(content).map(boxed),
        decode: |payload| JsonBlob::decode(payload).map(boxed),
        from_envelope: |content| Ok(boxed(JsonBlob::new(content))),
    },
];
