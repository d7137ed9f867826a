//! Fills a topic with alerts as hop sends them, by librdkafka with its default settings: batches of up to 1 MB.
//!
//! `fill BROKER TOPIC PARTITIONS RECORDS SIZE CODEC BATCH_BYTES` writes alerts of about this size to all partitions in
//! turn, and prints how many records and bytes of values it wrote.

#[path = "../../../../benches/alerts/mod.rs"]
#[allow(dead_code, reason = "alerts by the batch are for others")]
mod alerts;
mod ids;

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, topic, partitions, records, size, codec, batch_bytes] = &arguments[..] else {
        eprintln!("usage: fill BROKER TOPIC PARTITIONS RECORDS SIZE CODEC BATCH_BYTES");
        std::process::exit(2);
    };
    let partitions: i32 = partitions.parse().expect("a number of partitions");
    let records: usize = records.parse().expect("a number of records");
    let size: usize = size.parse().expect("a size");
    let producer: BaseProducer<Strict> = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("compression.type", codec)
        .set("batch.size", batch_bytes)
        // Nothing twice: the readers count.
        .set("enable.idempotence", "true")
        .create_with_context(Strict)
        .expect("a producer");
    let mut bytes = 0;
    for (number, partition) in (0..records).zip((0..partitions).cycle()) {
        let alert = alerts::alert(number, size);
        bytes += alert.len();
        let id = ids::id(number);
        let headers = OwnedHeaders::new()
            .insert(Header { key: "_id", value: Some(&id[..]) })
            .insert(Header { key: "_sender", value: Some("observer-1234") })
            .insert(Header { key: "_format", value: Some("json") });
        let mut record =
            BaseRecord::<(), String>::to(topic).partition(partition).payload(&alert).headers(headers);
        while let Err((error, refused)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120)).expect("all is written");
    println!("{records} {bytes}");
}

/// A record that cannot be written ends it.
struct Strict;

impl ClientContext for Strict {}

impl ProducerContext for Strict {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            panic!("a record was not written: {error}");
        }
    }
}
