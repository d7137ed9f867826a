//! The URL that names a broker and its topics: `kafka://[user@]host[:port]/topic[,topic…]`.
//!
//! The grammar is hop-client's, with what it would only learn from a failing connection checked here: the host has
//! to be there, the port has to be one, and topics have to have names that topics can have. As there, the
//! scheme may be written in any case, a password is ignored, a query and a fragment are dropped, and blanks around
//! the URL and line ends in it do not matter.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

use super::{TopicName, TopicNameError};

/// The port of a broker whose URL names none.
const DEFAULT_PORT: u16 = 9092;

/// A parsed URL: one broker, any number of topics, perhaps a user.
///
/// ```
/// use hop::stream::HopUrl;
///
/// let url: HopUrl = "kafka://me@kafka.scimma.org/gcn.circular,gcn.notices".parse()?;
/// assert_eq!(url.username(), Some("me"));
/// assert_eq!(url.address(), "kafka.scimma.org:9092");
/// assert_eq!(url.topics().len(), 2);
/// # Ok::<(), hop::stream::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HopUrl {
    username: Option<String>,
    authority: String,
    host: String,
    port: u16,
    topics: Vec<TopicName>,
}

impl HopUrl {
    /// The user name, percent-decoded. `Some("")` if there is an `@` with nothing in front.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// Host and port as they are written, without the user: what credentials are chosen by.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host: a name or an address, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 9092 if the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The topics in the order in which they are written; empty if the URL names a broker only.
    #[must_use]
    pub fn topics(&self) -> &[TopicName] {
        &self.topics
    }

    /// The topics to read from, each once.
    ///
    /// # Errors
    ///
    /// [`UrlError::NoTopic`] if there is none.
    pub fn topics_to_read(&self) -> Result<Vec<TopicName>, UrlError> {
        let mut distinct: Vec<TopicName> = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            if !distinct.contains(topic) {
                distinct.push(topic.clone());
            }
        }
        if distinct.is_empty() {
            Err(UrlError::NoTopic { authority: self.authority.clone() })
        } else {
            Ok(distinct)
        }
    }

    /// The one topic to write to.
    ///
    /// # Errors
    ///
    /// [`UrlError::NoTopic`] if there is none, [`UrlError::SeveralTopics`] if there are several.
    pub fn topic_to_write(&self) -> Result<&TopicName, UrlError> {
        match self.topics.as_slice() {
            [topic] => Ok(topic),
            [] => Err(UrlError::NoTopic { authority: self.authority.clone() }),
            _ => Err(UrlError::SeveralTopics { topics: self.joined_topics() }),
        }
    }

    /// The topics as they stand in the URL.
    pub(crate) fn joined_topics(&self) -> String {
        self.topics.iter().map(TopicName::as_str).collect::<Vec<_>>().join(",")
    }
}

impl FromStr for HopUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text: String = text
            .trim_matches(|c: char| c <= ' ')
            .chars()
            .filter(|c| !matches!(c, '\n' | '\r' | '\t'))
            .collect();
        let rest = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("kafka") => rest,
            _ => return Err(UrlError::Scheme { url: without_user(&text) }),
        };
        // Without the two slashes all would be path, and the host missing.
        let Some(rest) = rest.strip_prefix("//") else { return Err(UrlError::NoHost) };
        parse_behind_scheme(rest).map_err(|error| {
            // The pieces of a password with odd characters in it look like ports, hosts and topics, and get into
            // the errors about them.
            let end = rest.find(['/', '?', '#', '@']).unwrap_or(rest.len());
            let user_ends = rest.get(end..).is_some_and(|tail| tail.starts_with('@'));
            let expected = usize::from(user_ends);
            if rest.matches('@').count() > expected { UrlError::MisplacedAt } else { error }
        })
    }
}

impl fmt::Display for HopUrl {
    /// The broker and the topics, without the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}/{}", self.authority, self.joined_topics())
    }
}

