//! HTTP/1.1 to the services that stand beside a Kafka: those that give out tokens, and those that keep what is too large
//! for a topic.
//!
//! hyper, on the TCP and TLS that brokers are reached with. Redirects are not followed: a credential goes where it was
//! meant to go, or nowhere. Answers are read up to a bound that the caller states.

mod login;

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::http::uri::{Scheme, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

pub(crate) use self::login::ask_as;
pub(crate) use hyper::{Method, Request, Response, StatusCode, header};

use super::address::Address;
use super::error::{ConnectError, Step};
use super::printable::printable;
use super::sasl::TokenError;
use super::tls::{Tls, TlsError};
use super::transport::Transport;

/// Name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a service may think, and how long each part of its answer may take. What is sent gets time by its size.
const PATIENCE: Duration = Duration::from_secs(30);
/// A slower way to a service is as good as none.
const LEAST_BYTES_A_SECOND: u64 = 10_000;
/// What of an unwanted answer's body is shown.
const MOST_SHOWN: usize = 200;

/// The address of something that HTTP reaches.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpUrl {
    uri: Uri,
    address: Address,
    encrypted: bool,
}

impl HttpUrl {
    /// Whether TLS is spoken.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether both are on one server, reached in one way.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.encrypted == other.encrypted && self.address.same_endpoint(&other.address)
    }

    /// What stands in the first line of a request.
    fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        // What stands in front of an @ may be a password.
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("...@{host}"),
            None => text.to_owned(),
        };
        let error = |reason| HttpUrlError { text: printable(&shown), reason };
        let uri: Uri = text.trim().parse().map_err(|_| error("it is no URL"))?;
        let encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(error("it must start with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| error("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(error("a user name does not belong into it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(error("it names no host"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // Whatever else stands behind the host.
            None if authority.as_str() != authority.host() => return Err(error("its port is no number")),
            None if encrypted => 443,
            None => 80,
        };
        Ok(Self { address: Address::new(host, port), encrypted, uri })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// An address that HTTP cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not the address of a web service: {reason}")]
pub struct HttpUrlError {
    text: String,
    reason: &'static str,
}

/// A connection to a service. Requests go one after the other.
pub(crate) struct HttpConnection {
    url: HttpUrl,
    sender: SendRequest<Full<Bytes>>,
}

impl HttpConnection {
    /// Connects to the server of a URL. Dropping the future, or the connection, closes it.
    pub(crate) async fn open(url: &HttpUrl, tls: &Tls) -> Result<Self, HttpError> {
        let mut step = Step::Resolve;
        let tls = url.encrypted.then_some(tls);
        let connecting = Transport::connect(&url.address, tls, PATIENCE, &mut step);
        let transport = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| HttpError::of_connecting(url, error))?,
            Err(_) => return Err(HttpError::new(url, Failure::Silent { after: CONNECT_TIMEOUT })),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(transport))
            .await
            .map_err(|error| HttpError::new(url, Failure::Broken(error)))?;
        // What goes wrong with it is told to whoever waits for an answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { url: url.clone(), sender })
    }

    /// Sends a request to the path of the URL, and reads the answer: of its body at most `most` bytes.
    ///
    /// Dropping the future leaves the connection unusable.
    pub(crate) async fn ask(
        &mut self,
        request: Builder,
        body: Bytes,
        most: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        let url = self.url.clone();
        let failed = |failure| HttpError::new(&url, failure);
        let (size, answer_within) = (body.len(), time_for(body.len()));
        let host = match url.uri.authority() {
            Some(authority) => authority.as_str(),
            None => "",
        };
        // hyper says nothing of a body that is empty; services that wait for one would wait.
        let says_length = request.method_ref().is_some_and(|method| *method == Method::POST);
        let request = if says_length { request.header(header::CONTENT_LENGTH, size) } else { request };
        let request = request
            .uri(url.target())
            .header(HOST, HeaderValue::from_str(host).map_err(|_| failed(Failure::Unsendable))?)
            .body(Full::new(body))
            .map_err(|_| failed(Failure::Unsendable))?;
        let answer = within(answer_within, self.sender.send_request(request)).await.map_err(failed)?;
        let (head, body) = answer.into_parts();
        let body = whole(body, most).await.map_err(failed)?;
        Ok(Response::from_parts(head, body))
    }

    /// Waits until another request may go this way; whether it may.
    pub(crate) async fn ready(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.sender.ready()).await, Ok(Ok(())))
    }
}

/// How long so many bytes may be on their way.
fn time_for(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    PATIENCE + Duration::from_secs(bytes.div_ceil(LEAST_BYTES_A_SECOND))
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, hyper::Error>>,
) -> Result<T, Failure> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Failure::Broken),
        Err(_) => Err(Failure::Silent { after: patience }),
    }
}

