//! One connection to one broker: requests go in, answers come out, in order.
//!
//! A task of its own owns the socket. Requests are written as they come, all that are ready in one system call;
//! answers are matched to them in order by correlation id. Many requests may be in flight. What goes wrong with the
//! connection goes wrong for all of them, once: they all learn the same reason, and the connection takes no more.
//!
//! Dropping a [`Pending`] answer leaves the connection usable: the answer is read and thrown away. Dropping the last
//! [`Connection`] closes the socket after what was sent has been answered.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::address::Address;
use super::error::{ConnectError, Error, Step};
use super::frame_reader::{FrameReader, ReadError};
use super::handshake::{ApiVersions, Established, Handshake, Order, Progress};
use super::settings::Settings;
use super::transport::Transport;
use crate::wire::api::api_name;
use crate::wire::message::{correlation_id, decode_response, encode_request};
use crate::wire::spoken;

/// As many requests as are written in one go.
const MOST_COALESCED: usize = 64;
/// Where the correlation id stands in a frame: behind the length, the API key and the version.
const CORRELATION_ID_AT: usize = 8;
/// A session is left for a new connection at this share of its lifetime, before the broker ends it (KIP-368).
const SESSION_SHARE: f64 = 0.85;

/// A handle on a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: Address,
    client_id: String,
    versions: ApiVersions,
    request_timeout: Duration,
    /// From here on requests should go to a new connection.
    expires: Option<Instant>,
    /// Why the connection ended; set once, before those who wait are told.
    ended: OnceLock<Error>,
}

#[derive(Debug)]
struct Outgoing {
    frame: BytesMut,
    expected: Expected,
}

#[derive(Debug)]
struct Expected {
    answer: oneshot::Sender<Bytes>,
    api: &'static str,
    deadline: Instant,
    after: Duration,
}

impl Connection {
    /// Connects, negotiates and authenticates, all within the connect time-out; with the answer to `first`, which
    /// rides along, if it was given.
    pub(super) async fn open(
        broker: &Address,
        settings: &Settings,
        first: Option<MetadataRequest>,
    ) -> Result<(Self, Option<MetadataResponse>), ConnectError> {
        let deadline = Instant::now() + settings.connect_timeout;
        let order = settings.handshake_order(broker);
        match Self::open_in_order(broker, settings, first.clone(), order, deadline).await {
            // A peer that cannot take the short way is tried once more step by step, and remembered.
            Err(ConnectError::HungUp { step: Step::SaslHandshake | Step::SaslAuthenticate, .. })
                if order == Order::Fastest && settings.sasl.is_some() =>
            {
                let opened =
                    Self::open_in_order(broker, settings, first, Order::VersionsFirst, deadline).await?;
                settings.remember_versions_first(broker);
                Ok(opened)
            }
            opened => opened,
        }
    }

    async fn open_in_order(
        broker: &Address,
        settings: &Settings,
        first: Option<MetadataRequest>,
        order: Order,
        deadline: Instant,
    ) -> Result<(Self, Option<MetadataResponse>), ConnectError> {
        let mut step = Step::Resolve;
        let timed = timeout_at(deadline, async {
            let mut transport =
                Transport::connect(broker, settings.tls.as_ref(), deadline, &mut step).await?;
            let tls = settings.tls.is_some();
            let mut handshake =
                Handshake::new(broker, &settings.client_id, tls, settings.sasl.as_ref(), first, order)?;
            let mut frames = FrameReader::new(settings.most_frame_bytes);
            let established =
                shake_hands(&mut transport, &mut frames, &mut handshake, broker, &mut step).await?;
            Ok((transport, frames, established))
        });
        match timed.await {
            Ok(Ok((transport, frames, established))) => {
                Ok(Self::start(broker, settings, transport, frames, established))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Err(ConnectError::TimedOut { broker: broker.clone(), step, after: settings.connect_timeout })
            }
        }
    }

