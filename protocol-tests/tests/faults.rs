//! What the client does when a broker misbehaves in its bytes or its timing. Where a broker can do it that is otherwise
//! one, it does: see `broker.rs`.
//!
//! Where a test is about waiting, time is paused and jumps to the next timer when there is nothing else to do; a
//! [`Clock`] keeps it from doing so while bytes are on their way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what is wrong by panicking"
)]

use std::collections::HashSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hop::kafka::{Client, ConnectError, Error, ProduceError, Producer, Record, Sasl, StartOffset, Step, Tls};
use hop::wire::Compression;
use hop::wire::error_code::ErrorCode;
use hop::wire::record::{BatchBuilder, ProducerStamp};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, SaslAuthenticateResponse};
use protocol_tests::reading::read_all;
use protocol_tests::scripted_peer::{Answer, Asked, Peer, TOPIC, api_versions, not_fetched, produced};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// While it is held, paused time stands still: it does so as long as a blocking task is under way.
struct Clock(Option<std::sync::mpsc::Sender<()>>);

impl Clock {
    fn stopped() -> Self {
        let (held, let_go) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || let_go.recv());
        Self(Some(held))
    }

    fn start(&mut self) {
        self.0 = None;
    }
}

fn normally(_: &Asked) -> Answer {
    Answer::Normally
}

/// Once, for the first request of this kind.
fn once(api: ApiKey, mut answer: impl FnMut(&Asked) -> Answer + Send) -> impl FnMut(&Asked) -> Answer + Send {
    let mut done = false;
    move |asked| {
        if asked.api != api || done {
            return Answer::Normally;
        }
        done = true;
        answer(asked)
    }
}

async fn connect(peer: &Peer) -> Result<Client, Error> {
    Client::builder().bootstrap(&peer.bootstrap()).connect_timeout(CONNECT_TIMEOUT).connect().await
}

fn plain() -> Sasl {
    Sasl::plain("user", "pencil".into()).allow_unencrypted(true)
}

async fn connect_with(peer: &Peer, sasl: Sasl) -> Result<Client, Error> {
    Client::builder().bootstrap(&peer.bootstrap()).sasl(sasl).connect().await
}

fn connect_error(result: Result<Client, Error>) -> ConnectError {
    match result {
        Err(Error::Connect(error)) => error,
        other => panic!("expected a failure to connect, not {other:?}"),
    }
}

