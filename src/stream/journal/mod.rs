//! A file that remembers messages from when they are accepted until they are sent: the journal of hop-client's
//! `RobustProducer`, byte for byte.
//!
//! `record` and `replay` know what the bytes mean; here they are moved. A message is appended with one write, so with
//! the operating system when it counts as accepted: a `kill -9` loses nothing. That it was sent is appended, too. A
//! file in which nothing is left to send is emptied, and one that is mostly out of date is replaced, in one step, by one
//! that has the unsent messages only.
//!
//! In memory there is a place in the file for each unsent message, and no payload.

mod error;
mod lock;
mod record;
mod replay;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

pub use self::error::JournalError;
pub use self::record::JournalFlaw;

pub(super) use self::record::StoredMessage;

use self::lock::Lock;
use self::record::{Entry, HEAD_BYTES, Head, MARK_BYTES, encode_sent};
use self::replay::{Contents, Place, ReplayError, replay};

/// Below this many bytes the file is never replaced.
const LEAST_BYTES_TO_COMPACT: u64 = 1024 * 1024;
/// It is replaced when it has this many times what is unsent.
const GROWTH: u64 = 4;

/// When what a journal was told reaches the disk itself, so that it survives a power failure. A `kill -9` loses nothing
/// that was accepted in any case: the operating system has it by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// Before a message counts as accepted.
    Always,
    /// When this much time has passed since something was written; a second by default.
    Every(Duration),
    /// When the operating system sees fit.
    Never,
}

