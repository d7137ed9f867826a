//! From a URL and the user's credentials to a client of the cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::defaults::Defaults;
use super::keeping::Keeping;
#[cfg(feature = "http")]
use super::large::{LargeMessages, Store};
use super::producer::WriterBuilder;
use super::reader::ReaderBuilder;
use super::robust::RobustWriterBuilder;
#[cfg(feature = "http")]
use super::token_command::TokenCommand;
use super::{HopUrl, TopicName, UrlError};
use crate::auth::{Auth, Credentials, Mechanism, Protocol, SelectError, select};
#[cfg(feature = "http")]
use crate::kafka::Oidc;
use crate::kafka::{self, Client, Sasl, Tls, TopicDescription};
use crate::models::Registry;

/// How brokers are reached: with which credentials, and with which formats to read what they hold. Cheap to clone.
///
/// # Defaults
///
/// The formats of [`Registry::standard`], and 10 s to connect and authenticate. Readers begin at the end of topics and stop
/// there; writers write [`WireForm::Json`](crate::models::WireForm::Json).
#[derive(Debug, Clone)]
pub struct Stream {
    credentials: Option<Arc<Credentials>>,
    registry: Arc<Registry>,
    connect_timeout: Duration,
    pub(super) defaults: Defaults,
    #[cfg(feature = "http")]
    large: LargeMessages,
}

impl Stream {
    /// A stream that authenticates: with the credential that [`select`] picks for the broker of each URL.
    ///
    /// Takes one [`Auth`], several, or what [`Auth::load`] found.
    #[must_use]
    pub fn new(credentials: impl Into<Credentials>) -> Self {
        Self { credentials: Some(Arc::new(credentials.into())), ..Self::anonymous() }
    }

