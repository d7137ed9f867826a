//! Where plug-ins are, and how they may be called.

use std::collections::BTreeMap;
use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What their file names begin with.
const PREFIX: &str = "hop-model-";

const LONGEST_NAME: usize = 64;

/// Whether a format of this name may have a plug-in. No path has such a name, but for one without directories.
pub(super) fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_fine)
}

/// The plug-ins in these directories, by the names of their formats; of several with one name, that of the first
/// directory. What cannot be looked into has none.
pub(super) fn in_directories(directories: impl Iterator<Item = PathBuf>) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for directory in directories.filter(|directory| directory.is_absolute()) {
        let Ok(entries) = directory.read_dir() else { continue };
        for entry in entries.flatten() {
            let Some(name) = name_of(&entry.file_name()) else { continue };
            let path = entry.path();
            if is_executable(&path) {
                found.entry(name).or_insert(path);
            }
        }
    }
    found
}

/// The format that an executable of this name would read.
fn name_of(file_name: &OsStr) -> Option<String> {
    let name = file_name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(EXE_SUFFIX)?;
    is_name(name).then(|| name.to_owned())
}

fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    let may_run = {
        use std::os::unix::fs::PermissionsExt as _;
        metadata.permissions().mode() & 0o111 != 0
    };
    #[cfg(not(unix))]
    let may_run = true;
    metadata.is_file() && may_run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_to_another_place() {
        for name in ["donut", "a", "lsst-alert_2", "-", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Donut", "../sh", "a/b", "a.b", "a b", "dönut", "a\0", "a\n", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
        assert_eq!(name_of(OsStr::new(&format!("hop-model-donut{EXE_SUFFIX}"))).as_deref(), Some("donut"));
        for other in ["hop-model-", "hop-model-Donut", "hop-model-a.b.c", "hop-models-donut", "hop"] {
            assert_eq!(name_of(OsStr::new(other)), None, "{other}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_first_executable_of_a_name_is_found() {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::PermissionsExt as _;

        let root = tempfile::tempdir().unwrap();
        for (file, mode) in [
            ("a/hop-model-one", 0o644),
            ("a/hop-model-two", 0o755),
            ("b/hop-model-one", 0o755),
            ("b/hop-model-two", 0o755),
            ("b/hop-model-Three", 0o755),
            ("b/other", 0o755),
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(root.path().join("b/hop-model-directory")).unwrap();
        let directories = ["missing", "a", "b"].map(|name| root.path().join(name));
        let found = in_directories([PathBuf::new(), PathBuf::from(".")].into_iter().chain(directories));
        let expected = [("one", "b/hop-model-one"), ("two", "a/hop-model-two")];
        assert_eq!(found, expected.map(|(name, file)| (name.to_owned(), root.path().join(file))).into());
    }
}
