//! The way in: a client of one cluster, from which producers and consumers are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;

use super::address::Address;
use super::admin::Admin;
use super::cluster::Cluster;
use super::consumer::ConsumerBuilder;
use super::error::Error;
use super::metrics::BrokerMetrics;
use super::printable::printable;
use super::producer::ProducerBuilder;
use super::sasl::Sasl;
use super::settings::{Access, FOREVER, Settings};
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
    pub(super) fn of(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

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

    /// A consumer that shares records with others of a group (KIP-932), on this client. Wants Kafka 4.2.
    ///
    /// ```no_run
    /// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
    /// let mut consumer = client.share_consumer().topics(["alerts"]).group("workers").build().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "share-groups")]
    pub fn share_consumer(&self) -> super::share::ShareConsumerBuilder {
        super::share::ShareConsumerBuilder::new(Arc::clone(&self.cluster))
    }

    /// What an administrator does, on this client.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.cluster))
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

    /// What this client has sent to each broker and got from it, by the brokers' addresses. Costs the connections
    /// nothing.
    ///
    /// ```no_run
    /// # fn example(client: hop::kafka::Client) {
    /// for broker in client.metrics() {
    ///     println!("{}: {} in flight, 99 % within {:?}", broker.broker, broker.in_flight, broker.latencies.quantile(0.99));
    /// }
    /// # }
    /// ```
    pub fn metrics(&self) -> Vec<BrokerMetrics> {
        self.cluster.settings.metrics.read()
    }

    /// From now on opens connections, and renews logins, with these instead of what the client was built with: after a
    /// password was changed, or with a token that is good for longer. Producers, consumers and clones of this client do
    /// as well.
    ///
    /// What is open stays open. When a login is to be renewed (KIP-368) and is now another user's, which brokers refuse,
    /// its connection is closed once what is in flight is answered, and the next request opens another.
    ///
    /// ```no_run
    /// # fn example(client: hop::kafka::Client) {
    /// use hop::kafka::{Sasl, Tls};
    /// client.set_access(Some(Tls::default()), Some(Sasl::scram_sha_512("user", "new secret".into())));
    /// # }
    /// ```
    pub fn set_access(&self, tls: Option<Tls>, sasl: Option<Sasl>) {
        self.cluster.settings.access.store(Arc::new(Access { tls, sasl }));
    }

    /// How connections are opened and logins renewed from now on.
    #[cfg(feature = "http")]
    pub(crate) fn access(&self) -> (Option<Tls>, Option<Sasl>) {
        let access = self.cluster.settings.access.load_full();
        (access.tls.clone(), access.sasl.clone())
    }

    /// Closes the connections when what is in flight has been answered: nothing is cut off, and brokers need not find
    /// out by themselves that this client has gone. Producers and consumers of this client, and its clones, should be
    /// done with; one that is not opens new connections.
    ///
    /// Dropping the future leaves the rest to be closed when the last clone is dropped.
    pub async fn close(self) {
        self.cluster.close().await;
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

impl TopicDescription {
    /// Whether it exists, and this user may see it.
    pub fn is_there(&self) -> bool {
        let gone = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::TOPIC_AUTHORIZATION_FAILED];
        self.error.is_none_or(|error| !gone.contains(&error))
    }
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
/// to 128 MiB; connections closed after 9 min without a request; metadata asked for anew after 5 min.
#[derive(Default)]
#[must_use = "a builder does nothing until `connect` is awaited"]
pub struct ClientBuilder {
    bootstrap: String,
    topics: Vec<Arc<str>>,
    access: Access,
    settings: Settings,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("bootstrap", &self.bootstrap)
            .field("tls", &self.access.tls.is_some())
            .field("sasl", &self.access.sasl)
            .field("client_id", &self.settings.client_id)
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
        self.access.tls = Some(tls);
        self
    }

    /// Authenticates.
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.access.sasl = Some(sasl);
        self
    }

    /// The name under which brokers log and limit this client. Kafka's `client.id`.
    pub fn client_id(mut self, name: &str) -> Self {
        name.clone_into(&mut self.settings.client_id);
        self
    }

    /// How long a connection may take until it is authenticated: name, TCP, TLS and SASL together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long a broker may take to answer a request before its connection is given up.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// How long a connection may be without a request before it is closed; it is opened again when it is needed.
    /// Shorter than brokers wait (10 min), so that no request is sent into a connection that is being closed. Kafka's
    /// `connections.max.idle.ms`.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout;
        self
    }

    /// How old metadata may become before it is asked for anew, even if nothing has failed. Kafka's
    /// `metadata.max.age.ms`.
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.settings.metadata_max_age = age;
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
        let mut settings = self.settings;
        settings.bootstrap = bootstrap;
        settings.access.store(Arc::new(self.access));
        for (name, value) in [
            ("connect_timeout", &mut settings.connect_timeout),
            ("request_timeout", &mut settings.request_timeout),
            ("idle_timeout", &mut settings.idle_timeout),
            ("metadata_max_age", &mut settings.metadata_max_age),
        ] {
            if value.is_zero() {
                return Err(setting(name, "must be longer than nothing".to_owned()));
            }
            *value = FOREVER.min(*value);
        }
        Ok(Client { cluster: Cluster::connect(settings, &self.topics).await? })
    }
}
