//! `hop::stream` on the embedded broker: where messages go, what comes with them, and reading them together.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::time::Duration;

use futures_util::FutureExt;
use hop::Stream;
use hop::broker::Broker;
use hop::kafka::admin::NewTopic;
use hop::models::{JsonBlob, WireForm};
use hop::stream::{
    Consumer, Message, NextError, OpenError, Outgoing, Producer, StartPosition, TimestampType, UrlError,
    WriteError,
};

const FOR_EVER: Duration = Duration::MAX;

async fn broker() -> (Broker, String) {
    let broker = Broker::builder().topic("one", 1).topic("two", 1).topic("wide", 3).start().await.unwrap();
    let url = format!("kafka://{}/", broker.address());
    (broker, url)
}

fn stream() -> Stream {
    Stream::anonymous().start_at(StartPosition::Earliest)
}

fn json(number: u32) -> JsonBlob {
    JsonBlob::from_serialize(&number).unwrap()
}

async fn write(out: &Producer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let _delivery = out.write_json(&number).await.unwrap();
    }
    out.flush().await.unwrap();
}

async fn publish(url: &str, numbers: std::ops::Range<u32>) {
    write(&stream().writer(url).open().await.unwrap(), numbers).await;
}

fn number(message: &Message) -> u32 {
    message.model().to_string().parse().unwrap()
}

async fn rest(mut consumer: Consumer) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(message) = consumer.next().await.unwrap() {
        numbers.push(number(&message));
    }
    consumer.close().await.unwrap();
    numbers
}

async fn all(url: &str) -> Vec<u32> {
    rest(stream().reader(url).open().await.unwrap()).await
}

#[tokio::test]
async fn messages_name_their_topics() {
    let (_broker, url) = broker().await;
    let several = format!("{url}one,two");
    let refused = stream().writer(&several).open().await.unwrap_err();
    assert!(matches!(refused, OpenError::Url(UrlError::SeveralTopics { .. })));
    assert!(matches!(stream().writer(&url).open().await, Err(OpenError::Url(UrlError::NoTopic { .. }))));

    for without_one in [&url, &several] {
        let out = stream().writer(without_one).topic_by_message(true).open().await.unwrap();
        assert_eq!(out.topic(), None);
        let error = out.write_json(&1).await.unwrap_err();
        assert!(matches!(error, WriteError::NoTopic));
        assert!(error.to_string().starts_with("No topic specified for write: "), "{error}");
        let named = out.write_to("two", &json(2)).await.unwrap().await.unwrap();
        assert_eq!(&*named.topic, "two");
        let chosen = out.pack(&json(1)).unwrap().topic("one".parse().unwrap());
        assert_eq!(&*out.write_raw(chosen).await.unwrap().await.unwrap().topic, "one");
        assert!(matches!(out.write_to("no topic", &json(1)).await, Err(WriteError::Topic(_))));
    }
    // Where the URL names one, that is for the others.
    for by_message in [true, false] {
        let out = stream().writer(&format!("{url}one")).topic_by_message(by_message).open().await.unwrap();
        assert_eq!(out.topic().map(|topic| &**topic), Some("one"));
        write(&out, 3..4).await;
        let _delivery = out.write_to("two", &json(4)).await.unwrap();
        out.close().await.unwrap();
    }
    assert_eq!(all(&format!("{url}one")).await, [1, 1, 3, 3]);
    assert_eq!(all(&format!("{url}two")).await, [2, 2, 4, 4]);
}

#[tokio::test]
async fn a_journal_keeps_the_topic_that_a_message_names() {
    let (_broker, url) = broker().await;
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let out = stream().robust_writer(&format!("{url}one"), journal).open().await.unwrap();
    out.write(&json(1)).await.unwrap();
    let message = out.pack(&json(2)).unwrap().topic("two".parse().unwrap());
    out.write_raw(message).await.unwrap();
    out.close().await.unwrap();
    assert_eq!((all(&format!("{url}one")).await, all(&format!("{url}two")).await), (vec![1], vec![2]));
}

