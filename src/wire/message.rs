//! Requests and answers, into frames and out of them.
//!
//! A request's header has version 2 where the message is *flexible* (KIP-482: compact lengths, tagged fields), else 1;
//! an answer's has version 1 or 0, and that of ApiVersions is 0 always, since the client cannot know yet what the
//! broker speaks.
//!
//! No frame reaches the decoder before [`layout`](super::layout) has gone over it: what is reserved is in proportion to
//! what has come.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::layout::{Side, check, layout};

/// Appends a request to `buffer` as a frame with its length.
///
/// # Errors
///
/// [`EncodeError`] where a field is too long for the protocol, or is set and unknown to that version. Nothing is
/// appended then.
pub fn encode_request<R: Request>(
    buffer: &mut BytesMut,
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<(), EncodeError> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    encode(buffer, (&header, R::header_version(version)), (request, version))
}

/// Appends the answer to an `R` of this version to `buffer`, as a frame with its length.
///
/// # Errors
///
/// As for [`encode_request`].
pub fn encode_response<R: Request>(
    buffer: &mut BytesMut,
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<(), EncodeError> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    encode(buffer, (&header, R::Response::header_version(version)), (response, version))
}

/// Where the correlation id stands in a request's frame: behind the length, the API key and the version.
const CORRELATION_ID_AT: usize = 8;

/// Gives the request in `frame`, which begins with its length, this correlation id instead of the one it has.
pub fn number(frame: &mut [u8], correlation_id: i32) {
    if let Some(bytes) = frame.get_mut(CORRELATION_ID_AT..).and_then(|rest| rest.first_chunk_mut()) {
        *bytes = correlation_id.to_be_bytes();
    }
}

/// Both come with their versions.
fn encode(
    buffer: &mut BytesMut,
    header: (&impl Encodable, i16),
    body: (&impl Encodable, i16),
) -> Result<(), EncodeError> {
    let start = buffer.len();
    let encoded = append(buffer, header, body);
    if encoded.is_err() {
        buffer.truncate(start);
    }
    encoded
}

fn append(
    buffer: &mut BytesMut,
    (header, header_version): (&impl Encodable, i16),
    (body, version): (&impl Encodable, i16),
) -> Result<(), EncodeError> {
    // The error of the schemas is untyped; its words name the field.
    let failed = |error| EncodeError { reason: format!("{error:#}") };
    let size = header.compute_size(header_version).map_err(failed)?;
    let size = size.saturating_add(body.compute_size(version).map_err(failed)?);
    let length = i32::try_from(size).map_err(|_| EncodeError { reason: format!("it has {size} bytes") })?;
    buffer.reserve(size.saturating_add(4));
    buffer.put_i32(length);
    let start = buffer.len();
    header.encode(buffer, header_version).map_err(failed)?;
    body.encode(buffer, version).map_err(failed)?;
    let written = buffer.len().saturating_sub(start);
    if written == size {
        Ok(())
    } else {
        Err(EncodeError { reason: format!("it was to have {size} bytes and has {written}") })
    }
}

/// The answer to an `R` of this version, from a frame without its length. No more memory is reserved than a fixed
/// multiple of the frame's size.
///
/// # Errors
///
/// [`DecodeError`] for a frame that is too short, states lengths beyond its end, or goes on after its end.
pub fn decode_response<R: Request>(mut frame: Bytes, version: i16) -> Result<R::Response, DecodeError> {
    let header_version = R::Response::header_version(version);
    let header = if header_version == 0 { "4" } else { "4<>" };
    let left = check_layout::<R>(&frame, header, Side::Response, version)?;
    if left > 0 {
        return Err(DecodeError { reason: format!("{left} bytes are left over") });
    }
    decode::<ResponseHeader>(&mut frame, header_version)?;
    decode_to_the_end(&mut frame, version)
}

/// What stands in front of every request, in every version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// Which request it is.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// What the answer has to carry.
    pub correlation_id: i32,
}

impl RequestHead {
    /// Of a frame without its length; `None` where it is too short.
    pub fn peek(frame: &[u8]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = *frame.first_chunk()?;
        Some(Self {
            api_key: i16::from_be_bytes([a, b]),
            api_version: i16::from_be_bytes([c, d]),
            correlation_id: i32::from_be_bytes([e, f, g, h]),
        })
    }
}

/// A request and who it is from.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedRequest<R> {
    /// The name that the client gives itself, for logs and quotas.
    pub client_id: Option<StrBytes>,
    /// The request.
    pub request: R,
}

