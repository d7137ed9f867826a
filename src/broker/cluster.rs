//! What the pretended brokers know together: their topics, groups, transactions and sessions.
//!
//! Everything here is synchronous and under one lock; what waits, waits outside.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::fetch_sessions::FetchSessions;
use super::groups::Groups;
use super::journal::{Entry, Journal};
use super::log::Log;
use super::settings::{Fsync, Settings};
use super::topic_settings::TopicSettings;
use super::topics::{Partition, Topic, partition_directory, topic_name};
use super::transactions::Transactions;
use crate::wire::error_code::ErrorCode;

/// How often it is looked for what is too old.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// The time, as it is passed in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For deadlines.
    pub(super) instant: Instant,
    /// For records: milliseconds since 1970 UTC.
    pub(super) unix_ms: i64,
}

/// A pretended broker, and where clients reach it: for each listener, host and port.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) endpoints: Vec<(StrBytes, i32)>,
}

impl Node {
    /// Where it is reached by those who came in through this listener.
    pub(super) fn endpoint(&self, listener: usize) -> (StrBytes, i32) {
        self.endpoints.get(listener).cloned().unwrap_or((StrBytes::default(), -1))
    }
}

/// All that the brokers know.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) cluster_id: String,
    pub(super) nodes: Vec<Node>,
    pub(super) topics: IndexMap<String, Topic>,
    pub(super) groups: Groups,
    pub(super) transactions: Transactions,
    pub(super) sessions: FetchSessions,
    pub(super) settings: Arc<Settings>,
    pub(super) journal: Option<Journal>,
    pub(super) data: Option<PathBuf>,
    pub(super) names: HashMap<Uuid, String>,
    /// Coordinators that were moved, by the name of their group or transactional id.
    coordinators: HashMap<String, i32>,
    next_producer_id: i64,
    /// Of all logs.
    pub(super) bytes: u64,
    said_full: bool,
    next_retention: Option<Instant>,
}

impl Cluster {
    pub(super) fn new(nodes: Vec<Node>, settings: Arc<Settings>) -> Self {
        Self {
            cluster_id: Uuid::new_v4().simple().to_string(),
            nodes,
            topics: IndexMap::new(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            sessions: FetchSessions::default(),
            settings,
            journal: None,
            data: None,
            names: HashMap::new(),
            coordinators: HashMap::new(),
            next_producer_id: 0,
            bytes: 0,
            said_full: false,
            next_retention: None,
        }
    }

    /// Takes up what a directory holds, and keeps everything there from now on.
    pub(super) fn open(&mut self, data: &Path, now: Now) -> io::Result<()> {
        let journal = Journal::open(data, self.settings.fsync == Fsync::Always)?;
        let saved = journal.saved();
        for (name, (id, partitions, given)) in &saved.topics {
            let mut settings = TopicSettings::default();
            for (setting, value) in given {
                if let Err(reason) = settings.set(setting, Some(value)) {
                    tracing::warn!("topic {name}: {reason}");
                }
            }
            let mut topic = Topic { name: topic_name(name), id: *id, settings, partitions: Vec::new() };
            for number in (0..).take(*partitions) {
                let start = saved.starts.get(&(name.clone(), number)).copied().unwrap_or_default();
                let log = Log::open(&partition_directory(data, name, number), start)?;
                self.bytes = self.bytes.saturating_add(log.bytes());
                topic.partitions.push(Partition::new(self.leader_of(number), log));
            }
            self.names.insert(*id, name.clone());
            self.topics.insert(name.clone(), topic);
        }
        let known = saved.cluster_id.clone();
        self.next_producer_id = saved.next_producer_id;
        self.groups.restore(saved);
        self.transactions.restore(saved, now);
        self.journal = Some(journal);
        self.data = Some(data.to_owned());
        match known {
            Some(id) => self.cluster_id = id,
            None => {
                let id = self.cluster_id.clone();
                self.save([Entry::Cluster { id }]).map_err(|code| io::Error::other(code.description()))?;
            }
        }
        self.finish_transactions(now);
        Ok(())
    }

    /// Remembers something, where this broker keeps anything.
    pub(super) fn save(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), ErrorCode> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.write(entries).map_err(|error| {
            tracing::error!("cannot write to the journal: {error}");
            ErrorCode::KAFKA_STORAGE_ERROR
        })
    }

    // ---- Coordinators and producers -------------------------------------------------------------------------------

