//! The general settings: `config.toml`, and the environment variables that override it.
//!
//! What is set for one call wins over a variable, a variable over the file, the file over the default. The file may be
//! broken, or hold nothing but an old version's credentials: hop-client does not run then, here it is said and the
//! defaults count.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use toml_edit::{DocumentMut, Item, Table};

use super::{NoConfigDirectory, Paths, file};

/// The table of the file that they stand in.
const TABLE: &str = "config";
/// Below this, nobody would see a likeness between two names.
const LIKE: f64 = 0.75;

/// What a user has set in general.
///
/// ```no_run
/// use hop::config::Settings;
///
/// let settings = Settings::from_environment()?;
/// println!("large messages are fetched: {}", settings.fetch_external);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether messages that were too large for Kafka are fetched from where they are kept. Default: yes.
    pub fetch_external: bool,
    /// Whether messages that are too large for a topic are kept elsewhere, as the broker says. Default: yes.
    pub automatic_offload: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { fetch_external: true, automatic_offload: true }
    }
}

/// The name of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// [`Settings::fetch_external`].
    FetchExternal,
    /// [`Settings::automatic_offload`].
    AutomaticOffload,
}

impl Setting {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::FetchExternal, Self::AutomaticOffload];

    /// The name in the file and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchExternal => "fetch_external",
            Self::AutomaticOffload => "automatic_offload",
        }
    }

    /// The environment variable that overrides the file.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::FetchExternal => "HOP_FETCH_EXTERNAL",
            Self::AutomaticOffload => "HOP_AUTOMATIC_OFFLOAD",
        }
    }

    /// A value of it as a user writes it: true, yes, on or 1; false, no, off or 0.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Value`] for anything else.
    pub fn parse_value(self, text: &str) -> Result<bool, SettingsError> {
        parse_bool(text).ok_or_else(|| SettingsError::Value { setting: self, text: text.to_owned() })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setting {
    type Err = SettingsError;

    fn from_str(name: &str) -> Result<Self, SettingsError> {
        Self::ALL
            .into_iter()
            .find(|setting| setting.name() == name)
            .ok_or_else(|| SettingsError::Unknown { name: name.to_owned(), meant: nearest(name) })
    }
}

impl Settings {
    /// What the file and the environment of this process say.
    ///
    /// What is wrong with the file is a warning in the log, and the defaults count: also keys that are not known, with
    /// the name that was probably meant.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Variable`] for a variable that says neither yes nor no.
    pub fn load(paths: &Paths) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let path = paths.config();
        match read(&path) {
            Ok(text) => settings.take_file(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("cannot read {}: {error}; the defaults count", path.display()),
        }
        settings.take_variables(|name| std::env::var(name).ok())?;
        Ok(settings)
    }

    /// What the user's file and the environment of this process say; without the file, where nothing says where that is.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Variable`].
    pub fn from_environment() -> Result<Self, SettingsError> {
        match Paths::from_environment() {
            Ok(paths) => Self::load(&paths),
            Err(NoConfigDirectory) => {
                let mut settings = Self::default();
                settings.take_variables(|name| std::env::var(name).ok())?;
                Ok(settings)
            }
        }
    }

    /// The value of a setting.
    #[must_use]
    pub fn get(&self, setting: Setting) -> bool {
        match setting {
            Setting::FetchExternal => self.fetch_external,
            Setting::AutomaticOffload => self.automatic_offload,
        }
    }

    fn set(&mut self, setting: Setting, value: bool) {
        match setting {
            Setting::FetchExternal => self.fetch_external = value,
            Setting::AutomaticOffload => self.automatic_offload = value,
        }
    }

    /// Writes a setting into the file, which need not exist, and returns its path. What else the file holds stays, with
    /// its comments and its order; the file is replaced in one step.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Malformed`] and [`SettingsError::Unreadable`] for a file that cannot be changed without loss, and
    /// [`SettingsError::Unwritable`]; the file is as it was then.
    pub fn write(paths: &Paths, setting: Setting, value: bool) -> Result<PathBuf, SettingsError> {
        let path = paths.config();
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let malformed = |reason: String| SettingsError::Malformed { path: path.clone(), reason };
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| malformed(error.to_string()))?;
        let table = document.entry(TABLE).or_insert_with(|| Item::Table(Table::new()));
        let table =
            table.as_table_like_mut().ok_or_else(|| malformed(format!("`{TABLE}` is not a table")))?;
        match table.get_mut(setting.name()).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = value.into();
                *old.decor_mut() = decor;
            }
            None => drop(table.insert(setting.name(), toml_edit::value(value))),
        }
        file::replace(&path, &document.to_string())
            .map_err(|source| SettingsError::Unwritable { path: path.clone(), source })?;
        Ok(path)
    }

    fn take_file(&mut self, text: &str, path: &Path) {
        let path = path.display();
        let document: DocumentMut = match text.parse() {
            Ok(document) => document,
            Err(error) => {
                tracing::warn!("{path} is malformed, and the defaults count: {error}");
                return;
            }
        };
        let Some(table) = document.get(TABLE).and_then(Item::as_table_like) else { return };
        for (name, item) in table.iter() {
            match name.parse::<Setting>() {
                Ok(setting) => match item.as_bool() {
                    Some(value) => self.set(setting, value),
                    None => tracing::warn!(
                        "{path}: {setting} must be true or false; the default, {}, counts",
                        Self::default().get(setting)
                    ),
                },
                Err(error) => tracing::warn!("{path}: {error}"),
            }
        }
    }

    fn take_variables(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), SettingsError> {
        for setting in Setting::ALL {
            if let Some(text) = variable(setting.variable()) {
                let value = parse_bool(&text)
                    .ok_or(SettingsError::Variable { variable: setting.variable(), text })?;
                self.set(setting, value);
            }
        }
        Ok(())
    }
}

