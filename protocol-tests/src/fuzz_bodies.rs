//! What each fuzz target does with its input: run by libFuzzer from `fuzz/`, and over the committed corpora by the
//! ordinary tests.
//!
//! A body panics where the code under test breaks a promise; most promise no more than not to panic and not to take
//! memory that the input does not account for.

use bytes::{Bytes, BytesMut};
use hop::cli::for_fuzzing::health_request as read_health_request;
use hop::kafka::Sasl;
use hop::kafka::for_fuzzing::{group_metadata as read_group_metadata, shake_hands};
use hop::kafka::sasl::Step;
use hop::models::python_json::Json;
use hop::models::{
    AvroBlob, GcnCircular, GcnTextNotice, JsonBlob, MessageModel, ModelError, Registry, VoEvent, WireForm,
};
use hop::stream::HopUrl;
use hop::stream::for_fuzzing::{large_message as read_large_message, replay_journal};
use hop::wire::Compression;
use hop::wire::api::{APIS, Api, ForRequest, with_request};
use hop::wire::frame::frame_length;
use hop::wire::message::{decode_request, decode_response, encode_request, encode_response};
use hop::wire::record::{BatchBuilder, Batches, DecodeLimits, ProducerStamp, next_offset};
use kafka_protocol::protocol::Request;

/// A body and the name of its target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. A test compares the list with `fuzz/Cargo.toml`.
pub const TARGETS: &[Target] = &[
    ("avro", avro),
    ("broker_connection", broker_connection),
    ("circular", circular),
    ("compression", compression),
    ("credential_csv", credential_csv),
    ("frame", frame),
    ("group_metadata", group_metadata),
    ("handshake", handshake),
    ("health_request", health_request),
    ("journal", journal),
    ("journal_checked", journal_checked),
    ("json", json),
    ("large_message", large_message),
    ("message_set", message_set),
    ("record_batch", record_batch),
    ("record_batch_checked", record_batch_checked),
    ("registry", registry),
    ("request", request),
    ("response", response),
    ("scram", scram),
    ("text_notice", text_notice),
    ("url", url),
    ("voevent", voevent),
    ("voevent_schema", voevent_schema),
];

/// A client that sends anything to a broker, before it has shown who it is or after. The broker then serves another.
///
/// The first byte chooses: 1 for a broker with users, 2 for a login that goes well, 4 for frames whose lengths are made
/// right, each with its length in two bytes.
pub fn broker_connection(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut sent = BytesMut::new();
    if choice & 2 != 0 {
        log_in(&mut sent);
    }
    if choice & 4 == 0 {
        sent.extend_from_slice(data);
    } else {
        let mut rest = data;
        while let Some((&length, behind)) = rest.split_first_chunk() {
            let (frame, behind) = behind.split_at(usize::from(u16::from_be_bytes(length)).min(behind.len()));
            sent.extend_from_slice(&u32::try_from(frame.len()).unwrap_or_default().to_be_bytes());
            sent.extend_from_slice(frame);
            rest = behind;
        }
    }
    BROKERS.with(|brokers| brokers.serve(choice & 3 != 0, &sent));
}

thread_local! {
    static BROKERS: Brokers = Brokers::new();
}

/// A broker for anybody, and one with a user, which serve what was never a socket. Their clock stands still while
/// anything is to be done, and jumps where there is nothing: no fetch is waited for.
struct Brokers {
    runtime: tokio::runtime::Runtime,
    open: hop::broker::Broker,
    with_user: hop::broker::Broker,
}

impl Brokers {
    #[expect(clippy::unwrap_used, reason = "without them there is no test")]
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let builder = || hop::broker::Broker::builder().memory_limit(16 << 20);
        let (open, with_user) = runtime.block_on(async {
            (
                builder().start().await.unwrap(),
                builder().user("user", "password".to_owned()).start().await.unwrap(),
            )
        });
        Self { runtime, open, with_user }
    }

    fn serve(&self, with_user: bool, sent: &[u8]) {
        let broker = if with_user { &self.with_user } else { &self.open };
        self.runtime.block_on(async {
            exchange(broker, sent).await;
            let mut ask = BytesMut::new();
            let versions = kafka_protocol::messages::ApiVersionsRequest::default();
            let encoded = encode_request(&mut ask, &versions, 0, 7, "another");
            assert!(encoded.is_ok());
            let answer = exchange(broker, &ask).await;
            assert_eq!(answer.get(4..8), Some(&7_i32.to_be_bytes()[..]), "the broker serves nobody any more");
        });
    }
}

/// Sends all, ends, and gives back what was answered.
async fn exchange(broker: &hop::broker::Broker, sent: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let mut answer = Vec::new();
    let client = async {
        let write = async {
            // The broker may have had enough.
            let _ = writer.write_all(sent).await;
            let _ = writer.shutdown().await;
        };
        let read = async {
            let _ = reader.read_to_end(&mut answer).await;
        };
        tokio::join!(write, read);
    };
    tokio::join!(broker.serve(theirs), client);
    answer
}

