//! The file of credentials on disk.
//!
//! It is `auth.toml`. Versions of hop-client before 0.5 kept one credential in `config.toml`, so as long as there
//! is no `auth.toml` the credentials are read from there; the first change writes `auth.toml` and takes them out
//! of `config.toml`. Reading alone never moves anything.
//!
//! A file that others can read is refused, as hop-client does. The check is made on the open file, so
//! that what is checked is what is read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::document::CredentialDocument;
use super::error::{AddError, LoadError, RemoveError, SaveError};
use super::{Auth, CredentialLabel, CredentialName};
use crate::config::{NoConfigDirectory, Paths, file};

/// The credentials of a user, and the file that they come from and go back to.
///
/// Changes are made in memory; [`CredentialFile::save`] writes them. Two programs that change the file at the same
/// moment do not damage it, but the later one wins.
///
/// The parsed text, passwords included, stays in memory as long as this value lives: take the credentials out
/// with [`CredentialFile::into_credentials`] when there is nothing to change.
#[derive(Debug)]
pub struct CredentialFile {
    paths: Paths,
    document: CredentialDocument,
    credentials: Vec<Auth>,
}

impl CredentialFile {
    /// The path of the file, whether it exists or not.
    ///
    /// # Errors
    ///
    /// If the environment does not say where hop's files are.
    pub fn locate() -> Result<PathBuf, NoConfigDirectory> {
        Ok(Paths::from_environment()?.auth())
    }

    /// Reads the credentials.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] if neither `auth.toml` nor an old `config.toml` has any; otherwise what is wrong with
    /// the file.
    pub fn load(paths: &Paths) -> Result<Self, LoadError> {
        if let Some(mut open) = open(&paths.auth())? {
            check_permissions(&open, &paths.auth())?;
            let document = parse(&mut open, &paths.auth())?;
            return Self::from_document(paths.clone(), document, &paths.auth());
        }
        let missing = || LoadError::Missing { path: paths.auth() };
        let mut old = open(&paths.config())?.ok_or_else(missing)?;
        // A general configuration may be broken or readable by all: it is about credentials only if it has any.
        let document = parse(&mut old, &paths.config()).map_err(|_| missing())?;
        if !document.has_auth() {
            return Err(missing());
        }
        check_permissions(&old, &paths.config())?;
        Self::from_document(paths.clone(), document.credentials_only(), &paths.config())
    }

    /// As [`CredentialFile::load`], but no file is the same as one without credentials: where adding begins.
    ///
    /// # Errors
    ///
    /// What is wrong with a file that exists.
    pub fn load_or_empty(paths: &Paths) -> Result<Self, LoadError> {
        match Self::load(paths) {
            Err(LoadError::Missing { .. }) => Ok(Self {
                paths: paths.clone(),
                document: CredentialDocument::empty(),
                credentials: Vec::new(),
            }),
            other => other,
        }
    }

    /// Adds a credential behind the others, or in the place of the one that it conflicts with.
    ///
    /// Two credentials conflict if they have one user name, and one host name or none.
    ///
    /// # Errors
    ///
    /// [`AddError::Conflict`] if there is one and it shall not be overwritten; nothing has changed then.
    pub fn add(&mut self, auth: Auth, on_conflict: OnConflict) -> Result<Added, AddError> {
        let old = self.credentials.iter().rposition(|old| {
            old.username() == auth.username() && old.hostname().eq_ignore_ascii_case(auth.hostname())
        });
        match (old, on_conflict) {
            (None, _) => {
                self.document.push(&auth);
                self.credentials.push(auth);
                Ok(Added::New)
            }
            (Some(_), OnConflict::Refuse) => Err(AddError::Conflict { label: CredentialLabel::from(&auth) }),
            (Some(index), OnConflict::Overwrite) => {
                self.document.replace(index, &auth);
                if let Some(slot) = self.credentials.get_mut(index) {
                    *slot = auth;
                }
                Ok(Added::Replaced)
            }
        }
    }

