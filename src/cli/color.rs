//! When colours are used, and which.

use std::io::IsTerminal;

use clap::ValueEnum;

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether there are to be colours where this text goes.
    pub(super) fn is_for(self, destination: &impl IsTerminal) -> bool {
        match self {
            Self::Auto => destination.is_terminal() && !is_set("NO_COLOR") && !is_dumb(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// As <https://no-color.org> has it: an empty variable counts as none.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Editors run programs in what is a terminal and knows no escape sequences.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// What a text means to whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Failure,
}

/// The text in the colour of its tone.
pub(super) fn paint(text: &str, tone: Tone, in_color: bool) -> String {
    let code = match tone {
        _ if !in_color => return text.to_owned(),
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Failure => "1;31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_painted_only_where_it_is_wanted() {
        assert_eq!(paint("ok", Tone::Good, true), "\x1b[32mok\x1b[0m");
        assert_eq!(paint("ok", Tone::Good, false), "ok");
    }
}
