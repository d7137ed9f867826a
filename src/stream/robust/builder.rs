//! What to set before writing with a journal, and opening it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex as BlockingMutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_blocking;

use super::{RobustOpenError, RobustProducer, Shared, Task, sender};
use crate::models::WireForm;
use crate::stream::journal::{Fsync, Journal, JournalError};
use crate::stream::packer::Packer;
use crate::stream::{HopUrl, OpenError, Stream};
use crate::wire::record::Compressor;

/// The least that a journal may be bounded by.
const LEAST_MAX_BYTES: u64 = 64 * 1024;

/// How to write with a journal; made by [`Stream::robust_writer`].
///
/// # Defaults
///
/// Payloads in [`WireForm::Json`], uncompressed, not marked as tests; a journal of up to 1 GiB, brought to the disk a
/// second after it was written to; messages of up to 1,000,000 bytes, as librdkafka has it.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is awaited"]
pub struct RobustWriterBuilder {
    stream: Stream,
    url: String,
    journal: PathBuf,
    form: WireForm,
    test: bool,
    compressor: Compressor,
    fsync: Fsync,
    max_bytes: u64,
    record_bytes: usize,
}

impl RobustWriterBuilder {
    pub(in crate::stream) fn new(stream: Stream, url: &str, journal: PathBuf) -> Self {
        Self {
            form: stream.defaults.form,
            stream,
            url: url.to_owned(),
            journal,
            test: false,
            compressor: Compressor::default(),
            fsync: Fsync::Every(Duration::from_secs(1)),
            max_bytes: 1024 * 1024 * 1024,
            record_bytes: 1_000_000,
        }
    }

    /// In which form models are written.
    pub fn wire_form(mut self, form: WireForm) -> Self {
        self.form = form;
        self
    }

    /// Whether messages are marked as tests, which readers pass over unless they ask for them.
    pub fn test(mut self, test: bool) -> Self {
        self.test = test;
        self
    }

    /// How messages are compressed on their way and in the log. The journal is not compressed.
    pub fn compression(mut self, compressor: impl Into<Compressor>) -> Self {
        self.compressor = compressor.into();
        self
    }

    /// When the journal reaches the disk itself.
    pub fn fsync(mut self, policy: Fsync) -> Self {
        self.fsync = policy;
        self
    }

    /// How many bytes the journal may have; 64 KiB at the least. While it is full, [`RobustProducer::write`] waits. For
    /// a moment there may be as much again beside it, when the file is replaced by a smaller one.
    pub fn max_journal_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The largest message in bytes. The topic's `max.message.bytes` counts too.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = bytes;
        self
    }

    /// Opens the journal, and begins to send what it holds, the lowest number first, with the headers of then. The
    /// broker need not be there: it is tried until it is.
    ///
    /// A file that is not there is made, for its owner only. A torn end, as a crash leaves it, is cut with a warning.
    /// Messages go to the topics that they were written for. Those of hop-client's first releases have none in the
    /// journal, and go to that of the URL.
    ///
    /// Must be called inside of a tokio runtime. Dropping the future sends nothing.
    ///
    /// # Errors
    ///
    /// [`RobustOpenError::Open`] if the URL or the credential cannot be used; [`RobustOpenError::Journal`] if another
    /// producer has the journal, or it is damaged, which leaves it as it is; [`RobustOpenError::Setting`].
    pub async fn open(self) -> Result<RobustProducer, RobustOpenError> {
        let wrong = |reason| Err(RobustOpenError::Setting { reason });
        if self.max_bytes < LEAST_MAX_BYTES {
            return wrong("a journal may have 64 KiB or more");
        }
        if self.fsync == Fsync::Every(Duration::ZERO) {
            return wrong("an interval of 0 is what Fsync::Always is for");
        }
        if self.record_bytes > 32 * 1024 * 1024 {
            return wrong("a message may have up to 32 MiB");
        }
        let url: HopUrl = self.url.parse().map_err(OpenError::from)?;
        let topic = url.topic_to_write().map_err(OpenError::from)?.shared();
        let sender = self.stream.username(&url)?;
        let (path, max_bytes) = (self.journal.clone(), self.max_bytes);
        let opened = spawn_blocking(move || Journal::open(&path, max_bytes)).await;
        let journal = opened.map_err(|error| JournalError::Io {
            path: self.journal,
            doing: "open",
            source: std::io::Error::other(error),
        })??;
        if journal.unsent() > 0 {
            tracing::info!("{} messages are left over in {}", journal.unsent(), journal.path().display());
        }
        let shared = Arc::new(Shared {
            journal: Arc::new(Mutex::new(journal)),
            stream: self.stream,
            url,
            topic,
            compressor: self.compressor,
            record_bytes: self.record_bytes,
            fsync: self.fsync,
            max_bytes: self.max_bytes,
            work: Notify::new(),
            work_to_sync: Notify::new(),
            progress: Notify::new(),
            failures: BlockingMutex::default(),
        });
        let task = {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                tokio::join!(sender::run(Arc::clone(&shared)), shared.keep_synced());
            })
        };
        let packer = Packer { sender: sender.map(Bytes::from), test: self.test, form: self.form };
        Ok(RobustProducer { shared, packer, task: Task(task) })
    }
}