    fn start(
        broker: &Address,
        settings: &Settings,
        transport: Transport,
        frames: FrameReader,
        established: Established,
    ) -> (Self, Option<MetadataResponse>) {
        let (outgoing, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            broker: broker.clone(),
            client_id: settings.client_id.clone(),
            versions: established.versions,
            request_timeout: settings.request_timeout,
            expires: established
                .session_lifetime
                .map(|lifetime| Instant::now() + lifetime.mul_f64(SESSION_SHARE)),
            ended: OnceLock::new(),
        });
        let (read, write) = tokio::io::split(transport);
        let (expect, expected) = mpsc::unbounded_channel();
        let writer = Writer { write, requests, expect, next_correlation: established.next_correlation };
        let reader = Reader {
            read,
            frames,
            expected,
            waiting: VecDeque::new(),
            broker: broker.clone(),
            next_correlation: established.next_correlation,
        };
        tokio::spawn(drive(writer, reader, Arc::clone(&shared)));
        (Self { outgoing, shared }, established.metadata)
    }

    /// Sends a request in the newest version both sides know. It is on its way when this returns, whether or not the
    /// answer is awaited.
    pub(super) fn send<R: Request>(&self, request: &R) -> Result<Pending<R>, Error> {
        self.send_within(request, self.shared.request_timeout)
    }

    /// As [`send`](Self::send), for a request that the broker may take longer to answer.
    pub(super) fn send_within<R: Request>(&self, request: &R, after: Duration) -> Result<Pending<R>, Error> {
        let api = api_name(R::KEY);
        let version = self.version::<R>()?;
        let mut frame = BytesMut::new();
        encode_request(&mut frame, request, version, 0, &self.shared.client_id).map_err(|source| {
            Error::Unencodable { broker: self.shared.broker.clone(), api, source: Arc::new(source) }
        })?;
        let (answer, receiver) = oneshot::channel();
        let expected = Expected { answer, api, deadline: Instant::now() + after, after };
        // Where the task has ended, the receiver is dropped with the message: the pending answer says why.
        let _ = self.outgoing.send(Outgoing { frame, expected });
        Ok(Pending { answer: receiver, version, shared: Arc::clone(&self.shared), request: PhantomData })
    }

    /// The version in which `R` is spoken on this connection.
    pub(super) fn version<R: Request>(&self) -> Result<i16, Error> {
        self.shared.versions.negotiate::<R>().ok_or_else(|| Error::Unsupported {
            broker: self.shared.broker.clone(),
            api: api_name(R::KEY),
            speaks: spoken::<R>().to_string(),
        })
    }

    /// Whether new requests may go here: not after it broke, nor shortly before the broker wants to see a credential.
    pub(super) fn is_usable(&self) -> bool {
        !self.outgoing.is_closed()
            && self.shared.ended.get().is_none()
            && self.shared.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

/// An answer that is on its way. Dropping it leaves the connection usable.
#[derive(Debug)]
pub(super) struct Pending<R> {
    answer: oneshot::Receiver<Bytes>,
    version: i16,
    shared: Arc<Shared>,
    request: PhantomData<fn(R)>,
}

impl<R: Request> Future for Pending<R> {
    type Output = Result<R::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        let broker = || self.shared.broker.clone();
        Poll::Ready(match answer {
            Ok(frame) => decode_response::<R>(frame, self.version).map_err(|source| Error::Garbled {
                broker: broker(),
                api: api_name(R::KEY),
                source: Arc::new(source),
            }),
            Err(_) => Err(self.shared.ended.get().cloned().unwrap_or_else(|| Error::Disconnected {
                broker: broker(),
                source: Arc::new(io::Error::new(io::ErrorKind::ConnectionAborted, "it was closed")),
            })),
        })
    }
}

async fn shake_hands(
    transport: &mut Transport,
    frames: &mut FrameReader,
    handshake: &mut Handshake<'_>,
    broker: &Address,
    step: &mut Step,
) -> Result<Established, ConnectError> {
    let tls = handshake.is_tls();
    let hung_up = |step| ConnectError::HungUp { broker: broker.clone(), step, tls };
    let mut out = handshake.start()?;
    loop {
        *step = handshake.step();
        if !out.is_empty() {
            let written = async {
                transport.write_all(&out).await?;
                transport.flush().await
            };
            // A peer that says why before it hangs up is heard below.
            let _ = written.await;
        }
        let frame = frames.next(transport).await.map_err(|error| match error {
            ReadError::Closed | ReadError::Io(_) => hung_up(*step),
            ReadError::Frame(error) => match error.evidence(tls) {
                Some(evidence) => ConnectError::NotKafka { broker: broker.clone(), evidence },
                None => {
                    ConnectError::Garbled { broker: broker.clone(), step: *step, reason: error.to_string() }
                }
            },
        })?;
        out = match handshake.on_frame(frame)? {
            Progress::Send(frames) => frames,
            Progress::Wait => Bytes::new(),
            Progress::Ready(established) => return Ok(established),
        };
    }
}

