//! What a consumer and the task of its group tell each other without messages: that the user is at work, and until when
//! the partitions are sure to be theirs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::commits::Identity;

/// Shared by the two.
#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    /// Whether the user waits for records, and how often they have asked.
    pub(super) polling: AtomicBool,
    pub(super) polls: AtomicU64,
    pub(super) polled: Notify,
    /// In milliseconds after `started`.
    lease: AtomicU64,
    /// The member's id and its generation or epoch.
    identity: Mutex<Identity>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            polling: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            polled: Notify::new(),
            lease: AtomicU64::new(u64::MAX),
            identity: Mutex::default(),
        }
    }

    /// The user asks for records, for as long as the guard lives.
    pub(crate) fn poll(self: &Arc<Self>) -> Polling {
        self.touch();
        self.polling.store(true, Ordering::Relaxed);
        self.polled.notify_one();
        Polling(Arc::clone(self))
    }

    /// The user is at work.
    pub(crate) fn touch(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the coordinator is sure to hold the partitions for this member still.
    pub(crate) fn holds(&self) -> bool {
        let lease = self.lease.load(Ordering::Acquire);
        lease == u64::MAX || self.started.elapsed() < Duration::from_millis(lease)
    }

    /// The member's id and its generation or epoch; `None` while it is not in the group.
    pub(super) fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    pub(super) fn set_lease(&self, lease: Option<Instant>) {
        let after = lease.map(|until| until.saturating_duration_since(self.started).as_millis());
        let after = after.and_then(|after| u64::try_from(after).ok()).unwrap_or(u64::MAX);
        self.lease.store(after, Ordering::Release);
    }
}

/// Dropped when the user has got records, or no longer waits for any.
#[derive(Debug)]
pub(crate) struct Polling(Arc<Activity>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.polling.store(false, Ordering::Relaxed);
        self.0.touch();
    }
}
