//! The coordinator of transactions (KIP-98), with epochs that grow with each of them (KIP-890).
//!
//! With everything in one process, the end of a transaction is one step: the marks go to the logs and the offsets to
//! the groups before it is answered. With a directory, how it is to end is written down first, and done again after a
//! crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;

use super::cluster::{Cluster, Now};
use super::journal::{Entry, Saved, SavedOffset, SavedTransaction};
use crate::wire::error_code::ErrorCode;
use crate::wire::record::{ControlType, ProducerStamp};

/// As Kafka has it.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(15);
/// Transactional ids that are remembered.
const MOST_TRANSACTIONAL_IDS: usize = 10_000;
/// Partitions of all open transactions, and offsets that wait for the end of one.
const MOST_PARTITIONS: usize = 200_000;
const MOST_OFFSETS: usize = 10_000;
/// Their names, in all.
const MOST_NAME_BYTES: usize = 16 * 1024 * 1024;

/// Every transactional id.
#[derive(Debug, Default)]
pub(super) struct Transactions(pub(super) IndexMap<String, Transaction>);

/// Where a transactional id stands.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) timeout: Duration,
    pub(super) state: State,
    pub(super) started_unix_ms: i64,
    deadline: Option<Instant>,
    /// How it is to end, once that is decided.
    ending: Option<bool>,
    pub(super) partitions: BTreeSet<(String, i32)>,
    /// Offsets to be committed with it, by group, topic and partition.
    offsets: BTreeMap<(String, String, i32), SavedOffset>,
}

/// The state of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    Ongoing,
    Committed,
    Aborted,
}

impl State {
    /// Kafka's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Committed => "CompleteCommit",
            Self::Aborted => "CompleteAbort",
        }
    }
}

/// The number and epoch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
}

impl Transaction {
    fn check(&self, producer: Identity) -> Result<(), ErrorCode> {
        if producer.producer_id != self.producer_id {
            Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
        } else if producer.epoch != self.epoch {
            Err(ErrorCode::PRODUCER_FENCED)
        } else {
            Ok(())
        }
    }

    fn identity(&self) -> Identity {
        Identity { producer_id: self.producer_id, epoch: self.epoch }
    }

    fn begin(&mut self, now: Now) {
        if self.state != State::Ongoing {
            self.state = State::Ongoing;
            self.started_unix_ms = now.unix_ms;
            self.deadline = Some(now.instant + self.timeout);
        }
    }

    fn saved(&self) -> SavedTransaction {
        SavedTransaction {
            producer_id: self.producer_id,
            epoch: self.epoch,
            timeout_ms: i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX),
            ending: self.ending,
            open: self.state == State::Ongoing,
            partitions: self.partitions.iter().cloned().collect(),
            offsets: self
                .offsets
                .iter()
                .map(|((group, topic, partition), offset)| {
                    (group.clone(), topic.clone(), *partition, offset.clone())
                })
                .collect(),
        }
    }
}

impl Transactions {
    pub(super) fn restore(&mut self, saved: &Saved, now: Now) {
        for (name, saved) in &saved.transactions {
            let timeout = Duration::from_millis(u64::try_from(saved.timeout_ms).unwrap_or_default());
            let offsets = saved.offsets.iter().map(|(group, topic, partition, offset)| {
                ((group.clone(), topic.clone(), *partition), offset.clone())
            });
            let transaction = Transaction {
                producer_id: saved.producer_id,
                epoch: saved.epoch,
                timeout,
                state: if saved.open { State::Ongoing } else { State::Empty },
                started_unix_ms: now.unix_ms,
                deadline: saved.open.then(|| now.instant + timeout),
                ending: saved.ending,
                partitions: saved.partitions.iter().cloned().collect(),
                offsets: offsets.collect(),
            };
            self.0.insert(name.clone(), transaction);
        }
    }

    /// Whether so many more partitions and offsets find room.
    fn has_room(&self, partitions: usize, offsets: usize) -> bool {
        let held = |of: fn(&Transaction) -> usize| self.0.values().map(of).fold(0, usize::saturating_add);
        held(|transaction| transaction.partitions.len()).saturating_add(partitions) <= MOST_PARTITIONS
            && held(|transaction| transaction.offsets.len()).saturating_add(offsets) <= MOST_OFFSETS
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        for transaction in self.0.values_mut() {
            transaction.partitions.retain(|(name, _)| name != topic);
            transaction.offsets.retain(|(_, name, _), _| name != topic);
        }
    }

    /// Whether a transaction that is open will commit an offset of this partition.
    pub(super) fn has_pending_offset(&self, group: &str, topic: &str, partition: i32) -> bool {
        let key = (group.to_owned(), topic.to_owned(), partition);
        self.0.values().any(|transaction| transaction.offsets.contains_key(&key))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|transaction| transaction.deadline).min()
    }
}

