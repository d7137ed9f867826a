//! Messages that are too large for a topic: kept by a service beside the broker, with their address on the topic.
//!
//! Which service that is the broker says, in the last message of the topic `sys.metadata`. As hop-client 0.11 and later:
//! such a message is sent to the service first, and what goes onto the topic is an [`External`] with its URL; readers
//! fetch it from there. Both are asked for who they are as they are by the broker.
//!
//! Anybody who may write to a topic may write any URL. So only what is on the service that the broker names is fetched, and
//! from hosts that the user trusts; the credential goes to that service alone.

mod document;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use tokio::time::sleep;
use uuid::Uuid;

use self::document::Stored;
use super::headers::{FORMAT, Header, ID, TEST};
use super::message::RawMessage;
use super::packer::{Outgoing, Packer};
use crate::kafka::admin::ConfigResource;
use crate::kafka::http::{HttpUrl, Method, ask_as};
use crate::kafka::{self, Client, DEFAULT_MOST_RECORD_BYTES, HttpError, HttpUrlError, StartOffset};
use crate::models::External;

/// Where the broker says what else there is.
const METADATA_TOPIC: &str = "sys.metadata";
/// The key of the URL of the service, in the JSON object there.
const ENDPOINT: &str = "LargeMessageUploadEndpoint";
/// What the service says after it has taken a message.
const MOST_REPLY_BYTES: usize = 64 * 1024;
/// How long the broker may be out of reach when it is asked for the service.
const PATIENCE: Duration = Duration::from_secs(30);
/// No topic takes less than this.
const FITS_EVERYWHERE: usize = 16 * 1024;
/// The setting of a topic that says how much it takes.
const LIMIT: &str = "max.message.bytes";
/// Operators change it, and what service there is, now and then.
const GOOD_FOR: Duration = Duration::from_secs(30 * 60);
/// What a record and its batch need besides what is in it.
const OVERHEAD: usize = 70;
/// A service that is out of reach is asked again after each of these.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is done about messages that are too large for a topic.
///
/// # Defaults
///
/// They are fetched and kept, as hop-client does: from and by the service that the broker names, up to 128 MiB each.
///
/// ```
/// use hop::Stream;
/// use hop::stream::LargeMessages;
///
/// let large = LargeMessages::default().keep(false).trust_host("archive.example.org").most_bytes(16 << 20);
/// let stream = Stream::anonymous().large_messages(large);
/// # let _ = stream;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeMessages {
    fetch: bool,
    keep: bool,
    hosts: Vec<String>,
    most_bytes: usize,
}

impl Default for LargeMessages {
    fn default() -> Self {
        Self { fetch: true, keep: true, hosts: Vec::new(), most_bytes: 128 * 1024 * 1024 }
    }
}

impl LargeMessages {
    /// Whether readers fetch them. Where they do not, the [`External`] is what is read.
    #[must_use]
    pub fn fetch(mut self, fetch: bool) -> Self {
        self.fetch = fetch;
        self
    }

    /// Whether writers have them kept. Where they do not, or the broker names no service, they fail.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Fetches from this host, too, on any port and with TLS or without, as nobody: where others keep messages.
    #[must_use]
    pub fn trust_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// How large what is fetched may be, with its headers: what is larger is an error, and not read into memory.
    #[must_use]
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes;
        self
    }
}

/// Whether the same bytes are the same message twice.
pub(super) fn reads_alike(bytes: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(bytes);
    document::decode(&bytes) == document::decode(&bytes)
}

/// The service of one cluster.
#[derive(Debug)]
pub(super) struct Store {
    /// Who asks, and how, is what this client has for its broker.
    client: Client,
    settings: LargeMessages,
    /// What the broker says, and when it was asked.
    named: tokio::sync::Mutex<Option<(Instant, Option<HttpUrl>)>>,
    /// How much topics take, and when that was asked.
    limits: Mutex<HashMap<String, (Instant, usize)>>,
}

impl Store {
    /// Asks nobody yet.
    pub(super) fn new(client: Client, settings: LargeMessages) -> Self {
        Self { client, settings, named: tokio::sync::Mutex::default(), limits: Mutex::default() }
    }

    /// Whether messages are fetched.
    pub(super) fn fetches(&self) -> bool {
        self.settings.fetch
    }

