//! What the benchmarks ask of a broker between two measurements, in milliseconds: Kafka's own tools take seconds of a
//! processor to start.
//!
//! - `topic BROKER create NAME PARTITIONS` makes a topic and waits until the leaders of all of it answer,
//! - `topic BROKER count NAME PARTITIONS` prints how many records were written to it, by its offsets,
//! - `topic BROKER delete NAME` removes it,
//! - `topic BROKER groups` waits until groups have a coordinator: a broker makes the topic of their offsets when the first
//!   of them asks, and clients that do not wait for it fail.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [broker, "create", name, partitions] => create(broker, name, number(partitions)),
        [broker, "count", name, partitions] => count(broker, name, number(partitions)),
        [broker, "delete", name] => delete(broker, name),
        [broker, "groups"] => groups(broker),
        _ => {
            eprintln!("usage: topic BROKER create|count NAME PARTITIONS | delete NAME | groups");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("topic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> i32 {
    text.parse().expect("a number of partitions")
}

fn create(broker: &str, name: &str, partitions: i32) -> Result<(), Box<dyn Error>> {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
        // Its files go soon after it: there is another one right away.
        .set("file.delete.delay.ms", "1000");
    let admin = admin(broker)?;
    for outcome in wait(admin.create_topics([&topic], &options()))? {
        outcome.map_err(|(name, code)| format!("cannot create {name}: {code}"))?;
    }
    // A cluster names leaders before they know of it.
    until("the topic's leaders answer", || {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE)?;
        let known = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let led = known.filter(|partition| partition.leader() >= 0).count() as i32;
        let answers = |partition| admin.inner().fetch_watermarks(name, partition, PATIENCE).is_ok();
        Ok(led == partitions && (0..partitions).all(answers))
    })
}

fn count(broker: &str, name: &str, partitions: i32) -> Result<(), Box<dyn Error>> {
    let admin = admin(broker)?;
    let mut records = 0;
    for partition in 0..partitions {
        let (first, next) = admin.inner().fetch_watermarks(name, partition, PATIENCE)?;
        records += next - first;
    }
    println!("{records}");
    Ok(())
}

fn delete(broker: &str, name: &str) -> Result<(), Box<dyn Error>> {
    for outcome in wait(admin(broker)?.delete_topics(&[name], &options()))? {
        outcome.map_err(|(name, code)| format!("cannot delete {name}: {code}"))?;
    }
    Ok(())
}

fn groups(broker: &str) -> Result<(), Box<dyn Error>> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker).set("group.id", "bench").create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset("bench", 0, Offset::Invalid)?;
    until("groups have a coordinator", || {
        Ok(consumer.committed_offsets(partitions.clone(), Duration::from_secs(5)).is_ok())
    })
}

fn admin(broker: &str) -> Result<AdminClient<DefaultClientContext>, Box<dyn Error>> {
    Ok(ClientConfig::new().set("bootstrap.servers", broker).create()?)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

fn wait<F: Future>(asked: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(asked)
}

fn until(what: &str, holds: impl Fn() -> Result<bool, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("gave up waiting until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
