//! What was agreed on with a broker, and for how long its certificates are good.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ClientConnection, ProtocolVersion};
use tokio::net::TcpStream;

use super::{Tls, TlsError, provider};

const DAY: u64 = 24 * 60 * 60;
/// Nobody needs to know more.
const MOST_DAYS: u64 = 3650;

/// A TLS handshake that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInspection {
    /// The version, such as `TLS 1.3`.
    pub protocol: String,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: String,
    /// How many certificates the broker showed.
    pub certificates: usize,
    /// For how long from now on they will be believed, in whole days; ten years at most.
    pub valid_for: Duration,
}

impl Tls {
    /// Shakes hands with the broker at the other end of a socket, as a connection does, and closes it. `host` is the name
    /// that the certificate must be for.
    ///
    /// Dropping the future closes the socket.
    ///
    /// # Errors
    ///
    /// What is wrong, and the remedy.
    pub async fn inspect(&self, host: &str, socket: TcpStream) -> Result<TlsInspection, TlsError> {
        let name = Self::server_name(host)?;
        let stream =
            self.connector()?.connect(name, socket).await.map_err(|error| TlsError::classify(&error))?;
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Ok(TlsInspection {
            protocol: protocol(connection),
            cipher_suite: suite.unwrap_or("an unknown cipher suite").to_owned(),
            certificates: chain.len(),
            valid_for: self.valid_for(host, chain)?,
        })
    }

    /// Asks of days to come whether the chain would be believed then: all of its certificates count, and only that.
    fn valid_for(&self, host: &str, chain: &[CertificateDer<'static>]) -> Result<Duration, TlsError> {
        let name = Self::server_name(host)?;
        let Some((certificate, others)) = chain.split_first() else { return Ok(Duration::ZERO) };
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::new(provider()?))
                .build()
                .map_err(|error| TlsError::Other { reason: error.to_string() })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_valid_in = |days: u64| {
            let then = UnixTime::since_unix_epoch(now.saturating_add(Duration::from_secs(days * DAY)));
            verifier.verify_server_cert(certificate, others, &name, &[], then).is_ok()
        };
        Ok(Duration::from_secs(greatest(MOST_DAYS, is_valid_in) * DAY))
    }
}

/// The greatest number up to `most` for which something holds that holds for all numbers below; 0 where it never does.
fn greatest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

fn protocol(connection: &ClientConnection) -> String {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::greatest;

    #[test]
    fn the_last_day_is_found() {
        for last in [0, 1, 2, 99, 100] {
            assert_eq!(greatest(100, |day| day <= last), last);
        }
        assert_eq!(greatest(100, |_| false), 0);
    }
}
