//! Which name spaces the prefixes of names stand for ("Namespaces in XML 1.0").

use std::collections::BTreeMap;

/// What is declared where a reader is in a document.
#[derive(Debug, Default)]
pub(super) struct NameSpaces {
    /// For each prefix, its name spaces and the elements that declare them, by their depth; the innermost last. An empty
    /// prefix stands for names without one.
    declared: BTreeMap<String, Vec<(usize, String)>>,
    /// Each declaration in force, in the order in which they came.
    order: Vec<(usize, String)>,
}

impl NameSpaces {
    /// Notes what the attribute of an element at this depth declares, if it declares anything.
    pub(super) fn declare(&mut self, depth: usize, attribute: &str, name_space: &str) {
        let Some(prefix) = declared_prefix(attribute) else { return };
        self.order.push((depth, prefix.to_owned()));
        self.declared.entry(prefix.to_owned()).or_default().push((depth, name_space.to_owned()));
    }

    /// Forgets what the element at this depth declared: it ends.
    pub(super) fn end(&mut self, depth: usize) {
        while let Some((_, prefix)) = self.order.pop_if(|(declared_at, _)| *declared_at >= depth) {
            if let Some(name_spaces) = self.declared.get_mut(&prefix) {
                name_spaces.pop();
            }
        }
    }

    /// The name space of a prefix; `None` when it has none.
    pub(super) fn of(&self, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some("http://www.w3.org/XML/1998/namespace");
        }
        let innermost = self.declared.get(prefix).and_then(|name_spaces| name_spaces.last());
        innermost.map(|(_, name_space)| name_space.as_str()).filter(|name_space| !name_space.is_empty())
    }
}

/// The prefix that an attribute of this name declares.
pub(super) fn declared_prefix(attribute: &str) -> Option<&str> {
    match attribute.strip_prefix("xmlns")? {
        "" => Some(""),
        rest => rest.strip_prefix(':'),
    }
}

/// A name's prefix, empty where it has none, and what is behind it.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_hold_within_their_element() {
        let mut spaces = NameSpaces::default();
        spaces.declare(1, "xmlns:a", "outer");
        spaces.declare(1, "name", "no declaration");
        spaces.declare(2, "xmlns:a", "inner");
        spaces.declare(2, "xmlns", "default");
        assert_eq!((spaces.of("a"), spaces.of(""), spaces.of("b")), (Some("inner"), Some("default"), None));
        spaces.declare(3, "xmlns", "");
        assert_eq!(spaces.of(""), None, "an empty one takes it back");
        spaces.end(3);
        assert_eq!(spaces.of(""), Some("default"));
        spaces.end(2);
        assert_eq!((spaces.of("a"), spaces.of("")), (Some("outer"), None));
        spaces.end(1);
        assert_eq!((spaces.of("a"), spaces.of("xml").is_some()), (None, true));
    }

    #[test]
    fn names_have_prefixes() {
        assert_eq!((split("voe:VOEvent"), split("Who")), (("voe", "VOEvent"), ("", "Who")));
        assert_eq!((declared_prefix("xmlns:q"), declared_prefix("xmlns")), (Some("q"), Some("")));
        assert_eq!((declared_prefix("xmlnsq"), declared_prefix("q:xmlns")), (None, None));
    }
}
