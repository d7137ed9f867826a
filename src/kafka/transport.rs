//! The byte stream under a connection: TCP, or TLS on TCP.
//!
//! Every address of a name is tried in turn (KIP-302), each with its share of the time that is left, so that one dead
//! address does not use up what the others need.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::address::Address;
use super::error::{ConnectError, Step};
use super::tls::{Tls, TlsError};

/// A silent peer is probed after this long, so that a NAT or a pulled cable does not leave a connection half alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connected byte stream.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Connects to `broker` before `deadline`, with TLS where `tls` is given. `step` says how far it came.
    pub(super) async fn connect(
        broker: &Address,
        tls: Option<&Tls>,
        deadline: Instant,
        step: &mut Step,
    ) -> Result<Self, ConnectError> {
        *step = Step::Resolve;
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((broker.host(), broker.port()))
            .await
            .map_err(|source| ConnectError::Resolve { broker: broker.clone(), source: Arc::new(source) })?
            .collect();
        *step = Step::Tcp;
        let socket = connect_any(&addresses, deadline)
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

async fn connect_any(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX).max(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                // A request is a small write that waits for its answer: Nagle's algorithm would hold it back.
                socket.set_nodelay(true)?;
                SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
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
