//! The log of a partition: batches in the order of their offsets, in memory or on disk.
//!
//! Everything here is synchronous and takes the time as an argument. Which records a reader may see (up to the high
//! watermark, or below the first open transaction) and which transactions were aborted (KIP-98), what a leader epoch's
//! last offset is (KIP-101, KIP-320), and which offset has a timestamp, is answered from an index of batch headers.

mod incoming;
mod producers;
mod segments;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

pub(super) use self::incoming::{Incoming, Refusal};
pub(super) use self::producers::Stamp;
use self::producers::{Producers, Verdict, after};
use self::segments::{Place, Segments};
use crate::wire::error_code::ErrorCode;
use crate::wire::record::{
    Batch, Batches, ControlType, DecodeLimits, PLACE_BYTES, ProducerStamp, end_of_transaction, place,
    place_front,
};

/// The log of one partition.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Absent where the log is in memory.
    segments: Option<Segments>,
    start: i64,
    next: i64,
    bytes: u64,
    /// Each leader epoch with the first offset that it wrote.
    epochs: Vec<(i32, i64)>,
    producers: Producers,
    aborted: Vec<Aborted>,
}

/// A batch, by its header.
#[derive(Debug)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    size: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    Disk(Place),
}

impl Content {
    fn follows(&self, place: Place, size: usize) -> bool {
        matches!(self, Self::Disk(own) if own.follows(place, size))
    }
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
    last_offset: i64,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) base_offset: i64,
    /// The broker's time, where the topic takes that.
    pub(super) append_time: Option<i64>,
    pub(super) duplicate: bool,
}

impl Log {
    /// An empty log in memory.
    pub(super) fn in_memory() -> Self {
        Self {
            entries: VecDeque::new(),
            segments: None,
            start: 0,
            next: 0,
            bytes: 0,
            epochs: Vec::new(),
            producers: Producers::default(),
            aborted: Vec::new(),
        }
    }

    /// The log in a directory. `start` is where it begins, if records before that were deleted.
    pub(super) fn open(directory: &Path, start: i64) -> io::Result<Self> {
        let mut log = Self::in_memory();
        let segments = Segments::open(directory, |bytes, place| log.recover(bytes, place))?;
        log.segments = Some(segments);
        log.next = log.next.max(start);
        if start > log.start {
            log.remove_before(start)?;
        }
        Ok(log)
    }

    /// Takes in a batch that was found on disk; `false` for one that is damaged or does not follow the last.
    fn recover(&mut self, bytes: Bytes, place: Place) -> bool {
        let size = bytes.len();
        let Some(Ok(batch)) = Batches::new(bytes, DecodeLimits::default()).next() else { return false };
        if self.entries.is_empty() {
            self.start = batch.base_offset();
        } else if batch.base_offset() < self.next {
            return false;
        }
        self.note(&batch, size, Content::Disk(place));
        true
    }

    /// Notes a batch that is in its place.
    fn note(&mut self, batch: &Batch, size: usize, content: Content) {
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        let epoch = batch.partition_leader_epoch();
        if self.epochs.last().is_none_or(|&(last, _)| last < epoch) {
            self.epochs.push((epoch, base_offset));
        }
        if batch.producer_id() >= 0 {
            if batch.is_control() {
                let (id, epoch) = (batch.producer_id(), batch.producer_epoch());
                let began = self.producers.ended(id, epoch, base_offset, batch.max_timestamp());
                if let (Some(first_offset), Some(ControlType::Abort)) = (began, batch.control_type()) {
                    self.aborted.push(Aborted { producer_id: id, first_offset, last_offset });
                }
            } else {
                let stamp = Stamp {
                    producer_id: batch.producer_id(),
                    epoch: batch.producer_epoch(),
                    first_sequence: batch.base_sequence(),
                    last_sequence: after(batch.base_sequence(), batch.record_count().saturating_sub(1)),
                    transactional: batch.is_transactional(),
                };
                self.producers.appended(&stamp, base_offset, last_offset, batch.max_timestamp());
            }
        }
        self.push(Entry { base_offset, last_offset, max_timestamp: batch.max_timestamp(), size, content });
    }

