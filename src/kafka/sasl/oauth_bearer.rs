//! OAUTHBEARER (RFC 7628): a token that someone else vouches for.

use secrecy::{ExposeSecret, SecretString};

use super::{SaslError, Step};
use crate::kafka::printable::printable;

#[derive(Debug)]
pub(super) struct OauthBearer {
    token: SecretString,
    /// What the server said of a token that it does not accept.
    refusal: Option<String>,
}

impl OauthBearer {
    pub(super) fn new(token: SecretString) -> Result<Self, SaslError> {
        // RFC 6750, section 2.1: visible ASCII, so that it cannot break out of the message around it.
        let sound = !token.expose_secret().is_empty()
            && token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
        if sound {
            Ok(Self { token, refusal: None })
        } else {
            Err(SaslError::Unsendable { what: "the token", reason: "it must be visible ASCII characters" })
        }
    }

    pub(super) fn initial(&mut self) -> Vec<u8> {
        format!("n,,\x01auth=Bearer {}\x01\x01", self.token.expose_secret()).into_bytes()
    }

    pub(super) fn step(&mut self, token: &[u8]) -> Result<Step, SaslError> {
        match self.refusal.take() {
            Some(reason) => Err(SaslError::Refused { reason }),
            None if token.is_empty() => Ok(Step::Done),
            None => {
                // The refusal is JSON; the server ends the exchange when we have answered it.
                self.refusal = Some(printable(&String::from_utf8_lossy(token)));
                Ok(Step::Send(vec![1]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_token() {
        let mut bearer = OauthBearer::new("abc.def".into()).unwrap();
        assert_eq!(bearer.initial(), b"n,,\x01auth=Bearer abc.def\x01\x01");
        assert_eq!(bearer.step(b""), Ok(Step::Done));
    }

    #[test]
    fn a_refused_token_is_answered_and_reported() {
        let mut bearer = OauthBearer::new("abc".into()).unwrap();
        bearer.initial();
        assert_eq!(bearer.step(b"{\"status\":\"invalid_token\"}"), Ok(Step::Send(vec![1])));
        let reason = "{\"status\":\"invalid_token\"}".to_owned();
        assert_eq!(bearer.step(b""), Err(SaslError::Refused { reason }));
    }

    #[test]
    fn a_token_that_would_break_out_is_refused() {
        for token in ["", "a b", "a\x01b", "é"] {
            assert!(OauthBearer::new(token.into()).is_err(), "{token:?}");
        }
    }
}
