//! What all readers have in common: what to read, and what was seen of it.
//!
//! `consume CLIENT BROKER TOPIC PARTITIONS RECORDS` reads a topic from its beginning with one of the clients, to be
//! measured from outside: exactly so many records. It looks at the key and the value of each, prints how many records and
//! bytes of keys and values it saw, and ends. With a sixth argument values begin with the time at which they were sent, as
//! `pace` writes them: it prints also the median, the 99th percentile and the greatest of the microseconds that they took,
//! without so many records at the beginning.
//!
//! All clients have their default settings, but for what is stated in their file: they read without a group, or with one
//! that they neither join nor commit for. Those that are asynchronous run on one thread, as `hop` does.

mod clock;

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;

pub(crate) type Outcome = Result<Seen, Box<dyn Error>>;

/// What to read.
pub(crate) struct Task {
    pub(crate) broker: String,
    pub(crate) topic: String,
    #[allow(dead_code, reason = "hop finds out by itself")]
    pub(crate) partitions: i32,
    records: u64,
    /// After how many records latencies count; `None` where values do not begin with a time.
    latencies_after: Option<u64>,
}

impl Task {
    #[allow(dead_code, reason = "only librdkafka asks")]
    pub(crate) fn looks_at_latencies(&self) -> bool {
        self.latencies_after.is_some()
    }
}

/// What was read.
pub(crate) struct Seen {
    wanted: u64,
    records: u64,
    bytes: u64,
    /// So that nothing of a record can be left out.
    sum: u64,
    latencies_after: Option<u64>,
    /// In nanoseconds.
    latencies: Vec<u64>,
}

impl Seen {
    pub(crate) fn nothing_of(task: &Task) -> Self {
        Self {
            wanted: task.records,
            records: 0,
            bytes: 0,
            sum: 0,
            latencies_after: task.latencies_after,
            latencies: Vec::new(),
        }
    }

    /// A record; says whether it was the last.
    #[inline]
    pub(crate) fn see(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        for part in [key, value].into_iter().flatten() {
            self.bytes += part.len() as u64;
            self.sum += u64::from(part.last().copied().unwrap_or_default());
        }
        self.records += 1;
        if let Some(after) = self.latencies_after {
            let sent = value.and_then(|value| value.first_chunk()).expect("a time");
            if self.records > after {
                self.latencies.push(clock::now().saturating_sub(u64::from_le_bytes(*sent)));
            }
        }
        self.records == self.wanted
    }

    fn print(mut self) {
        std::hint::black_box(self.sum);
        print!("{} {}", self.records, self.bytes);
        self.latencies.sort_unstable();
        if let Some(last) = self.latencies.len().checked_sub(1) {
            for at in [last / 2, last * 99 / 100, last] {
                print!(" {:.1}", self.latencies[at] as f64 / 1e3);
            }
        }
        println!();
    }
}

/// Reads with the client that the arguments name.
pub(crate) fn main(read: impl FnOnce(&str, &Task) -> Outcome) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client, broker, topic, partitions, records, optional @ ..] = &arguments[..] else {
        eprintln!("arguments: CLIENT BROKER TOPIC PARTITIONS RECORDS [LATENCIES_AFTER]");
        return ExitCode::from(2);
    };
    let task = Task {
        broker: broker.clone(),
        topic: topic.clone(),
        partitions: partitions.parse().expect("a number of partitions"),
        records: records.parse().expect("a number of records"),
        latencies_after: optional.first().map(|after| after.parse().expect("a number of records")),
    };
    match read(client, &task) {
        Ok(seen) => {
            seen.print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{client}: {error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn on_one_thread(reading: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(reading)
}