    /// The broker that coordinates a group or transactional id.
    pub(super) fn coordinator(&self, key: &str) -> i32 {
        if let Some(&moved) = self.coordinators.get(key) {
            return moved;
        }
        let hash = usize::try_from(crc32fast::hash(key.as_bytes())).unwrap_or_default();
        let at = hash.checked_rem(self.nodes.len()).unwrap_or_default();
        self.nodes.get(at).map_or(0, |node| node.id)
    }

    /// Lets another broker coordinate a group or transactional id.
    pub(super) fn move_coordinator(&mut self, key: &str, node: i32) -> Result<(), ErrorCode> {
        if !self.nodes.iter().any(|known| known.id == node) {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        self.coordinators.insert(key.to_owned(), node);
        Ok(())
    }

    pub(super) fn new_producer_id(&mut self) -> Result<i64, ErrorCode> {
        let id = self.next_producer_id;
        self.next_producer_id = id.saturating_add(1);
        self.save([Entry::NextProducer { id: self.next_producer_id }])?;
        Ok(id)
    }

    // ---- Bounds ---------------------------------------------------------------------------------------------------

    /// Notes that a log has grown. In memory, the oldest messages make room for the newest.
    pub(super) fn grew(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.data.is_some() {
            return;
        }
        while self.bytes > self.settings.memory_bytes {
            if !self.said_full {
                self.said_full = true;
                tracing::warn!(
                    "the memory for messages is full ({} bytes): from now on the oldest make room for the newest",
                    self.settings.memory_bytes
                );
            }
            let logs = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
            let oldest = logs
                .filter(|partition| partition.log.bytes() > 0)
                .min_by_key(|partition| partition.log.oldest_timestamp());
            let Some(oldest) = oldest else { return };
            let before = oldest.log.bytes();
            if !matches!(oldest.log.remove_oldest(), Ok(true)) {
                return;
            }
            self.bytes = self.bytes.saturating_sub(before.saturating_sub(oldest.log.bytes()));
        }
    }

    /// Does what is due, and says when to come back.
    pub(super) fn tick(&mut self, now: Now) -> Instant {
        let next = match self.next_retention {
            Some(next) if next > now.instant => next,
            _ => {
                self.retain(now);
                let next = now.instant + RETENTION_INTERVAL;
                self.next_retention = Some(next);
                next
            }
        };
        self.abort_overdue(now);
        let topics = self.topics_by_name(|_| true);
        let due = [self.groups.tick(&topics, now.instant), self.transactions.next_deadline()];
        due.into_iter().flatten().fold(next, Instant::min)
    }

    /// Forgets what topics no longer keep.
    fn retain(&mut self, now: Now) {
        for (name, topic) in &mut self.topics {
            let settings = &topic.settings;
            if settings.compacted {
                continue;
            }
            let oldest = settings.retention_ms.map(|keep| now.unix_ms.saturating_sub(keep));
            for (number, partition) in topic.partitions.iter_mut().enumerate() {
                let before = partition.log.bytes();
                if let Err(error) = partition.log.retain(oldest, settings.retention_bytes) {
                    tracing::warn!("cannot remove what is too old from {name}-{number}: {error}");
                }
                self.bytes = self.bytes.saturating_sub(before.saturating_sub(partition.log.bytes()));
            }
        }
    }

    /// Deletes the records before an offset.
    pub(super) fn delete_records(
        &mut self,
        node: i32,
        topic: &str,
        number: i32,
        offset: i64,
    ) -> Result<i64, ErrorCode> {
        let partition = self.led_partition(node, topic, number)?;
        let offset = if offset == -1 { partition.log.end() } else { offset };
        if offset < 0 || offset > partition.log.end() {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let before = partition.log.bytes();
        partition.log.remove_before(offset).map_err(|_| ErrorCode::KAFKA_STORAGE_ERROR)?;
        let (start, freed) = (partition.log.start(), before.saturating_sub(partition.log.bytes()));
        self.bytes = self.bytes.saturating_sub(freed);
        self.save([Entry::Start { topic: topic.to_owned(), partition: number, offset: start }])?;
        Ok(start)
    }

    /// Handles on every file that may have been written to, to bring them to the disk.
    pub(super) fn files_to_sync(&self) -> Vec<File> {
        let logs = self.topics.values().flat_map(|topic| &topic.partitions);
        let logs = logs.filter_map(|partition| partition.log.file_to_sync());
        logs.chain(self.journal.as_ref().map(Journal::file)).filter_map(Result::ok).collect()
    }
}
