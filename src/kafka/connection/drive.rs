//! The task behind a connection: one half writes what is asked, the other reads what is answered.
//!
//! Both halves are polled in one task, so that a full socket in one direction never keeps the other from moving. The
//! connection ends when the peer or a deadline ends it, when there is no one left to ask, when it is told to, or when
//! nothing was asked for long; in the last three cases what is in flight is answered first.
//!
//! Where the broker limits how long a login lasts (KIP-368), the writer logs in again in good time: requests wait
//! until that is done, since the broker takes nothing else meanwhile. Where it is another user's by then, the connection
//! is closed as if nobody asked any more, and the next request opens another.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Expected, Outgoing, Reply, Rider, Shared};
use crate::kafka::error::{ConnectError, Error};
use crate::kafka::frame_reader::{FrameReader, ReadError};
use crate::kafka::handshake::{Established, Handshake};
use crate::kafka::transport::Transport;
use crate::wire::message::{correlation_id, number};

/// As many requests as are written in one go.
const MOST_COALESCED: usize = 64;
/// Of a login's lifetime, the share after which it is renewed; a little of it by chance, so that not all connections
/// of a client renew at once.
const RENEW_AFTER: f64 = 0.85;
const RENEW_SPREAD: f64 = 0.1;
/// A peer that does not read any more cannot be told goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs a connection that was let in.
pub(super) fn spawn(
    transport: Transport,
    frames: FrameReader,
    requests: mpsc::UnboundedReceiver<Outgoing>,
    established: Established,
    rider: Option<Rider>,
    shared: Arc<Shared>,
) {
    let (read, write) = tokio::io::split(transport);
    let (announced, expected) = mpsc::unbounded_channel();
    let now = Instant::now();
    let token_ends = shared.opened_with.sasl.as_ref().and_then(|sasl| sasl.ends_at());
    let token_lifetime = token_ends.map(|ends| ends.saturating_duration_since(now));
    let mut waiting = VecDeque::new();
    if let Some(Rider { frame, expected }) = rider {
        shared.sent(frame.len());
        // Its time begins now: before, there was nobody to answer it.
        let expected = Expected { sent: now, ..expected };
        match established.rider_answer {
            Some(answer) => shared.answer(expected, answer),
            None => waiting.push_back(expected),
        }
    }
    let writer = Writer {
        write,
        requests,
        announced,
        next_correlation: established.next_request,
        renew_at: renewal(established.session_lifetime.or(token_lifetime), now),
        in_place: established.session_lifetime.is_some(),
        last_used: now,
        shared: Arc::clone(&shared),
    };
    let reader = Reader {
        read,
        frames,
        expected,
        waiting,
        next_correlation: established.next_answer,
        shared: Arc::clone(&shared),
    };
    tokio::spawn(drive(writer, reader, shared));
}

fn renewal(lifetime: Option<Duration>, now: Instant) -> Option<Instant> {
    lifetime.map(|lifetime| now + lifetime.mul_f64(RENEW_AFTER + RENEW_SPREAD * fastrand::f64()))
}

async fn drive(writer: Writer, reader: Reader, shared: Arc<Shared>) {
    let mut write = pin!(writer.run());
    let mut read = pin!(reader.run());
    let ended = tokio::select! {
        ended = &mut read => ended,
        written = &mut write => match written {
            Err(ended) => Err(ended),
            // Nobody asks any more: what is in flight is still answered.
            Ok(mut write_half) => {
                let answered = read.as_mut().await;
                if answered.is_ok() {
                    let _ = timeout(GOODBYE, write_half.shutdown()).await;
                }
                answered
            }
        },
    };
    let broker = shared.broker.clone();
    let reason = match ended {
        Ok(()) => return shared.end(shared.closed(io::ErrorKind::NotConnected)),
        Err(Ended::Io(source)) => Error::Disconnected { broker, source: Arc::new(source) },
        Err(Ended::TimedOut { api, after }) => Error::TimedOut { broker, api, after },
        Err(Ended::Refused(error)) => Error::Connect(error),
    };
    shared.end(reason);
}

