//! `hop broker`: a Kafka broker in this process, until a signal ends it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::{BrokerArguments, ListenAddress};
use super::interrupt::Interrupt;
use super::output::Output;
use super::{Failure, Outcome, say};
use crate::broker::{Broker, BrokerBuilder, StartError};

/// Where the certificate that was made is put, in the directory that is given.
const CERTIFICATE: &str = "ca.pem";

pub(super) async fn run(arguments: BrokerArguments, interrupt: Interrupt) -> Outcome {
    let broker = set_up(&arguments)?.start().await?;
    say("hop: this broker is for first steps, demonstrations and tests; it is no production store");
    if let Some(pem) = broker.certificate_pem()
        && arguments.certificate.is_none()
    {
        let directory = arguments.data.clone().unwrap_or_default();
        let path = directory.join(CERTIFICATE);
        write_whole(&path, pem).map_err(|source| BrokerFailure::Write { path: path.clone(), source })?;
        say(&format!("hop: clients are to trust {}", path.display()));
    }
    if let Some(address) = broker.plaintext_address() {
        say(&format!("hop: without TLS and for anybody, it listens on kafka://{address}"));
    }
    // The last thing that is said: whoever waits for this line may begin.
    {
        let mut output = Output::new();
        output.line(&format!("listening on kafka://{}", broker.address()))?;
        output.flush()?;
    }
    interrupt.heard().await;
    broker.stop().await;
    Ok(())
}

fn set_up(arguments: &BrokerArguments) -> Result<BrokerBuilder, BrokerFailure> {
    let (host, port) = &arguments.listen.0;
    let mut builder = Broker::builder()
        .listen(host, *port)
        .brokers(arguments.brokers)
        .fsync(arguments.fsync.0)
        .memory_limit(arguments.memory.saturating_mul(1024 * 1024))
        .create_topics(!arguments.no_create_topics);
    if let Some(ListenAddress((host, port))) = &arguments.plaintext {
        builder = builder.plaintext(host, *port);
    }
    if let Some(directory) = &arguments.data {
        builder = builder.data(directory);
    }
    for topic in &arguments.topic {
        builder = builder.topic(&topic.name, topic.partitions);
    }
    for user in &arguments.user {
        builder = builder.user(&user.name, password(&user.name, user.password_file.as_deref())?);
    }
    for denial in &arguments.deny {
        builder = builder.deny(denial.clone());
    }
    match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => builder = builder.tls_certificate(read(certificate)?, read(key)?),
        _ if arguments.tls => builder = builder.tls(),
        _ => {}
    }
    Ok(builder)
}

/// In one step: a client that starts now reads the old file or the new. Anybody may read it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("pem.new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// The first line of a file, or what is typed.
fn password(user: &str, file: Option<&Path>) -> Result<String, BrokerFailure> {
    let text = match file {
        Some(path) => read(path)?,
        None => {
            rpassword::prompt_password(format!("Password for {user}: ")).map_err(BrokerFailure::Prompt)?
        }
    };
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(BrokerFailure::NoPassword { user: user.to_owned() }),
    }
}

fn read(path: &Path) -> Result<String, BrokerFailure> {
    fs::read_to_string(path).map_err(|source| BrokerFailure::Read { path: path.to_owned(), source })
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerFailure {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot ask for a password: {0}; name a file that holds it, as NAME:FILE")]
    Prompt(io::Error),
    #[error("the password of {user} is empty")]
    NoPassword { user: String },
}

impl From<BrokerFailure> for Failure {
    fn from(failure: BrokerFailure) -> Self {
        Self::Reported(failure.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Reported(error.to_string())
    }
}
