//! `hop::blocking`, and messages as a stream, on the embedded broker.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use futures_util::TryStreamExt;
use hop::blocking::{Consumer, Stream};
use hop::broker::Broker;
use hop::models::JsonBlob;
use hop::stream::{StartPosition, WriteError};
use tokio::runtime::Runtime;

/// A broker that lives in a runtime of its own, as it would elsewhere.
struct Elsewhere {
    runtime: Runtime,
    broker: Broker,
}

impl Elsewhere {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let broker = runtime.block_on(Broker::builder().topic("alerts", 2).start()).unwrap();
        Self { runtime, broker }
    }

    fn url(&self) -> String {
        format!("kafka://{}/alerts", self.broker.address())
    }

    fn publish(&self, stream: &Stream, numbers: std::ops::Range<u32>) {
        let out = stream.writer(&self.url()).open().unwrap();
        for number in numbers {
            let _delivery = out.write_json(&BTreeMap::from([("number", number)])).unwrap();
        }
        out.close().unwrap();
    }
}

fn json(number: u32) -> JsonBlob {
    JsonBlob::from_serialize(&number).unwrap()
}

fn texts(consumer: Consumer) -> Vec<String> {
    let mut texts: Vec<_> = consumer.map(|message| message.unwrap().model().json_line()).collect();
    texts.sort();
    texts
}

fn expected(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!(r#"{{"number": {number}}}"#)).collect()
}

#[test]
fn what_is_written_is_acknowledged_and_read_up_to_the_end() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    let out = stream.writer(&elsewhere.url()).open().unwrap();
    let acknowledged = out.write_json(&[1, 2]).unwrap().wait().unwrap();
    assert_eq!((&*acknowledged.topic, acknowledged.offset), ("alerts", Some(0)));
    out.flush().unwrap();
    assert_eq!(out.acknowledged(), 1);
    let reader = stream.reader(&elsewhere.url()).start_at(StartPosition::Earliest);
    assert_eq!(texts(reader.open().unwrap()), ["[1, 2]"]);
    let listed = stream.list_topics(&elsewhere.url()).unwrap();
    assert_eq!(listed.iter().map(|topic| topic.partitions.len()).collect::<Vec<_>>(), [2]);
    // Of the first stream nothing is left, and what was made from it goes on.
    drop(stream);
    out.write_json("late").unwrap().wait().unwrap();
}

#[test]
fn a_loop_that_ends_leaves_the_group_with_all_committed() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    elsewhere.publish(&stream, 0..5);
    let reader = || stream.reader(&elsewhere.url()).start_at(StartPosition::Earliest).group("readers").open();
    assert_eq!(texts(reader().unwrap()), expected(0..5));
    elsewhere.publish(&stream, 5..8);
    assert_eq!(texts(reader().unwrap()), expected(5..8));
    // By hand, what was marked is committed when that is asked for, or at the end.
    elsewhere.publish(&stream, 8..9);
    let mut consumer = reader().unwrap();
    let message = consumer.next().unwrap().unwrap();
    consumer.mark_done(message.metadata());
    consumer.commit().unwrap();
    consumer.close().unwrap();
    assert!(reader().unwrap().next().is_none());
}

#[test]
fn waiting_ends_when_the_time_is_up_or_somebody_stops_it() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    elsewhere.publish(&stream, 0..1);
    let mut consumer =
        stream.reader(&elsewhere.url()).start_at(StartPosition::Earliest).persist(true).open().unwrap();
    let first = consumer.next_within(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(first.model().json_line(), r#"{"number": 0}"#);
    assert!(consumer.next_within(Duration::from_millis(1)).unwrap().is_none());
    let stopper = consumer.stopper();
    let waiting = thread::spawn(move || consumer.next().is_none());
    stopper.stop();
    assert!(waiting.join().unwrap());
}

#[test]
fn a_consumer_may_be_dropped_where_nothing_may_wait() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    let consumer = stream.reader(&elsewhere.url()).group("readers").open().unwrap();
    elsewhere.runtime.block_on(async move { drop(consumer) });
}

#[test]
fn messages_are_a_stream() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    elsewhere.publish(&stream, 0..3);
    let mut read: Vec<String> = elsewhere.runtime.block_on(async {
        let reader = hop::Stream::anonymous().reader(&elsewhere.url()).start_at(StartPosition::Earliest);
        let messages = reader.open().await.unwrap().into_stream();
        messages.map_ok(|message| message.model().json_line()).try_collect().await.unwrap()
    });
    read.sort();
    assert_eq!(read, expected(0..3));
}

#[test]
fn what_streams_and_producers_can_do_waits_here_too() {
    let (elsewhere, stream) = (Elsewhere::new(), Stream::anonymous().unwrap());
    let (url, anywhere) = (elsewhere.url(), format!("kafka://{}/", elsewhere.broker.address()));
    let stream = stream.start_at(StartPosition::Earliest).persist(true);
    let out = stream.writer(&anywhere).topic_by_message(true).open().unwrap();
    assert_eq!(out.topic(), None);
    assert!(matches!(out.write_json(&0), Err(WriteError::NoTopic)));
    out.write_to("alerts", &json(1)).unwrap().wait().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let robust = stream.robust_writer(&url, directory.path().join("journal")).open().unwrap();
    robust.write(&json(2)).unwrap();
    robust.write_raw(robust.pack(&json(3)).unwrap()).unwrap();
    robust.flush().unwrap();
    assert_eq!((robust.unsent(), &**robust.topic()), (0, "alerts"));
    robust.close().unwrap();

    let mut consumer = stream.reader(&url).open().unwrap();
    let mut messages = consumer.next_messages(2, Duration::MAX).unwrap().unwrap();
    messages.extend(consumer.next_messages(1, Duration::MAX).unwrap().unwrap());
    let mut texts: Vec<_> = messages.iter().map(|message| message.model().json_line()).collect();
    texts.sort();
    assert_eq!(texts, ["1", "2", "3"]);
    assert_eq!((consumer.at_hand(), consumer.lag().len()), (0, 2));
    assert!(consumer.interruption().is_none());
    assert!(consumer.next_messages(1, Duration::ZERO).unwrap().unwrap().is_empty());
}