/// Whether a message may be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Once the file is compacted.
    AfterCompacting,
    /// Once other messages are sent.
    Later,
    /// Not even in an empty file.
    Never,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None` once it is given up.
    lock: Option<Lock>,
    /// Written to at its end.
    file: File,
    reader: File,
    contents: Contents,
    /// How far the file is sound.
    bytes: u64,
    max_bytes: u64,
    /// A write failed, and what it left is still there.
    torn: bool,
    /// Sent, and not yet said to be so in the file.
    unmarked: Vec<u64>,
    /// Below this many bytes compacting is not tried: it failed.
    compact_from: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens a journal, or begins one. A torn end is cut.
    pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Self, JournalError> {
        let named = |doing| JournalError::io(path, doing);
        private().read(true).write(true).create(true).truncate(false).open(path).map_err(named("open"))?;
        // Two names of one file are one journal.
        let path = &fs::canonicalize(path).map_err(named("find"))?;
        let lock = Lock::take(path)?;
        // Only now: the one before us may have replaced it meanwhile.
        let failed = |doing| JournalError::io(path, doing);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed("open"))?;
        let reader = File::open(path).map_err(failed("open"))?;
        let replayed = replay(BufReader::with_capacity(64 * 1024, &reader)).map_err(|error| match error {
            ReplayError::Io(source) => failed("read")(source),
            ReplayError::Damaged { position, flaw } => {
                JournalError::Damaged { path: path.clone(), position, flaw }
            }
        })?;
        if replayed.torn_bytes > 0 {
            tracing::warn!(
                "cut {} bytes that were not written whole from the journal {}",
                replayed.torn_bytes,
                path.display()
            );
            file.set_len(replayed.sound_bytes).and_then(|()| file.sync_all()).map_err(failed("cut"))?;
        }
        file.seek(SeekFrom::Start(replayed.sound_bytes)).map_err(failed("read"))?;
        let mut journal = Self {
            path: path.clone(),
            lock: Some(lock),
            file,
            reader,
            contents: replayed.contents,
            bytes: replayed.sound_bytes,
            max_bytes,
            torn: false,
            unmarked: Vec::new(),
            compact_from: LEAST_BYTES_TO_COMPACT,
            buffer: Vec::new(),
        };
        if journal.bytes > 0 && journal.contents.unsent.is_empty() {
            journal.empty()?;
        }
        Ok(journal)
    }

    /// Appends a message. When this returns, the operating system has it. What could not be written whole is taken back.
    pub(super) fn append(&mut self, message: &StoredMessage) -> Result<u64, JournalError> {
        let sequence = self.contents.next_sequence;
        let position = self.bytes;
        let damaged = |path: &Path, flaw| JournalError::Damaged { path: path.to_owned(), position, flaw };
        if sequence == u64::MAX {
            return Err(damaged(&self.path, JournalFlaw::LastNumber));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        message.encode(sequence, &mut buffer);
        let place = Place { position, bytes: u64::try_from(buffer.len()).unwrap_or(u64::MAX) };
        let written = self.write(&buffer);
        // One large message should not take its room for ever.
        if buffer.capacity() <= 64 * 1024 {
            self.buffer = buffer;
        }
        written?;
        let damaged =
            |flaw| JournalError::Damaged { path: self.path.clone(), position: place.position, flaw };
        self.contents.queue(sequence, place).map_err(damaged)?;
        Ok(sequence)
    }

    /// These need not be sent any more. An error says that it could not be written down: they would be sent again after
    /// a crash, and it is tried again with the next.
    pub(super) fn settle(&mut self, sequences: &[u64]) -> Result<(), JournalError> {
        let contents = &mut self.contents;
        self.unmarked
            .extend(sequences.iter().copied().filter(|&sequence| contents.settle(sequence).is_some()));
        if self.contents.unsent.is_empty() {
            return self.empty();
        }
        let mut marks = Vec::with_capacity(self.unmarked.len() * 32);
        self.unmarked.iter().for_each(|&sequence| encode_sent(sequence, &mut marks));
        self.write(&marks)?;
        self.unmarked.clear();
        Ok(())
    }

    /// An unsent message; `None` if there is none of this number.
    pub(super) fn read(&mut self, sequence: u64) -> Result<Option<StoredMessage>, JournalError> {
        let Some(&Place { position, bytes }) = self.contents.unsent.get(&sequence) else { return Ok(None) };
        let mut record = Vec::new();
        self.reader
            .seek(SeekFrom::Start(position))
            .and_then(|_| (&self.reader).take(bytes).read_to_end(&mut record))
            .map_err(JournalError::io(&self.path, "read"))?;
        let damaged = |flaw| JournalError::Damaged { path: self.path.clone(), position, flaw };
        let record = Bytes::from(record);
        let head = *record.first_chunk::<HEAD_BYTES>().ok_or(JournalFlaw::Lengths).map_err(damaged)?;
        let entry = Head::decode(head).and_then(|head| head.read_body(record.slice(HEAD_BYTES..)));
        match entry.map_err(damaged)? {
            Entry::Message { sequence: found, message } if found == sequence => Ok(Some(message)),
            _ => Err(damaged(JournalFlaw::NotThere { sequence })),
        }
    }

    /// Replaces the file by one that has the unsent messages only. If that fails, everything stays as it was.
    pub(super) fn compact(&mut self) -> Result<(), JournalError> {
        let new = beside(&self.path, ".new");
        match self.write_compacted(&new) {
            Ok((file, reader, contents, bytes)) => {
                tracing::debug!(from = self.bytes, to = bytes, "compacted the journal");
                (self.file, self.reader, self.contents, self.bytes) = (file, reader, contents, bytes);
                self.torn = false;
                self.unmarked.clear();
                self.compact_from = LEAST_BYTES_TO_COMPACT;
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_file(&new);
                self.compact_from = self.bytes.saturating_add(LEAST_BYTES_TO_COMPACT);
                Err(JournalError::io(&self.path, "compact")(error))
            }
        }
    }

    /// Lets another producer have it.
    pub(super) fn give_up(&mut self) {
        self.lock = None;
    }

    pub(super) fn room_for(&self, message: &StoredMessage) -> Room {
        // That they were sent must find room as well.
        let marks = |messages: usize| MARK_BYTES.saturating_mul(u64::try_from(messages).unwrap_or(u64::MAX));
        let needed = message.record_bytes().saturating_add(MARK_BYTES);
        let unsent = marks(self.contents.unsent.len()).saturating_add(needed);
        let fits = |bytes: u64| bytes.saturating_add(unsent) <= self.max_bytes;
        if needed > self.max_bytes {
            Room::Never
        } else if fits(self.bytes.saturating_add(marks(self.unmarked.len()))) {
            Room::Enough
        } else if fits(self.contents.unsent_bytes.saturating_add(self.max_bytes / 4)) {
            // Not for the last few bytes: it would be done for every message.
            Room::AfterCompacting
        } else {
            Room::Later
        }
    }

    pub(super) fn wants_compacting(&self) -> bool {
        self.bytes > self.compact_from.max(self.contents.unsent_bytes.saturating_mul(GROWTH))
    }

    /// The lowest number from this one on whose message is unsent.
    pub(super) fn unsent_from(&self, sequence: u64) -> Option<u64> {
        self.contents.unsent.range(sequence..).next().map(|(&sequence, _)| sequence)
    }

    pub(super) fn unsent(&self) -> usize {
        self.contents.unsent.len()
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.contents.next_sequence
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle on the file, to bring it to the disk without holding the journal.
    pub(super) fn file(&self) -> Result<File, JournalError> {
        self.file.try_clone().map_err(JournalError::io(&self.path, "sync"))
    }

    fn write(&mut self, records: &[u8]) -> Result<(), JournalError> {
        self.mend()?;
        match self.file.write_all(records) {
            Ok(()) => {
                self.bytes = self.bytes.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
                Ok(())
            }
            Err(error) => {
                self.torn = true;
                if let Err(error) = self.mend() {
                    tracing::warn!("what could not be written whole stays for now: {error}");
                }
                Err(JournalError::io(&self.path, "write to")(error))
            }
        }
    }

    /// Takes back what a write left that failed.
    fn mend(&mut self) -> Result<(), JournalError> {
        if self.torn {
            let cut =
                self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            cut.map_err(JournalError::io(&self.path, "cut"))?;
            self.torn = false;
        }
        Ok(())
    }

    /// Everything was sent. The numbers go on: who counts by them need not know.
    fn empty(&mut self) -> Result<(), JournalError> {
        self.file.set_len(0).map_err(JournalError::io(&self.path, "empty"))?;
        self.unmarked.clear();
        self.bytes = 0;
        self.torn = true;
        self.mend()
    }

    fn write_compacted(&mut self, new: &Path) -> io::Result<(File, File, Contents, u64)> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().read(true).write(true).create_new(true).open(new)?;
        file.set_permissions(self.file.metadata()?.permissions())?;
        let mut contents = Contents { next_sequence: self.contents.next_sequence, ..Contents::default() };
        let mut end = 0_u64;
        for (&sequence, &Place { position, bytes }) in &self.contents.unsent {
            self.reader.seek(SeekFrom::Start(position))?;
            if io::copy(&mut (&self.reader).take(bytes), &mut file)? != bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            contents.queue(sequence, Place { position: end, bytes }).map_err(io::Error::other)?;
            end = end.saturating_add(bytes);
        }
        file.sync_all()?;
        let reader = File::open(new)?;
        fs::rename(new, &self.path)?;
        // From here on it is the journal, whatever else happens.
        if cfg!(unix)
            && let Some(directory) = self.path.parent()
            && let Err(error) = File::open(directory).and_then(|directory| directory.sync_all())
        {
            tracing::warn!("cannot bring the directory of the journal to the disk: {error}");
        }
        Ok((file, reader, contents, end))
    }
}

/// Whether what these bytes come to as a journal is what they come to when they are read again: without the torn part,
/// and with each unsent message written anew. For fuzzing.
pub(super) fn holds_together(bytes: &[u8]) -> bool {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let part = |from: u64, to: u64| {
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
        bytes.get(from..to)
    };
    let replayed = match replay(bytes) {
        Ok(replayed) => replayed,
        // What stands before the damage is sound.
        Err(ReplayError::Damaged { position, .. }) => {
            return part(0, position).is_some_and(|before| {
                replay(before).is_ok_and(|again| (again.sound_bytes, again.torn_bytes) == (position, 0))
            });
        }
        Err(ReplayError::Io(_)) => return false,
    };
    let whole = replayed.sound_bytes.checked_add(replayed.torn_bytes) == Some(length(bytes));
    let same = part(0, replayed.sound_bytes)
        .and_then(|sound| replay(sound).ok())
        .is_some_and(|again| again.contents == replayed.contents && again.torn_bytes == 0);
    let written_anew = replayed.contents.unsent.iter().all(|(&sequence, place)| {
        let record = part(place.position, place.position.saturating_add(place.bytes));
        let read = |record: &[u8]| {
            let head = Head::decode(*record.first_chunk()?).ok()?;
            head.read_body(Bytes::copy_from_slice(record.get(HEAD_BYTES..)?)).ok()
        };
        let Some(Entry::Message { sequence: found, mut message }) = record.and_then(read) else {
            return false;
        };
        let mut anew = Vec::new();
        message.encode(sequence, &mut anew);
        // Only the new kind is written.
        message.topic.get_or_insert_default();
        found == sequence
            && length(&anew) == message.record_bytes()
            && read(&anew) == Some(Entry::Message { sequence, message })
    });
    whole && same && written_anew
}

/// Messages may be for some eyes only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// A file of the same name, with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
