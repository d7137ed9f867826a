//! The text of a credential file: what it says.
//!
//! Credentials stand under the key `auth`, in any of three shapes: one table (`[auth]`, the oldest files), tables
//! (`[[auth]]`), or an array of inline tables (`auth = [{…}]`). Everything else in the file belongs to
//! somebody else and is kept as it is; [`super::edit`] changes the credentials without disturbing it.

use std::fmt;
use std::path::Path;

use thiserror::Error;
use toml_edit::{Document, DocumentMut, Item, TableLike, Value};

use super::{Auth, CredentialLabel, Protocol, UnknownMechanism};

/// The key of the credentials at the top of the file.
pub(super) const AUTH: &str = "auth";

pub(super) mod key {
    //! The keys of one credential.
    pub(in crate::auth) const USERNAME: &str = "username";
    pub(in crate::auth) const PASSWORD: &str = "password";
    pub(in crate::auth) const PROTOCOL: &str = "protocol";
    pub(in crate::auth) const MECHANISM: &str = "mechanism";
    pub(in crate::auth) const TOKEN_ENDPOINT: &str = "token_endpoint";
    pub(in crate::auth) const TOKEN_COMMAND: &str = "token_command";
    pub(in crate::auth) const HOSTNAME: &str = "hostname";
    pub(in crate::auth) const SSL_CA_LOCATION: &str = "ssl_ca_location";
}

/// A parsed file. Holds passwords in plain memory for as long as it lives, so keep it short.
pub(super) struct CredentialDocument {
    pub(super) toml: DocumentMut,
}

impl CredentialDocument {
    pub(super) fn empty() -> Self {
        Self { toml: DocumentMut::new() }
    }

    pub(super) fn parse(text: &str) -> Result<Self, ContentError> {
        match Document::parse(text) {
            Ok(document) => Ok(Self { toml: document.into_mut() }),
            Err(error) => {
                // The parser's own message quotes the line, which may be the one with the password.
                let (line, column) = position(text, error.span().map_or(0, |span| span.start));
                Err(ContentError::Syntax { line, column, message: error.message().to_owned() })
            }
        }
    }

    pub(super) fn has_auth(&self) -> bool {
        self.toml.contains_key(AUTH)
    }

    /// The credentials, in the order of the file.
    pub(super) fn credentials(&self) -> Result<Vec<Auth>, ContentError> {
        match self.toml.get(AUTH) {
            None => Err(ContentError::NoAuthSection),
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter().enumerate().map(|(index, table)| credential(index, table)).collect()
            }
            Some(Item::Value(Value::Array(values))) => values
                .iter()
                .enumerate()
                .map(|(index, value)| match value {
                    Value::InlineTable(table) => credential(index, table),
                    other => Err(ContentError::NotATable {
                        what: format!("credential {}", index + 1),
                        found: other.type_name(),
                    }),
                })
                .collect(),
            Some(item) => match item.as_table_like() {
                Some(table) => Ok(vec![credential(0, table)?]),
                None => Err(ContentError::NotATable {
                    what: "the auth section".to_owned(),
                    found: item.type_name(),
                }),
            },
        }
    }
}

impl fmt::Debug for CredentialDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialDocument").finish_non_exhaustive()
    }
}

impl fmt::Display for CredentialDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.toml.fmt(f)
    }
}

/// What is wrong inside a credential file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is not TOML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the parser stumbled over, without the text itself.
        message: String,
    },
    /// There is nothing under `auth`.
    #[error("it has no auth section; credentials stand in blocks that begin with [[auth]]")]
    NoAuthSection,
    /// Something that should be a table is not.
    #[error("{what} must be a table of username, password and so on, not of type {found}")]
    NotATable {
        /// What it is about.
        what: String,
        /// The type that is there.
        found: &'static str,
    },
    /// A credential lacks a property that it must have.
    #[error("missing auth property '{property}' in {of}")]
    MissingProperty {
        /// Which credential.
        of: String,
        /// The property.
        property: &'static str,
    },
    /// A property that must be a text is something else.
    #[error("the {property} of {of} must be a string in quotes, not of type {found}")]
    NotAString {
        /// Which credential.
        of: String,
        /// The property.
        property: &'static str,
        /// The type that is there.
        found: &'static str,
    },
    /// A credential asks for a mechanism that does not exist.
    #[error("{of}: {problem}")]
    UnknownMechanism {
        /// Which credential.
        of: String,
        /// The name, and those that are known.
        problem: UnknownMechanism,
    },
}

