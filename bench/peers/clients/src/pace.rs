//! Sends records at a steady rate by librdkafka, each as soon as it can, with the time at its beginning.
//!
//! `pace BROKER TOPIC PARTITIONS RECORDS SIZE RATE` sends so many records a second to all partitions in turn.

mod clock;

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, topic, partitions, records, size, rate] = &arguments[..] else {
        eprintln!("usage: pace BROKER TOPIC PARTITIONS RECORDS SIZE RATE");
        std::process::exit(2);
    };
    let partitions: i32 = partitions.parse().expect("a number of partitions");
    let records: u64 = records.parse().expect("a number of records");
    let mut value = vec![b'x'; size.parse().expect("a size")];
    let interval = 1_000_000_000 / rate.parse::<u64>().expect("a rate");
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    let started = clock::now();
    for (number, partition) in (0..records).zip((0..partitions).cycle()) {
        let due = started + number * interval;
        std::thread::sleep(Duration::from_nanos(due.saturating_sub(clock::now())));
        value[..8].copy_from_slice(&clock::now().to_le_bytes());
        producer
            .send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&value))
            .map_err(|(error, _)| error)
            .expect("there is room for it");
    }
    producer.flush(Duration::from_secs(60)).expect("all is written");
}
