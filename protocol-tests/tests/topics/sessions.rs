//! Fetch sessions (KIP-227): what a broker knows is not told again.

use std::time::Duration;

use hop::kafka::{Client, Consumer, TopicPartition};
use protocol_tests::consuming::{reader, take, within};
use protocol_tests::target::Target;

const PARTITIONS: i32 = 100;

/// Requests sent so far, and their bytes.
fn sent(client: &Client) -> (u64, u64) {
    client
        .metrics()
        .iter()
        .fold((0, 0), |(requests, bytes), broker| (requests + broker.requests, bytes + broker.bytes_sent))
}

/// Lets the consumer ask so many times more, and says how many bytes an average request had.
async fn bytes_a_request(client: &Client, consumer: &mut Consumer, count: u64) -> u64 {
    let (before, bytes_before) = sent(client);
    within("answers", async {
        while sent(client).0 < before + count {
            let nothing = tokio::time::timeout(Duration::from_millis(10), consumer.next()).await;
            assert!(nothing.is_err(), "nothing was written");
        }
    })
    .await;
    let (after, bytes_after) = sent(client);
    (bytes_after - bytes_before) / (after - before)
}

#[tokio::test]
async fn after_the_first_fetch_only_changes_are_sent() {
    let target = Target::new().await;
    let topic = target.topic(PARTITIONS).await;
    let client = target.another_client().await;
    let consumer = reader(&client, &topic).max_wait(Duration::from_millis(20));
    let mut consumer = consumer.build().await.unwrap();
    // Each partition takes at least its number, offset, epochs and limit.
    let whole = 30 * u64::try_from(PARTITIONS).unwrap();
    let (_, before) = sent(&client);
    bytes_a_request(&client, &mut consumer, 1).await;
    let first = sent(&client).1 - before;
    assert!(first > whole, "{first} bytes tell of {PARTITIONS} partitions");
    // Some are asked for again, while a Kafka makes the topic known to itself.
    within("answer for every partition", async {
        while consumer.lag().len() < usize::try_from(PARTITIONS).unwrap() {
            bytes_a_request(&client, &mut consumer, 1).await;
        }
    })
    .await;
    bytes_a_request(&client, &mut consumer, 2).await;
    let idle = bytes_a_request(&client, &mut consumer, 20).await;
    assert!(idle < 200, "{idle} bytes are told though nothing has changed");

    // What comes is delivered, and costs its own partition only.
    target.write_values(&topic, 77, ["in the session".to_owned()]).await;
    let (requests, bytes) = sent(&client);
    assert_eq!(take(&mut consumer, 1).await, [(77, 0, "in the session".to_owned())]);
    bytes_a_request(&client, &mut consumer, 2).await;
    let (requests_then, bytes_then) = sent(&client);
    let average = (bytes_then - bytes) / (requests_then - requests);
    assert!(average < 200, "{average} bytes for one partition that has moved");
}

#[tokio::test]
async fn a_partition_that_leaves_the_session_comes_back_to_it() {
    let target = Target::new().await;
    let topic = target.topic(3).await;
    let consumer = reader(&target.client, &topic).max_wait(Duration::from_millis(20));
    let mut consumer = consumer.build().await.unwrap();
    let partition = TopicPartition::new(topic.as_str(), 1);
    for round in 0..3_i64 {
        target.write_values(&topic, 1, [format!("{round}")]).await;
        assert_eq!(take(&mut consumer, 1).await, [(1, round, format!("{round}"))]);
        consumer.pause(std::slice::from_ref(&partition)).unwrap();
        // It asks for the others alone.
        bytes_a_request(&target.client, &mut consumer, 3).await;
        consumer.resume(std::slice::from_ref(&partition)).unwrap();
    }
}
