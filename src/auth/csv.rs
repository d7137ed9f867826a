//! The CSV file in which a new credential is downloaded: a row of names, and a row of values.
//!
//! Columns are found by their exact names, in any order; `username` and `password` are needed, `hostname`,
//! `mechanism`, `protocol`, `ssl_ca_location`, `token_endpoint` and `token_command` may be there, others are not
//! minded. Only the first row of values counts. Values are taken as they stand, spaces included: a password
//! may begin with one. An empty cell is the same as none.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::document::key;
use super::{Auth, Protocol, UnknownMechanism};
use crate::config::file;

/// Reads a credential from a CSV file.
///
/// # Errors
///
/// [`ImportError`], with the path.
pub fn import(path: &Path) -> Result<Auth, ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let mut open = File::open(path).map_err(unreadable)?;
    let text = file::read_text(&mut open).map_err(unreadable)?;
    parse(&text).map_err(|problem| ImportError::Malformed { path: path.to_owned(), problem })
}

/// Reads a credential from the text of a CSV file. A byte order mark in front is skipped.
///
/// # Errors
///
/// What the text lacks.
pub fn parse(text: &str) -> Result<Auth, CsvError> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| syntax(&error))?.clone();
    if names.is_empty() || names.iter().all(str::is_empty) {
        return Err(CsvError::Empty);
    }
    let values = match reader.records().next() {
        Some(row) => row.map_err(|error| syntax(&error))?,
        None => return Err(CsvError::NoValues),
    };
    // Of columns with one name the last counts.
    let column = |name: &'static str| {
        (0..).zip(&names).filter(|(_, known)| *known == name).map(|(index, _)| index).last()
    };
    let cell = |name| column(name).and_then(|index| values.get(index)).filter(|value| !value.is_empty());
    let missing = |property: &'static str| match column(property) {
        Some(_) => CsvError::EmptyCell { property },
        None => CsvError::NoColumn {
            property,
            found: names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
        },
    };

    let username = cell(key::USERNAME).ok_or_else(|| missing(key::USERNAME))?;
    let token_command = cell(key::TOKEN_COMMAND);
    let password = match cell(key::PASSWORD) {
        Some(password) => password,
        // A command that prints tokens is the only thing that needs no password beside it.
        None if token_command.is_some() => "",
        None => return Err(missing(key::PASSWORD)),
    };
    let mut auth = Auth::new(username, password);
    if let Some(hostname) = cell(key::HOSTNAME) {
        auth = auth.with_hostname(hostname);
    }
    if let Some(name) = cell(key::MECHANISM) {
        auth = auth.with_mechanism(name.parse()?);
    }
    if let Some(name) = cell(key::PROTOCOL) {
        auth = auth.with_protocol(Protocol::from_name(name));
    }
    if let Some(location) = cell(key::SSL_CA_LOCATION) {
        auth = auth.with_ssl_ca_location(location);
    }
    if let Some(url) = cell(key::TOKEN_ENDPOINT) {
        auth = auth.with_token_endpoint(url);
    }
    if let Some(command) = token_command {
        auth = auth.with_token_command(command);
    }
    Ok(auth)
}

/// A credential was not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read the credential from {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text of the file has no credential.
    #[error("cannot read the credential from {}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: CsvError,
    },
}

/// A text of CSV has no credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsvError {
    /// There is nothing in it.
    #[error("it is empty; expected are a line \"username,password\" and a line with their values")]
    Empty,
    /// There are names only.
    #[error("it has a line of column names, but no line of values below it")]
    NoValues,
    /// A column is not there.
    #[error(
        "it has no column \"{property}\"; its columns are {found} (names count exactly, with case and spaces, and \
         the first line must be the one with the names)"
    )]
    NoColumn {
        /// The name of the column.
        property: &'static str,
        /// The names that are there.
        found: String,
    },
    /// A column is there, but without a value.
    #[error("its {property} is empty")]
    EmptyCell {
        /// The name of the column.
        property: &'static str,
    },
    /// The mechanism does not exist.
    #[error(transparent)]
    UnknownMechanism(#[from] UnknownMechanism),
    /// It is no CSV.
    #[error("it is not CSV{}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Syntax {
        /// The line, from 1, if it is known.
        line: Option<u64>,
    },
}

/// The parser's error without its text, which may quote what it read.
fn syntax(error: &::csv::Error) -> CsvError {
    CsvError::Syntax { line: error.position().map(::csv::Position::line) }
}

#[cfg(test)]
mod tests {
    use super::super::{ExposeSecret as _, Mechanism};
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let auth = parse("hostname,x,password,username\nkafka://h:1,,\"p\"\"q\",\"u,1\"\nv,v,v,v\n").unwrap();
        assert_eq!((auth.username(), auth.hostname()), ("u,1", "kafka://h:1"));
        assert_eq!(auth.password().expose_secret(), "p\"q");
        assert_eq!(auth.mechanism(), Mechanism::ScramSha512);
    }

    #[test]
    fn values_keep_their_spaces_and_line_breaks() {
        let auth = parse("username,password\r\n u ,\"a\nb\"\r\n").unwrap();
        assert_eq!((auth.username(), auth.password().expose_secret()), (" u ", "a\nb"));
    }

    #[test]
    fn of_columns_with_one_name_the_last_counts() {
        assert_eq!(parse("username,password,username\nu,p,v\n").unwrap().username(), "v");
    }

    #[test]
    fn a_byte_order_mark_does_not_matter() {
        assert_eq!(parse("\u{feff}username,password\nu,p\n").unwrap().username(), "u");
    }

    #[test]
    fn all_properties_are_read_and_empty_cells_are_none() {
        let head = "username,password,mechanism,protocol,ssl_ca_location,token_endpoint,token_command\n";
        let auth = parse(&format!("{head}u,p,SCRAM_SHA_256,SASL_PLAINTEXT,/ca,https://t,get\n")).unwrap();
        assert_eq!(auth.mechanism(), Mechanism::ScramSha256);
        assert_eq!(auth.protocol(), Protocol::SaslPlaintext);
        assert_eq!(auth.token_endpoint(), Some("https://t"));
        assert_eq!(auth.token_command(), Some("get"));
        let auth = parse(&format!("{head}u,p,,,,,\n")).unwrap();
        assert_eq!(auth.mechanism(), Mechanism::ScramSha512);
        assert_eq!(auth.ssl_ca_location(), None);
        assert_eq!(parse(&format!("{head}u,,,,,,get\n")).unwrap().mechanism(), Mechanism::OAuthBearer);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(parse("").unwrap_err(), CsvError::Empty);
        assert_eq!(parse("username,password\n").unwrap_err(), CsvError::NoValues);
        assert_eq!(parse("username,password\n,p\n").unwrap_err().to_string(), "its username is empty");
        assert_eq!(
            parse("username,password\nu\n").unwrap_err(),
            CsvError::EmptyCell { property: "password" }
        );
        let error = parse("username, password\nu, p\n").unwrap_err().to_string();
        assert!(
            error.contains("no column \"password\"; its columns are \"username\", \" password\" "),
            "{error}"
        );
        assert!(parse("username,password,token_endpoint\nu,,https://t\n").is_err());
        let error = parse("username,password,mechanism\nu,p,NOPE\n").unwrap_err().to_string();
        assert!(error.starts_with("unknown mechanism 'NOPE'"), "{error}");
    }

    #[test]
    fn errors_name_the_file() {
        let error = import(Path::new("/nowhere/c.csv")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the credential from /nowhere/c.csv: "), "{error}");
    }
}
