//! A member of a group that keeps a journal on standard output: what it was told, what it handled, what it committed, a
//! line of JSON each, written before the next thing is done, so that a kill leaves a true account. For
//! `interop/test_churn.py`. It ends in good order when it is told to by SIGTERM.
//!
//! Options: `--bootstrap`, `--topic`, `--group`, `--client-id`, `--protocol classic|consumer`, `--assignors NAME,NAME`,
//! `--instance-id`, `--session-ms`, `--heartbeat-ms`, and `--commits by-hand|by-itself|record-by-record`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hop::kafka::{
    Assignor, Client, Consumer, ConsumerEvent, FetchedBatch, Group, GroupProtocol, StartOffset,
    TopicPartition,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How often what is marked is committed, for those who do not commit by hand.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// Handling takes up to this long, so that a kill may come between it and the commit.
const LONGEST_HANDLING_MS: u64 = 20;

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    let mut terminate = signal(SignalKind::terminate())?;
    note("started", "")?;
    let options = Options::read(std::env::args().skip(1))?;
    let client = Client::builder()
        .bootstrap(options.required("bootstrap")?)
        .client_id(options.required("client-id")?)
        .connect()
        .await?;
    let commits = options.required("commits")?;
    let by_hand = commits == "by-hand";
    let mut consumer = client
        .consumer()
        .topics([options.required("topic")?])
        .group(options.group()?)
        .start_at(StartOffset::Earliest)
        .auto_mark(!by_hand)
        .auto_commit((!by_hand).then_some(COMMIT_INTERVAL))
        .build()
        .await?;
    let stopper = consumer.stopper();
    tokio::spawn(async move {
        terminate.recv().await;
        stopper.stop();
    });
    let ended = match commits {
        "by-hand" => commit_by_hand(&mut consumer).await,
        "by-itself" => commit_by_itself(&mut consumer).await,
        "record-by-record" => record_by_record(&mut consumer).await,
        other => Err(format!("nobody commits '{other}'").into()),
    };
    if let Err(error) = ended {
        note("failed", &format!(r#","error":{:?}"#, error.to_string()))?;
        return Err(error);
    }
    consumer.close().await?;
    note("left", "")
}

/// Marks each batch once it is handled and commits at once, in turn waiting for it and not.
async fn commit_by_hand(consumer: &mut Consumer) -> Outcome {
    let mut waits = false;
    while let Some(event) = consumer.next_event().await? {
        let revoking = matches!(event, ConsumerEvent::Revoking(_));
        if let ConsumerEvent::Records(batch) = &event {
            handle(batch).await?;
            consumer.mark(batch.topic_partition(), batch.next_offset());
        } else {
            note_event(&event)?;
        }
        waits = !waits;
        if waits || revoking {
            note_commit(consumer.commit().await)?;
        } else {
            consumer.commit_soon()?;
        }
    }
    note_commit(consumer.commit().await)
}

/// Leaves marks and commits to the consumer.
async fn commit_by_itself(consumer: &mut Consumer) -> Outcome {
    while let Some(event) = consumer.next_event().await? {
        match &event {
            ConsumerEvent::Records(batch) => handle(batch).await?,
            other => note_event(other)?,
        }
    }
    Ok(())
}

/// The same with one record at a time, and without a word of what the group does.
async fn record_by_record(consumer: &mut Consumer) -> Outcome {
    while let Some(record) = consumer.next().await? {
        note_handled(record.partition, record.offset, record.offset)?;
    }
    Ok(())
}

/// Writes down which records there were, as ranges without gaps.
async fn handle(batch: &FetchedBatch) -> Outcome {
    let mut range: Option<(i64, i64)> = None;
    for record in batch.records() {
        let offset = record?.offset;
        range = match range {
            Some((first, last)) if offset == last + 1 => Some((first, offset)),
            Some((first, last)) => {
                note_handled(batch.partition(), first, last)?;
                Some((offset, offset))
            }
            None => Some((offset, offset)),
        };
    }
    if let Some((first, last)) = range {
        note_handled(batch.partition(), first, last)?;
    }
    sleep(Duration::from_millis(fastrand::u64(..LONGEST_HANDLING_MS))).await;
    Ok(())
}

fn note_handled(partition: i32, first: i64, last: i64) -> Outcome {
    note("handled", &format!(r#","partition":{partition},"first":{first},"last":{last}"#))
}

fn note_commit(committed: Result<(), hop::kafka::Error>) -> Outcome {
    match committed {
        Ok(()) => Ok(()),
        Err(error) => note("refused", &format!(r#","error":{:?}"#, error.to_string())),
    }
}

fn note_event(event: &ConsumerEvent) -> Outcome {
    let numbers = |partitions: &[TopicPartition]| {
        let numbers: Vec<i32> = partitions.iter().map(|partition| partition.partition).collect();
        format!(r#","partitions":{numbers:?}"#)
    };
    match event {
        ConsumerEvent::Assigned(partitions) => note("assigned", &numbers(partitions)),
        ConsumerEvent::Revoking(partitions) => note("revoking", &numbers(partitions)),
        ConsumerEvent::Lost(partitions) => note("lost", &numbers(partitions)),
        other => note("other", &format!(r#","what":{:?}"#, format!("{other:?}"))),
    }
}

/// Writes a line, with the milliseconds since 1970, and waits until the system has it.
fn note(event: &str, more: &str) -> Outcome {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut output = std::io::stdout().lock();
    writeln!(output, r#"{{"at":{at},"event":"{event}"{more}}}"#)?;
    output.flush()?;
    Ok(())
}

/// What stands on the command line: names and values in turn.
struct Options(BTreeMap<String, String>);

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = BTreeMap::new();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
            options.insert(name.trim_start_matches("--").to_owned(), value);
        }
        Ok(Self(options))
    }

    fn required(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        Ok(self.0.get(name).ok_or_else(|| format!("--{name} is missing"))?)
    }

    fn group(&self) -> Result<Group, Box<dyn Error>> {
        let millis = |name| Ok::<_, Box<dyn Error>>(Duration::from_millis(self.required(name)?.parse()?));
        let mut group = Group::new(self.required("group")?)
            .protocol(match self.required("protocol")? {
                "classic" => GroupProtocol::Classic,
                "consumer" => GroupProtocol::Consumer,
                other => return Err(format!("there is no protocol '{other}'").into()),
            })
            .session_timeout(millis("session-ms")?)
            .heartbeat_interval(millis("heartbeat-ms")?);
        if let Some(names) = self.0.get("assignors") {
            group = group.assignors(names.split(',').map(assignor).collect::<Result<Vec<_>, _>>()?);
        }
        if let Some(name) = self.0.get("instance-id") {
            group = group.instance_id(name);
        }
        Ok(group)
    }
}

fn assignor(name: &str) -> Result<Assignor, String> {
    match name {
        "range" => Ok(Assignor::Range),
        "roundrobin" => Ok(Assignor::RoundRobin),
        "sticky" => Ok(Assignor::Sticky),
        "cooperative-sticky" => Ok(Assignor::CooperativeSticky),
        other => Err(format!("there is no assignor '{other}'")),
    }
}
