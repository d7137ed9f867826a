//! SCRAM (RFC 5802, RFC 7677) with SHA-256 and SHA-512, without channel binding.
//!
//! Both sides prove that they know the password and neither sends it. What the client must check, so that a server
//! that lies learns nothing and is found out: its nonce continues ours, the salt is there, the iterations are neither
//! so few that a stolen exchange is easily searched nor so many that they hang us, and its signature is right.
//!
//! As Kafka's brokers do, this passes names and passwords as they are, without SASLprep.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{SaslError, Step};
use crate::kafka::printable::printable;

/// RFC 7677 and Kafka agree on the least.
const LEAST_ITERATIONS: u32 = 4096;
/// About a second of work. Kafka's own limit for stored credentials is 16,384.
const MOST_ITERATIONS: u32 = 1_000_000;
/// Twice the 128 bits that make a repetition unthinkable.
const NONCE_BYTES: usize = 32;
/// `n,,`, the header of an exchange without channel binding, in base64.
const CHANNEL_BINDING: &str = "c=biws";

/// The hash under an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Hash {
    Sha256,
    Sha512,
}

/// The salted password of the last exchange: to derive it takes thousands of rounds. As secret as the password.
#[derive(Default)]
pub(super) struct Salted(Mutex<Option<Derived>>);

struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    password: Zeroizing<Vec<u8>>,
}

/// An exchange, in the order of its states.
#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    password: SecretString,
    salted: std::sync::Arc<Salted>,
    nonce: String,
    /// The first message without its header; part of what both sides sign.
    first_bare: String,
    state: State,
}

enum State {
    /// The server is to send its nonce, salt and iterations.
    Challenge,
    /// The server is to send its signature, which must be this.
    Signature {
        expected: Vec<u8>,
    },
    Ended,
}

impl Scram {
    pub(super) fn new(
        hash: Hash,
        username: &str,
        password: SecretString,
        salted: std::sync::Arc<Salted>,
    ) -> Result<Self, SaslError> {
        let mut random = [0; NONCE_BYTES];
        getrandom::fill(&mut random).map_err(|_| SaslError::Randomness)?;
        Self::with_nonce(hash, username, password, salted, BASE64.encode(random))
    }

    fn with_nonce(
        hash: Hash,
        username: &str,
        password: SecretString,
        salted: std::sync::Arc<Salted>,
        nonce: String,
    ) -> Result<Self, SaslError> {
        for (what, text) in [("the user name", username), ("the password", password.expose_secret())] {
            if text.contains('\0') {
                return Err(SaslError::Unsendable { what, reason: "SCRAM has no way to send a NUL" });
            }
        }
        // In this order: the replacement of a comma has an equals sign of its own.
        let escaped = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={escaped},r={nonce}");
        Ok(Self { hash, password, salted, nonce, first_bare, state: State::Challenge })
    }

    pub(super) fn initial(&mut self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    pub(super) fn step(&mut self, token: &[u8]) -> Result<Step, SaslError> {
        let text = std::str::from_utf8(token).map_err(|_| self.misbehaved("its message is not UTF-8"))?;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Challenge => self.on_challenge(text),
            State::Signature { expected } => self.on_signature(text, &expected),
            State::Ended => Err(self.misbehaved("it goes on after the end of the exchange")),
        }
    }

    /// Whether the last token of the client was given.
    pub(super) fn has_sent_proof(&self) -> bool {
        matches!(self.state, State::Signature { .. })
    }

    fn on_challenge(&mut self, text: &str) -> Result<Step, SaslError> {
        let challenge = self.parse_challenge(text)?;
        let salted = self.salted_password(&challenge);
        let hash = self.hash;

        let client_key = hash.hmac(&salted, b"Client Key");
        let stored_key = hash.digest(&client_key);
        let without_proof = format!("{CHANNEL_BINDING},r={}", challenge.nonce);
        let signed = format!("{},{text},{without_proof}", self.first_bare);
        let client_signature = hash.hmac(&stored_key, signed.as_bytes());
        let proof: Zeroizing<Vec<u8>> = Zeroizing::new(
            client_key.iter().zip(client_signature.iter()).map(|(key, sign)| key ^ sign).collect(),
        );
        let server_key = hash.hmac(&salted, b"Server Key");
        let expected = hash.hmac(&server_key, signed.as_bytes()).to_vec();
        self.state = State::Signature { expected };
        Ok(Step::Send(format!("{without_proof},p={}", BASE64.encode(&*proof)).into_bytes()))
    }

