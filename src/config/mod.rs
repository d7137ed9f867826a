//! Where hop keeps its files, and how it reads and rewrites them.
//!
//! Two files live in one directory: `auth.toml` with the credentials (read by [`crate::auth`]) and
//! `config.toml` with the general [`Settings`]. This module knows the directory, the settings, and the one safe way to
//! replace a file; credentials are the business of the module that owns them.

pub(crate) mod file;
mod paths;
mod settings;

pub use self::paths::{NoConfigDirectory, Paths};
pub use self::settings::{Setting, Settings, SettingsError};