impl Shared {
    fn sent(&self, bytes: usize) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.counters.sent(bytes);
    }

    fn answer(&self, expected: Expected, frame: Bytes) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let heard = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(heard, Ordering::Relaxed);
        self.counters.answered(frame.len(), expected.sent.elapsed());
        tracing::trace!(broker = %self.broker, api = expected.api, bytes = frame.len(), "answer");
        // Whoever asked may have gone: that is their right.
        let _ = expected.answer.send(frame);
    }

    /// Before the two halves, and with them the senders of all that is in flight, are dropped: they learn the reason.
    fn end(&self, reason: Error) {
        tracing::debug!(broker = %self.broker, %reason, "connection ended");
        let _ = self.ended.set(reason);
        self.counters.lost(self.in_flight.load(Ordering::Relaxed));
        self.gone.notify_waiters();
    }
}

/// Why a connection ended, when it was not asked to.
#[derive(Debug)]
enum Ended {
    Io(io::Error),
    TimedOut {
        api: &'static str,
        after: Duration,
    },
    /// The broker did not renew the login.
    Refused(ConnectError),
}

struct Writer {
    write: WriteHalf<Transport>,
    requests: mpsc::UnboundedReceiver<Outgoing>,
    announced: mpsc::UnboundedSender<Expected>,
    next_correlation: i32,
    renew_at: Option<Instant>,
    /// Whether the broker takes another login on this connection, not only on a new one.
    in_place: bool,
    last_used: Instant,
    shared: Arc<Shared>,
}

impl Writer {
    /// Writes until there is no one left to ask; gives back its half so that the socket stays open for answers.
    async fn run(mut self) -> Result<WriteHalf<Transport>, Ended> {
        let mut batch = Vec::with_capacity(MOST_COALESCED);
        loop {
            let idle_at = self.last_used + self.shared.idle_timeout;
            tokio::select! {
                count = self.requests.recv_many(&mut batch, MOST_COALESCED) => {
                    if count == 0 {
                        return Ok(self.write);
                    }
                    self.write_all(batch.drain(..)).await?;
                }
                // What was handed over before is still taken.
                () = self.shared.close.notified() => self.requests.close(),
                () = sleep_until(idle_at) => {
                    if self.shared.in_flight.load(Ordering::Relaxed) == 0 {
                        self.requests.close();
                    }
                    self.last_used = Instant::now();
                }
                () = until(self.renew_at) => self.renew().await?,
            }
        }
    }

    async fn write_all(&mut self, batch: impl Iterator<Item = Outgoing>) -> Result<(), Ended> {
        let mut frames = Frames::default();
        let mut unanswered = Vec::new();
        for Outgoing { mut frame, reply } in batch {
            number(&mut frame, self.next_correlation);
            match reply {
                Reply::Answer(expected) => {
                    self.next_correlation = self.next_correlation.wrapping_add(1);
                    self.announce(expected, frame.len());
                }
                Reply::Written(written) => {
                    self.shared.counters.sent_unanswered(frame.len());
                    unanswered.push(written);
                }
            }
            frames.0.push_back(frame.freeze());
        }
        self.last_used = Instant::now();
        self.write.write_all_buf(&mut frames).await.map_err(Ended::Io)?;
        self.write.flush().await.map_err(Ended::Io)?;
        for written in unanswered {
            // Whoever asked may have gone: that is their right.
            let _ = written.send(());
        }
        Ok(())
    }

    /// The reader must know what to expect before the peer can answer it.
    fn announce(&self, expected: Expected, bytes: usize) {
        self.shared.sent(bytes);
        let _ = self.announced.send(expected);
    }

