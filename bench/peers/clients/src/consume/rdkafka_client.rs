//! librdkafka, the newest that the `rdkafka` crate brings, read with `BaseConsumer::poll`.
//!
//! It wants the name of a group; partitions are assigned, so that it is not joined, and nothing is committed. Whether
//! checksums are looked at is left as it is by default: they are not.
//!
//! It begins at the beginning, for which it asks first where that is; where latencies are looked at, at offset 0 like the
//! others, which try that.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::reading::{Outcome, Seen, Task};

pub(crate) fn read(task: &Task) -> Outcome {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &task.broker)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let start = if task.looks_at_latencies() { Offset::Offset(0) } else { Offset::Beginning };
    let mut partitions = TopicPartitionList::new();
    for partition in 0..task.partitions {
        partitions.add_partition_offset(&task.topic, partition, start)?;
    }
    consumer.assign(&partitions)?;
    let mut seen = Seen::nothing_of(task);
    loop {
        let message = consumer.poll(Duration::from_secs(60)).ok_or("nothing came for a minute")??;
        if seen.see(message.key(), message.payload()) {
            return Ok(seen);
        }
    }
}
