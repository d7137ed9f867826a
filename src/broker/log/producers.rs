//! What a partition knows of its producers (KIP-98): which batches each wrote last, so that a repetition is told from
//! news, and where its open transaction begins.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::wire::error_code::ErrorCode;

/// As many batches as Kafka remembers of a producer: those that may be in flight.
const REMEMBERED_BATCHES: usize = 5;
/// Producers of one partition; beyond it, those that wrote longest ago are forgotten.
const MOST_PRODUCERS: usize = 20_000;

/// Who wrote a batch, and which sequence numbers it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Stamp {
    pub(in crate::broker) producer_id: i64,
    pub(in crate::broker) epoch: i16,
    pub(in crate::broker) first_sequence: i32,
    pub(in crate::broker) last_sequence: i32,
    pub(in crate::broker) transactional: bool,
}

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

/// What is known of one producer.
#[derive(Debug, Clone)]
pub(in crate::broker) struct ProducerState {
    pub(in crate::broker) epoch: i16,
    pub(in crate::broker) last_timestamp: i64,
    pub(in crate::broker) transaction_start: Option<i64>,
    last_offset: i64,
    batches: VecDeque<Remembered>,
}

impl ProducerState {
    /// The last sequence number; -1 where none is known.
    pub(in crate::broker) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }
}

/// The producers of a partition.
#[derive(Debug, Default)]
pub(in crate::broker) struct Producers {
    known: HashMap<i64, ProducerState>,
    /// Where open transactions begin: every fetch asks for the first.
    open: BTreeSet<i64>,
}

/// What a batch's stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Verdict {
    /// It is next.
    New,
    /// It is in the log already, at this offset.
    Duplicate(i64),
}

impl Producers {
    /// Whether a batch with this stamp may be appended.
    pub(in crate::broker) fn check(&self, stamp: &Stamp) -> Result<Verdict, ErrorCode> {
        let Some(known) = self.known.get(&stamp.producer_id) else { return Ok(Verdict::New) };
        if stamp.epoch < known.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if stamp.epoch > known.epoch {
            let begins = stamp.first_sequence == 0;
            return if begins { Ok(Verdict::New) } else { Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) };
        }
        let same = known.batches.iter().find(|batch| {
            (batch.first_sequence, batch.last_sequence) == (stamp.first_sequence, stamp.last_sequence)
        });
        if let Some(batch) = same {
            return Ok(Verdict::Duplicate(batch.base_offset));
        }
        // After a mark that raised the epoch nothing is known of its sequence numbers.
        let next = known.batches.back().map(|batch| after(batch.last_sequence, 1));
        if next.is_none_or(|next| next == stamp.first_sequence) {
            Ok(Verdict::New)
        } else {
            Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
        }
    }

    /// Notes a batch that was appended.
    pub(in crate::broker) fn appended(
        &mut self,
        stamp: &Stamp,
        base_offset: i64,
        last_offset: i64,
        timestamp: i64,
    ) {
        self.make_room();
        let known = self.entry(stamp.producer_id, stamp.epoch);
        if known.epoch != stamp.epoch {
            known.batches.clear();
            known.epoch = stamp.epoch;
        }
        known.last_timestamp = timestamp;
        known.last_offset = last_offset;
        if known.batches.len() == REMEMBERED_BATCHES {
            known.batches.pop_front();
        }
        known.batches.push_back(Remembered {
            first_sequence: stamp.first_sequence,
            last_sequence: stamp.last_sequence,
            base_offset,
        });
        if stamp.transactional && known.transaction_start.is_none() {
            known.transaction_start = Some(base_offset);
            self.open.insert(base_offset);
        }
    }

    /// Notes the mark that ends a transaction; gives back where it began, if it wrote anything here.
    pub(in crate::broker) fn ended(
        &mut self,
        producer_id: i64,
        epoch: i16,
        offset: i64,
        timestamp: i64,
    ) -> Option<i64> {
        let known = self.entry(producer_id, epoch);
        if epoch > known.epoch {
            known.epoch = epoch;
            known.batches.clear();
        }
        known.last_timestamp = timestamp;
        known.last_offset = offset;
        let began = known.transaction_start.take();
        if let Some(began) = began {
            self.open.remove(&began);
        }
        began
    }

    /// Where the oldest open transaction begins.
    pub(in crate::broker) fn first_open_offset(&self) -> Option<i64> {
        self.open.first().copied()
    }

    pub(in crate::broker) fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        self.known.get(&producer_id)
    }

    pub(in crate::broker) fn iter(&self) -> impl Iterator<Item = (i64, &ProducerState)> {
        self.known.iter().map(|(id, state)| (*id, state))
    }

    fn entry(&mut self, producer_id: i64, epoch: i16) -> &mut ProducerState {
        self.known.entry(producer_id).or_insert_with(|| ProducerState {
            epoch,
            last_timestamp: -1,
            transaction_start: None,
            last_offset: -1,
            batches: VecDeque::new(),
        })
    }

    fn make_room(&mut self) {
        if self.known.len() < MOST_PRODUCERS {
            return;
        }
        let mut offsets: Vec<i64> = self.known.values().map(|producer| producer.last_offset).collect();
        let middle = offsets.len() / 2;
        let (_, &mut median, _) = offsets.select_nth_unstable(middle);
        self.known
            .retain(|_, producer| producer.last_offset > median || producer.transaction_start.is_some());
    }
}

