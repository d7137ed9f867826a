//! What a broker was started with; checked by the builder, and fixed from then on.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::access::Access;
use super::credentials::Users;

/// When what was written reaches the disk itself, so that it survives a power failure. A `kill -9` loses nothing that
/// was acknowledged in any case: the operating system has it by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// Before it is acknowledged.
    Always,
    /// When this much time has passed since the last time; a second by default.
    Every(Duration),
    /// When the operating system sees fit.
    Never,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) creates_topics: bool,
    pub(super) partitions: i32,
    /// What all logs in memory may hold.
    pub(super) memory_bytes: u64,
    pub(super) request_bytes: usize,
    pub(super) connections: usize,
    pub(super) session_lifetime: Option<Duration>,
    pub(super) rebalance_delay: Duration,
    /// Of members under KIP-848.
    pub(super) heartbeat_interval: Duration,
    pub(super) session_timeouts: RangeInclusive<Duration>,
    pub(super) users: Users,
    pub(super) access: Access,
    pub(super) fsync: Fsync,
}