impl Cluster {
    /// Gives a producer its number and epoch; what it left open is aborted. `known` is what it had before (KIP-360).
    pub(super) fn init_transactions(
        &mut self,
        name: &str,
        timeout: Duration,
        known: Option<Identity>,
        now: Now,
    ) -> Result<Identity, ErrorCode> {
        if name.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let identity = match self.transactions.0.get(name).map(Transaction::identity) {
            None => {
                self.make_room_for_transaction()?;
                Identity { producer_id: self.new_producer_id()?, epoch: 0 }
            }
            Some(current) => {
                if known.is_some_and(|known| known != current) {
                    return Err(ErrorCode::PRODUCER_FENCED);
                }
                if self
                    .transactions
                    .0
                    .get(name)
                    .is_some_and(|transaction| transaction.state == State::Ongoing)
                {
                    // As Kafka does: with an epoch that nobody is given, so that whoever had the last is fenced and
                    // whoever comes asks again.
                    self.end(name, false, true, now)?;
                    return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
                }
                match current.epoch.checked_add(1).filter(|&epoch| epoch < i16::MAX) {
                    Some(epoch) => Identity { epoch, ..current },
                    None => Identity { producer_id: self.new_producer_id()?, epoch: 0 },
                }
            }
        };
        let transaction = Transaction {
            producer_id: identity.producer_id,
            epoch: identity.epoch,
            timeout,
            state: State::Empty,
            started_unix_ms: -1,
            deadline: None,
            ending: None,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
        };
        self.transactions.0.insert(name.to_owned(), transaction);
        self.save_transaction(name)?;
        Ok(identity)
    }

    /// Makes room for one more transactional id, at the expense of those that have nothing open.
    fn make_room_for_transaction(&mut self) -> Result<(), ErrorCode> {
        let known = &mut self.transactions.0;
        let mut bytes = known.keys().map(String::len).fold(0, usize::saturating_add);
        while known.len() >= MOST_TRANSACTIONAL_IDS || bytes > MOST_NAME_BYTES {
            let idle = known.iter().position(|(_, transaction)| transaction.state != State::Ongoing);
            let forgotten = idle.and_then(|idle| known.shift_remove_index(idle));
            let (name, _) = forgotten.ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
            bytes = bytes.saturating_sub(name.len());
        }
        Ok(())
    }

