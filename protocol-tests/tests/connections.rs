//! What a connection does in its life: it renews its login, closes when it is idle or told to, counts, and names topics
//! by id once it knows them.
//!
//! Time stands still but for [`Clock::advance`].

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hop::kafka::{Client, ClientBuilder, ConnectError, Error, Record, Sasl};
use hop::wire::error_code::ErrorCode;
use hop::wire::spoken;
use kafka_protocol::messages::{
    ApiKey, FetchRequest, MetadataResponse, ProduceRequest, SaslAuthenticateRequest, SaslAuthenticateResponse,
};
use protocol_tests::reading::read_all;
use protocol_tests::scripted_peer::{Answer, Asked, Peer, TOPIC, metadata};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

fn builder(peer: &Peer) -> ClientBuilder {
    Client::builder().bootstrap(&peer.bootstrap()).topics([TOPIC])
}

fn with_sasl(peer: &Peer) -> ClientBuilder {
    builder(peer).sasl(Sasl::plain("user", "pencil".into()).allow_unencrypted(true))
}

type Requests = Arc<Mutex<Vec<Asked>>>;

/// A peer that answers as `script` says, and what it was asked.
async fn noting(mut script: impl FnMut(&Asked) -> Answer + Send + 'static) -> (Peer, Requests) {
    let requests = Requests::default();
    let note = Arc::clone(&requests);
    let peer = Peer::start(move |asked| {
        note.lock().unwrap().push(asked.clone());
        script(asked)
    })
    .await;
    (peer, requests)
}

fn apis(requests: &Requests) -> Vec<ApiKey> {
    requests.lock().unwrap().iter().map(|asked| asked.api).collect()
}

/// Waits until `holds`, for no time at all.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Paused time would jump to the next timer whenever bytes are on their way; a blocking task that does not end keeps
/// it from that.
struct Clock(#[expect(dead_code, reason = "held until it is dropped")] std::sync::mpsc::Sender<()>);

impl Clock {
    fn stopped() -> Self {
        let (held, let_go) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || let_go.recv());
        Self(held)
    }

    /// Lets so much time go by, step by step: what falls due at a step is answered before the next.
    async fn advance(&self, client: &Client, by: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        let end = Instant::now() + by;
        while Instant::now() < end {
            tokio::time::advance(STEP.min(end - Instant::now())).await;
            until(|| client.metrics().iter().all(|broker| broker.in_flight == 0)).await;
        }
    }
}

fn lasts(milliseconds: i64) -> impl FnMut(&Asked) -> Answer + Send {
    move |asked| match asked.api {
        ApiKey::SaslAuthenticate => {
            asked.with(&SaslAuthenticateResponse::default().with_session_lifetime_ms(milliseconds))
        }
        _ => Answer::Normally,
    }
}

fn logins(requests: &Requests) -> usize {
    apis(requests).iter().filter(|api| **api == ApiKey::SaslAuthenticate).count()
}

#[tokio::test(start_paused = true)]
async fn a_login_is_renewed_in_place_before_it_ends() {
    let clock = Clock::stopped();
    let (peer, requests) = noting(lasts(60_000)).await;
    let client = with_sasl(&peer).connect().await.unwrap();
    let started = Instant::now();
    while logins(&requests) < 4 {
        clock.advance(&client, Duration::from_secs(1)).await;
    }
    // Three renewals, each after 85 to 95 of 100 parts of its minute.
    let took = started.elapsed();
    assert!(took >= MINUTE.mul_f64(3.0 * 0.85) && took < MINUTE.mul_f64(3.0 * 0.98), "{took:?}");
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
    assert_eq!(peer.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_while_a_login_is_renewed_and_none_comes_between() {
    let clock = Clock::stopped();
    let (peer, requests) = noting(lasts(1_000)).await;
    let client = with_sasl(&peer).connect().await.unwrap();
    for _ in 0..200 {
        let asking: Vec<_> = (0..5)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.list_topics().await })
            })
            .collect();
        clock.advance(&client, Duration::from_millis(100)).await;
        for asking in asking {
            assert_eq!(asking.await.unwrap().unwrap().len(), 1);
        }
    }
    let seen = apis(&requests);
    assert!(logins(&requests) > 18, "{}", logins(&requests));
    for (at, _) in seen.iter().enumerate().filter(|(_, api)| **api == ApiKey::SaslHandshake) {
        assert_eq!(seen.get(at + 1), Some(&ApiKey::SaslAuthenticate));
    }
    assert_eq!(peer.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_not_renewed_ends_the_connection_and_says_why() {
    let clock = Clock::stopped();
    let script = |asked: &Asked| match asked.api {
        ApiKey::SaslAuthenticate => {
            let expired = asked.number > 1 || asked.connection > 0;
            let code = if expired { ErrorCode::SASL_AUTHENTICATION_FAILED } else { ErrorCode::NONE };
            let response = SaslAuthenticateResponse::default().with_session_lifetime_ms(60_000);
            asked.with(&response.with_error_code(code.0))
        }
        _ => Answer::Normally,
    };
    let (peer, _) = noting(script).await;
    let client = with_sasl(&peer).connect().await.unwrap();
    clock.advance(&client, MINUTE).await;
    until(|| peer.open() == 0).await;
    let error = client.list_topics().await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::Refused { .. })), "{error}");
}

