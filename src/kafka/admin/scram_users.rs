//! Users who log in with SCRAM: DescribeUserScramCredentials, AlterUserScramCredentials (KIP-554; brokers since 2.7).
//!
//! What a broker keeps of a password is computed here, so that the password itself never leaves this program.

use bytes::Bytes;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use secrecy::{ExposeSecret, SecretString};

use super::Admin;
use super::answer::{Deed, Subject, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;
use crate::kafka::sasl::Hash;

/// Twice what RFC 5802 shows; a salt need only be another for each user.
const SALT_BYTES: usize = 32;
/// About a second of work, as at a login.
const MOST_ITERATIONS: i32 = 1_000_000;

/// With which hash a user logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
    /// One that this client does not know, by its number in the protocol.
    Other(i8),
}

impl ScramMechanism {
    fn of(number: i8) -> Self {
        match number {
            1 => Self::Sha256,
            2 => Self::Sha512,
            other => Self::Other(other),
        }
    }

    fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
            Self::Other(number) => number,
        }
    }
}

/// That a user can log in with a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScramCredential {
    /// The mechanism.
    pub mechanism: ScramMechanism,
    /// How often the password is hashed at each login.
    pub iterations: i32,
}

impl Admin {
    /// Which users can log in with SCRAM, and how: these users, or with `None` all. Those that were asked for and are
    /// not there have `RESOURCE_NOT_FOUND`.
    ///
    /// # Errors
    ///
    /// For each: the broker's code and words. As a whole: [`Error::NotAuthorized`], [`Error::Unsupported`] from brokers
    /// before Kafka 2.7, and those of reaching the cluster.
    pub async fn describe_scram_users(
        &self,
        users: Option<&[&str]>,
    ) -> Result<Vec<(String, Result<Vec<ScramCredential>, Error>)>, Error> {
        let request = |_: Asked<'_>| {
            let named =
                |users: &[&str]| users.iter().map(|user| UserName::default().with_name(text(user))).collect();
            Ok(DescribeUserScramCredentialsRequest::default().with_users(users.map(named)))
        };
        let answer = |response: &DescribeUserScramCredentialsResponse| {
            Deed { action: "describe the users of", subject: Subject::Cluster }
                .outcome(response.error_code, response.error_message.as_ref())?;
            let results = response.results.iter().map(|result| {
                let deed = Deed { action: "describe", subject: Subject::User(&result.user) };
                let known = result.credential_infos.iter().map(|info| ScramCredential {
                    mechanism: ScramMechanism::of(info.mechanism),
                    iterations: info.iterations,
                });
                let outcome = deed.outcome(result.error_code, result.error_message.as_ref());
                (result.user.to_string(), outcome.map(|()| known.collect()))
            });
            Ok(results.collect())
        };
        // A broker takes an empty list for all.
        if users.is_some_and(<[_]>::is_empty) {
            return Ok(Vec::new());
        }
        self.one(Place::Anywhere, request, answer).await
    }

    /// Lets a user log in with this password, as a new user or instead of the password before. Brokers may take a moment
    /// to know it; connections that are open stay.
    ///
    /// `iterations` is how often the password is hashed: Kafka takes 4096 (its own default) to 16,384, and more make a
    /// stolen hash harder to search. The hashing is done before this first waits, and takes some milliseconds.
    ///
    /// What is sent suffices to log in as the user: use a connection with TLS.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with `UNACCEPTABLE_CREDENTIAL` for too few or too many iterations or an empty name,
    /// [`Error::NotAuthorized`], [`Error::Unsupported`] from brokers before Kafka 2.7, [`Error::Setting`] for a mechanism
    /// that this client does not know; those of reaching the cluster.
    pub async fn upsert_scram_user(
        &self,
        user: &str,
        mechanism: ScramMechanism,
        iterations: u32,
        password: &SecretString,
    ) -> Result<(), Error> {
        let setting = |setting, reason: &str| Error::Setting { setting, reason: reason.to_owned() };
        let hash = match mechanism {
            ScramMechanism::Sha256 => Hash::Sha256,
            ScramMechanism::Sha512 => Hash::Sha512,
            ScramMechanism::Other(_) => {
                return Err(setting("mechanism", "must be SCRAM-SHA-256 or SCRAM-SHA-512"));
            }
        };
        let Some(stated) =
            i32::try_from(iterations).ok().filter(|count| (1..=MOST_ITERATIONS).contains(count))
        else {
            return Err(setting("iterations", "must be from 1 to 1,000,000; Kafka takes 4096 to 16,384"));
        };
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| {
            setting("salt", "this system gives no random numbers, without which it is not safe")
        })?;
        let salted = hash.derive(password.expose_secret().as_bytes(), &salt, iterations);
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(mechanism.number())
            .with_iterations(stated)
            .with_salt(Bytes::copy_from_slice(&salt))
            .with_salted_password(Bytes::copy_from_slice(&salted));
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]);
        self.alter_scram_user("set the password of", user, &request).await
    }

    /// Takes away a user's password for a mechanism. Connections that are open stay.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with `RESOURCE_NOT_FOUND` for a user without one, [`Error::NotAuthorized`],
    /// [`Error::Unsupported`] from brokers before Kafka 2.7; those of reaching the cluster.
    pub async fn delete_scram_user(&self, user: &str, mechanism: ScramMechanism) -> Result<(), Error> {
        let deletion =
            ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism.number());
        let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]);
        self.alter_scram_user("delete the password of", user, &request).await
    }

    async fn alter_scram_user(
        &self,
        action: &'static str,
        user: &str,
        request: &AlterUserScramCredentialsRequest,
    ) -> Result<(), Error> {
        let deed = Deed { action, subject: Subject::User(user) };
        let answer = |response: &AlterUserScramCredentialsResponse| {
            let result = response.results.iter().find(|result| *result.user == *user);
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())
        };
        self.one(Place::Anywhere, |_| Ok(request.clone()), answer).await
    }
}
