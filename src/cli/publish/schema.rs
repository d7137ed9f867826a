//! Files that break the schema of VOEvents: where, and how.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::models::{SchemaProblem, VoEvent};

/// A problem and its place, as compilers and editors write it.
#[derive(Debug)]
pub(in crate::cli) struct FileProblem {
    path: PathBuf,
    problem: SchemaProblem,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SchemaProblem { line, column, problem, .. } = &self.problem;
        write!(f, "{}:{line}:{column}: {problem}", self.path.display())
    }
}

/// The problems of a file in this format. Only VOEvents in XML have a schema.
pub(super) fn problems(path: &Path, format: &str, content: &[u8]) -> Vec<FileProblem> {
    if !format.eq_ignore_ascii_case(VoEvent::FORMAT) || VoEvent::is_json_form(content) {
        return Vec::new();
    }
    let problems = VoEvent::validate(content).into_iter();
    problems.map(|problem| FileProblem { path: path.to_owned(), problem }).collect()
}

/// All of them, a line each.
pub(super) fn listed(problems: &[FileProblem]) -> String {
    problems.iter().map(|problem| format!("\n{problem}")).collect()
}
