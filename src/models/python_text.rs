//! Python's idea of white space and of where a line ends, which the formats of hop-client inherit.
//!
//! Both are wider than Rust's: the separators U+001C to U+001F are white space, and a vertical tab, a form feed and
//! four more characters end a line.

/// Whether Python's `str.strip` removes this character.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The text without white space at both ends.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The lines of a text without their ends, as Python's `str.splitlines`: no line after the last end.
pub(crate) fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match rest.find(ends_line) {
            Some(at) => {
                let (line, tail) = rest.split_at(at);
                let end =
                    if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(0, char::len_utf8) };
                (line, tail.get(end..).unwrap_or_default())
            }
            None => (rest, ""),
        };
        rest = after;
        Some(line)
    })
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_of_python_ends_a_line() {
        let text = "a\nb\r\nc\rd\u{b}e\u{c}f\u{1c}g\u{1d}h\u{1e}i\u{85}j\u{2028}k\u{2029}l";
        let lines: Vec<_> = split_lines(text).collect();
        assert_eq!(lines, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]);
        assert_eq!(split_lines("").count(), 0);
        assert_eq!(split_lines("\n").collect::<Vec<_>>(), [""]);
        assert_eq!(split_lines("a\n\n").collect::<Vec<_>>(), ["a", ""]);
    }

    #[test]
    fn separators_are_white_space() {
        assert_eq!(strip("\u{1f}\u{a0} x \u{3000}\n"), "x");
    }
}
