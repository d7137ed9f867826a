//! A certificate made at the start, so that TLS can be tried without any preparation.

use std::net::IpAddr;
use std::sync::Arc;

use graviola::hashing::Sha256;
use graviola::signing::ecdsa::{P256, SigningKey as Ecdsa};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a broker shows who it is with.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    /// What a client is to trust, as PEM.
    pub(super) pem: String,
}

/// A certificate that cannot be used, or not be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct CertificateError(String);

fn failed(error: impl std::fmt::Display) -> CertificateError {
    CertificateError(error.to_string())
}

/// A private key, and its public half as certificates hold it.
struct Key {
    private: Ecdsa<P256>,
    public: Vec<u8>,
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut buffer = [0; 128];
        let signature = self.private.sign_asn1::<Sha256>(&[message], &mut buffer);
        signature.map(<[u8]>::to_vec).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

impl Certificate {
    /// Makes one that signs itself, for these names and addresses.
    pub(super) fn make(names: &[String]) -> Result<Self, CertificateError> {
        let private = Ecdsa::<P256>::generate().map_err(|error| failed(format!("{error:?}")))?;
        let mut buffer = [0; 256];
        let whole = private.to_spki_der(&mut buffer).map_err(|error| failed(format!("{error:?}")))?;
        // The point, uncompressed, comes last.
        let public = whole.last_chunk::<65>().ok_or_else(|| failed("the public key is too short"))?.to_vec();
        let mut buffer = [0; 512];
        let pkcs8 = private.to_pkcs8_der(&mut buffer).map_err(|error| failed(format!("{error:?}")))?.to_vec();

        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "hop broker");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let random = *uuid::Uuid::new_v4().as_bytes();
        // A serial number is positive.
        params.serial_number = Some(SerialNumber::from(random.map(|byte| byte & 0x7f).to_vec()));
        params.key_identifier_method = KeyIdMethod::PreSpecified(random.to_vec());
        let made = params.self_signed(&Key { private, public }).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        Ok(Self { config: config(vec![made.der().clone()], key)?, pem: made.pem() })
    }

    /// Takes one that was given, with the chain behind it, and its private key, both as PEM.
    pub(super) fn given(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| failed(format!("the certificate is no PEM: {error:?}")))?;
        if chain.is_empty() {
            return Err(failed("the certificate's PEM holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| failed(format!("the private key is no PEM: {error:?}")))?;
        Ok(Self { config: config(chain, key)?, pem: certificate.to_owned() })
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let provider = Arc::new(rustls_graviola::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed(format!("the certificate and the private key: {error}")))?;
    Ok(Arc::new(config))
}

/// The names under which a broker that listens here is reached.
pub(super) fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) || host == "localhost" {
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        names.sort_unstable();
        names.dedup();
    }
    names
}
