//! `--health`: three questions over HTTP for whoever watches over a service: `/live`, `/ready` and `/metrics`.
//!
//! Tasks of their own talk to whoever asks; what they ask reaches the reading over a channel, and is answered between two
//! messages, or while the next one or a command is waited for. So nothing is shared but what was counted, and reading is
//! held up by nobody. `request` has what is understood, `metrics` how numbers are written.

mod metrics;
mod request;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(super) use self::metrics::Tally;
use self::metrics::{Snapshot, render};
use self::request::{Question, Refusal, Request, parse};
use crate::cli::arguments::ListenAddress;
use crate::stream::Consumer;

pub(in crate::cli) use self::request::holds_together;

/// How much of a request is read.
const MOST_BYTES: usize = 8 * 1024;
/// How long it may take until it was read and the answer taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who comes as one more waits.
const MOST_CONNECTIONS: usize = 16;
/// Where there is always more to print, others get a turn after so many messages.
const TURN: u32 = 256;
/// Questions are answered no more often: what is waited for begins anew each time, and must come to its end.
const INTERVAL: Duration = Duration::from_millis(200);
/// The system may have no socket to give for a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers while it lives.
#[derive(Debug)]
pub(super) struct Health {
    address: String,
    asked: mpsc::Receiver<Asked>,
    listening: JoinHandle<()>,
    started: SystemTime,
    tally: Rc<RefCell<Tally>>,
    /// Messages since others had a turn.
    since: u32,
    /// When questions are listened to again.
    not_before: Instant,
}

/// A question to the reading.
#[derive(Debug)]
pub(super) struct Asked {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

/// What is sent back.
#[derive(Debug)]
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

/// Nobody can ask.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for --health: {source}; name an address of this machine with a free port, as HOST:PORT"
)]
pub(in crate::cli) struct HealthError {
    address: ListenAddress,
    source: io::Error,
}

impl Health {
    /// Begins to listen. `tally` is what was counted of messages.
    pub(super) async fn listen(
        address: ListenAddress,
        tally: Rc<RefCell<Tally>>,
    ) -> Result<Self, HealthError> {
        let (host, port) = &address.0;
        let bound = match TcpListener::bind((host.as_str(), *port)).await {
            Ok(listener) => listener.local_addr().map(|local| (listener, local.to_string())),
            Err(source) => Err(source),
        };
        let (listener, local) = match bound {
            Ok(bound) => bound,
            Err(source) => return Err(HealthError { address, source }),
        };
        let (questions, asked) = mpsc::channel(MOST_CONNECTIONS);
        let listening = tokio::spawn(accept(listener, questions));
        Ok(Self {
            address: local,
            asked,
            listening,
            started: SystemTime::now(),
            tally,
            since: 0,
            not_before: Instant::now(),
        })
    }

    /// Where it listens, as HOST:PORT.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Answers a question, and what else was asked meanwhile; `None` for the consumer before there is one.
    pub(super) fn answer(&mut self, asked: Asked, consumer: Option<&Consumer>) {
        self.answer_one(asked, consumer);
        while let Ok(asked) = self.asked.try_recv() {
            self.answer_one(asked, consumer);
        }
        self.not_before = Instant::now() + INTERVAL;
    }

    fn answer_one(&self, asked: Asked, consumer: Option<&Consumer>) {
        let interruption = consumer.map(Consumer::interruption);
        let answer = match asked.question {
            Question::Live => Answer::text("200 OK", "ok"),
            Question::Ready => match interruption {
                Some(None) => Answer::text("200 OK", "ok"),
                Some(Some(interruption)) => {
                    let (seconds, error) = (interruption.lasted.as_secs(), interruption.error);
                    let reason = format!("reading is interrupted, for {seconds} s by now: {error}");
                    Answer::text("503 Service Unavailable", &reason)
                }
                None => Answer::text("503 Service Unavailable", "no broker has let us in yet"),
            },
            Question::Metrics => Answer {
                status: "200 OK",
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: render(Snapshot {
                    started: self.started,
                    tally: &self.tally.borrow(),
                    reads: matches!(interruption, Some(None)),
                    lag: consumer.map(Consumer::lag).unwrap_or_default(),
                    brokers: consumer.map(|consumer| consumer.client().metrics()).unwrap_or_default(),
                }),
            },
        };
        // Whoever asked may have gone.
        let _ = asked.answer.send(answer);
    }

