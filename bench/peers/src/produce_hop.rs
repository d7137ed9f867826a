//! This project's own client: `send`, with its default settings.
//!
//! A program of its own: what the others bring is not in its memory, and it is built without them.

#[path = "../clients/src/writing.rs"]
mod writing;

use std::process::ExitCode;
use std::sync::Arc;

use hop::kafka::{Client, Record};
use hop::wire::Compression;

use writing::{Outcome, Task, Written, at_a_steady_rate, now, on_one_thread};

fn main() -> ExitCode {
    writing::main(|client, task| match client {
        "hop" => on_one_thread(write(task)),
        _ => Err("there is no such client".into()),
    })
}

async fn write(task: &Task) -> Outcome {
    let compression = match task.codec.as_str() {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err("there is no such codec".into()),
    };
    let client = Client::builder().bootstrap(&task.broker).topics([task.topic.clone()]).connect().await?;
    let producer = client.producer().compression(compression).build()?;
    let topic = Arc::from(task.topic.as_str());
    if let Some(pace) = &task.pace {
        return at_a_steady_rate(task, pace, async |number| {
            producer.send(record(task, &topic, number)).await
        })
        .await;
    }
    producer.send(record(task, &topic, 0)).await?.await?;
    let first = now();
    for number in 1..task.records {
        // What fails is learnt from closing.
        drop(producer.send(record(task, &topic, number)).await?);
    }
    producer.close().await?;
    Ok(Written::since(first))
}

fn record(task: &Task, topic: &Arc<str>, number: usize) -> Record {
    let alert = task.alert(number);
    let record = Record::new(Arc::clone(topic)).value(alert.value.clone());
    alert.headers().into_iter().fold(record, |record, (name, value)| record.header(name, Some(value)))
}
