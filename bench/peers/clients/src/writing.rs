//! What all writers have in common: what to write, when, and how long it took until it was acknowledged.
//!
//! `produce CLIENT BROKER TOPIC PARTITIONS RECORDS CODEC VALUES` writes so many records to a topic with one of the clients,
//! to be measured from outside: as fast as the client takes them, until all are acknowledged. VALUES names a file with
//! a value on each line; they are written in turn, without keys, with the headers that hop gives to alerts. It prints how
//! many records and bytes of values were written, and how many seconds it took from the acknowledgement of the first, which
//! is written by itself, to the last: to have connected and to be known to the broker takes librdkafka half a second.
//!
//! With two more arguments, RATE and NOT_COUNTED, records are written at a steady rate: those of a millisecond are due at
//! its beginning, whatever became of those before. Instead of seconds it prints the median, the 99th and the 99.9th percentile, and the
//! greatest of the microseconds from when a record was due until its acknowledgement was seen, without so many records at
//! the beginning.
//!
//! All clients have acknowledgements by all replicas and are idempotent where they can be; else they have their default
//! settings, but for what is stated in their file. Those that are asynchronous run on one thread, as `hop` does.

mod clock;
mod ids;

use std::error::Error;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) use clock::now;

pub(crate) type Outcome = Result<Written, Box<dyn Error>>;

const NANOSECONDS: u64 = 1_000_000_000;
const TICK: u64 = NANOSECONDS / 1000;

/// What to write.
pub(crate) struct Task {
    pub(crate) broker: String,
    pub(crate) topic: String,
    #[allow(dead_code, reason = "most find out by themselves")]
    pub(crate) partitions: usize,
    pub(crate) records: usize,
    pub(crate) codec: String,
    /// `None` is as fast as it goes.
    pub(crate) pace: Option<Pace>,
    alerts: Vec<Alert>,
}

/// A record.
#[derive(Clone)]
pub(crate) struct Alert {
    pub(crate) value: Bytes,
    pub(crate) id: Bytes,
}

impl Alert {
    /// Those of every message of hop's.
    pub(crate) fn headers(&self) -> [(&'static str, Bytes); 3] {
        [
            ("_id", self.id.clone()),
            ("_sender", Bytes::from_static(b"observer-1234")),
            ("_format", Bytes::from_static(b"json")),
        ]
    }
}

impl Task {
    pub(crate) fn alert(&self, number: usize) -> &Alert {
        &self.alerts[number % self.alerts.len()]
    }

    /// Of nothing so far.
    pub(crate) fn latencies(&self) -> Latencies {
        Latencies {
            not_counted: self.pace.as_ref().map_or(0, |pace| pace.not_counted),
            seen: 0,
            nanoseconds: Vec::new(),
        }
    }

    fn print(&self, written: Written) {
        let bytes: usize = (0..self.records).map(|number| self.alert(number).value.len()).sum();
        print!("{} {bytes}", self.records);
        match written {
            Written::Fast { seconds } => print!(" {seconds:.6}"),
            Written::Steadily(latencies) => latencies.print(),
        }
        println!();
    }
}

/// All is acknowledged.
pub(crate) enum Written {
    Fast { seconds: f64 },
    Steadily(Latencies),
}

impl Written {
    /// Now the last is acknowledged, and then the first was.
    pub(crate) fn since(first: u64) -> Self {
        Self::Fast { seconds: (now() - first) as f64 / NANOSECONDS as f64 }
    }
}

/// When to write.
pub(crate) struct Pace {
    rate: usize,
    not_counted: usize,
}

impl Pace {
    /// The records that are due at the beginning of this millisecond.
    pub(crate) fn due(&self, millisecond: usize, records: usize) -> Range<usize> {
        let before = |millisecond: usize| (millisecond * self.rate / 1000).min(records);
        before(millisecond)..before(millisecond + 1)
    }
}

/// When the millisecond begins, for what begins at that time.
pub(crate) fn beginning(started: u64, millisecond: usize) -> u64 {
    started + millisecond as u64 * TICK
}

/// How long it took until records were acknowledged.
pub(crate) struct Latencies {
    not_counted: usize,
    seen: usize,
    nanoseconds: Vec<u64>,
}

impl Latencies {
    /// A record is acknowledged that was due at this time.
    pub(crate) fn acknowledged(&mut self, due: u64) {
        self.seen += 1;
        if self.seen > self.not_counted {
            self.nanoseconds.push(now().saturating_sub(due));
        }
    }