    /// Takes out the one credential of that name, and returns it.
    ///
    /// # Errors
    ///
    /// If no credential has the name, or several; nothing has changed then.
    pub fn remove(&mut self, name: &CredentialName) -> Result<Auth, RemoveError> {
        let matches: Vec<usize> = (0..)
            .zip(&self.credentials)
            .filter(|(_, auth)| name.matches(auth))
            .map(|(index, _)| index)
            .collect();
        match matches.as_slice() {
            [] => Err(RemoveError::NoMatch { name: name.clone() }),
            [index] => {
                self.document.remove(*index);
                Ok(self.credentials.remove(*index))
            }
            several => Err(RemoveError::Ambiguous {
                name: name.clone(),
                matches: several
                    .iter()
                    .filter_map(|index| self.credentials.get(*index).map(CredentialLabel::from))
                    .collect(),
            }),
        }
    }

    /// Writes `auth.toml` and returns its path.
    ///
    /// The new text is in place at once or not at all, readable by its owner only; what else the file holds stays;
    /// a symbolic link stays one. Credentials in an old `config.toml` are taken out of it: they would never be
    /// read again.
    ///
    /// # Errors
    ///
    /// [`SaveError::Write`] if `auth.toml` is unchanged; [`SaveError::Prune`] if it is written, but `config.toml`
    /// could not be cleared of its credentials.
    pub fn save(&self) -> Result<PathBuf, SaveError> {
        let path = self.paths.auth();
        file::replace(&path, &self.document.to_string())
            .map_err(|source| SaveError::Write { path: path.clone(), source })?;
        prune(&self.paths.config()).map_err(|reason| SaveError::Prune {
            path: path.clone(),
            config: self.paths.config(),
            reason,
        })?;
        Ok(path)
    }

    /// The credentials, in the order of the file.
    #[must_use]
    pub fn credentials(&self) -> &[Auth] {
        &self.credentials
    }

    /// The credentials without the file.
    #[must_use]
    pub fn into_credentials(self) -> Vec<Auth> {
        self.credentials
    }

    fn from_document(paths: Paths, document: CredentialDocument, origin: &Path) -> Result<Self, LoadError> {
        let credentials = document
            .credentials()
            .map_err(|problem| LoadError::Malformed { path: origin.to_owned(), problem })?;
        Ok(Self { paths, document, credentials })
    }
}

/// What to do with a credential that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Leave it, and say so. The default.
    #[default]
    Refuse,
    /// Put the new one in its place.
    Overwrite,
}

/// What became of a credential that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Added {
    /// It stands behind the others.
    New,
    /// It stands where an older one stood.
    Replaced,
}

/// Opens a file that may not exist.
fn open(path: &Path) -> Result<Option<File>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    match File::open(path) {
        // Said here, or else the mode of the directory would be complained about.
        Ok(file) if file.metadata().map_err(unreadable)?.is_dir() => {
            Err(unreadable(io::ErrorKind::IsADirectory.into()))
        }
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(source)),
    }
}

fn parse(open: &mut File, path: &Path) -> Result<CredentialDocument, LoadError> {
    let text =
        file::read_text(open).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    CredentialDocument::parse(&text)
        .map_err(|problem| LoadError::Malformed { path: path.to_owned(), problem })
}

/// Refuses a file that its group or others can reach, or that has a set-user, set-group or sticky bit.
#[cfg(unix)]
fn check_permissions(open: &File, path: &Path) -> Result<(), LoadError> {
    use std::os::unix::fs::MetadataExt as _;

    const UNSAFE: u32 = 0o7077;
    let mode =
        open.metadata().map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?.mode();
    if mode & UNSAFE == 0 {
        Ok(())
    } else {
        Err(LoadError::UnsafePermissions { path: path.to_owned(), mode })
    }
}

/// Elsewhere permissions are not made of these bits, and files in a user's directory are the user's.
#[cfg(not(unix))]
fn check_permissions(_open: &File, _path: &Path) -> Result<(), LoadError> {
    Ok(())
}

