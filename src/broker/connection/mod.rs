//! A client's connection: frames in, answers out, in order.
//!
//! Like Kafka, one request of a connection is handled at a time; what a client has pipelined waits in its buffer.
//! Answers are written together where the next request is there already. Before a client has shown who it is, it may
//! ask for nothing but that, and send little.

mod begin;
mod login;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, ConsumerGroupHeartbeatRequest,
    HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ProduceRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use self::begin::{Begin, Begun};
use self::login::asks_for_users;
use super::faults::{End, What};
use super::requests::{Call, with_handled};
use super::sasl::Exchange;
use super::shared::{Held, Shared, now};
use crate::wire::api::api_name;
use crate::wire::frame::frame_length;
use crate::wire::message::{ReceivedRequest, RequestHead, decode_request, encode_response};
use crate::wire::spoken;

/// What a request may have that brings no records.
const SMALL_REQUEST_BYTES: usize = 1024 * 1024;
/// What one may have before its sender is known.
const UNKNOWN_REQUEST_BYTES: usize = 64 * 1024;
/// A frame above this takes its share of what all large ones may have.
const LARGE_FRAME_BYTES: usize = 64 * 1024;
/// The buffer grows by what arrives: no more than this is reserved on the client's word.
const READ_STEP: usize = 1024 * 1024;
const LEAST_READ: usize = 8192;
/// Answers are written when they have come to this, even if more requests are there.
const WRITE_BYTES: usize = 256 * 1024;
/// Kafka's `connections.max.idle.ms`.
const IDLE: Duration = Duration::from_mins(10);
/// How long a client may take to show who it is, and to take an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a connection ends. What the peer did wrong is said in the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the client closed it")]
    ByClient,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Misbehaved(String),
    #[error("the client was silent for too long")]
    Idle,
    #[error("it was asked for")]
    OnRequest,
}

/// Serves one client until it goes.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    shared: Arc<Shared>,
    node: i32,
    listener: usize,
    host: String,
) -> Ended {
    let mut hang_ups = shared.hang_ups.subscribe();
    let mut connection = Connection {
        user: (!asks_for_users(&shared, listener)).then(|| "ANONYMOUS".into()),
        stream,
        shared,
        node,
        listener,
        host: host.into(),
        input: BytesMut::new(),
        output: BytesMut::new(),
        kept: None,
        exchange: None,
        bare_tokens: false,
        expires: None,
        opened: Instant::now(),
    };
    let ended = tokio::select! {
        ended = connection.run() => ended,
        _ = hang_ups.changed() => Ended::OnRequest,
    };
    if !matches!(ended, Ended::OnRequest) {
        // In good order, if the client still listens.
        let _ = timeout(PATIENCE, connection.stream.shutdown()).await;
    }
    ended
}

