//! Which credential a broker gets.

use std::fmt;

use thiserror::Error;

use super::hostname::same_broker;
use super::{Auth, CredentialLabel};

/// Picks the credential for a broker.
///
/// `host` is `host` or `host:port` as the URL spells it, `username` the user name in the URL. Credentials for that
/// very broker come before those for any broker; a missing port is the same as 9092; the case of host names
/// does not matter. If `username` is given, only its credentials count.
///
/// # Errors
///
/// [`SelectError::NoMatch`] if no credential fits, [`SelectError::Ambiguous`] if several fit equally well: hop
/// does not guess which name a user wants to publish under.
pub fn select<'a>(
    credentials: &'a [Auth],
    host: &str,
    username: Option<&str>,
) -> Result<&'a Auth, SelectError> {
    let of_user = |auth: &&Auth| username.is_none_or(|name| name == auth.username());
    let mut matches: Vec<&Auth> = credentials
        .iter()
        .filter(|auth| !auth.hostname().is_empty() && same_broker(auth.hostname(), host))
        .filter(of_user)
        .collect();
    if matches.is_empty() {
        matches = credentials.iter().filter(|auth| auth.hostname().is_empty()).filter(of_user).collect();
    }
    match matches.as_slice() {
        [only] => Ok(only),
        [] => Err(SelectError::NoMatch { host: host.to_owned(), username: username.map(str::to_owned) }),
        several => Err(SelectError::Ambiguous(Ambiguity {
            host: host.to_owned(),
            username: username.map(str::to_owned),
            matches: several.iter().map(|auth| CredentialLabel::from(*auth)).collect(),
            path: String::new(),
        })),
    }
}

/// No single credential fits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SelectError {
    /// None fits.
    #[error("{}", no_match(host, username.as_deref()))]
    NoMatch {
        /// The broker as the URL spells it.
        host: String,
        /// The user name in the URL.
        username: Option<String>,
    },
    /// Several fit equally well.
    #[error(transparent)]
    Ambiguous(Ambiguity),
}

impl SelectError {
    /// The same error, knowing the topics that the URL named, so that the URL it proposes is complete.
    #[must_use]
    pub(crate) fn with_topics(mut self, topics: &str) -> Self {
        if let Self::Ambiguous(ambiguity) = &mut self {
            topics.clone_into(&mut ambiguity.path);
        }
        self
    }
}

fn no_match(host: &str, username: Option<&str>) -> String {
    let user = username.map(|name| format!(" with username '{name}'")).unwrap_or_default();
    format!(
        "No matching credential found for hostname '{host}'{user}\n\
         See which there are with `hop auth list`, and add one with `hop auth add`"
    )
}

/// The credentials that fit equally well. Its message lists them, and says how to pick one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub struct Ambiguity {
    /// The broker as the URL spells it.
    pub host: String,
    /// The user name in the URL.
    pub username: Option<String>,
    /// The credentials that fit.
    pub matches: Vec<CredentialLabel>,
    path: String,
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, username, matches, path } = self;
        write!(f, "Ambiguous credentials found for hostname '{host}'")?;
        match username {
            Some(name) => write!(f, " with username '{name}'")?,
            None => write!(f, " with no username specified")?,
        }
        write!(f, "\nMatched credentials:")?;
        for label in matches {
            write!(f, "\n  {label}")?;
        }
        let same_user = matches.windows(2).all(|pair| matches!(pair, [a, b] if a.username == b.username));
        if same_user {
            write!(
                f,
                "\nThey have one username, so a URL cannot tell them apart. Remove what is not needed:"
            )?;
            for (index, label) in matches.iter().enumerate() {
                if !matches.iter().take(index).any(|earlier| earlier == label) {
                    write!(f, "\n  hop auth remove {}", label.as_argument())?;
                }
            }
            if matches.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                write!(
                    f,
                    "\n(or delete one of the identical entries from the file that `hop auth locate` names)"
                )?;
            }
            Ok(())
        } else {
            write!(
                f,
                "\nTo select a specific credential to use, embed its username in the URL:\n  \
                 kafka://<username>@{host}/{path}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(labels: &[(&str, &str)]) -> Vec<Auth> {
        labels.iter().map(|(user, host)| Auth::new(*user, "p").with_hostname(*host)).collect()
    }

    fn chosen(labels: &[(&str, &str)], host: &str, username: Option<&str>) -> Result<String, SelectError> {
        select(&credentials(labels), host, username)
            .map(|auth| format!("{}@{}", auth.username(), auth.hostname()))
    }

    #[test]
    fn a_bound_credential_comes_before_a_free_one() {
        let labels = [("a", ""), ("b", "h"), ("c", "g")];
        assert_eq!(chosen(&labels, "h", None).unwrap(), "b@h");
        assert_eq!(chosen(&labels, "other", None).unwrap(), "a@");
        assert_eq!(chosen(&labels, "h", Some("a")).unwrap(), "a@");
    }

    #[test]
    fn an_empty_username_asks_for_the_empty_name() {
        assert_eq!(chosen(&[("", ""), ("a", "")], "h", Some("")).unwrap(), "@");
        assert!(chosen(&[("a", "")], "h", Some("")).is_err());
    }

    #[test]
    fn user_names_are_compared_exactly() {
        assert!(chosen(&[("User", "")], "h", Some("user")).is_err());
    }

    #[test]
    fn nothing_fitting_is_said_with_the_names() {
        let error = chosen(&[("a", "g")], "h:9093", Some("a")).unwrap_err().to_string();
        assert!(
            error.starts_with("No matching credential found for hostname 'h:9093' with username 'a'\n"),
            "{error}"
        );
        let error = chosen(&[], "h", None).unwrap_err().to_string();
        assert!(error.starts_with("No matching credential found for hostname 'h'\n"), "{error}");
    }

    #[test]
    fn several_are_listed_with_the_url_that_would_pick_one() {
        let error = chosen(&[("a", ""), ("b", "")], "h", None).unwrap_err().with_topics("t,u");
        assert_eq!(
            error.to_string(),
            "Ambiguous credentials found for hostname 'h' with no username specified\n\
             Matched credentials:\n  a which has no associated hostname\n  b which has no associated hostname\n\
             To select a specific credential to use, embed its username in the URL:\n  kafka://<username>@h/t,u"
        );
    }

    #[test]
    fn credentials_of_one_user_are_told_apart_by_removing_one() {
        let error = chosen(&[("a", "h"), ("a", "h:9092")], "h", Some("a")).unwrap_err().to_string();
        assert!(
            error.starts_with("Ambiguous credentials found for hostname 'h' with username 'a'\n"),
            "{error}"
        );
        assert!(error.ends_with("\n  hop auth remove a@h\n  hop auth remove a@h:9092"), "{error}");
        let error = chosen(&[("a", "h"), ("a", "h")], "h", None).unwrap_err().to_string();
        assert!(error.contains("identical entries"), "{error}");
    }
}
