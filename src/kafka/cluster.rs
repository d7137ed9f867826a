//! The cluster as its clients see it: a snapshot of its metadata, and a connection to each broker in use.
//!
//! Refreshes are shared: who asks while one is under way for the same topics waits for it and sends nothing. Each
//! broker has one connection, made when first needed; after a failure the next attempt waits its turn. When no known
//! broker can be reached, the bootstrap list is asked again (KIP-899).

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep_until};

use super::address::Address;
use super::backoff::Backoff;
use super::connection::Connection;
use super::error::{ConnectError, Error};
use super::metadata::{BrokerId, Snapshot};
use super::settings::Settings;
use crate::wire::error_code::{ErrorCode, Reaction};

/// How long a topic may take to come into being, or its partitions to get leaders.
const TOPIC_WAIT: Duration = Duration::from_secs(5);

/// Shared by everything that one client made.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) settings: Settings,
    snapshot: RwLock<Arc<Snapshot>>,
    slots: Mutex<HashMap<BrokerId, Arc<tokio::sync::Mutex<Slot>>>>,
    /// Held while a refresh is under way; counts those that succeeded.
    refreshes: tokio::sync::Mutex<u64>,
    /// A copy of the count that can be read while a refresh is under way.
    refreshed: std::sync::atomic::AtomicU64,
    /// A connection to a bootstrap address that is not known to be a broker's own.
    bootstrap: Mutex<Option<Connection>>,
    /// The topics that producers and consumers of this client have asked for: refreshed together.
    topics: Mutex<BTreeSet<Arc<str>>>,
}

