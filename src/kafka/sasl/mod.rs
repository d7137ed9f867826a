//! Being let in: the SASL mechanisms that Kafka's brokers offer.
//!
//! [`Sasl`] is a credential with a mechanism; [`Exchange`] is one authentication with it, as a state machine without
//! I/O: tokens of the server in, tokens of the client out.
//!
//! | mechanism | specification | proves to the client that the server knows the password |
//! | --- | --- | --- |
//! | SCRAM-SHA-256, SCRAM-SHA-512 | RFC 5802, RFC 7677 | yes |
//! | PLAIN | RFC 4616 | no: only on TLS, unless allowed |
//! | OAUTHBEARER | RFC 7628 | no: only on TLS, unless allowed |
//!
//! The `sasl` crate is not used: its SCRAM has no SHA-512, does not escape user names, does not check that the
//! server's nonce continues ours, and takes any number of iterations.

mod oauth_bearer;
#[cfg(feature = "http")]
mod oidc;
mod plain;
mod scram;
mod tokens;

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::Instant;

use self::oauth_bearer::OauthBearer;
use self::plain::Plain;
pub(super) use self::scram::Hash;
use self::scram::{Salted, Scram};
use self::tokens::Tokens;

#[cfg(feature = "http")]
pub use self::oidc::Oidc;
#[cfg(feature = "http")]
pub(crate) use self::oidc::{claims, seconds};
pub use self::tokens::{Token, TokenError, TokenFuture, TokenSource};

/// How to authenticate. `Debug` shows the mechanism and the user, never the secret.
///
/// ```
/// use hop::kafka::Sasl;
/// let sasl = Sasl::scram_sha_512("user", "secret".into());
/// assert_eq!(sasl.mechanism_name(), "SCRAM-SHA-512");
/// assert!(!format!("{sasl:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct Sasl {
    mechanism: Mechanism,
    username: String,
    secret: SecretString,
    unencrypted: bool,
    /// The salted password of the last exchange: a reconnect need not derive it anew.
    salted: Arc<Salted>,
    /// Where the secret comes from, if it is a token that is fetched.
    tokens: Option<Arc<Tokens>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Scram(Hash),
    Plain,
    OauthBearer,
}

impl Sasl {
    /// SCRAM with SHA-512: what Hopskotch uses.
    pub fn scram_sha_512(username: impl Into<String>, password: SecretString) -> Self {
        Self::new(Mechanism::Scram(Hash::Sha512), username.into(), password)
    }

    /// SCRAM with SHA-256.
    pub fn scram_sha_256(username: impl Into<String>, password: SecretString) -> Self {
        Self::new(Mechanism::Scram(Hash::Sha256), username.into(), password)
    }

    /// The password as it is. Refused on a connection without TLS, unless
    /// [`allow_unencrypted`](Self::allow_unencrypted).
    pub fn plain(username: impl Into<String>, password: SecretString) -> Self {
        Self::new(Mechanism::Plain, username.into(), password)
    }

    /// A bearer token, such as a JWT, that is good for as long as this client lives. Refused on a connection without TLS,
    /// unless [`allow_unencrypted`](Self::allow_unencrypted).
    pub fn oauth_bearer(token: SecretString) -> Self {
        Self::new(Mechanism::OauthBearer, String::new(), token)
    }

    /// Bearer tokens that are fetched, and fetched anew in good time before they end: connections outlive them. The user
    /// is the one that the tokens are given to; brokers take it from the token.
    pub fn oauth_bearer_from(username: impl Into<String>, source: impl TokenSource) -> Self {
        let none = SecretString::default();
        let tokens = Some(Arc::new(Tokens::new(source)));
        Self { tokens, ..Self::new(Mechanism::OauthBearer, username.into(), none) }
    }

    fn new(mechanism: Mechanism, username: String, secret: SecretString) -> Self {
        Self { mechanism, username, secret, unencrypted: false, salted: Arc::default(), tokens: None }
    }

    /// Sees to it that there is something to log in with, before each [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// When a token is wanted and cannot be got.
    pub(super) async fn prepare(&self) -> Result<(), Arc<TokenError>> {
        match &self.tokens {
            Some(tokens) => tokens.prepare().await,
            None => Ok(()),
        }
    }

    /// Whether the password stays here, and only proofs of it are sent.
    #[cfg(feature = "http")]
    pub(super) fn is_scram(&self) -> bool {
        matches!(self.mechanism, Mechanism::Scram(_))
    }

    /// Whether it is a token that is sent.
    #[cfg(feature = "http")]
    pub(super) fn is_token(&self) -> bool {
        self.mechanism == Mechanism::OauthBearer
    }

    /// The token, where there is one.
    #[cfg(feature = "http")]
    pub(super) fn token(&self) -> Option<SecretString> {
        match &self.tokens {
            Some(tokens) => tokens.newest(),
            None => self.is_token().then(|| self.secret.clone()),
        }
    }

