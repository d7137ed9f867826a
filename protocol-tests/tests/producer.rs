//! What a producer promises its user: acknowledgements of each kind, back-pressure, an end that is chosen, and records
//! as they were handed in. On the embedded broker, or on the Kafka that `CONFORMANCE_BROKER` names.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::time::Duration;

use bytes::Bytes;
use hop::broker::{Broker, Fault};
use hop::kafka::partitioner::Partitioner;
use hop::kafka::{Acks, Client, ProduceError, Record};
use hop::wire::error_code::ErrorCode;
use hop::wire::messages::ProduceRequest;
use hop::wire::record::Compression;
use protocol_tests::consuming::{offsets, parts, reader, take, to_end, within};
use protocol_tests::target::Target;

/// A broker whose answers to what is written do not come before it is told to behave.
async fn silent() -> (Broker, Client) {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    broker.misbehave(Fault::on::<ProduceRequest>().delay(Duration::from_secs(3_600)));
    (broker, client)
}

#[tokio::test]
async fn whatever_is_acknowledged_is_there_in_order() {
    let target = Target::new().await;
    for acks in [Acks::All, Acks::Leader, Acks::None] {
        for idempotent in [true, false] {
            let topic = target.topic(1).await;
            let producer =
                target.client.producer().acks(acks).idempotent(idempotent).batch_bytes(500).build().unwrap();
            let mut deliveries = Vec::new();
            for number in 0..300 {
                let record = Record::new(topic.as_str()).value(number.to_string());
                deliveries.push(producer.send(record).await.unwrap());
            }
            for (delivery, number) in deliveries.into_iter().zip(0_i64..) {
                let acknowledged = within("acknowledgement", delivery).await.unwrap();
                let known = (acks != Acks::None).then_some(number);
                assert_eq!((acknowledged.partition, acknowledged.offset), (0, known), "{acks:?}");
            }
            let mut consumer = reader(&target.client, &topic).build().await.unwrap();
            let read = take(&mut consumer, 300).await;
            let expected = (0..300).map(|number| (0, i64::from(number), number.to_string()));
            assert_eq!(read, expected.collect::<Vec<_>>(), "{acks:?} {idempotent}");
        }
    }
}

