//! Writing alerts.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::background::Background;
use crate::kafka::{self, Acknowledged, ProduceError};
use crate::models::{MessageModel, WireForm};
use crate::stream::{self, OpenError, Outgoing, Packer, WriteError};
use crate::wire::record::Compressor;

/// How to write; made by [`Stream::writer`](super::Stream::writer), with the defaults of [`stream::WriterBuilder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct WriterBuilder {
    inner: stream::WriterBuilder,
    background: Arc<Background>,
}

impl WriterBuilder {
    pub(super) fn new(inner: stream::WriterBuilder, background: Arc<Background>) -> Self {
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

    /// How messages are compressed; see [`stream::WriterBuilder::compression`].
    pub fn compression(self, compressor: impl Into<Compressor>) -> Self {
        Self { inner: self.inner.compression(compressor), ..self }
    }

    /// How long after it was handed in a message may still be delivered; then it fails.
    pub fn delivery_timeout(self, timeout: Duration) -> Self {
        Self { inner: self.inner.delivery_timeout(timeout), ..self }
    }

    /// Whether the URL may name no topic or several; see [`stream::WriterBuilder::topic_by_message`].
    pub fn topic_by_message(self, by_message: bool) -> Self {
        Self { inner: self.inner.topic_by_message(by_message), ..self }
    }

    /// What makes the messages, without a broker; see [`stream::WriterBuilder::packer`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`] that can be known without one.
    pub fn packer(&self) -> Result<Packer, OpenError> {
        self.inner.packer()
    }

    /// Connects. The topic itself is looked up with the first message.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`].
    pub fn open(self) -> Result<Producer, OpenError> {
        let inner = self.background.wait(self.inner.open())?;
        Ok(Producer { inner, background: self.background })
    }
}

/// Writes messages to one topic, or to those that they name, in the background and in order; see [`stream::Producer`].
///
/// Dropping it gives up what is not yet acknowledged: [`flush`](Self::flush) or [`close`](Self::close) it first.
#[derive(Debug)]
pub struct Producer {
    inner: stream::Producer,
    background: Arc<Background>,
}

impl Producer {
    /// Hands a message in; see [`stream::Producer::write`]. Waits while the memory for messages on their way is full, and
    /// not for the brokers: that is what the [`Delivery`] is for.
    ///
    /// # Errors
    ///
    /// Those of [`WriteError`].
    pub fn write<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Delivery, WriteError> {
        self.delivery(self.background.wait(self.inner.write(model)))
    }

    /// Hands a message in for a topic; see [`stream::Producer::write_to`].
    ///
    /// # Errors
    ///
    /// Those of [`WriteError`].
    pub fn write_to<M: MessageModel + ?Sized>(&self, topic: &str, model: &M) -> Result<Delivery, WriteError> {
        self.delivery(self.background.wait(self.inner.write_to(topic, model)))
    }

    /// Hands a value in as JSON; see [`stream::Producer::write_json`].
    ///
    /// # Errors
    ///
    /// Those of [`WriteError`].
    pub fn write_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<Delivery, WriteError> {
        self.delivery(self.background.wait(self.inner.write_json(value)))
    }

    /// Hands a message in that was packed before.
    ///
    /// # Errors
    ///
    /// [`WriteError::Produce`], and [`WriteError::NoTopic`] if neither the message nor the URL names one.
    pub fn write_raw(&self, message: Outgoing) -> Result<Delivery, WriteError> {
        self.delivery(self.background.wait(self.inner.write_raw(message)))
    }

    /// A message made from a model, with hop's headers; see [`stream::Producer::pack`].
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form.
    pub fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        self.inner.pack(model)
    }

    /// Waits until everything handed in before is acknowledged or has failed.
    ///
    /// # Errors
    ///
    /// The first failure since the last call.
    pub fn flush(&self) -> Result<(), WriteError> {
        self.background.wait(self.inner.flush())
    }

    /// Flushes, and ends the producer.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn close(self) -> Result<(), WriteError> {
        self.background.wait(self.inner.close())
    }

    /// How many messages have been acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.inner.acknowledged()
    }

    /// The topic of messages that name none; see [`stream::Producer::topic`].
    #[must_use]
    pub fn topic(&self) -> Option<&Arc<str>> {
        self.inner.topic()
    }

    fn delivery(&self, accepted: Result<kafka::Delivery, WriteError>) -> Result<Delivery, WriteError> {
        Ok(Delivery { inner: accepted?, background: Arc::clone(&self.background) })
    }
}

/// The acknowledgement of one message. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "wait for it, or rely on `flush` to learn of failures"]
pub struct Delivery {
    inner: kafka::Delivery,
    background: Arc<Background>,
}

impl Delivery {
    /// Waits until the brokers have the message.
    ///
    /// # Errors
    ///
    /// Why they do not.
    pub fn wait(self) -> Result<Acknowledged, ProduceError> {
        self.background.wait(self.inner)
    }
}
