//! Networks that come and go, as a consumer sees them: what is noticed, what is tried, and where it goes on.
//!
//! Real networks that are cut are in `interop/test_networks.py`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what is wrong by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hop::broker::Broker;
use hop::kafka::{Client, Consumer, Error, Record, StartOffset};
use hop::stream::{StartPosition, Stream};
use hop::wire::Compression;
use hop::wire::record::{BatchBuilder, ProducerStamp};
use kafka_protocol::messages::ApiKey;
use protocol_tests::scripted_peer::{Answer, Asked, Peer, TOPIC, metadata};
use tokio::time::{Instant, timeout};

/// What a peer that is alive takes to answer a fetch: it does not wait for records itself.
const LONG_POLL: Duration = Duration::from_millis(20);
/// How long a request may take, and so how long a dead network goes unnoticed.
const REQUEST: Duration = Duration::from_millis(500);

fn normally(asked: &Asked) -> Answer {
    if asked.api == ApiKey::Fetch { Answer::Late(LONG_POLL) } else { Answer::Normally }
}

fn record(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(0, None, Some(value.as_bytes()), &[]).unwrap();
    let stamp =
        ProducerStamp { producer_id: -1, producer_epoch: -1, base_sequence: -1, transactional: false };
    builder.finish(stamp).unwrap()
}

async fn client(peer: &Peer) -> Client {
    Client::builder().bootstrap(&peer.bootstrap()).request_timeout(REQUEST).connect().await.unwrap()
}

async fn reader(client: &Client) -> Consumer {
    let consumer = client.consumer().topics([TOPIC]).start_at(StartOffset::Earliest);
    consumer.max_wait(Duration::from_millis(1)).build().await.unwrap()
}

