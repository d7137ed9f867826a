//! Credentials: what they are, where they are kept, and which one a broker gets.
//!
//! hop keeps them in one TOML file, `auth.toml`, in the directory of [`crate::config::Paths`]. The file may hold
//! any number of [`Auth`]s; [`select`] picks the one for a broker by host name and, if the URL has one, user
//! name. [`CredentialFile`] reads the file, adds to it and removes from it without disturbing what a person
//! wrote there. [`csv`] reads the file that a new credential is downloaded as; [`entry`] checks what is typed.
//!
//! Nothing here opens a socket, prints, or asks: prompts belong to the command line.

pub mod csv;
pub mod entry;

mod credential;
mod document;
mod edit;
#[cfg(test)]
mod edit_properties;
mod error;
mod file;
mod hostname;
mod listing;
mod select;

pub use secrecy::{ExposeSecret, SecretString};

pub use self::credential::{Auth, Credentials, Mechanism, Protocol, UnknownMechanism};
pub use self::document::ContentError;
pub use self::error::{AddError, LoadError, RemoveError, SaveError};
pub use self::file::{Added, CredentialFile, OnConflict};
pub use self::listing::{CredentialLabel, CredentialName, listing};
pub use self::select::{Ambiguity, SelectError, select};
