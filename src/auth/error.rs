//! What can go wrong with the file of credentials, one enum an operation.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{ContentError, CredentialLabel, CredentialName};
use crate::config::NoConfigDirectory;

/// The credentials cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nothing says where the file is.
    #[error(transparent)]
    NoDirectory(#[from] NoConfigDirectory),
    /// There is no file.
    #[error(
        "there is no credential file: {} does not exist\n\
         Store a credential with `hop auth add`, or pass --no-auth if the broker asks for none",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Others than its owner can reach the file.
    #[error("{} has unsafe permissions: {mode:o}\nPlease correct it to 0600", path.display())]
    UnsafePermissions {
        /// The file.
        path: PathBuf,
        /// Its type and permissions, as the system keeps them.
        mode: u32,
    },
    /// The file cannot be opened or read.
    #[error("cannot read the credential file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text of the file makes no sense.
    #[error("{} is not configured correctly: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: ContentError,
    },
}

/// A credential was not added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddError {
    /// There is one for the same user and host.
    #[error("Credential already exists; overwrite with --force: {label}")]
    Conflict {
        /// Which one.
        label: CredentialLabel,
    },
}

/// A credential was not removed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// None has the name.
    #[error("{}", no_match(name))]
    NoMatch {
        /// The name that was asked for.
        name: CredentialName,
    },
    /// Several have it.
    #[error("{}", ambiguous(name, matches))]
    Ambiguous {
        /// The name that was asked for.
        name: CredentialName,
        /// The credentials that have it.
        matches: Vec<CredentialLabel>,
    },
}

/// The credentials were not written, or not wholly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveError {
    /// `auth.toml` is as it was.
    #[error("cannot write the credential file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `auth.toml` is written, but the old `config.toml` still has credentials.
    #[error(
        "{} was written, but credentials may be left in {}, where they are no longer used: {reason}\n\
         Please remove its [auth] section by hand",
        path.display(), config.display()
    )]
    Prune {
        /// The file that was written.
        path: PathBuf,
        /// The file that still has credentials.
        config: PathBuf,
        /// Why they could not be taken out.
        reason: String,
    },
}

fn no_match(name: &CredentialName) -> String {
    let host = name.hostname().map(|host| format!(" with hostname '{host}'")).unwrap_or_default();
    format!(
        "No matching credential found with username '{}'{host}\nSee which there are with `hop auth list`",
        name.username()
    )
}

fn ambiguous(name: &CredentialName, matches: &[CredentialLabel]) -> String {
    use std::fmt::Write as _;

    let mut text = format!("Ambiguous credentials found for username '{}'", name.username());
    match name.hostname() {
        Some(host) => {
            let _ = write!(text, " with hostname '{host}'");
        }
        None => text.push_str(" with no hostname specified"),
    }
    text.push_str("\nMatched credentials:");
    for label in matches {
        let _ = write!(text, "\n  {label}");
    }
    text.push_str(match name.hostname() {
        Some(_) => "\nThey have one name: remove one from the file that `hop auth locate` names",
        None => "\nName one as username@hostname, or as username@ for the one without a hostname",
    });
    text
}
