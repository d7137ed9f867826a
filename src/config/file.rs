//! Reading a small file within a bound, and replacing one so that no reader ever sees half of it.
//!
//! Files that hold secrets are written with mode 0600 from their first byte on. A file that is a symbolic link
//! (common where configuration lives in a repository) stays one: its target is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// No file of hop's is near this size; a larger one is a mistake, and is not read into memory.
pub(crate) const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The whole text of an open file, without a leading byte order mark. The memory is wiped when it is dropped.
pub(crate) fn read_text(file: &mut impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.by_ref().take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_SIZE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {MAX_FILE_SIZE} bytes"),
        ));
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        // The error of `String::from_utf8` would carry the bytes, which may hold a password.
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is not UTF-8 text (byte {} does not fit)", error.valid_up_to()),
        )
    })?;
    Ok(Zeroizing::new(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()))
}

/// Replaces the file at `path` (or creates it, and the directories above it) with `text`, in one step: whoever
/// opens the path sees the old text or the new one, also after a power cut. The new file has mode 0600.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = follow_links(path)?;
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directory(directory)?;

    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name"))?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{:016x}.tmp", u64::from_be_bytes(random)));
    let temporary = directory.join(temporary_name);

    let written = write_new(&temporary, &target, text).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // The temporary file holds the secrets, too. That it cannot be removed says nothing new.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(directory)
}

/// The file that a chain of symbolic links ends at, whether it exists or not.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows itself.
    const MAX_LINKS: usize = 40;

    let mut current = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&current) {
            Ok(metadata) if metadata.file_type().is_symlink() => {
                let target = fs::read_link(&current)?;
                // `join` replaces the whole path when the target is absolute.
                current = current.parent().unwrap_or(Path::new("")).join(target);
            }
            Ok(_) => return Ok(current),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(current),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("there are too many symbolic links on the way to it"))
}

fn write_new(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(temporary)?;
    keep_owner(&file, target);
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the new file the owner of the one it replaces: `sudo hop auth add` must not lock a user out.
#[cfg(unix)]
fn keep_owner(file: &File, target: &Path) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let (Ok(old), Ok(new)) = (fs::metadata(target), file.metadata()) else { return };
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        // Only the superuser may do this; for others the file becomes theirs, which is the best there is.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _target: &Path) {}

fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(directory)
}

/// The rename itself reaches the disk only with its directory.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_dropped_and_other_bytes_are_named() {
        assert_eq!(*read_text(&mut &b"\xef\xbb\xbfa = 1"[..]).unwrap(), "a = 1");
        let error = read_text(&mut &b"ab\xff"[..]).unwrap_err();
        assert_eq!(error.to_string(), "it is not UTF-8 text (byte 2 does not fit)");
    }

    #[test]
    fn an_endless_file_is_refused() {
        let error = read_text(&mut io::repeat(b'#')).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn replacing_creates_directories_and_leaves_nothing_else_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/auth.toml");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_new_file_is_private_whatever_the_old_one_was() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_even_when_they_dangle() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        let link = root.path().join("auth.toml");
        std::os::unix::fs::symlink("second.toml", &link).unwrap();
        std::os::unix::fs::symlink("real/auth.toml", root.path().join("second.toml")).unwrap();
        replace(&link, "text").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::read_to_string(root.path().join("real/auth.toml")).unwrap(), "text");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("auth.toml");
        std::os::unix::fs::symlink("auth.toml", &link).unwrap();
        assert!(replace(&link, "text").is_err());
    }

    #[test]
    fn a_failed_replacement_leaves_no_temporary_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth.toml");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, "text").is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