/// Yes or no, in the words that hop-client takes, in any case.
fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn read(path: &Path) -> io::Result<String> {
    file::read_text(&mut File::open(path)?).map(|text| text.as_str().to_owned())
}

/// The setting that was probably meant.
fn nearest(name: &str) -> Option<Setting> {
    let ranked = Setting::ALL.into_iter().map(|known| (strsim::jaro_winkler(name, known.name()), known));
    let best = ranked.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= LIKE).map(|(_, setting)| setting)
}

/// A setting could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no such setting.
    #[error("there is no setting '{name}'; {}", hint(*meant))]
    Unknown {
        /// The name as it was written.
        name: String,
        /// The one that was probably meant.
        meant: Option<Setting>,
    },
    /// A value that says neither yes nor no.
    #[error("Invalid boolean value '{text}' for {setting}; write true or false")]
    Value {
        /// The setting.
        setting: Setting,
        /// The value as it was written.
        text: String,
    },
    /// An environment variable says neither yes nor no.
    #[error("Error parsing configuration variable {variable}: '{text}' is neither true nor false")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it is set to.
        text: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text of the file makes no sense.
    #[error("{} is malformed: {reason}; correct it first", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}; it is as it was", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn hint(meant: Option<Setting>) -> String {
    match meant {
        Some(setting) => format!("did you mean '{setting}'?"),
        None => {
            let names: Vec<_> = Setting::ALL.iter().map(|setting| setting.name()).collect();
            format!("there are {}", names.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Settings {
        let mut settings = Settings::default();
        settings.take_file(text, Path::new("config.toml"));
        settings
    }

    #[test]
    fn the_file_counts_where_it_is_right_and_the_defaults_elsewhere() {
        let none = Settings { fetch_external: false, ..Settings::default() };
        assert_eq!(taken("[config]\nfetch_external = false\n"), none);
        assert_eq!(taken("config = { fetch_external = false }"), none);
        let defaults =
            ["", "[auth]\nusername = 'u'", "[config", "config = 1", "[config]\nfetch_external = 'no'"];
        for text in defaults {
            assert_eq!(taken(text), Settings::default(), "{text}");
        }
        assert_eq!(taken("[config]\nfetch_externl = false\nfetch_external = false"), none);
    }

    #[test]
    fn a_variable_wins_over_the_file() {
        let mut settings = taken("[config]\nfetch_external = false\nautomatic_offload = false");
        let set = |name: &str| (name == "HOP_FETCH_EXTERNAL").then(|| "YES".to_owned());
        settings.take_variables(set).unwrap();
        assert_eq!((settings.fetch_external, settings.automatic_offload), (true, false));
        let error = settings.take_variables(|_| Some(String::new())).unwrap_err();
        assert!(error.to_string().starts_with("Error parsing configuration variable HOP_FETCH_EXTERNAL"));
    }

    #[test]
    fn the_name_that_was_meant_is_told() {
        let error = |name: &str| name.parse::<Setting>().unwrap_err().to_string();
        assert_eq!(
            error("fetch_externals"),
            "there is no setting 'fetch_externals'; did you mean 'fetch_external'?"
        );
        assert_eq!(error("x"), "there is no setting 'x'; there are fetch_external and automatic_offload");
    }

    #[test]
    fn writing_a_setting_keeps_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::in_directory(root.path().join("hop"));
        let text = |paths: &Paths| std::fs::read_to_string(paths.config()).unwrap();
        Settings::write(&paths, Setting::FetchExternal, false).unwrap();
        assert_eq!(text(&paths), "[config]\nfetch_external = false\n");
        let kept = "# mine\n[other]\na = 1\n\n[config] # here\nfetch_external = false # slow line\n";
        std::fs::write(paths.config(), kept).unwrap();
        Settings::write(&paths, Setting::FetchExternal, true).unwrap();
        assert_eq!(text(&paths), kept.replace("false", "true"));
        Settings::write(&paths, Setting::AutomaticOffload, false).unwrap();
        assert_eq!(text(&paths), kept.replace("false", "true") + "automatic_offload = false\n");
        assert!(!Settings::load(&paths).unwrap().automatic_offload);
    }

    #[test]
    fn a_file_that_cannot_be_changed_without_loss_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::in_directory(root.path());
        for broken in ["[config", "config = 1\n"] {
            std::fs::write(paths.config(), broken).unwrap();
            let error = Settings::write(&paths, Setting::FetchExternal, true).unwrap_err();
            assert!(matches!(error, SettingsError::Malformed { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(paths.config()).unwrap(), broken);
        }
    }
}
