//! Writing with a journal, on the embedded broker: what a journal holds is sent, what cannot be sent stays or is
//! reported, and the file is that of hop-client, in both directions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what is wrong by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use hop::Stream;
use hop::broker::{Broker, Fault};
use hop::kafka::{Client, Consumer, StartOffset};
use hop::models::JsonBlob;
use hop::stream::{
    DeliveryError, Fsync, JournalError, Outgoing, RobustFlushError, RobustOpenError, RobustProducer,
    RobustWriteError, WriteError,
};
use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::ProduceRequest;
use tempfile::TempDir;

/// A broker with a topic of one partition, and a place for a journal.
struct Place {
    broker: Broker,
    directory: TempDir,
}

impl Place {
    async fn new() -> Self {
        let broker = Broker::builder().topic("alerts", 1).create_topics(false).start().await.unwrap();
        Self { broker, directory: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("publisher.journal")
    }

    fn url(&self) -> String {
        format!("kafka://{}/alerts", self.broker.address())
    }

    async fn open(&self) -> RobustProducer {
        Stream::anonymous().robust_writer(&self.url(), self.journal()).open().await.unwrap()
    }

    /// Once the task of the one before has let go of it.
    async fn open_again(&self) -> RobustProducer {
        loop {
            match Stream::anonymous().robust_writer(&self.url(), self.journal()).open().await {
                Err(RobustOpenError::Journal(JournalError::InUse { .. })) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
    }

    /// What makes the broker put everything off.
    fn busy(&self) {
        self.broker.misbehave(Fault::on::<ProduceRequest>().answer(ErrorCode::NOT_ENOUGH_REPLICAS).always());
    }

    async fn reader(&self, topic: &str) -> Consumer {
        let client = Client::builder().bootstrap(&self.broker.bootstrap()).connect().await.unwrap();
        client.consumer().topics([topic]).start_at(StartOffset::Earliest).build().await.unwrap()
    }

    async fn read(&self, topic: &str, count: usize) -> Vec<Message> {
        let mut consumer = self.reader(topic).await;
        let mut messages = Vec::new();
        while messages.len() < count {
            let batch = consumer.next_batch().await.unwrap().unwrap();
            for record in batch.records() {
                let record = record.unwrap();
                let headers = record.headers().map(|header| {
                    let header = header.unwrap();
                    (header.key.to_vec(), header.value.unwrap().to_vec())
                });
                messages.push(Message {
                    key: record.key.map(<[u8]>::to_vec),
                    payload: record.value.unwrap().to_vec(),
                    headers: headers.collect(),
                });
            }
        }
        messages
    }

    async fn payloads(&self, count: usize) -> Vec<String> {
        let text = |message: Message| String::from_utf8(message.payload).unwrap();
        self.read("alerts", count).await.into_iter().map(text).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A journal that hop-client wrote, and what it makes of it: the topic of each unsent message, and the message.
struct Recorded {
    name: String,
    journal: Vec<u8>,
    unsent: Vec<(Option<String>, Message)>,
}

fn recorded() -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/journals.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut all: Vec<Recorded> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [name, "journal", hex] => {
                all.push(Recorded { name: name.to_owned(), journal: bytes(hex), unsent: Vec::new() });
            }
            [_, "unsent", _, topic, key, payload, ref headers @ ..] => {
                let header = |word: &&str| {
                    let (name, value) = word.split_once('=').unwrap();
                    (name.as_bytes().to_vec(), bytes(value))
                };
                let message = Message {
                    key: (key != "-").then(|| bytes(key)),
                    payload: bytes(payload),
                    headers: headers.iter().map(header).collect(),
                };
                let topic = (topic != "-").then(|| topic.to_owned());
                all.last_mut().unwrap().unsent.push((topic, message));
            }
            _ => panic!("{line}"),
        }
    }
    all
}

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "." {
        return Vec::new();
    }
    assert_eq!(hex.len() % 2, 0, "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn journals_of_hop_client_are_taken_over() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 6);
    for Recorded { name, journal, unsent } in recorded {
        let place = Place::new().await;
        place.broker.create_topic("others", 1).unwrap();
        fs::write(place.journal(), journal).unwrap();
        let out = place.open().await;
        out.close().await.unwrap();
        assert_eq!(fs::read(place.journal()).unwrap(), b"", "{name}");
        for topic in ["alerts", "others"] {
            let of_topic = |(of, _): &&(Option<String>, Message)| of.as_deref().unwrap_or("alerts") == topic;
            let expected: Vec<Message> =
                unsent.iter().filter(of_topic).map(|(_, message)| message.clone()).collect();
            assert_eq!(place.read(topic, expected.len()).await, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn journals_are_those_of_hop_client() {
    let Recorded { journal, unsent, .. } = recorded().swap_remove(0);
    let place = Place::new().await;
    place.busy();
    let out = place.open().await;
    for (_, message) in unsent {
        let mut outgoing = Outgoing::raw(message.payload);
        if let Some(key) = message.key {
            outgoing = outgoing.key(key);
        }
        for (name, value) in message.headers {
            outgoing = outgoing.header(name, value);
        }
        out.write_raw(outgoing).await.unwrap();
    }
    assert_eq!(fs::read(place.journal()).unwrap(), journal);
}

#[tokio::test]
async fn what_was_accepted_without_a_broker_is_sent_by_the_next_producer() {
    let place = Place::new().await;
    // Nobody listens there any more.
    let gone = Broker::builder().start().await.unwrap();
    let url = format!("kafka://{}/alerts", gone.address());
    drop(gone);
    let out = Stream::anonymous()
        .robust_writer(&url, place.journal())
        .test(true)
        .fsync(Fsync::Always)
        .open()
        .await
        .unwrap();
    let mut ids = Vec::new();
    for flux in ["1.5", "2.5"] {
        let message = out.pack(&JsonBlob::load(flux.as_bytes()).unwrap()).unwrap();
        ids.extend(message.headers().find(|header| header.name() == "_id").cloned());
        out.write_raw(message).await.unwrap();
    }
    assert_eq!(out.unsent().await, 2);
    drop(out);

    let out = place.open_again().await;
    out.flush().await.unwrap();
    assert_eq!(out.unsent().await, 0);
    let read = place.read("alerts", 2).await;
    for ((message, id), flux) in read.iter().zip(ids).zip(["1.5", "2.5"]) {
        assert_eq!(message.payload, flux.as_bytes());
        assert_eq!(message.headers[0], (b"_id".to_vec(), id.value().unwrap().to_vec()));
        let names: Vec<&[u8]> = message.headers.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, [&b"_id"[..], b"_test", b"_format"]);
    }
    out.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_has_one_producer_and_is_free_once_that_is_closed() {
    let place = Place::new().await;
    let out = place.open().await;
    let second = Stream::anonymous().robust_writer(&place.url(), place.journal()).open().await;
    assert!(matches!(second, Err(RobustOpenError::Journal(JournalError::InUse { .. }))));
    out.write_raw(Outgoing::raw("a")).await.unwrap();
    out.close().await.unwrap();
    place.open().await.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_the_brokers_refuse_costs_no_other() {
    let place = Place::new().await;
    // The batch, and then the first of its messages, alone.
    place.busy();
    let out = place.open().await;
    for number in 0..10 {
        out.write_raw(Outgoing::raw(number.to_string())).await.unwrap();
    }
    place.broker.behave();
    place.broker.misbehave(Fault::on::<ProduceRequest>().answer(ErrorCode::MESSAGE_TOO_LARGE).times(1));
    out.flush().await.unwrap();
    let mut payloads = place.payloads(10).await;
    payloads.sort();
    assert_eq!(payloads, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());

    place.broker.misbehave(Fault::on::<ProduceRequest>().answer(ErrorCode::MESSAGE_TOO_LARGE).times(2));
    out.write_raw(Outgoing::raw("too large")).await.unwrap();
    match out.flush().await {
        Err(RobustFlushError::GivenUp { count: 1, first }) => {
            assert!(matches!(*first, DeliveryError::Produce(_)), "{first}");
            assert!(first.to_string().contains("MESSAGE_TOO_LARGE"), "{first}");
        }
        other => panic!("{other:?}"),
    }
    // It is said once.
    out.flush().await.unwrap();
    out.write_raw(Outgoing::raw("good")).await.unwrap();
    out.close().await.unwrap();
    assert_eq!(place.payloads(11).await[10], "good");
    assert_eq!(fs::read(place.journal()).unwrap(), b"");
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_reported_and_keeps_its_messages() {
    let place = Place::new().await;
    let url = format!("kafka://{}/later", place.broker.address());
    let out = Stream::anonymous().robust_writer(&url, place.journal()).open().await.unwrap();
    out.write_raw(Outgoing::raw("a")).await.unwrap();
    match out.flush().await {
        Err(RobustFlushError::Kept { unsent: 1, source }) => {
            assert!(source.to_string().contains("topic 'later'"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(out.unsent().await, 1);
    place.broker.create_topic("later", 1).unwrap();
    while let Err(error) = out.flush().await {
        assert!(matches!(error, RobustFlushError::Kept { .. }), "{error}");
    }
    assert_eq!(place.read("later", 1).await[0].payload, b"a");
}

#[tokio::test]
async fn a_password_that_is_wrong_keeps_the_messages() {
    let place = Place::new().await;
    let broker = Broker::builder().user("me", "right".to_owned()).topic("alerts", 1).start().await.unwrap();
    let auth = hop::Auth::new("me", "wrong").with_protocol(hop::auth::Protocol::SaslPlaintext);
    let url = format!("kafka://{}/alerts", broker.address());
    let out = Stream::new(auth).robust_writer(&url, place.journal()).open().await.unwrap();
    out.write_raw(Outgoing::raw("a")).await.unwrap();
    match out.close().await {
        Err(RobustFlushError::Kept { unsent: 1, source }) => {
            assert!(matches!(*source, DeliveryError::Open(_)), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_journal_has_writers_wait_for_room() {
    let place = Place::new().await;
    place.busy();
    let writer = Stream::anonymous().robust_writer(&place.url(), place.journal());
    let out = writer.max_journal_bytes(64 * 1024).open().await.unwrap();
    let message = |number: usize| Outgoing::raw(format!("{number:1000}"));
    let mut accepted = 0;
    let error = loop {
        match out.try_write_raw(message(accepted)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RobustWriteError::Full { unsent, .. } if unsent == accepted), "{error}");
    assert!(accepted > 50, "{accepted}");
    // Who does not wait to the end has handed in nothing.
    assert!(out.write_raw(Outgoing::raw("x".repeat(1000))).now_or_never().is_none());
    place.broker.behave();
    for number in accepted..200 {
        out.write_raw(message(number)).await.unwrap();
        assert!(fs::metadata(place.journal()).unwrap().len() <= 64 * 1024);
    }
    out.close().await.unwrap();
    let mut payloads = place.payloads(200).await;
    payloads.sort();
    assert_eq!(payloads, (0..200).map(|number| format!("{number:1000}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_can_never_be_sent_is_not_accepted() {
    let place = Place::new().await;
    let writer = Stream::anonymous().robust_writer(&place.url(), place.journal());
    let out = writer.max_journal_bytes(64 * 1024).open().await.unwrap();
    let large = out.write_raw(Outgoing::raw(vec![0; 2_000_000])).await;
    assert!(matches!(large, Err(RobustWriteError::Message(WriteError::Produce(_)))), "{large:?}");
    let large = out.write_raw(Outgoing::raw(vec![0; 100_000])).await;
    assert!(matches!(large, Err(RobustWriteError::LargerThanJournal { .. })), "{large:?}");
    assert_eq!(fs::read(place.journal()).unwrap(), b"");
}

#[tokio::test]
async fn settings_are_checked() {
    let place = Place::new().await;
    let writer = || Stream::anonymous().robust_writer(&place.url(), place.journal());
    for wrong in [
        writer().max_journal_bytes(1000),
        writer().max_message_bytes(1 << 30),
        writer().fsync(Fsync::Every(std::time::Duration::ZERO)),
    ] {
        assert!(matches!(wrong.open().await, Err(RobustOpenError::Setting { .. })));
    }
    assert!(!place.journal().exists());
    let missing = Stream::anonymous().robust_writer(&place.url(), place.directory.path().join("no/journal"));
    assert!(matches!(missing.open().await, Err(RobustOpenError::Journal(JournalError::Io { .. }))));
}