async fn whole(mut body: Incoming, most: usize) -> Result<Bytes, Failure> {
    let too_large = Failure::TooLarge { most };
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large);
    }
    let (began, mut read) = (Instant::now(), BytesMut::new());
    loop {
        // As much as has come had so much time, and what comes next has its own.
        let due = began + time_for(read.len());
        let left = due.saturating_duration_since(Instant::now());
        let Some(frame) = within(left, async { body.frame().await.transpose() }).await? else { break };
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most.saturating_sub(read.len()) {
            return Err(too_large);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// A service beside Kafka did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {failure}")]
pub struct HttpError {
    url: Box<str>,
    #[source]
    failure: Failure,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("its host cannot be found: {0}; check the name and this machine's DNS")]
    Resolve(Arc<std::io::Error>),
    #[error("there is no connection to it: {0}; check the host and the port")]
    Tcp(Arc<std::io::Error>),
    #[error("TLS with it: {0}")]
    Tls(Arc<TlsError>),
    #[error("{0}")]
    Connect(ConnectError),
    #[error("it did not answer within {} s", after.as_secs())]
    Silent { after: Duration },
    #[error("the connection to it broke: {}", chain(.0))]
    Broken(hyper::Error),
    #[error("the request cannot be sent: its address is no text that HTTP takes")]
    Unsendable,
    #[error("its answer is larger than {most} bytes")]
    TooLarge { most: usize },
    #[error("it answers {status}{}", explanation(said))]
    Status { status: StatusCode, said: String },
    #[error("there is no token to say who asks: {0}")]
    Token(Arc<TokenError>),
    #[error("{reason}")]
    Answer { reason: String },
}

impl HttpError {
    fn new(url: &HttpUrl, failure: Failure) -> Self {
        Self { url: url.to_string().into(), failure }
    }

    fn of_connecting(url: &HttpUrl, error: ConnectError) -> Self {
        let failure = match error {
            ConnectError::Resolve { source, .. } => Failure::Resolve(source),
            ConnectError::Tcp { source, .. } => Failure::Tcp(source),
            ConnectError::Tls { source, .. } => Failure::Tls(source),
            other => Failure::Connect(other),
        };
        Self::new(url, failure)
    }

    /// An answer with a status that says no.
    pub(crate) fn status(url: &HttpUrl, answer: &Response<Bytes>) -> Self {
        let body = String::from_utf8_lossy(answer.body());
        let said = printable(body.get(..body.floor_char_boundary(MOST_SHOWN)).unwrap_or_default());
        Self::new(url, Failure::Status { status: answer.status(), said })
    }

    /// An answer that does not say what it should.
    pub(crate) fn answer(url: &HttpUrl, reason: impl Into<String>) -> Self {
        Self::new(url, Failure::Answer { reason: reason.into() })
    }

    fn token(url: &HttpUrl, error: Arc<TokenError>) -> Self {
        Self::new(url, Failure::Token(error))
    }

    /// Whether the same request may succeed later: not where the service understood and said no.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match &self.failure {
            Failure::Resolve(_) | Failure::Tcp(_) | Failure::Silent { .. } | Failure::Broken(_) => true,
            Failure::Tls(source) => matches!(**source, TlsError::HungUp | TlsError::Broken { .. }),
            Failure::Connect(source) => source.is_retriable(),
            Failure::Token(source) => source.is_retriable(),
            Failure::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Failure::Unsendable | Failure::TooLarge { .. } | Failure::Answer { .. } => false,
        }
    }
}

fn explanation(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// hyper's errors say what was being done; why it failed is behind them.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, host, port, encrypted, target) in [
            ("https://auth.test/oauth2/token", "auth.test", 443, true, "/oauth2/token"),
            ("HTTP://h:8080", "h", 8080, false, "/"),
            ("https://[::1]:8443/a?b=c", "::1", 8443, true, "/a?b=c"),
            ("http://[::1]", "::1", 80, false, "/"),
        ] {
            let url: HttpUrl = text.parse().unwrap();
            let parts = (url.address.host(), url.address.port(), url.encrypted, url.target());
            assert_eq!(parts, (host, port, encrypted, target), "{text}");
        }
        for text in [
            "",
            "h",
            "ftp://h/",
            "https://",
            "https:///p",
            "https://u:p@h/",
            "https://h:/",
            "https://h:x/",
            "//h/",
        ] {
            let error = text.parse::<HttpUrl>().unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn an_origin_is_a_host_a_port_and_a_way() {
        let url = |text: &str| text.parse::<HttpUrl>().unwrap();
        assert!(url("https://H.test/a").same_origin(&url("https://h.test:443/b")));
        for other in ["http://h.test:443/a", "https://h.test:444/a", "https://h.test.evil/a"] {
            assert!(!url("https://h.test/a").same_origin(&url(other)), "{other}");
        }
    }
}