    /// The transaction of a producer that is who it says it is.
    fn transaction_of(&mut self, name: &str, producer: Identity) -> Result<&mut Transaction, ErrorCode> {
        let transaction = self.transactions.0.get_mut(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        transaction.check(producer)?;
        Ok(transaction)
    }

    /// Partitions join a transaction; it begins with the first.
    pub(super) fn add_partitions(
        &mut self,
        name: &str,
        producer: Identity,
        partitions: impl IntoIterator<Item = (String, i32), IntoIter: ExactSizeIterator>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let partitions = partitions.into_iter();
        if !self.transactions.has_room(partitions.len(), 0) {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let transaction = self.transaction_of(name, producer)?;
        let before = (transaction.state, transaction.partitions.len());
        transaction.partitions.extend(partitions);
        transaction.begin(now);
        if (transaction.state, transaction.partitions.len()) == before {
            return Ok(());
        }
        self.save_transaction(name)
    }

    /// A group's offsets are to join a transaction.
    pub(super) fn add_offsets(&mut self, name: &str, producer: Identity, now: Now) -> Result<(), ErrorCode> {
        self.transaction_of(name, producer)?.begin(now);
        self.save_transaction(name)
    }

    /// Offsets join a transaction. Before KIP-890 their group must have been announced, which begins it.
    pub(super) fn commit_in_transaction(
        &mut self,
        name: &str,
        producer: Identity,
        offsets: Vec<((String, String, i32), SavedOffset)>,
        announced: bool,
        now: Now,
    ) -> Result<(), ErrorCode> {
        if !self.transactions.has_room(0, offsets.len()) {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let transaction = self.transaction_of(name, producer)?;
        if announced && transaction.state != State::Ongoing {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        transaction.begin(now);
        transaction.offsets.extend(offsets);
        self.save_transaction(name)
    }

    /// Whether a producer may write to a partition as part of its transaction. `joins` is whether the partition joins
    /// by being written to (KIP-890).
    pub(super) fn check_transaction(
        &mut self,
        name: Option<&str>,
        producer: Identity,
        partition: (&str, i32),
        joins: bool,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let name = name.ok_or(ErrorCode::INVALID_TXN_STATE)?;
        let transaction = self.transaction_of(name, producer).map_err(|code| match code {
            // As Kafka's leaders say it, who know nothing of transactional ids.
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            code => code,
        })?;
        let (topic, number) = partition;
        let known = transaction.state == State::Ongoing
            && transaction.partitions.contains(&(topic.to_owned(), number));
        match (known, joins) {
            (true, _) => Ok(()),
            (false, false) => Err(ErrorCode::INVALID_TXN_STATE),
            (false, true) => self.add_partitions(name, producer, [(topic.to_owned(), number)], now),
        }
    }

    /// Ends a transaction. With `raise` its producer goes on under the next epoch (KIP-890), which is given back.
    pub(super) fn end_transaction(
        &mut self,
        name: &str,
        producer: Identity,
        commit: bool,
        raise: bool,
        now: Now,
    ) -> Result<Identity, ErrorCode> {
        let outcome = if commit { State::Committed } else { State::Aborted };
        let transaction = self.transactions.0.get(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let current = transaction.identity();
        // The answer to the first try was lost.
        let repeated = raise
            && current.producer_id == producer.producer_id
            && producer.epoch.checked_add(1) == Some(current.epoch)
            && transaction.state == outcome;
        if repeated {
            return Ok(current);
        }
        transaction.check(producer)?;
        match transaction.state {
            State::Ongoing => {}
            state if state == outcome && !raise => return Ok(current),
            // Nothing was written since it last ended: with KIP-890 that may be aborted.
            State::Empty | State::Committed | State::Aborted if raise && !commit => {}
            _ => return Err(ErrorCode::INVALID_TXN_STATE),
        }
        self.end(name, commit, raise, now)
    }

    /// Aborts what has been open for too long; its producer is fenced.
    pub(super) fn abort_overdue(&mut self, now: Now) {
        let overdue =
            self.transactions.0.iter().filter(|(_, transaction)| {
                transaction.deadline.is_some_and(|deadline| deadline <= now.instant)
            });
        let names: Vec<_> = overdue.map(|(name, _)| name.clone()).collect();
        for name in names {
            tracing::info!("the transaction of '{name}' was open for too long and is aborted");
            if self.end(&name, false, true, now).is_err()
                && let Some(transaction) = self.transactions.0.get_mut(&name)
            {
                // The disk failed: not again until its producer comes back.
                transaction.deadline = None;
            }
        }
    }

    /// Does again what a crash may have interrupted.
    pub(super) fn finish_transactions(&mut self, now: Now) {
        let ending = self
            .transactions
            .0
            .iter()
            .filter_map(|(name, transaction)| transaction.ending.map(|commit| (name.clone(), commit)));
        let ending: Vec<_> = ending.collect();
        for (name, commit) in ending {
            if let Err(code) = self.finish(&name, commit, now) {
                tracing::error!("the transaction of '{name}' cannot be ended: {code}");
            }
        }
    }

    fn end(&mut self, name: &str, commit: bool, raise: bool, now: Now) -> Result<Identity, ErrorCode> {
        let transaction = self.transactions.0.get_mut(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        if raise {
            transaction.epoch = transaction.epoch.saturating_add(1);
        }
        transaction.ending = Some(commit);
        let exhausted = transaction.epoch >= i16::MAX - 1;
        self.save_transaction(name)?;
        self.finish(name, commit, now)?;
        if exhausted {
            let producer_id = self.new_producer_id()?;
            if let Some(transaction) = self.transactions.0.get_mut(name) {
                transaction.producer_id = producer_id;
                transaction.epoch = 0;
            }
            self.save_transaction(name)?;
        }
        let transaction = self.transactions.0.get(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        Ok(transaction.identity())
    }

    /// Writes the marks, commits the offsets, and closes the transaction.
    fn finish(&mut self, name: &str, commit: bool, now: Now) -> Result<(), ErrorCode> {
        let transaction = self.transactions.0.get(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let stamp = ProducerStamp {
            producer_id: transaction.producer_id,
            producer_epoch: transaction.epoch,
            base_sequence: -1,
            transactional: true,
        };
        let partitions = transaction.partitions.clone();
        let outcome = if commit { ControlType::Commit } else { ControlType::Abort };
        let mut grown = 0_u64;
        for (topic, number) in partitions {
            let partition = self.topics.get_mut(&topic).and_then(|topic| topic.partition_mut(number));
            let Some(partition) = partition else { continue };
            let open = partition.log.producers().get(stamp.producer_id);
            if open.is_none_or(|producer| producer.transaction_start.is_none()) {
                continue;
            }
            let before = partition.log.bytes();
            let marked = partition.log.end_transaction(outcome, stamp, partition.leader_epoch, now.unix_ms);
            marked.map_err(|error| {
                tracing::error!("cannot write the end of a transaction to {topic}-{number}: {error}");
                ErrorCode::KAFKA_STORAGE_ERROR
            })?;
            grown = grown.saturating_add(partition.log.bytes().saturating_sub(before));
            partition.wake();
        }
        self.grew(grown);
        let transaction = self.transactions.0.get_mut(name).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let offsets = std::mem::take(&mut transaction.offsets);
        if commit {
            let mut entries = Vec::new();
            for ((group, topic, partition), offset) in offsets {
                entries.push(self.groups.commit(&group, &topic, partition, offset));
            }
            self.save(entries)?;
        }
        if let Some(transaction) = self.transactions.0.get_mut(name) {
            transaction.partitions.clear();
            transaction.ending = None;
            transaction.deadline = None;
            transaction.state = if commit { State::Committed } else { State::Aborted };
        }
        self.save_transaction(name)
    }

    fn save_transaction(&mut self, name: &str) -> Result<(), ErrorCode> {
        if self.journal.is_none() {
            return Ok(());
        }
        let Some(transaction) = self.transactions.0.get(name) else { return Ok(()) };
        let entry = Entry::Transaction { name: name.to_owned(), transaction: transaction.saved() };
        self.save([entry])
    }
}