    fn parse_challenge<'t>(&self, text: &'t str) -> Result<Challenge<'t>, SaslError> {
        let mut attributes = text.split(',');
        let first = attributes.next().unwrap_or_default();
        if let Some(reason) = first.strip_prefix("e=") {
            return Err(SaslError::Refused { reason: printable(reason) });
        }
        if first.starts_with("m=") {
            return Err(self.misbehaved("it demands an extension that nobody knows"));
        }
        let nonce = first.strip_prefix("r=").ok_or_else(|| self.misbehaved("its message has no nonce"))?;
        let ours = self.nonce.as_str();
        if nonce.strip_prefix(ours).is_none_or(str::is_empty) {
            return Err(self.misbehaved("its nonce does not continue ours"));
        }
        let salt = attributes.next().and_then(|attribute| attribute.strip_prefix("s="));
        let salt = salt.and_then(|salt| BASE64.decode(salt).ok()).filter(|salt| !salt.is_empty());
        let salt = salt.ok_or_else(|| self.misbehaved("its message has no salt"))?;
        let iterations = attributes.next().and_then(|attribute| attribute.strip_prefix("i="));
        let iterations: u32 = iterations
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| self.misbehaved("its number of iterations is none, or too large"))?;
        if iterations < LEAST_ITERATIONS {
            return Err(self.misbehaved(
                "it asks for fewer than 4096 iterations, which would make the password easy to find",
            ));
        }
        if iterations > MOST_ITERATIONS {
            return Err(self.misbehaved(
                "it asks for more than 1,000,000 iterations, which would keep this machine busy",
            ));
        }
        Ok(Challenge { nonce, salt, iterations })
    }

    fn on_signature(&self, text: &str, expected: &[u8]) -> Result<Step, SaslError> {
        let first = text.split(',').next().unwrap_or_default();
        if let Some(reason) = first.strip_prefix("e=") {
            return Err(SaslError::Refused { reason: printable(reason) });
        }
        let signature = first.strip_prefix("v=").and_then(|signature| BASE64.decode(signature).ok());
        let signature = signature
            .ok_or_else(|| self.misbehaved("it accepts without proving that it knows the password"))?;
        if signature.ct_eq(expected).into() {
            Ok(Step::Done)
        } else {
            Err(self.misbehaved("its signature is wrong: it does not know the password"))
        }
    }

    fn salted_password(&self, challenge: &Challenge<'_>) -> Zeroizing<Vec<u8>> {
        let mut last = self.salted.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = &*last
            && derived.salt == challenge.salt
            && derived.iterations == challenge.iterations
        {
            return derived.password.clone();
        }
        let password =
            self.hash.derive(self.password.expose_secret().as_bytes(), &challenge.salt, challenge.iterations);
        *last = Some(Derived {
            salt: challenge.salt.clone(),
            iterations: challenge.iterations,
            password: password.clone(),
        });
        password
    }

    fn misbehaved(&self, reason: &'static str) -> SaslError {
        let mechanism = match self.hash {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        };
        SaslError::Misbehaved { mechanism, reason }
    }
}

struct Challenge<'t> {
    nonce: &'t str,
    salt: Vec<u8>,
    iterations: u32,
}

