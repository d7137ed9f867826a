//! What a shell completes: commands and options, the brokers of stored credentials, and the topics of a broker.
//!
//! A shell that has read the script of [`script`] runs this program again whenever somebody asks it to complete, with
//! [`VARIABLE`] set and what was typed so far behind `--`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{self, CompleteEnv, EnvCompleter, Shells};
use tokio::runtime;
use tokio::time::timeout;

use super::arguments;
use super::output::Output;
use super::{Failure, Outcome};
use crate::auth::{Auth, Credentials};
use crate::models::Registry;
use crate::stream::Stream;

/// The name under which the program is looked for, however it was started.
const NAME: &str = "hop";
/// Says which shell asks.
const VARIABLE: &str = "HOP_COMPLETE";
const SHELLS: Shells<'static> = Shells(&[&Bash, &env::Elvish, &env::Fish, &env::Powershell, &env::Zsh]);
/// Somebody sits there and waits for the topics.
const PATIENCE: Duration = Duration::from_secs(2);
const SCHEME: &str = "kafka://";

/// Answers the shell that asks, if one does, and ends the process then.
pub(super) fn answer(registry: &Registry) {
    CompleteEnv::with_factory(|| arguments::command(registry)).var(VARIABLE).shells(SHELLS).complete();
}

/// Prints what makes a shell ask.
pub(super) fn script(shell: clap_complete::Shell) -> Outcome {
    let completer = SHELLS.completer(&shell.to_string());
    let completer = completer.ok_or_else(|| Failure::Usage(format!("{shell} is not known here")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script).map_err(Failure::Runtime)?;
    let mut output = Output::new();
    output.write(&script)?;
    Ok(output.flush()?)
}

/// Bash, which takes `:`, `=` and `@` for words of their own: to this program, `kafka://USER@HOST/TOPIC` is one.
#[derive(Debug)]
struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        variable: &str,
        _: &str,
        program: &str,
        completer: &str,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(
            to,
            r#"_{program}() {{
    local words=() word joined= index
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        if ((index > 1)) && [[ $joined || $word == [:=@]* ]]; then
            words[${{#words[@]}} - 1]+=$word
        else
            words+=("$word")
        fi
        joined=
        [[ $word == *[:=@] ]] && joined=yes
    done
    local IFS=$'\n'
    COMPREPLY=($({variable}=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((${{#words[@]}} - 1)) \
        {completer} -- "${{words[@]}}" 2>/dev/null))
    # What stands in front of the word that bash is about to replace is there already.
    word=${{words[${{#words[@]}} - 1]}}
    COMPREPLY=("${{COMPREPLY[@]#"${{word%"$2"}}"}}")
    [[ ${{#COMPREPLY[@]}} -eq 1 && $COMPREPLY == *[/,=:@] ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -F _{program} {program}"#
        )
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        env::Bash.write_complete(command, words, directory, to)
    }
}

/// URLs that begin with what was typed.
pub(super) fn urls(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let candidates = match broker_of(typed) {
        None => brokers(typed, &credentials().unwrap_or_default()),
        Some(broker) => topics(typed, &visible_topics(broker).unwrap_or_default()),
    };
    candidates.into_iter().map(CompletionCandidate::new).collect()
}

/// The names of stored credentials that begin with what was typed.
pub(super) fn credential_names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let names = names(&credentials().unwrap_or_default());
    names.into_iter().filter(|name| name.starts_with(typed)).map(CompletionCandidate::new).collect()
}

fn credentials() -> Option<Credentials> {
    Auth::load().ok()
}

/// The URL of the broker alone, once it is all there.
fn broker_of(typed: &str) -> Option<&str> {
    let end = typed.strip_prefix(SCHEME)?.find('/')?;
    typed.get(..SCHEME.len() + end)
}

fn brokers(typed: &str, credentials: &[Auth]) -> Vec<String> {
    let user = typed.strip_prefix(SCHEME).and_then(|rest| rest.split_once('@')).map(|(user, _)| user);
    let user = user.map_or_else(String::new, |user| format!("{user}@"));
    let known = credentials.iter().map(Auth::hostname).filter(|host| !host.is_empty());
    let urls: BTreeSet<_> = known.map(|host| format!("{SCHEME}{user}{host}/")).collect();
    urls.into_iter().filter(|url| url.starts_with(typed)).collect()
}

fn topics(typed: &str, visible: &[String]) -> Vec<String> {
    let Some(end) = typed.rfind(['/', ',']) else { return Vec::new() };
    let (before, begun) = typed.split_at(end + 1);
    let wanted = visible.iter().filter(|topic| topic.starts_with(begun));
    wanted.map(|topic| format!("{before}{topic}")).collect()
}

fn visible_topics(broker: &str) -> Option<Vec<String>> {
    // What is typed for the command is among this program's own arguments.
    let stream =
        if is_on("HOP_NO_AUTH", "--no-auth") { Stream::anonymous() } else { Stream::new(credentials()?) };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let listed = runtime.block_on(async { timeout(PATIENCE, stream.list_topics(broker)).await });
    Some(listed.ok()?.ok()?.iter().map(|topic| topic.name.to_string()).collect())
}

/// Whether a switch is on by its variable, or its option stands among this process's arguments.
pub(super) fn is_on(variable: &str, option: &str) -> bool {
    let says_so = |value: OsString| {
        let value = BoolishValueParser::new().parse_ref(&clap::Command::new(NAME), None, &value);
        value.unwrap_or_default()
    };
    std::env::var_os(variable).is_some_and(says_so) || std::env::args_os().any(|word| word == option)
}

/// As `hop auth remove` takes them: a user alone, where it has one credential only.
fn names(credentials: &[Auth]) -> BTreeSet<String> {
    let is_only =
        |auth: &Auth| credentials.iter().filter(|other| other.username() == auth.username()).count() == 1;
    let name = |auth: &Auth| match auth.username() {
        user if is_only(auth) => user.to_owned(),
        user => format!("{user}@{}", auth.hostname()),
    };
    credentials.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> [Auth; 4] {
        [
            Auth::new("ada", "p").with_hostname("kafka.scimma.org"),
            Auth::new("ada", "p").with_hostname("localhost:9093"),
            Auth::new("grace", "p").with_hostname("kafka.scimma.org"),
            Auth::new("anywhere", "p"),
        ]
    }

    #[test]
    fn brokers_are_those_of_credentials() {
        let complete = |typed| brokers(typed, &stored());
        assert_eq!(complete(""), ["kafka://kafka.scimma.org/", "kafka://localhost:9093/"]);
        assert_eq!(complete("kafka://l"), ["kafka://localhost:9093/"]);
        assert_eq!(complete("kafka://ada@k"), ["kafka://ada@kafka.scimma.org/"]);
        assert!(complete("https").is_empty());
    }

    #[test]
    fn topics_come_behind_the_broker_and_behind_each_other() {
        assert_eq!(broker_of("kafka://h:1/gcn"), Some("kafka://h:1"));
        assert_eq!([broker_of("kafka://h"), broker_of("kafka:/"), broker_of("")], [None; 3]);
        let visible = ["gcn.circular", "gcn.notices", "other"].map(str::to_owned);
        assert_eq!(topics("kafka://h/gcn.c", &visible), ["kafka://h/gcn.circular"]);
        assert_eq!(topics("kafka://h/other,gcn.n", &visible), ["kafka://h/other,gcn.notices"]);
    }

    #[test]
    fn a_credential_is_named_so_that_there_is_one_of_that_name() {
        let expected = ["ada@kafka.scimma.org", "ada@localhost:9093", "anywhere", "grace"];
        assert_eq!(Vec::from_iter(names(&stored())), expected);
    }
}
