//! What a broker with a directory keeps beside its logs: topics, committed offsets, groups, transactions.
//!
//! A file of lines, each the checksum of an entry and the entry as JSON. Entries are appended as things happen; a
//! line that was not written whole is cut at the start. When most of what it says is out of date, the file is replaced
//! in one step by one that says how things stand.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const NAME: &str = "journal";
/// Below this many bytes the file is never replaced.
const LEAST_BYTES_TO_REPLACE: u64 = 4 * 1024 * 1024;
/// It is replaced when it has grown to this many times what it had after the last time.
const GROWTH: u64 = 4;

/// Something that is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Cluster {
        id: String,
    },
    Topic {
        name: String,
        id: Uuid,
        partitions: usize,
        settings: BTreeMap<String, String>,
    },
    NoTopic {
        name: String,
    },
    /// Records before this offset were deleted.
    Start {
        topic: String,
        partition: i32,
        offset: i64,
    },
    NextProducer {
        id: i64,
    },
    Offset {
        group: String,
        topic: String,
        partition: i32,
        offset: SavedOffset,
    },
    NoOffset {
        group: String,
        topic: String,
        partition: i32,
    },
    Group {
        name: String,
        group: SavedGroup,
    },
    NoGroup {
        name: String,
    },
    Transaction {
        name: String,
        transaction: SavedTransaction,
    },
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedOffset {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: String,
}

/// What outlives a group's members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedGroup {
    pub(super) consumer: bool,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
}

/// A transactional id and where its producer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedTransaction {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) timeout_ms: i32,
    /// How it is to end, once that is decided.
    pub(super) ending: Option<bool>,
    pub(super) open: bool,
    pub(super) partitions: Vec<(String, i32)>,
    pub(super) offsets: Vec<(String, String, i32, SavedOffset)>,
}

/// How things stand.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) cluster_id: Option<String>,
    pub(super) topics: IndexMap<String, (Uuid, usize, BTreeMap<String, String>)>,
    pub(super) starts: BTreeMap<(String, i32), i64>,
    pub(super) next_producer_id: i64,
    pub(super) offsets: BTreeMap<(String, String, i32), SavedOffset>,
    pub(super) groups: BTreeMap<String, SavedGroup>,
    pub(super) transactions: BTreeMap<String, SavedTransaction>,
}

impl Saved {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Cluster { id } => self.cluster_id = Some(id),
            Entry::Topic { name, id, partitions, settings } => {
                self.topics.insert(name, (id, partitions, settings));
            }
            Entry::NoTopic { name } => {
                self.topics.shift_remove(&name);
                self.starts.retain(|(topic, _), _| *topic != name);
                self.offsets.retain(|(_, topic, _), _| *topic != name);
            }
            Entry::Start { topic, partition, offset } => {
                self.starts.insert((topic, partition), offset);
            }
            Entry::NextProducer { id } => self.next_producer_id = id,
            Entry::Offset { group, topic, partition, offset } => {
                self.offsets.insert((group, topic, partition), offset);
            }
            Entry::NoOffset { group, topic, partition } => {
                self.offsets.remove(&(group, topic, partition));
            }
            Entry::Group { name, group } => {
                self.groups.insert(name, group);
            }
            Entry::NoGroup { name } => {
                self.groups.remove(&name);
                self.offsets.retain(|(group, _, _), _| *group != name);
            }
            Entry::Transaction { name, transaction } => {
                self.transactions.insert(name, transaction);
            }
        }
    }

    /// The entries that say how things stand.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let topics = self.topics.iter().map(|(name, (id, partitions, settings))| Entry::Topic {
            name: name.clone(),
            id: *id,
            partitions: *partitions,
            settings: settings.clone(),
        });
        let starts = self.starts.iter().map(|((topic, partition), offset)| Entry::Start {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        });
        let groups =
            self.groups.iter().map(|(name, group)| Entry::Group { name: name.clone(), group: group.clone() });
        let offsets = self.offsets.iter().map(|((group, topic, partition), offset)| Entry::Offset {
            group: group.clone(),
            topic: topic.clone(),
            partition: *partition,
            offset: offset.clone(),
        });
        let transactions = self.transactions.iter().map(|(name, transaction)| Entry::Transaction {
            name: name.clone(),
            transaction: transaction.clone(),
        });
        let next = Entry::NextProducer { id: self.next_producer_id };
        let cluster = self.cluster_id.clone().map(|id| Entry::Cluster { id });
        cluster
            .into_iter()
            .chain(topics)
            .chain(starts)
            .chain(groups)
            .chain(offsets)
            .chain(transactions)
            .chain([next])
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    file: File,
    saved: Saved,
    bytes: u64,
    bytes_after_replacing: u64,
    /// Whether each entry is to be on the disk before it counts.
    sync: bool,
}