impl Hash {
    fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            // HMAC takes keys of any length.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        Zeroizing::new(match self {
            Self::Sha256 => with::<Hmac<Sha256>>(key, data),
            Self::Sha512 => with::<Hmac<Sha512>>(key, data),
        })
    }

    /// The salted password: `Hi` of RFC 5802. It takes as long as `iterations` says, and is as secret as the password.
    pub(in crate::kafka) fn derive(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha256 => {
                let mut derived = Zeroizing::new(vec![0; 32]);
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut derived);
                derived
            }
            Self::Sha512 => {
                let mut derived = Zeroizing::new(vec![0; 64]);
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut derived);
                derived
            }
        }
    }
}

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salted")
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Challenge => "Challenge",
            Self::Signature { .. } => "Signature",
            Self::Ended => "Ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scram(hash: Hash, username: &str, password: &str, nonce: &str) -> Scram {
        Scram::with_nonce(hash, username, password.into(), std::sync::Arc::default(), nonce.to_owned())
            .unwrap()
    }

    fn text(step: Result<Step, SaslError>) -> String {
        match step {
            Ok(Step::Send(token)) => String::from_utf8(token).unwrap(),
            other => panic!("expected a token, not {other:?}"),
        }
    }

    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn rfc_7677() -> Scram {
        scram(Hash::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_rfc_7677() {
        let mut scram = rfc_7677();
        assert_eq!(scram.initial(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert!(!scram.has_sent_proof());
        let proof = text(scram.step(CHALLENGE.as_bytes()));
        assert_eq!(
            proof,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(scram.has_sent_proof());
        assert_eq!(scram.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(Step::Done));
    }

    /// The same exchange with SHA-512; computed with Python's hashlib and hmac.
    #[test]
    fn an_exchange_with_sha_512() {
        let mut scram = scram(Hash::Sha512, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        scram.initial();
        let proof = text(scram.step(CHALLENGE.as_bytes()));
        assert_eq!(proof.rsplit_once(",p=").unwrap().1, SHA_512_PROOF);
        assert_eq!(scram.step(format!("v={SHA_512_SIGNATURE}").as_bytes()), Ok(Step::Done));
    }

    const SHA_512_PROOF: &str =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SHA_512_SIGNATURE: &str =
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    #[test]
    fn names_are_escaped_and_nuls_refused() {
        let mut scram = scram(Hash::Sha512, "a,b=c", "p", "n");
        assert_eq!(scram.initial(), b"n,,n=a=2Cb=3Dc,r=n");
        for (username, password) in [("u\0", "p"), ("u", "p\0")] {
            let refused = Scram::with_nonce(
                Hash::Sha256,
                username,
                password.into(),
                std::sync::Arc::default(),
                "n".to_owned(),
            );
            assert!(matches!(refused, Err(SaslError::Unsendable { .. })));
        }
    }

    #[test]
    fn nonces_are_long_and_never_the_same() {
        let new = || Scram::new(Hash::Sha512, "u", "p".into(), std::sync::Arc::default()).unwrap().nonce;
        assert_ne!(new(), new());
        assert!(BASE64.decode(new()).unwrap().len() * 8 >= 128);
    }

    #[test]
    fn a_server_that_lies_in_its_challenge_is_found_out() {
        let nonce = "r=rOprNGfwEbeRWgbNEkqO";
        for challenge in [
            format!("{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(),
            format!("{nonce}x,s=,i=4096"),
            format!("{nonce}x,s=!,i=4096"),
            format!("{nonce}x,i=4096"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ=="),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2147483648"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=+4096"),
            format!("{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1"),
            format!("m=ext,{nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned(),
            String::new(),
        ] {
            let mut scram = rfc_7677();
            scram.initial();
            assert!(
                matches!(scram.step(challenge.as_bytes()), Err(SaslError::Misbehaved { .. })),
                "{challenge}"
            );
            assert!(scram.step(CHALLENGE.as_bytes()).is_err(), "the exchange is over after {challenge}");
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for signature in ["v=AAAA", "v=", "v=!", "", "x", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="] {
            let mut scram = rfc_7677();
            scram.initial();
            scram.step(CHALLENGE.as_bytes()).unwrap();
            assert!(
                matches!(scram.step(signature.as_bytes()), Err(SaslError::Misbehaved { .. })),
                "{signature}"
            );
        }
    }

    #[test]
    fn a_refusal_is_shown_without_control_characters() {
        let mut scram = rfc_7677();
        scram.initial();
        scram.step(CHALLENGE.as_bytes()).unwrap();
        let refused = scram.step(b"e=other\x1b[2J-error");
        assert_eq!(refused, Err(SaslError::Refused { reason: "other [2J-error".to_owned() }));
    }

    #[test]
    fn a_reconnect_derives_nothing_anew_and_another_salt_does() {
        let salted = std::sync::Arc::new(Salted::default());
        let exchange = |challenge: &str| {
            let mut scram = Scram::with_nonce(
                Hash::Sha256,
                "user",
                "pencil".into(),
                std::sync::Arc::clone(&salted),
                "rOprNGfwEbeRWgbNEkqO".to_owned(),
            )
            .unwrap();
            text(scram.step(challenge.as_bytes()))
        };
        let first = exchange(CHALLENGE);
        assert_eq!(exchange(CHALLENGE), first);
        assert_ne!(exchange(&CHALLENGE.replace("s=W22", "s=W23")), first);
        assert_eq!(exchange(CHALLENGE), first);
    }

    proptest! {
        #[test]
        fn no_message_of_a_server_panics_or_passes(first in ".*", second in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut scram = rfc_7677();
            scram.initial();
            prop_assert!(scram.step(first.as_bytes()).is_err());
            let mut scram = rfc_7677();
            scram.initial();
            scram.step(CHALLENGE.as_bytes()).unwrap();
            prop_assert!(scram.step(&second).is_err());
        }
    }
}
