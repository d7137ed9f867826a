//! `--exec`: a command for each message, which is done with when the command succeeds.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::AsyncWriteExt;
use tokio::process;
use tokio::time::{sleep, timeout};

use crate::stream::{Metadata, RawMessage};

/// What is run, and what becomes of messages that it does not succeed with.
#[derive(Debug)]
pub(super) struct Command {
    line: String,
    time_limit: Duration,
    retries: u32,
    dead_letters: Option<DeadLetters>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// The command succeeded with it.
    ByCommand,
    /// It is in the dead-letter file.
    DeadLetter,
}

/// Where messages are put that nothing could be done with.
#[derive(Debug)]
struct DeadLetters {
    path: PathBuf,
    file: File,
}

/// Why a message is not done with.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CommandError {
    /// The last attempt.
    #[error(
        "the command failed for the message in topic '{topic}', partition {partition}, offset {offset}: {reason}; \
         it is not done with, and nothing behind it was begun"
    )]
    Failed { topic: String, partition: i32, offset: i64, reason: String },
    #[error("cannot write to the dead-letter file {}: {source}", path.display())]
    DeadLetter { path: PathBuf, source: io::Error },
}

impl Command {
    /// Opens the dead-letter file, so that what is wrong with it shows before anything is read.
    pub(super) fn new(
        line: String,
        time_limit: Duration,
        retries: u32,
        dead_letters: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let open = |path: &Path| match OpenOptions::new().append(true).create(true).open(path) {
            Ok(file) => Ok(DeadLetters { path: path.to_owned(), file }),
            Err(source) => Err(CommandError::DeadLetter { path: path.to_owned(), source }),
        };
        Ok(Self { line, time_limit, retries, dead_letters: dead_letters.map(open).transpose()? })
    }

    /// Runs the command until it succeeds, as often as it may. Dropping the future ends it.
    pub(super) async fn run(&mut self, message: &RawMessage, input: &[u8]) -> Result<Done, CommandError> {
        let at = message.metadata();
        let mut failures = 0;
        let reason = loop {
            let Err(reason) = self.attempt(at, input).await else { return Ok(Done::ByCommand) };
            if failures == self.retries {
                break reason;
            }
            failures += 1;
            tracing::warn!(topic = %at.topic, partition = at.partition, offset = at.offset, "{reason}; trying again");
            sleep(pause(failures)).await;
        };
        let Some(dead_letters) = &mut self.dead_letters else {
            return Err(CommandError::Failed {
                topic: at.topic.to_string(),
                partition: at.partition,
                offset: at.offset,
                reason,
            });
        };
        tracing::error!(
            topic = %at.topic, partition = at.partition, offset = at.offset,
            "{reason}; the message is put into {}", dead_letters.path.display()
        );
        let letter = dead_letter(message, &reason);
        let written =
            dead_letters.file.write_all(letter.as_bytes()).and_then(|()| dead_letters.file.sync_data());
        match written {
            Ok(()) => Ok(Done::DeadLetter),
            Err(source) => Err(CommandError::DeadLetter { path: dead_letters.path.clone(), source }),
        }
    }

    async fn attempt(&self, at: &Metadata, input: &[u8]) -> Result<(), String> {
        let mut command = process::Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped()).kill_on_drop(true);
        command.envs(environment(at));
        let mut child = command.spawn().map_err(|error| format!("'sh' cannot be started: {error}"))?;
        let mut stdin = child.stdin.take();
        let fed = async {
            if let Some(stdin) = &mut stdin {
                // It need not read what it is given.
                let _ = stdin.write_all(input).await;
            }
            drop(stdin);
        };
        match timeout(self.time_limit, async { tokio::join!(fed, child.wait()).1 }).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ended(status)),
            Ok(Err(error)) => Err(format!("it cannot be waited for: {error}")),
            Err(_) => {
                let killed = child.kill().await;
                let and =
                    killed.err().map(|error| format!(", and cannot be ended: {error}")).unwrap_or_default();
                Err(format!("it took longer than {:?}{and}", self.time_limit))
            }
        }
    }
}

/// How long to wait after so many failures: what is away for a moment may be back.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(failures.saturating_sub(1)).min(30))
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with {code}"),
        None => format!("it was ended by a {status}"),
    }
}

/// What the command is told of the message, under names of its own.
fn environment(at: &Metadata) -> Vec<(&'static str, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let told = [
        ("HOP_TOPIC", Some(at.topic.to_string())),
        ("HOP_PARTITION", Some(at.partition.to_string())),
        ("HOP_OFFSET", Some(at.offset.to_string())),
        ("HOP_TIMESTAMP", Some(at.timestamp.to_string())),
        ("HOP_ID", at.id().map(|id| id.to_string())),
        ("HOP_SENDER", at.sender().map(str::to_owned)),
        ("HOP_FORMAT", at.format().and_then(text)),
        ("HOP_KEY", at.key.as_deref().and_then(text)),
        ("HOP_TEST", at.is_test().then(|| "true".to_owned())),
    ];
    // No variable can hold a NUL.
    told.into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.contains('\0'))?)))
        .collect()
}

/// A line of JSON from which the message can be had back.
fn dead_letter(message: &RawMessage, reason: &str) -> String {
    let at = message.metadata();
    let base64 = |bytes: Option<&[u8]>| bytes.map(|bytes| BASE64.encode(bytes));
    let headers = at.headers.iter().map(|header| {
        let name = String::from_utf8_lossy(header.name());
        serde_json::json!([name, base64(header.value().map(|value| &value[..]))])
    });
    let letter = serde_json::json!({
        "topic": &*at.topic,
        "partition": at.partition,
        "offset": at.offset,
        "timestamp": at.timestamp,
        "key": base64(at.key.as_deref()),
        "headers": headers.collect::<Vec<_>>(),
        "payload": BASE64.encode(message.payload()),
        "reason": reason,
    });
    format!("{letter}\n")
}