impl Journal {
    /// Opens the journal of a directory, or begins one.
    pub(super) fn open(directory: &Path, sync: bool) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(NAME);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut saved = Saved::default();
        let mut whole = 0_usize;
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            let Some(entry) = parse(line) else { break };
            saved.apply(entry);
            whole = whole.saturating_add(line.len());
        }
        let torn = content.len().saturating_sub(whole);
        if torn > 0 {
            tracing::warn!("cut {torn} bytes that were not written whole from {}", path.display());
        }
        let (file, bytes) = replace(directory, &saved)?;
        Ok(Self { directory: directory.to_owned(), file, saved, bytes, bytes_after_replacing: bytes, sync })
    }

    pub(super) fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Remembers something. When this returns, the operating system has it, or the disk, as was asked for.
    pub(super) fn write(&mut self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            append(&mut lines, &entry)?;
            self.saved.apply(entry);
        }
        self.file.seek(SeekFrom::Start(self.bytes))?;
        if let Err(error) = self.file.write_all(&lines) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        if self.sync {
            self.file.sync_data()?;
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        if self.bytes > LEAST_BYTES_TO_REPLACE.max(self.bytes_after_replacing.saturating_mul(GROWTH)) {
            (self.file, self.bytes) = replace(&self.directory, &self.saved)?;
            self.bytes_after_replacing = self.bytes;
        }
        Ok(())
    }

    /// A handle on the file, to bring it to the disk.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn replace(directory: &Path, saved: &Saved) -> io::Result<(File, u64)> {
    let mut lines = Vec::new();
    for entry in saved.entries() {
        append(&mut lines, &entry)?;
    }
    let new = directory.join(format!("{NAME}.new"));
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
    file.write_all(&lines)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(NAME))?;
    sync_directory(directory)?;
    Ok((file, u64::try_from(lines.len()).unwrap_or(u64::MAX)))
}

/// Brings the names in a directory to the disk, where the system has a way to.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Eight hexadecimal digits, a blank, JSON, a line feed.
fn append(lines: &mut Vec<u8>, entry: &Entry) -> io::Result<()> {
    let json = serde_json::to_vec(entry)?;
    write!(lines, "{:08x} ", crc32c::crc32c(&json))?;
    lines.extend_from_slice(&json);
    lines.push(b'\n');
    Ok(())
}

fn parse(line: &[u8]) -> Option<Entry> {
    let (checksum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    if checksum != crc32c::crc32c(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(number: i64) -> Entry {
        Entry::Offset {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            offset: SavedOffset { offset: number, leader_epoch: 1, metadata: "é\n".to_owned() },
        }
    }

    #[test]
    fn what_was_written_is_there_again_and_a_torn_line_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), false).unwrap();
        journal.write([offset(1), Entry::NextProducer { id: 7 }]).unwrap();
        journal.write([offset(2)]).unwrap();
        let path = directory.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for torn in 1..30 {
            fs::write(&path, &whole[..whole.len() - torn]).unwrap();
            let again = Journal::open(directory.path(), false).unwrap();
            let key = ("g".to_owned(), "t".to_owned(), 0);
            assert_eq!(again.saved().offsets[&key].offset, 1);
            assert_eq!(again.saved().next_producer_id, 7);
        }
    }

    #[test]
    fn a_journal_does_not_grow_with_what_is_out_of_date() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), false).unwrap();
        for number in 0..200_000 {
            journal.write([offset(number)]).unwrap();
        }
        let size = fs::metadata(directory.path().join(NAME)).unwrap().len();
        assert!(size <= LEAST_BYTES_TO_REPLACE + 1024, "{size}");
        assert_eq!(Journal::open(directory.path(), false).unwrap().saved().offsets.len(), 1);
    }
}
