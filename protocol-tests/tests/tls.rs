//! Every way in which TLS can go well or wrong, with certificates made for the occasion.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what is wrong by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use graviola::hashing::Sha256;
use graviola::signing::ecdsa::{P256, SigningKey as Ecdsa};
use hop::kafka::tls::TlsError;
use hop::kafka::{Client, ConnectError, Error, Tls};
use protocol_tests::scripted_peer::{Answer, Peer};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

// ---- Certificates ---------------------------------------------------------------------------------------------

/// A private key, and its public half as certificates hold it.
struct Key {
    private: Ecdsa<P256>,
    public: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let private = Ecdsa::<P256>::generate().unwrap();
        let mut buffer = [0; 256];
        let whole = private.to_spki_der(&mut buffer).unwrap();
        // The point, uncompressed, comes last.
        let public = whole.last_chunk::<65>().unwrap().to_vec();
        Self { private, public }
    }

    fn pkcs8(&self) -> Vec<u8> {
        self.private.to_pkcs8_der(&mut [0; 512]).unwrap().to_vec()
    }
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

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.serial_number = Some(SerialNumber::from(7_u64));
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    params
}

/// An authority, and the file that names it.
struct Authority {
    params: CertificateParams,
    key: Key,
    der: CertificateDer<'static>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::named("an authority for tests")
    }

    fn named(name: &str) -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = Key::new();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { params, key, der: certificate.der().clone(), directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn tls(&self) -> Tls {
        Tls::default().ca_file(self.file())
    }

    fn sign(&self, params: &CertificateParams) -> (rcgen::Certificate, Key) {
        let key = Key::new();
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap(), key)
    }
}

// ---- A broker behind TLS ----------------------------------------------------------------------------------------

/// How a server greets.
struct Greeting {
    certificate: (rcgen::Certificate, Key),
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Whose clients it lets in, where it wants to see a certificate.
    clients: Option<CertificateDer<'static>>,
}

impl Greeting {
    fn new(certificate: (rcgen::Certificate, Key)) -> Self {
        Self { certificate, versions: vec![&TLS12, &TLS13], clients: None }
    }
}

/// What the server saw of a handshake.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    kind: Option<HandshakeKind>,
    name: Option<String>,
    version: Option<rustls::ProtocolVersion>,
}

struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    broker: Peer,
}

impl Server {
    async fn start(greeting: Greeting) -> Self {
        let provider = Arc::new(rustls_graviola::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&greeting.versions)
            .unwrap();
        let builder = match greeting.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = greeting.certificate;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let broker = Peer::start(|_| Answer::Normally).await;
        let behind = broker.bootstrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let note = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, behind, note) = (acceptor.clone(), behind.clone(), Arc::clone(&note));
                tokio::spawn(async move {
                    let mut stream = match acceptor.accept(socket).into_fallible().await {
                        Ok(stream) => stream,
                        Err((_, socket)) => {
                            // The alert is on its way: closing at once could overtake it.
                            let _ = tokio::io::copy(&mut { socket }, &mut tokio::io::sink()).await;
                            return;
                        }
                    };
                    let connection = stream.get_ref().1;
                    note.lock().unwrap().push(Seen {
                        kind: connection.handshake_kind(),
                        name: connection.server_name().map(str::to_owned),
                        version: connection.protocol_version(),
                    });
                    let mut broker = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut broker).await;
                });
            }
        });
        Self { port, seen, broker }
    }

    async fn connect(&self, host: &str, tls: Tls) -> Result<Client, Error> {
        Client::builder().bootstrap(&format!("{host}:{}", self.port)).tls(tls).connect().await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn failure(server: &Server, host: &str, tls: Tls) -> TlsError {
    match server.connect(host, tls).await {
        Err(Error::Connect(ConnectError::Tls { source, .. })) => (*source).clone(),
        other => panic!("expected TLS to fail, not {other:?}"),
    }
}

// ---- The tests --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn both_versions_are_spoken_and_the_name_is_told() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let certificate = authority.sign(&params(&["localhost"]));
        let server = Server::start(Greeting { versions: vec![version], ..Greeting::new(certificate) }).await;
        server.connect("localhost", authority.tls()).await.unwrap();
        let seen = server.seen().remove(0);
        assert_eq!(seen.version, Some(version.version));
        assert_eq!(seen.name.as_deref(), Some("localhost"));
    }
}