    /// Now and then, between two messages: gives those who ask a turn, and answers them.
    async fn take_turn(&mut self, consumer: &Consumer) {
        self.since = self.since.saturating_add(1);
        if self.since < TURN {
            return;
        }
        self.since = 0;
        tokio::task::yield_now().await;
        if self.not_before <= Instant::now()
            && let Ok(asked) = self.asked.try_recv()
        {
            self.answer(asked, Some(consumer));
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// As [`Health::take_turn`], where anybody can ask.
pub(super) async fn between_messages(health: &mut Option<Health>, consumer: &Consumer) {
    if let Some(health) = health {
        health.take_turn(consumer).await;
    }
}

/// Waits for a question; for ever, where nobody can ask.
pub(super) async fn asked(health: &mut Option<Health>) -> Asked {
    match health {
        Some(health) => {
            sleep_until(health.not_before).await;
            match health.asked.recv().await {
                Some(asked) => asked,
                None => pending().await,
            }
        }
        None => pending().await,
    }
}

/// Waits for `work`, and answers whoever asks meanwhile.
pub(super) async fn beside<T>(
    health: &mut Option<Health>,
    consumer: Option<&Consumer>,
    work: impl Future<Output = T>,
) -> T {
    if health.is_none() {
        return work.await;
    }
    let mut work = pin!(work);
    loop {
        let asked = tokio::select! {
            biased;
            done = &mut work => return done,
            asked = asked(health) => asked,
        };
        if let Some(health) = health {
            health.answer(asked, consumer);
        }
    }
}

async fn accept(listener: TcpListener, questions: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((socket, _)) => {
                let questions = questions.clone();
                tokio::spawn(async move {
                    let served = timeout(PATIENCE, serve(socket, questions)).await;
                    if !matches!(served, Ok(Ok(()))) {
                        tracing::debug!("somebody asked for the health, and took no answer");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "nobody can ask for the health at the moment");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one request, and closes.
async fn serve(mut socket: TcpStream, questions: mpsc::Sender<Asked>) -> io::Result<()> {
    let request = read(&mut socket).await?;
    let (answer, head_only) = match request {
        Ok(Request { question: Question::Live, head_only }) => (Answer::text("200 OK", "ok"), head_only),
        Ok(Request { question, head_only }) => (ask(question, &questions).await, head_only),
        Err(Refusal::Malformed) => {
            (Answer::text("400 Bad Request", "this is no request that is understood"), false)
        }
        Err(Refusal::NotFound) => {
            (Answer::text("404 Not Found", "there is /live, /ready and /metrics"), false)
        }
        Err(Refusal::Method) => {
            (Answer::text("405 Method Not Allowed", "only GET and HEAD are answered"), false)
        }
    };
    socket.write_all(answer.encode(head_only).as_bytes()).await?;
    socket.shutdown().await?;
    // Closing while something is unread would take the answer back.
    let mut rest = [0; 512];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn read(socket: &mut TcpStream) -> io::Result<Result<Request, Refusal>> {
    let mut bytes = Vec::new();
    let mut limited = socket.take(MOST_BYTES as u64);
    loop {
        if limited.read_buf(&mut bytes).await? == 0 {
            // There is no more, or too much.
            return Ok(Err(Refusal::Malformed));
        }
        match parse(&bytes) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

async fn ask(question: Question, questions: &mpsc::Sender<Asked>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let sent = questions.send(Asked { question, answer }).await;
    match (sent, answered.await) {
        (Ok(()), Ok(answer)) => answer,
        _ => Answer::text("503 Service Unavailable", "the program is about to end"),
    }
}

impl Answer {
    fn text(status: &'static str, words: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{words}\n") }
    }

    fn encode(&self, head_only: bool) -> String {
        let Self { status, content_type, body } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let sent = if head_only { "" } else { body };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{sent}"
        )
    }
}