fn log_in(sent: &mut BytesMut) {
    use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
    use kafka_protocol::protocol::StrBytes;
    let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    let token = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0user\0password"));
    let encoded =
        encode_request(sent, &handshake, 1, 1, "fuzz").and(encode_request(sent, &token, 0, 2, "fuzz"));
    assert!(encoded.is_ok());
}

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

/// Messages of the formats before batches. Their checksums and lengths are made right, as far as each message's own
/// length goes; compressed ones hold messages of their own.
pub fn message_set(data: &[u8]) {
    let mut set = BytesMut::from(data);
    let mut at = 0;
    while let Some(&length) = set.get(at + 8..).and_then(|rest| rest.first_chunk()) {
        let Some(end) = usize::try_from(u32::from_be_bytes(length)).ok().and_then(|n| n.checked_add(at + 12))
        else {
            break;
        };
        let Some(message) = set.get_mut(at + 12..end) else { break };
        if let Some((checksum, checked)) = message.split_at_mut_checked(4) {
            if let Some(version) = checked.first_mut() {
                *version &= 1;
            }
            checksum.copy_from_slice(&crc32fast::hash(checked).to_be_bytes());
        }
        at = end;
    }
    record_batch(&set);
}

/// The first byte chooses a codec. The rest is what is said to be compressed, and what is compressed and read back.
pub fn compression(data: &[u8]) {
    let [codec, data @ ..] = data else { return };
    let codec =
        [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd][usize::from(codec % 4)];

    let mut bomb = vec![0; 61];
    bomb[22] = u8::try_from(codec.id()).expect("codecs have small numbers");
    bomb[57..].copy_from_slice(&1_i32.to_be_bytes());
    bomb.extend(data);
    record_batch_checked(&bomb);

    let mut builder = BatchBuilder::new(codec);
    builder.append(0, None, Some(data), &[]).expect("it fits");
    let batch = builder.finish(ProducerStamp::NONE).expect("it can be compressed");
    let batch = Batches::new(batch, DecodeLimits::default()).next().expect("one batch").expect("a sound one");
    let record = batch.records().next().expect("one record").expect("a sound one");
    assert_eq!(record.value, Some(data));
}

struct Response(i16, Bytes);

impl ForRequest for Response {
    type Output = ();

    fn run<R: Request>(self, api: &'static Api) {
        let version = version_of(api, self.0);
        if let Ok(response) = decode_response::<R>(self.1, version) {
            // What a newer peer left out may be an error to write; what is written reads back.
            let _ = encode_response::<R>(&mut BytesMut::new(), &response, version, 0);
        }
    }
}

struct ReceivedRequest(i16, Bytes);

impl ForRequest for ReceivedRequest {
    type Output = ();

    fn run<R: Request>(self, api: &'static Api) {
        let version = version_of(api, self.0);
        if let Ok(received) = decode_request::<R>(self.1, version) {
            let _ = encode_request(&mut BytesMut::new(), &received.request, version, 0, "");
        }
    }
}

fn version_of(api: &Api, number: i16) -> i16 {
    number.rem_euclid(api.versions.max - api.versions.min + 1) + api.versions.min
}

/// The API and the version that two bytes stand for.
fn chosen(api: u8, version: u8) -> (i16, i16) {
    (APIS[usize::from(api) % APIS.len()].key, i16::from(version))
}

/// The first two bytes choose an API and a version, the rest is a broker's answer.
pub fn response(data: &[u8]) {
    let [api, version, frame @ ..] = data else { return };
    let (key, version) = chosen(*api, *version);
    with_request(key, Response(version, Bytes::copy_from_slice(frame)));
}

/// The first two bytes choose an API and a version, the rest is a client's request.
pub fn request(data: &[u8]) {
    let [api, version, frame @ ..] = data else { return };
    let (key, version) = chosen(*api, *version);
    with_request(key, ReceivedRequest(version, Bytes::copy_from_slice(frame)));
}

