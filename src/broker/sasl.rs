//! Letting clients in: the server's side of SCRAM (RFC 5802, RFC 7677) and PLAIN (RFC 4616).
//!
//! One exchange is a state machine: tokens of the client in, tokens of the server out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;

use super::credentials::{Hash, Users, Verifier};

/// What is offered, in the order in which it is said.
pub(super) const MECHANISMS: [&str; 3] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];

/// One authentication.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    /// The client is to say who it is.
    Scram(Hash),
    /// The client is to prove it.
    Proof(Box<Proof>),
}

/// What the end of a SCRAM exchange is checked against.
pub(super) struct Proof {
    hash: Hash,
    username: String,
    verifier: Verifier,
    /// The server's part, which is new each time.
    nonce: String,
    channel_binding: String,
    /// What both sides sign, but for the client's last message.
    signed: String,
}

/// What comes of a token.
#[derive(Debug)]
pub(super) enum Step {
    /// The answer, with which the exchange goes on.
    Continue(Vec<u8>, Exchange),
    /// The answer, and who was let in.
    Done(Vec<u8>, String),
}

/// Why somebody is not let in. It says no more than that to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credential was refused, or the exchange was not one of its mechanism")]
pub(super) struct Refused;

impl Exchange {
    /// Begins an exchange; `None` for a mechanism that is not offered.
    pub(super) fn new(mechanism: &str) -> Option<Self> {
        match mechanism {
            "SCRAM-SHA-512" => Some(Self::Scram(Hash::Sha512)),
            "SCRAM-SHA-256" => Some(Self::Scram(Hash::Sha256)),
            "PLAIN" => Some(Self::Plain),
            _ => None,
        }
    }

    /// Takes a token of the client.
    pub(super) fn step(self, token: &[u8], users: &Users) -> Result<Step, Refused> {
        match self {
            Self::Plain => plain(token, users),
            Self::Scram(hash) => {
                let mut random = [0; 24];
                getrandom::fill(&mut random).map_err(|_| Refused)?;
                challenge(hash, token, users, &BASE64.encode(random))
            }
            Self::Proof(proof) => proof.verify(token),
        }
    }
}

fn plain(token: &[u8], users: &Users) -> Result<Step, Refused> {
    let mut parts = token.split(|&byte| byte == 0);
    let (Some(authorized), Some(name), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused);
    };
    let name = std::str::from_utf8(name).map_err(|_| Refused)?;
    // Nobody acts for another here.
    if (authorized.is_empty() || authorized == name.as_bytes()) && users.knows(name, password) {
        Ok(Step::Done(Vec::new(), name.to_owned()))
    } else {
        Err(Refused)
    }
}

/// `n,[a=name],n=user,r=nonce[,...]` is answered by `r=nonce,s=salt,i=iterations`.
fn challenge(hash: Hash, token: &[u8], users: &Users, ours: &str) -> Result<Step, Refused> {
    let text = std::str::from_utf8(token).map_err(|_| Refused)?;
    let mut parts = text.splitn(3, ',');
    let (binding, authorized, bare) = (parts.next(), parts.next(), parts.next());
    let (binding, authorized, bare) =
        (binding.ok_or(Refused)?, authorized.ok_or(Refused)?, bare.ok_or(Refused)?);
    // Channel binding is not offered; a client that thinks so (`y`) is right, one that wants it (`p=`) is not.
    if binding != "n" && binding != "y" {
        return Err(Refused);
    }
    let mut attributes = bare.split(',');
    let name = attributes.next().and_then(|attribute| attribute.strip_prefix("n=")).ok_or(Refused)?;
    let theirs = attributes.next().and_then(|attribute| attribute.strip_prefix("r=")).ok_or(Refused)?;
    let username = unescape(name).ok_or(Refused)?;
    if theirs.is_empty() || !(authorized.is_empty() || authorized.strip_prefix("a=") == Some(name)) {
        return Err(Refused);
    }
    let verifier = users.verifier(&username, hash).ok_or(Refused)?.clone();
    let first = format!("r={theirs}{ours},s={},i={}", BASE64.encode(verifier.salt), verifier.iterations);
    let proof = Proof {
        hash,
        username,
        verifier,
        nonce: ours.to_owned(),
        channel_binding: BASE64.encode(format!("{binding},{authorized},")),
        signed: format!("{bare},{first}"),
    };
    Ok(Step::Continue(first.into_bytes(), Exchange::Proof(Box::new(proof))))
}

