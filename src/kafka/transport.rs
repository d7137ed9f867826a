//! The byte stream under a connection: TCP, or TLS on TCP.
//!
//! Where a name has several addresses (KIP-302), the next is tried as soon as one fails, or has not answered for a
//! moment; the first to answer is taken (RFC 8305, "Happy Eyeballs"). So a dead address costs a quarter of a second.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use super::error::{ConnectError, Step};
use super::tls::{Tls, TlsError};

/// A silent peer is probed: some requests are answered after minutes only, and by then a NAT may have forgotten the
/// connection, or a cable have been pulled. What is probed often is also not forgotten.
const PROBE_AFTER: Duration = Duration::from_secs(15);
#[cfg(target_os = "linux")]
const PROBE_AGAIN: Duration = Duration::from_secs(5);
#[cfg(target_os = "linux")]
const MOST_PROBES: u32 = 3;
/// For so long an address is given the chance to answer alone.
const HEAD_START: Duration = Duration::from_millis(250);

/// A connected byte stream.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Connects to `broker`, with TLS where that is set. Its name is looked up each time. `patience` is how long the peer's
    /// side of TCP may leave what was sent without a word; `step` says how far it came.
    pub(super) async fn connect(
        broker: &Address,
        tls: Option<&Tls>,
        patience: Duration,
        step: &mut Step,
    ) -> Result<Self, ConnectError> {
        *step = Step::Resolve;
        let addresses = tokio::net::lookup_host((broker.host(), broker.port()))
            .await
            .map_err(|source| ConnectError::Resolve { broker: broker.clone(), source: Arc::new(source) })?;
        *step = Step::Tcp;
        let socket = first_to_connect(families_in_turn(addresses), |address| connect(address, patience))
            .await
            .map_err(|source| ConnectError::Tcp { broker: broker.clone(), source: Arc::new(source) })?;
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };

        *step = Step::Tls;
        let failed =
            |source: TlsError| ConnectError::Tls { broker: broker.clone(), source: Arc::new(source) };
        let connector = tls.connector().map_err(failed)?;
        let name = Tls::server_name(broker.host()).map_err(failed)?;
        let stream =
            connector.connect(name, socket).await.map_err(|error| failed(TlsError::classify(&error)))?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

/// The addresses with the two families in turn, the resolver's first choice first: where one family does not work at
/// all, the second address is of the other.
fn families_in_turn(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.peekable();
    let first_is_6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (VecDeque<_>, VecDeque<_>) =
        addresses.partition(|address| address.is_ipv6() == first_is_6);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut in_turn = VecDeque::new();
    loop {
        let before = in_turn.len();
        in_turn.extend(preferred.next().into_iter().chain(other.next()));
        if in_turn.len() == before {
            return in_turn;
        }
    }
}

/// The first connection that comes about; the other attempts are given up. Where none does, the last failure.
async fn first_to_connect<F, T>(
    mut addresses: VecDeque<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(connect(address));
        }
        let next = async {
            if addresses.is_empty() {
                std::future::pending::<()>().await;
            } else {
                sleep(HEAD_START).await;
            }
        };
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(error))) => last = error,
                // An attempt neither panics nor is it cancelled.
                Some(Err(_)) => {}
                None => return Err(last),
            },
            () = next => {}
        }
    }
}

/// `patience` is how long the peer's side of TCP may leave what was sent without a word.
async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    // A request is a small write that waits for its answer: Nagle's algorithm would hold it back.
    socket.set_nodelay(true)?;
    watch(&SockRef::from(&socket), patience)?;
    Ok(socket)
}

/// The system counts milliseconds in a signed number.
#[cfg(target_os = "linux")]
const LONGEST_PATIENCE: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);

/// Has the system end the connection when its other end is gone, whether there is something under way or not.
#[cfg(target_os = "linux")]
fn watch(socket: &SockRef<'_>, patience: Duration) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER);
    socket.set_tcp_keepalive(&probes.with_interval(PROBE_AGAIN).with_retries(MOST_PROBES))?;
    // Probes are not sent while something is under way.
    socket.set_tcp_user_timeout(Some(patience.min(LONGEST_PATIENCE)))
}

/// Has the system probe a silent peer, as often as it does.
#[cfg(not(target_os = "linux"))]
fn watch(socket: &SockRef<'_>, _patience: Duration) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> VecDeque<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let resolved = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let in_turn = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(families_in_turn(resolved.into_iter()), in_turn);
        assert!(families_in_turn(std::iter::empty()).is_empty());
    }

    /// Port 1 never answers, port 2 refuses at once, the others answer after as many milliseconds.
    async fn pretend(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => {
                sleep(Duration::from_millis(port.into())).await;
                Ok(port)
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_its_head_start_and_one_that_refuses_nothing() {
        let start = Instant::now();
        let silent = addresses(&["127.0.0.1:1", "127.0.0.1:40"]);
        assert_eq!(first_to_connect(silent, pretend).await.unwrap(), 40);
        assert_eq!(start.elapsed(), HEAD_START + Duration::from_millis(40));

        let start = Instant::now();
        let refuses = addresses(&["127.0.0.1:2", "127.0.0.1:2", "127.0.0.1:40"]);
        assert_eq!(first_to_connect(refuses, pretend).await.unwrap(), 40);
        assert_eq!(start.elapsed(), Duration::from_millis(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_may_still_win() {
        let slow = addresses(&["127.0.0.1:300", "127.0.0.1:900"]);
        assert_eq!(first_to_connect(slow, pretend).await.unwrap(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_answers_the_last_failure_is_told() {
        let error = first_to_connect(addresses(&["127.0.0.1:2", "127.0.0.1:2"]), pretend).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = first_to_connect(VecDeque::new(), pretend).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
