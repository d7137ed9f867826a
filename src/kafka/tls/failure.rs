//! What can be wrong with TLS, in words that say what to do.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why TLS could not be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate is not vouched for by an authority that is believed.
    #[error(
        "its certificate is not signed by an authority that is trusted here; if the broker is the right one, name its authority's certificate file as ssl_ca_location"
    )]
    UnknownIssuer,

    /// The certificate is for another host.
    #[error(
        "its certificate is not for '{host}'{}; use a name that it is for, or check that this is the right broker",
        for_names(names)
    )]
    WrongHost {
        /// The host that was asked for.
        host: String,
        /// The names in the certificate.
        names: Vec<String>,
    },

    /// The certificate's time is over.
    #[error("its certificate has expired; its operators must renew it (or this machine's clock is wrong)")]
    Expired,

    /// The certificate's time is still to come.
    #[error("its certificate is not valid yet; check this machine's clock")]
    NotValidYet,

    /// The certificate was taken back.
    #[error("its certificate has been revoked; do not trust it")]
    Revoked,

    /// Something else is wrong with the certificate.
    #[error("its certificate cannot be trusted: {reason}")]
    Certificate {
        /// What.
        reason: String,
    },

    /// The peer's answer is not TLS.
    #[error("it does not speak TLS on this port; check the port, or connect without encryption")]
    NotTls,

    /// The peer closed the connection during the handshake.
    #[error(
        "it closed the connection during the handshake; it may not speak TLS on this port, or wants a client certificate"
    )]
    HungUp,

    /// The connection broke during the handshake.
    #[error("the connection broke during the handshake: {reason}")]
    Broken {
        /// What the socket said.
        reason: String,
    },

    /// The peer refused us.
    #[error("it refuses the handshake: {reason}")]
    Refused {
        /// What its alert says.
        reason: String,
    },

    /// The host is neither a name nor an address that a certificate can be for.
    #[error("'{host}' is no host name that a certificate can be for")]
    HostName {
        /// The host.
        host: String,
    },

    /// A file with certificates or a key cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },

    /// This processor lacks instructions that the cryptography needs.
    #[error(
        "this processor has no {missing}, which the cryptography in this program needs; use a processor made since about 2015"
    )]
    Processor {
        /// The missing features.
        missing: String,
    },

    /// Anything else.
    #[error("{reason}")]
    Other {
        /// What.
        reason: String,
    },
}

impl TlsError {
    /// Whether TLS is what failed, and not the socket under it.
    pub(in crate::kafka) fn is_behind(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Error>())
    }

    /// What a failed handshake means.
    pub(in crate::kafka) fn classify(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return Self::from_rustls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::HungUp
            }
            _ => Self::Broken { reason: error.to_string() },
        }
    }

    fn from_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::from_certificate(error),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::AlertReceived(alert) => Self::from_alert(*alert),
            error => Self::Other { reason: error.to_string() },
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongHost { host: host(expected), names: presented.iter().map(|name| presented_name(name)).collect() }
            }
            CertificateError::BadSignature => Self::Certificate { reason: "its signature is wrong".to_owned() },
            CertificateError::BadEncoding => Self::Certificate { reason: "it is malformed".to_owned() },
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::Certificate {
                reason: "it is that of an authority and not of a host (a self-signed one is not enough: sign the host's certificate with it)".to_owned(),
            },
            error => Self::Certificate { reason: error.to_string() },
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        let reason = match alert {
            AlertDescription::CertificateRequired => "it wants a client certificate".to_owned(),
            AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor 1.3".to_owned(),
            AlertDescription::HandshakeFailure => {
                "it shares no cipher or no version with us, or wants a client certificate".to_owned()
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown => "it does not accept our client certificate".to_owned(),
            AlertDescription::UnrecognisedName => "it does not answer to this host name".to_owned(),
            alert => format!("alert {alert:?}"),
        };
        Self::Refused { reason }
    }
}

fn host(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// rustls writes names as `DnsName("h")`; what stands between the quotation marks, or the brackets, is meant.
fn presented_name(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"').to_owned()
}

fn for_names(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" but for {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(error: Error) -> TlsError {
        TlsError::classify(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn certificates_that_are_wrong_are_told_apart() {
        let wrong = |error| classify(Error::InvalidCertificate(error));
        assert_eq!(wrong(CertificateError::UnknownIssuer), TlsError::UnknownIssuer);
        assert_eq!(wrong(CertificateError::Expired), TlsError::Expired);
        assert_eq!(wrong(CertificateError::NotValidYet), TlsError::NotValidYet);
        assert_eq!(wrong(CertificateError::Revoked), TlsError::Revoked);
        let context = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: vec!["DnsName(\"b.example\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()],
        };
        let names = vec!["b.example".to_owned(), "127.0.0.1".to_owned()];
        assert_eq!(wrong(context), TlsError::WrongHost { host: "a.example".to_owned(), names });
    }

    #[test]
    fn peers_that_do_not_speak_tls_are_named() {
        assert_eq!(classify(Error::InvalidMessage(InvalidMessage::InvalidContentType)), TlsError::NotTls);
        assert_eq!(TlsError::classify(&io::Error::from(io::ErrorKind::UnexpectedEof)), TlsError::HungUp);
        assert!(matches!(
            classify(Error::AlertReceived(AlertDescription::CertificateRequired)),
            TlsError::Refused { .. }
        ));
    }
}
