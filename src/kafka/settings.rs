//! What a client was told about its cluster, checked once when it is built.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::address::Address;
use super::handshake::Order;
use super::metrics::Registry;
use super::sasl::Sasl;
use super::silence::Silence;
use super::tls::Tls;

/// What a user means by a time without end: the clock cannot be asked for more.
pub(super) const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The settings of one client, shared by all its connections.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bootstrap: Vec<Address>,
    /// Looked at whenever a connection is opened or a login renewed: it may be replaced.
    pub(super) access: Arc<ArcSwap<Access>>,
    pub(super) client_id: String,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    /// A connection that nothing was asked on for so long is closed, before the broker does so.
    pub(super) idle_timeout: Duration,
    /// Metadata older than this is asked for anew.
    pub(super) metadata_max_age: Duration,
    pub(super) most_frame_bytes: usize,
    pub(super) metrics: Registry,
    pub(super) silence: Arc<Silence>,
    /// Peers that hung up on the quick handshake: as text, since a host has no other identity before it is reached.
    versions_first: Mutex<HashSet<Address>>,
}

/// How connections are protected, and for whom they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    pub(super) tls: Option<Tls>,
    pub(super) sasl: Option<Sasl>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            access: Arc::default(),
            client_id: "hop".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(9 * 60),
            metadata_max_age: Duration::from_secs(5 * 60),
            most_frame_bytes: 128 * 1024 * 1024,
            metrics: Registry::default(),
            silence: Arc::default(),
            versions_first: Mutex::default(),
        }
    }
}

impl Settings {
    pub(super) fn handshake_order(&self, broker: &Address) -> Order {
        let known = self.versions_first.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(broker) { Order::VersionsFirst } else { Order::Fastest }
    }

    pub(super) fn remember_versions_first(&self, broker: &Address) {
        self.versions_first.lock().unwrap_or_else(PoisonError::into_inner).insert(broker.clone());
    }
}
