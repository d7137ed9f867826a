//! The records of a journal, as hop-client's `PublicationJournal` writes them.
//!
//! All numbers are big-endian. A head of 24 bytes: the kind and the length of the body in 8 bytes each, the CRC-32 of
//! the body, and the CRC-32 of the 20 bytes before it. Then the body:
//!
//! | kind | body |
//! | --- | --- |
//! | 2, a message | sequence number; topic, payload and key, each behind its length; the number of headers; the name and the value of each behind their lengths |
//! | 1, sent | sequence number of a message |
//! | 0, a message of hop-client's first releases | as 2, without topic and key |
//!
//! A key of length 0 is none. Nothing here knows of files.

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::stream::Header;

/// In front of each body.
pub(super) const HEAD_BYTES: usize = 24;
/// A whole record that says that a message was sent.
pub(super) const MARK_BYTES: u64 = 32;
/// More than any broker takes; a longer body is not read into memory.
const MOST_BODY_BYTES: u64 = 128 * 1024 * 1024;

const OLD_MESSAGE: u64 = 0;
const SENT: u64 = 1;
const MESSAGE: u64 = 2;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    kind: u64,
    pub(super) body_bytes: u64,
    body_checksum: u32,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Message { sequence: u64, message: StoredMessage },
    Sent { sequence: u64 },
}

/// A message as it stands in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stream) struct StoredMessage {
    /// `None` in records of the old kind: that of whoever takes the journal over.
    pub(in crate::stream) topic: Option<String>,
    pub(in crate::stream) payload: Bytes,
    pub(in crate::stream) key: Option<Bytes>,
    pub(in crate::stream) headers: Vec<Header>,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JournalFlaw {
    /// The checksum of the head does not fit.
    #[error("the checksum of a record's head does not fit")]
    HeadChecksum,
    /// The checksum of the body does not fit.
    #[error("the checksum of a record's body does not fit")]
    BodyChecksum,
    /// The record is of a kind that a newer version may know.
    #[error("the record is of kind {kind}, which this version does not know")]
    Kind {
        /// The kind.
        kind: u64,
    },
    /// The record is larger than any message.
    #[error("the record claims {bytes} bytes, more than any message has")]
    TooLarge {
        /// The length of its body.
        bytes: u64,
    },
    /// The lengths inside of the record do not add up to its own.
    #[error("the lengths in the record do not add up to its own")]
    Lengths,
    /// The topic is no text.
    #[error("the name of the topic is no UTF-8 text")]
    Topic,
    /// Two messages have one number.
    #[error("message {sequence} is there a second time")]
    Twice {
        /// The number.
        sequence: u64,
    },
    /// A message is said to be sent that is not there.
    #[error("message {sequence} is said to be sent, and is not there")]
    NotThere {
        /// The number.
        sequence: u64,
    },
    /// No number is left for another message.
    #[error("message {} leaves no number for another", u64::MAX)]
    LastNumber,
}

impl Head {
    pub(super) fn decode(head: [u8; HEAD_BYTES]) -> Result<Self, JournalFlaw> {
        let mut rest = &head[..];
        let (kind, body_bytes) = (rest.get_u64(), rest.get_u64());
        let (body_checksum, checksum) = (rest.get_u32(), rest.get_u32());
        if head.split_last_chunk::<4>().map(|(checked, _)| crc32fast::hash(checked)) != Some(checksum) {
            return Err(JournalFlaw::HeadChecksum);
        }
        if !matches!(kind, OLD_MESSAGE | SENT | MESSAGE) {
            return Err(JournalFlaw::Kind { kind });
        }
        if body_bytes > MOST_BODY_BYTES {
            return Err(JournalFlaw::TooLarge { bytes: body_bytes });
        }
        Ok(Self { kind, body_bytes, body_checksum })
    }

