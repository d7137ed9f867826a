//! What a format must be able to do, and the formats of this library.

use std::fmt;

use super::python_json::Json;
use super::{
    AvroBlob, Blob, External, GcnCircular, GcnTextNotice, JsonBlob, MessageModel, ModelError, VoEvent,
};

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
///     fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
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
    fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError>;
}

/// The order is that in which the command line lists them.
pub(super) const STANDARD: [Standard; 7] = [
    Standard {
        name: VoEvent::FORMAT,
        load: |content| VoEvent::load(content).map(boxed),
        decode: |payload| VoEvent::decode(payload).map(boxed),
        decode_envelope: |content| VoEvent::from_json(content.into_value()).map(boxed),
    },
    Standard {
        name: GcnTextNotice::FORMAT,
        load: |content| GcnTextNotice::load(content).map(boxed),
        decode: |payload| GcnTextNotice::decode(payload).map(boxed),
        decode_envelope: |content| GcnTextNotice::from_envelope(&content.into_value()).map(boxed),
    },
    Standard {
        name: GcnCircular::FORMAT,
        load: |content| GcnCircular::load(content).map(boxed),
        decode: |payload| GcnCircular::decode(payload).map(boxed),
        decode_envelope: |content| GcnCircular::from_json(content).map(boxed),
    },
    Standard {
        name: Blob::FORMAT,
        load: |content| Blob::load(content).map(boxed),
        decode: |payload| Blob::decode(payload).map(boxed),
        // What old versions called a blob was any JSON value.
        decode_envelope: |content| Ok(boxed(JsonBlob::new(content))),
    },
    Standard {
        name: JsonBlob::FORMAT,
        load: |content| JsonBlob::load(content).map(boxed),
        decode: |payload| JsonBlob::decode(payload).map(boxed),
        decode_envelope: |content| Ok(boxed(JsonBlob::new(content))),
    },
    Standard {
        name: AvroBlob::FORMAT,
        load: |content| AvroBlob::load(content).map(boxed),
        decode: |payload| AvroBlob::decode(payload).map(boxed),
        decode_envelope: |content| AvroBlob::from_envelope(content).map(boxed),
    },
    Standard {
        name: External::FORMAT,
        load: |content| External::load(content).map(boxed),
        decode: |payload| External::decode(payload).map(boxed),
        decode_envelope: |content| External::from_json(content).map(boxed),
    },
];

type AnyModel = Result<Box<dyn MessageModel>, ModelError>;

/// A format of this library: a name and three functions.
#[derive(Clone, Copy)]
pub(super) struct Standard {
    name: &'static str,
    load: fn(&[u8]) -> AnyModel,
    decode: fn(&[u8]) -> AnyModel,
    decode_envelope: fn(Json) -> AnyModel,
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

    fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
        (self.decode_envelope)(content)
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