/// The sequence number so many behind this one: after the largest comes 0.
pub(in crate::broker) fn after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: i16, first_sequence: i32, count: i32) -> Stamp {
        let last_sequence = after(first_sequence, count - 1);
        Stamp { producer_id: 1, epoch, first_sequence, last_sequence, transactional: false }
    }

    fn written(stamps: &[Stamp]) -> Producers {
        let mut producers = Producers::default();
        for (offset, stamp) in (0..).map(|number| number * 10).zip(stamps) {
            assert_eq!(producers.check(stamp), Ok(Verdict::New), "{stamp:?}");
            producers.appended(stamp, offset, offset + 9, 0);
        }
        producers
    }

    #[test]
    fn sequences_continue_and_wrap() {
        let producers = written(&[stamp(0, i32::MAX - 4, 10)]);
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(producers.check(&stamp(0, 5, 1)), Ok(Verdict::New));
        assert_eq!(producers.check(&stamp(0, 6, 1)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let stamps: Vec<_> = (0..6).map(|number| stamp(0, number, 1)).collect();
        let producers = written(&stamps);
        assert_eq!(producers.check(&stamps[0]), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        for (number, stamp) in (0_i64..).zip(&stamps).skip(1) {
            assert_eq!(producers.check(stamp), Ok(Verdict::Duplicate(10 * number)));
        }
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old() {
        let producers = written(&[stamp(0, 0, 3), stamp(1, 0, 1)]);
        assert_eq!(producers.check(&stamp(0, 3, 1)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(producers.check(&stamp(2, 1, 1)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.check(&stamp(2, 0, 1)), Ok(Verdict::New));
    }

    #[test]
    fn a_producer_that_is_not_known_may_begin_anywhere() {
        assert_eq!(Producers::default().check(&stamp(0, 77, 1)), Ok(Verdict::New));
    }

    #[test]
    fn transactions_are_open_until_their_mark() {
        let mut producers = written(&[Stamp { transactional: true, ..stamp(0, 0, 1) }]);
        assert_eq!(producers.first_open_offset(), Some(0));
        assert_eq!(producers.ended(1, 1, 10, 0), Some(0));
        assert_eq!(producers.first_open_offset(), None);
        // The mark raised the epoch; what its producer writes next begins at 0, or goes on.
        assert_eq!(producers.check(&stamp(0, 1, 1)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(producers.check(&stamp(1, 0, 1)), Ok(Verdict::New));
    }

    #[test]
    fn producers_beyond_the_bound_are_forgotten_oldest_first() {
        let mut producers = Producers::default();
        let last = 2 * i64::try_from(MOST_PRODUCERS).unwrap();
        for id in 0..=last {
            producers.appended(&Stamp { producer_id: id, ..stamp(0, 0, 1) }, id, id, 0);
        }
        assert!(producers.iter().count() <= MOST_PRODUCERS);
        assert!(producers.get(0).is_none() && producers.get(last).is_some());
    }
}