/// A URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL of this kind.
    #[error(
        "invalid kafka URL: must start with 'kafka://', as in kafka://kafka.scimma.org/topic, but is {url:?}"
    )]
    Scheme {
        /// The text.
        url: String,
    },
    /// The host is missing.
    #[error(
        "invalid kafka URL: it has no host; two slashes and the host follow the scheme, as in kafka://host/topic"
    )]
    NoHost,
    /// There is more than one broker.
    #[error(
        "Multiple broker addresses are not supported: {authority:?} has a comma\n\
         Name any one broker of the cluster; the others are found through it"
    )]
    SeveralBrokers {
        /// The part of the URL between the slashes.
        authority: String,
    },
    /// An `@` that does not part a user from the host. The text is not repeated: it may be a password.
    #[error(
        "invalid kafka URL: it has an '@' where none can be\n\
         Write an '@', '/', '?' or '#' that belongs to the user name as %40, %2F, %3F or %23, and leave out the \
         password: it is taken from the credential file"
    )]
    MisplacedAt,
    /// Brackets that do not enclose an IPv6 address, or an address without brackets.
    #[error(
        "invalid kafka URL: {authority:?} is not an IPv6 address in brackets, as in kafka://[::1]:9092/topic"
    )]
    Ipv6 {
        /// Host and port as they are written.
        authority: String,
    },
    /// A host that no host can be called.
    #[error("invalid kafka URL: the host {host:?} contains {character:?}, which no host name does")]
    Host {
        /// The host.
        host: String,
        /// The first such character.
        character: char,
    },
    /// A port that is none.
    #[error("invalid kafka URL: {port:?} is not a port; ports are numbers from 1 to 65535")]
    Port {
        /// What follows the colon.
        port: String,
    },
    /// A user name that is no text once it is decoded.
    #[error("invalid kafka URL: the user name {username:?} is not UTF-8 text when its %-escapes are decoded")]
    Username {
        /// The user name as it is written.
        username: String,
    },
    /// A topic that no topic can be called.
    #[error("invalid kafka URL: {0}")]
    Topic(#[from] TopicNameError),
    /// There is no topic, and one is needed.
    #[error("no topic(s) specified in kafka URL; name one behind the host: kafka://{authority}/TOPIC")]
    NoTopic {
        /// Host and port as they are written.
        authority: String,
    },
    /// There are several topics, and a message goes to one.
    #[error("must specify exactly one topic in write mode, but the URL names several: {topics}")]
    SeveralTopics {
        /// The topics.
        topics: String,
    },
}

/// What follows `kafka://`.
fn parse_behind_scheme(rest: &str) -> Result<HopUrl, UrlError> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (username, authority) = match authority.split_once('@') {
        Some((user, broker)) => (Some(decode_username(user)?), broker),
        None => (None, authority),
    };
    let (host, port) = parse_broker(authority)?;

    let path = path.trim_start_matches('/');
    let topics = match path {
        "" => Vec::new(),
        names => names.split(',').map(TopicName::from_str).collect::<Result<_, _>>()?,
    };
    Ok(HopUrl { username, authority: authority.to_owned(), host, port, topics })
}

/// A text that may be a URL, without what stands between its scheme and its last `@`.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, behind)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://…@{behind}")
        }
        None => text.to_owned(),
    }
}

/// The user name in `user[:password]`. The password is ignored, as hop-client does: it comes from the
/// credential file. Nothing of it may get into an error.
fn decode_username(user: &str) -> Result<String, UrlError> {
    let name = user.split_once(':').map_or(user, |(name, _password)| name);
    percent_decode(name).ok_or_else(|| UrlError::Username { username: name.to_owned() })
}

