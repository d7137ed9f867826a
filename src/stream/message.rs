//! A message that was read: where it stood, what came with it, and what it means.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use super::headers::{FORMAT, Header, Headers, ID, SENDER, TEST};
use crate::kafka::FetchedBatch;
use crate::models::{DecodeWarning, MessageModel, ModelError, Registry};
use crate::wire::record::{Record, RecordError, TimestampType};

/// A message and its model.
#[derive(Debug)]
pub struct Message {
    raw: RawMessage,
    model: Box<dyn MessageModel>,
    warning: Option<DecodeWarning>,
}

impl Message {
    /// Reads the payload. If it is not what its `_format` says, the message comes back with the reason.
    pub(crate) fn decode(raw: RawMessage, registry: &Registry) -> Result<Self, Box<Unreadable>> {
        match registry.decode(raw.metadata().format(), raw.payload()) {
            Ok(decoded) => Ok(Self { raw, model: decoded.model, warning: decoded.warning }),
            Err(source) => Err(Box::new(Unreadable { message: raw, source })),
        }
    }

    /// Where the message stood and what came with it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.raw.metadata()
    }

    /// What the message means.
    #[must_use]
    pub fn model(&self) -> &dyn MessageModel {
        &*self.model
    }

    /// The model, without the rest.
    #[must_use]
    pub fn into_model(self) -> Box<dyn MessageModel> {
        self.model
    }

    /// The bytes as they are on the wire.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        self.raw.payload()
    }

    /// Why the message was read otherwise than its format says, if it was: an unknown format gives a blob.
    #[must_use]
    pub fn warning(&self) -> Option<&DecodeWarning> {
        self.warning.as_ref()
    }

    /// The message without its model.
    #[must_use]
    pub fn as_raw(&self) -> &RawMessage {
        &self.raw
    }
}

/// Names that nearly every message has need not be counted as views of its batch.
#[inline(always)]
fn known_name(name: &[u8]) -> Option<&'static [u8]> {
    [ID, SENDER, FORMAT].into_iter().map(str::as_bytes).find(|known| *known == name)
}

/// A message whose payload has not been read.
///
/// Payload, key and headers are views of the batch that they came in: keeping one of them keeps the whole batch in
/// memory. Copy what is to be kept for long (`Bytes::copy_from_slice`).
#[derive(Debug, Clone, PartialEq)]
pub struct RawMessage(Box<Parts>);

/// Kept together behind a pointer: on its way to whoever reads it, a message is moved more often than it is made.
#[derive(Debug, Clone, PartialEq)]
struct Parts {
    metadata: Metadata,
    payload: Option<Bytes>,
}

impl RawMessage {
    /// Takes a record over without copying it.
    #[inline(always)]
    pub(super) fn from_record(batch: &FetchedBatch, record: &Record<'_>) -> Result<Self, RecordError> {
        let slice = |part: &[u8]| batch.slice(part);
        let mut headers = Vec::with_capacity(record.likely_headers());
        for header in record.headers() {
            let header = header?;
            let name = known_name(header.key).map_or_else(|| slice(header.key), Bytes::from_static);
            headers.push(Header::new(name, header.value.map(&slice)));
        }
        Ok(Self(Box::new(Parts {
            metadata: Metadata {
                topic: Arc::clone(batch.topic()),
                partition: batch.partition(),
                offset: record.offset,
                timestamp: record.timestamp,
                timestamp_type: batch.timestamp_type(),
                key: record.key.map(&slice),
                headers: headers.into_iter().collect(),
            },
            payload: record.value.map(&slice),
        })))
    }

    /// Another message in the place of this one.
    #[cfg(feature = "http")]
    pub(super) fn replaced_by(
        &self,
        payload: Bytes,
        timestamp: i64,
        key: Option<Bytes>,
        headers: Headers,
    ) -> Self {
        let metadata = Metadata { timestamp, key, headers, ..self.metadata().clone() };
        Self(Box::new(Parts { metadata, payload: Some(payload) }))
    }

    /// Where the message stood and what came with it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The bytes as they are on the wire; empty if there are none.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.0.payload.as_ref().unwrap_or(&NONE)
    }

    /// Whether the payload is null, which is not the same as empty: it deletes a key from a compacted topic.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.payload.is_none()
    }
}

/// A message whose payload is not what its format says. The stream goes on behind it.
#[derive(Debug, Error)]
#[error(
    "the message in topic '{}', partition {}, offset {} cannot be read{}: {source}",
    message.metadata().topic, message.metadata().partition, message.metadata().offset, as_format(message)
)]
#[non_exhaustive]
pub struct Unreadable {
    /// The message as it came.
    pub message: RawMessage,
    /// What is wrong with its payload.
    pub source: ModelError,
}

