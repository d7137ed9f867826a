//! A process that writes with a journal is killed over and over: every message that it had accepted reaches the log.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hop::Stream;
use hop::broker::Broker;
use hop::kafka::{Client, Consumer, Record, StartOffset};
use hop::stream::{Fsync, Outgoing};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

const ROUNDS: u64 = 1000;
const END: &[u8] = b"end";
/// Small, so that it is full, emptied and compacted now and then.
const JOURNAL_BYTES: u64 = 4 * 1024 * 1024;

/// Writes numbers from FIRST on until it is killed, and says each once it is accepted; without FIRST, it only sends what
/// is left over.
#[tokio::test]
#[ignore = "it is the process that is killed"]
async fn the_process_that_is_killed() {
    let variable = |name| std::env::var(name).unwrap();
    let out = Stream::anonymous()
        .robust_writer(&variable("URL"), variable("JOURNAL"))
        .max_journal_bytes(JOURNAL_BYTES)
        .fsync(Fsync::Never)
        .open()
        .await
        .unwrap();
    let mut stdout = std::io::stdout();
    // Behind what the test's own runner has written.
    writeln!(stdout, "\nopen").unwrap();
    let Ok(first) = std::env::var("FIRST") else { return out.close().await.unwrap() };
    for number in first.parse::<u64>().unwrap().. {
        out.write_raw(Outgoing::raw(payload(number))).await.unwrap();
        writeln!(stdout, "accepted {number}").unwrap();
        // For the task that sends; there is one thread.
        tokio::task::yield_now().await;
    }
}

/// Of all sizes, and each a different one.
fn payload(number: u64) -> String {
    let length = if number.is_multiple_of(50) { 100_000 } else { usize::try_from(number % 700).unwrap() };
    format!("{number} {}", "x".repeat(length))
}

/// The number of a message that is as it was written.
fn number_in(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap();
    let number = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(text, payload(number));
    number
}

fn start(url: &str, journal: &Path, first: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env("URL", url)
        .env("JOURNAL", journal)
        .envs(first.map(|first| ("FIRST", first.to_string())))
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

#[derive(Default)]
struct Arrived {
    numbers: Mutex<BTreeSet<u64>>,
    count: AtomicU64,
    progress: Notify,
}

/// Reads until the end is there.
async fn read(mut consumer: Consumer, arrived: &Arrived) {
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        for record in batch.records() {
            let value = record.unwrap().value.unwrap();
            if value == END {
                return;
            }
            arrived.numbers.lock().unwrap().insert(number_in(value));
            arrived.count.fetch_add(1, Ordering::Relaxed);
        }
        arrived.progress.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_message_reaches_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("publisher.journal");
    let broker = Broker::builder().topic("numbers", 1).memory_limit(4 << 30).start().await.unwrap();
    let url = format!("kafka://{}/numbers", broker.address());
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let consumer =
        client.consumer().topics(["numbers"]).start_at(StartOffset::Earliest).build().await.unwrap();
    let arrived = Arc::new(Arrived::default());
    let reader = tokio::spawn({
        let arrived = Arc::clone(&arrived);
        async move { read(consumer, &arrived).await }
    });

    let mut random = fastrand::Rng::with_seed(7);
    let mut accepted = BTreeSet::new();
    let mut left_over = 0_u64;
    for round in 0..ROUNDS {
        let first = accepted.last().map_or(0, |last| last + 1);
        let mut child = start(&url, &journal, Some(first));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
        // Killed while it starts, while it writes, or while it is being answered.
        let (lines_to_read, to_arrive) = match random.u8(..8) {
            0 => (0, 0),
            1..=3 => (random.u64(1..200), u64::MAX),
            _ => (u64::MAX, arrived.count.load(Ordering::Relaxed) + random.u64(1..200)),
        };
        let mut read = 0;
        while read < lines_to_read && arrived.count.load(Ordering::Relaxed) < to_arrive {
            tokio::select! {
                line = lines.next_segment() => {
                    let line = line.unwrap();
                    assert!(line.is_some(), "round {round}: it ended by itself");
                    accepted.extend(number_of(&line.unwrap()));
                    read += 1;
                }
                () = arrived.progress.notified() => {}
            }
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        // What it had said before it died.
        while let Some(line) = lines.next_segment().await.unwrap() {
            accepted.extend(number_of(&line));
        }
        left_over += u64::from(std::fs::metadata(&journal).is_ok_and(|journal| journal.len() > 0));
    }

    let mut last = start(&url, &journal, None);
    assert!(last.wait().await.unwrap().success());
    assert_eq!(std::fs::metadata(&journal).unwrap().len(), 0);
    client.producer().build().unwrap().send(Record::new("numbers").value(END)).await.unwrap().await.unwrap();
    reader.await.unwrap();
    let numbers = arrived.numbers.lock().unwrap();
    let lost: Vec<&u64> = accepted.difference(&numbers).collect();
    assert!(lost.is_empty(), "{lost:?}");
    // Else there was nothing to save.
    assert!(left_over > ROUNDS / 2, "{left_over}");
    let (accepted, twice) = (accepted.len(), arrived.count.load(Ordering::Relaxed) - numbers.len() as u64);
    println!("{ROUNDS} rounds, {accepted} messages, {twice} of them twice");
}

/// The number in a line that is whole, as the last one may not be.
fn number_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.strip_prefix("accepted ")?.parse().ok()
}
