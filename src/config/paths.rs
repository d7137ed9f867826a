//! The directory of hop's files.
//!
//! The rule is the one that hop-client has: `$XDG_CONFIG_HOME/hop` if that variable is set, even to the empty
//! string (which then means `hop` below the working directory), else `.config/hop` in the home directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The places of hop's two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    directory: PathBuf,
}

impl Paths {
    /// The places that the environment of this process asks for.
    ///
    /// # Errors
    ///
    /// [`NoConfigDirectory`] if neither `XDG_CONFIG_HOME` nor a home directory is known.
    pub fn from_environment() -> Result<Self, NoConfigDirectory> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Files in a directory of the caller's choice.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The file of credentials, `auth.toml`.
    #[must_use]
    pub fn auth(&self) -> PathBuf {
        self.directory.join("auth.toml")
    }

    /// The file of general settings, `config.toml`. Old versions of hop-client kept credentials in it, too.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// The directory that holds both.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, NoConfigDirectory> {
        if let Some(base) = variable("XDG_CONFIG_HOME") {
            return Ok(Self::in_directory(Path::new(&base).join("hop")));
        }
        let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        match variable(home) {
            Some(home) if !home.is_empty() => {
                Ok(Self::in_directory(Path::new(&home).join(".config").join("hop")))
            }
            _ => Err(NoConfigDirectory),
        }
    }
}

/// Nothing says where hop's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the directory of hop's files is not known: neither XDG_CONFIG_HOME nor the home directory is set\n\
     Set XDG_CONFIG_HOME to the directory that holds (or shall hold) hop/auth.toml"
)]
pub struct NoConfigDirectory;

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> Result<Paths, NoConfigDirectory> {
        Paths::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn xdg_config_home_wins() {
        let found = paths(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]).unwrap();
        assert_eq!(found.auth(), Path::new("/x/hop/auth.toml"));
        assert_eq!(found.config(), Path::new("/x/hop/config.toml"));
        assert_eq!(found.directory(), Path::new("/x/hop"));
    }

    #[test]
    fn an_empty_xdg_config_home_means_the_working_directory() {
        let found = paths(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]).unwrap();
        assert_eq!(found.auth(), Path::new("hop/auth.toml"));
    }

    #[cfg(not(windows))]
    #[test]
    fn the_home_directory_is_second() {
        assert_eq!(paths(&[("HOME", "/h")]).unwrap().auth(), Path::new("/h/.config/hop/auth.toml"));
        assert_eq!(paths(&[]), Err(NoConfigDirectory));
        assert_eq!(paths(&[("HOME", "")]), Err(NoConfigDirectory));
    }
}
