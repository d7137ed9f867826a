//! The cluster as its clients see it: a snapshot of its metadata, and a connection to each broker in use.
//!
//! Readers take the snapshot without a lock; one that has grown old is asked for anew while they go on with it.
//! Refreshes are shared: who asks while one is under way for the same topics waits for it and sends nothing. Each
//! broker has one connection for each [`Lane`], made when first needed; after a failure the next attempt waits its
//! turn. When no known broker can be reached, or a broker says so, the bootstrap list is asked again (KIP-899,
//! KIP-1102). Who coordinates a group or a transactional id is asked once, and again after a broker denies it.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::address::Address;
use super::backoff::Backoff;
use super::connection::{Connection, Pending, Rider};
use super::error::Error;
use super::metadata::{BrokerId, Snapshot};
use super::pace::Pace;
use super::printable::printable;
use super::settings::Settings;
use crate::wire::api::before_versions_are_known;
use crate::wire::error_code::{ErrorCode, Reaction};

/// How long a topic may take to come into being, or its partitions to get leaders.
const TOPIC_WAIT: Duration = Duration::from_secs(5);
/// For so long the known brokers are given the chance to answer alone.
const HEAD_START: Duration = Duration::from_secs(1);
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
    slots: Mutex<HashMap<(BrokerId, Lane), SharedSlot>>,
    /// Held while a refresh is under way; counts those that succeeded.
    refreshes: tokio::sync::Mutex<u64>,
    /// A copy of the count that can be read while a refresh is under way.
    refreshed: AtomicU64,
    /// A connection to a bootstrap address that is not known to be a broker's own.
    bootstrap: Mutex<Option<Connection>>,
    /// Held while the bootstrap list is gone through.
    bootstrapping: tokio::sync::Mutex<Pace>,
    /// Told when there is a new snapshot.
    told: Notify,
    /// Told when a broker was reached: then others may be within reach again, too, before their time.
    reached: Notify,
    /// The topics that producers and consumers of this client have asked for: refreshed together.
    topics: Mutex<BTreeSet<Arc<str>>>,
    coordinators: Mutex<HashMap<(CoordinatorOf, Arc<str>), BrokerId>>,
    members: AtomicU64,
}

/// What a connection is used for. A broker answers one request of a connection after the other, so that one which may
/// wait at the broker holds up those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// What is answered at once.
    Prompt,
    /// Fetches.
    Waiting,
    /// The membership of this one of the client's members of groups: each waits for the others, perhaps for one of the
    /// same client.
    Member(u64),
}

/// What a broker coordinates; the number is the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CoordinatorOf {
    /// The members and offsets of a group.
    Group = 0,
}

/// Locked while a connection is made, so that it is made once.
type SharedSlot = Arc<tokio::sync::Mutex<Slot>>;

/// The connection to one broker, and what became of the last attempts.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    pace: Pace,
}

