//! A broker's port: takes connections, and sees each to its end.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{Ended, serve};
use super::shared::Shared;

/// How long a client may take over the TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait when there is no descriptor left for another connection.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections to a broker's listener of this number for as long as it is polled; with it go the connections.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    node: i32,
    number: usize,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot take a connection: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        if connections.len() >= shared.settings.connections {
            tracing::warn!("{peer} is turned away: {} connections are open", connections.len());
            continue;
        }
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        connections.spawn(async move {
            let ended = serve_stream(stream, acceptor, shared, (node, number), peer.ip().to_string()).await;
            match ended {
                Ended::ByClient | Ended::OnRequest | Ended::Io(_) => {
                    tracing::debug!("connection of {peer}: {ended}");
                }
                Ended::Idle | Ended::Misbehaved(_) => {
                    tracing::info!("connection of {peer} ended: {ended}");
                }
            }
        });
    }
}

async fn serve_stream(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    (node, listener): (i32, usize),
    host: String,
) -> Ended {
    if let Err(error) = stream.set_nodelay(true) {
        return error.into();
    }
    // As Kafka writes it.
    let host = format!("/{host}");
    let Some(acceptor) = acceptor else { return serve(stream, shared, node, listener, host).await };
    match timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, shared, node, listener, host).await,
        Ok(Err(error)) => Ended::Misbehaved(format!("TLS: {error}")),
        Err(_) => Ended::Idle,
    }
}