impl Unreadable {
    /// Whether it is only out of reach for now: a message that is kept elsewhere, by a service that does not answer.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        #[cfg(feature = "http")]
        if let ModelError::Other(source) = &self.source
            && let Some(error) = source.downcast_ref::<super::LargeMessageError>()
        {
            return error.is_retriable();
        }
        false
    }
}

/// The name comes from the sender, so it is quoted and cut.
fn as_format(message: &RawMessage) -> String {
    const LONGEST: usize = 40;

    match message.metadata().format() {
        Some(name) => {
            let name: String = String::from_utf8_lossy(name).chars().take(LONGEST).collect();
            format!(" as {name:?}")
        }
        None => String::new(),
    }
}

/// Where a message stood, and what came with it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970 UTC, of what the [type](Self::timestamp_type) says. -1 if it has none.
    pub timestamp: i64,
    /// Whether the timestamp is when the message was sent or, if the topic is set up so, when the broker stored it.
    pub timestamp_type: TimestampType,
    /// The key, by which messages about one thing stay in one partition.
    pub key: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

impl Metadata {
    /// One that is made up.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn for_tests(
        topic: &str,
        partition: i32,
        offset: i64,
        timestamp: i64,
        headers: Headers,
    ) -> Self {
        let (topic, timestamp_type) = (topic.into(), TimestampType::CreateTime);
        Self { topic, partition, offset, timestamp, timestamp_type, key: None, headers }
    }

    /// The `_id`: what tells the message from every other, also when it was sent twice.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        Uuid::from_slice(self.headers.get(ID)?.value()?).ok()
    }

    /// The `_sender`: who says to have sent the message. The broker does not check it.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        str::from_utf8(self.headers.get(SENDER)?.value()?).ok()
    }

    /// Whether the message is marked as a test: it has a `_test` header, whatever its value.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.headers.get(TEST).is_some()
    }

    /// The `_format` as it was sent; empty if its value is null.
    #[must_use]
    pub fn format(&self) -> Option<&[u8]> {
        self.headers.get(FORMAT).map(|header| header.value().map_or(&[][..], |value| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Blob, JsonBlob};

    fn message(
        headers: &[(&'static str, Option<&'static [u8]>)],
        payload: Option<&'static [u8]>,
    ) -> RawMessage {
        let headers =
            headers.iter().map(|(name, value)| Header::new(*name, value.map(Bytes::from_static))).collect();
        let metadata = Metadata {
            topic: "t".into(),
            partition: 1,
            offset: 2,
            timestamp: 3,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            headers,
        };
        RawMessage(Box::new(Parts { metadata, payload: payload.map(Bytes::from_static) }))
    }

    #[test]
    fn headers_of_hop_are_understood() {
        let id: &[u8; 16] = b"0123456789abcdef";
        let raw = message(&[("_id", Some(id)), ("_sender", Some(b"me")), ("_test", None)], None);
        assert_eq!(raw.metadata().id().unwrap().as_bytes(), id);
        assert_eq!(raw.metadata().sender(), Some("me"));
        assert!(raw.metadata().is_test());
        assert_eq!(raw.metadata().format(), None);
        let odd = message(&[("_id", Some(b"short")), ("_sender", Some(b"\xff")), ("_format", None)], None);
        assert_eq!((odd.metadata().id(), odd.metadata().sender()), (None, None));
        assert_eq!(odd.metadata().format(), Some(&b""[..]));
        assert!(!odd.metadata().is_test());
    }

    #[test]
    fn a_payload_is_read_as_its_first_format_says() {
        let registry = Registry::standard();
        let raw = message(&[("_format", Some(b"blob")), ("_format", Some(b"json"))], Some(b"{}"));
        let read = Message::decode(raw, &registry).unwrap();
        assert!(read.model().downcast_ref::<Blob>().is_some());
        assert_eq!(read.payload(), "{}");
        let read = Message::decode(message(&[], Some(b"{}")), &registry).unwrap();
        assert!(read.model().downcast_ref::<JsonBlob>().is_some());
        let read = Message::decode(message(&[("_format", Some(b"donut"))], Some(b"{}")), &registry).unwrap();
        assert!(read.warning().is_some());
    }

    #[test]
    fn an_unreadable_message_comes_back_whole() {
        let raw = message(&[("_format", Some(b"json"))], Some(b"{"));
        let error = Message::decode(raw.clone(), &Registry::standard()).unwrap_err();
        assert_eq!(error.message, raw);
        let shown = error.to_string();
        assert!(
            shown.starts_with("the message in topic 't', partition 1, offset 2 cannot be read as \"json\": "),
            "{shown}"
        );
    }

    #[test]
    fn a_null_payload_reads_as_empty() {
        let raw = message(&[], None);
        assert!(raw.is_null() && raw.payload().is_empty());
        assert!(!message(&[], Some(b"")).is_null());
        assert!(Message::decode(raw, &Registry::standard()).is_ok());
    }
}
