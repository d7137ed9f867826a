//! The time that processes of this machine share.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine was started.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the machine has such a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
