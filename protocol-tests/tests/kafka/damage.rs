//! Bytes that have changed on the broker's disk, which it serves as they are.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use hop::kafka::{ConsumerBuilder, Error};
use protocol_tests::consuming::{offsets, reader, take, to_end, within};
use protocol_tests::target::Target;

const RECORDS: usize = 5;
/// The record whose batch is damaged.
const DAMAGED: usize = 2;

/// A log of one batch a record.
struct Log {
    target: Target,
    topic: String,
    segment: PathBuf,
}

impl Log {
    async fn new() -> Self {
        let target = Target::real().await;
        let topic = target.topic(1).await;
        target.write_values(&topic, 0, (0..RECORDS).map(|number| format!("number {number}"))).await;
        let directory = std::env::var("KAFKA_DIR").expect("KAFKA_DIR is what scripts/kafka made");
        let segment = PathBuf::from(directory).join(format!("node-1/data/{topic}-0/{:020}.log", 0));
        Self { target, topic, segment }
    }

    /// Where a batch begins, and how long it is: they are all alike.
    fn batch(&self, number: usize) -> (u64, u64) {
        let length = std::fs::metadata(&self.segment).unwrap().len() / u64::try_from(RECORDS).unwrap();
        (length * u64::try_from(number).unwrap(), length)
    }

    /// Turns over the bits of a byte of the batch; once more puts them right.
    fn flip(&self, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(&self.segment).unwrap();
        let at = self.batch(DAMAGED).0 + at;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
    }

    fn reader(&self) -> ConsumerBuilder {
        reader(&self.target.client, &self.topic)
    }
}

#[tokio::test]
async fn a_damaged_batch_is_named_until_it_is_mended_and_passed_over_on_request() {
    let log = Log::new().await;
    let last = log.batch(DAMAGED).1 - 1;
    // The last byte of the records, and the checksum itself.
    for at in [last, 17] {
        log.flip(at);
        let mut consumer = log.reader().build().await.unwrap();
        assert_eq!(offsets(&take(&mut consumer, 2).await), [0, 1], "{at}");
        for _ in 0..2 {
            let error = within("error", consumer.next()).await.unwrap_err();
            let Error::Damaged { topic, partition: 0, offset: 2, .. } = &error else {
                panic!("{at}: {error}")
            };
            assert_eq!(*topic, log.topic);
        }
        let mut skipping = log.reader().skip_damaged(true).stop_at_end(true).build().await.unwrap();
        assert_eq!(offsets(&to_end(&mut skipping).await), [0, 1, 3, 4], "{at}");
        log.flip(at);
        assert_eq!(offsets(&take(&mut consumer, 3).await), [2, 3, 4], "{at}");
    }
}

#[tokio::test]
async fn where_a_damaged_batch_says_that_it_ends_is_not_where_reading_goes_on() {
    let log = Log::new().await;
    // Where the batch begins, which no checksum covers, and how many offsets it spans. Some brokers find the batch no
    // more when they are asked for it again.
    for at in [1, 7, 23] {
        log.flip(at);
        let mut consumer = log.reader().build().await.unwrap();
        assert_eq!(offsets(&take(&mut consumer, 2).await), [0, 1], "{at}");
        let error = within("error", consumer.next()).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { partition: 0, offset: 2, .. }), "{at}: {error}");
        let mut skipping = log.reader().skip_damaged(true).stop_at_end(true).build().await.unwrap();
        assert_eq!(offsets(&to_end(&mut skipping).await), [0, 1, 3, 4], "{at}");
        log.flip(at);
    }
}

#[tokio::test]
async fn a_damaged_batch_that_comes_alone_is_passed_over_on_request() {
    let log = Log::new().await;
    let last = log.batch(DAMAGED).1 - 1;
    log.flip(last);
    let skipping = log.reader().skip_damaged(true).stop_at_end(true).max_partition_bytes(1);
    let mut skipping = skipping.build().await.unwrap();
    assert_eq!(offsets(&to_end(&mut skipping).await), [0, 1, 3, 4]);
}

#[tokio::test]
async fn damage_that_stops_the_broker_from_serving_is_named_until_it_is_mended() {
    let log = Log::new().await;
    // A negative length, and a format's version of the future.
    for at in [8, 16] {
        log.flip(at);
        let mut consumer = log.reader().max_partition_bytes(1).build().await.unwrap();
        assert_eq!(offsets(&take(&mut consumer, 2).await), [0, 1], "{at}");
        for _ in 0..2 {
            let error = within("error", consumer.next()).await.unwrap_err();
            // It depends on the broker who notices.
            assert!(matches!(error, Error::Damaged { .. } | Error::Broker { .. }), "{at}: {error:?}");
            let said = error.to_string();
            let place = format!("topic '{}' partition 0", log.topic);
            assert!(said.contains(&place) && said.contains("offset 2"), "{at}: {said}");
        }
        log.flip(at);
        let rest = within("records", async {
            let mut rest = Vec::new();
            while rest.len() < 3 {
                // What was asked for before it was mended may still fail.
                match consumer.next().await {
                    Ok(record) => rest.push(record.unwrap().offset),
                    Err(Error::Damaged { .. } | Error::Broker { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            rest
        });
        assert_eq!(rest.await, [2, 3, 4], "{at}");
    }
}
