//! What was found, a line for each thing that was looked at.

use std::time::Duration;

use serde_json::json;

use crate::cli::color::{Tone, paint};
use crate::cli::output::{Output, Written};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Good,
    /// It works, and may not for ever.
    Warning,
    Failure,
}

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    check: &'static str,
    status: Status,
    found: String,
    took: Option<Duration>,
    advice: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Good, found: found.into(), took: None, advice: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Status::Warning, advice: Some(advice.into()), ..Self::good(check, found) }
    }

    /// Errors say what to do themselves.
    pub(super) fn failure(check: &'static str, found: impl Into<String>) -> Self {
        Self { status: Status::Failure, ..Self::good(check, found) }
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    pub(super) fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    pub(super) fn is_failure(&self) -> bool {
        self.status == Status::Failure
    }
}

/// Prints findings as they come.
#[derive(Debug)]
pub(super) struct Report {
    output: Output,
    json: bool,
    in_color: bool,
    failures: u64,
}

impl Report {
    pub(super) fn new(json: bool, in_color: bool) -> Self {
        Self { output: Output::new(), json, in_color, failures: 0 }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn add(&mut self, finding: &Finding) -> Written {
        self.failures += u64::from(finding.is_failure());
        let Finding { check, status, found, took, advice } = finding;
        if self.json {
            let milliseconds = took.map(|took| took.as_micros() as f64 / 1000.0);
            let status = match status {
                Status::Good => "good",
                Status::Warning => "warning",
                Status::Failure => "failure",
            };
            let line = json!({
                "check": check, "status": status, "found": found, "advice": advice, "milliseconds": milliseconds,
            });
            self.output.line(&line.to_string())?;
        } else {
            let (status, tone) = match status {
                Status::Good => ("ok", Tone::Good),
                Status::Warning => ("WARNING", Tone::Warning),
                Status::Failure => ("FAILURE", Tone::Failure),
            };
            let status = paint(&format!("{status:8}"), tone, self.in_color);
            let took =
                took.map_or_else(String::new, |took| format!(" ({:.1} ms)", took.as_secs_f64() * 1000.0));
            // What a broker or an error says may have several lines.
            let found = found.replace('\n', " ");
            self.output.line(&format!("{status} {check:12} {found}{took}"))?;
            if let Some(advice) = advice {
                self.output.line(&format!("{:21} → {advice}", ""))?;
            }
        }
        // What comes next may take long.
        self.output.flush()
    }
}