#[tokio::test]
async fn an_address_must_be_in_the_certificate_as_one() {
    let authority = Authority::new();
    let server = Server::start(Greeting::new(authority.sign(&params(&["127.0.0.1"])))).await;
    server.connect("127.0.0.1", authority.tls()).await.unwrap();
    // An address is no name to be told.
    assert_eq!(server.seen().remove(0).name, None);

    let server = Server::start(Greeting::new(authority.sign(&params(&["localhost"])))).await;
    let error = failure(&server, "127.0.0.1", authority.tls()).await;
    let names = vec!["localhost".to_owned()];
    assert_eq!(error, TlsError::WrongHost { host: "127.0.0.1".to_owned(), names });
}

#[tokio::test]
async fn each_way_a_certificate_can_be_wrong_is_said() {
    let (authority, other) = (Authority::new(), Authority::named("another"));
    let mut expired = params(&["localhost"]);
    expired.not_after = date_time_ymd(2020, 2, 1);
    let mut early = params(&["localhost"]);
    early.not_before = date_time_ymd(2098, 1, 1);
    let mut for_clients = params(&["localhost"]);
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let wrong_host =
        TlsError::WrongHost { host: "localhost".to_owned(), names: vec!["broker.example.org".to_owned()] };
    for (certificate, expected) in [
        (authority.sign(&expired), Some(TlsError::Expired)),
        (authority.sign(&early), Some(TlsError::NotValidYet)),
        (authority.sign(&params(&["broker.example.org"])), Some(wrong_host)),
        (other.sign(&params(&["localhost"])), None),
        (authority.sign(&for_clients), None),
    ] {
        let server = Server::start(Greeting::new(certificate)).await;
        let error = failure(&server, "localhost", authority.tls()).await;
        match expected {
            Some(expected) => assert_eq!(error, expected),
            None => assert!(
                matches!(
                    error,
                    TlsError::UnknownIssuer | TlsError::Certificate { .. } | TlsError::Other { .. }
                ),
                "{error:?}"
            ),
        }
        assert_eq!(server.broker.opened(), 0, "nothing reaches a broker that is not trusted");
    }
}

#[tokio::test]
async fn one_that_signed_itself_is_not_trusted_unless_it_is_named() {
    let authority = Authority::new();
    let key = Key::new();
    let certificate = params(&["localhost"]).self_signed(&key).unwrap();
    let server = Server::start(Greeting::new((certificate, key))).await;
    assert_eq!(failure(&server, "localhost", authority.tls()).await, TlsError::UnknownIssuer);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_wanted() {
    let (authority, other) = (Authority::new(), Authority::named("another"));
    for version in [&TLS12, &TLS13] {
        let greeting = Greeting {
            versions: vec![version],
            clients: Some(authority.der.clone()),
            ..Greeting::new(authority.sign(&params(&["localhost"])))
        };
        let server = Server::start(greeting).await;
        let mut client = params(&[]);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

        let directory = tempfile::tempdir().unwrap();
        let shown_by = |authority: &Authority| {
            let (certificate, key) = authority.sign(&client);
            let (path, key_path) = (directory.path().join("client.pem"), directory.path().join("key.pem"));
            std::fs::write(&path, certificate.pem()).unwrap();
            std::fs::write(&key_path, private_pem(&key)).unwrap();
            (path, key_path)
        };
        let (path, key_path) = shown_by(&authority);
        server.connect("localhost", authority.tls().client_certificate(path, key_path)).await.unwrap();

        let (path, key_path) = shown_by(&other);
        let error = failure(&server, "localhost", authority.tls().client_certificate(path, key_path)).await;
        assert!(error.to_string().contains("does not accept our client certificate"), "{error}");

        let error = failure(&server, "localhost", authority.tls()).await;
        assert!(error.to_string().contains("wants a client certificate"), "{error}");
    }
}

fn private_pem(key: &Key) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(key.pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let certificate = authority.sign(&params(&["localhost"]));
        let server = Server::start(Greeting { versions: vec![version], ..Greeting::new(certificate) }).await;
        let tls = authority.tls();
        let client = server.connect("localhost", tls.clone()).await.unwrap();
        // Tickets come behind the handshake; an answer proves that they have been read.
        client.list_topics().await.unwrap();
        client.close().await;
        server.connect("localhost", tls).await.unwrap();
        let kinds: Vec<_> = server.seen().into_iter().map(|seen| seen.kind).collect();
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)], "{version:?}");
    }
}