fn plain(user: &str, password: &str) -> Sasl {
    Sasl::plain(user, password.into()).allow_unencrypted(true)
}

/// The token of each login, and the number of the connection it was for.
fn tokens(requests: &Requests) -> Vec<(usize, String)> {
    let requests = requests.lock().unwrap();
    let logins = requests.iter().filter(|asked| asked.api == ApiKey::SaslAuthenticate);
    let token = |asked: &Asked| asked.request::<SaslAuthenticateRequest>().auth_bytes;
    logins.map(|asked| (asked.connection, String::from_utf8(token(asked).to_vec()).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_login_is_renewed_with_the_password_that_was_set_since() {
    let clock = Clock::stopped();
    let (peer, requests) = noting(lasts(60_000)).await;
    let client = with_sasl(&peer).connect().await.unwrap();
    client.set_access(None, Some(plain("user", "pen")));
    clock.advance(&client, MINUTE).await;
    let expected = [(0, "\0user\0pencil".to_owned()), (0, "\0user\0pen".to_owned())];
    assert_eq!(tokens(&requests), expected);
    assert_eq!((peer.opened(), peer.open()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_would_be_another_users_is_had_on_another_connection() {
    let clock = Clock::stopped();
    let (peer, requests) = noting(lasts(60_000)).await;
    let client = with_sasl(&peer).connect().await.unwrap();
    client.set_access(None, Some(plain("other", "pen")));
    // What is open stays open until then.
    clock.advance(&client, MINUTE / 2).await;
    client.list_topics().await.unwrap();
    assert_eq!(peer.opened(), 1);
    clock.advance(&client, MINUTE / 2).await;
    until(|| peer.open() == 0).await;
    client.list_topics().await.unwrap();
    let expected = [(0, "\0user\0pencil".to_owned()), (1, "\0other\0pen".to_owned())];
    assert_eq!(tokens(&requests), expected);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_opened_again_when_it_is_needed() {
    let clock = Clock::stopped();
    let (peer, _) = noting(|_| Answer::Normally).await;
    let client = builder(&peer).idle_timeout(MINUTE).connect().await.unwrap();
    clock.advance(&client, MINUTE / 2).await;
    client.list_topics().await.unwrap();
    clock.advance(&client, MINUTE - Duration::from_secs(1)).await;
    assert_eq!(peer.open(), 1);
    clock.advance(&client, Duration::from_secs(1)).await;
    until(|| peer.open() == 0).await;
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
    assert_eq!(peer.opened(), 2);
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight() {
    // An answer that takes its time; the others come at once.
    let (peer, _) = noting(|asked| match (asked.api, asked.number) {
        (ApiKey::Metadata, 2..) => Answer::Late(Duration::from_millis(50)),
        _ => Answer::Normally,
    })
    .await;
    let client = builder(&peer).connect().await.unwrap();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.list_topics().await }
    });
    until(|| client.metrics()[0].in_flight > 0).await;
    client.close().await;
    assert_eq!(asking.await.unwrap().unwrap().len(), 1);
    until(|| peer.open() == 0).await;
    assert_eq!(peer.opened(), 1);
}

#[tokio::test]
async fn what_is_sent_and_answered_is_counted() {
    let (peer, _) = noting(|_| Answer::Normally).await;
    let client = builder(&peer).connect().await.unwrap();
    for _ in 0..10 {
        client.list_topics().await.unwrap();
    }
    let metrics = client.metrics().remove(0);
    assert_eq!(metrics.broker.to_string(), peer.bootstrap());
    // The first metadata request went along with the login.
    assert_eq!((metrics.connections, metrics.requests, metrics.answers, metrics.in_flight), (1, 11, 11, 0));
    assert!(metrics.bytes_sent > 11 * 14 && metrics.bytes_received > 11 * 50, "{metrics:?}");
    assert_eq!(metrics.latencies.count(), 11);
    assert!(metrics.latencies.quantile(0.5) <= metrics.latencies.quantile(1.0));
}

#[tokio::test(start_paused = true)]
async fn old_metadata_is_asked_for_anew_and_topics_are_then_named_by_id() {
    let clock = Clock::stopped();
    let (peer, requests) = noting(|_| Answer::Normally).await;
    let client = builder(&peer).metadata_max_age(MINUTE).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    let newest = |requests: &Requests, wanted: ApiKey| {
        let requests = requests.lock().unwrap();
        requests.iter().rev().find(|asked| asked.api == wanted).map(|asked| asked.version)
    };
    producer.send(Record::new(TOPIC).value("by name")).await.unwrap().await.unwrap();
    assert_eq!(newest(&requests, ApiKey::Produce), Some(12));
    assert_eq!(newest(&requests, ApiKey::Metadata), Some(7));

    clock.advance(&client, MINUTE).await;
    producer.send(Record::new(TOPIC).value("meanwhile")).await.unwrap().await.unwrap();
    until(|| newest(&requests, ApiKey::Metadata) == Some(13)).await;
    clock.advance(&client, Duration::from_millis(100)).await;
    producer.send(Record::new(TOPIC).value("by id")).await.unwrap().await.unwrap();
    assert_eq!(newest(&requests, ApiKey::Produce), Some(spoken::<ProduceRequest>().max));

    assert_eq!(read_all(&client).await.unwrap(), ["by name", "meanwhile", "by id"]);
    assert_eq!(newest(&requests, ApiKey::Fetch), Some(spoken::<FetchRequest>().max));
    assert_eq!(peer.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_sends_its_clients_back_to_the_list_is_heeded() {
    let clock = Clock::stopped();
    let (other, _) = noting(|_| Answer::Normally).await;
    let there: std::net::SocketAddr = other.bootstrap().parse().unwrap();
    let (peer, requests) = noting(move |asked| match (asked.api, asked.version, asked.connection) {
        // At first it says that it is the whole cluster.
        (ApiKey::Metadata, 13, _) => {
            let code = ErrorCode::REBOOTSTRAP_REQUIRED.0;
            asked.with(&MetadataResponse::default().with_error_code(code))
        }
        (ApiKey::Metadata, _, 1..) => asked.with(&metadata(&[there], 0)),
        _ => Answer::Normally,
    })
    .await;
    let client = builder(&peer).metadata_max_age(MINUTE).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    clock.advance(&client, MINUTE).await;
    producer.send(Record::new(TOPIC).value("a reason to look at the metadata")).await.unwrap().await.unwrap();
    let asked_again = |asked: &Asked| asked.connection > 0 && asked.api == ApiKey::Metadata;
    until(|| requests.lock().unwrap().iter().any(asked_again)).await;
    clock.advance(&client, Duration::from_millis(100)).await;
    assert_eq!(other.opened(), 0);
    assert!(read_all(&client).await.unwrap().is_empty());
    assert_eq!(other.opened(), 1);
}

#[tokio::test]
async fn times_without_end_are_taken_as_such() {
    // A login that lasts for 292 million years, too.
    let (peer, _) = noting(lasts(i64::MAX)).await;
    let client = with_sasl(&peer)
        .connect_timeout(Duration::MAX)
        .request_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .metadata_max_age(Duration::MAX);
    let client = client.connect().await.unwrap();
    assert_eq!(client.list_topics().await.unwrap().len(), 1);
    let producer = client.producer().delivery_timeout(Duration::MAX).build().unwrap();
    producer.send(Record::new(TOPIC).value("1")).await.unwrap().await.unwrap();
    assert_eq!(read_all(&client).await.unwrap(), ["1"]);
}
