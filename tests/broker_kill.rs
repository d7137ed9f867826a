//! A broker with a directory is killed over and over while messages are written to it: each that was acknowledged is
//! there, none twice, and all in order, though the producer has to send many again.

#![cfg(all(feature = "broker", feature = "cli", unix))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what is wrong by panicking")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hop::kafka::{Client, Record, StartOffset};
use tokio::sync::Notify;

const ROUNDS: u64 = 1000;
/// Written ahead of what is acknowledged.
const AHEAD: usize = 200;
const PARTITIONS: u64 = 3;

/// Starts the broker, and waits until it is ready.
fn start(data: &Path, address: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hop"))
        .args(["broker", "--listen", address, "--topic", &format!("numbers:{PARTITIONS}"), "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on kafka://").expect("the broker starts").to_owned();
    (child, address)
}

async fn connect(address: &str) -> Client {
    Client::builder().bootstrap(address).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_message_is_lost_or_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, address) = start(directory.path(), "127.0.0.1:0");
    let client = connect(&address).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let progress = Arc::new(Notify::new());
    let stop = Arc::new(Notify::new());

    let writer = {
        let (acknowledged, progress, stop) =
            (Arc::clone(&acknowledged), Arc::clone(&progress), Arc::clone(&stop));
        let producer = client.producer().delivery_timeout(Duration::from_mins(10)).build().unwrap();
        tokio::spawn(async move {
            let mut waiting = VecDeque::new();
            let mut stopped = std::pin::pin!(stop.notified());
            let mut going_on = true;
            for number in 0_u64.. {
                tokio::select! {
                    biased;
                    () = &mut stopped, if going_on => going_on = false,
                    () = std::future::ready(()) => {}
                }
                if going_on {
                    let partition = i32::try_from(number % PARTITIONS).unwrap();
                    let record = Record::new("numbers").partition(partition).value(number.to_string());
                    waiting.push_back(producer.send(record).await.unwrap());
                }
                if waiting.len() >= AHEAD || !going_on {
                    let Some(delivery) = waiting.pop_front() else { return number };
                    delivery.await.unwrap();
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    progress.notify_one();
                }
            }
            0
        })
    };

    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..ROUNDS {
        // Killed at any moment of its work: what is in flight then differs each time.
        let target = acknowledged.load(Ordering::Relaxed) + random.u64(1..100);
        while acknowledged.load(Ordering::Relaxed) < target {
            progress.notified().await;
        }
        broker.kill().unwrap();
        broker.wait().unwrap();
        broker = start(directory.path(), &address).0;
        assert!(!writer.is_finished(), "round {round}");
    }
    stop.notify_one();
    writer.await.unwrap();
    let written = acknowledged.load(Ordering::Relaxed);

    // Everything that was accepted was acknowledged, so the log holds each number once, in order.
    let client = connect(&address).await;
    let mut consumer =
        client.consumer().topics(["numbers"]).start_at(StartOffset::Earliest).build().await.unwrap();
    let mut next: Vec<u64> = (0..PARTITIONS).collect();
    let mut read = 0;
    while read < written {
        let batch = consumer.next_batch().await.unwrap().expect("more");
        let partition = usize::try_from(batch.partition()).unwrap();
        for record in batch.records() {
            let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
            let expected = next.get_mut(partition).unwrap();
            assert_eq!(value, expected.to_string(), "partition {partition}");
            *expected += PARTITIONS;
            read += 1;
        }
    }
    assert_eq!(read, written);
    broker.kill().unwrap();
    broker.wait().unwrap();
    println!("{ROUNDS} rounds, {written} messages");
}
