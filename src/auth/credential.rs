//! One credential, and the ways in which it may be used.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;
use thiserror::Error;

use super::{CredentialFile, LoadError};
use crate::config::Paths;

/// A credential: who connects, to which broker, and how the name is proved.
///
/// ```
/// use hop::auth::{Auth, Mechanism};
///
/// let auth = Auth::new("me-1234", "secret").with_hostname("kafka.scimma.org").with_mechanism(Mechanism::ScramSha512);
/// assert!(!format!("{auth:?}").contains("secret"));
/// ```
///
/// The password is kept in a type that hides it from `Debug` and wipes it from memory when dropped.
#[derive(Clone)]
pub struct Auth {
    username: String,
    password: SecretString,
    hostname: String,
    protocol: Protocol,
    mechanism: Option<Mechanism>,
    ssl_ca_location: Option<PathBuf>,
    token_endpoint: Option<String>,
    token_command: Option<String>,
}

impl Auth {
    /// A credential for any broker, over TLS, proved by SCRAM-SHA-512.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
            hostname: String::new(),
            protocol: Protocol::default(),
            mechanism: None,
            ssl_ca_location: None,
            token_endpoint: None,
            token_command: None,
        }
    }

    /// All credentials of the user: those in the file that [`Paths::from_environment`] names.
    ///
    /// # Errors
    ///
    /// Any [`LoadError`]; [`LoadError::Missing`] if there is no such file.
    pub fn load() -> Result<Credentials, LoadError> {
        Ok(Credentials(CredentialFile::load(&Paths::from_environment()?)?.into_credentials()))
    }

    /// Binds the credential to one broker, `host` or `host:port`. Empty (the default): it may go to any.
    #[must_use]
    pub fn with_hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = hostname.into();
        self
    }

    /// Whether the connection is encrypted. Default: [`Protocol::SaslSsl`].
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How the name is proved. Default: [`Mechanism::ScramSha512`], or [`Mechanism::OAuthBearer`] if there is a
    /// token endpoint or a token command.
    #[must_use]
    pub fn with_mechanism(mut self, mechanism: Mechanism) -> Self {
        self.mechanism = Some(mechanism);
        self
    }

    /// A file of certificates (PEM) to trust instead of the system's. Empty: the system's after all.
    #[must_use]
    pub fn with_ssl_ca_location(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.ssl_ca_location = (!path.as_os_str().is_empty()).then_some(path);
        self
    }

    /// The OpenID Connect endpoint that gives tokens for this name and password. Empty: none. It is believed on the word
    /// of the same authorities as the broker.
    #[must_use]
    pub fn with_token_endpoint(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.token_endpoint = (!url.is_empty()).then_some(url);
        self
    }

    /// The shell command that prints a token, a JSON web token that says whose it is and when it ends. Empty: none.
    #[must_use]
    pub fn with_token_command(mut self, command: impl Into<String>) -> Self {
        let command = command.into();
        self.token_command = (!command.is_empty()).then_some(command);
        self
    }

    /// The user name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password. May be empty for a credential that lives on tokens.
    #[must_use]
    pub fn password(&self) -> &SecretString {
        &self.password
    }

    /// The broker that the credential is for, `host` or `host:port`; empty if it is for any.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How the name is proved.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism.unwrap_or(if self.token_endpoint.is_some() || self.token_command.is_some() {
            Mechanism::OAuthBearer
        } else {
            Mechanism::ScramSha512
        })
    }

    /// The file of certificates to trust; `None` for the system's, and always without TLS, which has no use for it.
    #[must_use]
    pub fn ssl_ca_location(&self) -> Option<&Path> {
        match self.protocol {
            Protocol::SaslSsl => self.ssl_ca_location.as_deref(),
            Protocol::SaslPlaintext => None,
        }
    }

    /// The endpoint that gives tokens.
    #[must_use]
    pub fn token_endpoint(&self) -> Option<&str> {
        self.token_endpoint.as_deref()
    }

    /// The shell command that prints a token.
    #[must_use]
    pub fn token_command(&self) -> Option<&str> {
        self.token_command.as_deref()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("username", &self.username)
            .field("password", &self.password)
            .field("hostname", &self.hostname)
            .field("protocol", &self.protocol)
            .field("mechanism", &self.mechanism())
            .field("ssl_ca_location", &self.ssl_ca_location)
            .field("token_endpoint", &self.token_endpoint)
            // A command line may well have a secret in it.
            .field("token_command", &self.token_command.as_ref().map(|_| "[REDACTED]"))
            .finish()
    }
}