struct Connection<S> {
    stream: S,
    shared: Arc<Shared>,
    node: i32,
    listener: usize,
    host: Arc<str>,
    input: BytesMut,
    output: BytesMut,
    /// The share of the output buffer in what all may keep.
    kept: Option<Held>,
    /// Who it is, once that is known.
    user: Option<Arc<str>>,
    /// An authentication that goes on.
    exchange: Option<Exchange>,
    /// Whether its tokens come without the head of a request, as before KIP-152.
    bare_tokens: bool,
    /// When the login ends (KIP-368).
    expires: Option<Instant>,
    opened: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.serve_one().await {
                // What was answered before is still sent.
                let _ = self.flush().await;
                return ended;
            }
        }
    }

    async fn serve_one(&mut self) -> Result<(), Ended> {
        if self.bare_tokens {
            return self.answer_bare_token().await;
        }
        let (length, key) = self.next_frame_head().await?;
        let shared = Arc::clone(&self.shared);
        let _share = large_frame(&shared, length).await;
        let frame = timeout(PATIENCE, self.next_frame(length)).await.map_err(|_| Ended::Idle)??;
        let head = RequestHead::peek(&frame).ok_or_else(|| misbehaved("a request without a header"))?;
        debug_assert_eq!(head.api_key, key);
        let what = self.shared.fault_over(self.node, key);
        if let Some(delay) = what.delay {
            self.flush().await?;
            self.or_gone(sleep(delay)).await?;
        }
        if what.end == Some(End::Before) {
            return Err(Ended::OnRequest);
        }
        let start = self.output.len();
        self.answer(head, frame, what).await?;
        match what.end {
            Some(End::After) => {
                self.output.truncate(start);
                return Err(Ended::OnRequest);
            }
            Some(End::Within(bytes)) => {
                self.output.truncate(start.saturating_add(bytes));
                return Err(Ended::OnRequest);
            }
            _ => {}
        }
        if self.output.len() >= WRITE_BYTES || !self.has_next() {
            self.flush().await?;
        }
        Ok(())
    }

    async fn answer(&mut self, head: RequestHead, frame: Bytes, what: What) -> Result<(), Ended> {
        match head.api_key {
            ApiVersionsRequest::KEY => return self.answer_versions(head, &frame, what),
            SaslHandshakeRequest::KEY => return self.answer_handshake(head, frame, what),
            SaslAuthenticateRequest::KEY => return self.answer_authenticate(head, frame, what),
            _ => {}
        }
        let Some(user) = self.user.clone() else {
            return Err(misbehaved("a request before authentication"));
        };
        if self.expires.is_some_and(|expires| expires <= Instant::now()) {
            return Err(misbehaved("its login has ended, and was not renewed"));
        }
        let call = Call {
            shared: Arc::clone(&self.shared),
            node: self.node,
            listener: self.listener,
            user,
            host: Arc::clone(&self.host),
            client_id: StrBytes::default(),
            version: head.api_version,
            now: now(),
        };
        let task = Begin { frame, call, what };
        let Some(begun) = with_handled(head.api_key, task) else {
            return Err(Ended::Misbehaved(format!(
                "a request with key {}, which is not known here",
                head.api_key
            )));
        };
        let encode = match begun? {
            Begun::Ready(encode) => encode,
            Begun::Later(wait) => {
                // Others may be waiting for what this request has changed.
                self.shared.hurry();
                self.flush().await?;
                self.or_gone(wait).await?
            }
            Begun::Silence => return Ok(()),
            Begun::HangUp => return Err(misbehaved("a request that failed and wants no answer")),
        };
        if sets_deadlines(head.api_key) {
            self.shared.hurry();
        }
        encode(&mut self.output, head.correlation_id)
    }

    // ---- Bytes ----------------------------------------------------------------------------------------------------

    /// The length and key of the next request, once they are there and may be.
    async fn next_frame_head(&mut self) -> Result<(usize, i16), Ended> {
        loop {
            if let Some(&[a, b, c, d, high, low]) = self.input.first_chunk() {
                let key = i16::from_be_bytes([high, low]);
                let most = match (&self.user, key) {
                    (None, _) => UNKNOWN_REQUEST_BYTES,
                    (Some(_), ProduceRequest::KEY) => self.shared.settings.request_bytes,
                    (Some(_), _) => SMALL_REQUEST_BYTES.min(self.shared.settings.request_bytes),
                };
                let length =
                    frame_length([a, b, c, d], most).map_err(|error| Ended::Misbehaved(error.to_string()))?;
                return if length < 8 {
                    Err(misbehaved("a request without a header"))
                } else {
                    Ok((length, key))
                };
            }
            if let Some(&prefix) = self.input.first_chunk::<4>() {
                // Text and TLS show at once; so do lengths that no request may have.
                let most = if self.user.is_none() {
                    UNKNOWN_REQUEST_BYTES
                } else {
                    self.shared.settings.request_bytes
                };
                frame_length(prefix, most).map_err(|error| Ended::Misbehaved(error.to_string()))?;
            }
            self.fill(LEAST_READ).await?;
        }
    }

    async fn next_frame(&mut self, length: usize) -> Result<Bytes, Ended> {
        let whole = length.saturating_add(4);
        while self.input.len() < whole {
            let missing = whole.saturating_sub(self.input.len());
            self.fill(missing.clamp(LEAST_READ, READ_STEP.max(self.input.len()))).await?;
        }
        let mut frame = self.input.split_to(whole).freeze();
        frame.advance(4);
        Ok(frame)
    }

    /// Reads what is there, and waits for it within reason.
    async fn fill(&mut self, room: usize) -> Result<(), Ended> {
        let patience =
            if self.user.is_some() { IDLE } else { PATIENCE.saturating_sub(self.opened.elapsed()) };
        self.input.reserve(room);
        match timeout(patience, self.stream.read_buf(&mut self.input)).await {
            Err(_) => Err(Ended::Idle),
            Ok(Ok(0)) => Err(Ended::ByClient),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// Whether the next request is there as a whole.
    fn has_next(&self) -> bool {
        let stated = self.input.first_chunk().map(|prefix| u32::from_be_bytes(*prefix));
        stated
            .and_then(|length| usize::try_from(length).ok())
            .is_some_and(|length| self.input.len() - 4 >= length)
    }

    /// Waits for something, and for the client's end.
    async fn or_gone<F: Future>(&mut self, wait: F) -> Result<F::Output, Ended> {
        let mut wait = std::pin::pin!(wait);
        loop {
            // What a client sends ahead is taken in up to here; then its end shows when its answer is written.
            if self.input.len() > LARGE_FRAME_BYTES {
                return Ok(wait.await);
            }
            self.input.reserve(LEAST_READ);
            tokio::select! {
                biased;
                done = &mut wait => return Ok(done),
                read = self.stream.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(Ended::ByClient);
                    }
                }
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.output.is_empty() {
            return Ok(());
        }
        let _held = self.shared.hold_answer(self.output.len());
        let written = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, written).await.map_err(|_| misbehaved("it does not take its answers"))??;
        self.output.clear();
        // A large buffer is kept for the next answer: its memory is the system's to give and clear anew otherwise.
        let capacity = self.output.capacity();
        if self.kept.as_ref().is_none_or(|kept| kept.bytes() != capacity) {
            self.kept = None;
            self.kept = self.shared.keep_buffer(capacity);
            if self.kept.is_none() {
                self.output = BytesMut::new();
            }
        }
        Ok(())
    }
}

