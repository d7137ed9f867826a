//! One connection to one broker: requests go in, answers come out, in order.
//!
//! A task of its own owns the socket ([`mod@drive`]). Requests are written as they come, all that are ready in one
//! system call; answers are matched to them in order by correlation id. Many requests may be in flight. What goes
//! wrong with the connection goes wrong for all of them, once: they all learn the same reason, and the connection
//! takes no more.
//!
//! Dropping a [`Pending`] answer leaves the connection usable: the answer is read and thrown away. Dropping the last
//! [`Connection`] closes the socket after what was sent has been answered.

mod drive;

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Request;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::error::{ConnectError, Error, Step};
use super::frame_reader::{FrameReader, ReadError};
use super::handshake::{ApiVersions, Established, Handshake, Order};
use super::metrics::Counters;
use super::settings::{Access, Settings};
use super::silence::Silence;
use super::tls::TlsError;
use super::transport::Transport;
use crate::wire::api::api_name;
use crate::wire::message::{decode_response, encode_request};
use crate::wire::spoken;

/// A handle on a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    shared: Arc<Shared>,
}

/// What the handles and the task both know.
#[derive(Debug)]
struct Shared {
    broker: Address,
    client_id: String,
    versions: ApiVersions,
    /// What to log in with again before the broker wants it.
    access: Arc<ArcSwap<Access>>,
    /// What it was opened with.
    opened_with: Arc<Access>,
    request_timeout: Duration,
    idle_timeout: Duration,
    counters: Arc<Counters>,
    silence: Arc<Silence>,
    opened: Instant,
    /// When the last answer came, in milliseconds after it was opened.
    heard: AtomicU64,
    /// Requests of this connection that are not answered yet.
    in_flight: AtomicU64,
    /// Told when the connection is to take no more requests.
    close: Notify,
    /// Why the connection ended; set once, before those who wait are told.
    ended: OnceLock<Error>,
    /// Told when `ended` is set.
    gone: Notify,
}

#[derive(Debug)]
struct Outgoing {
    frame: BytesMut,
    reply: Reply,
}

/// What is waited for once a request is on its way.
#[derive(Debug)]
enum Reply {
    Answer(Expected),
    /// The broker sends none: that it was handed to the operating system is all that can be known.
    Written(oneshot::Sender<()>),
}

/// An answer that is waited for.
#[derive(Debug)]
struct Expected {
    answer: oneshot::Sender<Bytes>,
    api: &'static str,
    sent: Instant,
    within: Duration,
}

/// A request that goes out in the last flight of the login, before the broker has said what it speaks.
#[derive(Debug)]
pub(super) struct Rider {
    frame: Bytes,
    expected: Expected,
}

/// What becomes of a [`Rider`]: its answer, on the connection that carried it.
#[derive(Debug)]
pub(super) struct Ticket<R> {
    answer: oneshot::Receiver<Bytes>,
    version: i16,
    request: PhantomData<fn(R)>,
}

impl Rider {
    /// `request`, in a version that the broker is sure to read.
    pub(super) fn new<R: Request>(
        broker: &Address,
        client_id: &str,
        request: &R,
        version: i16,
        within: Duration,
    ) -> Result<(Self, Ticket<R>), Error> {
        let (answer, receiver) = oneshot::channel();
        let frame = encode(broker, client_id, request, version)?.freeze();
        let expected = Expected { answer, api: api_name(R::KEY), sent: Instant::now(), within };
        Ok((Self { frame, expected }, Ticket { answer: receiver, version, request: PhantomData }))
    }
}

impl<R> Ticket<R> {
    /// The answer that is on its way on `connection`.
    pub(super) fn on(self, connection: &Connection) -> Pending<R> {
        let shared = Arc::clone(&connection.shared);
        Pending { answer: self.answer, version: self.version, shared, request: PhantomData }
    }
}

fn encode<R: Request>(
    broker: &Address,
    client_id: &str,
    request: &R,
    version: i16,
) -> Result<BytesMut, Error> {
    let mut frame = BytesMut::new();
    encode_request(&mut frame, request, version, 0, client_id).map_err(|source| Error::Unencodable {
        broker: broker.clone(),
        api: api_name(R::KEY),
        source: Arc::new(source),
    })?;
    Ok(frame)
}

