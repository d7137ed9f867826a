//! krafka: `enqueue`; it is idempotent and waits for all replicas by default. Batches of 16 KiB, 5 ms of linger and 32 MiB
//! of memory are its defaults, too.

use krafka::producer::Producer;
use krafka::{Compression, Kafka, Record};

use crate::writing::{Outcome, Task, Written, at_a_steady_rate, now};

pub(crate) async fn write(task: &Task) -> Outcome {
    let kafka = Kafka::builder(&task.broker).connect().await?;
    let compression = match task.codec.as_str() {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err("there is no such codec".into()),
    };
    let producer: Producer = kafka.producer().compression(compression).build().await?;
    if let Some(pace) = &task.pace {
        return at_a_steady_rate(task, pace, async |number| producer.enqueue(record(task, number)).await)
            .await;
    }
    drop(producer.send(record(task, 0)).await?);
    let first = now();
    for number in 1..task.records {
        // What fails is missing on the topic.
        drop(producer.enqueue(record(task, number)).await?);
    }
    producer.close().await?;
    Ok(Written::since(first))
}

fn record(task: &Task, number: usize) -> Record {
    let alert = task.alert(number);
    let record = Record::new(&task.topic, alert.value.clone());
    alert.headers().into_iter().fold(record, |record, (name, value)| record.header(name, value))
}