    /// A stream that neither authenticates nor encrypts, for brokers that ask for neither. A user name in a URL
    /// does not count then.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            credentials: None,
            registry: Arc::new(Registry::standard()),
            connect_timeout: Duration::from_secs(10),
            defaults: Defaults::default(),
            #[cfg(feature = "http")]
            large: LargeMessages::default(),
        }
    }

    /// The formats that messages are read with.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Arc::new(registry);
        self
    }

    /// How long it may take until a broker is connected and has accepted the credential.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// What is done about messages that are too large for a topic.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn large_messages(mut self, large: LargeMessages) -> Self {
        self.large = large;
        self
    }

    /// What to set before reading the topics of a URL.
    pub fn reader(&self, url: &str) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), url)
    }

    /// What to set before writing to the topic of a URL, or to [topics that messages name](WriterBuilder::topic_by_message).
    pub fn writer(&self, url: &str) -> WriterBuilder {
        WriterBuilder::new(self.clone(), url)
    }

    /// What to set before writing to the topic of a URL by way of a journal, so that what was accepted outlives the
    /// process. The journal is a file of this path, for this producer alone.
    pub fn robust_writer(&self, url: &str, journal: impl Into<PathBuf>) -> RobustWriterBuilder {
        RobustWriterBuilder::new(self.clone(), url, journal.into())
    }

    /// The topics that this user may see, by name; if the URL names topics, those of them that exist. Nothing is
    /// created by asking.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`].
    pub async fn list_topics(&self, url: &str) -> Result<Vec<TopicDescription>, OpenError> {
        let url: HopUrl = url.parse()?;
        let (client, _) = self.connect(&url).await?;
        let mut topics = if url.topics().is_empty() {
            client.list_topics().await?
        } else {
            let names: Vec<&str> = url.topics().iter().map(TopicName::as_str).collect();
            client.describe_topics(&names).await?
        };
        topics.retain(TopicDescription::is_there);
        topics.dedup_by(|a, b| a.name == b.name);
        Ok(topics)
    }

    /// A client of the cluster that the URL names, with the credential for it: for what is not about alerts, such as
    /// [`Client::admin`].
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`].
    pub async fn client(&self, url: &str) -> Result<Client, OpenError> {
        Ok(self.connect(&url.parse()?).await?.0)
    }

    /// Has a client go on with the credential that this stream has for the URL, in place of the one that it was made with:
    /// after the credential file was changed. See [`Client::set_access`] for when that counts.
    ///
    /// ```no_run
    /// # fn example(consumer: &hop::stream::Consumer, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// hop::Stream::new(hop::Auth::load()?).renew_access(&consumer.client(), url)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`OpenError::Url`], [`OpenError::Credential`] and [`OpenError::NoTokens`]; the client then goes on with
    /// what it has.
    pub fn renew_access(&self, client: &Client, url: &str) -> Result<(), OpenError> {
        let url: HopUrl = url.parse()?;
        let (tls, sasl) = access(self.credential(&url)?, &url)?;
        client.set_access(tls, sasl);
        Ok(())
    }

    /// A client of the cluster that the URL names, and the user that it is for.
    pub(super) async fn connect(&self, url: &HopUrl) -> Result<(Client, Option<String>), OpenError> {
        let auth = self.credential(url)?;
        let (tls, sasl) = access(auth, url)?;
        Ok((self.client_for(url, tls, sasl).await?, auth.map(|auth| auth.username().to_owned())))
    }

    /// The same, and what keeps messages that are too large for a topic.
    pub(super) async fn connect_with_store(
        &self,
        url: &HopUrl,
    ) -> Result<(Client, Option<String>, Keeping), OpenError> {
        let auth = self.credential(url)?;
        let (tls, sasl) = access(auth, url)?;
        let client = self.client_for(url, tls, sasl).await?;
        #[cfg(feature = "http")]
        let keeping = Keeping::new(Store::new(client.clone(), self.large.clone()));
        #[cfg(not(feature = "http"))]
        let keeping = Keeping;
        Ok((client, auth.map(|auth| auth.username().to_owned()), keeping))
    }

    async fn client_for(
        &self,
        url: &HopUrl,
        tls: Option<Tls>,
        sasl: Option<Sasl>,
    ) -> Result<Client, OpenError> {
        let mut builder = Client::builder()
            .bootstrap(&url.address())
            .topics(url.topics().iter().map(TopicName::shared))
            .connect_timeout(self.connect_timeout);
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        if let Some(sasl) = sasl {
            builder = builder.sasl(sasl);
        }
        Ok(builder.connect().await?)
    }

    /// The user whom the broker of a URL would know us as.
    pub(super) fn username(&self, url: &HopUrl) -> Result<Option<String>, OpenError> {
        let auth = self.credential(url)?;
        auth.map(|auth| sasl(auth, url.authority()).map(|_| auth.username().to_owned())).transpose()
    }

    pub(super) fn formats(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// The credential for the broker of a URL; `None` where none is wanted.
    pub(crate) fn credential(&self, url: &HopUrl) -> Result<Option<&Auth>, OpenError> {
        match &self.credentials {
            None => Ok(None),
            Some(credentials) => select(credentials, url.authority(), url.username())
                .map(Some)
                .map_err(|error| OpenError::Credential(error.with_topics(&url.joined_topics()))),
        }
    }
}

/// How connections are protected, and what a credential is proved with.
fn access(auth: Option<&Auth>, url: &HopUrl) -> Result<(Option<Tls>, Option<Sasl>), OpenError> {
    let Some(auth) = auth else { return Ok((None, None)) };
    Ok((tls(auth), Some(sasl(auth, url.authority())?)))
}

/// How the connection is protected that this credential is for, if it is.
pub(crate) fn tls(auth: &Auth) -> Option<Tls> {
    (auth.protocol() == Protocol::SaslSsl).then(|| match auth.ssl_ca_location() {
        Some(path) => Tls::default().ca_file(path),
        None => Tls::default(),
    })
}

/// A topic could not be opened, or the topics not be listed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// No single credential fits the broker.
    #[error(transparent)]
    Credential(#[from] SelectError),
    /// The credential that fits logs in with OAUTHBEARER tokens, and there is no way to get one.
    #[error(
        "the credential of user '{username}' for '{authority}' logs in with OAUTHBEARER tokens, and {reason}"
    )]
    NoTokens {
        /// The user name.
        username: String,
        /// The broker as the URL spells it.
        authority: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// The cluster could not be reached, did not let us in, or has no such topic.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
}

