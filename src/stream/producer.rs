//! Writing alerts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use super::headers::{FORMAT, Header, ID, SENDER, TEST};
use super::{HopUrl, OpenError, Stream};
use crate::kafka::{self, Delivery, ProduceError};
use crate::models::{MessageModel, ModelError, WireForm};
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
        let (client, sender) = self.stream.connect(&url).await?;
        let inner =
            client.producer().compression(self.compressor).delivery_timeout(self.delivery_timeout).build()?;
        let packer = Packer { sender: sender.map(Bytes::from), test: self.test, form: self.form };
        Ok(Producer { inner, topic, packer })
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

    /// Hands a message in that was packed before, as [`write`](Self::write) does. Its headers are sent as they are.
    ///
    /// Dropping the future before it returns hands nothing in.
    ///
    /// # Errors
    ///
    /// [`WriteError::Produce`].
    pub async fn write_raw(&self, message: Outgoing) -> Result<Delivery, WriteError> {
        let (payload, key, headers) = message.into_parts();
        let mut record = kafka::Record::new(Arc::clone(&self.topic)).value(payload);
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

/// A message on its way out: a payload, perhaps a key, and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message is sent by `write_raw`"]
pub struct Outgoing {
    payload: Bytes,
    key: Option<Bytes>,
    headers: Vec<Header>,
    own_headers: Vec<Header>,
}

impl Outgoing {
    /// A message of these bytes and no headers, for payloads that come packed: none of hop's headers is added.
    pub fn raw(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), key: None, headers: Vec::new(), own_headers: Vec::new() }
    }

    /// The key: messages with one key go to one partition, in order.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header in front of hop's own. Names may repeat.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, Some(value.into())));
        self
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The headers, in the order in which they are sent.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter().chain(&self.own_headers)
    }

    /// Payload, key and headers.
    pub(super) fn into_parts(mut self) -> (Bytes, Option<Bytes>, Vec<Header>) {
        self.headers.append(&mut self.own_headers);
        (self.payload, self.key, self.headers)
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
    /// The system has no random numbers for the message's `_id`.
    #[error("cannot make an id for the message: the system gives no random numbers ({reason})")]
    NoRandomness {
        /// What the system said.
        reason: String,
    },
}

impl From<ProduceError> for WriteError {
    fn from(error: ProduceError) -> Self {
        Self::Produce(Box::new(error))
    }
}

/// Makes messages from models.
#[derive(Debug)]
pub(super) struct Packer {
    pub(super) sender: Option<Bytes>,
    pub(super) test: bool,
    pub(super) form: WireForm,
}

impl Packer {
    /// The order of the headers is that of hop-client.
    pub(super) fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        let payload = model.serialize(self.form)?;
        let header = |name: &'static str, value: Bytes| Header::new(name, Some(value));
        let mut headers = vec![header(ID, Bytes::copy_from_slice(random_id()?.as_bytes()))];
        if let Some(sender) = &self.sender {
            headers.push(header(SENDER, sender.clone()));
        }
        if self.test {
            headers.push(header(TEST, Bytes::from_static(b"true")));
        }
        // An envelope names its format itself; with a header beside it, readers would not open it.
        if self.form != WireForm::Envelope {
            headers.push(header(FORMAT, Bytes::copy_from_slice(model.format().as_bytes())));
        }
        Ok(Outgoing { own_headers: headers, ..Outgoing::raw(payload) })
    }
}

/// A random UUID (version 4). `Uuid::new_v4` would panic where there are no random numbers.
fn random_id() -> Result<Uuid, WriteError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| WriteError::NoRandomness { reason: error.to_string() })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Blob;

    fn shown(message: &Outgoing) -> Vec<(String, String)> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        message
            .headers()
            .map(|header| match &header.name()[..] {
                b"_id" => {
                    let id = Uuid::from_slice(header.value().unwrap()).unwrap();
                    (text(header.name()), format!("version {}", id.get_version_num()))
                }
                _ => (text(header.name()), text(header.value().unwrap())),
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn headers_stand_in_the_order_of_hop_client() {
        let packer = Packer { sender: Some("me".into()), test: true, form: WireForm::Json };
        let message = packer.pack(&Blob::new("x")).unwrap().header("mine", "1").key("k");
        assert_eq!(message.payload(), "x");
        assert_eq!(
            shown(&message),
            pairs(&[
                ("mine", "1"),
                ("_id", "version 4"),
                ("_sender", "me"),
                ("_test", "true"),
                ("_format", "blob")
            ])
        );
    }

    #[test]
    fn no_sender_without_authentication_and_no_test_unless_asked_for() {
        let packer = Packer { sender: None, test: false, form: WireForm::Original };
        let message = packer.pack(&Blob::new("x")).unwrap();
        assert_eq!(shown(&message), pairs(&[("_id", "version 4"), ("_format", "blob")]));
    }

    #[test]
    fn an_envelope_is_not_named_outside_again() {
        let packer = Packer { sender: None, test: false, form: WireForm::Envelope };
        let message = packer.pack(&Blob::new("\"x\"")).unwrap();
        assert_eq!(shown(&message), pairs(&[("_id", "version 4")]));
    }

    #[test]
    fn every_message_has_an_id_of_its_own() {
        let packer = Packer { sender: None, test: false, form: WireForm::Json };
        let [a, b] = [(); 2].map(|()| packer.pack(&Blob::new("x")).unwrap());
        assert_ne!(a, b);
    }

    #[test]
    fn raw_messages_have_no_headers() {
        assert_eq!(Outgoing::raw("x").headers().count(), 0);
    }
}
