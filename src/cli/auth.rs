//! `hop auth`: the credential file.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use secrecy::SecretString;

use super::arguments::{AuthAction, AuthArguments};
use super::output::Output;
use super::{Failure, Outcome, block_on, say};
use crate::auth::{
    AddError, Auth, CredentialFile, CredentialLabel, CredentialName, LoadError, OnConflict, Protocol,
    RemoveError, SaveError, SelectError, csv, entry, listing, select,
};
use crate::config::{NoConfigDirectory, Paths};
use crate::stream::{HopUrl, OpenError, Stream};

pub(super) fn run(arguments: AuthArguments) -> Outcome {
    let quiet = arguments.verbosity.quiet;
    match arguments.action {
        AuthAction::Locate => locate(),
        AuthAction::List => list(),
        AuthAction::Add { force, check, file } => add(file.as_deref(), force, check.as_deref(), quiet),
        AuthAction::Which { url } => which(&url),
        AuthAction::Remove { name } => remove(&name, quiet),
    }
}

/// Why a credential could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthFailure {
    #[error(transparent)]
    NoDirectory(#[from] NoConfigDirectory),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Import(#[from] csv::ImportError),
    #[error(transparent)]
    Entry(#[from] entry::EntryError),
    #[error("cannot ask for a credential: {0}")]
    Prompt(#[from] io::Error),
    #[error(transparent)]
    Add(#[from] AddError),
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error(transparent)]
    Remove(#[from] RemoveError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("{source}\nThe credential was not stored")]
    Check { source: Box<OpenError> },
}

fn locate() -> Outcome {
    let path = CredentialFile::locate().map_err(AuthFailure::from)?;
    print([path.to_string_lossy().into_owned()])
}

fn list() -> Outcome {
    let file = CredentialFile::load(&paths()?)?;
    if file.credentials().is_empty() && io::stdout().is_terminal() {
        return print(["No credentials configured".to_owned()]);
    }
    print(listing(file.credentials()))
}

/// Says what `hop publish` and `hop subscribe` would use for this URL.
fn which(url: &str) -> Outcome {
    let url: HopUrl = url.parse().map_err(OpenError::from)?;
    let file = CredentialFile::load(&paths()?)?;
    let chosen = select(file.credentials(), url.authority(), url.username()).map_err(AuthFailure::from)?;
    let protection = match chosen.protocol() {
        Protocol::SaslSsl => "TLS",
        Protocol::SaslPlaintext => "no encryption",
    };
    print([format!("{}, by {} over {protection}", CredentialLabel::from(chosen), chosen.mechanism())])
}

fn add(csv_file: Option<&Path>, force: bool, broker: Option<&str>, quiet: bool) -> Outcome {
    // A file that is broken is said to be so before anything is asked for.
    let mut file = CredentialFile::load_or_empty(&paths()?)?;
    let auth = match csv_file {
        Some(path) => csv::import(path).map_err(AuthFailure::from)?,
        None => ask()?,
    };
    let on_conflict = if force { OnConflict::Overwrite } else { OnConflict::Refuse };
    file.add(auth.clone(), on_conflict).map_err(AuthFailure::from)?;
    if let Some(url) = broker {
        check(auth, url, quiet)?;
    }
    save(&file, quiet)
}

/// Logs in with a credential that is not stored yet.
fn check(auth: Auth, url: &str, quiet: bool) -> Outcome {
    let (username, stream) = (auth.username().to_owned(), Stream::new(auth));
    block_on(async |interrupt| {
        let visible = tokio::select! {
            topics = stream.list_topics(url) => topics,
            () = interrupt.heard() => {
                return Err(Failure::Reported("interrupted; the credential was not stored".to_owned()));
            }
        };
        let visible = visible.map_err(|source| AuthFailure::Check { source: Box::new(source) })?.len();
        if !quiet {
            say(&format!("hop: '{username}' is let in and may see {visible} {}", plural(visible, "topic")));
        }
        Ok(())
    })
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn remove(name: &str, quiet: bool) -> Outcome {
    let mut file = CredentialFile::load_or_empty(&paths()?)?;
    file.remove(&CredentialName::parse(name)).map_err(AuthFailure::from)?;
    save(&file, quiet)
}

fn save(file: &CredentialFile, quiet: bool) -> Outcome {
    let path = file.save().map_err(AuthFailure::from)?;
    if !quiet {
        say(&format!("hop: Wrote configuration to: {}", path.display()));
    }
    Ok(())
}

/// Asks for a credential at the prompt; what is typed as password or token does not show.
fn ask() -> Result<Auth, AuthFailure> {
    let username = entry::username(&ask_line("Username: ")?)?;
    let password = entry::password(ask_secret("Password: ")?)?;
    let hostname = entry::hostname(&ask_line("Hostname (may be empty): ")?)?;
    if hostname.prefix_ignored {
        say("hop: warning: Ignoring 'kafka://' prefix on hostname");
    }
    let endpoint = entry::token_endpoint(&ask_line("Token endpoint (empty if not applicable): ")?)?;
    let auth = Auth::new(username, password).with_hostname(hostname.hostname);
    Ok(match endpoint {
        Some(endpoint) => auth.with_token_endpoint(endpoint),
        None => auth,
    })
}

fn ask_line(question: &str) -> io::Result<String> {
    ask_on_standard_error(question)?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input ended"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn ask_secret(question: &str) -> io::Result<SecretString> {
    if io::stdin().is_terminal() {
        ask_on_standard_error(question)?;
        return rpassword::read_password().map(SecretString::from);
    }
    ask_line(question).map(SecretString::from)
}

/// Questions are no output: standard output stays free for what is asked of this program.
fn ask_on_standard_error(question: &str) -> io::Result<()> {
    let mut error = io::stderr();
    error.write_all(question.as_bytes())?;
    error.flush()
}

fn paths() -> Result<Paths, Failure> {
    Ok(Paths::from_environment().map_err(AuthFailure::from)?)
}

fn print(lines: impl IntoIterator<Item = String>) -> Outcome {
    let mut output = Output::new();
    for line in lines {
        output.line(&line)?;
    }
    Ok(output.flush()?)
}
