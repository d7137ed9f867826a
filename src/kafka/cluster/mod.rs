//! The cluster as its clients see it: a snapshot of its metadata, and a connection to each broker in use.
//!
//! Readers take the snapshot without a lock; one that has grown old is asked for anew while they go on with it.
//! Refreshes are shared: who asks while one is under way for the same topics waits for it and sends nothing. A broker
//! may say that all of it is to be forgotten and the bootstrap list be asked (KIP-1102). Who coordinates a group or a
//! transactional id is asked once, and again after a broker denies it. `connections` has the way to each broker.

mod connections;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::connections::Connections;
pub(super) use self::connections::{Lane, OwnLane};
use super::address::Address;
use super::backoff::Backoff;
use super::connection::Connection;
use super::error::Error;
use super::metadata::{BrokerId, Snapshot};
use super::printable::printable;
use super::settings::Settings;
use crate::wire::error_code::{ErrorCode, Reaction};

/// How long a topic may take to come into being, or its partitions to get leaders.
const TOPIC_WAIT: Duration = Duration::from_secs(5);
/// The first version of Metadata that says what a user may do (KIP-430).
const KNOWS_OPERATIONS: i16 = 8;
/// No version is too new.
pub(super) const NEWEST: i16 = i16::MAX;
/// The newest version of FindCoordinator that asks for one key.
const ONE_COORDINATOR: i16 = 3;

/// Shared by everything that one client made.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) settings: Settings,
    snapshot: ArcSwap<Snapshot>,
    /// Whether the snapshot is being asked for anew because of its age.
    renewing: AtomicBool,
    connections: Connections,
    /// Held while a refresh is under way; counts those that succeeded.
    refreshes: tokio::sync::Mutex<u64>,
    /// A copy of the count that can be read while a refresh is under way.
    refreshed: AtomicU64,
    /// Told when there is a new snapshot.
    told: Notify,
    /// The topics that producers and consumers of this client have asked for: refreshed together.
    topics: Mutex<BTreeSet<Arc<str>>>,
    coordinators: Mutex<HashMap<(CoordinatorOf, Arc<str>), BrokerId>>,
}

/// What a broker coordinates; the number is the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CoordinatorOf {
    /// The members and offsets of a group.
    Group = 0,
    /// The transactions of a transactional id.
    Transaction = 1,
}

impl Cluster {
    /// Connects to the first bootstrap broker that lets us in and asks it for the cluster's brokers.
    /// What they know of `topics` comes in the same answer.
    pub(super) async fn connect(settings: Settings, topics: &[Arc<str>]) -> Result<Arc<Self>, Error> {
        let cluster = Self {
            settings,
            snapshot: ArcSwap::default(),
            renewing: AtomicBool::new(false),
            connections: Connections::default(),
            refreshes: tokio::sync::Mutex::default(),
            refreshed: AtomicU64::new(0),
            told: Notify::new(),
            topics: Mutex::default(),
            coordinators: Mutex::default(),
        };
        cluster.bootstrap(metadata_request(Some(topics), false)).await?;
        Ok(Arc::new(cluster))
    }

