//! What stands around the elements of a document and says nothing about the event, but has to be well-formed: the
//! declaration, a document type, processing instructions. What a document type declares is not looked at.

use super::names::is_name;

/// Blanks of XML, production `S`.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether this is what stands between `<?` and `?>` of a declaration, production `XMLDecl`: a version, then perhaps an
/// encoding, then perhaps whether it stands alone.
///
/// Of the version any number will do, and any word, as it does for expat.
pub(super) fn is_declaration(inside: &str) -> bool {
    let mut rest = inside.strip_prefix("xml").unwrap_or(inside);
    let mut allowed: &[&str] = &["version", "encoding", "standalone"];
    loop {
        let given = rest.trim_start_matches(BLANKS);
        if given.is_empty() {
            return allowed.first() != Some(&"version");
        }
        let Some((name, value, after)) = setting(given).filter(|_| given.len() < rest.len()) else {
            return false;
        };
        let fits = match name {
            "version" => is_word(value),
            "encoding" => value.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word(value),
            _ => matches!(value, "yes" | "no"),
        };
        // The version cannot be left out, and nothing comes after what it should precede.
        let place = allowed.iter().position(|allowed| *allowed == name);
        let place = place.filter(|place| *place == 0 || allowed.first() != Some(&"version"));
        let (true, Some(place)) = (fits, place) else { return false };
        allowed = allowed.get(place + 1..).unwrap_or_default();
        rest = after;
    }
}

/// `name = "value"`, and what follows it.
fn setting(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start_matches(BLANKS);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = rest.get(1..)?.split_once(quote)?;
    Some((name.trim_end_matches(BLANKS), value, after))
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a processing instruction may be called so.
pub(super) fn is_target(name: &str) -> bool {
    is_name(name) && !name.eq_ignore_ascii_case("xml")
}

/// Whether this is how a document type begins: in capitals, a blank, and the name of an element.
pub(super) fn is_document_type(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("<!DOCTYPE").filter(|rest| rest.starts_with(BLANKS)) else {
        return false;
    };
    let rest = rest.trim_start_matches(BLANKS);
    let end = rest.find(|c| BLANKS.contains(&c) || matches!(c, '[' | '>')).unwrap_or(rest.len());
    rest.get(..end).is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_has_a_version_and_keeps_the_order() {
        for declaration in [
            "xml version='1.0'",
            "xml version=\"1.1\" ",
            "xml\tversion = '1.0'\r\n encoding = \"ISO-8859-1\"",
            "xml version='1.0' standalone='no'",
            "xml version='1.0' encoding='x' standalone='yes' ",
        ] {
            assert!(is_declaration(declaration), "{declaration}");
        }
        for wrong in [
            "xml",
            "xml ",
            "xml encoding='UTF-8'",
            "xml standalone='yes' version='1.0'",
            "xml version='1.0' version='1.0'",
            "xml version='1.0'encoding='UTF-8'",
            "xml version='1.0' encoding=''",
            "xml version='1.0' encoding='8859-1'",
            "xml version='1.0' encoding=' UTF-8'",
            "xml version='1.0' standalone='perhaps'",
            "xml version='1.0' standalone='yes' encoding='UTF-8'",
            "xml version='1 0'",
            "xml version='1.0",
            "xml version=1.0",
            "xml version",
            "xml version='1.0' more='1'",
        ] {
            assert!(!is_declaration(wrong), "{wrong}");
        }
    }

    #[test]
    fn instructions_and_document_types_have_names() {
        assert!(is_target("xml-stylesheet") && is_target("a"));
        assert!(!is_target("") && !is_target("xMl") && !is_target("1"));
        for start in ["<!DOCTYPE voe:VOEvent>", "<!DOCTYPE\n a[", "<!DOCTYPE a SYSTEM 'x'>"] {
            assert!(is_document_type(start), "{start}");
        }
        for start in ["<!doctype a>", "<!DOCTYPEa>", "<!DOCTYPE >", "<!DOCTYPE 1>"] {
            assert!(!is_document_type(start), "{start}");
        }
    }
}