/// How the credential is proved. What a user wrote into the credential file is what happens: a password in the
/// clear is sent over a connection in the clear if, and only if, the file asks for both.
fn sasl(auth: &Auth, authority: &str) -> Result<Sasl, OpenError> {
    let (username, password) = (auth.username(), auth.password().clone());
    match auth.mechanism() {
        Mechanism::Plain => {
            let unencrypted = auth.protocol() == Protocol::SaslPlaintext;
            if unencrypted {
                tracing::warn!(
                    username,
                    "the credential asks for its password to be sent without encryption"
                );
            }
            Ok(Sasl::plain(username, password).allow_unencrypted(unencrypted))
        }
        Mechanism::ScramSha256 => Ok(Sasl::scram_sha_256(username, password)),
        Mechanism::ScramSha512 => Ok(Sasl::scram_sha_512(username, password)),
        Mechanism::OAuthBearer => tokens(auth).map_err(|reason| OpenError::NoTokens {
            username: username.to_owned(),
            authority: authority.to_owned(),
            reason,
        }),
    }
}

/// Where the tokens of a credential come from; the endpoint where it names both, as with hop-client.
#[cfg(feature = "http")]
fn tokens(auth: &Auth) -> Result<Sasl, String> {
    let username = auth.username();
    let unencrypted = auth.protocol() == Protocol::SaslPlaintext;
    let sasl = if let Some(endpoint) = auth.token_endpoint() {
        let provider = Oidc::new(endpoint, username, auth.password().clone())
            .map_err(|error| format!("its token_endpoint cannot be used: {error}"))?;
        let tls = auth.ssl_ca_location().map_or_else(Tls::default, |path| Tls::default().ca_file(path));
        Sasl::oauth_bearer_from(username, provider.tls(tls))
    } else if let Some(command) = auth.token_command() {
        Sasl::oauth_bearer_from(username, TokenCommand::new(command))
    } else {
        return Err(
            "names neither a token_endpoint nor a token_command; add one in the credential file".to_owned()
        );
    };
    Ok(sasl.allow_unencrypted(unencrypted))
}

#[cfg(not(feature = "http"))]
fn tokens(_auth: &Auth) -> Result<Sasl, String> {
    Err("this program was built without the feature `http`, which gets them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(credentials: Vec<Auth>, url: &str) -> OpenError {
        Stream::new(credentials).reader(url).open().await.unwrap_err()
    }

    #[tokio::test]
    async fn nothing_is_connected_for_a_url_that_cannot_work() {
        let stream = Stream::anonymous();
        assert!(matches!(
            stream.reader("http://h/t").open().await,
            Err(OpenError::Url(UrlError::Scheme { .. }))
        ));
        assert!(matches!(
            stream.reader("kafka://h/").open().await,
            Err(OpenError::Url(UrlError::NoTopic { .. }))
        ));
        assert!(matches!(
            stream.writer("kafka://h/t,u").open().await,
            Err(OpenError::Url(UrlError::SeveralTopics { .. }))
        ));
    }

    #[tokio::test]
    async fn the_url_that_would_pick_a_credential_is_whole() {
        let error = open(vec![Auth::new("a", "p"), Auth::new("b", "p")], "kafka://h:1/t,u").await;
        assert!(error.to_string().ends_with("\n  kafka://<username>@h:1/t,u"), "{error}");
        let error = open(vec![], "kafka://u@h/t").await;
        assert!(
            error.to_string().starts_with("No matching credential found for hostname 'h' with username 'u'")
        );
    }

    #[tokio::test]
    async fn a_credential_without_a_way_to_a_token_is_named() {
        let bearer = Auth::new("me", "p").with_mechanism(Mechanism::OAuthBearer);
        let error = open(vec![bearer.clone()], "kafka://h/t").await.to_string();
        assert!(error.starts_with("the credential of user 'me' for 'h' logs in with OAUTHBEARER"), "{error}");
        let error = open(vec![bearer.with_token_endpoint("auth.test")], "kafka://h/t").await;
        assert!(matches!(error, OpenError::NoTokens { .. }), "{error}");
    }

    #[test]
    fn debug_shows_no_password() {
        let stream = Stream::new(Auth::new("u", "hunter2"));
        assert!(!format!("{stream:?} {:?}", stream.reader("kafka://h/t")).contains("hunter2"));
    }
}
