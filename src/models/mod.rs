//! What a message means: VOEvents, GCN circulars, text notices, JSON values, Avro records and plain bytes.
//!
//! A message on a topic is a payload and, since hop-client 0.6, a `_format` header that names how to read it. This
//! module turns such a pair into a model ([`Registry::decode`]), a file into a model ([`Registry::load`]), and a
//! model back into a payload ([`MessageModel::serialize`]). It knows nothing of Kafka: topics, offsets and headers
//! other than the format are the business of the `stream` module.
//!
//! The formats that come with the library:
//!
//! | name | type | a file holds | the payload holds |
//! | --- | --- | --- | --- |
//! | `voevent` | [`VoEvent`] | XML | the JSON form, or XML |
//! | `circular` | [`GcnCircular`] | headers, an empty line, the body | JSON: `header` and `body` |
//! | `gcntextnotice` | [`GcnTextNotice`] | lines of `NAME: value` | the same bytes |
//! | `json` | [`JsonBlob`] | JSON | JSON |
//! | `blob` | [`Blob`] | any bytes | the same bytes |
//! | `avro` | [`AvroBlob`] | an Avro object container | the same, uncompressed |
//! | `external` | [`External`] | JSON: a `url` | the same |
//!
//! Others are added at run time by implementing [`Format`] and [`MessageModel`]; the [`Registry`] that holds them is
//! a value that is passed down, so two parts of a program may know different formats.
//!
//! ```
//! use hop::models::{GcnCircular, MessageModel, Registry, WireForm};
//!
//! let circular = GcnCircular::load(b"TITLE: GCN CIRCULAR\nSUBJECT: GRB 260101A: optical limit\n\nNothing seen.\n")?;
//! assert_eq!(circular.field("subject").as_deref(), Some("GRB 260101A: optical limit"));
//!
//! let payload = circular.serialize(WireForm::Json)?;
//! let decoded = Registry::standard().decode(Some(b"circular"), &payload)?;
//! assert!(decoded.warning.is_none());
//! assert_eq!(decoded.model.as_any().downcast_ref(), Some(&circular));
//! println!("{}", decoded.model);
//! # Ok::<(), hop::models::ModelError>(())
//! ```

mod avro;
mod blob;
mod circular;
mod error;
mod external;
mod format;
mod json;
pub mod python_json;
pub(crate) mod python_text;
mod registry;
mod text_notice;
mod voevent;

use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display};

use serde_json::Value;

pub use avro::{AvroBlob, AvroValue};
pub use blob::Blob;
pub use circular::GcnCircular;
pub use error::{ModelError, XmlError};
pub use external::External;
pub use format::Format;
pub use json::JsonBlob;
pub use registry::{DecodeWarning, Decoded, Registry};
pub use text_notice::GcnTextNotice;
pub use voevent::{SchemaProblem, VoEvent};

/// One message, understood: what every format can do with its content.
///
/// Only [`format`](Self::format), [`to_json`](Self::to_json), [`to_text`](Self::to_text),
/// [`serialize`](Self::serialize) and [`as_any`](Self::as_any) must be written for a format of one's own.
///
/// A model prints (`{}`) as its text, with bytes that are not UTF-8 replaced.
pub trait MessageModel: Debug + Send + Sync + 'static {
    /// The lower-case name that the `_format` header carries, such as `voevent`.
    fn format(&self) -> &str;

    /// The content as a JSON value, its keys in their order.
    ///
    /// A JSON number that a [`Value`] cannot hold is a string here; [`json_line`](Self::json_line) is exact.
    fn to_json(&self) -> Value;

    /// What a person reads, without a delimiter after it.
    fn to_text(&self) -> Cow<'_, [u8]>;

    /// The payload to send.
    ///
    /// # Errors
    ///
    /// When the content cannot be written in that form: bytes that are not UTF-8 in an envelope, for example.
    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError>;

    /// The model as [`Any`], to get back the type: see `downcast_ref` on `dyn MessageModel`.
    fn as_any(&self) -> &dyn Any;

    /// The content as one line of JSON, spaced and escaped as Python's `json.dumps` does: what `hop subscribe -j`
    /// prints.
    fn json_line(&self) -> String {
        python_json::to_string(&self.to_json())
    }
}

impl dyn MessageModel {
    /// The model as `T`, if that is its type.
    pub fn downcast_ref<T: MessageModel>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }
}

impl Display for dyn MessageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_text()))
    }
}

/// How a model is written into a payload. The forms differ for a VOEvent and for readers of old versions only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WireForm {
    /// What hop-client 0.6 to 0.11 sends and every version since 0.6 reads: a VOEvent is a JSON object.
    #[default]
    Json,
    /// As hop-client 0.12 and later send it: a VOEvent is the XML document that it was loaded from.
    Original,
    /// As hop-client 0.5 and earlier send it, and the only form they read: one JSON object that holds the name of the
    /// format and the content, for use without a `_format` header.
    Envelope,
}

/// The envelope of old versions around a content that is JSON text already.
fn envelope(format: &str, content: &str) -> Vec<u8> {
    format!("{{\"format\": {}, \"content\": {content}}}", python_json::to_string(&Value::from(format)))
        .into_bytes()
}

/// Bytes as a JSON value: a string where they are UTF-8, else `{"$binary": base64}`.
pub(crate) fn bytes_to_json(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    std::str::from_utf8(bytes).map_or_else(
        |_| serde_json::json!({ "$binary": base64::engine::general_purpose::STANDARD.encode(bytes) }),
        Value::from,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_are_base64_in_json() {
        assert_eq!(bytes_to_json(b"plain"), Value::from("plain"));
        assert_eq!(bytes_to_json(b"\xff\x00"), serde_json::json!({ "$binary": "/wA=" }));
    }

    #[test]
    fn a_model_prints_as_its_text() {
        let model: Box<dyn MessageModel> = Box::new(Blob::new(b"caf\xe9".to_vec()));
        assert_eq!(model.to_string(), "caf\u{fffd}");
        assert!(model.downcast_ref::<Blob>().is_some());
        assert!(model.downcast_ref::<JsonBlob>().is_none());
    }
}
