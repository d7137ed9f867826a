//! Writing alerts by way of a journal.

use std::sync::Arc;

use super::background::Background;
use crate::models::{MessageModel, WireForm};
use crate::stream::{self, Fsync, Outgoing, RobustFlushError, RobustOpenError, RobustWriteError, WriteError};
use crate::wire::record::Compressor;

/// How to write with a journal; made by [`Stream::robust_writer`](super::Stream::robust_writer), with the defaults of
/// [`stream::RobustWriterBuilder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct RobustWriterBuilder {
    inner: stream::RobustWriterBuilder,
    background: Arc<Background>,
}

impl RobustWriterBuilder {
    pub(super) fn new(inner: stream::RobustWriterBuilder, background: Arc<Background>) -> Self {
        Self { inner, background }
    }

    /// In which form models are written.
    pub fn wire_form(self, form: WireForm) -> Self {
        Self { inner: self.inner.wire_form(form), ..self }
    }

    /// Whether messages are marked as tests, which readers pass over unless they ask for them.
    pub fn test(self, test: bool) -> Self {
        Self { inner: self.inner.test(test), ..self }
    }

    /// How messages are compressed on their way and in the log. The journal is not compressed.
    pub fn compression(self, compressor: impl Into<Compressor>) -> Self {
        Self { inner: self.inner.compression(compressor), ..self }
    }

    /// When the journal reaches the disk itself.
    pub fn fsync(self, policy: Fsync) -> Self {
        Self { inner: self.inner.fsync(policy), ..self }
    }

    /// How many bytes the journal may have; see [`stream::RobustWriterBuilder::max_journal_bytes`].
    pub fn max_journal_bytes(self, bytes: u64) -> Self {
        Self { inner: self.inner.max_journal_bytes(bytes), ..self }
    }

    /// The largest message in bytes. The topic's `max.message.bytes` counts too.
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        Self { inner: self.inner.max_message_bytes(bytes), ..self }
    }

    /// Opens the journal, and begins to send what it holds; see [`stream::RobustWriterBuilder::open`].
    ///
    /// # Errors
    ///
    /// Those of [`RobustOpenError`].
    pub fn open(self) -> Result<RobustProducer, RobustOpenError> {
        let inner = self.background.wait(self.inner.open())?;
        Ok(RobustProducer { inner, background: self.background })
    }
}

/// Writes messages by way of a journal on disk: each that was accepted is delivered, at least once; see
/// [`stream::RobustProducer`].
///
/// Dropping it stops sending. What is not acknowledged stays in the journal for the next that opens it.
#[derive(Debug)]
pub struct RobustProducer {
    inner: stream::RobustProducer,
    background: Arc<Background>,
}

impl RobustProducer {
    /// Accepts a message; see [`stream::RobustProducer::write`]. Waits while the journal is full.
    ///
    /// # Errors
    ///
    /// Those of [`RobustWriteError`], without [`RobustWriteError::Full`].
    pub fn write<M: MessageModel + ?Sized>(&self, model: &M) -> Result<(), RobustWriteError> {
        self.background.wait(self.inner.write(model))
    }

    /// Accepts a message that was packed before; see [`stream::RobustProducer::write_raw`].
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_raw(&self, message: Outgoing) -> Result<(), RobustWriteError> {
        self.background.wait(self.inner.write_raw(message))
    }

    /// Accepts a message that was packed before, or says at once that the journal is full.
    ///
    /// # Errors
    ///
    /// Those of [`RobustWriteError`].
    pub fn try_write_raw(&self, message: Outgoing) -> Result<(), RobustWriteError> {
        self.background.wait(self.inner.try_write_raw(message))
    }

    /// A message made from a model, with hop's headers; see [`stream::Producer::pack`].
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form.
    pub fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        self.inner.pack(model)
    }

    /// Waits until everything accepted before is acknowledged or given up, or until something lasting is in the way.
    /// Without a broker it waits for ever.
    ///
    /// # Errors
    ///
    /// Those of [`RobustFlushError`], of what happened since the last call.
    pub fn flush(&self) -> Result<(), RobustFlushError> {
        self.background.wait(self.inner.flush())
    }

    /// Flushes, ends the producer, and lets go of the journal.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); the producer has ended all the same.
    pub fn close(self) -> Result<(), RobustFlushError> {
        self.background.wait(self.inner.close())
    }

    /// How many messages are in the journal and not acknowledged.
    pub fn unsent(&self) -> usize {
        self.background.wait(self.inner.unsent())
    }

    /// The topic of messages that name none.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        self.inner.topic()
    }
}
