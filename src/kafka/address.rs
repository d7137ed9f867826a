//! Where a broker listens: a host name or IP literal, and a port.

use std::fmt;
use std::str::FromStr;

/// The port Kafka listens on when none is named.
pub const DEFAULT_PORT: u16 = 9092;

/// `host:port` of one broker. Displayed with IPv6 literals in brackets.
///
/// ```
/// use hop::kafka::Address;
/// let address: Address = "[::1]:9093".parse()?;
/// assert_eq!((address.host(), address.port()), ("::1", 9093));
/// assert_eq!("broker".parse::<Address>()?.to_string(), "broker:9092");
/// # Ok::<(), hop::kafka::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// An address from its parts; `host` is a name or an IP literal without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host name or IP literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether both name the same endpoint as text: names are compared without regard to case.
    pub(crate) fn same_endpoint(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.to_owned() };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(error)?;
                match rest {
                    "" => (host, None),
                    _ => (host, Some(rest.strip_prefix(':').ok_or_else(error)?)),
                }
            }
            None => match text.rsplit_once(':') {
                // A bare IPv6 literal: what stands behind its last colon is no port.
                Some((host, _)) if host.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(error());
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => digits.parse().ok().filter(|&port| port != 0).ok_or_else(error)?,
        };
        Ok(Self::new(host, port))
    }
}

/// A text that is no `host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a broker address; expected HOST or HOST:PORT with a port from 1 to 65535")]
pub struct AddressError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_literals_and_ports() {
        for (text, host, port) in [
            ("h", "h", 9092),
            ("h:1", "h", 1),
            ("127.0.0.1:9093", "127.0.0.1", 9093),
            ("[::1]", "::1", 9092),
            ("[::1]:65535", "::1", 65535),
            ("::1", "::1", 9092),
        ] {
            assert_eq!(text.parse(), Ok(Address::new(host, port)), "{text}");
        }
        for text in ["", ":9092", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "a b", "h/t:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_displayed_parses_back() {
        for text in ["h:1", "[::1]:9092", "10.0.0.1:9093"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }
}
