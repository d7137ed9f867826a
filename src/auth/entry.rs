//! Checks for what a person types when a credential is asked for.
//!
//! The questions themselves are the command line's. Each function takes one answer and returns what it means.

use std::net::Ipv6Addr;

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::hostname::is_digits;

/// A user name: anything but nothing.
///
/// # Errors
///
/// [`EntryError::EmptyUsername`].
pub fn username(answer: &str) -> Result<String, EntryError> {
    if answer.is_empty() { Err(EntryError::EmptyUsername) } else { Ok(answer.to_owned()) }
}

/// A password: anything but nothing.
///
/// # Errors
///
/// [`EntryError::EmptyPassword`].
pub fn password(answer: SecretString) -> Result<SecretString, EntryError> {
    if answer.expose_secret().is_empty() { Err(EntryError::EmptyPassword) } else { Ok(answer) }
}

/// A host name, `name`, `name:port`, `[v6]` or `[v6]:port`; nothing for a credential that may go to any broker.
///
/// People copy it from a URL, so a `kafka://` in front is taken off; the caller should say that it was.
///
/// # Errors
///
/// [`EntryError::Hostname`] for anything else.
pub fn hostname(answer: &str) -> Result<EnteredHostname, EntryError> {
    const PREFIX: &str = "kafka://";

    let answer = answer.trim();
    let (prefix_ignored, rest) = match answer.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => {
            (true, answer.get(PREFIX.len()..).unwrap_or_default())
        }
        _ => (false, answer),
    };
    // A colon with no port behind it says nothing, but would keep the credential from ever matching.
    let rest = rest.strip_suffix(':').filter(|name| !name.is_empty() && !name.ends_with(':')).unwrap_or(rest);
    if rest.is_empty() || is_broker(rest) {
        Ok(EnteredHostname { hostname: rest.to_owned(), prefix_ignored })
    } else {
        Err(EntryError::Hostname { answer: answer.to_owned() })
    }
}

/// A token endpoint: an HTTP URL, or nothing.
///
/// # Errors
///
/// [`EntryError::TokenEndpoint`] for anything else.
pub fn token_endpoint(answer: &str) -> Result<Option<String>, EntryError> {
    let answer = answer.trim();
    if answer.is_empty() {
        return Ok(None);
    }
    let scheme = answer.split_once("://").filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => {
            Ok(Some(answer.to_owned()))
        }
        _ => Err(EntryError::TokenEndpoint { answer: answer.to_owned() }),
    }
}

/// A host name as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnteredHostname {
    /// The name, with its port if it has one; empty for any broker.
    pub hostname: String,
    /// Whether a `kafka://` in front was taken off.
    pub prefix_ignored: bool,
}

/// An answer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// No user name.
    #[error("Username may not be empty")]
    EmptyUsername,
    /// No password.
    #[error("Password may not be empty")]
    EmptyPassword,
    /// No host name.
    #[error("Unable to parse hostname '{answer}'. Please enter either `hostname` or `hostname:port`.")]
    Hostname {
        /// What was typed.
        answer: String,
    },
    /// No URL.
    #[error("Unable to parse token endpoint '{answer}'. Please enter a URL that begins with https://.")]
    TokenEndpoint {
        /// What was typed.
        answer: String,
    },
}

fn is_broker(text: &str) -> bool {
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => is_digits(digits) && digits.parse::<u16>().is_ok_and(|port| port != 0),
        None => port.is_empty(),
    };
    let host_is_good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => {
            let address = address.split_once('%').map_or(address, |(address, _zone)| address);
            address.parse::<Ipv6Addr>().is_ok()
        }
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    host_is_good && port_is_good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(answer: &str) -> String {
        hostname(answer).unwrap().hostname
    }

    #[test]
    fn host_names_with_and_without_ports_are_taken() {
        for good in
            ["", "h", "kafka.scimma.org", "h:9092", "[::1]", "[::1]:9092", "[fe80::1%eth0]", "ü.example"]
        {
            assert_eq!(meant(good), good);
        }
        assert_eq!(meant(" h "), "h");
        assert_eq!(meant("h:"), "h");
        assert_eq!(meant("[::1]:"), "[::1]");
    }

    #[test]
    fn a_url_prefix_is_taken_off_and_said() {
        let entered = hostname("kafka://h:1").unwrap();
        assert_eq!((entered.hostname.as_str(), entered.prefix_ignored), ("h:1", true));
        assert!(!hostname("h:1").unwrap().prefix_ignored);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "h/t",
            "kafka://h/t",
            "h:x",
            "h:0",
            "h:65536",
            "::1",
            ":1",
            "[::1",
            "[x]",
            "a b",
            "u@h",
            "h::",
            "a,b",
        ] {
            let error = hostname(bad).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("Unable to parse hostname '{bad}'. Please enter ")),
                "{error}"
            );
        }
    }

    #[test]
    fn empty_names_and_passwords_are_refused() {
        assert_eq!(username("").unwrap_err().to_string(), "Username may not be empty");
        assert_eq!(password("".into()).unwrap_err().to_string(), "Password may not be empty");
        assert_eq!(username(" u").unwrap(), " u");
        assert!(password(" ".into()).is_ok());
    }

    #[test]
    fn a_token_endpoint_is_a_url_or_nothing() {
        assert_eq!(token_endpoint(" ").unwrap(), None);
        assert_eq!(token_endpoint("https://t/e").unwrap().as_deref(), Some("https://t/e"));
        assert!(token_endpoint("t/e").is_err() && token_endpoint("https://").is_err());
    }
}
