//! Manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap_mangen::Man;

use super::output::Output;
use super::{Failure, Outcome, arguments};
use crate::models::Registry;

/// Writes a page for each command.
pub(super) fn write(directory: &Path, registry: &Registry) -> Outcome {
    let failed = |path: &Path, source: io::Error| {
        Failure::Reported(format!("cannot write manual pages to {}: {source}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let mut command = arguments::command(registry);
    command.build();
    let mut written = vec![];
    pages(command, directory, &mut written).map_err(|(path, error)| failed(&path, error))?;
    let mut output = Output::new();
    for path in written {
        output.line(&path.display().to_string())?;
    }
    Ok(output.flush()?)
}

fn pages(
    command: clap::Command,
    directory: &Path,
    written: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let is_page = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    for below in command.get_subcommands().filter(is_page) {
        pages(below.clone(), directory, written)?;
    }
    let man = Man::new(command);
    let path = directory.join(man.get_filename());
    let mut page = Vec::new();
    let rendered = man.render(&mut page);
    rendered.and_then(|()| replace(&path, &page)).map_err(|error| (path.clone(), error))?;
    written.push(path);
    Ok(())
}

/// Writes a file in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}
