//! rskafka: a `BatchProducer` for each partition, in turn. It waits for all replicas, but is not idempotent.
//!
//! Its linger of 5 ms is its default; the size of batches has none, and is 500 kB here: brokers take 1 MiB, and what it
//! counts is half of that with headers and small records. It has no bound on what it holds: as many records are handed in
//! at a time as make 32 MiB of values, at most 100,000, which is librdkafka's bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::client::producer::aggregator::RecordAggregator;
use rskafka::client::producer::{BatchProducer, BatchProducerBuilder};
use rskafka::record::Record;

use crate::writing::{Outcome, Task, Written, at_a_steady_rate, now};

const BATCH_BYTES: usize = 500_000;
const MEMORY: usize = 32 * 1024 * 1024;
const MOST_RECORDS: usize = 100_000;

pub(crate) async fn write(task: &Task) -> Outcome {
    let compression = match task.codec.as_str() {
        "none" => Compression::NoCompression,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err("there is no such codec".into()),
    };
    let client = ClientBuilder::new(vec![task.broker.clone()]).build().await?;
    let mut producers: Vec<BatchProducer<RecordAggregator>> = Vec::new();
    for partition in 0..task.partitions {
        let partition =
            client.partition_client(&task.topic, partition as i32, UnknownTopicHandling::Error).await?;
        let producer = BatchProducerBuilder::new(Arc::new(partition)).with_compression(compression);
        producers.push(producer.build(RecordAggregator::new(BATCH_BYTES)));
    }
    let send = |number: usize| producers[number % task.partitions].produce(record(task, number));
    if let Some(pace) = &task.pace {
        return at_a_steady_rate(task, pace, async |number| Ok(Box::pin(send(number)))).await;
    }
    send(0).await?;
    let first = now();
    let at_a_time = (MEMORY / task.alert(0).value.len()).min(MOST_RECORDS);
    let mut acknowledgements = stream::iter((1..task.records).map(send)).buffer_unordered(at_a_time);
    while acknowledgements.try_next().await?.is_some() {}
    Ok(Written::since(first))
}

fn record(task: &Task, number: usize) -> Record {
    let alert = task.alert(number);
    let headers = alert.headers().into_iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
    Record {
        key: None,
        value: Some(alert.value.to_vec()),
        headers: BTreeMap::from_iter(headers),
        timestamp: Utc::now(),
    }
}
