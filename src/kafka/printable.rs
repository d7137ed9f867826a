//! Text from a peer, made fit to be shown.

/// `text` without what could move a terminal's cursor or hide words, and no longer than a line or two.
pub(crate) fn printable(text: &str) -> String {
    const MOST: usize = 300;
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_and_length_are_taken_away() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), 301);
    }
}