impl Connection {
    /// Connects, negotiates and authenticates, all within the connect time-out. The rider goes along in the last
    /// flight.
    pub(super) async fn open(
        broker: &Address,
        settings: &Settings,
        rider: Option<Rider>,
    ) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + settings.connect_timeout;
        let order = settings.handshake_order(broker);
        let access = settings.access.load_full();
        let frame = rider.as_ref().map(|rider| &rider.frame);
        let opened = match Self::open_in_order(broker, settings, &access, frame, order, deadline).await {
            // A peer that cannot take the short way is tried once more step by step, and remembered.
            Err(ConnectError::HungUp { step: Step::SaslHandshake | Step::SaslAuthenticate, .. })
                if order == Order::Fastest && access.sasl.is_some() =>
            {
                let opened =
                    Self::open_in_order(broker, settings, &access, frame, Order::VersionsFirst, deadline)
                        .await?;
                settings.remember_versions_first(broker);
                opened
            }
            opened => opened?,
        };
        Ok(Self::start(broker, settings, access, opened, rider))
    }

    async fn open_in_order(
        broker: &Address,
        settings: &Settings,
        access: &Access,
        rider: Option<&Bytes>,
        order: Order,
        deadline: Instant,
    ) -> Result<Opened, ConnectError> {
        let mut step = Step::Resolve;
        let timed = timeout_at(deadline, async {
            let Access { tls, sasl } = access;
            if let Some(sasl) = sasl {
                step = Step::Token;
                let failed = |source| ConnectError::Token { broker: broker.clone(), source };
                sasl.prepare().await.map_err(failed)?;
            }
            let mut transport =
                Transport::connect(broker, tls.as_ref(), settings.request_timeout, &mut step).await?;
            let mut handshake =
                Handshake::new(broker, &settings.client_id, tls.is_some(), sasl.as_ref(), rider, order)?;
            let mut frames = FrameReader::new(settings.most_frame_bytes);
            let established =
                shake_hands(&mut transport, &mut frames, &mut handshake, broker, &mut step).await?;
            Ok(Opened { transport, frames, established })
        });
        timed.await.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut { broker: broker.clone(), step, after: settings.connect_timeout })
        })
    }

    fn start(
        broker: &Address,
        settings: &Settings,
        access: Arc<Access>,
        opened: Opened,
        rider: Option<Rider>,
    ) -> Self {
        let Opened { transport, frames, established } = opened;
        let (outgoing, requests) = mpsc::unbounded_channel();
        let counters = settings.metrics.of(broker);
        counters.connected();
        let shared = Arc::new(Shared {
            broker: broker.clone(),
            client_id: settings.client_id.clone(),
            versions: established.versions.clone(),
            access: Arc::clone(&settings.access),
            opened_with: access,
            request_timeout: settings.request_timeout,
            idle_timeout: settings.idle_timeout,
            counters,
            silence: Arc::clone(&settings.silence),
            opened: Instant::now(),
            heard: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            close: Notify::new(),
            ended: OnceLock::new(),
            gone: Notify::new(),
        });
        drive::spawn(transport, frames, requests, established, rider, Arc::clone(&shared));
        Self { outgoing, shared }
    }

    /// Sends a request in this version. It is on its way when this returns, whether or not the answer is awaited.
    ///
    /// Where the connection has ended already, the request is not sent: [`Error::Disconnected`].
    pub(super) fn send_in<R: Request>(
        &self,
        request: &R,
        version: i16,
        within: Duration,
    ) -> Result<Pending<R>, Error> {
        let frame = encode(&self.shared.broker, &self.shared.client_id, request, version)?;
        let (answer, receiver) = oneshot::channel();
        let expected = Expected { answer, api: api_name(R::KEY), sent: Instant::now(), within };
        self.outgoing
            .send(Outgoing { frame, reply: Reply::Answer(expected) })
            .map_err(|_| self.shared.closed(io::ErrorKind::NotConnected))?;
        Ok(Pending { answer: receiver, version, shared: Arc::clone(&self.shared), request: PhantomData })
    }

    /// Sends a request that is not answered in this version, and returns when it has been handed to the operating system.
    pub(super) async fn send_unanswered<R: Request>(&self, request: &R, version: i16) -> Result<(), Error> {
        let frame = encode(&self.shared.broker, &self.shared.client_id, request, version)?;
        let (written, done) = oneshot::channel();
        self.outgoing
            .send(Outgoing { frame, reply: Reply::Written(written) })
            .map_err(|_| self.shared.closed(io::ErrorKind::NotConnected))?;
        done.await.map_err(|_| self.shared.closed(io::ErrorKind::ConnectionAborted))
    }

    /// The newest version of `R` that both sides know.
    pub(super) fn version<R: Request>(&self) -> Result<i16, Error> {
        self.shared.versions.negotiate::<R>().ok_or_else(|| Error::Unsupported {
            broker: self.shared.broker.clone(),
            api: api_name(R::KEY),
            speaks: spoken::<R>().to_string(),
        })
    }

    /// Whether the cluster gives each transaction an epoch of its own (KIP-890).
    pub(super) fn has_epoch_per_transaction(&self) -> bool {
        self.shared.versions.has_epoch_per_transaction()
    }

    /// The broker at the other end.
    pub(super) fn broker(&self) -> &Address {
        &self.shared.broker
    }

    /// Whether new requests may go here.
    pub(super) fn is_usable(&self) -> bool {
        !self.outgoing.is_closed() && self.shared.silence.believes_in(self.shared.heard_at())
    }

    /// Takes no more requests, and returns when those in flight have been answered and the socket is closed.
    ///
    /// Dropping the future does not stop that.
    pub(super) async fn close(&self) {
        self.shared.close.notify_one();
        loop {
            let gone = self.shared.gone.notified();
            if self.shared.ended.get().is_some() {
                return;
            }
            gone.await;
        }
    }
}