impl Cluster {
    /// Connects to the first bootstrap broker that lets us in and asks it for the cluster's brokers.
    /// What they know of `topics` comes in the same answer.
    pub(super) async fn connect(settings: Settings, topics: &[Arc<str>]) -> Result<Arc<Self>, Error> {
        let cluster = Self {
            settings,
            snapshot: ArcSwap::default(),
            renewing: AtomicBool::new(false),
            slots: Mutex::default(),
            refreshes: tokio::sync::Mutex::default(),
            refreshed: AtomicU64::new(0),
            bootstrap: Mutex::default(),
            bootstrapping: tokio::sync::Mutex::default(),
            told: Notify::new(),
            reached: Notify::new(),
            topics: Mutex::default(),
            coordinators: Mutex::default(),
            members: AtomicU64::new(0),
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
                self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    /// Sends a request to a broker, in the newest version that both know but no newer than `newest`. Where there is no
    /// connection yet, it goes along with the login if it can.
    ///
    /// Dropping the future gives up a connection that is being made.
    pub(super) async fn send<R: Request>(
        &self,
        broker: BrokerId,
        lane: Lane,
        request: &R,
        newest: i16,
        within: Duration,
    ) -> Result<Pending<R>, Error> {
        let mut ticket = None;
        let connection = self
            .connection_with(broker, lane, |address| {
                let Some(version) = before_versions_are_known::<R>() else { return Ok(None) };
                let (rider, own) = Rider::new(address, &self.settings.client_id, request, version, within)?;
                ticket = Some(own);
                Ok(Some(rider))
            })
            .await?;
        match ticket {
            Some(ticket) => Ok(ticket.on(&connection)),
            None => connection.send_in(request, connection.version::<R>()?.min(newest), within),
        }
    }

    /// The connection to a broker, made if there is none.
    pub(super) async fn connection(&self, broker: BrokerId, lane: Lane) -> Result<Connection, Error> {
        self.connection_with(broker, lane, |_| Ok(None)).await
    }

    /// The connection to a broker; where it has to be made, with a rider. Waits out the back-off after a failed
    /// attempt.
    async fn connection_with(
        &self,
        broker: BrokerId,
        lane: Lane,
        mut rider: impl FnMut(&Address) -> Result<Option<Rider>, Error>,
    ) -> Result<Connection, Error> {
        let slot = self.slot(broker, lane);
        let mut slot = slot.lock().await;
        // The first fetch takes over what is there: the first message is then a login nearer.
        if lane == Lane::Waiting
            && !slot.connection.as_ref().is_some_and(Connection::is_usable)
            && let Ok(mut prompt) = self.slot(broker, Lane::Prompt).try_lock()
        {
            slot.connection = prompt.connection.take();
        }
        // A broker may have moved to another address since.
        let reaches = |connection: &&Connection, address: &Address| {
            connection.is_usable() && connection.broker().same_endpoint(address)
        };
        let address = self.address(broker)?;
        if let Some(connection) = slot.connection.as_ref().filter(|open| reaches(open, &address)) {
            return Ok(connection.clone());
        }
        slot.connection = None;
        self.turn(slot.pace).await;
        loop {
            let address = self.address(broker)?;
            let began = Instant::now();
            let opened = tokio::select! {
                opened = Connection::open(&address, &self.settings, rider(&address)?) => opened,
                // Whoever is where it was keeps us waiting for nothing.
                () = self.moved(broker, &address) => continue,
            };
            return match opened {
                Ok(connection) => {
                    *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                    self.reached.notify_waiters();
                    Ok(connection)
                }
                Err(error) => {
                    slot.pace.on_failure(began, fastrand::f64());
                    Err(error.into())
                }
            };
        }
    }

    /// Waits until the broker is said to be elsewhere, or nowhere.
    async fn moved(&self, broker: BrokerId, address: &Address) {
        loop {
            let told = self.told.notified();
            if !self.address(broker).is_ok_and(|now| now.same_endpoint(address)) {
                return;
            }
            told.await;
        }
    }

    /// Waits until it is time for another attempt, or until any broker is reached.
    async fn turn(&self, pace: Pace) {
        if let Some(not_before) = pace.not_before() {
            tokio::select! {
                () = sleep_until(not_before) => {}
                () = self.reached.notified() => {}
            }
        }
    }

    /// A lane for a member of a group.
    pub(super) fn member_lane(&self) -> Lane {
        Lane::Member(self.members.fetch_add(1, Ordering::Relaxed))
    }

    /// Nothing is asked in this lane any more: its connections are closed when they are through.
    pub(super) fn give_up_lane(&self, lane: Lane) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, of), _| *of != lane);
    }

    fn slot(&self, broker: BrokerId, lane: Lane) -> SharedSlot {
        Arc::clone(
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry((broker, lane)).or_default(),
        )
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

    /// A connection to any broker that answers: one that is open, else a known one, else one of the bootstrap list,
    /// which is tried beside the known ones where they do not answer soon: they may be where they are no more.
    pub(super) async fn any_connection(&self) -> Result<Connection, Error> {
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        let mut known = pin!(self.known_broker());
        match timeout(HEAD_START, &mut known).await {
            Ok(Err(error)) if error.is_retriable() => return self.listed_broker().await,
            Ok(found) => return found,
            Err(_) => {}
        }
        let mut listed = pin!(self.listed_broker());
        tokio::select! {
            found = &mut known => match found {
                Err(error) if error.is_retriable() => listed.await,
                found => found,
            },
            found = &mut listed => match found {
                Ok(connection) => Ok(connection),
                Err(_) => known.await,
            },
        }
    }

    async fn known_broker(&self) -> Result<Connection, Error> {
        let mut brokers: Vec<BrokerId> = self.snapshot.load().brokers.keys().copied().collect();
        fastrand::shuffle(&mut brokers);
        let mut last = Error::UnknownBroker { broker: -1 };
        for broker in brokers {
            match self.connection(broker, Lane::Prompt).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_retriable() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// One of the bootstrap list, when it is its turn.
    async fn listed_broker(&self) -> Result<Connection, Error> {
        let mut pace = self.bootstrapping.lock().await;
        self.turn(*pace).await;
        // Whoever held it before may have found one.
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        let began = Instant::now();
        // No topics: the brokers alone.
        let found = self.bootstrap(metadata_request(Some(&[]), false)).await;
        match &found {
            Ok(_) => {
                *pace = Pace::default();
                self.reached.notify_waiters();
            }
            Err(_) => pace.on_failure(began, fastrand::f64()),
        }
        found
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

    /// Takes no more requests on any connection, and returns when those in flight have been answered and the sockets
    /// are closed. What is asked later opens new ones.
    pub(super) async fn close(&self) {
        let mut slots: Vec<_> =
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let bootstrap = self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = bootstrap {
            connection.close().await;
        }
        for slot in slots.drain(..) {
            let connection = slot.lock().await.connection.take();
            if let Some(connection) = connection {
                connection.close().await;
            }
        }
    }

    fn open_connection(&self) -> Option<Connection> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let open_in = |lane| {
            slots.iter().filter(|((_, of), _)| *of == lane).find_map(|(_, slot)| {
                // A slot that is locked is being connected.
                let slot = slot.try_lock().ok()?;
                slot.connection.clone().filter(Connection::is_usable)
            })
        };
        let bootstrap = || {
            let bootstrap = self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner);
            bootstrap.clone().filter(Connection::is_usable)
        };
        open_in(Lane::Prompt).or_else(bootstrap).or_else(|| open_in(Lane::Waiting))
    }

    /// Goes through the bootstrap list until a broker answers; its metadata replaces what is known.
    async fn bootstrap(&self, request: MetadataRequest) -> Result<Connection, Error> {
        let mut last = Error::Setting { setting: "bootstrap", reason: "names no broker".to_owned() };
        for address in &self.settings.bootstrap {
            match self.bootstrap_from(address, &request).await {
                Ok((connection, response)) => {
                    self.accept(&response);
                    self.keep(address, &connection);
                    return Ok(connection);
                }
                Err(error) if error.is_retriable() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn bootstrap_from(
        &self,
        address: &Address,
        request: &MetadataRequest,
    ) -> Result<(Connection, MetadataResponse), Error> {
        let Settings { client_id, connect_timeout, request_timeout, .. } = &self.settings;
        let version = before_versions_are_known::<MetadataRequest>().unwrap_or(0);
        // Who waits for a connection waits for this answer too.
        let within = *connect_timeout.min(request_timeout);
        let (rider, ticket) = Rider::new(address, client_id, request, version, within)?;
        let connection = Connection::open(address, &self.settings, Some(rider)).await?;
        let response = ticket.on(&connection).await?;
        Ok((connection, response))
    }

    /// Files a bootstrap connection under its broker, where the cluster names one by the same host and port: then it
    /// serves for requests to that broker too.
    fn keep(&self, address: &Address, connection: &Connection) {
        let snapshot = self.snapshot.load();
        let broker =
            snapshot.brokers.iter().find(|(_, known)| known.same_endpoint(address)).map(|(&id, _)| id);
        match broker {
            Some(broker) => {
                let slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.insert((broker, Lane::Prompt), Arc::new(tokio::sync::Mutex::new(slot)));
            }
            None => {
                *self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
            }
        }
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