    /// Whether a message is to be kept elsewhere. Small ones fit everywhere, and nobody is asked.
    pub(super) async fn is_too_large(&self, topic: &str, message: &Outgoing) -> bool {
        let size = estimated_size(message);
        if !self.settings.keep || size <= FITS_EVERYWHERE {
            return false;
        }
        // The producer takes no more, whatever the topic does.
        size > self.limit(topic).await.min(DEFAULT_MOST_RECORD_BYTES)
    }

    /// How large a batch of the topic may be, as far as this user may know.
    async fn limit(&self, topic: &str) -> usize {
        let limits = || self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let known = limits().get(topic).copied();
        if let Some((asked, limit)) = known
            && asked.elapsed() < GOOD_FOR
        {
            return limit;
        }
        let topics = [ConfigResource::topic(topic)];
        let settings = self.client.admin().describe_configs(&topics).await;
        let settings =
            settings.and_then(|answers| answers.into_iter().next().map_or(Ok(Vec::new()), |(_, of)| of));
        let limit = match settings {
            Ok(settings) => {
                let setting = settings.iter().find(|setting| setting.name == LIMIT);
                setting.and_then(|setting| setting.value.as_ref()?.parse().ok()).unwrap_or(usize::MAX)
            }
            // Writing to it will say the same.
            Err(kafka::Error::UnknownTopic { .. }) => return usize::MAX,
            Err(error) => {
                tracing::warn!(topic, %error, "how much the topic takes cannot be found out");
                usize::MAX
            }
        };
        limits().insert(topic.to_owned(), (Instant::now(), limit));
        limit
    }

    /// The message that this one stands for: where it stood on the topic, and all else as it was sent.
    pub(super) async fn fetch(
        &self,
        stands: &RawMessage,
        external: &External,
    ) -> Result<RawMessage, LargeMessageError> {
        let url: HttpUrl = external.url().parse()?;
        let ours = self.named().await?.is_some_and(|named: HttpUrl| named.same_origin(&url));
        let host = url.address().host();
        if !ours && !self.settings.hosts.iter().any(|trusted| trusted.eq_ignore_ascii_case(host)) {
            return Err(LargeMessageError::Untrusted { url: url.to_string() });
        }
        let (tls, login) = self.client.access();
        let (tls, login) = (tls.unwrap_or_default(), login.filter(|_| ours));
        let mut retries = RETRIES.into_iter();
        let answer = loop {
            let asked =
                ask_as(&url, &tls, login.as_ref(), &Method::GET, Bytes::new(), self.settings.most_bytes);
            match asked.await {
                Err(error) if error.is_retriable() => match retries.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error.into()),
                },
                answered => break answered?,
            }
        };
        let kept = document::decode(answer.body()).map_err(|source| LargeMessageError::Document {
            url: url.to_string(),
            reason: source.to_string(),
        })?;
        let Stored { payload, timestamp, key, headers } = kept;
        Ok(stands.replaced_by(payload, timestamp, key, headers))
    }

    /// Has a message kept, and returns what goes onto the topic in its place; `None` where the broker names no service.
    ///
    /// The bytes are those of the message; a key and a partition are what stands for it has, too.
    pub(super) async fn keep(
        &self,
        topic: &str,
        message: &Outgoing,
        packer: &Packer,
    ) -> Result<Option<Outgoing>, LargeMessageError> {
        let Some(named) = self.named().await? else { return Ok(None) };
        let base = named.to_string();
        let base = base.trim_end_matches('/');
        let first = |name: &str| message.headers().find(|header| header.name() == name);
        let id = first(ID).and_then(|header| Uuid::from_slice(header.value()?).ok());
        let id = id.ok_or(LargeMessageError::NoId)?;
        let url: HttpUrl = format!("{base}/topic/{topic}+oversized").parse()?;
        let key = message.message_key().map(|key| &key[..]);
        let body = document::encode(message.payload(), message.headers(), key)
            .map_err(|source| LargeMessageError::Unkeepable { reason: source.to_string() })?;
        let (tls, login) = self.client.access();
        let tls = tls.unwrap_or_default();
        ask_as(&url, &tls, login.as_ref(), &Method::POST, body.into(), MOST_REPLY_BYTES).await?;
        let test = first(TEST).is_some_and(|header| header.value().is_some_and(|value| value == "true"));
        let packer = Packer { sender: packer.sender.clone(), test, form: packer.form };
        let external = External::new(format!("{base}/msg/{}", id.hyphenated()));
        let stands = packer
            .pack(&external)
            .map_err(|error| LargeMessageError::Unkeepable { reason: error.to_string() })?;
        Ok(Some(stands.placed_as(message)))
    }

    /// The service that the broker names; asked again after a while, since operators move it.
    async fn named(&self) -> Result<Option<HttpUrl>, LargeMessageError> {
        let mut named = self.named.lock().await;
        if let Some((asked, url)) = named.as_ref()
            && asked.elapsed() < GOOD_FOR
        {
            return Ok(url.clone());
        }
        let text = last_of_metadata(&self.client).await?;
        let url: Option<HttpUrl> = match text.as_deref().and_then(endpoint) {
            Some(url) => Some(url.parse()?),
            None => None,
        };
        if let Some(url) = url.as_ref().filter(|url| !url.is_encrypted()) {
            tracing::warn!(%url, "the broker names a service for large messages that is reached without TLS");
        }
        *named = Some((Instant::now(), url.clone()));
        Ok(url)
    }
}

