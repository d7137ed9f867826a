//! A message as the store of large messages takes it and gives it back: BSON (version 1.1 of its specification).
//!
//! Of BSON only what such a document has: texts, binaries, lists, integers; other values are passed over. The crate `bson`
//! has all of it, and with it a dozen others (random numbers, dates, bit vectors), for two shapes of document. Nothing is
//! copied that is read, and every length is checked against what is left.

use bytes::Bytes;
use thiserror::Error;

use crate::stream::headers::{Header, Headers};

const BINARY: u8 = 0x05;
const TEXT: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const LIST: u8 = 0x04;
const NULL: u8 = 0x0a;

/// A message that was kept elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) payload: Bytes,
    /// Milliseconds since 1970 UTC.
    pub(super) timestamp: i64,
    pub(super) key: Option<Bytes>,
    pub(super) headers: Headers,
}

/// A message on its way there: `{"message": binary, "headers": [[text, binary], ...], "key": binary}`.
///
/// # Errors
///
/// When it is larger than BSON can say, 2 GiB, or the name of a header is no text.
pub(super) fn encode<'a>(
    payload: &[u8],
    headers: impl Iterator<Item = &'a Header>,
    key: Option<&[u8]>,
) -> Result<Vec<u8>, DocumentError> {
    let mut document = Vec::with_capacity(payload.len().saturating_add(512));
    nested(&mut document, |document| {
        element(document, BINARY, b"message");
        binary(document, payload)?;
        element(document, LIST, b"headers");
        nested(document, |list| {
            for (number, header) in (0_u32..).zip(headers) {
                element(list, LIST, number.to_string().as_bytes());
                nested(list, |pair| {
                    element(pair, TEXT, b"0");
                    let name = str::from_utf8(header.name()).map_err(|_| DocumentError::Name)?;
                    text(pair, name)?;
                    match header.value() {
                        Some(value) => {
                            element(pair, BINARY, b"1");
                            binary(pair, value)
                        }
                        None => {
                            element(pair, NULL, b"1");
                            Ok(())
                        }
                    }
                })?;
            }
            Ok(())
        })?;
        if let Some(key) = key {
            element(document, BINARY, b"key");
            binary(document, key)?;
        }
        Ok(())
    })?;
    Ok(document)
}

fn nested(
    into: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), DocumentError>,
) -> Result<(), DocumentError> {
    let start = into.len();
    into.extend([0; 4]);
    content(into)?;
    into.push(0);
    let length = length(into.len().saturating_sub(start))?;
    if let Some(place) = into.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
        *place = length;
    }
    Ok(())
}

fn element(into: &mut Vec<u8>, kind: u8, name: &[u8]) {
    into.push(kind);
    into.extend_from_slice(name);
    into.push(0);
}

fn binary(into: &mut Vec<u8>, bytes: &[u8]) -> Result<(), DocumentError> {
    into.extend(length(bytes.len())?);
    into.push(0);
    into.extend_from_slice(bytes);
    Ok(())
}

fn text(into: &mut Vec<u8>, text: &str) -> Result<(), DocumentError> {
    into.extend(length(text.len().saturating_add(1))?);
    into.extend_from_slice(text.as_bytes());
    into.push(0);
    Ok(())
}

fn length(length: usize) -> Result<[u8; 4], DocumentError> {
    i32::try_from(length).map(i32::to_le_bytes).map_err(|_| DocumentError::TooLarge)
}

/// Reads a message that was kept: `{"message": binary, "metadata": {"headers": [[text, binary], ...], "timestamp":
/// integer, "key": binary}}`, of which the key may be missing or null.
pub(super) fn decode(bytes: &Bytes) -> Result<Stored, DocumentError> {
    let (mut payload, mut metadata) = (None, None);
    for element in Elements::of(bytes)? {
        match element? {
            ("message", Value::Binary(message)) => payload = Some(message),
            ("metadata", Value::Nested(document)) => metadata = Some(document),
            _ => {}
        }
    }
    let payload = payload.ok_or(DocumentError::Missing { what: "message" })?;
    let metadata = metadata.ok_or(DocumentError::Missing { what: "metadata" })?;
    let (mut headers, mut timestamp, mut key) = (None, None, None);
    for element in Elements::of(metadata)? {
        match element? {
            ("headers", Value::Nested(list)) => headers = Some(list),
            ("timestamp", Value::Integer(stated)) => timestamp = Some(stated),
            ("key", Value::Binary(stated)) => key = Some(stated),
            _ => {}
        }
    }
    let headers = headers.ok_or(DocumentError::Missing { what: "metadata.headers" })?;
    let timestamp = timestamp.ok_or(DocumentError::Missing { what: "metadata.timestamp" })?;
    let headers: Result<_, DocumentError> = Elements::of(headers)?
        .map(|element| match element? {
            (_, Value::Nested(pair)) => header(bytes, pair),
            _ => Err(DocumentError::Header),
        })
        .collect();
    Ok(Stored {
        payload: bytes.slice_ref(payload),
        timestamp,
        key: key.map(|key| bytes.slice_ref(key)),
        headers: headers?,
    })
}

