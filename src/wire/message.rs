//! Requests into frames, and frames into answers.
//!
//! A request's header has version 2 where the message is *flexible* (KIP-482: compact lengths, tagged fields), else 1;
//! an answer's has version 1 or 0, and that of ApiVersions is 0 always, since the client cannot know yet what the
//! broker speaks.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::guard::Suspicious;

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
    let start = buffer.len();
    let encoded = append(buffer, request, version, correlation_id, client_id).and_then(|()| {
        let length = buffer.len().saturating_sub(start).saturating_sub(4);
        let length =
            i32::try_from(length).map_err(|_| EncodeError { reason: format!("it has {length} bytes") })?;
        if let Some(prefix) = buffer.get_mut(start..start.saturating_add(4)) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    });
    if encoded.is_err() {
        buffer.truncate(start);
    }
    encoded
}

fn append<R: Request>(
    buffer: &mut BytesMut,
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<(), EncodeError> {
    // The error of the schemas is untyped; its words name the field.
    let failed = |error| EncodeError { reason: format!("{error:#}") };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let header_version = R::header_version(version);
    let size = header.compute_size(header_version).map_err(failed)?;
    let size = size.saturating_add(request.compute_size(version).map_err(failed)?);
    buffer.reserve(size.saturating_add(4));
    buffer.put_i32(0);
    header.encode(buffer, header_version).map_err(failed)?;
    request.encode(buffer, version).map_err(failed)
}

/// The answer to an `R` of this version, from a frame without its length. No more memory is reserved than a fixed
/// multiple of the frame's size.
///
/// # Errors
///
/// [`DecodeError`] for a frame that is too short, states lengths beyond its end, or goes on after its end.
pub fn decode_response<R: Request>(frame: Bytes, version: i16) -> Result<R::Response, DecodeError> {
    decode::<R, _>(&mut Suspicious::new(frame.clone()), version)?;
    decode::<R, _>(&mut { frame }, version)
}

fn decode<R: Request, B: ByteBuf>(frame: &mut B, version: i16) -> Result<R::Response, DecodeError> {
    let failed = |error| DecodeError { reason: format!("{error:#}") };
    ResponseHeader::decode(frame, R::Response::header_version(version)).map_err(failed)?;
    let response = R::Response::decode(frame, version).map_err(failed)?;
    match frame.remaining() {
        0 => Ok(response),
        left => Err(DecodeError { reason: format!("{left} bytes are left over") }),
    }
}

/// The number that ties an answer to its request, from a frame without its length.
pub fn correlation_id(frame: &Bytes) -> Option<i32> {
    frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// A request that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EncodeError {
    reason: String,
}

/// An answer that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::*;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::spoken;

    fn frame<R: Request>(version: i16, response: &R::Response) -> Bytes {
        let mut out = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(i32::MAX);
        header.encode(&mut out, R::Response::header_version(version)).unwrap();
        response.encode(&mut out, version).unwrap();
        out.freeze()
    }

    fn round_trip<R: Request>(response: impl Fn(i16) -> R::Response)
    where
        R::Response: PartialEq + std::fmt::Debug,
    {
        let versions = spoken::<R>();
        for version in versions.min..=versions.max {
            let sent = response(version);
            let frame = frame::<R>(version, &sent);
            assert_eq!(correlation_id(&frame), Some(i32::MAX));
            let read = decode_response::<R>(frame.clone(), version);
            assert_eq!(read, Ok(sent), "version {version}");
            for cut in 0..frame.len() {
                assert!(
                    decode_response::<R>(frame.slice(..cut), version).is_err(),
                    "version {version} cut at {cut}"
                );
            }
        }
    }

    fn metadata(version: i16) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(2_000_000_000.into())
            .with_host(StrBytes::from_static_str("h"))
            .with_port(i32::MAX);
        let partition = MetadataResponsePartition::default()
            .with_partition_index(i32::MAX)
            .with_leader_id(i32::MAX.into())
            .with_leader_epoch(if version >= 7 { i32::MAX } else { -1 })
            .with_replica_nodes(vec![i32::MAX.into(), 1_000_000.into()])
            .with_isr_nodes(vec![i32::MAX.into()]);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_partitions(vec![partition]);
        MetadataResponse::default()
            .with_throttle_time_ms(i32::MAX)
            .with_controller_id(i32::MAX.into())
            .with_brokers(vec![broker])
            .with_topics(vec![topic])
    }

    fn fetch(version: i16) -> FetchResponse {
        let partition = PartitionData::default()
            .with_partition_index(i32::MAX)
            .with_high_watermark(i64::MAX)
            .with_preferred_read_replica((if version >= 11 { i32::MAX } else { -1 }).into())
            .with_aborted_transactions(None)
            .with_records(Some(Bytes::from_static(b"\xff\xff\xff\xffrecords")));
        let topic = FetchableTopicResponse::default()
            .with_topic(StrBytes::from_static_str("t").into())
            .with_partitions(vec![partition]);
        FetchResponse::default()
            .with_throttle_time_ms(i32::MAX)
            .with_session_id(if version >= 7 { i32::MAX } else { 0 })
            .with_responses(vec![topic])
    }

    #[test]
    fn large_numbers_that_are_no_lengths_are_read_as_they_are() {
        round_trip::<MetadataRequest>(metadata);
        round_trip::<FetchRequest>(fetch);
        round_trip::<ApiVersionsRequest>(|version| {
            let api = ApiVersion::default().with_api_key(i16::MAX).with_max_version(i16::MAX);
            let throttle = if version >= 1 { i32::MAX } else { 0 };
            ApiVersionsResponse::default().with_api_keys(vec![api]).with_throttle_time_ms(throttle)
        });
        round_trip::<SaslHandshakeRequest>(|_| {
            SaslHandshakeResponse::default().with_mechanisms(vec![StrBytes::from_static_str("PLAIN")])
        });
        round_trip::<SaslAuthenticateRequest>(|version| {
            SaslAuthenticateResponse::default()
                .with_auth_bytes(Bytes::from_static(b"\xff\xff\xff"))
                .with_session_lifetime_ms(if version >= 1 { i64::MAX } else { 0 })
        });
        round_trip::<InitProducerIdRequest>(|_| {
            InitProducerIdResponse::default()
                .with_throttle_time_ms(i32::MAX)
                .with_producer_id(i64::MAX.into())
        });
        round_trip::<ProduceRequest>(|_| ProduceResponse::default().with_throttle_time_ms(i32::MAX));
        round_trip::<ListOffsetsRequest>(|_| ListOffsetsResponse::default().with_throttle_time_ms(i32::MAX));
    }

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
        let mut long = frame::<MetadataRequest>(9, &metadata(9)).to_vec();
        long.push(0);
        assert!(decode_response::<MetadataRequest>(long.into(), 9).is_err());
    }

    #[test]
    fn a_request_is_a_frame_with_its_length() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        encode_request(&mut buffer, &SaslHandshakeRequest::default(), 1, 7, "me").unwrap();
        // Key 17, version 1, correlation id 7, client id, an empty mechanism.
        assert_eq!(&buffer[..], b"before\0\0\0\x0e\0\x11\0\x01\0\0\0\x07\0\x02me\0\0");
    }

    #[test]
    fn what_cannot_be_encoded_leaves_nothing_behind() {
        let mut buffer = BytesMut::new();
        let request = MetadataRequest::default().with_include_topic_authorized_operations(true);
        assert!(encode_request(&mut buffer, &request, 4, 0, "").is_err());
        assert!(buffer.is_empty());
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), version in 0..14_i16) {
            let frame = Bytes::from(bytes);
            let _ = decode_response::<MetadataRequest>(frame.clone(), version.clamp(4, 12));
            let _ = decode_response::<FetchRequest>(frame.clone(), version.clamp(4, 12));
            let _ = decode_response::<ProduceRequest>(frame.clone(), version.clamp(3, 12));
            let _ = decode_response::<ListOffsetsRequest>(frame.clone(), version.clamp(2, 9));
            let _ = decode_response::<ApiVersionsRequest>(frame, version.clamp(0, 3));
        }
    }
}
