//! Which characters XML 1.0 (fifth edition) allows, in text and in names.

/// Whether the character may appear in a document at all, production `Char`.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{1_0000}'..)
}

/// Whether the text is a name, production `Name`.
pub(super) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(starts_name) && characters.all(continues_name)
}

fn starts_name(c: char) -> bool {
    matches!(c, ':' | '_' | 'A'..='Z' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{1_0000}'..='\u{e_ffff}')
}

fn continues_name(c: char) -> bool {
    starts_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_letters() {
        for name in ["a", "voe:VOEvent", "_x-1.2", "Étoile"] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "1a", "-a", "a b", "a/b", "a\"", "#text"] {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn control_characters_are_not_allowed() {
        assert!(is_xml_char('\n') && is_xml_char('\u{85}') && is_xml_char('🚀'));
        assert!(!is_xml_char('\0') && !is_xml_char('\u{1b}') && !is_xml_char('\u{ffff}'));
    }
}
