//! Writing alerts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use super::keeping::Keeping;
#[cfg(feature = "http")]
use super::large::LargeMessageError;
use super::packer::{Outgoing, Packer};
use super::{HopUrl, OpenError, Stream};
use crate::kafka::{self, Delivery, ProduceError};
use crate::models::{JsonBlob, MessageModel, ModelError, WireForm};
use crate::wire::record::Compressor;

/// How to write; made by [`Stream::writer`].
///
/// # Defaults
///
/// Payloads in [`WireForm::Json`], uncompressed, not marked as tests; 2 min until a message that is not acknowledged
/// fails.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is awaited"]
pub struct WriterBuilder {
    stream: Stream,
    url: String,
    form: WireForm,
    test: bool,
    compressor: Compressor,
    delivery_timeout: Duration,
}

impl WriterBuilder {
    pub(super) fn new(stream: Stream, url: &str) -> Self {
        Self {
            stream,
            url: url.to_owned(),
            form: WireForm::default(),
            test: false,
            compressor: Compressor::default(),
            delivery_timeout: Duration::from_secs(120),
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

    /// How messages are compressed on their way and in the log: a [`Compression`](crate::wire::Compression), or one at a
    /// level ([`Compressor::at_level`]).
    pub fn compression(mut self, compressor: impl Into<Compressor>) -> Self {
        self.compressor = compressor.into();
        self
    }

    /// How long after it was handed in a message may still be delivered; then it fails.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// What makes the messages, without a broker: to see what would be written.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`] that can be known without one: a URL that is none or names no topic, no credential.
    pub fn packer(&self) -> Result<Packer, OpenError> {
        let url: HopUrl = self.url.parse()?;
        url.topic_to_write()?;
        Ok(self.packer_as(self.stream.username(&url)?))
    }

    fn packer_as(&self, sender: Option<String>) -> Packer {
        Packer { sender: sender.map(Bytes::from), test: self.test, form: self.form }
    }

    /// Connects. The topic itself is looked up with the first message.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`].
    pub async fn open(self) -> Result<Producer, OpenError> {
        let url: HopUrl = self.url.parse()?;
        let topic = url.topic_to_write()?.shared();
        let (client, sender, keeping) = self.stream.connect_with_store(&url).await?;
        let inner =
            client.producer().compression(self.compressor).delivery_timeout(self.delivery_timeout).build()?;
        Ok(Producer { inner, topic, packer: self.packer_as(sender), keeping })
    }
}

/// Writes messages to one topic, in the background and in order.
///
/// Dropping a producer gives up what is not yet acknowledged: [`flush`](Self::flush) or [`close`](Self::close) it
/// first.
#[derive(Debug)]
pub struct Producer {
    inner: kafka::Producer,
    topic: Arc<str>,
    packer: Packer,
    keeping: Keeping,
}

impl Producer {
    /// Hands a message in. When this returns, the message has its place behind those handed in before it; the
    /// [`Delivery`] tells when the brokers have it.
    ///
    /// Waits while the memory for messages on their way is full. Dropping the future before it returns hands nothing
    /// in; dropping the [`Delivery`] does not take the message back.
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form; [`WriteError::Produce`] if the
    /// message is too large or the topic cannot be written to.
    pub async fn write<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Delivery, WriteError> {
        self.write_raw(self.pack(model)?).await
    }

    /// Hands a value in as JSON, as [`write`](Self::write) does with a model.
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if it cannot be serialized; else as for [`write`](Self::write).
    pub async fn write_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<Delivery, WriteError> {
        self.write(&JsonBlob::from_serialize(value)?).await
    }

    /// Hands a message in that was packed before, as [`write`](Self::write) does. Its headers are sent as they are.
    ///
    /// Dropping the future before it returns hands nothing in.
    ///
    /// # Errors
    ///
    /// [`WriteError::Produce`].
    pub async fn write_raw(&self, message: Outgoing) -> Result<Delivery, WriteError> {
        let message = self.keeping.fitting(&self.topic, message, &self.packer).await?;
        let partition = message.chosen_partition();
        let (payload, key, headers) = message.into_parts();
        let mut record = kafka::Record::new(Arc::clone(&self.topic)).value(payload);
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        if let Some(key) = key {
            record = record.key(key);
        }
        for header in headers {
            let (name, value) = header.into_parts();
            record = record.header(name, value);
        }
        Ok(self.inner.send(record).await?)
    }

    /// A message made from a model, with hop's headers, to which a key and other headers can be added.
    ///
    /// A message that is written twice keeps its `_id`: readers can tell that it is the same.
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form.
    pub fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        self.packer.pack(model)
    }

    /// Waits until everything handed in before is acknowledged or has failed.
    ///
    /// Dropping the future takes nothing back.
    ///
    /// # Errors
    ///
    /// The first failure since the last call, whether or not its [`Delivery`] was awaited, too.
    pub async fn flush(&self) -> Result<(), WriteError> {
        Ok(self.inner.flush().await?)
    }

    /// Flushes, and ends the producer.
    ///
    /// Dropping the future gives up what is not yet acknowledged.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(self) -> Result<(), WriteError> {
        Ok(self.inner.close().await?)
    }

    /// How many messages have been acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.inner.acknowledged()
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }
}

/// A message was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The message was not accepted, or not delivered.
    #[error(transparent)]
    Produce(Box<ProduceError>),
    /// The message is too large for the topic, and could not be kept elsewhere; nothing was written.
    #[cfg(feature = "http")]
    #[error("the message is too large for the topic and could not be kept elsewhere: {0}")]
    TooLargeToKeep(Box<LargeMessageError>),
    /// The system has no random numbers for the message's `_id`.
    #[error("cannot make an id for the message: the system gives no random numbers ({reason})")]
    NoRandomness {
        /// What the system said.
        reason: String,
    },
}

#[cfg(feature = "http")]
impl From<LargeMessageError> for WriteError {
    fn from(error: LargeMessageError) -> Self {
        Self::TooLargeToKeep(Box::new(error))
    }
}

impl From<ProduceError> for WriteError {
    fn from(error: ProduceError) -> Self {
        Self::Produce(Box::new(error))
    }
}
