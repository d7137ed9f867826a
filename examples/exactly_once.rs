//! Consumes, transforms and produces, each record exactly once: what is written and how far has been read are committed
//! together. Run it as often as you like, also several at a time with ids of their own:
//!
//! `cargo run --example exactly_once -- localhost:9092 alerts shouted my-id`

use std::collections::BTreeMap;
use std::error::Error;

use hop::kafka::{Client, CommittedOffset, Record, StartOffset, TopicPartition, TransactionError};

/// As many records as are committed at a time.
const AT_A_TIME: usize = 100;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a program says what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, from, to, id] = &arguments[..] else {
        return Err("Usage: exactly_once BOOTSTRAP FROM-TOPIC TO-TOPIC TRANSACTIONAL-ID".into());
    };
    let client = Client::builder().bootstrap(bootstrap).connect().await?;
    // What was read is committed by the transactions alone.
    let consumer = client.consumer().topics([from.as_str()]).group("exactly-once").auto_commit(None);
    let mut consumer = consumer.start_at(StartOffset::Earliest).build().await?;
    let mut producer = client.producer().build_transactional(id.as_str()).await?;

    // The first is waited for, those behind it are taken as they come.
    while let Some(first) = consumer.next().await? {
        let mut transaction = producer.begin().await?;
        let mut read = BTreeMap::new();
        let (mut next, mut count) = (Some(first), 0);
        while let Some(record) = next.take() {
            count += 1;
            let value = record.value.as_deref().unwrap_or_default().to_ascii_uppercase();
            let shouted = Record::new(to.as_str()).partition(record.partition).value(value);
            // Whether it is acknowledged, `commit` will tell.
            drop(transaction.send(shouted).await?);
            let partition = TopicPartition::new(record.topic, record.partition);
            read.insert(partition, CommittedOffset::new(record.offset + 1));
            if count < AT_A_TIME {
                next = tokio::time::timeout(std::time::Duration::from_millis(10), consumer.next())
                    .await
                    .unwrap_or(Ok(None))?;
            }
        }
        let offsets: Vec<_> = read.into_iter().collect();
        if let Some(group) = consumer.group_metadata() {
            transaction.send_offsets(&group, &offsets).await?;
        }
        match transaction.commit().await {
            Ok(()) => {}
            // Not all could be written, and nothing of it was: it is read again.
            Err(TransactionError::Aborted(reason)) => {
                eprintln!("{reason}; trying again");
                for (partition, committed) in consumer.committed(&consumer.assignment()).await? {
                    let offset = committed.map_or(0, |committed| committed.offset);
                    consumer.seek(&partition, StartOffset::Offset(offset))?;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