    fn push(&mut self, entry: Entry) {
        self.next = entry.last_offset.saturating_add(1);
        self.bytes = self.bytes.saturating_add(as_u64(entry.size));
        self.entries.push_back(entry);
    }

    /// Appends a batch that was checked, unless it is there already.
    pub(super) fn append(
        &mut self,
        batch: &Incoming,
        leader_epoch: i32,
        append_time: Option<i64>,
    ) -> Result<Appended, Refusal> {
        if let Some(stamp) = &batch.stamp
            && let Verdict::Duplicate(base_offset) = self.producers.check(stamp)?
        {
            return Ok(Appended { base_offset, append_time, duplicate: true });
        }
        let base_offset = self.next;
        let last_offset = base_offset
            .checked_add(i64::from(batch.count) - 1)
            .filter(|&last| last < i64::MAX)
            .ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
        let size = batch.bytes.len();
        let content = self.write(base_offset, &batch.bytes, leader_epoch, append_time).map_err(|error| {
            tracing::error!("cannot write to the log: {error}");
            Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
        })?;
        let max_timestamp = append_time.unwrap_or(batch.max_timestamp);
        if self.epochs.last().is_none_or(|&(last, _)| last < leader_epoch) {
            self.epochs.push((leader_epoch, base_offset));
        }
        if let Some(stamp) = &batch.stamp {
            self.producers.appended(stamp, base_offset, last_offset, max_timestamp);
        }
        self.push(Entry { base_offset, last_offset, max_timestamp, size, content });
        Ok(Appended { base_offset, append_time, duplicate: false })
    }

    /// Appends the mark that ends a producer's transaction.
    pub(super) fn end_transaction(
        &mut self,
        outcome: ControlType,
        producer: ProducerStamp,
        leader_epoch: i32,
        now: i64,
    ) -> io::Result<()> {
        let mark = end_of_transaction(outcome, producer, 0, now).map_err(io::Error::other)?;
        let content = self.write(self.next, &mark, leader_epoch, None)?;
        let size = mark.len();
        let placed = place(&mark, self.next, leader_epoch, None);
        let Some(Ok(batch)) = Batches::new(placed, DecodeLimits::default()).next() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        self.note(&batch, size, content);
        Ok(())
    }

    /// Writes a batch to its place. On its way to a file only its front is copied.
    fn write(
        &mut self,
        base_offset: i64,
        batch: &[u8],
        leader_epoch: i32,
        append_time: Option<i64>,
    ) -> io::Result<Content> {
        let placed = || place(batch, base_offset, leader_epoch, append_time);
        let Some(segments) = &mut self.segments else { return Ok(Content::Memory(placed())) };
        let place = match (append_time, place_front(batch, base_offset, leader_epoch)) {
            (None, Some(front)) => {
                segments.append(base_offset, &front, batch.get(PLACE_BYTES..).unwrap_or_default())
            }
            _ => segments.append(base_offset, &placed(), &[]),
        };
        place.map(Content::Disk)
    }

    /// The first offset that is there.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset behind the last record: with one replica, the high watermark too.
    pub(super) fn end(&self) -> i64 {
        self.next
    }

    /// Up to where a reader of committed records may read.
    pub(super) fn last_stable_offset(&self) -> i64 {
        self.producers.first_open_offset().map_or(self.next, |first| first.max(self.start))
    }

