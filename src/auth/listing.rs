//! How credentials are named to people: in lists, in messages, and on the command line.

use std::fmt;

use super::Auth;

/// The lines of `hop auth list`: one for each credential, in order, the host names in one column.
#[must_use]
pub fn listing(credentials: &[Auth]) -> Vec<String> {
    let width = credentials.iter().map(|auth| auth.username().chars().count()).max().unwrap_or(0);
    credentials
        .iter()
        .map(|auth| match auth.hostname() {
            "" => auth.username().to_owned(),
            hostname => format!("{:<width$} for {hostname}", auth.username()),
        })
        .collect()
}

/// What tells one credential from another, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialLabel {
    /// The user name.
    pub username: String,
    /// The broker it is for; empty if it is for any.
    pub hostname: String,
}

impl CredentialLabel {
    /// How `hop auth remove` would be told to remove this one.
    pub(super) fn as_argument(&self) -> String {
        format!("{}@{}", self.username, self.hostname)
    }
}

impl From<&Auth> for CredentialLabel {
    fn from(auth: &Auth) -> Self {
        Self { username: auth.username().to_owned(), hostname: auth.hostname().to_owned() }
    }
}

impl fmt::Display for CredentialLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hostname.is_empty() {
            write!(f, "{} which has no associated hostname", self.username)
        } else {
            write!(f, "{} for {}", self.username, self.hostname)
        }
    }
}

/// A credential as it is named on the command line: `user`, `user@host`, or `user@` for the one without a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialName {
    username: String,
    hostname: Option<String>,
}

impl CredentialName {
    /// Reads a name. A user name that has an `@` itself needs another after it: `user@place@`.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name.rsplit_once('@') {
            Some((username, hostname)) => {
                Self { username: username.to_owned(), hostname: Some(hostname.to_owned()) }
            }
            None => Self { username: name.to_owned(), hostname: None },
        }
    }

    /// The user name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The host name: `Some("")` asks for the credential without one, `None` for any.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// Whether this names that credential. A host is compared as it is spelt but for its case: to remove a
    /// credential one says which, and does not leave it to the rule for default ports.
    #[must_use]
    pub fn matches(&self, auth: &Auth) -> bool {
        self.username == auth.username()
            && self.hostname.as_ref().is_none_or(|hostname| hostname.eq_ignore_ascii_case(auth.hostname()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_stand_in_a_column_counted_in_characters() {
        let credentials = [
            Auth::new("alice", "p").with_hostname("h1"),
            Auth::new("bo", "p"),
            Auth::new("zoë-long", "p").with_hostname("kafka.scimma.org:9092"),
        ];
        assert_eq!(listing(&credentials), ["alice    for h1", "bo", "zoë-long for kafka.scimma.org:9092"]);
        assert!(listing(&[]).is_empty());
    }

    #[test]
    fn a_name_may_leave_the_host_open_or_ask_for_none() {
        let bound = Auth::new("u", "p").with_hostname("Host");
        let free = Auth::new("u", "p");
        assert!(CredentialName::parse("u").matches(&bound) && CredentialName::parse("u").matches(&free));
        assert!(CredentialName::parse("u@host").matches(&bound));
        assert!(!CredentialName::parse("u@host").matches(&free));
        assert!(CredentialName::parse("u@").matches(&free) && !CredentialName::parse("u@").matches(&bound));
        assert!(!CredentialName::parse("u@host:9092").matches(&bound));
    }

    #[test]
    fn user_names_with_an_at_sign_can_be_named() {
        let auth = Auth::new("u@place", "p");
        assert!(CredentialName::parse("u@place@").matches(&auth));
        assert!(!CredentialName::parse("u@place").matches(&auth));
    }
}