/// Takes the credentials out of an old `config.toml`.
fn prune(config: &Path) -> Result<(), String> {
    let Some(mut open) = open(config).map_err(|error| error.to_string())? else { return Ok(()) };
    let text = file::read_text(&mut open).map_err(|error| error.to_string())?;
    let mut document =
        CredentialDocument::parse(&text).map_err(|problem| format!("it is malformed: {problem}"))?;
    if document.remove_all() {
        // The empty line that stood below the section goes with it.
        let rest = document.to_string();
        file::replace(config, rest.trim_start_matches('\n')).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::ExposeSecret as _;
    use super::*;

    /// A directory of its own for each test, and the files in it.
    struct Home {
        directory: tempfile::TempDir,
    }

    impl Home {
        fn new(auth: Option<&str>, config: Option<&str>) -> Self {
            let home = Self { directory: tempfile::tempdir().unwrap() };
            for (path, text) in [(home.paths().auth(), auth), (home.paths().config(), config)] {
                if let Some(text) = text {
                    fs::write(&path, text).unwrap();
                    set_mode(&path, 0o600);
                }
            }
            home
        }

        fn paths(&self) -> Paths {
            Paths::in_directory(self.directory.path())
        }

        fn auth(&self) -> String {
            fs::read_to_string(self.paths().auth()).unwrap()
        }
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn set_mode(_path: &Path, _mode: u32) {}

    const ONE: &str = "[[auth]]\nusername = \"u\"\npassword = \"old\"\n";

    #[test]
    fn a_missing_file_is_named_and_may_count_as_empty() {
        let home = Home::new(None, None);
        let error = CredentialFile::load(&home.paths()).unwrap_err();
        assert!(matches!(error, LoadError::Missing { .. }));
        assert!(error.to_string().contains("auth.toml does not exist"), "{error}");
        assert!(CredentialFile::load_or_empty(&home.paths()).unwrap().credentials().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_reach_is_refused() {
        let home = Home::new(Some(ONE), None);
        for mode in [0o600, 0o400, 0o700, 0o500] {
            set_mode(&home.paths().auth(), mode);
            assert!(CredentialFile::load(&home.paths()).is_ok(), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o601, 0o1600] {
            set_mode(&home.paths().auth(), mode);
            let error = CredentialFile::load_or_empty(&home.paths()).unwrap_err().to_string();
            let path = home.paths().auth();
            let expected =
                format!("{} has unsafe permissions: 10{mode:04o}\nPlease correct it to 0600", path.display());
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn broken_toml_is_named_with_its_place() {
        let home = Home::new(Some("[[auth]]\nusername = \n"), None);
        let error = CredentialFile::load(&home.paths()).unwrap_err().to_string();
        assert!(error.contains("auth.toml is not configured correctly: line 2, column "), "{error}");
    }

    #[test]
    fn a_directory_in_place_of_the_file_is_an_error() {
        let home = Home::new(None, None);
        fs::create_dir(home.paths().auth()).unwrap();
        assert!(matches!(CredentialFile::load(&home.paths()), Err(LoadError::Unreadable { .. })));
    }

    #[test]
    fn a_conflict_is_refused_or_overwritten_in_place() {
        let home = Home::new(
            Some(
                "[[auth]]\nusername='u'\npassword='old'\nhostname='H'\n[[auth]]\nusername='z'\npassword=''\n",
            ),
            None,
        );
        let mut file = CredentialFile::load(&home.paths()).unwrap();
        let new = || Auth::new("u", "new").with_hostname("h");
        let error = file.add(new(), OnConflict::Refuse).unwrap_err();
        assert_eq!(error.to_string(), "Credential already exists; overwrite with --force: u for h");
        assert_eq!(file.add(new(), OnConflict::Overwrite).unwrap(), Added::Replaced);
        assert_eq!(
            file.add(Auth::new("u", "p").with_hostname("h:9092"), OnConflict::Refuse).unwrap(),
            Added::New
        );
        assert_eq!(file.add(Auth::new("u", "p"), OnConflict::Refuse).unwrap(), Added::New);
        assert_eq!(file.save().unwrap(), home.paths().auth());
        let labels: Vec<_> = CredentialFile::load(&home.paths())
            .unwrap()
            .credentials()
            .iter()
            .map(|auth| {
                (CredentialLabel::from(auth).as_argument(), auth.password().expose_secret().to_owned())
            })
            .collect();
        let expected = [("u@h", "new"), ("z@", ""), ("u@h:9092", "p"), ("u@", "p")];
        assert_eq!(labels, expected.map(|(label, password)| (label.to_owned(), password.to_owned())));
    }

    #[test]
    fn the_last_of_several_conflicting_ones_is_overwritten() {
        let home = Home::new(Some(&format!("{ONE}{ONE}")), None);
        let mut file = CredentialFile::load(&home.paths()).unwrap();
        file.add(Auth::new("u", "new"), OnConflict::Overwrite).unwrap();
        let passwords: Vec<_> =
            file.credentials().iter().map(|auth| auth.password().expose_secret()).collect();
        assert_eq!(passwords, ["old", "new"]);
    }

    #[test]
    fn removing_says_what_did_not_fit() {
        let text = "[[auth]]\nusername='u'\npassword=''\n[[auth]]\nusername='u'\npassword=''\nhostname='h'\n";
        let home = Home::new(Some(text), None);
        let mut file = CredentialFile::load(&home.paths()).unwrap();
        let error = file.remove(&CredentialName::parse("u")).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "Ambiguous credentials found for username 'u' with no hostname specified\nMatched credentials:\n  \
                 u which has no associated hostname\n  u for h\n"
            ),
            "{error}"
        );
        let error = file.remove(&CredentialName::parse("u@g")).unwrap_err().to_string();
        assert!(
            error.starts_with("No matching credential found with username 'u' with hostname 'g'\n"),
            "{error}"
        );
        assert_eq!(file.remove(&CredentialName::parse("u@")).unwrap().hostname(), "");
        assert_eq!(file.remove(&CredentialName::parse("u")).unwrap().hostname(), "h");
        file.save().unwrap();
        assert_eq!(home.auth(), "auth = []\n");
    }

    #[test]
    fn old_credentials_are_read_where_they_are_and_moved_by_the_first_change() {
        let config =
            "# general\n[config]\nfetch_external = true\n\n[auth]\nusername = 'old' # me\npassword = ''\n";
        let home = Home::new(None, Some(config));
        let mut file = CredentialFile::load(&home.paths()).unwrap();
        assert_eq!(file.credentials()[0].username(), "old");
        assert!(!home.paths().auth().exists());

        file.add(Auth::new("new", "p"), OnConflict::Refuse).unwrap();
        file.save().unwrap();
        assert!(home.auth().contains("username = 'old' # me"), "{}", home.auth());
        assert!(!home.auth().contains("config"), "{}", home.auth());
        assert_eq!(CredentialFile::load(&home.paths()).unwrap().credentials().len(), 2);
        let left = fs::read_to_string(home.paths().config()).unwrap();
        assert_eq!(left, "# general\n[config]\nfetch_external = true\n");
    }

    #[test]
    fn auth_toml_comes_before_old_credentials() {
        let home = Home::new(Some(ONE), Some("[auth]\nusername = 'old'\npassword = ''\n"));
        assert_eq!(CredentialFile::load(&home.paths()).unwrap().credentials()[0].username(), "u");
    }

    #[cfg(unix)]
    #[test]
    fn a_general_configuration_that_all_may_read_is_no_credential_file() {
        for config in ["[config]\nfetch_external = true\n", "not toml at all"] {
            let home = Home::new(None, Some(config));
            set_mode(&home.paths().config(), 0o644);
            assert!(
                matches!(CredentialFile::load(&home.paths()), Err(LoadError::Missing { .. })),
                "{config}"
            );
        }
        let home = Home::new(None, Some("[auth]\nusername = 'old'\npassword = ''\n"));
        set_mode(&home.paths().config(), 0o644);
        assert!(matches!(
            CredentialFile::load_or_empty(&home.paths()),
            Err(LoadError::UnsafePermissions { .. })
        ));
    }

    #[test]
    fn a_configuration_that_cannot_be_cleared_is_said_after_the_credentials_are_safe() {
        let home = Home::new(None, Some("[auth\n"));
        let mut file = CredentialFile::load_or_empty(&home.paths()).unwrap();
        file.add(Auth::new("u", "p"), OnConflict::Refuse).unwrap();
        let error = file.save().unwrap_err();
        assert!(matches!(error, SaveError::Prune { .. }));
        assert!(error.to_string().contains("it is malformed: line 1, column "), "{error}");
        assert!(home.auth().contains("username = \"u\""));
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_file_stays_linked() {
        let home = Home::new(None, None);
        let target = home.directory.path().join("elsewhere.toml");
        fs::write(&target, ONE).unwrap();
        set_mode(&target, 0o600);
        std::os::unix::fs::symlink(&target, home.paths().auth()).unwrap();
        let mut file = CredentialFile::load(&home.paths()).unwrap();
        file.add(Auth::new("n", "p"), OnConflict::Refuse).unwrap();
        file.save().unwrap();
        assert!(fs::symlink_metadata(home.paths().auth()).unwrap().file_type().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().contains("username = \"n\""));
    }
}
