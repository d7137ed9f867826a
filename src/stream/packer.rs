//! What is written: a payload, a key, and hop's headers.

use bytes::Bytes;
use uuid::Uuid;

use super::WriteError;
use super::headers::{FORMAT, Header, ID, SENDER, TEST};
use crate::models::{MessageModel, WireForm};

/// A message on its way out: a payload, perhaps a key, and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message is sent by `write_raw`"]
pub struct Outgoing {
    payload: Bytes,
    key: Option<Bytes>,
    partition: Option<i32>,
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
