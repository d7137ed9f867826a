//! A client's connection: frames in, answers out, in order.
//!
//! Like Kafka, one request of a connection is handled at a time; what a client has pipelined waits in its buffer.
//! Answers are written together where the next request is there already. Before a client has shown who it is, it may
//! ask for nothing but that, and send little.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, ApiVersionsResponse,
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ProduceRequest, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse, SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{End, What};
use super::requests::cluster::api_versions;
use super::requests::{ANSWERED, Call, ForHandled, Handle, Reply, with_handled};
use super::sasl::{Exchange, MECHANISMS, Step};
use super::shared::{Shared, now};
use crate::wire::api::api_name;
use crate::wire::error_code::ErrorCode;
use crate::wire::frame::frame_length;
use crate::wire::message::{RequestHead, decode_request, encode_response};
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
        user: (!asks_for_users(&shared, listener)).then(|| "ANONYMOUS".to_owned()),
        stream,
        shared,
        node,
        listener,
        host,
        input: BytesMut::new(),
        output: BytesMut::new(),
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
    host: String,
    input: BytesMut,
    output: BytesMut,
    /// Who it is, once that is known.
    user: Option<String>,
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
            host: self.host.clone(),
            client_id: String::new(),
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

    // ---- Being let in ---------------------------------------------------------------------------------------------

    fn answer_versions(&mut self, head: RequestHead, frame: &Bytes, what: What) -> Result<(), Ended> {
        let versions = spoken::<ApiVersionsRequest>();
        // The one question that is answered in a version that is not known: in the oldest, so that the client learns.
        let (version, mut response) = if versions.contains(head.api_version) {
            decode::<ApiVersionsRequest>(frame.clone(), head.api_version)?;
            (head.api_version, api_versions(ANSWERED, head.api_version))
        } else {
            let response = api_versions(&[ApiVersionsRequest::KEY], 0);
            (0, response.with_error_code(ErrorCode::UNSUPPORTED_VERSION.0))
        };
        if let Some(code) = what.answer {
            response = ApiVersionsResponse::default().with_error_code(code.0);
        }
        if let Some(delay) = what.throttle {
            response.throttle_time_ms = milliseconds(delay);
        }
        encode::<ApiVersionsRequest>(&mut self.output, &response, version, head.correlation_id)
    }

    fn answer_handshake(&mut self, head: RequestHead, frame: Bytes, what: What) -> Result<(), Ended> {
        // Version 0 looks like 1; what follows it does not.
        let version = if head.api_version == 0 { 1 } else { head.api_version };
        let request = decode::<SaslHandshakeRequest>(frame, version)?;
        let exchange = Exchange::new(&request.mechanism);
        let code = match what.answer {
            Some(code) => code,
            None if !asks_for_users(&self.shared, self.listener) => ErrorCode::ILLEGAL_SASL_STATE,
            None if exchange.is_none() => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            None => ErrorCode::NONE,
        };
        let response = SaslHandshakeResponse::default()
            .with_error_code(code.0)
            .with_mechanisms(MECHANISMS.map(StrBytes::from_static_str).to_vec());
        if code == ErrorCode::NONE {
            self.exchange = exchange;
            self.bare_tokens = head.api_version == 0;
        }
        encode::<SaslHandshakeRequest>(&mut self.output, &response, version, head.correlation_id)
    }

    fn answer_authenticate(&mut self, head: RequestHead, frame: Bytes, what: What) -> Result<(), Ended> {
        let request = decode::<SaslAuthenticateRequest>(frame, head.api_version)?;
        let exchange = self.exchange.take();
        let step = match (what.answer, exchange) {
            (Some(code), _) => Err(code),
            (None, None) => Err(ErrorCode::ILLEGAL_SASL_STATE),
            (None, Some(exchange)) => exchange
                .step(&request.auth_bytes, &self.shared.settings.users)
                .map_err(|_| ErrorCode::SASL_AUTHENTICATION_FAILED),
        };
        let response = SaslAuthenticateResponse::default();
        let (response, refused) = match step {
            Ok(Step::Continue(token, exchange)) => {
                self.exchange = Some(exchange);
                (response.with_auth_bytes(token.into()), false)
            }
            Ok(Step::Done(token, user)) if self.user.as_ref().is_none_or(|known| *known == user) => {
                self.user = Some(user);
                let lifetime = self.shared.settings.session_lifetime;
                self.expires = lifetime.map(|lifetime| Instant::now() + lifetime);
                let response = response.with_auth_bytes(token.into());
                // Version 0 has no room for it.
                let told = lifetime.filter(|_| head.api_version > 0).unwrap_or_default();
                (response.with_session_lifetime_ms(milliseconds(told).into()), false)
            }
            Ok(Step::Done(..)) => (refused(ErrorCode::SASL_AUTHENTICATION_FAILED), true),
            Err(code) => (refused(code), true),
        };
        encode::<SaslAuthenticateRequest>(
            &mut self.output,
            &response,
            head.api_version,
            head.correlation_id,
        )?;
        if refused { Err(misbehaved("it was not let in")) } else { Ok(()) }
    }

    /// A token with nothing but its length, answered by another.
    async fn answer_bare_token(&mut self) -> Result<(), Ended> {
        while self.input.len() < 4 {
            self.fill(LEAST_READ).await?;
        }
        let prefix = self.input.first_chunk().copied().unwrap_or_default();
        let length = frame_length(prefix, UNKNOWN_REQUEST_BYTES)
            .map_err(|error| Ended::Misbehaved(error.to_string()))?;
        let token = timeout(PATIENCE, self.next_frame(length)).await.map_err(|_| Ended::Idle)??;
        let exchange = self.exchange.take().ok_or_else(|| misbehaved("a token behind the last"))?;
        let step = exchange.step(&token, &self.shared.settings.users);
        let answer = match step.map_err(|_| misbehaved("it was not let in"))? {
            Step::Continue(token, exchange) => {
                self.exchange = Some(exchange);
                token
            }
            Step::Done(token, user) => {
                self.user = Some(user);
                self.bare_tokens = false;
                token
            }
        };
        self.output.put_u32(u32::try_from(answer.len()).unwrap_or_default());
        self.output.put_slice(&answer);
        self.flush().await
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
        if self.output.capacity() > 2 * WRITE_BYTES {
            self.output = BytesMut::new();
        } else {
            self.output.clear();
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

/// Whether clients of this listener must show who they are: those of the first, where there are users.
fn asks_for_users(shared: &Shared, listener: usize) -> bool {
    listener == 0 && !shared.settings.users.is_empty()
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

fn refused(code: ErrorCode) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse::default()
        .with_error_code(code.0)
        .with_error_message(Some(StrBytes::from_static_str(code.description())))
}

fn decode<R: Request>(frame: Bytes, version: i16) -> Result<R, Ended> {
    if !spoken::<R>().contains(version) {
        return Err(Ended::Misbehaved(format!("version {version} of a request, which is not known here")));
    }
    let received = decode_request::<R>(frame, version);
    received.map(|received| received.request).map_err(|error| Ended::Misbehaved(error.to_string()))
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

/// Writes an answer under this number.
type Encode = Box<dyn FnOnce(&mut BytesMut, i32) -> Result<(), Ended> + Send>;

/// A request that was taken up.
enum Begun {
    Ready(Encode),
    Later(std::pin::Pin<Box<dyn Future<Output = Encode> + Send>>),
    Silence,
    HangUp,
}

/// Decodes a request and does it.
struct Begin {
    frame: Bytes,
    call: Call,
    what: What,
}

impl ForHandled for Begin {
    type Output = Result<Begun, Ended>;

    fn run<R: Handle<Response: Send + 'static>>(self) -> Self::Output {
        let Self { frame, mut call, what } = self;
        let version = call.version;
        if !spoken::<R>().contains(version) {
            return Err(Ended::Misbehaved(format!(
                "version {version} of a request, which is not known here"
            )));
        }
        let received =
            decode_request::<R>(frame, version).map_err(|error| Ended::Misbehaved(error.to_string()))?;
        call.client_id = received.client_id.map(|id| id.to_string()).unwrap_or_default();
        let reply = match what.answer {
            Some(code) => Reply::Now(received.request.refuse(code)),
            None => {
                let shared = Arc::clone(&call.shared);
                received.request.handle(&mut shared.cluster(), &call)
            }
        };
        let encode = move |response: R::Response| -> Encode {
            let response = match what.throttle {
                Some(delay) => R::throttle(response, milliseconds(delay)),
                None => response,
            };
            Box::new(move |output, number| encode::<R>(output, &response, version, number))
        };
        Ok(match reply {
            Reply::Now(response) => Begun::Ready(encode(response)),
            Reply::Later(wait) => Begun::Later(Box::pin(async move { encode(wait.await) })),
            Reply::Silence => Begun::Silence,
            Reply::HangUp => Begun::HangUp,
        })
    }
}
