//! What a broker sent of one partition, cut into the batches that are handed over.
//!
//! Pure. A broker sends whole batches of the log, and says which offsets of them it has acquired for this consumer. An
//! acquired offset that no record has is a gap: compacted away, or the mark of a transaction. The broker is told so, or
//! it would offer the gap for ever. Only what is known to be missing is a gap; what could not be read is not.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::batch::{Acquired, AcquiredBatch};
use super::held::Origin;
use crate::kafka::consumer::FetchedBatch;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::record::{Batch, Batches, DecodeLimits, RecordError, next_offset};

#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) partition: TopicPartition,
    pub(super) origin: Origin,
    /// When the lock of its records runs out.
    pub(super) until: Instant,
    batches: Batches,
    /// The offset behind the last batch, as its header has it.
    end: i64,
    /// What was acquired and has not been looked at yet.
    acquired: VecDeque<Acquired>,
}

/// Offsets, both ends included.
pub(super) type Span = (i64, i64);

/// What stands next in it.
#[derive(Debug)]
pub(super) enum Next {
    /// Records, and the gaps between them.
    Records { batch: AcquiredBatch, gaps: Vec<Span> },
    /// Nothing but gaps.
    Gaps(Vec<Span>),
    /// A batch that cannot be read, at this offset or behind it, and what was acquired of it.
    Damaged { offset: i64, source: RecordError, damaged: Vec<Span> },
    /// No more. What was acquired beside was not sent.
    End(Vec<Span>),
}

impl Arrived {
    pub(super) fn new(
        partition: TopicPartition,
        origin: Origin,
        until: Instant,
        records: Bytes,
        acquired: impl IntoIterator<Item = Acquired>,
    ) -> Self {
        let mut sound: VecDeque<Acquired> = VecDeque::new();
        for next in acquired {
            let behind = sound.back().map_or(0, |last| last.last.saturating_add(1));
            if next.first >= behind && next.last >= next.first && next.last < i64::MAX {
                sound.push_back(next);
            } else {
                tracing::debug!(%partition, ?next, "a broker has acquired offsets that cannot be");
            }
        }
        let end = next_offset(&records).unwrap_or_default();
        let batches = Batches::new(records, DecodeLimits::default());
        Self { partition, origin, until, batches, end, acquired: sound }
    }

    pub(super) fn next(&mut self) -> Next {
        if self.acquired.is_empty() {
            return Next::End(Vec::new());
        }
        match self.batches.next() {
            None => Next::End(self.take_all()),
            Some(Err(source)) => self.damaged(source),
            Some(Ok(batch)) => {
                let acquired = self.take_before(batch.next_offset());
                match present(&batch, &acquired) {
                    Ok(offsets) => self.records(batch, acquired, offsets),
                    Err(source) => {
                        let offset = acquired.first().map_or(batch.base_offset(), |first| first.first);
                        Next::Damaged { offset, source, damaged: spans(&acquired) }
                    }
                }
            }
        }
    }

    /// Whether nothing was acquired, or nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.acquired.is_empty()
    }

    /// What was acquired and has not been handed over.
    pub(super) fn take_all(&mut self) -> Vec<Span> {
        self.acquired.drain(..).map(|acquired| (acquired.first, acquired.last)).collect()
    }

    fn records(&self, batch: Batch, acquired: Vec<Acquired>, offsets: Vec<i64>) -> Next {
        let gaps = gaps(&acquired, &offsets);
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Next::Gaps(gaps) };
        let fetched = FetchedBatch {
            partition: self.partition.clone(),
            batch,
            from: *first,
            before: Some(last.saturating_add(1)),
        };
        let batch = AcquiredBatch { fetched, acquired, offsets: Arc::from(offsets) };
        Next::Records { batch, gaps }
    }

    fn damaged(&mut self, source: RecordError) -> Next {
        let offset = self.acquired.front().map_or(0, |first| first.first);
        // Its own header may be damaged, too: it ends where the next one begins that can be read.
        let behind = self.batches.clone().find_map(Result::ok).map_or(self.end, |next| next.base_offset());
        let damaged = spans(&self.take_before(behind.max(offset.saturating_add(1))));
        Next::Damaged { offset, source, damaged }
    }

    /// What was acquired in front of this offset.
    fn take_before(&mut self, behind: i64) -> Vec<Acquired> {
        let whole = self.acquired.iter().take_while(|acquired| acquired.last < behind).count();
        let mut taken: Vec<_> = self.acquired.drain(..whole).collect();
        if let Some(cut) = self.acquired.front_mut().filter(|acquired| acquired.first < behind) {
            taken.push(Acquired { last: behind.saturating_sub(1), ..*cut });
            cut.first = behind;
        }
        taken
    }
}