    /// What is known now. Where that is old, it is asked for anew in the background.
    pub(super) fn snapshot(self: &Arc<Self>) -> Arc<Snapshot> {
        let snapshot = self.snapshot.load_full();
        let is_old = snapshot.told_at.is_some_and(|at| at.elapsed() >= self.settings.metadata_max_age);
        if is_old && !self.renewing.swap(true, Ordering::Relaxed) {
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = cluster.refresh(&[], false).await {
                    // Whoever needs what is new finds out for themselves.
                    tracing::debug!(%error, "old metadata could not be renewed");
                    tokio::time::sleep(Backoff::REQUEST.most).await;
                }
                cluster.renewing.store(false, Ordering::Relaxed);
            });
        }
        snapshot
    }

    /// Asks for the topics of interest and `topics` anew, unless someone else just did. `create` asks for `topics` alone
    /// and lets the broker make those that do not exist, where it is set up to: another that was deleted is not to come
    /// back by it.
    pub(super) async fn refresh(&self, topics: &[Arc<str>], create: bool) -> Result<Arc<Snapshot>, Error> {
        let (all, grown) = {
            let mut known = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            let before = known.len();
            known.extend(topics.iter().cloned());
            (known.iter().cloned().collect::<Vec<_>>(), known.len() > before)
        };
        let seen = self.refreshed.load(Ordering::Acquire);
        let mut refreshes = self.refreshes.lock().await;
        if *refreshes > seen && !grown {
            return Ok(self.snapshot.load_full());
        }
        let request = metadata_request(Some(if create { topics } else { &all }), create);
        let response = self.ask(&request).await?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => self.accept(&response),
            // The broker knows that it is no longer of use to its clients.
            ErrorCode::REBOOTSTRAP_REQUIRED => {
                self.connections.forget();
                self.bootstrap(request).await?;
            }
            code => return Err(Error::Broker { code, doing: "asking for metadata".to_owned() }),
        }
        *refreshes += 1;
        self.refreshed.store(*refreshes, Ordering::Release);
        Ok(self.snapshot.load_full())
    }

    /// A snapshot that knows the partitions of these topics. With `create`, brokers may make those that do not exist,
    /// and get some time for it.
    pub(super) async fn topics_known(
        &self,
        topics: &[Arc<str>],
        create: bool,
        action: &'static str,
    ) -> Result<Arc<Snapshot>, Error> {
        // What was learnt while connecting is to be kept up to date, too.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).extend(topics.iter().cloned());
        let deadline = Instant::now() + TOPIC_WAIT;
        let mut snapshot = self.snapshot.load_full();
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
        self.ask(&metadata_request(topics, false)).await
    }

    /// The same of those named, with what this user may do to them (KIP-430).
    pub(super) async fn describe_operations(&self, topics: &[Arc<str>]) -> Result<MetadataResponse, Error> {
        let connection = self.any_connection().await?;
        if connection.version::<MetadataRequest>()? < KNOWS_OPERATIONS {
            let broker = connection.broker().clone();
            return Err(Error::TooOld { broker, what: "what users may do to topics", since: "2.3" });
        }
        let request = metadata_request(Some(topics), false).with_include_topic_authorized_operations(true);
        self.ask_on(connection, &request, NEWEST).await
    }

    /// The broker that coordinates this group or transactional id, asked for where it is not known.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] with the code of a cluster that does not say, beside those of asking.
    pub(super) async fn coordinator(&self, of: CoordinatorOf, key: &Arc<str>) -> Result<BrokerId, Error> {
        let known = || {
            let coordinators = self.coordinators.lock().unwrap_or_else(PoisonError::into_inner);
            coordinators.get(&(of, Arc::clone(key))).copied()
        };
        if let Some(broker) = known() {
            return Ok(broker);
        }
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(key.to_string()))
            .with_key_type(of as i8);
        let found = self.ask_in(&request, ONE_COORDINATOR).await?;
        match ErrorCode(found.error_code) {
            ErrorCode::NONE => {}
            code => {
                return Err(Error::for_group(code, "use", key, || {
                    format!("looking for the coordinator of '{key}'")
                }));
            }
        }
        let broker = found.node_id.0;
        if let Ok(port) = u16::try_from(found.port) {
            // It may have joined the cluster after the brokers were asked for.
            let address = Address::new(printable(&found.host), port);
            self.snapshot.rcu(|current| current.with_broker(broker, &address));
        }
        let mut coordinators = self.coordinators.lock().unwrap_or_else(PoisonError::into_inner);
        coordinators.insert((of, Arc::clone(key)), broker);
        Ok(broker)
    }

    /// The coordinator is another one than was thought, or cannot be reached.
    pub(super) fn forget_coordinator(&self, of: CoordinatorOf, key: &Arc<str>) {
        self.coordinators.lock().unwrap_or_else(PoisonError::into_inner).remove(&(of, Arc::clone(key)));
    }

    /// Sends a request to any broker and waits for the answer; once more elsewhere if the connection breaks.
    pub(super) async fn ask<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        self.ask_in(request, NEWEST).await
    }

    /// The same, in no newer version than `newest`.
    async fn ask_in<R: Request>(&self, request: &R, newest: i16) -> Result<R::Response, Error> {
        let connection = self.any_connection().await?;
        match self.ask_on(connection, request, newest).await {
            Err(error) if error.is_retriable() => {
                let connection = self.any_connection().await?;
                self.ask_on(connection, request, newest).await
            }
            answer => answer,
        }
    }

    async fn ask_on<R: Request>(
        &self,
        connection: Connection,
        request: &R,
        newest: i16,
    ) -> Result<R::Response, Error> {
        let version = connection.version::<R>()?.min(newest);
        connection.send_in(request, version, self.settings.request_timeout)?.await
    }

    fn accept(&self, response: &MetadataResponse) {
        let now = Instant::now();
        self.snapshot.rcu(|current| current.after(response, now));
        self.told.notify_waiters();
    }

    fn address(&self, broker: BrokerId) -> Result<Address, Error> {
        // A broker that left the cluster: whoever wanted it should look at newer metadata.
        self.snapshot.load().brokers.get(&broker).cloned().ok_or(Error::UnknownBroker { broker })
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