#[tokio::test]
async fn what_comes_with_a_message_is_for_that_one_alone() {
    let (_broker, url) = broker().await;
    let url = format!("{url}one");
    let out = stream().writer(&url).open().await.unwrap();
    let message = out.pack(&json(1)).unwrap().header("mine", "x").key("k").test(true);
    let _delivery = out.write_raw(message).await.unwrap();
    write(&out, 2..3).await;
    assert_eq!(all(&url).await, [2]);

    let mut consumer = stream().reader(&url).include_tests(true).open().await.unwrap();
    let marked = consumer.next().await.unwrap().unwrap();
    let metadata = marked.metadata();
    assert!(metadata.is_test() && metadata.id().is_some());
    assert_eq!(metadata.key.as_deref(), Some(&b"k"[..]));
    let names: Vec<_> = metadata.headers.iter().map(|header| header.name().clone()).collect();
    assert_eq!(names, ["mine", "_id", "_test", "_format"]);
    let plain = consumer.next().await.unwrap().unwrap();
    assert!(!plain.metadata().is_test() && plain.metadata().key.is_none());
}

#[tokio::test]
async fn a_timestamp_says_whose_it_is() {
    let (_broker, url) = broker().await;
    let admin = stream().client(&url).await.unwrap().admin();
    let stamped = NewTopic::new("stamped").config("message.timestamp.type", "LogAppendTime");
    for (_, created) in admin.create_topics(&[stamped]).await.unwrap() {
        created.unwrap();
    }
    for (topic, expected) in [("one", TimestampType::CreateTime), ("stamped", TimestampType::LogAppendTime)] {
        let url = format!("{url}{topic}");
        publish(&url, 0..1).await;
        let mut consumer = stream().reader(&url).open().await.unwrap();
        let message = consumer.next().await.unwrap().unwrap();
        assert_eq!(message.metadata().timestamp_type, expected);
        assert!(message.metadata().timestamp > 0);
    }
}

#[tokio::test]
async fn a_stream_has_defaults_that_builders_replace() {
    let (_broker, url) = broker().await;
    let url = format!("{url}one");
    publish(&url, 0..2).await;
    // At the end, and up to it, as a stream has it of itself.
    assert!(Stream::anonymous().reader(&url).open().await.unwrap().next().await.unwrap().is_none());
    let patient = stream().persist(true).wire_form(WireForm::Envelope);
    let mut consumer = patient.reader(&url).open().await.unwrap();
    assert_eq!(consumer.next_messages(2, FOR_EVER).await.unwrap().unwrap().len(), 2);
    // The end is no end.
    assert_eq!(consumer.next().now_or_never().map(|next| next.is_ok()), None);
    assert_eq!(rest(patient.reader(&url).persist(false).open().await.unwrap()).await, [0, 1]);
    let latest = patient.reader(&url).start_at(StartPosition::Latest).persist(false);
    assert_eq!(rest(latest.open().await.unwrap()).await, [0; 0]);
    let form = |packed: &Outgoing| packed.payload().clone();
    let model = json(1);
    let packed = |builder: hop::stream::WriterBuilder| form(&builder.packer().unwrap().pack(&model).unwrap());
    assert_eq!(packed(patient.writer(&url)), r#"{"format": "blob", "content": 1}"#);
    assert_eq!(packed(patient.writer(&url).wire_form(WireForm::Json)), "1");
}

#[tokio::test]
async fn messages_come_together_up_to_the_end() {
    let (_broker, url) = broker().await;
    let url = format!("{url}wide");
    publish(&url, 0..25).await;
    let mut consumer = stream().reader(&url).open().await.unwrap();
    let (mut sizes, mut numbers) = (Vec::new(), Vec::new());
    while let Some(messages) = consumer.next_messages(10, FOR_EVER).await.unwrap() {
        sizes.push(messages.len());
        numbers.extend(messages.iter().map(number));
    }
    numbers.sort_unstable();
    assert_eq!((sizes, numbers), (vec![10, 10, 5], (0..25).collect()));
    assert!(consumer.next_messages(10, FOR_EVER).await.unwrap().is_none());
    assert!(consumer.next().await.unwrap().is_none());
}

#[tokio::test]
async fn when_the_time_is_up_what_has_come_is_handed_over() {
    let (_broker, url) = broker().await;
    let url = format!("{url}one");
    let mut consumer = stream().reader(&url).persist(true).open().await.unwrap();
    assert!(consumer.next_messages(10, Duration::ZERO).await.unwrap().unwrap().is_empty());
    publish(&url, 0..3).await;
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        let messages = consumer.next_messages(10, Duration::from_millis(20)).await.unwrap();
        numbers.extend(messages.unwrap().iter().map(number));
    }
    assert_eq!(numbers, [0, 1, 2]);
    consumer.stopper().stop();
    assert!(consumer.next_messages(10, FOR_EVER).await.unwrap().is_none());
}

