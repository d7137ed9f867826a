//! What is wanted of a consumer in a test: records as values that can be compared, and an end to waiting.

use std::future::Future;
use std::time::Duration;

use hop::kafka::{Client, ConsumedRecord, Consumer, ConsumerBuilder, StartOffset};

/// How long a test waits for something that must come to pass, on a machine that has other work as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record: its partition, offset and value.
pub type Read = (i32, i64, String);

/// A consumer of a topic, from its first record on.
pub fn reader(client: &Client, topic: &str) -> ConsumerBuilder {
    client.consumer().topics([topic]).start_at(StartOffset::Earliest)
}

/// What the future brings; without it the test fails.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(brought) => brought,
        Err(_) => panic!("after {PATIENCE:?} still no {what}"),
    }
}

/// The next record.
pub async fn next(consumer: &mut Consumer) -> ConsumedRecord {
    within("record", consumer.next()).await.unwrap().expect("more records")
}

/// So many records more.
pub async fn take(consumer: &mut Consumer, count: usize) -> Vec<Read> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(parts(&next(consumer).await));
    }
    taken
}

/// All records until the consumer has reached its end.
pub async fn to_end(consumer: &mut Consumer) -> Vec<Read> {
    let mut taken = Vec::new();
    while let Some(record) = within("record or end", consumer.next()).await.unwrap() {
        taken.push(parts(&record));
    }
    taken
}

/// Partition, offset and value of a record.
pub fn parts(record: &ConsumedRecord) -> Read {
    let value = record.value.as_deref().unwrap_or_default();
    (record.partition, record.offset, String::from_utf8_lossy(value).into_owned())
}

/// The offsets of what was read.
pub fn offsets(read: &[Read]) -> Vec<i64> {
    read.iter().map(|(_, offset, _)| *offset).collect()
}
