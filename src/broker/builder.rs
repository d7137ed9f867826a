//! How a broker is set up, checked before it listens.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::access::{Access, Denial};
use super::certificate::{self, Certificate};
use super::cluster::{Cluster, Node};
use super::credentials::Users;
use super::lock::Lock;
use super::settings::{Fsync, Settings};
use super::shared::{MOST_REQUEST_KIB, Shared, now};
use super::topic_settings::TopicSettings;
use super::{Broker, StartError, listener};

/// Sets up a [`Broker`]; see [`Broker::builder`].
///
/// | setting | default |
/// | --- | --- |
/// | address | 127.0.0.1, a free port for each broker |
/// | brokers | 1 |
/// | TLS, users | none: anybody is let in |
/// | topics | made when they are first asked for, with one partition |
/// | storage | memory, 256 MiB of messages; then the oldest make room |
/// | retention | a week, as a topic's `retention.ms` says |
///
/// ```
/// use hop::broker::{Broker, Denial, Operation};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder()
///     .tls()
///     .user("observer", "secret".to_owned())
///     .topic("alerts", 3)
///     .topic("embargoed", 1)
///     .deny(Denial::new("observer", Operation::Read, "embargoed"))
///     .start()
///     .await?;
/// assert!(broker.certificate_pem().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct BrokerBuilder {
    listen: String,
    port: u16,
    plaintext: Option<(String, u16)>,
    brokers: u16,
    topics: Vec<(String, i32)>,
    users: Users,
    denials: Vec<Denial>,
    tls: TlsChoice,
    data: Option<PathBuf>,
    fsync: Fsync,
    memory_bytes: u64,
    creates_topics: bool,
    partitions: i32,
    session_lifetime: Option<Duration>,
    rebalance_delay: Duration,
    heartbeat_interval: Duration,
    session_timeouts: RangeInclusive<Duration>,
    connections: usize,
    request_bytes: usize,
}

#[derive(Debug)]
enum TlsChoice {
    None,
    Made,
    Given { certificate: String, key: SecretString },
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1".to_owned(),
            port: 0,
            plaintext: None,
            brokers: 1,
            topics: Vec::new(),
            users: Users::default(),
            denials: Vec::new(),
            tls: TlsChoice::None,
            data: None,
            fsync: Fsync::Every(Duration::from_secs(1)),
            memory_bytes: 256 * 1024 * 1024,
            creates_topics: true,
            partitions: 1,
            session_lifetime: None,
            rebalance_delay: Duration::ZERO,
            heartbeat_interval: Duration::from_secs(5),
            session_timeouts: Duration::from_secs(6)..=Duration::from_mins(30),
            connections: 1000,
            request_bytes: 100 * 1024 * 1024,
        }
    }
}

impl BrokerBuilder {
    /// Where to listen: a host name or address, which clients are told too, and a port, of which 0 takes a free one.
    /// Further brokers take the ports behind it.
    pub fn listen(mut self, host: impl Into<String>, port: u16) -> Self {
        self.listen = host.into();
        self.port = port;
        self
    }

    /// Listens here too, without TLS and for anybody: for what runs on the same machine.
    pub fn plaintext(mut self, host: impl Into<String>, port: u16) -> Self {
        self.plaintext = Some((host.into(), port));
        self
    }

    /// Pretends to be this many brokers, numbered from 0, in one process: partitions and groups are spread over them.
    pub fn brokers(mut self, count: u16) -> Self {
        self.brokers = count;
        self
    }

