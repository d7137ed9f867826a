//! What is written: a payload, a key, and hop's headers.

use std::cell::RefCell;

use bytes::Bytes;
use uuid::Uuid;

use super::headers::{FORMAT, Header, ID, SENDER, TEST};
use super::{TopicName, WriteError};
use crate::models::{MessageModel, WireForm};

/// A message on its way out: a payload, perhaps a key, and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message is sent by `write_raw`"]
pub struct Outgoing {
    payload: Bytes,
    key: Option<Bytes>,
    partition: Option<i32>,
    topic: Option<TopicName>,
    headers: Vec<Header>,
    own_headers: Vec<Header>,
}

impl Outgoing {
    /// A message of these bytes and no headers, for payloads that come packed: none of hop's headers is added.
    pub fn raw(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            key: None,
            partition: None,
            topic: None,
            headers: Vec::new(),
            own_headers: Vec::new(),
        }
    }

    /// The key: messages with one key go to one partition, in order.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The partition, instead of the one that the key leads to, or any.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The topic, instead of the one that the producer has.
    pub fn topic(mut self, topic: TopicName) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Whether the message is marked as a test, whatever the producer does with others.
    pub fn test(mut self, test: bool) -> Self {
        self.own_headers.retain(|header| header.name() != TEST);
        if test {
            let behind = self.own_headers.iter().take_while(|header| header.name() != FORMAT).count();
            self.own_headers.insert(behind, own_header(TEST, Bytes::from_static(b"true")));
        }
        self
    }

    /// Adds a header in front of hop's own. Names may repeat.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, Some(value.into())));
        self
    }

    /// This message with the key and the partition of another.
    #[cfg(feature = "http")]
    pub(super) fn placed_as(mut self, other: &Self) -> Self {
        self.key.clone_from(&other.key);
        self.partition = other.partition;
        self
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The key, if it has one.
    #[must_use]
    pub fn message_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// The partition, if one was chosen.
    #[must_use]
    pub fn chosen_partition(&self) -> Option<i32> {
        self.partition
    }

    /// The topic, if one was chosen.
    #[must_use]
    pub fn chosen_topic(&self) -> Option<&TopicName> {
        self.topic.as_ref()
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

/// Makes messages from models, with hop's headers; made by [`WriterBuilder::packer`](super::WriterBuilder::packer), which
/// asks no broker.
///
/// ```
/// use hop::models::Blob;
/// use hop::stream::Stream;
///
/// let packer = Stream::anonymous().writer("kafka://localhost/alerts").test(true).packer()?;
/// let message = packer.pack(&Blob::new("throwaway"))?;
/// let names: Vec<_> = message.headers().map(|header| header.name().clone()).collect();
/// assert_eq!(names, ["_id", "_test", "_format"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Packer {
    pub(super) sender: Option<Bytes>,
    pub(super) test: bool,
    pub(super) form: WireForm,
}

impl Packer {
    /// A message made from a model, with an id of its own. The order of the headers is that of hop-client.
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form.
    pub fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        let payload = model.serialize(self.form)?;
        let mut headers = vec![own_header(ID, Bytes::copy_from_slice(random_id()?.as_bytes()))];
        if let Some(sender) = &self.sender {
            headers.push(own_header(SENDER, sender.clone()));
        }
        if self.test {
            headers.push(own_header(TEST, Bytes::from_static(b"true")));
        }
        // An envelope names its format itself; with a header beside it, readers would not open it.
        if self.form != WireForm::Envelope {
            headers.push(own_header(FORMAT, Bytes::copy_from_slice(model.format().as_bytes())));
        }
        Ok(Outgoing { own_headers: headers, ..Outgoing::raw(payload) })
    }
}

fn own_header(name: &'static str, value: Bytes) -> Header {
    Header::new(name, Some(value))
}

/// How many ids' bytes the system is asked for at once: a call for each would take longer than all else about it.
const IDS_AT_ONCE: usize = 64;

thread_local! {
    /// What no message has been given yet.
    static RANDOM: RefCell<Vec<uuid::Bytes>> = const { RefCell::new(Vec::new()) };
}

/// A random UUID (version 4). `Uuid::new_v4` would panic where there are no random numbers.
fn random_id() -> Result<Uuid, WriteError> {
    RANDOM.with_borrow_mut(|left| {
        if left.is_empty() {
            let mut fresh = [uuid::Bytes::default(); IDS_AT_ONCE];
            getrandom::fill(fresh.as_flattened_mut())
                .map_err(|error| WriteError::NoRandomness { reason: error.to_string() })?;
            left.extend(fresh);
        }
        Ok(uuid::Builder::from_random_bytes(left.pop().unwrap_or_default()).into_uuid())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn a_message_is_a_test_or_none_whatever_the_others_are() {
        let names = |message: &Outgoing| shown(message).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        for test in [false, true] {
            let packer = Packer { sender: Some("me".into()), test, form: WireForm::Json };
            let message = packer.pack(&Blob::new("x")).unwrap();
            assert_eq!(names(&message.clone().test(false)), ["_id", "_sender", "_format"]);
            let marked = message.header("mine", "1").test(true).test(true);
            assert_eq!(names(&marked), ["mine", "_id", "_sender", "_test", "_format"]);
        }
        assert_eq!(shown(&Outgoing::raw("x").test(true)), pairs(&[("_test", "true")]));
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
        let ids = |count| -> Vec<Bytes> {
            let messages = (0..count).map(|_| packer.pack(&Blob::new("x")).unwrap());
            messages.map(|message| message.headers().next().unwrap().value().unwrap().clone()).collect()
        };
        // More than the system gives at once, on two threads.
        let here = ids(3 * IDS_AT_ONCE);
        let there = std::thread::scope(|scope| scope.spawn(|| ids(3 * IDS_AT_ONCE)).join().unwrap());
        let different: BTreeSet<_> = here.iter().chain(&there).collect();
        assert_eq!(different.len(), 6 * IDS_AT_ONCE);
    }

    #[test]
    fn raw_messages_have_no_headers() {
        assert_eq!(Outgoing::raw("x").headers().count(), 0);
    }
}