async fn send_all(producer: &Producer, count: usize) -> Result<(), ProduceError> {
    for number in 0..count {
        let _delivery = producer.send(Record::new(TOPIC).value(format!("{number}"))).await?;
    }
    producer.flush().await
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

// ---- Peers that are no brokers ------------------------------------------------------------------------------------

/// A listener that says this to whoever connects.
async fn one_that_says(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 1024]).await;
                let _ = socket.write_all(greeting).await;
                let _ = socket.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn servers_of_other_kinds_are_named() {
    for (greeting, word) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "web server"),
        (b"SSH-2.0-x\r\n", "SSH"),
        (b"220 smtp ready\r\n", "text"),
        (&[0x15, 3, 3, 0, 2, 2, 40], "TLS"),
    ] {
        let address = one_that_says(greeting).await;
        let error = connect_error(Client::builder().bootstrap(&address).connect().await);
        assert!(matches!(error, ConnectError::NotKafka { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_said() {
    let address = one_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = connect_error(Client::builder().bootstrap(&address).tls(Tls::default()).connect().await);
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn frames_of_impossible_lengths_are_refused() {
    for length in [[0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff]] {
        let peer = Peer::start(move |_| Answer::Raw(length.to_vec())).await;
        let error = connect_error(connect(&peer).await);
        assert!(matches!(error, ConnectError::Garbled { .. }), "{error}");
    }
}

// ---- Silence ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_at_the_connect_timeout_and_the_step_is_named() {
    let steps = [
        (ApiKey::SaslHandshake, Step::SaslHandshake),
        (ApiKey::SaslAuthenticate, Step::SaslAuthenticate),
        (ApiKey::ApiVersions, Step::ApiVersions),
    ];
    for (silent, expected) in steps {
        let mut clock = Clock::stopped();
        let script = move |_: &Asked| {
            clock.start();
            Answer::Silence
        };
        let peer = Peer::start(once(silent, script)).await;
        let started = Instant::now();
        let client =
            Client::builder().bootstrap(&peer.bootstrap()).sasl(plain()).connect_timeout(CONNECT_TIMEOUT);
        let error = connect_error(client.connect().await);
        assert!(matches!(error, ConnectError::TimedOut { step, .. } if step == expected), "{error}");
        assert_eq!(started.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_tls_handshake_is_given_up_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut clock = Clock::stopped();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        // The client's greeting, and no answer.
        socket.read_exact(&mut [0; 5]).await.unwrap();
        clock.start();
        socket.read_to_end(&mut Vec::new()).await
    });
    let error = connect_error(Client::builder().bootstrap(&address).tls(Tls::default()).connect().await);
    assert!(matches!(error, ConnectError::TimedOut { step: Step::Tls, .. }), "{error}");
}

#[tokio::test]
async fn a_request_that_is_never_answered_ends_its_connection() {
    let peer = Peer::start(|asked| if asked.number < 2 { Answer::Normally } else { Answer::Silence }).await;
    let client = Client::builder().bootstrap(&peer.bootstrap()).request_timeout(Duration::from_millis(200));
    let client = client.connect().await.unwrap();
    // The connection that it is tried again on is answered, up to the same point.
    let topics = client.list_topics().await.unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(peer.opened(), 2);
}

// ---- Hanging up, cut and garbled answers --------------------------------------------------------------------------

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_an_error() {
    for api in [ApiKey::ApiVersions, ApiKey::Metadata, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate] {
        for bytes in 0..12 {
            let peer = Peer::start(
                move |asked| if asked.api == api { Answer::Cut(bytes) } else { Answer::Normally },
            )
            .await;
            let error = connect_with(&peer, plain()).await.unwrap_err();
            // Metadata is the first question on a connection that is there.
            let told = match &error {
                Error::Connect(ConnectError::HungUp { .. }) => api != ApiKey::Metadata,
                Error::Disconnected { .. } => api == ApiKey::Metadata,
                _ => false,
            };
            assert!(told, "{api:?} cut at {bytes}: {error}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_wants_the_versions_first_is_tried_once_more_and_remembered() {
    let script = |asked: &Asked| match (asked.number, asked.api) {
        (0, ApiKey::SaslHandshake) => Answer::HangUp,
        _ => Answer::Normally,
    };
    let peer = Peer::start(script).await;
    let client = connect_with(&peer, plain()).await.unwrap();
    assert_eq!(peer.opened(), 2);
    assert_eq!(read_all(&client).await.unwrap(), numbers(0));
}

#[tokio::test]
async fn an_old_broker_is_asked_in_its_own_versions() {
    let script = |asked: &Asked| match asked.api {
        ApiKey::ApiVersions if asked.version > 2 => {
            Answer::Raw([&[0, 0, 0, 10][..], &[0; 4], &35_i16.to_be_bytes(), &[0; 4]].concat())
        }
        ApiKey::ApiVersions => {
            let mut known = api_versions();
            for api in &mut known.api_keys {
                // Those of Kafka 2.1.
                api.max_version = match api.api_key {
                    0 => 7,
                    1 => 10,
                    2 => 4,
                    3 => 7,
                    _ => 1,
                };
            }
            asked.with(&known)
        }
        _ => Answer::Normally,
    };
    let peer = Peer::start(script).await;
    let client = connect(&peer).await.unwrap();
    send_all(&client.producer().build().unwrap(), 5).await.unwrap();
    assert_eq!(read_all(&client).await.unwrap(), numbers(5));
}

#[tokio::test]
async fn a_broker_without_a_version_in_common_is_named() {
    let script = |asked: &Asked| match asked.api {
        ApiKey::ApiVersions => asked.with(&ApiVersionsResponse::default()),
        _ => Answer::Normally,
    };
    let client = connect(&Peer::start(script).await).await;
    let error = client.unwrap().list_topics().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { api: "Metadata", .. }), "{error}");
}

#[tokio::test]
async fn an_answer_to_another_request_ends_the_connection() {
    let peer = Peer::start(once(ApiKey::Metadata, |asked| {
        if asked.connection == 0 { Answer::Misnumbered } else { Answer::Normally }
    }))
    .await;
    let error = connect(&peer).await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    assert!(error.to_string().contains("correlation id"), "{error}");
}

#[tokio::test]
async fn a_refused_credential_is_not_tried_again() {
    let script = |asked: &Asked| match asked.api {
        ApiKey::SaslAuthenticate => {
            let code = ErrorCode::SASL_AUTHENTICATION_FAILED.0;
            asked.with(&SaslAuthenticateResponse::default().with_error_code(code))
        }
        _ => Answer::Normally,
    };
    let peer = Peer::start(script).await;
    let error = connect_error(connect_with(&peer, plain()).await);
    assert!(matches!(&error, ConnectError::Refused { username, .. } if username == "user"), "{error}");
    assert_eq!(peer.opened(), 1);
    assert!(!format!("{error} {error:?}").contains("pencil"));
}

#[tokio::test]
async fn a_scram_server_that_accepts_without_proof_is_not_believed() {
    // The script accepts whatever is sent.
    let peer = Peer::start(normally).await;
    let error = connect_error(connect_with(&peer, Sasl::scram_sha_512("user", "pencil".into())).await);
    assert!(matches!(error, ConnectError::Sasl { .. }), "{error}");
    assert_eq!(peer.opened(), 1);
}

// ---- Writing ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_batch_that_is_refused_fails_alone_and_says_why() {
    for (code, words) in [
        (ErrorCode::MESSAGE_TOO_LARGE, "max.message.bytes"),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, "not authorised to write"),
    ] {
        let peer = Peer::start(once(ApiKey::Produce, move |asked| asked.with(&produced(code, -1)))).await;
        let client = connect(&peer).await.unwrap();
        let producer = client.producer().build().unwrap();
        let refused = producer.send(Record::new(TOPIC).value("refused")).await.unwrap().await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
        let stored = producer.send(Record::new(TOPIC).value("stored")).await.unwrap().await.unwrap();
        assert_eq!(stored.offset, Some(0));
        assert!(producer.flush().await.is_err(), "the failure shows once more");
        assert!(producer.flush().await.is_ok());
    }
}

#[tokio::test]
async fn what_cannot_be_delivered_in_time_says_so() {
    let peer =
        Peer::start(|asked| if asked.api == ApiKey::Produce { Answer::HangUp } else { Answer::Normally })
            .await;
    let client = connect(&peer).await.unwrap();
    let producer = client.producer().delivery_timeout(Duration::from_millis(500)).build().unwrap();
    let error = producer.send(Record::new(TOPIC).value("x")).await.unwrap().await.unwrap_err();
    assert!(matches!(error, ProduceError::Expired { maybe_written: true, .. }), "{error}");
    assert!(error.to_string().contains("was lost"), "{error}");
}

#[tokio::test]
async fn a_record_beyond_the_limit_is_refused_before_it_is_sent() {
    let peer = Peer::start(normally).await;
    let producer = connect(&peer).await.unwrap().producer().build().unwrap();
    let error = producer.send(Record::new(TOPIC).value(vec![0; 1_000_001])).await.unwrap_err();
    assert!(matches!(error, ProduceError::TooLarge { limit: 1_000_000, .. }), "{error}");
    let error = producer.send(Record::new(TOPIC).partition(1).value("x")).await.unwrap_err();
    assert!(matches!(error, ProduceError::NoSuchPartition { partition: 1, partitions: 1, .. }), "{error}");
}

// ---- Reading ------------------------------------------------------------------------------------------------------

async fn filled(peer: &Peer, count: usize) -> Client {
    let client = connect(peer).await.unwrap();
    send_all(&client.producer().batch_bytes(100).build().unwrap(), count).await.unwrap();
    client
}

#[tokio::test]
async fn a_fetch_that_is_cut_anywhere_is_asked_for_again() {
    for bytes in [0, 3, 4, 7, 20, 60, 90] {
        let peer = Peer::start(once(ApiKey::Fetch, move |_| Answer::Cut(bytes))).await;
        let client = filled(&peer, 20).await;
        assert_eq!(read_all(&client).await.unwrap(), numbers(20), "cut at {bytes}");
    }
}

#[tokio::test]
async fn passing_errors_of_a_fetch_are_tried_again_and_lasting_ones_reported() {
    let peer =
        Peer::start(once(ApiKey::Fetch, |asked| asked.with(&not_fetched(ErrorCode::NOT_LEADER_OR_FOLLOWER))))
            .await;
    let client = filled(&peer, 3).await;
    assert_eq!(read_all(&client).await.unwrap(), numbers(3));

    let refused = |asked: &Asked| match asked.api {
        ApiKey::Fetch => asked.with(&not_fetched(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
        _ => Answer::Normally,
    };
    let peer = Peer::start(refused).await;
    let error = read_all(&connect(&peer).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::NotAuthorized { .. }), "{error}");
}

fn batch(producer: i64, transactional: bool, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(0, None, Some(value.as_bytes()), &[]).unwrap();
    builder
        .finish(ProducerStamp { producer_id: producer, producer_epoch: 0, base_sequence: -1, transactional })
        .unwrap()
}

/// The end of a transaction, as a coordinator writes it.
fn marker(producer: i64, committed: bool) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let key = [[0, 0], if committed { [0, 1] } else { [0, 0] }].concat();
    builder.append(0, Some(&key), Some(&[0; 6]), &[]).unwrap();
    let stamp =
        ProducerStamp { producer_id: producer, producer_epoch: 0, base_sequence: -1, transactional: true };
    let mut bytes = BytesMut::from(&builder.finish(stamp).unwrap()[..]);
    bytes[22] |= 0x20;
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes.freeze()
}

#[tokio::test]
async fn aborted_transactions_and_their_marks_are_not_handed_over() {
    let peer = Peer::start(normally).await;
    peer.log(|log| {
        for records in [
            batch(1, true, "aborted"),
            batch(2, true, "committed"),
            batch(-1, false, "plain"),
            batch(1, true, "aborted too"),
            marker(1, false),
            batch(1, true, "committed later"),
            marker(2, true),
            marker(1, true),
        ] {
            assert_eq!(log.append(&records).0, ErrorCode::NONE);
        }
        log.aborted = vec![(1, 0)];
    });
    let client = connect(&peer).await.unwrap();
    assert_eq!(read_all(&client).await.unwrap(), ["committed", "plain", "committed later"]);
}

#[tokio::test]
async fn damaged_records_are_reported_with_their_place() {
    let peer = Peer::start(normally).await;
    let client = filled(&peer, 3).await;
    peer.log(|log| {
        let (_, stored) = log.batches.last_mut().unwrap();
        let mut damaged = BytesMut::from(&stored[..]);
        *damaged.last_mut().unwrap() ^= 1;
        *stored = damaged.freeze();
    });
    let error = read_all(&client).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { partition: 0, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_never_comes_whole_is_not_asked_for_without_pause() {
    let fetches = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&fetches);
    let peer = Peer::start(move |asked| {
        if asked.api == ApiKey::Fetch {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Answer::Normally
    })
    .await;
    peer.log(|log| {
        log.append(&batch(-1, false, "a"));
        let (_, stored) = &mut log.batches[0];
        *stored = stored.slice(..stored.len() - 1);
    });
    let client = connect(&peer).await.unwrap();
    let mut consumer =
        client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest).build().await.unwrap();
    let minute = tokio::time::timeout(Duration::from_secs(60), consumer.next_batch()).await;
    assert!(minute.is_err(), "it goes on trying");
    let fetches = fetches.load(std::sync::atomic::Ordering::Relaxed);
    assert!((30..1000).contains(&fetches), "{fetches} fetches in a minute");
}

/// No checksum covers the offset of a batch, and one that does not hold vouches for nothing.
#[tokio::test]
async fn where_a_damaged_batch_says_that_it_ends_is_not_where_reading_goes_on() {
    for (field, at, bit) in [("offset", 2, 1), ("last offset", 23, 0x40), ("length", 8, 0x80)] {
        let peer = Peer::start(normally).await;
        peer.log(|log| {
            for value in ["0", "1", "2", "3"] {
                log.append(&batch(-1, false, value));
            }
            let (_, stored) = &mut log.batches[1];
            let mut damaged = BytesMut::from(&stored[..]);
            damaged[at] ^= bit;
            *stored = damaged.freeze();
        });
        let client = connect(&peer).await.unwrap();
        let error = read_all(&client).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { offset: 1, .. }), "{field}: {error}");
        let consumer = client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest).stop_at_end(true);
        let mut consumer = consumer.skip_damaged(true).build().await.unwrap();
        let mut values = Vec::new();
        while let Some(record) = consumer.next().await.unwrap() {
            values.push(String::from_utf8_lossy(&record.value.unwrap()).into_owned());
        }
        assert_eq!(values, ["0", "2", "3"], "{field}");
    }
}

/// Brokers look at the high watermark first, and then read what there is by then.
#[tokio::test]
async fn records_beyond_the_high_watermark_of_their_answer_are_asked_for_again() {
    let peer = Peer::start(normally).await;
    peer.log(|log| {
        for value in ["0", "1"] {
            log.append(&batch(-1, false, value));
        }
        log.behind = 2;
    });
    let client = connect(&peer).await.unwrap();
    let mut consumer =
        client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest).build().await.unwrap();
    for offset in 0..2 {
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, offset);
    }
}

