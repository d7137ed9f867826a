//! The connections of a cluster: one to each broker for each [`Lane`], made when first needed; after a failure the next
//! attempt waits its turn. When no known broker can be reached, the bootstrap list is asked again (KIP-899).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Cluster, metadata_request};
use crate::kafka::address::Address;
use crate::kafka::connection::{Connection, Pending, Rider};
use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::pace::Pace;
use crate::kafka::settings::Settings;
use crate::wire::api::before_versions_are_known;

/// For so long the known brokers are given the chance to answer alone.
const HEAD_START: Duration = Duration::from_secs(1);

/// What a connection is used for. A broker answers one request of a connection after the other, so that one which may
/// wait at the broker holds up those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kafka) enum Lane {
    /// What is answered at once.
    Prompt,
    /// The fetches of this one of the client's consumers: each waits for records of its own.
    Reader(u64),
    /// The membership of this one of the client's members of groups: each waits for the others, perhaps for one of the
    /// same client.
    Member(u64),
}

/// A lane of one user of the cluster. Its connections are closed when it is dropped, once they are through.
#[derive(Debug)]
pub(in crate::kafka) struct OwnLane {
    pub(in crate::kafka) cluster: Arc<Cluster>,
    lane: Lane,
}

/// The connections, and what was learnt while they were made.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Mutex<HashMap<(BrokerId, Lane), SharedSlot>>,
    /// A connection to a bootstrap address that is not known to be a broker's own.
    bootstrap: Mutex<Option<Connection>>,
    /// Held while the bootstrap list is gone through.
    bootstrapping: tokio::sync::Mutex<Pace>,
    /// Told when a broker was reached: then others may be within reach again, too, before their time.
    reached: Notify,
    /// How many lanes were given out.
    lanes: AtomicU64,
}

/// Locked while a connection is made, so that it is made once.
type SharedSlot = Arc<tokio::sync::Mutex<Slot>>;

/// The connection to one broker, and what became of the last attempts.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    pace: Pace,
}

impl OwnLane {
    /// A lane for the fetches of a consumer.
    pub(in crate::kafka) fn of_reader(cluster: Arc<Cluster>) -> Self {
        let lane = Lane::Reader(cluster.connections.lanes.fetch_add(1, Ordering::Relaxed));
        Self { cluster, lane }
    }

    /// A lane for a member of a group.
    pub(in crate::kafka) fn of_member(cluster: Arc<Cluster>) -> Self {
        let lane = Lane::Member(cluster.connections.lanes.fetch_add(1, Ordering::Relaxed));
        Self { cluster, lane }
    }

    /// As [`Cluster::send`].
    pub(in crate::kafka) async fn send<R: Request>(
        &self,
        broker: BrokerId,
        request: &R,
        newest: i16,
        within: Duration,
    ) -> Result<Pending<R>, Error> {
        self.cluster.send(broker, self.lane, request, newest, within).await
    }

    /// As [`Cluster::connection`].
    pub(in crate::kafka) async fn connection(&self, broker: BrokerId) -> Result<Connection, Error> {
        self.cluster.connection(broker, self.lane).await
    }
}

impl Drop for OwnLane {
    fn drop(&mut self) {
        let mut slots = self.cluster.connections.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(_, of), _| *of != self.lane);
    }
}

impl Connections {
    /// Keeps none of them for what is asked from now on.
    pub(super) fn forget(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Cluster {
    /// Sends a request to a broker, in the newest version that both know but no newer than `newest`. Where there is no
    /// connection yet, it goes along with the login if it can.
    ///
    /// Dropping the future gives up a connection that is being made.
    pub(in crate::kafka) async fn send<R: Request>(
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

    /// The connection to a broker, where there is one that can be used at once.
    pub(in crate::kafka) fn open_connection_to(&self, broker: BrokerId, lane: Lane) -> Option<Connection> {
        let slot = self.slot(broker, lane);
        let slot = slot.try_lock().ok()?;
        let address = self.address(broker).ok()?;
        slot.connection.as_ref().filter(|open| reaches(open, &address)).cloned()
    }

    /// The connection to a broker, made if there is none.
    pub(in crate::kafka) async fn connection(
        &self,
        broker: BrokerId,
        lane: Lane,
    ) -> Result<Connection, Error> {
        self.connection_with(broker, lane, |_| Ok(None)).await
    }

    /// A connection to any broker that answers: one that is open, else a known one, else one of the bootstrap list,
    /// which is tried beside the known ones where they do not answer soon: they may be where they are no more.
    pub(in crate::kafka) async fn any_connection(&self) -> Result<Connection, Error> {
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
        if matches!(lane, Lane::Reader(_))
            && !slot.connection.as_ref().is_some_and(Connection::is_usable)
            && let Ok(mut prompt) = self.slot(broker, Lane::Prompt).try_lock()
        {
            slot.connection = prompt.connection.take();
        }
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
                    self.connections.reached.notify_waiters();
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
                () = self.connections.reached.notified() => {}
            }
        }
    }

    fn slot(&self, broker: BrokerId, lane: Lane) -> SharedSlot {
        Arc::clone(
            self.connections
                .slots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry((broker, lane))
                .or_default(),
        )
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
        let mut pace = self.connections.bootstrapping.lock().await;
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
                self.connections.reached.notify_waiters();
            }
            Err(_) => pace.on_failure(began, fastrand::f64()),
        }
        found
    }

    /// One that is open and answers at once: what readers have waits for records.
    fn open_connection(&self) -> Option<Connection> {
        let slots = self.connections.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let prompt = slots.iter().filter(|((_, lane), _)| *lane == Lane::Prompt).find_map(|(_, slot)| {
            // A slot that is locked is being connected.
            let slot = slot.try_lock().ok()?;
            slot.connection.clone().filter(Connection::is_usable)
        });
        prompt.or_else(|| {
            let bootstrap = self.connections.bootstrap.lock().unwrap_or_else(PoisonError::into_inner);
            bootstrap.clone().filter(Connection::is_usable)
        })
    }

    /// Goes through the bootstrap list until a broker answers; its metadata replaces what is known.
    pub(super) async fn bootstrap(&self, request: MetadataRequest) -> Result<Connection, Error> {
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
                let mut slots = self.connections.slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.insert((broker, Lane::Prompt), Arc::new(tokio::sync::Mutex::new(slot)));
            }
            None => {
                *self.connections.bootstrap.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(connection.clone());
            }
        }
    }

    /// Takes no more requests on any connection, and returns when those in flight have been answered and the sockets
    /// are closed. What is asked later opens new ones.
    pub(in crate::kafka) async fn close(&self) {
        let mut slots: Vec<_> =
            self.connections.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let bootstrap = self.connections.bootstrap.lock().unwrap_or_else(PoisonError::into_inner).take();
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
}

/// Whether a connection can be used for a broker, which may have moved to another address since it was made.
fn reaches(connection: &Connection, address: &Address) -> bool {
    connection.is_usable() && connection.broker().same_endpoint(address)
}