/// Runs a connection to its end. Both halves are polled in one task, so that a full socket in one direction never
/// keeps the other from moving.
async fn drive(writer: Writer, reader: Reader, shared: Arc<Shared>) {
    let mut write = pin!(writer.run());
    let mut read = pin!(reader.run());
    let ended = tokio::select! {
        ended = &mut read => ended,
        written = &mut write => match written {
            Err(source) => Err(Ended::Io(source)),
            // Nobody can send any more: what is in flight is still answered.
            Ok(_write_half) => read.as_mut().await,
        },
    };
    let broker = shared.broker.clone();
    let reason = match ended {
        Ok(()) => Error::Disconnected {
            broker,
            source: Arc::new(io::Error::new(io::ErrorKind::ConnectionAborted, "this client closed it")),
        },
        Err(Ended::Io(source)) => Error::Disconnected { broker, source: Arc::new(source) },
        Err(Ended::TimedOut { api, after }) => Error::TimedOut { broker, api, after },
    };
    tracing::debug!(broker = %shared.broker, %reason, "connection ended");
    // Set before the halves, and with them the senders of all that is in flight, are dropped.
    let _ = shared.ended.set(reason);
}

#[derive(Debug)]
enum Ended {
    Io(io::Error),
    TimedOut { api: &'static str, after: Duration },
}

struct Writer {
    write: WriteHalf<Transport>,
    requests: mpsc::UnboundedReceiver<Outgoing>,
    expect: mpsc::UnboundedSender<Expected>,
    next_correlation: i32,
}

impl Writer {
    /// Writes until there is no one left to send; gives back its half so that the socket stays open for answers.
    async fn run(mut self) -> io::Result<WriteHalf<Transport>> {
        let mut requests = Vec::with_capacity(MOST_COALESCED);
        loop {
            if self.requests.recv_many(&mut requests, MOST_COALESCED).await == 0 {
                return Ok(self.write);
            }
            let mut frames = Frames::default();
            for Outgoing { mut frame, expected } in requests.drain(..) {
                if let Some(id) = frame.get_mut(CORRELATION_ID_AT..CORRELATION_ID_AT + 4) {
                    id.copy_from_slice(&self.next_correlation.to_be_bytes());
                }
                self.next_correlation = self.next_correlation.wrapping_add(1);
                // The reader must know what to expect before the peer can answer it.
                let _ = self.expect.send(expected);
                frames.0.push_back(frame.freeze());
            }
            self.write.write_all_buf(&mut frames).await?;
            self.write.flush().await?;
        }
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
    broker: Address,
    next_correlation: i32,
}

impl Reader {
    /// Reads until the peer or the time ends the connection, or until no one can send and all is answered.
    async fn run(mut self) -> Result<(), Ended> {
        loop {
            let deadline = self.waiting.front().map(|head| (head.deadline, head.api, head.after));
            tokio::select! {
                biased;
                frame = self.frames.next(&mut self.read) => self.on_frame(frame.map_err(Ended::from)?)?,
                expected = self.expected.recv(), if deadline.is_none() => match expected {
                    Some(expected) => self.waiting.push_back(expected),
                    None => return Ok(()),
                },
                Some((api, after)) = expiry(deadline), if deadline.is_some() => {
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
            return Err(garbled("the broker answered with the correlation id of another request"));
        }
        self.next_correlation = self.next_correlation.wrapping_add(1);
        tracing::trace!(broker = %self.broker, api = expected.api, bytes = frame.len(), "answer");
        // Whoever asked may have gone: that is their right.
        let _ = expected.answer.send(frame);
        Ok(())
    }
}

async fn expiry(deadline: Option<(Instant, &'static str, Duration)>) -> Option<(&'static str, Duration)> {
    let (at, api, after) = deadline?;
    sleep_until(at).await;
    Some((api, after))
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Io(match error {
            ReadError::Closed => io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed it"),
            ReadError::Io(error) => error,
            ReadError::Frame(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}
