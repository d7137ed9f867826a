//! Where hop keeps its files, and how it reads and rewrites them.
//!
//! Two files live in one directory: `auth.toml` with the credentials (read by [`crate::auth`]) and
//! `config.toml` with the general settings. This module knows the directory and the one safe way to replace a
//! file; what is inside the files is the business of the modules that own them.

pub(crate) mod file;
mod paths;

pub use self::paths::{NoConfigDirectory, Paths};
