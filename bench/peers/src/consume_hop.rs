//! This project's own client, in both of its ways to hand records over.
//!
//! A program of its own: what the others bring is not in its memory, and it is built without them.

#[path = "../clients/src/reading.rs"]
mod reading;

use std::process::ExitCode;

use hop::kafka::{Client, Consumer, StartOffset};

use reading::{Outcome, Seen, Task, on_one_thread};

fn main() -> ExitCode {
    reading::main(|client, task| match client {
        "batches" => on_one_thread(batches(task)),
        "owned" => on_one_thread(owned(task)),
        _ => Err("there is no such client".into()),
    })
}

/// Batches of borrowed records.
async fn batches(task: &Task) -> Outcome {
    let mut consumer = consumer(task).await?;
    let mut seen = Seen::nothing_of(task);
    while let Some(batch) = consumer.next_batch().await? {
        for record in batch.records() {
            let record = record?;
            if seen.see(record.key, record.value) {
                return Ok(seen);
            }
        }
    }
    Err("no more batches".into())
}

/// Messages to keep.
async fn owned(task: &Task) -> Outcome {
    let mut consumer = consumer(task).await?;
    let mut seen = Seen::nothing_of(task);
    while let Some(record) = consumer.next().await? {
        if seen.see(record.key.as_deref(), record.value.as_deref()) {
            return Ok(seen);
        }
    }
    Err("no more records".into())
}

async fn consumer(task: &Task) -> Result<Consumer, hop::kafka::Error> {
    let topics = [task.topic.clone()];
    let client = Client::builder().bootstrap(&task.broker).topics(topics.clone()).connect().await?;
    client.consumer().topics(topics).start_at(StartOffset::Earliest).build().await
}