    /// Logs in again.
    async fn renew(&mut self) -> Result<(), Ended> {
        let shared = Arc::clone(&self.shared);
        let Some(access) = shared.renewed_access().filter(|_| self.in_place) else {
            // The next request opens another, as that user or with another token.
            self.renew_at = None;
            self.requests.close();
            return Ok(());
        };
        let Some(sasl) = &access.sasl else { return Ok(()) };
        sasl.prepare().await.map_err(|source| {
            Ended::Refused(ConnectError::Token { broker: shared.broker.clone(), source })
        })?;
        let versions = shared.versions.clone();
        let mut machine = Handshake::renewal(
            &shared.broker,
            &shared.client_id,
            shared.opened_with.tls.is_some(),
            sasl,
            versions,
            self.next_correlation,
        )
        .map_err(Ended::Refused)?;
        let mut frame = machine.start().map_err(Ended::Refused)?;
        loop {
            let (answer, receiver) = oneshot::channel();
            let (sent, within) = (Instant::now(), shared.request_timeout);
            self.announce(Expected { answer, api: "SaslAuthenticate", sent, within }, frame.len());
            self.write.write_all(&frame).await.map_err(Ended::Io)?;
            self.write.flush().await.map_err(Ended::Io)?;
            // Only the reader's end drops the other side, and that ends this too.
            let answer = receiver.await.map_err(|_| Ended::Io(io::ErrorKind::UnexpectedEof.into()))?;
            let progress = machine.on_frame(answer).map_err(Ended::Refused)?;
            frame = progress.send;
            if let Some(established) = progress.done {
                tracing::debug!(broker = %shared.broker, "the login was renewed");
                self.next_correlation = established.next_request;
                self.renew_at = renewal(established.session_lifetime, Instant::now());
                return Ok(());
            }
        }
    }
}

/// Never, where there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Several frames as one buffer, for one vectored write.
#[derive(Debug, Default)]
struct Frames(VecDeque<Bytes>);

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.0);
        filled.map(|(slice, frame)| *slice = IoSlice::new(frame)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(frame) = self.0.front_mut() {
            if frame.len() > count {
                frame.advance(count);
                return;
            }
            count -= frame.len();
            self.0.pop_front();
        }
    }
}

struct Reader {
    read: ReadHalf<Transport>,
    frames: FrameReader,
    expected: mpsc::UnboundedReceiver<Expected>,
    waiting: VecDeque<Expected>,
    next_correlation: i32,
    shared: Arc<Shared>,
}

impl Reader {
    /// Reads until the peer or the time ends the connection, or until no one can ask and all is answered.
    async fn run(mut self) -> Result<(), Ended> {
        loop {
            let head = self.waiting.front().map(|head| (head.sent, head.api, head.within));
            tokio::select! {
                biased;
                frame = self.frames.next(&mut self.read) => self.on_frame(frame.map_err(Ended::from)?)?,
                expected = self.expected.recv(), if head.is_none() => match expected {
                    Some(expected) => self.waiting.push_back(expected),
                    None => return Ok(()),
                },
                Some((sent, api, after)) = expiry(head), if head.is_some() => {
                    self.shared.silence.on_no_answer(sent);
                    return Err(Ended::TimedOut { api, after });
                }
            }
        }
    }

    fn on_frame(&mut self, frame: Bytes) -> Result<(), Ended> {
        while let Ok(expected) = self.expected.try_recv() {
            self.waiting.push_back(expected);
        }
        let garbled = |words| Ended::Io(io::Error::new(io::ErrorKind::InvalidData, words));
        let Some(expected) = self.waiting.pop_front() else {
            return Err(garbled("the broker sent an answer that nothing was asked for"));
        };
        if correlation_id(&frame) != Some(self.next_correlation) {
            self.waiting.push_front(expected);
            return Err(garbled("the broker answered with the correlation id of another request"));
        }
        self.next_correlation = self.next_correlation.wrapping_add(1);
        self.shared.answer(expected, frame);
        Ok(())
    }
}

/// Ends when the answer that is waited for should have come.
async fn expiry(
    head: Option<(Instant, &'static str, Duration)>,
) -> Option<(Instant, &'static str, Duration)> {
    let (sent, _, within) = head?;
    sleep_until(sent + within).await;
    head
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Io(match error {
            ReadError::Closed => closed_by_peer(),
            // Over TLS that is said less plainly, where the peer went without a word.
            ReadError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => closed_by_peer(),
            ReadError::Io(error) => error,
            ReadError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}

fn closed_by_peer() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed it")
}