    pub(super) fn read_body(&self, body: Bytes) -> Result<Entry, JournalFlaw> {
        if crc32fast::hash(&body) != self.body_checksum {
            return Err(JournalFlaw::BodyChecksum);
        }
        let mut body = Body(body);
        let sequence = body.number()?;
        let entry = if self.kind == SENT {
            Entry::Sent { sequence }
        } else {
            let topic = match self.kind {
                OLD_MESSAGE => None,
                _ => Some(String::from_utf8(body.bytes()?.into()).map_err(|_| JournalFlaw::Topic)?),
            };
            let payload = body.bytes()?;
            let key = if self.kind == OLD_MESSAGE { Bytes::new() } else { body.bytes()? };
            let key = Some(key).filter(|key| !key.is_empty());
            let headers = body.headers()?;
            Entry::Message { sequence, message: StoredMessage { topic, payload, key, headers } }
        };
        if body.0.is_empty() { Ok(entry) } else { Err(JournalFlaw::Lengths) }
    }
}

/// What is not read yet of a body.
struct Body(Bytes);

impl Body {
    fn number(&mut self) -> Result<u64, JournalFlaw> {
        self.0.try_get_u64().map_err(|_| JournalFlaw::Lengths)
    }

    fn bytes(&mut self) -> Result<Bytes, JournalFlaw> {
        let length = usize::try_from(self.number()?).map_err(|_| JournalFlaw::Lengths)?;
        if length > self.0.len() {
            return Err(JournalFlaw::Lengths);
        }
        Ok(self.0.split_to(length))
    }

    fn headers(&mut self) -> Result<Vec<Header>, JournalFlaw> {
        let count = usize::try_from(self.number()?).map_err(|_| JournalFlaw::Lengths)?;
        // Each has two lengths at the least.
        if count > self.0.len() / 16 {
            return Err(JournalFlaw::Lengths);
        }
        (0..count).map(|_| Ok(Header::new(self.bytes()?, Some(self.bytes()?)))).collect()
    }
}

impl StoredMessage {
    /// How many bytes its record has.
    pub(in crate::stream) fn record_bytes(&self) -> u64 {
        let parts = [self.topic().len(), self.payload.len(), self.key().len()];
        let headers = self.headers.iter().flat_map(|header| [header.name().len(), value(header).len()]);
        let lengths = parts.into_iter().chain(headers).fold(0_u64, |sum, part| {
            sum.saturating_add(8).saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
        });
        // The head, the sequence number, the number of headers.
        lengths.saturating_add(24 + 8 + 8)
    }

    /// Appends its record, of the new kind.
    pub(super) fn encode(&self, sequence: u64, into: &mut Vec<u8>) {
        record(MESSAGE, into, |body| {
            body.extend(sequence.to_be_bytes());
            for part in [self.topic().as_bytes(), &self.payload, self.key()] {
                put(part, body);
            }
            body.extend(length_of(self.headers.len()).to_be_bytes());
            for header in &self.headers {
                put(header.name(), body);
                put(value(header), body);
            }
        });
    }

    fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    fn key(&self) -> &[u8] {
        self.key.as_deref().unwrap_or_default()
    }
}

/// The format has no null.
fn value(header: &Header) -> &[u8] {
    header.value().map(|value| &value[..]).unwrap_or_default()
}

/// Appends the record that says that a message was sent.
pub(super) fn encode_sent(sequence: u64, into: &mut Vec<u8>) {
    record(SENT, into, |body| body.extend(sequence.to_be_bytes()));
}

fn record(kind: u64, into: &mut Vec<u8>, write_body: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend([0; HEAD_BYTES]);
    write_body(into);
    let Some((place, body)) =
        into.get_mut(start..).and_then(|record| record.split_at_mut_checked(HEAD_BYTES))
    else {
        return;
    };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend(kind.to_be_bytes());
    head.extend(length_of(body.len()).to_be_bytes());
    head.extend(crc32fast::hash(body).to_be_bytes());
    head.extend(crc32fast::hash(&head).to_be_bytes());
    place.copy_from_slice(&head);
}

fn put(part: &[u8], body: &mut Vec<u8>) {
    body.extend(length_of(part.len()).to_be_bytes());
    body.extend(part);
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