    /// When what it logs in with ends, where that is known.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.tokens.as_ref().and_then(|tokens| tokens.ends_at())
    }

    /// Lets PLAIN and OAUTHBEARER send their secret over a connection that anyone on the way can read.
    pub fn allow_unencrypted(mut self, allow: bool) -> Self {
        self.unencrypted = allow;
        self
    }

    /// The mechanism's registered name.
    pub fn mechanism_name(&self) -> &'static str {
        match self.mechanism {
            Mechanism::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512) => "SCRAM-SHA-512",
            Mechanism::Plain => "PLAIN",
            Mechanism::OauthBearer => "OAUTHBEARER",
        }
    }

    /// The user; empty where a token names it.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Begins an authentication over a connection that is encrypted or not.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unencrypted`], and [`SaslError::Unsendable`] for a user name, password or token that cannot be
    /// sent; [`SaslError::Randomness`] when the system has none; [`SaslError::NoToken`] for tokens that a client fetches.
    pub fn start(&self, encrypted: bool) -> Result<Exchange, SaslError> {
        if !encrypted && !self.unencrypted && !matches!(self.mechanism, Mechanism::Scram(_)) {
            return Err(SaslError::Unencrypted { mechanism: self.mechanism_name() });
        }
        let secret = match &self.tokens {
            Some(tokens) => tokens.newest().ok_or(SaslError::NoToken)?,
            None => self.secret.clone(),
        };
        let kind = match self.mechanism {
            Mechanism::Scram(hash) => {
                Kind::Scram(Box::new(Scram::new(hash, &self.username, secret, Arc::clone(&self.salted))?))
            }
            Mechanism::Plain => Kind::Plain(Plain::new(&self.username, secret)?),
            Mechanism::OauthBearer => Kind::OauthBearer(OauthBearer::new(secret)?),
        };
        Ok(Exchange(kind))
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism_name())
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// One authentication under way: [`initial`](Self::initial) gives the first token, [`step`](Self::step) takes each
/// answer of the server.
#[derive(Debug)]
pub struct Exchange(Kind);

#[derive(Debug)]
enum Kind {
    Scram(Box<Scram>),
    Plain(Plain),
    OauthBearer(OauthBearer),
}

/// What follows from a token of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this token.
    Send(Vec<u8>),
    /// The server has accepted, and has proved itself where the mechanism can.
    Done,
}

impl Exchange {
    /// The client's first token.
    pub fn initial(&mut self) -> Vec<u8> {
        match &mut self.0 {
            Kind::Scram(scram) => scram.initial(),
            Kind::Plain(plain) => plain.initial(),
            Kind::OauthBearer(bearer) => bearer.initial(),
        }
    }

    /// Takes a token of the server.
    ///
    /// # Errors
    ///
    /// When the server refuses, or does not keep to the mechanism. The exchange is over then.
    pub fn step(&mut self, token: &[u8]) -> Result<Step, SaslError> {
        match &mut self.0 {
            Kind::Scram(scram) => scram.step(token),
            Kind::Plain(plain) => plain.step(token),
            Kind::OauthBearer(bearer) => bearer.step(token),
        }
    }

    /// Whether the token given last is the client's last, if the server accepts it.
    pub fn next_is_last(&self) -> bool {
        match &self.0 {
            Kind::Scram(scram) => scram.has_sent_proof(),
            Kind::Plain(_) => true,
            // A refused token is answered once more before the server says so.
            Kind::OauthBearer(_) => false,
        }
    }
}

/// Why an authentication failed. Never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// A password or a token would cross a connection that anyone on the way can read.
    #[error("{mechanism} sends the secret as it is, and the connection is not encrypted; use TLS, or SCRAM")]
    Unencrypted {
        /// The mechanism.
        mechanism: &'static str,
    },

    /// Something of ours that the mechanism has no way to send.
    #[error("{what} cannot be sent: {reason}")]
    Unsendable {
        /// The user name, the password or the token.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },

    /// A token is fetched by the client that logs in with it, and here is none.
    #[error("no token has been fetched")]
    NoToken,

    /// The system gave no random numbers.
    #[error("this system gives no random numbers, without which authentication is not safe")]
    Randomness,

    /// The server refused, in the mechanism's own words.
    #[error("the server refuses: {reason}; check the user name, the password and the mechanism")]
    Refused {
        /// The server's reason, cleaned of control characters.
        reason: String,
    },

    /// The server does not keep to the mechanism. It may be an impostor.
    #[error(
        "the server does not keep to {mechanism}: {reason}; do not trust it with a password until this is explained"
    )]
    Misbehaved {
        /// The mechanism.
        mechanism: &'static str,
        /// What it did.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let all: [Sasl; 4] = [
            Sasl::scram_sha_512("u", "hidden-words".into()),
            Sasl::scram_sha_256("u", "hidden-words".into()),
            Sasl::plain("u", "hidden-words".into()),
            Sasl::oauth_bearer("hidden-words".into()),
        ];
        for sasl in all {
            let mut exchange = sasl.start(true).unwrap();
            exchange.initial();
            assert!(!format!("{sasl:?} {exchange:?}").contains("hidden"), "{sasl:?}");
        }
    }

    #[test]
    fn secrets_do_not_cross_an_open_connection_unless_allowed() {
        let plain = Sasl::plain("u", "p".into());
        assert_eq!(plain.start(false).err(), Some(SaslError::Unencrypted { mechanism: "PLAIN" }));
        assert!(Sasl::oauth_bearer("t".into()).start(false).is_err());
        assert!(plain.allow_unencrypted(true).start(false).is_ok());
        assert!(Sasl::scram_sha_512("u", "p".into()).start(false).is_ok());
    }
}