impl Proof {
    /// `c=binding,r=nonce[,...],p=proof` is answered by `v=signature`.
    fn verify(&self, token: &[u8]) -> Result<Step, Refused> {
        let text = std::str::from_utf8(token).map_err(|_| Refused)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Refused)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c="));
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        // As Kafka checks it: librdkafka before 2.6.1 says its own part twice. The proof covers what was sent.
        let ours = nonce.is_some_and(|nonce| nonce.ends_with(&self.nonce));
        if binding != Some(&self.channel_binding) || !ours {
            return Err(Refused);
        }
        let proof = BASE64.decode(proof).map_err(|_| Refused)?;
        let signed = format!("{},{without_proof}", self.signed);
        let signature = self.hash.hmac(&self.verifier.stored_key, signed.as_bytes());
        if proof.len() != signature.len() {
            return Err(Refused);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, sign)| proof ^ sign).collect();
        if !bool::from(self.hash.digest(&client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(Refused);
        }
        let ours = self.hash.hmac(&self.verifier.server_key, signed.as_bytes());
        Ok(Step::Done(format!("v={}", BASE64.encode(ours)).into_bytes(), self.username.clone()))
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A name as it is sent: `=2C` for a comma and `=3D` for an equals sign, and no other of these.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = part
            .strip_prefix("2C")
            .map(|rest| (',', rest))
            .or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))?;
        plain.push(character);
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn users() -> Users {
        let mut users = Users::default();
        users.insert("a,b=c".to_owned(), "secret".to_owned().into());
        users
    }

    /// The client's side, as RFC 5802 words it.
    fn prove(hash: Hash, challenge: &str, first_bare: &str, users: &Users) -> (String, String) {
        let nonce = challenge.split(',').next().unwrap();
        let verifier = users.verifier("a,b=c", hash).unwrap();
        let mut salted = vec![0; if hash == Hash::Sha256 { 32 } else { 64 }];
        match hash {
            Hash::Sha256 => {
                pbkdf2::pbkdf2_hmac::<sha2::Sha256>(
                    b"secret",
                    &verifier.salt,
                    verifier.iterations,
                    &mut salted,
                );
            }
            Hash::Sha512 => {
                pbkdf2::pbkdf2_hmac::<sha2::Sha512>(
                    b"secret",
                    &verifier.salt,
                    verifier.iterations,
                    &mut salted,
                );
            }
        }
        let client_key = hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,{nonce}");
        let signed = format!("{first_bare},{challenge},{without_proof}");
        let signature = hash.hmac(&hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        let server = hash.hmac(&hash.hmac(&salted, b"Server Key"), signed.as_bytes());
        (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(server)))
    }

    #[test]
    fn who_knows_the_password_is_let_in_and_gets_the_servers_proof() {
        let users = users();
        for (mechanism, hash) in [("SCRAM-SHA-256", Hash::Sha256), ("SCRAM-SHA-512", Hash::Sha512)] {
            let bare = "n=a=2Cb=3Dc,r=nonce";
            let step =
                Exchange::new(mechanism).unwrap().step(format!("n,,{bare}").as_bytes(), &users).unwrap();
            let Step::Continue(challenge, exchange) = step else { panic!("{step:?}") };
            let (token, signature) = prove(hash, std::str::from_utf8(&challenge).unwrap(), bare, &users);
            let Step::Done(answer, user) = exchange.step(token.as_bytes(), &users).unwrap() else { panic!() };
            assert_eq!((answer, user.as_str()), (signature.into_bytes(), "a,b=c"));
        }
    }

    #[test]
    fn who_does_not_is_refused() {
        let users = users();
        let begin = |token: &str| Exchange::Scram(Hash::Sha256).step(token.as_bytes(), &users);
        for token in [
            "",
            "n,,",
            "n,,n=nobody,r=x",
            "p=tls-unique,,n=a=2Cb=3Dc,r=x",
            "n,a=other,n=a=2Cb=3Dc,r=x",
            "n,,n=a=2Cb=3Dc,r=",
        ] {
            assert!(begin(token).is_err(), "{token}");
        }
        let Ok(Step::Continue(challenge, exchange)) = begin("n,,n=a=2Cb=3Dc,r=x") else { panic!() };
        let nonce = std::str::from_utf8(&challenge).unwrap().split(',').next().unwrap();
        let wrong = format!("c=biws,{nonce},p={}", BASE64.encode([0; 32]));
        assert!(exchange.step(wrong.as_bytes(), &users).is_err());
        for token in [&b"\0a,b=c\0wrong"[..], b"\0a,b=c", b"", b"other\0a,b=c\0secret", b"\0a,b=c\0secret\0"]
        {
            assert!(Exchange::Plain.step(token, &users).is_err());
        }
        assert!(matches!(Exchange::Plain.step(b"\0a,b=c\0secret", &users), Ok(Step::Done(_, _))));
    }

    proptest! {
        #[test]
        fn no_token_panics_or_passes(first in ".*", second in prop::collection::vec(any::<u8>(), 0..100)) {
            let users = users();
            prop_assert!(Exchange::Plain.step(&second, &users).is_err());
            prop_assert!(!matches!(Exchange::Scram(Hash::Sha256).step(first.as_bytes(), &users), Ok(Step::Done(_, _))));
            if let Ok(Step::Continue(_, exchange)) = Exchange::Scram(Hash::Sha256).step(b"n,,n=a=2Cb=3Dc,r=x", &users) {
                prop_assert!(exchange.step(&second, &users).is_err());
            }
        }
    }
}
