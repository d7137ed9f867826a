//! Where a consumer stands: empty topics, ends, lag, pauses, seeking, stopping.

use std::time::Duration;

use hop::kafka::{Consumer, ConsumerEvent, StartOffset, TopicPartition};
use protocol_tests::consuming::{offsets, reader, take, to_end, within};
use protocol_tests::peer::now;
use protocol_tests::target::Target;

fn numbers(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition::new(topic, number)
}

#[tokio::test]
async fn empty_topics_are_at_their_end_at_once() {
    let target = Target::new().await;
    let (empty, emptied) = (target.topic(12).await, target.topic(1).await);
    target.write_values(&emptied, 0, numbers(0..3)).await;
    target.admin.delete_records(&emptied, 0, -1).await.unwrap();
    for start in
        [StartOffset::Earliest, StartOffset::Latest, StartOffset::Timestamp(0), StartOffset::Offset(0)]
    {
        let consumer = target.client.consumer().topics([empty.as_str(), emptied.as_str()]).start_at(start);
        let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
        assert_eq!(to_end(&mut consumer).await, [], "{start:?}");
    }
}

#[tokio::test]
async fn a_reader_with_an_end_stops_at_the_ends_that_there_were_though_others_go_on_writing() {
    let target = Target::new().await;
    let topic = target.topic(2).await;
    target.write_values(&topic, 0, numbers(0..5)).await;
    let consumer = reader(&target.client, &topic).stop_at_end(true).max_partition_bytes(1);
    let mut consumer = consumer.build().await.unwrap();
    let mut read = take(&mut consumer, 1).await;
    // The other partition's end was seen in the same answer.
    target.write_values(&topic, 0, numbers(5..9)).await;
    target.write_values(&topic, 1, numbers(0..3)).await;
    read.extend(to_end(&mut consumer).await);
    assert_eq!(offsets(&read), [0, 1, 2, 3, 4]);
    assert!(to_end(&mut consumer).await.is_empty(), "it stays at the end");
}

#[tokio::test]
async fn the_end_of_a_partition_is_told_each_time_it_is_reached() {
    let target = Target::new().await;
    let topic = target.topic(2).await;
    target.write_values(&topic, 0, numbers(0..3)).await;
    let consumer = reader(&target.client, &topic).announce_ends(true);
    let mut consumer = consumer.build().await.unwrap();
    let mut read = 0;
    let mut ends = until_ends(&mut consumer, 2, &mut read).await;
    ends.sort_unstable();
    assert_eq!((ends, read), (vec![(0, 3), (1, 0)], 3));
    target.write_values(&topic, 1, numbers(0..1)).await;
    assert_eq!(until_ends(&mut consumer, 1, &mut read).await, [(1, 1)]);
    assert_eq!(read, 4);
}

/// The next ends that are told of; counts the records before them.
async fn until_ends(consumer: &mut Consumer, count: usize, read: &mut usize) -> Vec<(i32, i64)> {
    let mut ends = Vec::new();
    while ends.len() < count {
        match within("event", consumer.next_event()).await.unwrap().unwrap() {
            ConsumerEvent::Records(batch) => *read += batch.records().count(),
            ConsumerEvent::EndOfPartition { partition, offset } => ends.push((partition.partition, offset)),
            event => panic!("{event:?}"),
        }
    }
    ends
}

#[tokio::test]
async fn the_lag_is_what_is_left_to_be_handed_over() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    target.write_values(&topic, 0, numbers(0..9)).await;
    let mut consumer = reader(&target.client, &topic).max_partition_bytes(1).build().await.unwrap();
    for read in 1..=9 {
        take(&mut consumer, 1).await;
        assert_eq!(consumer.position(&partition(&topic, 0)), Some(read));
        let lags: Vec<_> = consumer.lag().into_iter().map(|lag| (lag.position, lag.end, lag.lag())).collect();
        assert_eq!(lags, [(read, 9, (9 - read).unsigned_abs())]);
    }
}

#[tokio::test]
async fn a_paused_partition_waits_and_goes_on_where_it_was_while_others_are_read() {
    let target = Target::new().await;
    let topic = target.topic(2).await;
    // One batch, of which a part is handed over when the partition is paused; and one of the other.
    let producer = target.client.producer().build().unwrap();
    let batch = (0..6)
        .map(|number: i64| hop::kafka::Record::new(topic.as_str()).partition(0).value(number.to_string()));
    let mut deliveries = Vec::new();
    for record in batch {
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let mut consumer = reader(&target.client, &topic).build().await.unwrap();
    assert_eq!(offsets(&take(&mut consumer, 3).await), [0, 1, 2]);
    consumer.pause(&[partition(&topic, 0)]).unwrap();
    target.write_values(&topic, 1, numbers(0..4)).await;
    let read = take(&mut consumer, 4).await;
    assert!(read.iter().all(|(partition, ..)| *partition == 1), "{read:?}");
    assert!(consumer.is_paused(&partition(&topic, 0)));
    consumer.resume(&[partition(&topic, 0)]).unwrap();
    let read = take(&mut consumer, 3).await;
    assert_eq!(
        read.iter().map(|(of, offset, _)| (*of, *offset)).collect::<Vec<_>>(),
        [(0, 3), (0, 4), (0, 5)]
    );
}

#[tokio::test]
async fn reading_goes_on_where_it_is_sent() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    let start = now() - 100_000;
    target.write(&topic, 0, &(0..10).map(|number| start + number * 1000).collect::<Vec<_>>()).await;
    let mut consumer = reader(&target.client, &topic).build().await.unwrap();
    assert_eq!(offsets(&take(&mut consumer, 2).await), [0, 1]);
    for (to, expected) in [
        (StartOffset::Offset(7), vec![7, 8, 9]),
        (StartOffset::Offset(3), vec![3, 4]),
        (StartOffset::Earliest, vec![0, 1]),
        (StartOffset::Timestamp(start + 5000), vec![5, 6]),
        (StartOffset::Timestamp(start + 8001), vec![9]),
    ] {
        consumer.seek(&partition(&topic, 0), to).unwrap();
        assert_eq!(offsets(&take(&mut consumer, expected.len()).await), expected, "{to:?}");
    }
    for to in [StartOffset::Latest, StartOffset::Timestamp(start + 9001)] {
        consumer.seek(&partition(&topic, 0), StartOffset::Earliest).unwrap();
        take(&mut consumer, 1).await;
        consumer.seek(&partition(&topic, 0), to).unwrap();
        within("end", async {
            while consumer.position(&partition(&topic, 0)).is_none() {
                let nothing = tokio::time::timeout(Duration::from_millis(10), consumer.next()).await;
                assert!(nothing.is_err(), "there is nothing behind the end");
            }
        })
        .await;
        let end = consumer.position(&partition(&topic, 0)).unwrap();
        // Too old to be found by its time in the next round.
        target.write(&topic, 0, &[start]).await;
        assert_eq!(offsets(&take(&mut consumer, 1).await), [end]);
    }
}

#[tokio::test]
async fn a_consumer_that_waits_for_records_is_stopped_from_another_task_within_a_second() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    let consumer = reader(&target.client, &topic).max_wait(Duration::from_secs(300));
    let mut consumer = consumer.build().await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(nothing.is_err());
    let stopper = consumer.stopper();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stopper.stop();
    });
    let stopped = tokio::time::timeout(Duration::from_secs(1), consumer.next()).await;
    assert!(stopped.expect("in time").unwrap().is_none());
    tokio::time::timeout(Duration::from_secs(1), consumer.close()).await.expect("in time").unwrap();
}
