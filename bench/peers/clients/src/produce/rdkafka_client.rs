//! librdkafka, the newest that the `rdkafka` crate brings.
//!
//! Set are acknowledgements by all replicas, idempotence and 5 ms of linger, so that it does as hop does. Its defaults are
//! batches of up to 1 MB and 10,000 records, and queues of up to 100,000 records and 1 GB.
//!
//! As fast as it goes: `BaseProducer`, whose user looks for acknowledgements himself. At a steady rate a thread does, so
//! that they are seen at once: `ThreadedProducer`.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::writing::{Latencies, Outcome, Pace, Task, Written, beginning, now};

const PATIENCE: Duration = Duration::from_secs(300);
/// Acknowledgements are looked for after so many records.
const RECORDS_BETWEEN_LOOKS: usize = 100;

pub(crate) fn write(task: &Task) -> Outcome {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &task.broker)
        .set("compression.type", &task.codec)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5");
    let seen = Arc::new(Seen {
        records: AtomicUsize::new(0),
        failure: Mutex::new(None),
        latencies: Mutex::new(task.latencies()),
    });
    let acknowledgements = Acknowledgements(Arc::clone(&seen));
    let fast = match &task.pace {
        None => Some(write_fast(task, settings.create_with_context(acknowledgements)?)?),
        Some(pace) => {
            write_steadily(task, pace, settings.create_with_context(acknowledgements)?)?;
            None
        }
    };
    let Seen { records, failure, latencies } = Arc::into_inner(seen).ok_or("it does not end")?;
    match failure.into_inner()? {
        Some(failure) => Err(failure.into()),
        None if records.into_inner() < task.records => Err("not all was acknowledged".into()),
        None => Ok(fast.unwrap_or(Written::Steadily(latencies.into_inner()?))),
    }
}

fn write_fast(task: &Task, producer: BaseProducer<Acknowledgements>) -> Outcome {
    producer.send(record(task, 0, 0)).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    let first = now();
    for number in 1..task.records {
        let mut record = record(task, number, 0);
        while let Err((error, refused)) = producer.send(record) {
            only_full(error)?;
            record = refused;
            producer.poll(Duration::from_millis(1));
        }
        if number % RECORDS_BETWEEN_LOOKS == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE)?;
    Ok(Written::since(first))
}

fn write_steadily(
    task: &Task,
    pace: &Pace,
    producer: ThreadedProducer<Acknowledgements>,
) -> Result<(), Box<dyn Error>> {
    let started = now();
    let mut sent = 0;
    for millisecond in 0.. {
        if sent == task.records {
            break;
        }
        let due = beginning(started, millisecond);
        std::thread::sleep(Duration::from_nanos(due.saturating_sub(now())));
        for number in pace.due(millisecond, task.records) {
            let mut record = record(task, number, due);
            while let Err((error, refused)) = producer.send(record) {
                only_full(error)?;
                record = refused;
                std::thread::sleep(Duration::from_micros(100));
            }
            sent += 1;
        }
    }
    Ok(producer.flush(PATIENCE)?)
}

fn only_full(error: KafkaError) -> Result<(), KafkaError> {
    if error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) { Ok(()) } else { Err(error) }
}

fn record(task: &Task, number: usize, due: u64) -> BaseRecord<'_, (), [u8], usize> {
    let alert = task.alert(number);
    let headers =
        alert.headers().into_iter().fold(OwnedHeaders::new_with_capacity(3), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(&value[..]) })
        });
    BaseRecord::with_opaque_to(&task.topic, due as usize).payload(&alert.value[..]).headers(headers)
}

struct Acknowledgements(Arc<Seen>);

struct Seen {
    records: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    latencies: Mutex<Latencies>,
}

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    /// When the record was due; 0 where it was not due at any time.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, due: usize) {
        let Seen { records, failure, latencies } = &*self.0;
        match result {
            Ok(_) => {
                records.fetch_add(1, Ordering::Relaxed);
                if due > 0 {
                    latencies.lock().expect("nobody panics").acknowledged(due as u64);
                }
            }
            Err((error, _)) => *failure.lock().expect("nobody panics") = Some(error.clone()),
        }
    }
}
