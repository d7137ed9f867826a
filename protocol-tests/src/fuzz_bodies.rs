//! What each fuzz target does with its input: run by libFuzzer from `fuzz/`, and over the committed corpora by the
//! ordinary tests.
//!
//! A body panics where the code under test breaks a promise; most promise no more than not to panic and not to take
//! memory that the input does not account for.

use bytes::{Bytes, BytesMut};
use hop::kafka::Sasl;
use hop::kafka::sasl::Step;
use hop::models::python_json::Json;
use hop::models::{GcnCircular, GcnTextNotice, MessageModel, Registry, VoEvent, WireForm};
use hop::stream::HopUrl;
use hop::wire::frame::frame_length;
use hop::wire::message::decode_response;
use hop::wire::record::{Batches, DecodeLimits, next_offset};
use hop::wire::spoken;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::Request;

/// A body and the name of its target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. A test compares the list with `fuzz/Cargo.toml`.
pub const TARGETS: &[Target] = &[
    ("circular", circular),
    ("credential_csv", credential_csv),
    ("frame", frame),
    ("json", json),
    ("record_batch", record_batch),
    ("record_batch_checked", record_batch_checked),
    ("registry", registry),
    ("response", response),
    ("sasl", sasl),
    ("text_notice", text_notice),
    ("url", url),
    ("voevent", voevent),
];

const LIMITS: DecodeLimits = DecodeLimits { decompressed_bytes: 1 << 20 };

/// Batches as a broker might send them.
pub fn record_batch(data: &[u8]) {
    let records = Bytes::copy_from_slice(data);
    next_offset(&records);
    for batch in Batches::new(records, LIMITS).flatten() {
        batch.control_type();
        assert!(batch.next_offset() > batch.base_offset());
        for record in batch.records().flatten() {
            assert!((batch.base_offset()..=batch.last_offset()).contains(&record.offset));
            record.headers().flatten().for_each(|header| assert!(batch.slice(header.key) == header.key));
        }
    }
}

/// A batch whose length and checksum are made right, so that what is behind those checks is reached.
pub fn record_batch_checked(data: &[u8]) {
    let mut batch = BytesMut::from(data);
    let Some(length) = data.len().checked_sub(12).and_then(|length| i32::try_from(length).ok()) else {
        return;
    };
    let checksum = match data.get(21..) {
        Some(checked) => crc32c::crc32c(checked),
        None => return,
    };
    for (at, field) in [(8, length.to_be_bytes()), (17, checksum.to_be_bytes())] {
        if let Some(place) = batch.get_mut(at..at + 4) {
            place.copy_from_slice(&field);
        }
    }
    if let Some(version) = batch.get_mut(16) {
        *version = 2;
    }
    record_batch(&batch);
}

/// The first two bytes choose an API and a version, the rest is a broker's answer.
pub fn response(data: &[u8]) {
    fn decode<R: Request>(version: u8, frame: Bytes) {
        let versions = spoken::<R>();
        let version = i16::from(version).rem_euclid(versions.max - versions.min + 1) + versions.min;
        let _ = decode_response::<R>(frame, version);
    }
    let [api, version, frame @ ..] = data else { return };
    let frame = Bytes::copy_from_slice(frame);
    match api % 8 {
        0 => decode::<ApiVersionsRequest>(*version, frame),
        1 => decode::<MetadataRequest>(*version, frame),
        2 => decode::<FetchRequest>(*version, frame),
        3 => decode::<ProduceRequest>(*version, frame),
        4 => decode::<ListOffsetsRequest>(*version, frame),
        5 => decode::<SaslHandshakeRequest>(*version, frame),
        6 => decode::<SaslAuthenticateRequest>(*version, frame),
        _ => decode::<InitProducerIdRequest>(*version, frame),
    }
}

/// The length in front of a frame.
pub fn frame(data: &[u8]) {
    let Some(&prefix) = data.first_chunk() else { return };
    match frame_length(prefix, 1 << 20) {
        Ok(length) => assert!(length <= 1 << 20),
        Err(error) => {
            error.evidence(true);
            error.evidence(false);
        }
    }
}

/// The first byte chooses a mechanism; each line of the rest is a token of the server. None proves itself by chance.
pub fn sasl(data: &[u8]) {
    let [mechanism, tokens @ ..] = data else { return };
    let scram = mechanism % 4 < 2;
    let sasl = match mechanism % 4 {
        0 => Sasl::scram_sha_256("user", "pencil".into()),
        1 => Sasl::scram_sha_512("user", "pencil".into()),
        2 => Sasl::plain("user", "pencil".into()),
        _ => Sasl::oauth_bearer("token".into()),
    };
    let Ok(mut exchange) = sasl.start(true) else { return };
    exchange.initial();
    for token in tokens.split(|&byte| byte == b'\n') {
        match exchange.step(token) {
            Ok(Step::Done) => {
                assert!(!scram, "a server that does not know the password was believed");
                return;
            }
            Ok(Step::Send(_)) => {}
            Err(_) => return,
        }
    }
}

/// What is printed of a JSON value reads back as the same value.
pub fn json(data: &[u8]) {
    let Ok(value) = Json::parse(data) else { return };
    let printed = value.to_string();
    let again = Json::parse(printed.as_bytes()).expect("what was printed is JSON");
    assert_eq!(printed, again.to_string());
}

/// A VOEvent file.
pub fn voevent(data: &[u8]) {
    let Ok(event) = VoEvent::load(data) else { return };
    written(&event);
    let payload = event.serialize(WireForm::Json).expect("every VOEvent has a JSON form");
    let again = VoEvent::decode(&payload).expect("what was written reads back");
    assert_eq!(event.to_json(), again.to_json());
}

/// A circular's file.
pub fn circular(data: &[u8]) {
    let Ok(circular) = GcnCircular::load(data) else { return };
    written(&circular);
    let payload = circular.serialize(WireForm::Json).expect("every circular has a JSON form");
    assert_eq!(GcnCircular::decode(&payload).expect("what was written reads back"), circular);
}

/// A text notice.
pub fn text_notice(data: &[u8]) {
    if let Ok(notice) = GcnTextNotice::load(data) {
        written(&notice);
    }
}

/// A `_format` header up to the first newline, and a payload behind it.
pub fn registry(data: &[u8]) {
    let registry = Registry::standard();
    let (header, payload) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (data.get(..end), data.get(end + 1..).unwrap_or_default()),
        None => (None, data),
    };
    if let Ok(decoded) = registry.decode(header, payload) {
        written(&*decoded.model);
    }
}

/// A URL that was typed.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<HopUrl>() {
        Ok(url) => {
            let shown: HopUrl = url.to_string().parse().expect("what is shown is a URL");
            assert_eq!(shown.topics(), url.topics());
            assert_eq!(shown.address(), url.address());
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A credential as it was downloaded.
pub fn credential_csv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match hop::auth::csv::parse(text) {
        Ok(auth) => assert!(!auth.username().is_empty()),
        Err(error) => drop(error.to_string()),
    }
}

fn written(model: &dyn MessageModel) {
    model.to_text();
    Json::parse(model.json_line().as_bytes()).expect("a line of JSON is JSON");
    for form in [WireForm::Json, WireForm::Original, WireForm::Envelope] {
        let _ = model.serialize(form);
    }
}