/// The first byte chooses a mechanism and an order; then come the broker's answers, each behind a byte with its length.
/// They carry the correlation ids that are expected.
pub fn handshake(data: &[u8]) {
    let [choice, answers @ ..] = data else { return };
    let sasl = match choice % 4 {
        0 => None,
        1 => Some(Sasl::plain("user", "pencil".into())),
        2 => Some(Sasl::scram_sha_512("user", "pencil".into())),
        _ => Some(Sasl::oauth_bearer("token".into())),
    };
    let mut frames = Vec::new();
    let mut rest = answers;
    while let [length, after @ ..] = rest {
        let (answer, after) = after.split_at(usize::from(*length).min(after.len()));
        let id = i32::try_from(frames.len()).expect("there are few");
        frames.push(Bytes::from([&id.to_be_bytes(), answer].concat()));
        rest = after;
    }
    if shake_hands(sasl.as_ref(), choice & 4 == 0, frames) {
        assert_ne!(choice % 4, 2, "a server that does not know the password was believed");
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

/// What a member of a classic group says of itself, or its leader assigned.
pub fn group_metadata(data: &[u8]) {
    assert!(read_group_metadata(data), "what was read is not what would be written");
}

/// The first byte chooses a hash; each line of the rest is a token of the server. None proves itself by chance.
pub fn scram(data: &[u8]) {
    let [hash, tokens @ ..] = data else { return };
    let sasl = match hash % 2 {
        0 => Sasl::scram_sha_256("user", "pencil".into()),
        _ => Sasl::scram_sha_512("user", "pencil".into()),
    };
    let Ok(mut exchange) = sasl.start(true) else { return };
    exchange.initial();
    for token in tokens.split(|&byte| byte == b'\n') {
        match exchange.step(token) {
            Ok(Step::Done) => panic!("a server that does not know the password was believed"),
            Ok(Step::Send(_)) => {}
            Err(_) => return,
        }
    }
}

/// A message that was too large for its topic, as the service that keeps it may give it.
pub fn large_message(data: &[u8]) {
    assert!(read_large_message(data), "the same bytes are another message");
}

/// A journal of messages that are to be sent, as a file may hold it.
pub fn journal(data: &[u8]) {
    assert!(replay_journal(data), "the same journal comes to something else");
}

/// A journal whose checksums are made right, as far as the lengths of its records go, so that what is behind them is
/// reached.
pub fn journal_checked(data: &[u8]) {
    let mut journal = data.to_vec();
    let mut rest = &mut journal[..];
    while let Some((head, behind)) = rest.split_first_chunk_mut::<24>() {
        let length = u64::from_be_bytes(*head[8..].first_chunk().expect("there are 16 more"));
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(behind.len());
        let (body, behind) = behind.split_at_mut(length);
        head[16..20].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
        let checksum = crc32fast::hash(&head[..20]);
        head[20..].copy_from_slice(&checksum.to_be_bytes());
        rest = behind;
    }
    self::journal(&journal);
}

/// What is printed of a JSON value reads back as the same value, and a message of it prints the same without one.
pub fn json(data: &[u8]) {
    let message = JsonBlob::load(data);
    let Ok(value) = Json::parse(data) else {
        assert!(message.is_err(), "what is no JSON was taken as a message");
        return;
    };
    let printed = value.to_string();
    assert_eq!(message.expect("it is JSON").json_line(), printed);
    let again = Json::parse(printed.as_bytes()).expect("what was printed is JSON");
    assert_eq!(printed, again.to_string());
}

/// An Avro container: what is sent of it has the same values, and they can be written in its schema.
pub fn avro(data: &[u8]) {
    let Ok(read) = AvroBlob::load(data) else { return };
    written(&read);
    let line = read.json_line();
    let sent = read.serialize(WireForm::Json).expect("it has been read");
    // A number that is too large for its type, or a union of one type twice, is read and not written, or not as it was.
    if let Some(schema) = read.schema().cloned() {
        let _ = read.with_schema(schema).serialize(WireForm::Json);
    }
    let again = AvroBlob::decode(&sent).expect("what was sent reads back");
    assert_eq!(again.json_line(), line);
}

/// A VOEvent file.
pub fn voevent(data: &[u8]) {
    let Ok(event) = VoEvent::load(data) else { return };
    written(&event);
    let payload = event.serialize(WireForm::Json).expect("every VOEvent has a JSON form");
    let again = VoEvent::decode(&payload).expect("what was written reads back");
    assert_eq!(event.to_json(), again.to_json());
}

/// An XML document that is held against the schema of VOEvents.
pub fn voevent_schema(data: &[u8]) {
    let problems = VoEvent::validate(data);
    assert!(problems.len() <= 21, "more is told than anybody reads");
    assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
    let is_xml = !problems.iter().any(|problem| problem.problem.starts_with("not valid XML"));
    assert!(is_xml || problems.len() == 1, "what is no XML was looked at all the same");
    if let Err(ModelError::Xml(error)) = VoEvent::from_xml(data) {
        let [problem] = &problems[..] else { panic!("the reader finds {error}, the schema {problems:?}") };
        assert_eq!((problem.line, problem.column), (error.line, error.column));
    } else {
        assert!(is_xml, "the reader takes it: {problems:?}");
    }
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

/// What is sent to `hop subscribe --health`.
pub fn health_request(data: &[u8]) {
    assert!(read_health_request(data), "what is understood depends on more than the request");
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