fn header(bytes: &Bytes, pair: &[u8]) -> Result<Header, DocumentError> {
    let mut pair = Elements::of(pair)?;
    match (pair.next().transpose()?, pair.next().transpose()?, pair.next()) {
        (Some((_, Value::Text(name))), Some((_, Value::Binary(value))), None) => {
            Ok(Header::new(bytes.slice_ref(name.as_bytes()), Some(bytes.slice_ref(value))))
        }
        (Some((_, Value::Text(name))), Some((_, Value::Null)), None) => {
            Ok(Header::new(bytes.slice_ref(name.as_bytes()), None))
        }
        _ => Err(DocumentError::Header),
    }
}

#[derive(Debug, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// A document or a list.
    Nested(&'a [u8]),
    Integer(i64),
    Null,
    Other,
}

/// What is left of the elements of a document or a list.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Of a whole document, its length in front and a zero behind.
    fn of(document: &'a [u8]) -> Result<Self, DocumentError> {
        let mut rest = document;
        let stated = take_i32(&mut rest)?;
        match rest.split_last() {
            Some((0, elements)) if usize::try_from(stated) == Ok(document.len()) => Ok(Self(elements)),
            _ => Err(DocumentError::NotBson),
        }
    }

    fn element(&mut self) -> Result<(&'a str, Value<'a>), DocumentError> {
        let rest = &mut self.0;
        let kind = take(rest, 1)?;
        let name = take_name(rest)?;
        let value = match kind {
            [TEXT] => Value::Text(take_text(rest)?),
            [DOCUMENT | LIST] => {
                let length = usize::try_from(take_i32(&mut &**rest)?).map_err(|_| DocumentError::NotBson)?;
                Value::Nested(take(rest, length)?)
            }
            [BINARY] => {
                let length = usize::try_from(take_i32(rest)?).map_err(|_| DocumentError::NotBson)?;
                take(rest, 1)?;
                Value::Binary(take(rest, length)?)
            }
            [0x10] => Value::Integer(take_i32(rest)?.into()),
            [0x12] => Value::Integer(i64::from_le_bytes(take_array(rest)?)),
            [NULL] => Value::Null,
            [other] => {
                pass_over(*other, rest)?;
                Value::Other
            }
            _ => return Err(DocumentError::NotBson),
        };
        Ok((name, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(&'a str, Value<'a>), DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.0 = &[];
        }
        Some(element)
    }
}

