//! SIGHUP: the credential file is read again, and what is found there is used from then on.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::arguments::Connection;
use crate::cli::{Failure, connect};
use crate::kafka::Client;

/// Hears of the signal from when it is made, so that one that comes while the first broker is being connected to ends
/// nothing.
#[derive(Debug)]
pub(super) struct Hangup(Signal);

impl Hangup {
    pub(super) fn listen() -> Option<Self> {
        hangup().map(Self)
    }

    /// Gives the client what the file has for the URL, each time the signal comes.
    pub(super) fn reload(mut self, connection: Connection, url: String, client: Client) {
        tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                read_again(&connection, &url, &client);
            }
        });
    }
}

fn read_again(connection: &Connection, url: &str, client: &Client) {
    if connection.no_auth {
        tracing::debug!("received SIGHUP: there is no credential to read again");
        return;
    }
    let renewed =
        connect(connection).and_then(|stream| stream.renew_access(client, url).map_err(Failure::from));
    match renewed {
        Ok(()) => {
            tracing::info!(
                "received SIGHUP: the credential file was read, for connections and logins to come"
            );
        }
        Err(error) => tracing::warn!(%error, "received SIGHUP, and go on with the credential as it was"),
    }
}

#[cfg(unix)]
fn hangup() -> Option<Signal> {
    signal(SignalKind::hangup()).ok()
}

/// There is no such signal.
#[cfg(not(unix))]
#[derive(Debug)]
struct Signal;

#[cfg(not(unix))]
impl Signal {
    async fn recv(&mut self) -> Option<()> {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
fn hangup() -> Option<Signal> {
    Some(Signal)
}
