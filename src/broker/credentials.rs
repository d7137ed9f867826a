//! The users of a broker, and what it keeps to recognise them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Kafka's default, and the least that RFC 7677 allows.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;

/// The hash under a SCRAM exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// What a server keeps of a password (RFC 5802, section 3).
#[derive(Clone)]
pub(super) struct Verifier {
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) iterations: u32,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

/// A user. What SCRAM needs is derived when it is first asked for: that takes thousands of rounds.
struct User {
    password: SecretString,
    sha_256: OnceLock<Verifier>,
    sha_512: OnceLock<Verifier>,
}

/// All users, by name.
#[derive(Default)]
pub(super) struct Users(BTreeMap<String, User>);

impl Users {
    pub(super) fn insert(&mut self, name: String, password: SecretString) {
        self.0.insert(name, User { password, sha_256: OnceLock::new(), sha_512: OnceLock::new() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What SCRAM needs of a user.
    pub(super) fn verifier(&self, name: &str, hash: Hash) -> Option<&Verifier> {
        let user = self.0.get(name)?;
        let known = match hash {
            Hash::Sha256 => &user.sha_256,
            Hash::Sha512 => &user.sha_512,
        };
        Some(known.get_or_init(|| derive(hash, &user.password)))
    }

    /// Whether this is a user's password.
    pub(super) fn knows(&self, name: &str, password: &[u8]) -> bool {
        self.0.get(name).is_some_and(|user| user.password.expose_secret().as_bytes().ct_eq(password).into())
    }
}

fn derive(hash: Hash, password: &SecretString) -> Verifier {
    // Random by its making; a salt need not be secret.
    let salt = *uuid::Uuid::new_v4().as_bytes();
    let salted = hash.derive(password.expose_secret().as_bytes(), &salt, ITERATIONS);
    let stored_key = hash.digest(&hash.hmac(&salted, b"Client Key"));
    Verifier { salt, iterations: ITERATIONS, stored_key, server_key: hash.hmac(&salted, b"Server Key") }
}

impl Hash {
    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            // HMAC takes keys of any length.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => with::<Hmac<Sha256>>(key, data),
            Self::Sha512 => with::<Hmac<Sha512>>(key, data),
        }
    }

    fn derive(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                let mut derived = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut derived);
                derived
            }
            Self::Sha512 => {
                let mut derived = vec![0; 64];
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut derived);
                derived
            }
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