/// Values that nothing of ours is made of.
fn pass_over(kind: u8, rest: &mut &[u8]) -> Result<(), DocumentError> {
    match kind {
        // Undefined, the least and the greatest key.
        0x06 | 0x7f | 0xff => {}
        0x08 => drop(take(rest, 1)?),
        // Floats, dates, timestamps.
        0x01 | 0x09 | 0x11 => drop(take(rest, 8)?),
        0x07 => drop(take(rest, 12)?),
        0x13 => drop(take(rest, 16)?),
        // A pattern and its options.
        0x0b => {
            take_name(rest)?;
            take_name(rest)?;
        }
        // A name and an object id; code; a symbol.
        0x0c => {
            take_text(rest)?;
            take(rest, 12)?;
        }
        0x0d | 0x0e => drop(take_text(rest)?),
        // Code with its scope.
        0x0f => {
            let length = usize::try_from(take_i32(&mut &**rest)?).map_err(|_| DocumentError::NotBson)?;
            take(rest, length)?;
        }
        _ => return Err(DocumentError::NotBson),
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], DocumentError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(DocumentError::NotBson)?;
    *rest = left;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DocumentError> {
    let (taken, left) = rest.split_first_chunk().ok_or(DocumentError::NotBson)?;
    *rest = left;
    Ok(*taken)
}

fn take_i32(rest: &mut &[u8]) -> Result<i32, DocumentError> {
    take_array(rest).map(i32::from_le_bytes)
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DocumentError> {
    let end = memchr::memchr(0, rest).ok_or(DocumentError::NotBson)?;
    let name = take(rest, end)?;
    take(rest, 1)?;
    str::from_utf8(name).map_err(|_| DocumentError::NotBson)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DocumentError> {
    let length = usize::try_from(take_i32(rest)?).map_err(|_| DocumentError::NotBson)?;
    match take(rest, length)?.split_last() {
        Some((0, text)) => str::from_utf8(text).map_err(|_| DocumentError::NotBson),
        _ => Err(DocumentError::NotBson),
    }
}

/// A document that is none, or is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum DocumentError {
    #[error("it is not BSON")]
    NotBson,
    #[error("it has no `{what}`, or not of the right kind")]
    Missing { what: &'static str },
    #[error("one of its headers is not a pair of a text and a binary")]
    Header,
    #[error("the name of a header is not UTF-8")]
    Name,
    #[error("it is larger than 2 GiB")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn header(name: &'static str, value: &'static [u8]) -> Header {
        Header::new(name, Some(Bytes::from_static(value)))
    }

    // What Python's `bson` writes, as hop-client has it.
    const SENT: &str = "48000000056d6573736167650001000000006d0468656164657273002000000004300018000000023000030000005f6100\
        0531000100000000010000056b65790001000000006b00";
    const KEPT: &str = "a5000000056d6573736167650007000000007061796c6f6164036d657461646174610081000000046865616465727300480\
        000000430001d000000023000080000005f73656e646572000531000100000000750004310020000000023000080000005f666f726d617400053\
        1000400000000626c6f6200001274696d657374616d70000068e5cf8b01000002746f70696300020000007400056b65790001000000006b0000";
    const WITH_MORE: &str = "71000000056d657373616765000000000000036d65746164617461005400000004686561646572730005000000001\
        074696d657374616d700005000000017800000000000000f83f0a7900087a00010377001d0000000461001500000010300001000000023100020\
        00000620000000000";

    #[test]
    fn what_is_sent_is_what_python_sends() {
        let sent = encode(b"m", std::iter::once(&header("_a", b"\x01")), Some(b"k")).unwrap();
        assert_eq!(Bytes::from(sent), hex(SENT));
    }

    #[test]
    fn what_is_kept_is_read() {
        let headers = [header("_sender", b"u"), header("_format", b"blob")].into_iter().collect();
        let kept = Stored {
            payload: Bytes::from_static(b"payload"),
            timestamp: 1_700_000_000_000,
            key: Some(Bytes::from_static(b"k")),
            headers,
        };
        assert_eq!(decode(&hex(KEPT)), Ok(kept));
        let empty = Stored { payload: Bytes::new(), timestamp: 5, key: None, headers: Headers::default() };
        assert_eq!(decode(&hex(WITH_MORE)), Ok(empty), "what is not ours is passed over");
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |what| Err(DocumentError::Missing { what });
        let no_headers = "32000000056d6573736167650001000000006d036d6574616461746100140000001074696d657374616d700005000000\
            0000";
        let an_object = "4a000000056d6573736167650001000000006d036d65746164617461002c0000000368656164657273000f0000000561\
            6200010000000078001074696d657374616d7000050000000000";
        let half_a_header = "51000000056d6573736167650001000000006d036d657461646174610033000000046865616465727300160000000\
            430000e00000002300002000000610000001074696d657374616d7000050000000000";
        let a_text = "42000000056d6573736167650001000000006d036d657461646174610024000000046865616465727300050000000002746\
            96d657374616d70000200000078000000";
        for (document, expected) in [
            ("", Err(DocumentError::NotBson)),
            ("0500000000", missing("message")),
            ("14000000036d6574616461746100050000000000", missing("message")),
            ("14000000026d65737361676500020000006d0000", missing("message")),
            ("14000000056d6573736167650001000000006d00", missing("metadata")),
            (no_headers, missing("metadata.headers")),
            (an_object, Err(DocumentError::Header)),
            (half_a_header, Err(DocumentError::Header)),
            (a_text, missing("metadata.timestamp")),
        ] {
            assert_eq!(decode(&hex(document)), expected, "{document}");
        }
    }

    #[test]
    fn every_cut_and_every_wrong_byte_is_an_error_or_read() {
        let kept = hex(KEPT);
        for end in 0..kept.len() {
            assert_eq!(decode(&kept.slice(..end)), Err(DocumentError::NotBson), "{end}");
        }
        for place in 0..kept.len() {
            for wrong in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = kept.to_vec();
                damaged[place] = wrong;
                let _ = decode(&Bytes::from(damaged));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_panics_never(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