#[tokio::test]
async fn an_error_comes_behind_what_was_gathered_before_it() {
    let (_broker, url) = broker().await;
    let url = format!("{url}one");
    let out = stream().writer(&url).open().await.unwrap();
    write(&out, 0..2).await;
    let broken = out.write_raw(Outgoing::raw("{").header("_format", "json")).await.unwrap();
    assert_eq!(broken.await.unwrap().offset, Some(2));
    write(&out, 3..4).await;
    let mut consumer = stream().reader(&url).open().await.unwrap();
    let numbers = |messages: Option<Vec<Message>>| messages.map(|all| all.iter().map(number).collect());
    let first: Option<Vec<u32>> = numbers(consumer.next_messages(10, FOR_EVER).await.unwrap());
    assert_eq!(first, Some(vec![0, 1]));
    match consumer.next_messages(10, FOR_EVER).await {
        Err(NextError::Unreadable(unreadable)) => assert_eq!(unreadable.message.metadata().offset, 2),
        other => unreachable!("{other:?}"),
    }
    assert_eq!(numbers(consumer.next_messages(10, FOR_EVER).await.unwrap()), Some(vec![3]));
    assert!(consumer.next_messages(10, FOR_EVER).await.unwrap().is_none());
}

/// Gathers three messages, and forgets the future that did.
async fn gathered_and_dropped(url: &str) -> Consumer {
    let mut consumer = stream().reader(url).group("readers").persist(true).open().await.unwrap();
    while consumer.at_hand() < 3 {
        let waiting = consumer.next_messages(10, FOR_EVER);
        let _ = tokio::time::timeout(Duration::from_millis(20), waiting).await;
    }
    consumer
}

#[tokio::test]
async fn nothing_that_was_gathered_is_lost_with_the_future() {
    let (_broker, url) = broker().await;
    let url = format!("{url}one");
    publish(&url, 0..3).await;
    let in_group = || stream().reader(&url).group("readers").open();

    // Nobody has had any of it.
    let consumer = gathered_and_dropped(&url).await;
    assert_eq!(consumer.lag().iter().map(|of| of.position).collect::<Vec<_>>(), [0]);
    consumer.close().await.unwrap();
    // What was handed over since is done with, and no more.
    let mut consumer = gathered_and_dropped(&url).await;
    assert_eq!(number(&consumer.next().await.unwrap().unwrap()), 0);
    let messages = consumer.next_messages(1, FOR_EVER).await.unwrap().unwrap();
    assert_eq!(messages.iter().map(number).collect::<Vec<_>>(), [1]);
    assert_eq!(consumer.at_hand(), 1);
    consumer.close().await.unwrap();
    assert_eq!(rest(in_group().await.unwrap()).await, [2]);
}

#[tokio::test]
async fn all_that_came_together_is_done_with_when_more_is_asked_for() {
    let (_broker, url) = broker().await;
    let url = format!("{url}wide");
    publish(&url, 0..20).await;
    let in_group = |commit: bool| stream().reader(&url).group("readers").auto_commit(commit).open();
    // By hand, nothing is done with that was not marked.
    let mut consumer = in_group(false).await.unwrap();
    assert_eq!(consumer.next_messages(20, FOR_EVER).await.unwrap().unwrap().len(), 20);
    assert!(consumer.next().await.unwrap().is_none());
    consumer.close().await.unwrap();
    // A test at the end of it is passed over, for good.
    let out = stream().writer(&url).test(true).open().await.unwrap();
    write(&out, 20..21).await;
    let mut consumer = in_group(true).await.unwrap();
    assert_eq!(consumer.next_messages(100, FOR_EVER).await.unwrap().unwrap().len(), 20);
    assert!(consumer.next_messages(100, FOR_EVER).await.unwrap().is_none());
    consumer.close().await.unwrap();
    let left = stream().reader(&url).group("readers").include_tests(true).open().await.unwrap();
    assert_eq!(rest(left).await, [0; 0]);
}
