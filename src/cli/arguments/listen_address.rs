//! Where to listen, as it is typed.

use std::fmt;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct ListenAddress(pub(in crate::cli) (String, u16));

impl ListenAddress {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
        let port = port.parse().map_err(|_| "the port is a number up to 65535".to_owned())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            Err("the host is missing".to_owned())
        } else {
            Ok(Self((host.to_owned(), port)))
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = &self.0;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_wanted() {
        for (text, host, port) in
            [("h:1", "h", 1), ("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:65535", "::1", 65535)]
        {
            let address = ListenAddress::parse(text).unwrap();
            assert_eq!(address, ListenAddress((host.to_owned(), port)));
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "h", ":1", "[]:1", "h:", "h:65536", "h:-1"] {
            assert!(ListenAddress::parse(text).is_err(), "{text}");
        }
    }
}
