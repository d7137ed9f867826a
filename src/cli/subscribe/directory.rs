//! `--output-dir`: a file for each message.
//!
//! A name tells a message from all others, so that one that is read again finds its file there already: nothing is
//! stored twice, and nothing that was stored changes.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::file_name::FileName;
use crate::stream::Metadata;

pub(super) struct Directory {
    path: PathBuf,
    file_name: FileName,
}

/// Why a message could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store messages in {}: {source}", path.display())]
pub(in crate::cli) struct StoreError {
    path: PathBuf,
    source: io::Error,
}

impl Directory {
    /// Makes the directory if it is not there: what is wrong with it shows before anything is read.
    pub(super) fn open(path: &Path, file_name: FileName) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(|source| StoreError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file_name })
    }

    /// Stores a message in one step: under its name there is all of it, or nothing.
    pub(super) fn store(&self, metadata: &Metadata, parts: &[&[u8]]) -> Result<(), StoreError> {
        let path = self.path.join(self.file_name.of(metadata));
        write_once(&path, parts).map_err(|source| StoreError { path, source })
    }
}

fn write_once(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    if fs::exists(path)? {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".hop-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any new file: less what the user's mask takes.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(parent)?;
    for part in parts {
        file.write_all(part)?;
    }
    // The name must not outlive the bytes where the power goes.
    file.as_file().sync_data()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        stored => Ok(stored.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/down/1");
        write_once(&path, &[b"first", b"\n"]).unwrap();
        write_once(&path, &[b"second"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first\n");
        // Nothing else is left.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_with_the_directory_shows_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = "{id}".parse().unwrap();
        let error = Directory::open(file.path(), name).err().unwrap().to_string();
        assert!(error.starts_with("cannot store messages in "), "{error}");
    }
}