    /// Has a topic with this many partitions. One that a directory holds already stays as it is.
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Lets a user in, by SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, and nobody who is not named so.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }

    /// Denies something to somebody.
    pub fn deny(mut self, denial: Denial) -> Self {
        self.denials.push(denial);
        self
    }

    /// Speaks TLS, with a certificate made for the occasion: [`Broker::certificate_pem`] is what clients are to trust.
    pub fn tls(mut self) -> Self {
        self.tls = TlsChoice::Made;
        self
    }

    /// Speaks TLS with this certificate, and the chain behind it, and its private key, both as PEM.
    pub fn tls_certificate(mut self, certificate: impl Into<String>, key: impl Into<SecretString>) -> Self {
        self.tls = TlsChoice::Given { certificate: certificate.into(), key: key.into() };
        self
    }

    /// Keeps topics, messages, groups and producers in a directory, which is made if it is not there and is used by one
    /// broker at a time. What was acknowledged survives the end of the process however it comes.
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data = Some(directory.into());
        self
    }

    /// When what is kept in a directory reaches the disk itself.
    pub fn fsync(mut self, policy: Fsync) -> Self {
        self.fsync = policy;
        self
    }

    /// How many bytes of messages are kept in memory, all topics together, where there is no directory.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Whether a topic is made when a client that wants so asks for it.
    pub fn create_topics(mut self, create: bool) -> Self {
        self.creates_topics = create;
        self
    }

    /// How many partitions a topic has for which nothing is said.
    pub fn default_partitions(mut self, count: i32) -> Self {
        self.partitions = count;
        self
    }

    /// Ends a login after this time, unless it is renewed (KIP-368).
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = Some(lifetime);
        self
    }

    /// How long a new group waits for further members before it begins; not at all by default, 3 s in Kafka.
    pub fn rebalance_delay(mut self, delay: Duration) -> Self {
        self.rebalance_delay = delay;
        self
    }

    /// How often members under KIP-848 are told to say that they live, and so how soon they learn of changes; every 5 s
    /// by default, as in Kafka.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// Which session time-outs members may ask for; 6 s to 30 min by default, as in Kafka.
    pub fn session_timeouts(mut self, range: RangeInclusive<Duration>) -> Self {
        self.session_timeouts = range;
        self
    }

    /// How many connections each listener of each broker takes at a time; 1,000 by default. Further ones are closed at
    /// once.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// How many bytes a request that brings records may have: 1 KiB to 256 MiB, and 100 MiB by default, as in Kafka.
    /// Others may have 1 MiB at most, and those of a client that has not shown who it is 64 KiB.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// Starts the broker. It listens when this returns. Dropping the future leaves nothing behind but the directory.
    ///
    /// # Errors
    ///
    /// [`StartError`] for settings that cannot be, a port that is taken, a directory that cannot be used.
    pub async fn start(self) -> Result<Broker, StartError> {
        self.check()?;
        let certificate = match &self.tls {
            TlsChoice::None => None,
            TlsChoice::Made => Some(Certificate::make(&certificate::names(&self.listen))),
            TlsChoice::Given { certificate, key } => {
                Some(Certificate::given(certificate, key.expose_secret()))
            }
        };
        let certificate =
            certificate.transpose().map_err(|error| StartError::Certificate { reason: error.to_string() })?;
        let lock = match &self.data {
            None => None,
            Some(directory) => Some(
                Lock::take(directory)
                    .map_err(|source| StartError::Directory { path: directory.clone(), source })?,
            ),
        };
        let (listeners, nodes) = self.bind().await?;

        let settings = Arc::new(Settings {
            creates_topics: self.creates_topics,
            partitions: self.partitions,
            memory_bytes: self.memory_bytes,
            request_bytes: self.request_bytes,
            connections: self.connections,
            session_lifetime: self.session_lifetime,
            rebalance_delay: self.rebalance_delay,
            heartbeat_interval: self.heartbeat_interval,
            session_timeouts: self.session_timeouts,
            users: self.users,
            access: Access::new(self.denials),
            fsync: if self.data.is_some() { self.fsync } else { Fsync::Never },
        });
        let mut cluster = Cluster::new(nodes.clone(), Arc::clone(&settings));
        if let Some(directory) = &self.data {
            let opened = cluster.open(directory, now());
            opened.map_err(|source| StartError::Directory { path: directory.clone(), source })?;
        }
        for (name, partitions) in self.topics {
            if cluster.topics.contains_key(&name) {
                continue;
            }
            let created = cluster.create_topic(&name, partitions, TopicSettings::default());
            created.map_err(|refusal| StartError::Topic { name, reason: refusal.reason })?;
        }
        let shared = Arc::new(Shared::new(cluster, settings));
        let mut tasks = JoinSet::new();
        for (listener, node, number) in listeners {
            let tls = certificate.as_ref().filter(|_| number == 0);
            let tls = tls.map(|certificate| Arc::clone(&certificate.config));
            tasks.spawn(listener::accept(listener, tls, Arc::clone(&shared), node, number));
        }
        let clock = Arc::clone(&shared);
        tasks.spawn(async move { clock.keep_time().await });
        let disk = Arc::clone(&shared);
        tasks.spawn(async move { disk.keep_synced().await });
        let certificate_pem = certificate.map(|certificate| certificate.pem);
        Ok(Broker { shared, nodes, certificate_pem, tasks, _lock: lock })
    }

    fn check(&self) -> Result<(), StartError> {
        let wrong = |reason: &str| Err(StartError::Setting { reason: reason.to_owned() });
        if self.brokers == 0 || self.brokers > 100 {
            return wrong("there are 1 to 100 brokers");
        }
        if self.partitions < 1 {
            return wrong("a topic has 1 partition or more");
        }
        if let Some((name, _)) = self.topics.iter().find(|(_, partitions)| *partitions < 1) {
            return wrong(&format!("topic {name} is to have 1 partition or more"));
        }
        if self.connections == 0 {
            return wrong("a broker takes 1 connection or more");
        }
        if self.request_bytes < 1024 || self.request_bytes.div_ceil(1024) > MOST_REQUEST_KIB {
            return wrong("requests of 1 KiB to 256 MiB can be taken");
        }
        if self.fsync == Fsync::Every(Duration::ZERO) {
            return wrong("an interval of 0 is what Fsync::Always is for");
        }
        Ok(())
    }

    /// The sockets of each broker, with its number and that of the listener, and how clients are told to reach it.
    async fn bind(&self) -> Result<(Vec<(TcpListener, i32, usize)>, Vec<Node>), StartError> {
        let plaintext = self.plaintext.as_ref().map(|(host, port)| (host.as_str(), *port));
        let mut listeners = Vec::new();
        let mut nodes = Vec::new();
        for id in 0..self.brokers {
            let mut endpoints = Vec::new();
            for (number, (host, first)) in
                [(self.listen.as_str(), self.port)].into_iter().chain(plaintext).enumerate()
            {
                let port = if first == 0 { Some(0) } else { first.checked_add(id) };
                let failed = |source| StartError::Listen {
                    address: format!("{host}:{}", port.unwrap_or_default()),
                    source,
                };
                let port = port.ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
                let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                endpoints.push((StrBytes::from_string(advertised(host, address)), address.port().into()));
                listeners.push((listener, id.into(), number));
            }
            nodes.push(Node { id: id.into(), endpoints });
        }
        Ok((listeners, nodes))
    }
}

/// The host that clients are told: no client reaches the address that stands for all.
fn advertised(host: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() { "localhost".to_owned() } else { host.to_owned() }
}
