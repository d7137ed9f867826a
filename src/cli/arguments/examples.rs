//! What stands below the options in each command's help: how it is typed.

use clap::Command;

/// Each command, and lines that its users may type.
const EXAMPLES: [(&str, &[&str]); 15] = [
    (
        "configure",
        &[
            "hop configure locate                    # config.toml",
            "hop configure locate -t auth            # auth.toml, with the credentials",
        ],
    ),
    (
        "auth",
        &[
            "hop auth add hop-credentials.csv        # as my.hop.scimma.org offers it",
            "hop auth add --check kafka://kafka.scimma.org",
            "hop auth list",
            "hop auth which kafka://kafka.scimma.org/gcn.circular",
        ],
    ),
    (
        "publish",
        &[
            "hop publish kafka://kafka.scimma.org/my.topic -f CIRCULAR circular.gcn3",
            "hop publish kafka://kafka.scimma.org/my.topic -f VOEVENT alerts/*.xml --key S260101a",
            "hop publish kafka://kafka.scimma.org/my.topic --journal waiting       # lines of JSON",
            "hop publish --dry-run --strict kafka://kafka.scimma.org/my.topic -f VOEVENT event.xml",
        ],
    ),
    (
        "subscribe",
        &[
            "hop subscribe kafka://kafka.scimma.org/gcn.circular -s EARLIEST       # all there is",
            "hop subscribe kafka://kafka.scimma.org/gcn.notices -p --role observation",
            "hop subscribe kafka://kafka.scimma.org/gcn.notices --from -2h --format ndjson",
            "hop subscribe kafka://kafka.scimma.org/gcn.notices -p -g my-archive --output-dir alerts",
            "hop subscribe kafka://kafka.scimma.org/gcn.notices -p -g my-reactions --exec ./react",
        ],
    ),
    ("version", &["hop version"]),
    (
        "list-topics",
        &[
            "hop list-topics kafka://kafka.scimma.org",
            "hop list-topics -v kafka://kafka.scimma.org/gcn.circular,gcn.notices",
        ],
    ),
    ("lag", &["hop lag kafka://kafka.scimma.org/gcn.notices my-archive"]),
    (
        "offsets",
        &[
            "hop offsets show kafka://kafka.scimma.org/gcn.notices my-archive",
            "hop offsets reset kafka://kafka.scimma.org/gcn.notices my-archive --to EARLIEST",
            "hop offsets to-time kafka://kafka.scimma.org/gcn.notices my-archive -1day",
        ],
    ),
    (
        "tail",
        &["hop tail -n 3 kafka://kafka.scimma.org                       # of each topic that you may see"],
    ),
    (
        "top",
        &[
            "hop top kafka://kafka.scimma.org",
            "hop top -n 10 --interval 60 kafka://kafka.scimma.org/gcn.notices",
        ],
    ),
    (
        "doctor",
        &["hop doctor kafka://kafka.scimma.org/gcn.circular", "hop doctor --json kafka://kafka.scimma.org"],
    ),
    ("completions", &["hop completions bash                     # source <(hop completions bash)"]),
    ("man", &["hop man man1                             # then: man -M . hop-subscribe"]),
    (
        "show",
        &[
            "hop show -f voevent payload.bin",
            "hop show -H _format=circular -j -           # from standard input",
        ],
    ),
    (
        "broker",
        &["hop broker --topic alerts:3", "hop broker --listen localhost:9093 --tls --data broker --user ada"],
    ),
];

/// The same, with examples in the help of each command that there is.
pub(super) fn with_examples(command: Command) -> Command {
    let mut command = command;
    for (name, lines) in EXAMPLES {
        if command.find_subcommand(name).is_some() {
            let help = format!("Examples:\n  {}", lines.join("\n  "));
            command = command.mut_subcommand(name, |subcommand| subcommand.after_help(help));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::command;
    use crate::models::Registry;

    #[test]
    fn each_command_has_examples_and_each_example_can_be_typed() {
        let command = command(&Registry::standard());
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "demo") {
            let name = subcommand.get_name();
            assert!(EXAMPLES.iter().any(|(known, _)| *known == name), "{name} has none");
        }
        for (name, lines) in EXAMPLES {
            if command.find_subcommand(name).is_none() {
                continue;
            }
            for line in lines {
                let words = line.split(" #").next().unwrap_or_default().split_whitespace();
                let parsed = command.clone().try_get_matches_from(words);
                assert_eq!(
                    parsed.as_ref().ok().and_then(|found| found.subcommand_name()),
                    Some(name),
                    "{line}"
                );
            }
        }
    }
}