fn credential(index: usize, table: &dyn TableLike) -> Result<Auth, ContentError> {
    let text = |property: &'static str| match table.get(property) {
        None => Ok(None),
        Some(item) => match item.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(ContentError::NotAString {
                of: describe(index, table),
                property,
                found: item.type_name(),
            }),
        },
    };
    let required = |property| {
        text(property)?.ok_or_else(|| ContentError::MissingProperty { of: describe(index, table), property })
    };

    let mut auth = Auth::new(required(key::USERNAME)?, required(key::PASSWORD)?);
    if let Some(hostname) = text(key::HOSTNAME)? {
        auth = auth.with_hostname(hostname);
    }
    if let Some(protocol) = text(key::PROTOCOL)? {
        auth = auth.with_protocol(Protocol::from_name(protocol));
    }
    if let Some(path) = text(key::SSL_CA_LOCATION)? {
        auth = auth.with_ssl_ca_location(Path::new(path));
    }
    if let Some(url) = text(key::TOKEN_ENDPOINT)? {
        auth = auth.with_token_endpoint(url);
    }
    if let Some(command) = text(key::TOKEN_COMMAND)? {
        auth = auth.with_token_command(command);
    }
    if let Some(name) = text(key::MECHANISM)? {
        let mechanism = name
            .parse()
            .map_err(|problem| ContentError::UnknownMechanism { of: describe(index, table), problem })?;
        auth = auth.with_mechanism(mechanism);
    }
    Ok(auth)
}

/// `credential 2 (me for kafka.scimma.org)`: the number finds it in the file, the name in the head.
fn describe(index: usize, table: &dyn TableLike) -> String {
    let text = |key| table.get(key).and_then(Item::as_str);
    let number = index + 1;
    match (text(key::USERNAME), text(key::HOSTNAME)) {
        (None, _) => format!("credential {number}"),
        (Some(username), None | Some("")) => format!("credential {number} ({username})"),
        (Some(username), Some(hostname)) => {
            let label = CredentialLabel { username: username.to_owned(), hostname: hostname.to_owned() };
            format!("credential {number} ({label})")
        }
    }
}

/// Line and column, both from 1, of a byte in a text.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::{ExposeSecret as _, Mechanism};
    use super::*;

    fn read(text: &str) -> Result<Vec<Auth>, ContentError> {
        CredentialDocument::parse(text)?.credentials()
    }

    fn failure(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn all_three_shapes_are_read() {
        for text in [
            "[auth]\nusername = \"u\"\npassword = \"p\"\nhostname = \"h\"\n",
            "[[auth]]\nusername = 'u'\npassword = 'p'\nhostname = 'h'\n",
            "auth = [{username=\"u\",password=\"p\",hostname=\"h\"}]\n",
            "auth = {username=\"u\",password=\"p\",hostname=\"h\"}\n",
            "auth.username = \"u\"\nauth.password = \"p\"\nauth.hostname = \"h\"\n",
        ] {
            let found = read(text).unwrap();
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((found[0].username(), found[0].hostname()), ("u", "h"), "{text}");
            assert_eq!(found[0].password().expose_secret(), "p");
        }
        assert!(read("auth = []").unwrap().is_empty());
    }

    #[test]
    fn every_property_is_read_and_unknown_ones_are_not_minded() {
        let text = "[[auth]]\nusername='u'\npassword=''\nprotocol='SASL_PLAINTEXT'\nmechanism='SCRAM_SHA_256'\n\
                    [[auth]]\nusername='t'\npassword=''\ntoken_endpoint='https://t'\nssl_ca_location='/ca'\nx=1\n\
                    [[auth]]\nusername='c'\npassword=''\ntoken_command='get'\n[auth.extra]\ny=2\n[other]\nz=3\n";
        let found = read(text).unwrap();
        assert_eq!(found[0].protocol(), Protocol::SaslPlaintext);
        assert_eq!(found[0].mechanism(), Mechanism::ScramSha256);
        assert_eq!(found[1].mechanism(), Mechanism::OAuthBearer);
        assert_eq!(found[1].token_endpoint(), Some("https://t"));
        assert_eq!(found[1].ssl_ca_location(), Some(Path::new("/ca")));
        assert_eq!(found[2].token_command(), Some("get"));
    }

    #[test]
    fn errors_name_the_credential_and_the_property() {
        assert_eq!(
            failure("[[auth]]\nusername='u'\npassword='p'\n[[auth]]\nusername='v'\n"),
            "missing auth property 'password' in credential 2 (v)"
        );
        assert_eq!(failure("[auth]\npassword='p'\n"), "missing auth property 'username' in credential 1");
        assert_eq!(
            failure("[auth]\nusername=5\npassword='p'\n"),
            "the username of credential 1 must be a string in quotes, not of type integer"
        );
        assert_eq!(
            failure("[auth]\nusername='u'\npassword='p'\nhostname='h'\nmechanism='NOPE'\n"),
            "credential 1 (u for h): unknown mechanism 'NOPE'; known are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and \
             OAUTHBEARER"
        );
        assert!(failure("").starts_with("it has no auth section"));
        assert!(failure("auth = 'x'").starts_with("the auth section must be a table"));
        assert!(failure("auth = ['x']").starts_with("credential 1 must be a table"));
    }

    #[test]
    fn broken_toml_is_placed_and_not_quoted() {
        let error = read("[[auth]]\nusername = 'ü'\npassword = \"hunter2\nx = 1\n").unwrap_err();
        assert!(matches!(error, ContentError::Syntax { line: 3, .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        let error = read("'é' = !").unwrap_err();
        assert!(matches!(error, ContentError::Syntax { line: 1, column: 7, .. }), "{error:?}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        assert!(read(&format!("auth = {}", "[".repeat(500_000))).is_err());
        assert!(read(&format!("{}auth = 1", "a.".repeat(300_000))).is_err());
    }
}
