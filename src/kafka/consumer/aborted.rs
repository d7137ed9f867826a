//! Which batches of a fetch belong to transactions that were aborted (KIP-98).

use std::collections::HashSet;

use kafka_protocol::messages::fetch_response::AbortedTransaction;

use crate::wire::record::{Batch, ControlType};

/// Follows the transactions of one partition through one fetch.
///
/// The broker lists each aborted transaction by its producer and first offset; it ends at that producer's abort
/// marker. Batches of other producers, and those outside of any transaction, pass.
#[derive(Debug, Default)]
pub(super) struct AbortFilter {
    /// Sorted by first offset, the next one last.
    upcoming: Vec<(i64, i64)>,
    aborting: HashSet<i64>,
}

impl AbortFilter {
    pub(super) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut upcoming: Vec<_> =
            aborted.iter().map(|aborted| (aborted.first_offset, aborted.producer_id.0)).collect();
        // Some brokers do not sort them.
        upcoming.sort_unstable_by(|a, b| b.cmp(a));
        Self { upcoming, aborting: HashSet::new() }
    }

    /// Whether the next batch of the fetch holds records that may be read.
    pub(super) fn passes(&mut self, batch: &Batch) -> bool {
        let (last, producer) = (batch.last_offset(), batch.producer_id());
        while let Some((_, producer)) = self.upcoming.pop_if(|(first, _)| *first <= last) {
            self.aborting.insert(producer);
        }
        if batch.is_control() {
            if batch.control_type() == Some(ControlType::Abort) {
                self.aborting.remove(&producer);
            }
            return false;
        }
        !(batch.is_transactional() && self.aborting.contains(&producer))
    }
}