#[tokio::test]
async fn records_arrive_as_they_were_handed_in() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    let producer = target.client.producer().compression(Compression::Zstd).build().unwrap();
    let header = |value: &'static [u8]| Some(Bytes::from_static(value));
    let records = [
        Record::new(topic.as_str()),
        Record::new(topic.as_str()).key("").value(""),
        Record::new(topic.as_str()).key("deleted").timestamp(1_700_000_000_000),
        Record::new(topic.as_str())
            .value("v")
            .header("twice", header(b"1"))
            .header("twice", header(b"2"))
            .header("", header(b""))
            .header("null", None),
    ];
    for record in records {
        drop(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut consumer = reader(&target.client, &topic).stop_at_end(true).build().await.unwrap();
    let mut read = Vec::new();
    while let Some(record) = within("record", consumer.next()).await.unwrap() {
        read.push(record);
    }
    let contents: Vec<_> =
        read.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    let some = |bytes: &'static [u8]| Some(bytes);
    let expected = [(None, None), (some(b""), some(b"")), (some(b"deleted"), None), (None, some(b"v"))];
    assert_eq!(contents, expected);
    assert_eq!(read[2].timestamp, 1_700_000_000_000);
    let named = |name: &'static str, value| (Bytes::from_static(name.as_bytes()), value);
    assert_eq!(
        read[3].headers,
        [
            named("twice", header(b"1")),
            named("twice", header(b"2")),
            named("", header(b"")),
            named("null", None)
        ]
    );
}

#[tokio::test]
async fn a_topic_that_takes_less_than_a_batch_gets_it_in_parts_and_what_is_too_large_fails_alone() {
    let target = Target::new().await;
    let topic = target.topic_with(1, &[("max.message.bytes", "2000")]).await;
    let producer = target.client.producer().build().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..200 {
        // The first leaves alone, and the others gather behind it.
        let size = if number == 100 { 3_000 } else { 100 };
        let record = Record::new(topic.as_str()).value(format!("{number:0size$}"));
        deliveries.push(producer.send(record).await.unwrap());
    }
    let mut acknowledged = Vec::new();
    for (delivery, number) in deliveries.into_iter().zip(0..) {
        match within("acknowledgement", delivery).await {
            Ok(at) => acknowledged.push(at.offset.unwrap()),
            Err(error) => {
                assert_eq!(number, 100, "{error}");
                let words = error.to_string();
                assert!(words.contains("MESSAGE_TOO_LARGE") && words.contains(&topic), "{words}");
            }
        }
    }
    assert_eq!(acknowledged, (0..199).collect::<Vec<_>>());
    let mut consumer = reader(&target.client, &topic).stop_at_end(true).build().await.unwrap();
    let read = to_end(&mut consumer).await;
    assert_eq!(offsets(&read), acknowledged);
    let numbers: Vec<u32> = read.iter().map(|(_, _, value)| value.parse().unwrap()).collect();
    assert_eq!(numbers, (0..200).filter(|&number| number != 100).collect::<Vec<_>>());
    // The failure is told again by whoever waits for all.
    assert!(matches!(producer.flush().await, Err(ProduceError::Refused { .. })));
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_sent_all_the_same() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    let producer = target.client.producer().build().unwrap();
    for number in 0..10 {
        drop(producer.send(Record::new(topic.as_str()).value(number.to_string())).await.unwrap());
    }
    let mut consumer = reader(&target.client, &topic).build().await.unwrap();
    assert_eq!(offsets(&take(&mut consumer, 10).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_without_a_key_are_spread_and_those_with_one_stay_together() {
    let target = Target::new().await;
    for partitioner in [Partitioner::ConsistentRandom, Partitioner::Murmur2, Partitioner::RoundRobin] {
        let topic = target.topic(3).await;
        let producer =
            target.client.producer().partitioner(partitioner.clone()).batch_bytes(300).build().unwrap();
        // One kind after the other: a partition that keyed records wait for is drawn seldom. A batch is three records,
        // so that one is drawn some fifty times.
        for key in [None, Some("together")] {
            for number in 0..150 {
                let record = Record::new(topic.as_str()).value(format!("{number:0100}"));
                let record = if let Some(key) = key { record.key(key) } else { record };
                drop(producer.send(record).await.unwrap());
            }
            producer.flush().await.unwrap();
        }
        let mut consumer = reader(&target.client, &topic).stop_at_end(true).build().await.unwrap();
        let (mut spread, mut together) = ([0; 3], [0; 3]);
        while let Some(record) = within("record", consumer.next()).await.unwrap() {
            let (partition, _, _) = parts(&record);
            let counts = if record.key.is_none() { &mut spread } else { &mut together };
            counts[usize::try_from(partition).unwrap()] += 1;
        }
        assert_eq!(spread.iter().sum::<i32>() + together.iter().sum::<i32>(), 300);
        let homes = together.iter().filter(|&&count| count > 0).count();
        match partitioner {
            Partitioner::RoundRobin => assert_eq!((spread, homes), ([50; 3], 3)),
            _ => {
                assert_eq!(homes, 1, "{partitioner}");
                assert!(spread.iter().all(|&count| count > 0), "{spread:?}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_does_not_want_to_wait_is_told_that_there_is_no_room() {
    let (broker, client) = silent().await;
    let producer = client.producer().most_record_bytes(1_000).memory(1_000).build().unwrap();
    let record = Record::new("t").value(vec![7; 500]);
    let unknown = Record::new("another").value("v");
    assert!(
        matches!(producer.try_send(&unknown), Err(ProduceError::NotLookedUp { topic }) if topic == "another")
    );
    let first = producer.send(record.clone()).await.unwrap();
    assert!(matches!(producer.try_send(&record), Err(ProduceError::Full { memory: 1_000 })));
    assert!(matches!(
        producer.try_send(&Record::new("t").value(vec![7; 1_000])),
        Err(ProduceError::TooLarge { limit: 1_000, .. })
    ));
    broker.behave();
    drop(first);
}

#[tokio::test]
async fn what_is_given_up_says_so() {
    let (_broker, client) = silent().await;
    let producer = client.producer().build().unwrap();
    let delivery = producer.send(Record::new("t").value("v")).await.unwrap();
    producer.abort();
    assert!(matches!(within("failure", delivery).await, Err(ProduceError::Closed)));

    let producer = client.producer().build().unwrap();
    let delivery = producer.send(Record::new("t").value("v")).await.unwrap();
    let closed = producer.close_within(Duration::from_millis(50)).await;
    assert!(matches!(closed, Err(ProduceError::Closed)));
    assert!(matches!(within("failure", delivery).await, Err(ProduceError::Closed)));
}

#[tokio::test]
async fn a_user_who_may_not_write_idempotently_writes_without() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let refused = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
    broker.misbehave(Fault::on::<hop::wire::messages::InitProducerIdRequest>().answer(refused));
    let producer = client.producer().build().unwrap();
    for number in 0..10 {
        drop(producer.send(Record::new("t").value(number.to_string())).await.unwrap());
    }
    within("acknowledgement", producer.flush()).await.unwrap();
    let mut consumer = reader(&client, "t").stop_at_end(true).build().await.unwrap();
    assert_eq!(offsets(&to_end(&mut consumer).await), (0..10).collect::<Vec<_>>());
}