// ---- Leaders, connections, resources ------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_away_is_not_asked_without_pause() {
    let mut up = true;
    let peer = Peer::start(move |asked| {
        up &= asked.api != ApiKey::Fetch;
        if up { Answer::Normally } else { Answer::HangUp }
    })
    .await;
    let client = connect(&peer).await.unwrap();
    let mut consumer = client.consumer().topics([TOPIC]).build().await.unwrap();
    let minute = tokio::time::timeout(Duration::from_secs(60), consumer.next_batch()).await;
    assert!(minute.is_err(), "it goes on trying");
    assert!((5..60).contains(&peer.opened()), "{} connections in a minute", peer.opened());
}

#[tokio::test]
async fn patience_has_an_end_where_it_was_given_one() {
    let peer =
        Peer::start(|asked| if asked.api == ApiKey::Fetch { Answer::HangUp } else { Answer::Normally }).await;
    let client = connect(&peer).await.unwrap();
    let consumer = client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest);
    let mut consumer = consumer.give_up_after(Some(Duration::from_secs(1))).build().await.unwrap();
    let started = Instant::now();
    assert!(matches!(consumer.next_batch().await, Err(Error::Disconnected { .. })));
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn answers_that_nobody_waits_for_do_not_disturb_the_others() {
    let peer = Peer::start(normally).await;
    let client = connect(&peer).await.unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut asked = Vec::new();
    for _ in 0..100_000 {
        let client = client.clone();
        let task = tokio::spawn(async move { client.list_topics().await });
        if random.bool() {
            tokio::task::yield_now().await;
            task.abort();
        } else {
            asked.push(task);
        }
    }
    let kept = asked.len();
    for task in asked {
        assert_eq!(task.await.unwrap().unwrap().len(), 1);
    }
    assert!(kept > 40_000);
    assert_eq!(peer.opened(), 1);
    // Those that were sent and given up are answered too, and then nothing is left.
    client.list_topics().await.unwrap();
    let metrics = client.metrics().remove(0);
    assert_eq!((metrics.in_flight, metrics.answers), (0, metrics.requests));
    assert!(metrics.requests > u64::try_from(kept).unwrap());
}