/// A user's credentials, in the order in which they are kept.
///
/// What [`crate::stream::Stream::new`] takes: one [`Auth`], several, or what [`Auth::load`] found.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Vec<Auth>);

impl From<Auth> for Credentials {
    fn from(auth: Auth) -> Self {
        Self(vec![auth])
    }
}

impl From<Vec<Auth>> for Credentials {
    fn from(credentials: Vec<Auth>) -> Self {
        Self(credentials)
    }
}

impl FromIterator<Auth> for Credentials {
    fn from_iter<I: IntoIterator<Item = Auth>>(credentials: I) -> Self {
        Self(credentials.into_iter().collect())
    }
}

impl Deref for Credentials {
    type Target = [Auth];

    fn deref(&self) -> &[Auth] {
        &self.0
    }
}

/// Whether a connection that authenticates is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// TLS below SASL. The default.
    #[default]
    SaslSsl,
    /// No encryption: everybody on the way can read the alerts, and with some mechanisms the password.
    SaslPlaintext,
}

impl Protocol {
    /// The name in credential files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SaslSsl => "SASL_SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
        }
    }

    /// What a credential file means by a name: only the exact `SASL_PLAINTEXT` turns encryption off, so that no
    /// slip of the pen does.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        if name == "SASL_PLAINTEXT" { Self::SaslPlaintext } else { Self::SaslSsl }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a user name is proved to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mechanism {
    /// The password itself is sent.
    Plain,
    /// SCRAM with SHA-256: the password stays here, and the broker proves that it knows it, too.
    ScramSha256,
    /// SCRAM with SHA-512. The default.
    #[default]
    ScramSha512,
    /// A token that somebody else gave out.
    OAuthBearer,
}

impl Mechanism {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer];

    /// The name on the wire and in credential files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// `-` and `_` are the same here: hop-client writes `SCRAM_SHA_512` in some files.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let hyphenated = name.replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|known| known.name() == hyphenated)
            .ok_or_else(|| UnknownMechanism { name: name.to_owned() })
    }
}

/// A mechanism that this program does not speak.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown mechanism '{name}'; known are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER")]
pub struct UnknownMechanism {
    /// The name as it was written.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_secrets() {
        let auth = Auth::new("u", "hunter2").with_token_command("get-token --key hunter2");
        let shown = format!("{auth:?} {:?}", Credentials::from(auth.clone()));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("SASL") || shown.contains("SaslSsl"), "{shown}");
    }

    #[test]
    fn mechanisms_are_named_with_hyphens_or_underscores_but_exactly() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
            assert_eq!(mechanism.name().replace('-', "_").parse(), Ok(mechanism));
        }
        let error = "scram-sha-512".parse::<Mechanism>().unwrap_err();
        assert!(
            error.to_string().starts_with("unknown mechanism 'scram-sha-512'; known are PLAIN, "),
            "{error}"
        );
        for mechanism in Mechanism::ALL {
            assert!(error.to_string().contains(mechanism.name()));
        }
    }

    #[test]
    fn a_token_source_changes_the_default_mechanism_only() {
        assert_eq!(Auth::new("u", "p").mechanism(), Mechanism::ScramSha512);
        assert_eq!(Auth::new("u", "p").with_token_endpoint("").mechanism(), Mechanism::ScramSha512);
        assert_eq!(Auth::new("u", "p").with_token_endpoint("https://t").mechanism(), Mechanism::OAuthBearer);
        assert_eq!(Auth::new("u", "").with_token_command("t").mechanism(), Mechanism::OAuthBearer);
        let explicit = Auth::new("u", "p").with_token_endpoint("https://t").with_mechanism(Mechanism::Plain);
        assert_eq!(explicit.mechanism(), Mechanism::Plain);
    }

    #[test]
    fn only_the_exact_name_turns_encryption_off() {
        assert_eq!(Protocol::from_name("SASL_PLAINTEXT"), Protocol::SaslPlaintext);
        for other in ["SASL_SSL", "sasl_plaintext", "PLAINTEXT", ""] {
            assert_eq!(Protocol::from_name(other), Protocol::SaslSsl);
        }
    }

    #[test]
    fn certificates_are_of_no_use_without_tls() {
        let auth = Auth::new("u", "p").with_ssl_ca_location("/ca.pem");
        assert_eq!(auth.ssl_ca_location(), Some(Path::new("/ca.pem")));
        assert_eq!(auth.with_protocol(Protocol::SaslPlaintext).ssl_ca_location(), None);
        assert_eq!(Auth::new("u", "p").with_ssl_ca_location("").ssl_ca_location(), None);
    }
}
