//! rskafka: a stream for each partition, with its default settings (50 MiB an answer), and as a stream it ends with
//! each of its records.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::select_all;
use rskafka::client::ClientBuilder;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::partition::UnknownTopicHandling;

use crate::reading::{Outcome, Seen, Task};

pub(crate) async fn read(task: &Task) -> Outcome {
    let client = ClientBuilder::new(vec![task.broker.clone()]).build().await?;
    let mut streams = Vec::new();
    for partition in 0..task.partitions {
        let partition = client.partition_client(&task.topic, partition, UnknownTopicHandling::Error).await?;
        streams.push(StreamConsumerBuilder::new(Arc::new(partition), StartOffset::At(0)).build());
    }
    let mut records = select_all(streams);
    let mut seen = Seen::nothing_of(task);
    while let Some(record) = records.next().await {
        let (record, _) = record?;
        if seen.see(record.record.key.as_deref(), record.record.value.as_deref()) {
            return Ok(seen);
        }
    }
    Err("no more records".into())
}
