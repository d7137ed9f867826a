//! krafka: `poll` without a group, on assigned partitions.

use std::time::Duration;

use krafka::Kafka;
use krafka::consumer::AutoOffsetReset;

use crate::reading::{Outcome, Seen, Task};

pub(crate) async fn read(task: &Task) -> Outcome {
    let kafka = Kafka::builder(&task.broker).connect().await?;
    let consumer =
        kafka.consumer_without_group().auto_offset_reset(AutoOffsetReset::Earliest).build().await?;
    consumer.assign(&task.topic, (0..task.partitions).collect()).await?;
    let mut seen = Seen::nothing_of(task);
    loop {
        for record in consumer.poll(Duration::from_secs(60)).await? {
            if seen.see(record.key.as_deref(), record.value.as_deref()) {
                return Ok(seen);
            }
        }
    }
}