/// Whether something may be due earlier after such a request.
fn sets_deadlines(key: i16) -> bool {
    matches!(
        key,
        JoinGroupRequest::KEY
            | SyncGroupRequest::KEY
            | HeartbeatRequest::KEY
            | LeaveGroupRequest::KEY
            | ConsumerGroupHeartbeatRequest::KEY
            | InitProducerIdRequest::KEY
            | AddPartitionsToTxnRequest::KEY
            | AddOffsetsToTxnRequest::KEY
            | TxnOffsetCommitRequest::KEY
    )
}

/// Waits until a large frame may be read beside others.
async fn large_frame(shared: &Shared, length: usize) -> Option<SemaphorePermit<'_>> {
    if length <= LARGE_FRAME_BYTES {
        return None;
    }
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    // The semaphore is never closed, and has more than one request may ask for.
    shared.request_kib.acquire_many(kib).await.ok()
}

fn misbehaved(reason: &str) -> Ended {
    Ended::Misbehaved(reason.to_owned())
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The request in a frame, and who it is from.
fn decode<R: Request>(frame: Bytes, version: i16) -> Result<ReceivedRequest<R>, Ended> {
    if !spoken::<R>().contains(version) {
        let name = api_name(R::KEY);
        return Err(Ended::Misbehaved(format!("{name} in version {version}, which is not known here")));
    }
    decode_request::<R>(frame, version).map_err(|error| Ended::Misbehaved(error.to_string()))
}

fn encode<R: Request>(
    output: &mut BytesMut,
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<(), Ended> {
    encode_response::<R>(output, response, version, correlation_id).map_err(|error| {
        let name = api_name(R::KEY);
        tracing::error!("the answer to {name} {version} cannot be written: {error}");
        Ended::Misbehaved(format!("{name} {version}, whose answer cannot be written: {error}"))
    })
}
