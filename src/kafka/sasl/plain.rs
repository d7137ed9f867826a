//! PLAIN (RFC 4616): the user name and the password, between NULs.

use secrecy::{ExposeSecret, SecretString};

use super::{SaslError, Step};

#[derive(Debug)]
pub(super) struct Plain {
    username: String,
    password: SecretString,
}

impl Plain {
    pub(super) fn new(username: &str, password: SecretString) -> Result<Self, SaslError> {
        let reason = "PLAIN has no way to send a NUL or nothing at all";
        let sendable = |text: &str| !text.is_empty() && !text.contains('\0');
        if !sendable(username) {
            return Err(SaslError::Unsendable { what: "the user name", reason });
        }
        if !sendable(password.expose_secret()) {
            return Err(SaslError::Unsendable { what: "the password", reason });
        }
        Ok(Self { username: username.to_owned(), password })
    }

    pub(super) fn initial(&mut self) -> Vec<u8> {
        format!("\0{}\0{}", self.username, self.password.expose_secret()).into_bytes()
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape that all mechanisms share")]
    pub(super) fn step(&mut self, _token: &[u8]) -> Result<Step, SaslError> {
        // The server has nothing to say; some say something all the same.
        Ok(Step::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_that_of_the_specification() {
        let mut plain = Plain::new("tim", "tanstaaftanstaaf".into()).unwrap();
        assert_eq!(plain.initial(), b"\0tim\0tanstaaftanstaaf");
        assert_eq!(plain.step(b""), Ok(Step::Done));
    }

    #[test]
    fn what_it_cannot_carry_is_refused() {
        for (username, password) in [("", "p"), ("u", ""), ("u\0v", "p"), ("u", "p\0")] {
            assert!(matches!(Plain::new(username, password.into()), Err(SaslError::Unsendable { .. })));
        }
    }
}