/// How much of a batch a message takes, as hop-client reckons.
fn estimated_size(message: &Outgoing) -> usize {
    let header = |header: &Header| header.name().len() + header.value().map_or(0, Bytes::len) + 2;
    let key = message.message_key().map_or(0, Bytes::len);
    OVERHEAD + message.payload().len() + key + message.headers().map(header).sum::<usize>()
}

/// The payload of the last message of the metadata topic; `None` where there is none, or this user may not read it.
async fn last_of_metadata(client: &Client) -> Result<Option<Bytes>, kafka::Error> {
    let topic = client.describe_topics(&[METADATA_TOPIC]).await?;
    if !topic.iter().any(|topic| topic.is_there() && topic.error.is_none()) {
        return Ok(None);
    }
    let consumer =
        client.consumer().topics([METADATA_TOPIC]).start_at(StartOffset::Earliest).stop_at_end(true);
    let mut consumer = consumer.give_up_after(Some(PATIENCE)).build().await?;
    let mut last = None;
    while let Some(record) = consumer.next().await? {
        last = record.value;
    }
    Ok(last)
}

/// The URL in the metadata, if they are what they should be.
fn endpoint(metadata: &[u8]) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata).ok()?;
    Some(metadata.get(ENDPOINT)?.as_str()?.to_owned())
}

/// Whether a message stands for one that is kept elsewhere, and where that is. One that should and does not say where
/// is read as it is, and found wrong then.
pub(super) fn external(message: &RawMessage) -> Option<External> {
    let named = message.metadata().headers.get(FORMAT)?.value()?;
    let is_external = named.eq_ignore_ascii_case(External::FORMAT.as_bytes());
    is_external.then(|| External::decode(message.payload()).ok()).flatten()
}

/// A message that is kept elsewhere was not fetched, or one was not kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LargeMessageError {
    /// What stands for the message, or what the broker names, is no URL that can be asked.
    #[error(transparent)]
    Url(#[from] HttpUrlError),
    /// The URL is on a server that neither the broker nor the user names.
    #[error(
        "it is kept at {url}, which is not on the service that the broker names, and was not fetched; if that host is to \
         be trusted, say so (--external-host, `LargeMessages::trust_host`)"
    )]
    Untrusted {
        /// The URL.
        url: String,
    },
    /// The service did not do what it was asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What the service gave is no message.
    #[error("{url} gives no message: {reason}")]
    Document {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The message has no `_id` header of 16 bytes, by which it would be kept.
    #[error("only a message with an `_id` can be kept elsewhere; write it with `write`, or pack it first")]
    NoId,
    /// The message is not of a kind that can be kept.
    #[error("it cannot be kept elsewhere: {reason}")]
    Unkeepable {
        /// Why.
        reason: String,
    },
    /// The broker could not be asked for the service.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
}

impl LargeMessageError {
    /// Whether the same may go well later: the service, or the broker, is out of reach.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Http(error) => error.is_retriable(),
            Self::Kafka(error) => error.is_retriable(),
            _ => false,
        }
    }
}
