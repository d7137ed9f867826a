//! `hop show`: prints a stored message as `hop subscribe` would, without a broker.

use std::io::{self, Read};
use std::path::Path;

use super::arguments::ShowArguments;
use super::output::Output;
use super::{Failure, Outcome};
use crate::models::{ModelError, Registry};

pub(super) fn run(arguments: &ShowArguments, registry: &Registry) -> Outcome {
    let file = &arguments.file;
    let payload = read(file).map_err(|source| ShowFailure::File { file: named(file), source })?;
    let mut output = Output::new();
    if arguments.raw {
        print(&mut output, &payload)?;
        return Ok(output.flush()?);
    }
    let headers = arguments.headers.iter();
    let format = headers.filter(|(name, _)| name == "_format").map(|(_, value)| value).next();
    let format = format.or(arguments.format.as_ref()).map(String::as_bytes);
    let decoded = registry
        .decode(format, &payload)
        .map_err(|source| ShowFailure::Unreadable { file: named(file), source })?;
    if let Some(warning) = decoded.warning {
        tracing::warn!("{warning}");
    }
    if arguments.json {
        print(&mut output, decoded.model.json_line().as_bytes())?;
    } else {
        print(&mut output, &decoded.model.to_text())?;
    }
    Ok(output.flush()?)
}

/// Why a message could not be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShowFailure {
    #[error("cannot read {file}: {source}")]
    File { file: String, source: io::Error },
    #[error("{file}: {source}")]
    Unreadable { file: String, source: ModelError },
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn named(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn print(output: &mut Output, bytes: &[u8]) -> Result<(), Failure> {
    output.write(bytes)?;
    if !bytes.ends_with(b"\n") {
        output.write(b"\n")?;
    }
    Ok(())
}
