//! A peer that cuts, stalls, garbles, repeats or misnumbers its answers, at every byte of the handshake and of a fetch.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::future::Future;
use std::time::Duration;

use hop::kafka::{Client, ClientBuilder, ConnectError, Error, Record, Sasl};
use kafka_protocol::messages::ApiKey;
use protocol_tests::reading::read_all;
use protocol_tests::scripted_peer::{Answer, Asked, Peer, TOPIC};
use tokio::task::JoinSet;

/// So many trials wait at the same time.
const TOGETHER: usize = 64;
/// What a peer that falls silent is given. Those that do not fall silent answer at once.
const PATIENCE: Duration = Duration::from_millis(200);

const HANDSHAKE: [ApiKey; 4] =
    [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate, ApiKey::ApiVersions, ApiKey::Metadata];

fn builder(peer: &Peer) -> ClientBuilder {
    let sasl = Sasl::plain("user", "pencil".into()).allow_unencrypted(true);
    Client::builder()
        .bootstrap(&peer.bootstrap())
        .topics([TOPIC])
        .sasl(sasl)
        .connect_timeout(PATIENCE)
        .request_timeout(PATIENCE)
}

/// How long a broker's own answers are.
async fn answer_bytes(api: ApiKey) -> usize {
    let peer = filled(|_| Answer::Normally).await;
    let client = builder(&peer).connect_timeout(Duration::from_secs(10)).connect().await.unwrap();
    read_all(&client).await.unwrap();
    peer.answer_bytes(api)
}

/// A peer that holds three records.
async fn filled(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Peer {
    let peer = Peer::start(script).await;
    let writer = Peer::start(|_| Answer::Normally).await;
    let client = Client::builder().bootstrap(&writer.bootstrap()).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    for value in VALUES {
        producer.send(Record::new(TOPIC).value(value)).await.unwrap().await.unwrap();
    }
    let batches = writer.log(|log| std::mem::take(&mut log.batches));
    peer.log(|log| {
        for (_, batch) in &batches {
            log.append(batch);
        }
    });
    peer
}

const VALUES: [&str; 3] = ["first", "second", "third"];

/// The first answer to this request is that one; later ones are a broker's.
fn first(api: ApiKey, answer: Answer) -> impl FnMut(&Asked) -> Answer + Send + 'static {
    let mut answer = Some(answer);
    move |asked| if asked.api == api { answer.take().unwrap_or(Answer::Normally) } else { Answer::Normally }
}

/// Every answer to this request is that one.
fn always(api: ApiKey, answer: Answer) -> impl FnMut(&Asked) -> Answer + Send + 'static {
    move |asked| if asked.api == api { answer.clone() } else { Answer::Normally }
}

/// All of them, a few at a time.
async fn all<F: Future<Output = ()> + Send + 'static>(trials: impl IntoIterator<Item = F>) {
    let mut running = JoinSet::new();
    for trial in trials {
        if running.len() == TOGETHER {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(trial);
    }
    while let Some(trial) = running.join_next().await {
        trial.unwrap();
    }
}

/// Every byte of every answer of the handshake.
async fn places() -> Vec<(ApiKey, usize)> {
    let mut places = Vec::new();
    for api in HANDSHAKE {
        let bytes = answer_bytes(api).await;
        assert!(bytes > 8, "{api:?}");
        places.extend((0..bytes).map(|at| (api, at)));
    }
    places
}

#[tokio::test]
async fn a_handshake_cut_at_any_byte_is_an_error_that_may_pass() {
    let trial = |(api, at)| async move {
        let peer = Peer::start(always(api, Answer::Cut(at))).await;
        let error = builder(&peer).connect_timeout(Duration::from_secs(10)).connect().await.unwrap_err();
        assert!(error.is_retriable(), "{api:?} {at}: {error}");
        assert!(
            matches!(error, Error::Connect(ConnectError::HungUp { .. }) | Error::Disconnected { .. }),
            "{api:?} {at}: {error}"
        );
    };
    all(places().await.into_iter().map(trial)).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_at_any_byte_is_given_up() {
    let trial = |(api, at)| async move {
        let peer = Peer::start(always(api, Answer::Stalled(at))).await;
        let error = builder(&peer).connect().await.unwrap_err();
        assert!(
            matches!(error, Error::Connect(ConnectError::TimedOut { .. }) | Error::TimedOut { .. }),
            "{api:?} {at}: {error}"
        );
    };
    all(places().await.into_iter().map(trial)).await;
}

#[tokio::test]
async fn a_handshake_with_any_byte_garbled_ends_in_an_answer_or_an_error() {
    let trial = |((api, at), bits)| async move {
        let peer = Peer::start(always(api, Answer::Garbled(at, bits))).await;
        // What a flipped bit means cannot be told; that it ends, in time and without a panic, is what counts.
        let _ = builder(&peer).connect().await;
    };
    let places = places().await;
    all(places.into_iter().flat_map(|place| [1, 0x80, 0xff].map(|bits| (place, bits))).map(trial)).await;
}

#[tokio::test]
async fn answers_of_a_handshake_that_come_twice_or_under_another_number_are_not_believed() {
    for api in HANDSHAKE {
        let peer = Peer::start(always(api, Answer::Misnumbered)).await;
        let error = builder(&peer).connect().await.unwrap_err();
        assert!(
            matches!(error, Error::Connect(ConnectError::Garbled { .. }) | Error::Disconnected { .. }),
            "{api:?}: {error}"
        );
        let peer = Peer::start(always(api, Answer::Twice)).await;
        match builder(&peer).connect().await {
            // The one behind the last answer ends a connection that was made.
            Ok(_) => assert_eq!(api, ApiKey::Metadata),
            Err(error) => assert!(error.is_retriable(), "{api:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_fetch_cut_stalled_repeated_or_misnumbered_anywhere_loses_and_doubles_nothing() {
    let bytes = answer_bytes(ApiKey::Fetch).await;
    assert!(bytes > 100);
    let faults = (0..bytes).flat_map(|at| [Answer::Cut(at), Answer::Stalled(at)]).chain([
        Answer::Misnumbered,
        Answer::Twice,
        Answer::HangUp,
        Answer::Silence,
    ]);
    let trial = |fault: Answer| async move {
        let peer = filled(first(ApiKey::Fetch, fault.clone())).await;
        let client = builder(&peer).connect_timeout(Duration::from_secs(10)).connect().await.unwrap();
        assert_eq!(read_all(&client).await.unwrap(), VALUES, "{fault:?}");
    };
    all(faults.map(trial)).await;
}

#[tokio::test]
async fn a_fetch_with_any_byte_garbled_hands_over_nothing_that_was_not_written() {
    let bytes = answer_bytes(ApiKey::Fetch).await;
    let trial = |(at, bits)| async move {
        let peer = filled(first(ApiKey::Fetch, Answer::Garbled(at, bits))).await;
        let client = builder(&peer).connect_timeout(Duration::from_secs(10)).connect().await.unwrap();
        // No checksum covers the numbers around the records: a wrong end may be waited for.
        match tokio::time::timeout(PATIENCE * 5, read_all(&client)).await {
            Ok(Ok(values)) => {
                let mut written = VALUES.iter();
                assert!(values.iter().all(|value| written.any(|known| known == value)), "{at}: {values:?}");
            }
            Ok(Err(error)) => drop(error.to_string()),
            Err(_) => {}
        }
    };
    all((0..bytes).flat_map(|at| [(at, 1), (at, 0x80), (at, 0xff)]).map(trial)).await;
}
