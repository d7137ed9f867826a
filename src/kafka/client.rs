//! The way in: a client of one cluster, from which producers and consumers are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;

use super::address::Address;
use super::cluster::Cluster;
use super::consumer::ConsumerBuilder;
use super::error::Error;
use super::printable::printable;
use super::producer::ProducerBuilder;
use super::sasl::Sasl;
use super::settings::Settings;
use super::tls::Tls;
use crate::wire::error_code::ErrorCode;

/// A client of one Kafka cluster. Cheap to clone; clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), hop::kafka::Error> {
/// use hop::kafka::{Client, Sasl, Tls};
/// let client = Client::builder()
///     .bootstrap("broker.example.org:9093")
///     .tls(Tls::default())
///     .sasl(Sasl::scram_sha_512("user", "secret".into()))
///     .connect()
///     .await?;
/// for topic in client.list_topics().await? {
///     println!("{} has {} partitions", topic.name, topic.partitions.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// What to set before connecting.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A producer on this client.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(&self.cluster))
    }

    /// A consumer on this client.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.cluster))
    }

    /// All topics that this user may describe, by name.
    ///
    /// # Errors
    ///
    /// Those of reaching a broker and asking it.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, Error> {
        self.describe(None).await
    }

    /// The topics named, in the order of their names, each with an error where it cannot be described. Nothing is
    /// created.
    ///
    /// # Errors
    ///
    /// Those of reaching a broker and asking it; what is wrong with one topic is in its description.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<Vec<TopicDescription>, Error> {
        let names: Vec<Arc<str>> = names.iter().map(|&name| Arc::from(name)).collect();
        self.describe(Some(&names)).await
    }

    async fn describe(&self, names: Option<&[Arc<str>]>) -> Result<Vec<TopicDescription>, Error> {
        let response = self.cluster.describe(names).await?;
        let mut topics: Vec<_> = response.topics.iter().map(TopicDescription::from).collect();
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }
}

/// A topic as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Whether it is one of Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
    /// Why it cannot be described, or not wholly.
    pub error: Option<ErrorCode>,
}

/// A partition as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// Its number, from 0.
    pub partition: i32,
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync_replicas: Vec<i32>,
}

impl From<&MetadataResponseTopic> for TopicDescription {
    fn from(topic: &MetadataResponseTopic) -> Self {
        let ids =
            |brokers: &[kafka_protocol::messages::BrokerId]| brokers.iter().map(|broker| broker.0).collect();
        let mut partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| PartitionDescription {
                partition: partition.partition_index,
                leader: Some(partition.leader_id.0).filter(|&leader| leader >= 0),
                replicas: ids(&partition.replica_nodes),
                in_sync_replicas: ids(&partition.isr_nodes),
            })
            .collect();
        partitions.sort_unstable_by_key(|partition| partition.partition);
        let code = ErrorCode(topic.error_code);
        Self {
            name: topic.name.as_ref().map(|name| printable(name)).unwrap_or_default(),
            internal: topic.is_internal,
            partitions,
            error: (code != ErrorCode::NONE).then_some(code),
        }
    }
}

/// How to reach a cluster.
///
/// # Defaults
///
/// No TLS and no authentication; client id `hop`; 10 s to connect and authenticate, 30 s for an answer; answers of up
/// to 128 MiB.
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` is awaited"]
pub struct ClientBuilder {
    bootstrap: String,
    topics: Vec<Arc<str>>,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
    client_id: String,
    connect_timeout: Duration,
    request_timeout: Duration,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            bootstrap: String::new(),
            topics: Vec::new(),
            tls: None,
            sasl: None,
            client_id: "hop".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("bootstrap", &self.bootstrap)
            .field("tls", &self.tls.is_some())
            .field("sasl", &self.sasl)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The brokers to begin with, as `host:port`, several with commas between; the others are learnt from them.
    /// The port is 9092 where none is given. Kafka's `bootstrap.servers`.
    pub fn bootstrap(mut self, brokers: &str) -> Self {
        brokers.clone_into(&mut self.bootstrap);
        self
    }

    /// Topics that are going to be read or written: asking for them while connecting saves a round trip.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Speaks TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Authenticates.
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// The name under which brokers log and limit this client. Kafka's `client.id`.
    pub fn client_id(mut self, name: &str) -> Self {
        name.clone_into(&mut self.client_id);
        self
    }

    /// How long a connection may take until it is authenticated: name, TCP, TLS and SASL together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a broker may take to answer a request before its connection is given up.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Connects to the first broker of the list that answers, and learns the others from it.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a value that cannot work; [`Error::Connect`] with the reason of the last broker tried,
    /// or of the first that refused the credential or has a certificate that cannot be trusted.
    pub async fn connect(self) -> Result<Client, Error> {
        let setting = |setting, reason: String| Error::Setting { setting, reason };
        let bootstrap: Vec<Address> = self
            .bootstrap
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|error: super::address::AddressError| setting("bootstrap", error.to_string()))?;
        if bootstrap.is_empty() {
            return Err(setting("bootstrap", "name at least one broker, as HOST:PORT".to_owned()));
        }
        for (name, value) in
            [("connect_timeout", self.connect_timeout), ("request_timeout", self.request_timeout)]
        {
            if value.is_zero() {
                return Err(setting(name, "must be longer than nothing".to_owned()));
            }
        }
        let mut settings = Settings::new(bootstrap);
        settings.tls = self.tls;
        settings.sasl = self.sasl;
        settings.client_id = self.client_id;
        settings.connect_timeout = self.connect_timeout;
        settings.request_timeout = self.request_timeout;
        Ok(Client { cluster: Cluster::connect(settings, &self.topics).await? })
    }
}