/// The offsets of the records that were acquired, in order.
fn present(batch: &Batch, acquired: &[Acquired]) -> Result<Vec<i64>, RecordError> {
    // The marks of transactions are no records.
    if acquired.is_empty() || batch.is_control() {
        return Ok(Vec::new());
    }
    let mut offsets = Vec::new();
    for record in batch.records() {
        let offset = record?.offset;
        let behind = acquired.partition_point(|acquired| acquired.last < offset);
        if acquired.get(behind).is_some_and(|acquired| acquired.first <= offset) {
            offsets.push(offset);
        }
    }
    offsets.sort_unstable();
    offsets.dedup();
    Ok(offsets)
}

/// What was acquired and is not among these offsets.
fn gaps(acquired: &[Acquired], offsets: &[i64]) -> Vec<Span> {
    let mut gaps = Vec::new();
    let mut offsets = offsets.iter().copied().peekable();
    for acquired in acquired {
        let mut next = acquired.first;
        while let Some(offset) = offsets.next_if(|&offset| offset <= acquired.last) {
            if offset > next {
                gaps.push((next, offset.saturating_sub(1)));
            }
            next = offset.saturating_add(1);
        }
        if next <= acquired.last {
            gaps.push((next, acquired.last));
        }
    }
    gaps
}