/// Decodes `%41`; a `%` with no two hexadecimal digits behind it stays. `None` if the result is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        let escaped = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// Host and port of `host[:port]`. Nothing behind the colon is the default port.
fn parse_broker(authority: &str) -> Result<(String, u16), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::MisplacedAt);
    }
    if authority.contains(',') {
        return Err(UrlError::SeveralBrokers { authority: authority.to_owned() });
    }
    let ipv6 = || UrlError::Ipv6 { authority: authority.to_owned() };

    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(ipv6)?;
        // A zone (`fe80::1%eth0`) is the business of the system's resolver.
        let number = address.split_once('%').map_or(address, |(number, _zone)| number);
        number.parse::<Ipv6Addr>().map_err(|_| ipv6())?;
        match after.strip_prefix(':') {
            Some(port) => (address, port),
            None if after.is_empty() => (address, ""),
            None => return Err(ipv6()),
        }
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        if authority.contains(['[', ']']) || authority.parse::<Ipv6Addr>().is_ok() {
            return Err(ipv6());
        }
        let legal = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if let Some(character) = host.chars().find(|c| !legal(c)) {
            return Err(UrlError::Host { host: host.to_owned(), character });
        }
        (host, port)
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let port = match port {
        "" => DEFAULT_PORT,
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| UrlError::Port { port: digits.to_owned() })?,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HopUrl, UrlError> {
        text.parse()
    }

    fn topics(text: &str) -> Vec<String> {
        parse(text).unwrap().topics().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_parts_are_found() {
        let url = parse("kafka://user:pw@Host:19092/t1,t2").unwrap();
        assert_eq!(url.username(), Some("user"));
        assert_eq!((url.authority(), url.host(), url.port()), ("Host:19092", "Host", 19092));
        assert_eq!(topics("kafka://user:pw@Host:19092/t1,t2"), ["t1", "t2"]);
        assert_eq!(url.to_string(), "kafka://Host:19092/t1,t2");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let url = parse("kafka://h").unwrap();
        assert_eq!((url.username(), url.port(), url.topics().len()), (None, 9092, 0));
        assert_eq!(parse("kafka://h:").unwrap().port(), 9092);
        assert_eq!(parse("kafka://h:/t").unwrap().authority(), "h:");
    }

    #[test]
    fn scheme_in_any_case_blanks_queries_and_fragments() {
        assert_eq!(topics("KAFKA://h/T"), ["T"]);
        assert_eq!(topics("  kafka://h/t\n"), ["t"]);
        assert_eq!(topics("kafka://h//t"), ["t"]);
        assert_eq!(topics("kafka://h/t?x=/y"), ["t"]);
        assert_eq!(topics("kafka://h/t#f"), ["t"]);
        assert!(topics("kafka://h?x=1").is_empty());
    }

    #[test]
    fn user_names_are_decoded() {
        let user = |text: &str| parse(text).unwrap().username().map(str::to_owned);
        assert_eq!(user("kafka://u%40x@h/t").as_deref(), Some("u@x"));
        assert_eq!(user("kafka://@h/t").as_deref(), Some(""));
        assert_eq!(user("kafka://:pw@h/t").as_deref(), Some(""));
        assert_eq!(user("kafka://user+name@h/t").as_deref(), Some("user+name"));
        assert_eq!(user("kafka://50%zz%4@h/t").as_deref(), Some("50%zz%4"));
        assert_eq!(user("kafka://%C3%bc@h/t").as_deref(), Some("ü"));
        assert!(matches!(parse("kafka://%ff@h/t"), Err(UrlError::Username { .. })));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let url = parse("kafka://[::1]:19092/t").unwrap();
        assert_eq!((url.host(), url.port()), ("::1", 19092));
        assert_eq!(url.address(), "[::1]:19092");
        assert_eq!(parse("kafka://[fe80::1%eth0]/t").unwrap().address(), "[fe80::1%eth0]:9092");
        for bad in ["kafka://[::1/t", "kafka://::1/t", "kafka://[::1]x/t", "kafka://[x]/t", "kafka://h]/t"] {
            assert!(matches!(parse(bad), Err(UrlError::Ipv6 { .. })), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_a_broker_is_refused() {
        assert!(matches!(parse("kafka://a:1,b:2/t"), Err(UrlError::SeveralBrokers { .. })));
        assert!(matches!(parse("kafka://u@a,b/t"), Err(UrlError::SeveralBrokers { .. })));
        for bad in ["kafka://", "kafka:///t", "kafka:/h/t", "kafka:h/t", "kafka://:9092/t", "kafka://u@/t"] {
            assert_eq!(parse(bad), Err(UrlError::NoHost), "{bad}");
        }
        for bad in ["", "host/topic", "host:9092/t", "http://h/t", "kafkas://h/t"] {
            assert!(matches!(parse(bad), Err(UrlError::Scheme { .. })), "{bad}");
        }
        for bad in
            ["kafka://h:abc/t", "kafka://h:0/t", "kafka://h:65536/t", "kafka://h:+1/t", "kafka://h:1:2/t"]
        {
            assert!(matches!(parse(bad), Err(UrlError::Port { .. })), "{bad}");
        }
        for bad in ["kafka://h\\t", "kafka://a b/t", "kafka://h%41/t", "kafka://h\u{7f}/t"] {
            assert!(matches!(parse(bad), Err(UrlError::Host { .. })), "{bad}");
        }
    }

    #[test]
    fn a_password_gets_into_no_error() {
        for bad in [
            "kafka://%ff:hunter2@h/t",
            "kafka://u:hunter2@h:x/t",
            "kafka://u:hunter2@/t",
            "kafka://u:x@hunter2@h/t",
            "kafka://u:hunter2/x@h/t",
            "kafka://u:hunter2?x@h/t",
            "kafka://u:1/hunter2!@h/t",
            "http://u:hunter2@h/t",
            "u:hunter2@h/t",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(parse("kafka://u:p@w@h/t"), Err(UrlError::MisplacedAt));
        assert!(parse("kafka://u:p@h/t?mail=a@b").is_ok());
        let url = parse("kafka://u:hunter2@h/t").unwrap();
        assert!(!format!("{url} {url:?}").contains("hunter2"));
    }

    #[test]
    fn topics_are_checked() {
        for bad in [
            "kafka://h/t,",
            "kafka://h/t,,u",
            "kafka://h/a/b",
            "kafka://h/t u",
            "kafka://h/t%2Cu",
            "kafka://h/t/",
        ] {
            assert!(matches!(parse(bad), Err(UrlError::Topic(_))), "{bad}");
        }
    }

    #[test]
    fn reading_needs_topics_and_writing_exactly_one() {
        let none = parse("kafka://h:1/").unwrap();
        let expected = "no topic(s) specified in kafka URL; name one behind the host: kafka://h:1/TOPIC";
        assert_eq!(none.topics_to_read().unwrap_err().to_string(), expected);
        assert_eq!(none.topic_to_write().unwrap_err().to_string(), expected);
        let several = parse("kafka://h/t,u,t").unwrap();
        assert_eq!(several.topics_to_read().unwrap().len(), 2);
        let error = several.topic_to_write().unwrap_err().to_string();
        assert!(error.starts_with("must specify exactly one topic in write mode"), "{error}");
        assert_eq!(parse("kafka://h/t").unwrap().topic_to_write().unwrap().as_str(), "t");
    }
}
