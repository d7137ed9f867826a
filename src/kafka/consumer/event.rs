//! What happens to a consumer, beside records that come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::batch::FetchedBatch;
use crate::kafka::topic_partition::TopicPartition;

/// What [`Consumer::next_event`](super::Consumer::next_event) brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// Records of one partition.
    Records(FetchedBatch),
    /// The group gave these partitions to this member. Reading begins where the group has read to; to begin elsewhere,
    /// [`seek`](super::Consumer::seek) now.
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away. They are this member's until the next event is asked for: the time to
    /// finish and to [`commit`](super::Consumer::commit). No record of them comes any more.
    Revoking(Vec<TopicPartition>),
    /// These partitions are no longer this member's, and may be another's already: nothing of them can be committed.
    Lost(Vec<TopicPartition>),
    /// Everything that was in the partition has been handed over. Comes again after more has; and only where
    /// [`announce_ends`](super::ConsumerBuilder::announce_ends) asks for it.
    EndOfPartition {
        /// The partition.
        partition: TopicPartition,
        /// The offset that the next record will have, or a later one.
        offset: i64,
    },
    /// The log was cut below what was read, after a leader was elected that lacked the rest (KIP-320): records that
    /// were handed over are gone, and others will come with their offsets.
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was to be read next.
        read_up_to: i64,
        /// The offset at which the log differs from what was read; reading goes on there.
        diverges_at: i64,
    },
}

/// Stops a consumer from elsewhere. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stopper {
    shared: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: AtomicBool,
    told: Notify,
}

impl Stopper {
    /// Makes the consumer's calls for records return `None`, the one under way and all that follow.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.told.notify_waiters();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    pub(in crate::kafka) async fn stopped(&self) {
        loop {
            let told = self.shared.told.notified();
            if self.is_stopped() {
                return;
            }
            told.await;
        }
    }
}