    /// How many bytes its batches have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The newest leader epoch that wrote here.
    pub(super) fn last_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|&(epoch, _)| epoch)
    }

    /// The largest epoch up to this one, and the offset at which the next began.
    pub(super) fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        let behind = self.epochs.partition_point(|&(known, _)| known <= epoch);
        let (known, _) = *self.epochs.get(behind.checked_sub(1)?)?;
        Some((known, self.epochs.get(behind).map_or(self.next, |&(_, start)| start)))
    }

    /// The epoch that wrote the record at an offset; -1 for none.
    pub(super) fn epoch_at(&self, offset: i64) -> i32 {
        let behind = self.epochs.partition_point(|&(_, start)| start <= offset);
        behind.checked_sub(1).and_then(|at| self.epochs.get(at)).map_or(-1, |&(epoch, _)| epoch)
    }

    /// Whole batches from the one that holds `from` on, below `end`, of at most `most_bytes`; the first of them even if
    /// it is larger, where `at_least_one` asks so.
    pub(super) fn read(
        &self,
        from: i64,
        end: i64,
        most_bytes: usize,
        at_least_one: bool,
    ) -> io::Result<Bytes> {
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        let mut size = 0_usize;
        let mut count = 0_usize;
        for entry in self.entries.range(first..) {
            let with = size.saturating_add(entry.size);
            if entry.base_offset >= end || (with > most_bytes && (count > 0 || !at_least_one)) {
                break;
            }
            size = with;
            count = count.saturating_add(1);
        }
        let mut chosen = self.entries.range(first..first.saturating_add(count)).peekable();
        if let (1, Some(Entry { content: Content::Memory(batch), .. })) = (count, chosen.peek()) {
            return Ok(batch.clone());
        }
        let mut buffer = Vec::with_capacity(size);
        while let Some(entry) = chosen.next() {
            let (place, segments) = match (&entry.content, &self.segments) {
                (Content::Memory(batch), _) => {
                    buffer.extend_from_slice(batch);
                    continue;
                }
                (Content::Disk(place), Some(segments)) => (*place, segments),
                (Content::Disk(_), None) => return Err(io::ErrorKind::NotFound.into()),
            };
            // What stands together is read together.
            let mut together = entry.size;
            while let Some(next) = chosen.next_if(|next| next.content.follows(place, together)) {
                together = together.saturating_add(next.size);
            }
            segments.read(place, together, &mut buffer)?;
        }
        Ok(buffer.into())
    }

    /// How many bytes there are to read from an offset on, up to `enough`.
    pub(super) fn bytes_from(&self, from: i64, end: i64, enough: usize) -> usize {
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        let mut size = 0_usize;
        for entry in self.entries.range(first..) {
            if entry.base_offset >= end || size >= enough {
                break;
            }
            size = size.saturating_add(entry.size);
        }
        size
    }

    /// The transactions that were aborted and touch the offsets from `from` up to `end`, by their first offset.
    pub(super) fn aborted_between(&self, from: i64, end: i64) -> Vec<Aborted> {
        let mut touched: Vec<_> = self
            .aborted
            .iter()
            .filter(|aborted| aborted.last_offset >= from && aborted.first_offset < end)
            .copied()
            .collect();
        touched.sort_unstable_by_key(|aborted| aborted.first_offset);
        touched
    }

    /// The offset and timestamp of the first record that is not older than a time.
    pub(super) fn first_since(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        for entry in self.entries.iter().filter(|entry| entry.max_timestamp >= timestamp) {
            let found = self
                .records_of(entry)?
                .into_iter()
                .find(|&(offset, time)| time >= timestamp && offset >= self.start);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The offset and timestamp of the first record that has the highest timestamp.
    pub(super) fn newest_timestamp(&self) -> io::Result<Option<(i64, i64)>> {
        // Of equal ones the first, which `max_by_key` alone would not give.
        let newest = self.entries.iter().rev().max_by_key(|entry| entry.max_timestamp);
        let Some(newest) = newest else { return Ok(None) };
        Ok(self.records_of(newest)?.into_iter().find(|&(_, time)| time == newest.max_timestamp))
    }

    /// The offsets and timestamps of a batch's records.
    fn records_of(&self, entry: &Entry) -> io::Result<Vec<(i64, i64)>> {
        let bytes = self.read(entry.base_offset, entry.last_offset.saturating_add(1), entry.size, true)?;
        let batch = Batches::new(bytes, DecodeLimits::default()).next();
        let Some(Ok(batch)) = batch else { return Err(io::ErrorKind::InvalidData.into()) };
        Ok(batch.records().filter_map(Result::ok).map(|record| (record.offset, record.timestamp)).collect())
    }

    /// Forgets what is before an offset. Batches go as a whole.
    pub(super) fn remove_before(&mut self, offset: i64) -> io::Result<()> {
        self.start = self.start.max(offset.min(self.next));
        while self.entries.front().is_some_and(|first| first.last_offset < self.start) {
            self.pop_front();
        }
        self.after_removal()
    }

    /// Forgets what a topic's settings no longer keep; `now` in milliseconds since 1970 UTC.
    pub(super) fn retain(&mut self, oldest: Option<i64>, most_bytes: Option<u64>) -> io::Result<()> {
        let stable = self.last_stable_offset();
        while let Some(first) = self.entries.front() {
            let old = oldest.is_some_and(|oldest| first.max_timestamp < oldest);
            let beyond = most_bytes.is_some_and(|most| self.bytes > most);
            // An open transaction must be able to end.
            if !(old || beyond) || first.last_offset >= stable {
                break;
            }
            self.start = first.last_offset.saturating_add(1);
            self.pop_front();
        }
        self.after_removal()
    }

    /// Forgets the oldest batch; `false` if there is none.
    pub(super) fn remove_oldest(&mut self) -> io::Result<bool> {
        let Some(first) = self.entries.front() else { return Ok(false) };
        self.start = first.last_offset.saturating_add(1);
        self.pop_front();
        self.after_removal()?;
        Ok(true)
    }

    /// When the oldest batch was written, by its records.
    pub(super) fn oldest_timestamp(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.max_timestamp)
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(as_u64(entry.size));
        }
    }

    fn after_removal(&mut self) -> io::Result<()> {
        let start = self.start;
        self.aborted.retain(|aborted| aborted.last_offset >= start);
        let kept = self.epochs.partition_point(|&(_, first)| first <= start).saturating_sub(1);
        self.epochs.drain(..kept);
        let Some(segments) = &mut self.segments else { return Ok(()) };
        segments.remove_before(match self.entries.front() {
            Some(Entry { content: Content::Disk(place), .. }) => Some(*place),
            _ => None,
        })
    }

    /// A handle on the file that was written last, to be brought to the disk.
    pub(super) fn file_to_sync(&self) -> Option<io::Result<File>> {
        self.segments.as_ref().and_then(Segments::last_file)
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::broker::topic_settings::TopicSettings;
    use crate::wire::Compression;
    use crate::wire::record::BatchBuilder;

    fn batch(times: &[i64], stamp: ProducerStamp) -> Incoming {
        let mut builder = BatchBuilder::new(Compression::None);
        for time in times {
            builder.append(*time, None, Some(b"value"), &[]).unwrap();
        }
        Incoming::check(builder.finish(stamp).unwrap(), &TopicSettings::default(), 1_000_000).unwrap()
    }

    fn stamp(base_sequence: i32) -> ProducerStamp {
        ProducerStamp { producer_id: 7, producer_epoch: 0, base_sequence, transactional: true }
    }

    fn append(log: &mut Log, times: &[i64], epoch: i32) -> i64 {
        log.append(&batch(times, ProducerStamp::NONE), epoch, None).unwrap().base_offset
    }

    fn offsets(log: &Log, from: i64, most_bytes: usize) -> Vec<i64> {
        let bytes = log.read(from, log.end(), most_bytes, true).unwrap();
        Batches::new(bytes, DecodeLimits::default()).map(|batch| batch.unwrap().base_offset()).collect()
    }

    #[test]
    fn reading_begins_with_the_batch_that_holds_the_offset() {
        let mut log = Log::in_memory();
        for _ in 0..4 {
            append(&mut log, &[1, 2, 3], 0);
        }
        assert_eq!(offsets(&log, 4, usize::MAX), [3, 6, 9]);
        assert_eq!(offsets(&log, 4, 1), [3], "the first, even if it is too large");
        assert!(log.read(0, 3, 1, false).unwrap().is_empty());
        let size = log.read(0, 3, 1, true).unwrap().len();
        assert_eq!(offsets(&log, 0, 2 * size), [0, 3]);
    }

    #[test]
    fn epochs_end_where_the_next_begins() {
        let mut log = Log::in_memory();
        for epoch in [0, 0, 2, 5] {
            append(&mut log, &[1], epoch);
        }
        let ends = [-1, 0, 1, 2, 4, 5, 9].map(|epoch| log.end_of_epoch(epoch));
        assert_eq!(
            ends,
            [None, Some((0, 2)), Some((0, 2)), Some((2, 3)), Some((2, 3)), Some((5, 4)), Some((5, 4))]
        );
        assert_eq!([0, 2, 3].map(|offset| log.epoch_at(offset)), [0, 2, 5]);
        log.remove_before(3).unwrap();
        assert_eq!((log.start(), log.end_of_epoch(2)), (3, None));
    }

    #[test]
    fn transactions_hold_readers_back_and_are_told_when_they_were_aborted() {
        let mut log = Log::in_memory();
        append(&mut log, &[1], 0);
        log.append(&batch(&[1, 2], stamp(0)), 0, None).unwrap();
        append(&mut log, &[1], 0);
        assert_eq!((log.last_stable_offset(), log.end()), (1, 4));
        log.end_transaction(ControlType::Abort, stamp(-1), 0, 9).unwrap();
        assert_eq!((log.last_stable_offset(), log.end()), (5, 5));
        let told =
            |from, end| log.aborted_between(from, end).iter().map(|one| one.first_offset).collect::<Vec<_>>();
        assert_eq!((told(0, 5), told(2, 3), told(0, 1), told(5, 9)), (vec![1], vec![1], vec![], vec![]));
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_but_for_open_transactions() {
        let mut log = Log::in_memory();
        for time in [10, 20, 30] {
            append(&mut log, &[time], 0);
        }
        log.append(&batch(&[5], stamp(0)), 0, None).unwrap();
        log.retain(Some(25), None).unwrap();
        assert_eq!(log.start(), 2);
        log.retain(None, Some(0)).unwrap();
        assert_eq!((log.start(), log.end()), (3, 4), "the open transaction stays");
        log.end_transaction(ControlType::Commit, stamp(-1), 0, 40).unwrap();
        log.retain(None, Some(0)).unwrap();
        assert_eq!((log.start(), log.end(), log.bytes()), (5, 5, 0));
    }

    #[test]
    fn a_directory_holds_what_was_written_up_to_a_torn_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("00000000000000000000.log");
        let mut log = Log::open(directory.path(), 0).unwrap();
        append(&mut log, &[1, 2], 0);
        log.append(&batch(&[3], stamp(4)), 1, None).unwrap();
        let before_last = fs::metadata(&file).unwrap().len();
        append(&mut log, &[4], 1);
        drop(log);
        let whole = fs::read(&file).unwrap();
        for end in usize::try_from(before_last).unwrap()..whole.len() {
            fs::write(&file, &whole[..end]).unwrap();
            let mut log = Log::open(directory.path(), 0).unwrap();
            assert_eq!((log.end(), log.last_stable_offset(), log.last_epoch()), (3, 2, Some(1)), "{end}");
            // It goes on where it was cut, and knows its producers.
            assert!(log.append(&batch(&[3], stamp(4)), 1, None).unwrap().duplicate);
            assert_eq!(append(&mut log, &[9], 1), 3);
            assert_eq!(offsets(&log, 0, usize::MAX), [0, 2, 3]);
        }
        let mut changed = whole;
        changed[70] ^= 1;
        fs::write(&file, &changed).unwrap();
        assert_eq!(Log::open(directory.path(), 0).unwrap().end(), 0, "the first batch is damaged");
    }

    proptest! {
        #[test]
        fn a_time_is_found_as_by_looking_at_every_record(
            batches in prop::collection::vec(prop::collection::vec(0..50_i64, 1..5), 0..8),
            asked in 0..60_i64,
        ) {
            let mut log = Log::in_memory();
            for times in &batches {
                append(&mut log, times, 0);
            }
            let all: Vec<(i64, i64)> = (0..).zip(batches.into_iter().flatten()).collect();
            let expected = all.iter().copied().find(|(_, time)| *time >= asked);
            prop_assert_eq!(log.first_since(asked).unwrap(), expected);
            let newest = all.iter().rev().max_by_key(|(_, time)| *time).copied();
            prop_assert_eq!(log.newest_timestamp().unwrap(), newest);
        }
    }
}