    fn print(mut self) {
        self.nanoseconds.sort_unstable();
        if let Some(last) = self.nanoseconds.len().checked_sub(1) {
            for at in [last / 2, last * 99 / 100, last * 999 / 1000, last] {
                print!(" {:.1}", self.nanoseconds[at] as f64 / 1e3);
            }
        }
    }
}

/// Writes with the client that the arguments name.
pub(crate) fn main(write: impl FnOnce(&str, &Task) -> Outcome) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client, broker, topic, partitions, records, codec, values, optional @ ..] = &arguments[..] else {
        eprintln!("arguments: CLIENT BROKER TOPIC PARTITIONS RECORDS CODEC VALUES [RATE NOT_COUNTED]");
        return ExitCode::from(2);
    };
    let values = Bytes::from(std::fs::read(values).expect("a file of values"));
    let alerts = values.strip_suffix(b"\n").expect("lines").split(|byte| *byte == b'\n').enumerate();
    let task = Task {
        broker: broker.clone(),
        topic: topic.clone(),
        partitions: partitions.parse().expect("a number of partitions"),
        records: records.parse().expect("a number of records"),
        codec: codec.clone(),
        pace: match optional {
            [rate, not_counted] => Some(Pace {
                rate: rate.parse().expect("a rate"),
                not_counted: not_counted.parse().expect("a number of records"),
            }),
            _ => None,
        },
        alerts: alerts
            .map(|(number, value)| Alert {
                value: values.slice_ref(value),
                id: Bytes::copy_from_slice(&ids::id(number)),
            })
            .collect(),
    };
    match write(client, &task) {
        Ok(written) => {
            task.print(written);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{client}: {error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn on_one_thread(writing: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(writing)
}

/// Hands records in when they are due, and sees when each is acknowledged: `send` gives what becomes ready then.
///
/// One task looks at all those that are outstanding: a task for each would measure tasks.
pub(crate) async fn at_a_steady_rate<D, A, E>(
    task: &Task,
    pace: &Pace,
    send: impl AsyncFn(usize) -> Result<D, E>,
) -> Outcome
where
    D: Future<Output = Result<A, E>> + Unpin,
    E: Error + 'static,
{
    let mut milliseconds = milliseconds();
    let this_task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let mut outstanding = Outstanding::new(this_task, task.latencies());
    let mut sent = 0;
    for millisecond in 0.. {
        if sent == task.records {
            break;
        }
        let due = poll_fn(|cx| {
            outstanding.look()?;
            milliseconds.poll_recv(cx).map(|begun| begun.ok_or_else(|| Box::<dyn Error>::from("time ends")))
        })
        .await?;
        for number in pace.due(millisecond, task.records) {
            let mut sending = pin!(send(number));
            let delivery = poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Ready(taken) => Poll::Ready(taken.map_err(Box::<dyn Error>::from)),
                // It waits for acknowledgements.
                Poll::Pending => {
                    outstanding.look().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
                }
            })
            .await?;
            outstanding.add(due, delivery)?;
            sent += 1;
        }
    }
    poll_fn(|_| match outstanding.look() {
        Ok(()) if !outstanding.deliveries.is_empty() => Poll::Pending,
        done => Poll::Ready(done),
    })
    .await?;
    Ok(Written::Steadily(outstanding.latencies))
}

/// Tells when each millisecond begins, once it has begun. By a thread: tokio's own timers end up to a millisecond late.
fn milliseconds() -> UnboundedReceiver<u64> {
    let (begun, milliseconds) = unbounded_channel();
    let started = now();
    std::thread::spawn(move || {
        for millisecond in 0.. {
            let beginning = beginning(started, millisecond);
            std::thread::sleep(Duration::from_nanos(beginning.saturating_sub(now())));
            if begun.send(beginning).is_err() {
                break;
            }
        }
    });
    milliseconds
}

/// What is not acknowledged, with the times at which it was due.
struct Outstanding<D> {
    deliveries: Vec<(u64, D)>,
    latencies: Latencies,
    bell: Arc<Bell>,
    rings: Waker,
}

impl<D, A, E> Outstanding<D>
where
    D: Future<Output = Result<A, E>> + Unpin,
    E: Error + 'static,
{
    fn new(task: Waker, latencies: Latencies) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), task });
        Self { deliveries: Vec::new(), latencies, rings: Waker::from(Arc::clone(&bell)), bell }
    }

    fn add(&mut self, due: u64, mut delivery: D) -> Result<(), Box<dyn Error>> {
        match Pin::new(&mut delivery).poll(&mut Context::from_waker(&self.rings)) {
            Poll::Pending => self.deliveries.push((due, delivery)),
            Poll::Ready(acknowledged) => {
                acknowledged?;
                self.latencies.acknowledged(due);
            }
        }
        Ok(())
    }

    /// Takes note of those that have been acknowledged since the last look.
    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        // Where none has, there is nothing to look at: there may be very many.
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let mut failure = None;
        let mut cx = Context::from_waker(&self.rings);
        self.deliveries.retain_mut(|(due, delivery)| match Pin::new(delivery).poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(_)) => {
                self.latencies.acknowledged(*due);
                false
            }
            Poll::Ready(Err(error)) => {
                failure = Some(error);
                false
            }
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Acknowledgements ring it: all those of a batch wake the task once.
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