#[tokio::test]
async fn what_is_dropped_closes_its_sockets() {
    let peer = Peer::start(normally).await;
    let client = filled(&peer, 3).await;
    let consumer = client.consumer().topics([TOPIC]).build().await.unwrap();
    let producer = client.producer().build().unwrap();
    assert!(peer.open() > 0);
    drop((client, consumer, producer));
    while peer.open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_first_message_takes_the_fewest_requests_on_one_connection() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = std::sync::Arc::clone(&seen);
    let peer = Peer::start(move |asked| {
        note.lock().unwrap().push(asked.api);
        Answer::Normally
    })
    .await;
    peer.log(|log| log.append(&batch(-1, false, "alert")));
    let client =
        Client::builder().bootstrap(&peer.bootstrap()).sasl(plain()).topics([TOPIC]).connect().await.unwrap();
    assert_eq!(read_all(&client).await.unwrap(), ["alert"]);
    let seen = seen.lock().unwrap();
    let expected = [
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
        ApiKey::ApiVersions,
        ApiKey::Metadata,
        ApiKey::Fetch,
    ];
    assert_eq!(seen[..5], expected);
    let others: HashSet<_> = seen[5..].iter().collect();
    assert!(others.iter().all(|api| **api == ApiKey::Fetch), "{others:?}");
    assert_eq!(peer.opened(), 1);
}