impl Shared {
    /// What to renew the login with; `None` where that would be another user's, or proved in another way: a broker takes
    /// neither on a connection that is open.
    fn renewed_access(&self) -> Option<Arc<Access>> {
        let access = self.access.load_full();
        let login = |access: &Access| {
            access.sasl.as_ref().map(|sasl| (sasl.username().to_owned(), sasl.mechanism_name()))
        };
        (login(&access) == login(&self.opened_with)).then_some(access)
    }

    /// When the peer was last heard from.
    fn heard_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    fn closed(&self, kind: io::ErrorKind) -> Error {
        self.ended.get().cloned().unwrap_or_else(|| Error::Disconnected {
            broker: self.broker.clone(),
            source: Arc::new(io::Error::new(kind, "this client closed it")),
        })
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
        Poll::Ready(match answer {
            Ok(frame) => decode_response::<R>(frame, self.version).map_err(|source| Error::Garbled {
                broker: self.shared.broker.clone(),
                api: api_name(R::KEY),
                source: Arc::new(source),
            }),
            Err(_) => Err(self.shared.closed(io::ErrorKind::ConnectionAborted)),
        })
    }
}

/// A connection that was let in.
struct Opened {
    transport: Transport,
    frames: FrameReader,
    established: Established,
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
            // A peer that says why before it hangs up is heard below.
            let _ = write(transport, &out).await;
        }
        let frame = frames.next(transport).await.map_err(|error| match error {
            // TLS 1.3 refuses a client's certificate, or the lack of one, only after the handshake.
            ReadError::Io(error) if TlsError::is_behind(&error) => {
                ConnectError::Tls { broker: broker.clone(), source: Arc::new(TlsError::classify(&error)) }
            }
            ReadError::Closed | ReadError::Io(_) => hung_up(*step),
            ReadError::Frame(error) => match error.evidence(tls) {
                Some(evidence) => ConnectError::NotKafka { broker: broker.clone(), evidence },
                None => {
                    ConnectError::Garbled { broker: broker.clone(), step: *step, reason: error.to_string() }
                }
            },
        })?;
        let progress = handshake.on_frame(frame)?;
        out = progress.send;
        if let Some(established) = progress.done {
            if !out.is_empty() {
                write(transport, &out).await.map_err(|_| hung_up(*step))?;
            }
            return Ok(established);
        }
    }
}

async fn write(transport: &mut Transport, bytes: &[u8]) -> io::Result<()> {
    transport.write_all(bytes).await?;
    transport.flush().await
}
