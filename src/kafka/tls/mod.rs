//! TLS 1.2 and 1.3 on a connection to a broker.
//!
//! [`Tls`] is the configuration: which certificate authorities are believed, and a certificate of our own where the
//! broker wants one. Host names are always verified. The cryptography is Graviola's: Rust and assembly, no C; it needs
//! a processor of the last ten years or so.
//!
//! `failure` says in words what went wrong with a handshake, `inspection` what was agreed on in one that went well.

mod failure;
mod inspection;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

pub use self::failure::TlsError;
pub use self::inspection::TlsInspection;

/// How to speak TLS. Cheap to clone; clones share what is made of it, so that a client's connections resume each
/// other's sessions.
///
/// # Defaults
///
/// The authorities that this system believes (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded), or where it has none
/// those of the web; no certificate of our own; TLS 1.2 and 1.3.
///
/// ```
/// use hop::kafka::Tls;
/// let tls = Tls::default().ca_file("/etc/hop/ca.pem");
/// # let _ = tls;
/// ```
#[derive(Clone, Default)]
pub struct Tls {
    ca_file: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    connector: Arc<OnceLock<TlsConnector>>,
}

impl Tls {
    /// Believes the authorities of this PEM file and no others. Kafka's `ssl.ca.location`.
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self { ca_file: Some(path.into()), connector: Arc::default(), ..self }
    }

    /// Shows this certificate (a PEM file, the certificate first and then those that vouch for it), with its private
    /// key (a PEM file without a pass phrase).
    pub fn client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let client_certificate = Some((certificate.into(), key.into()));
        Self { client_certificate, connector: Arc::default(), ..self }
    }

    /// What performs handshakes, made when it is first asked for.
    pub(super) fn connector(&self) -> Result<TlsConnector, TlsError> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector.clone());
        }
        let connector = TlsConnector::from(Arc::new(self.client_config()?));
        Ok(self.connector.get_or_init(|| connector).clone())
    }

    /// The name that a broker's certificate must be for. An IP address must be in it as one.
    pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(ServerName::IpAddress(address.into()));
        }
        // A dot at the end says that the name is complete; certificates do without it.
        let name = host.strip_suffix('.').unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::HostName { host: host.to_owned() })
    }

    fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = provider()?;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Other { reason: error.to_string() })?
            .with_root_certificates(self.roots()?);
        let Some((certificate, key)) = &self.client_certificate else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| TlsError::File { path: key.clone(), reason: pem_reason(error) })?;
        builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| TlsError::File { path: certificate.clone(), reason: error.to_string() })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::File { path: path.clone(), reason: error.to_string() })?;
            }
            return Ok(roots);
        }
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "some of the system's certificate authorities cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Ok(roots)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca_file", &self.ca_file)
            .field("client_certificate", &self.client_certificate)
            .finish_non_exhaustive()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason| TlsError::File { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| failed(pem_reason(error)))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(pem_reason(error)))?;
    if certificates.is_empty() {
        Err(failed("it holds no certificate in PEM form".to_owned()))
    } else {
        Ok(certificates)
    }
}

fn pem_reason(error: rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "it holds nothing of the kind in PEM form".to_owned(),
        error => format!("it is not in PEM form: {error}"),
    }
}

/// Graviola, where this processor can run it: it would abort the program otherwise.
fn provider() -> Result<CryptoProvider, TlsError> {
    let missing = missing_features();
    if missing.is_empty() {
        Ok(rustls_graviola::default_provider())
    } else {
        Err(TlsError::Processor { missing: missing.join(", ") })
    }
}

#[cfg(target_arch = "x86_64")]
fn missing_features() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    [
        (has!("aes"), "aes"),
        (has!("pclmulqdq"), "pclmulqdq"),
        (has!("bmi1"), "bmi1"),
        (has!("bmi2"), "bmi2"),
        (has!("adx"), "adx"),
        (has!("avx"), "avx"),
        (has!("avx2"), "avx2"),
    ]
    .into_iter()
    .filter_map(|(has, name)| (!has).then_some(name))
    .collect()
}

#[cfg(target_arch = "aarch64")]
fn missing_features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    [(has!("neon"), "neon"), (has!("aes"), "aes"), (has!("pmull"), "pmull"), (has!("sha2"), "sha2")]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let name = |host| Tls::server_name(host).map(|name| name.to_str().into_owned());
        assert_eq!(name("broker.example.org."), Ok("broker.example.org".to_owned()));
        assert!(matches!(Tls::server_name("127.0.0.1"), Ok(ServerName::IpAddress(_))));
        assert!(matches!(Tls::server_name("::1"), Ok(ServerName::IpAddress(_))));
        assert_eq!(name("no name"), Err(TlsError::HostName { host: "no name".to_owned() }));
    }

    #[test]
    fn files_that_are_no_certificates_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let failure =
            |path: &Path| Tls::default().ca_file(path).connector().err().map(|error| error.to_string());
        assert!(failure(&path).unwrap().contains("No such file"), "{:?}", failure(&path));
        std::fs::write(&path, "").unwrap();
        assert!(failure(&path).unwrap().contains("no certificate"), "{:?}", failure(&path));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(failure(&path).unwrap().contains("ca.pem"), "{:?}", failure(&path));
    }

    #[test]
    fn the_roots_of_the_system_or_of_the_web_are_there() {
        assert!(!Tls::default().roots().unwrap().is_empty());
    }
}