fn spans(acquired: &[Acquired]) -> Vec<Span> {
    acquired.iter().map(|acquired| (acquired.first, acquired.last)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::made_up::{batch, damaged, mark};
    use super::*;

    fn arrived(batches: &[Bytes], acquired: &[(i64, i64, u16)]) -> Arrived {
        let acquired =
            acquired.iter().map(|&(first, last, delivery_count)| Acquired { first, last, delivery_count });
        let origin = Origin { broker: 1, topic_id: uuid::Uuid::nil() };
        let partition = TopicPartition::new("t", 0);
        Arrived::new(partition, origin, Instant::now(), Bytes::from(batches.concat()), acquired)
    }

    /// What comes of it: records with their delivery counts, gaps, what is given up at the end.
    fn unpack(mut arrived: Arrived) -> (Vec<(i64, u16)>, Vec<Span>, Vec<Span>) {
        let (mut records, mut all_gaps) = (Vec::new(), Vec::new());
        loop {
            match arrived.next() {
                Next::Records { batch, gaps } => {
                    let found: Vec<_> =
                        batch.records().map(|shared| (shared.record.offset, shared.delivery_count)).collect();
                    let offsets: Vec<_> = found.iter().map(|(offset, _)| *offset).collect();
                    assert_eq!(batch.offsets().collect::<Vec<_>>(), offsets);
                    assert_eq!((batch.len(), batch.is_empty()), (offsets.len(), false));
                    records.extend(found);
                    all_gaps.extend(gaps);
                }
                Next::Gaps(gaps) => all_gaps.extend(gaps),
                Next::End(rest) => return (records, all_gaps, rest),
                Next::Damaged { source, .. } => panic!("{source}"),
            }
        }
    }

    #[test]
    fn only_what_was_acquired_is_handed_over() {
        let log = [batch(0, 5, 4), batch(5, 5, 9)];
        let (records, gaps, rest) = unpack(arrived(&log, &[(1, 2, 1), (4, 4, 3), (6, 8, 1)]));
        assert_eq!(records, [(1, 1), (2, 1), (4, 3), (6, 1), (7, 1), (8, 1)]);
        assert_eq!((gaps, rest), (vec![], vec![]));
    }

    #[test]
    fn what_was_compacted_away_is_a_gap_and_so_is_a_mark() {
        // Offsets 2 to 4 are gone from the first batch, 7 and 8 with their batch; 11 is a mark.
        let log = [batch(0, 2, 4), batch(5, 2, 6), batch(9, 2, 10), mark(11), batch(12, 1, 12)];
        let (records, gaps, rest) = unpack(arrived(&log, &[(0, 12, 1)]));
        assert_eq!(records.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 5, 6, 9, 10, 12]);
        assert_eq!(gaps, [(2, 4), (7, 8), (11, 11)]);
        assert_eq!(rest, []);
    }

    #[test]
    fn what_was_not_sent_is_no_gap() {
        let log = [batch(0, 2, 1)];
        assert_eq!(unpack(arrived(&log, &[(0, 5, 1)])), (vec![(0, 1), (1, 1)], vec![], vec![(2, 5)]));
        assert_eq!(unpack(arrived(&[], &[(0, 5, 1)])), (vec![], vec![], vec![(0, 5)]));
    }

    #[test]
    fn a_damaged_batch_takes_nothing_of_its_neighbours_with_it() {
        let log = [batch(0, 2, 1), damaged(2, 3), batch(5, 2, 6), damaged(7, 2)];
        let mut arrived = arrived(&log, &[(0, 3, 1), (4, 8, 2)]);
        assert!(matches!(arrived.next(), Next::Records { .. }));
        let Next::Damaged { offset, damaged, .. } = arrived.next() else { panic!("it is damaged") };
        assert_eq!((offset, damaged), (2, vec![(2, 3), (4, 4)]));
        let Next::Records { batch, gaps } = arrived.next() else { panic!("it is sound") };
        assert_eq!((batch.offsets().collect::<Vec<_>>(), gaps), (vec![5, 6], vec![]));
        let Next::Damaged { offset, damaged, .. } = arrived.next() else { panic!("it is damaged") };
        assert_eq!((offset, damaged), (7, vec![(7, 8)]));
        assert!(matches!(arrived.next(), Next::End(rest) if rest.is_empty()));
    }

    #[test]
    fn acquired_offsets_that_cannot_be_are_passed_over() {
        let log = [batch(0, 10, 9)];
        let acquired = [(-3, 1, 1), (2, 3, 1), (3, 5, 1), (6, 4, 1), (7, 7, 1), (8, i64::MAX, 1)];
        let (records, gaps, rest) = unpack(arrived(&log, &acquired));
        assert_eq!((records, gaps, rest), (vec![(2, 1), (3, 1), (7, 1)], vec![], vec![]));
    }

    proptest! {
        #[test]
        fn every_acquired_offset_is_a_record_a_gap_or_given_up(
            batches in prop::collection::vec((0_i64..3, 1_i64..5, 0_i64..3), 0..6),
            acquired in prop::collection::vec((0_i64..4, 0_i64..6), 0..8),
        ) {
            let (mut log, mut present, mut end) = (Vec::new(), Vec::new(), 0);
            for (skip, count, compacted) in batches {
                let first = end + skip;
                log.push(batch(first, count, first + count - 1 + compacted));
                present.extend(first..first + count);
                end = first + count + compacted;
            }
            let (mut spans, mut behind) = (Vec::new(), 0);
            for (skip, length) in acquired {
                let first = behind + skip;
                spans.push((first, first + length, 1));
                behind = first + length + 1;
            }
            let (records, gaps, rest) = unpack(arrived(&log, &spans));
            let all = |spans: &[Span]| spans.iter().flat_map(|&(a, b)| a..=b).collect::<Vec<_>>();
            let mut told: Vec<_> = records.iter().map(|(offset, _)| *offset).collect();
            for offset in all(&gaps) {
                prop_assert!(!present.contains(&offset) && offset < end);
                told.push(offset);
            }
            for offset in all(&rest) {
                prop_assert!(offset >= end);
                told.push(offset);
            }
            told.sort_unstable();
            let acquired: Vec<_> = spans.iter().flat_map(|&(a, b, _)| a..=b).collect();
            prop_assert_eq!(told, acquired);
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            keep in 0_usize..80,
            acquired in prop::collection::vec((any::<i64>(), any::<i64>()), 0..4),
        ) {
            // The front of a sound batch leads further in.
            let sound = batch(0, 3, 2);
            let keep = keep.min(sound.len());
            bytes.splice(0..keep.min(bytes.len()), sound[..keep].iter().copied());
            let acquired: Vec<_> = acquired.into_iter().map(|(a, b)| (a, b, 1)).collect();
            let mut arrived = arrived(&[Bytes::from(bytes)], &acquired);
            while !matches!(arrived.next(), Next::End(_)) {}
        }
    }
}