/// The request in a frame without its length, of the version that its [`RequestHead`] names. No more memory is
/// reserved than a fixed multiple of the frame's size.
///
/// Bytes behind the request are passed over, as by Apache Kafka: librdkafka 2.16 sends three behind Metadata.
///
/// # Errors
///
/// [`DecodeError`] for a frame that is too short or states lengths beyond its end, and for a version that is not known.
pub fn decode_request<R: Request>(mut frame: Bytes, version: i16) -> Result<ReceivedRequest<R>, DecodeError> {
    let header_version = R::header_version(version);
    let header = if header_version < 2 { "224?s" } else { "224?s<>" };
    check_layout::<R>(&frame, header, Side::Request, version)?;
    let header = decode::<RequestHeader>(&mut frame, header_version)?;
    Ok(ReceivedRequest { client_id: header.client_id, request: decode(&mut frame, version)? })
}

/// Goes over a frame without taking anything; gives back how many bytes are left over.
fn check_layout<R: Request>(
    frame: &Bytes,
    header: &'static str,
    side: Side,
    version: i16,
) -> Result<usize, DecodeError> {
    let body = layout(R::KEY, side, version)
        .ok_or_else(|| DecodeError { reason: format!("version {version} is not known") })?;
    let mut rest = frame.as_ref();
    [header, body]
        .into_iter()
        .try_for_each(|fields| check(fields, &mut rest))
        .map_err(|error| DecodeError { reason: error.to_string() })?;
    Ok(rest.len())
}

fn decode<T: Decodable>(frame: &mut Bytes, version: i16) -> Result<T, DecodeError> {
    T::decode(frame, version).map_err(|error| DecodeError { reason: format!("{error:#}") })
}

fn decode_to_the_end<T: Decodable>(frame: &mut Bytes, version: i16) -> Result<T, DecodeError> {
    let message = decode(frame, version)?;
    match frame.remaining() {
        0 => Ok(message),
        left => Err(DecodeError { reason: format!("{left} bytes are left over") }),
    }
}

/// The number that ties an answer to its request, from a frame without its length.
pub fn correlation_id(frame: &Bytes) -> Option<i32> {
    frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// A message that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EncodeError {
    reason: String,
}

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{MetadataRequest, MetadataResponse, SaslHandshakeRequest};

    use super::*;

    #[test]
    fn array_lengths_beyond_the_end_are_refused() {
        // Correlation id, throttle time, then a number of brokers that nobody has.
        let hostile = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert!(decode_response::<MetadataRequest>(hostile, 4).is_err());
        // The same, compact: a varint of 2^32 - 1.
        let hostile = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
        assert!(decode_response::<MetadataRequest>(hostile, 9).is_err());
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut long = BytesMut::new();
        encode_response::<MetadataRequest>(&mut long, &MetadataResponse::default(), 9, 1).unwrap();
        let frame = long.split_off(4).freeze();
        assert_eq!(decode_response::<MetadataRequest>(frame.clone(), 9), Ok(MetadataResponse::default()));
        let long = [&frame[..], &[0]].concat();
        assert!(decode_response::<MetadataRequest>(long.into(), 9).is_err());
    }

    #[test]
    fn bytes_after_the_end_of_a_request_are_passed_over() {
        let mut long = BytesMut::new();
        encode_request(&mut long, &MetadataRequest::default(), 12, 1, "me").unwrap();
        long.extend_from_slice(&[0, 0, 0]);
        let received = decode_request::<MetadataRequest>(long.split_off(4).freeze(), 12).unwrap();
        assert_eq!(received.request, MetadataRequest::default());
    }

    #[test]
    fn a_request_is_a_frame_with_its_length() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        encode_request(&mut buffer, &SaslHandshakeRequest::default(), 1, 7, "me").unwrap();
        // Key 17, version 1, correlation id 7, client id, an empty mechanism.
        assert_eq!(&buffer[..], b"before\0\0\0\x0e\0\x11\0\x01\0\0\0\x07\0\x02me\0\0");
        number(&mut buffer[6..], 8);
        let frame = buffer.split_off(10).freeze();
        let head = RequestHead { api_key: 17, api_version: 1, correlation_id: 8 };
        assert_eq!(RequestHead::peek(&frame), Some(head));
        let received = decode_request::<SaslHandshakeRequest>(frame, 1).unwrap();
        assert_eq!(received.client_id.as_deref(), Some("me"));
        assert_eq!(received.request, SaslHandshakeRequest::default());
    }

    #[test]
    fn what_cannot_be_encoded_leaves_nothing_behind() {
        let mut buffer = BytesMut::new();
        let request = MetadataRequest::default().with_include_topic_authorized_operations(true);
        assert!(encode_request(&mut buffer, &request, 4, 0, "").is_err());
        assert!(buffer.is_empty());
    }

    #[test]
    fn versions_that_nobody_knows_are_refused() {
        let frame = Bytes::from_static(&[0; 64]);
        assert!(decode_response::<MetadataRequest>(frame.clone(), 99).is_err());
        assert!(decode_request::<MetadataRequest>(frame, -1).is_err());
    }
}