async fn next(consumer: &mut Consumer) -> String {
    let record = consumer.next().await.unwrap().expect("there is no end");
    String::from_utf8(record.value.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_a_nat_forgot_is_noticed_once_for_all_connections() {
    let forgotten = Arc::new(AtomicUsize::new(0));
    let asked_in_vain = Arc::new(Mutex::new(Vec::new()));
    let (below, note) = (Arc::clone(&forgotten), Arc::clone(&asked_in_vain));
    let peer = Peer::start(move |asked| {
        if asked.connection < below.load(Ordering::Relaxed) {
            note.lock().unwrap().push(asked.api);
            return Answer::Silence;
        }
        normally(asked)
    })
    .await;
    peer.log(|log| log.append(&record("before")));
    let client = client(&peer).await;
    let mut consumer = reader(&client).await;
    assert_eq!(next(&mut consumer).await, "before");
    // The fetches have taken over the first connection: there is another one for what is answered at once.
    let producer = client.producer().build().unwrap();
    producer.send(Record::new(TOPIC).value("between")).await.unwrap().await.unwrap();
    assert_eq!(next(&mut consumer).await, "between");
    assert_eq!(peer.opened(), 2);

    forgotten.store(peer.opened(), Ordering::Relaxed);
    peer.log(|log| log.append(&record("after")));
    assert_eq!(next(&mut consumer).await, "after");
    client.list_topics().await.unwrap();
    assert_eq!(*asked_in_vain.lock().unwrap(), [ApiKey::Fetch]);
}

#[tokio::test]
async fn a_cluster_that_has_moved_is_found_again_by_the_bootstrap_list() {
    let moved_to: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let silent = Arc::new(AtomicUsize::new(0));
    let is_silent = Arc::clone(&silent);
    let first = Peer::start(move |asked| match is_silent.load(Ordering::Relaxed) {
        0 => normally(asked),
        _ => Answer::Silence,
    })
    .await;
    let (there, now_there): (SocketAddr, _) = (first.bootstrap().parse().unwrap(), Arc::clone(&moved_to));
    let list = Peer::start(move |asked| match asked.api {
        // By then it has been restarted.
        ApiKey::Metadata if asked.connection == 0 && now_there.lock().unwrap().is_some() => Answer::HangUp,
        ApiKey::Metadata => asked.with(&metadata(&[now_there.lock().unwrap().unwrap_or(there)], 0)),
        _ => normally(asked),
    })
    .await;
    let second = Peer::start(normally).await;
    for peer in [&first, &second] {
        peer.log(|log| log.append(&record("before")));
    }
    second.log(|log| log.append(&record("after")));

    let client = client(&list).await;
    let mut consumer = reader(&client).await;
    assert_eq!(next(&mut consumer).await, "before");
    // Connections are accepted there still, but nobody answers.
    *moved_to.lock().unwrap() = Some(second.bootstrap().parse().unwrap());
    silent.store(1, Ordering::Relaxed);
    let started = Instant::now();
    assert_eq!(next(&mut consumer).await, "after");
    // An attempt to connect to where nobody answers takes 10 s.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_is_asked_less_and_less() {
    let mut up = true;
    let peer = Peer::start(move |asked| {
        up &= asked.api != ApiKey::Fetch;
        if up { Answer::Normally } else { Answer::HangUp }
    })
    .await;
    let client = Client::builder().bootstrap(&peer.bootstrap()).connect().await.unwrap();
    let mut consumer = client.consumer().topics([TOPIC]).build().await.unwrap();
    let hours = Duration::from_secs(2 * 60 * 60);
    assert!(timeout(hours, consumer.next_batch()).await.is_err(), "it goes on trying");
    // The fetches, the look for metadata and the bootstrap list, each every 10 s at most.
    let most = usize::try_from(3 * hours.as_secs() / 8 + 30).unwrap();
    assert!((most / 6..most).contains(&peer.opened()), "{} connections", peer.opened());
}

#[tokio::test]
async fn somebody_else_who_answers_for_a_while_is_no_reason_to_stop() {
    let portal = Arc::new(AtomicUsize::new(usize::MAX));
    let since = Arc::clone(&portal);
    let peer = Peer::start(move |asked| {
        let since = since.load(Ordering::Relaxed);
        if asked.connection < since {
            return if since == usize::MAX { normally(asked) } else { Answer::HangUp };
        }
        // A hotel's network wants its users to log in.
        if asked.connection < since + 3 {
            return Answer::Raw(b"HTTP/1.1 302 Found\r\n\r\n".to_vec());
        }
        normally(asked)
    })
    .await;
    peer.log(|log| log.append(&record("before")));
    let client = client(&peer).await;
    let mut consumer = reader(&client).await;
    assert_eq!(next(&mut consumer).await, "before");
    portal.store(peer.opened(), Ordering::Relaxed);
    peer.log(|log| log.append(&record("after")));
    assert_eq!(next(&mut consumer).await, "after");
    assert!(peer.opened() >= portal.load(Ordering::Relaxed) + 3);
    // Who has not been let in before is told.
    let other = Peer::start(|_| Answer::Raw(b"HTTP/1.1 302 Found\r\n\r\n".to_vec())).await;
    let refused = Client::builder().bootstrap(&other.bootstrap()).connect().await;
    assert!(matches!(refused, Err(Error::Connect(error)) if !error.is_retriable()));
}

#[tokio::test]
async fn a_consumer_stops_at_once_though_nobody_answers() {
    let up = Arc::new(AtomicUsize::new(1));
    let is_up = Arc::clone(&up);
    let peer = Peer::start(move |asked| match is_up.load(Ordering::Relaxed) {
        0 => Answer::Silence,
        _ => normally(asked),
    })
    .await;
    peer.log(|log| log.append(&record("before")));
    let client = client(&peer).await;
    let mut consumer = reader(&client).await;
    assert_eq!(next(&mut consumer).await, "before");
    up.store(0, Ordering::Relaxed);
    let stopper = consumer.stopper();
    let reading = tokio::spawn(async move { consumer.next().await.unwrap().is_none() });
    tokio::time::sleep(REQUEST * 2).await;
    stopper.stop();
    assert!(timeout(Duration::from_secs(1), reading).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_reader_of_alerts_stops_at_once_though_there_is_more_at_hand() {
    let broker = Broker::builder().topic(TOPIC, 1).start().await.unwrap();
    let url = format!("kafka://{}/{TOPIC}", broker.bootstrap());
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    for number in 0..100 {
        let _delivery = producer.send(Record::new(TOPIC).value(number.to_string())).await.unwrap();
    }
    producer.flush().await.unwrap();
    let reader = Stream::anonymous().reader(&url).start_at(StartPosition::Earliest).persist(true);
    let mut reader = reader.open().await.unwrap();
    assert!(reader.next_raw().await.unwrap().is_some());
    assert!(reader.at_hand() > 0);
    reader.stopper().stop();
    assert!(reader.next_raw().await.unwrap().is_none());
}

#[tokio::test]
async fn a_member_without_partitions_notices_too_that_its_cluster_is_gone() {
    let broker = Broker::builder().topic(TOPIC, 1).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let member = || client.consumer().topics([TOPIC]).group("g").give_up_after(Some(REQUEST)).build();
    let mut first = member().await.unwrap();
    while first.assignment().is_empty() {
        let _ = timeout(LONG_POLL, first.next_event()).await;
    }
    let mut second = member().await.unwrap();
    // It joins, and there is nothing for it.
    let first = tokio::spawn(async move { first.next().await });
    assert!(timeout(REQUEST, second.next()).await.is_err());
    broker.stop().await;
    let error = second.next().await.expect_err("the broker is gone");
    assert!(error.is_retriable(), "{error}");
    assert!(first.await.unwrap().is_err());
}