/// The connection to one broker, and what became of the last attempts.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Cluster {
    /// Connects to the first bootstrap broker that lets us in and asks it for the cluster's brokers.
    /// What they know of `topics` comes in the same answer.
    pub(super) async fn connect(settings: Settings, topics: &[Arc<str>]) -> Result<Arc<Self>, Error> {
        let cluster = Self {
            settings,
            snapshot: RwLock::default(),
            slots: Mutex::default(),
            refreshes: tokio::sync::Mutex::default(),
            refreshed: std::sync::atomic::AtomicU64::new(0),
            bootstrap: Mutex::default(),
            topics: Mutex::default(),
        };
        cluster.bootstrap(metadata_request(Some(topics), false)).await?;
        Ok(Arc::new(cluster))
    }

    /// What is known now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for the topics of interest and `topics` anew, unless someone else just did. `create` lets the broker make
    /// topics that do not exist, where it is set up to.
    pub(super) async fn refresh(&self, topics: &[Arc<str>], create: bool) -> Result<Arc<Snapshot>, Error> {
        use std::sync::atomic::Ordering;
        let (all, grown) = {
            let mut known = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            let before = known.len();
            known.extend(topics.iter().cloned());
            (known.iter().cloned().collect::<Vec<_>>(), known.len() > before)
        };
        let seen = self.refreshed.load(Ordering::Acquire);
        let mut refreshes = self.refreshes.lock().await;
        if *refreshes > seen && !grown {
            return Ok(self.snapshot());
        }
        let response = self.ask(metadata_request(Some(&all), create)).await?;
        let snapshot = self.accept(&response);
        *refreshes += 1;
        self.refreshed.store(*refreshes, Ordering::Release);
        Ok(snapshot)
    }

    /// A snapshot that knows the partitions of these topics. With `create`, brokers may make those that do not exist,
    /// and get some time for it.
    pub(super) async fn topics_known(
        &self,
        topics: &[Arc<str>],
        create: bool,
        action: &'static str,
    ) -> Result<Arc<Snapshot>, Error> {
        let deadline = Instant::now() + TOPIC_WAIT;
        let mut snapshot = self.snapshot();
        let mut refreshes = 0_u32;
        loop {
            let unknown = topics.iter().find_map(|topic| match snapshot.topic(topic) {
                Some(known) if known.error == ErrorCode::NONE && !known.partitions.is_empty() => None,
                Some(known) => Some((topic, known.error)),
                None => Some((topic, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            });
            let Some((topic, code)) = unknown else { return Ok(snapshot) };
            let passing = match code {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => create,
                code => code.reaction() != Reaction::Fatal,
            };
            if refreshes > 0 && !(passing && Instant::now() < deadline) {
                return Err(Error::for_topic(code, action, topic, || format!("looking up topic '{topic}'")));
            }
            if refreshes > 0 {
                tokio::time::sleep(Backoff::REQUEST.wait(refreshes, fastrand::f64())).await;
            }
            snapshot = self.refresh(topics, create).await?;
            refreshes += 1;
        }
    }

    /// The broker's answer about all topics that this user may see, or about those named.
    pub(super) async fn describe(&self, topics: Option<&[Arc<str>]>) -> Result<MetadataResponse, Error> {
        self.ask(metadata_request(topics, false)).await
    }

    /// The connection to a broker, made if there is none. Waits out the back-off after a failed attempt.
    ///
    /// Dropping the future gives up an attempt under way; the next caller makes another.
    pub(super) async fn connection(&self, broker: BrokerId) -> Result<Connection, Error> {
        let slot =
            Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(broker).or_default());
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.connection.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(connection.clone());
        }
        slot.connection = None;
        if let Some(not_before) = slot.not_before {
            sleep_until(not_before).await;
        }
        let address = self.address(broker)?;
        match Connection::open(&address, &self.settings, None).await {
            Ok((connection, _)) => {
                *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                Ok(connection)
            }
            Err(error) => {
                slot.failures = slot.failures.saturating_add(1);
                slot.not_before =
                    Some(Instant::now() + Backoff::RECONNECT.wait(slot.failures, fastrand::f64()));
                Err(error.into())
            }
        }
    }

    /// A connection to any broker that answers: one that is open, else a known one, else one of the bootstrap list.
    pub(super) async fn any_connection(&self) -> Result<Connection, Error> {
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        let mut brokers: Vec<BrokerId> = self.snapshot().brokers.keys().copied().collect();
        fastrand::shuffle(&mut brokers);
        for broker in brokers {
            match self.connection(broker).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_retriable() => {}
                Err(error) => return Err(error),
            }
        }
        // No topics: the brokers alone.
        self.bootstrap(metadata_request(Some(&[]), false)).await
    }

    /// Sends a request to any broker and waits for the answer; once more elsewhere if the connection breaks.
    pub(super) async fn ask_any<R, F, T>(&self, mut request: R) -> Result<T, Error>
    where
        R: FnMut(Connection) -> F,
        F: Future<Output = Result<T, Error>>,
    {
        match request(self.any_connection().await?).await {
            Err(error) if error.is_retriable() => request(self.any_connection().await?).await,
            answer => answer,
        }
    }

    async fn ask(&self, request: MetadataRequest) -> Result<MetadataResponse, Error> {
        self.ask_any(|connection| {
            let pending = connection.send(&request);
            async move { pending?.await }
        })
        .await
    }

    fn open_connection(&self) -> Option<Connection> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let open = slots.values().find_map(|slot| {
            // A slot that is locked is being connected.
            let slot = slot.try_lock().ok()?;
            slot.connection.clone().filter(Connection::is_usable)
        });
        drop(slots);
        let bootstrap = self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner);
        open.or_else(|| bootstrap.clone().filter(Connection::is_usable))
    }

    /// Goes through the bootstrap list until a broker answers; its metadata replaces what is known.
    async fn bootstrap(&self, request: MetadataRequest) -> Result<Connection, Error> {
        let mut last: Option<ConnectError> = None;
        for address in &self.settings.bootstrap {
            match Connection::open(address, &self.settings, Some(request.clone())).await {
                Ok((connection, response)) => {
                    if let Some(response) = response {
                        self.accept(&response);
                    }
                    self.keep(address, &connection);
                    return Ok(connection);
                }
                Err(error) if error.is_retriable() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(
            || Error::Setting { setting: "bootstrap", reason: "names no broker".to_owned() },
            Error::from,
        ))
    }

    /// Files a bootstrap connection under its broker, where the cluster names one by the same host and port: then it
    /// serves for requests to that broker too.
    fn keep(&self, address: &Address, connection: &Connection) {
        let snapshot = self.snapshot();
        let broker =
            snapshot.brokers.iter().find(|(_, known)| known.same_endpoint(address)).map(|(&id, _)| id);
        match broker {
            Some(broker) => {
                let slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.insert(broker, Arc::new(tokio::sync::Mutex::new(slot)));
            }
            None => {
                *self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
            }
        }
    }

    fn accept(&self, response: &MetadataResponse) -> Arc<Snapshot> {
        let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.after(response));
        Arc::clone(&current)
    }

    fn address(&self, broker: BrokerId) -> Result<Address, Error> {
        // A broker that left the cluster: whoever wanted it should look at newer metadata.
        self.snapshot().brokers.get(&broker).cloned().ok_or(Error::UnknownBroker { broker })
    }
}

/// A request for the named topics, or for all of them.
fn metadata_request(topics: Option<&[Arc<str>]>, create: bool) -> MetadataRequest {
    let topics = topics.map(|names| {
        let topic = |name: &Arc<str>| {
            MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name.to_string()).into()))
        };
        names.iter().map(topic).collect()
    });
    MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(create)
}
