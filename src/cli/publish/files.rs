//! The files that were named: also those of directories, and those that a pattern stands for.

use std::io;
use std::path::{Path, PathBuf};

use super::{PublishFailure, schema};
use crate::models::{AvroBlob, MessageModel, ModelError, Registry};

/// The files that these names stand for: those of a directory, but for hidden ones, and those that a pattern matches, in
/// the order of their names.
pub(super) fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, PublishFailure> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let found = of_directory(path)
                .map_err(|source| PublishFailure::Directory { path: path.clone(), source })?;
            files.extend(some(found, path)?);
        } else if let Some(pattern) = pattern(path) {
            let paths = glob::glob(pattern)
                .map_err(|source| PublishFailure::Pattern { path: path.clone(), source })?;
            // What cannot be looked into may hold files that are wanted.
            let found = paths.collect::<Result<Vec<_>, _>>().map_err(|error| PublishFailure::Directory {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            files.extend(some(found.into_iter().filter(|path| !path.is_dir()).collect(), path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The pattern that this is, if it is no file's name. Most shells have put files in its place already.
fn pattern(path: &Path) -> Option<&str> {
    let text = path.to_str().filter(|text| text.contains(['*', '?', '[']))?;
    (!path.exists()).then_some(text)
}

fn of_directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn some(files: Vec<PathBuf>, path: &Path) -> Result<Vec<PathBuf>, PublishFailure> {
    if files.is_empty() { Err(PublishFailure::NoFiles { path: path.to_owned() }) } else { Ok(files) }
}

/// Reads all of them. What breaks the schema of its format is warned of, or refused where that `is_strict`.
pub(super) fn load_all(
    files: &[PathBuf],
    format: &str,
    registry: &Registry,
    is_strict: bool,
) -> Result<Vec<Box<dyn MessageModel>>, PublishFailure> {
    let mut models = Vec::new();
    let mut refused = Vec::new();
    for path in files {
        let failed = |source| PublishFailure::File { path: path.clone(), source };
        let content = std::fs::read(path)
            .map_err(|source| failed(ModelError::Unreadable { path: path.clone(), source }))?;
        let problems = schema::problems(path, format, &content);
        if is_strict && !problems.is_empty() {
            refused.extend(problems);
            continue;
        }
        match registry.load(format, &content) {
            Some(loaded) => {
                let model = loaded.map_err(failed)?;
                if let Some(avro) = model.downcast_ref::<AvroBlob>().filter(|avro| !avro.is_single_record()) {
                    let records = avro.records().len();
                    tracing::warn!(
                        "{}: its {records} records are one message; hop-client reads only messages of one record",
                        path.display()
                    );
                }
                models.push(model);
            }
            None => return Err(PublishFailure::UnknownFormat { format: format.to_owned() }),
        }
        for problem in problems {
            tracing::warn!("{problem}");
        }
    }
    if refused.is_empty() { Ok(models) } else { Err(PublishFailure::Schema { problems: refused }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path, named: &[&str]) -> Result<Vec<String>, String> {
        let named: Vec<_> = named.iter().map(|name| directory.join(name)).collect();
        let files = expand(&named).map_err(|error| error.to_string())?;
        Ok(files.iter().map(|file| file.strip_prefix(directory).unwrap().display().to_string()).collect())
    }

    #[test]
    fn directories_and_patterns_stand_for_their_files() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["b.xml", "a.xml", "c.txt", ".hidden.xml", "x[1].xml", "deep/d.xml", "empty/.keep"] {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let names = |named: &[&str]| names(directory.path(), named);
        assert_eq!(names(&[""]).unwrap(), ["a.xml", "b.xml", "c.txt", "x[1].xml"]);
        assert_eq!(names(&["deep", "?.xml"]).unwrap(), ["deep/d.xml", "a.xml", "b.xml"]);
        // A file of that name is what is meant; and what is not there is found out when it is read.
        assert_eq!(names(&["x[1].xml", "gone.xml"]).unwrap(), ["x[1].xml", "gone.xml"]);
        for (named, said) in [("empty", "there are no files in "), ("*.fits", "there are no files in ")] {
            assert!(names(&[named]).unwrap_err().starts_with(said), "{named}");
        }
        assert!(names(&["[.xml"]).unwrap_err().contains("is no pattern"));
    }
}
