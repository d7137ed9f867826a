//! From XML to JSON values, with no knowledge of VOEvent.
//!
//! An element becomes an object: first its attributes, then its child elements, each under its name with the prefix as
//! written, and last its text under `#text`. A name that comes twice, as attribute and element too, holds a list of
//! the values in order. An element that has only text is that text; one that has nothing is null. Text loses white
//! space at its ends, and the pieces of text around child elements are joined without anything between.
//!
//! Comments, processing instructions and a document type are skipped. Entities of the document's own are refused:
//! nothing in this field uses them, and they are how an XML reader is made to eat all memory or read local files.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use quick_xml::{Error, XmlVersion};
use serde_json::{Map, Value};

use super::encoding;
use super::names::{is_name, is_xml_char};
use super::prolog::{is_declaration, is_document_type, is_target};
use crate::models::error::XmlError;
use crate::models::python_text::strip;

/// Elements nested deeper are refused: the values they become are walked and dropped by recursion.
pub(super) const MAX_DEPTH: usize = 100;

/// Reads a document: the name of its root element, and what that holds.
pub(super) fn parse(bytes: &[u8]) -> Result<(String, Value), XmlError> {
    parse_text(&encoding::decode(bytes)?)
}

/// The same of a document that is decoded already.
pub(super) fn parse_text(text: &str) -> Result<(String, Value), XmlError> {
    Document { text, open: Vec::new(), root: None, has_type: false }.read()
}

struct Document<'t> {
    text: &'t str,
    /// The elements that are not closed yet, the innermost last.
    open: Vec<Element>,
    root: Option<(String, Value)>,
    /// Whether the document type has come.
    has_type: bool,
}

struct Element {
    name: String,
    members: Map<String, Value>,
    text: String,
}

impl Document<'_> {
    fn read(mut self) -> Result<(String, Value), XmlError> {
        // The library would pass over a second byte order mark.
        if self.text.starts_with('\u{feff}') {
            return Err(self.outside(0));
        }
        let mut reader = Reader::from_str(self.text);
        reader.config_mut().check_comments = true;
        loop {
            let start = offset(reader.buffer_position());
            let event = reader
                .read_event()
                .map_err(|error| self.error(offset(reader.error_position()), explain(&error)))?;
            match event {
                Event::Start(tag) => self.open(&tag, start)?,
                Event::Empty(tag) => {
                    self.open(&tag, start)?;
                    self.close();
                }
                Event::End(_) => self.close(),
                Event::Text(text) => self.text(&text.xml10_content(), start)?,
                Event::CData(text) => self.character_data(&text.xml10_content(), start)?,
                Event::GeneralRef(reference) => self.reference(&reference, start)?,
                Event::DocType(doctype) => self.document_type(&doctype, start)?,
                Event::Decl(_) if start > 0 => {
                    return Err(
                        self.error(start, "the XML declaration must be at the very start of the document")
                    );
                }
                Event::Decl(declaration) if !is_declaration(&declaration) => {
                    let problem =
                        "the XML declaration must be like <?xml version=\"1.0\" encoding=\"UTF-8\"?>";
                    return Err(self.error(start, problem));
                }
                Event::PI(instruction) if !is_target(instruction.target()) => {
                    let problem = format!("{:?} is no name for an instruction", instruction.target());
                    return Err(self.error(start, problem));
                }
                Event::Comment(text) => self.check_characters(&text, start)?,
                Event::PI(text) => self.check_characters(&text, start)?,
                Event::Decl(_) => {}
                Event::Eof => return self.finish(),
            }
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<(), XmlError> {
        let name = tag.name().0;
        if self.root.is_some() {
            return Err(self.error(start, format!("<{name}> comes after the end of the root element")));
        }
        if !is_name(name) {
            return Err(self.error(start, format!("{name:?} is no name for an element")));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(start, format!("elements are nested more than {MAX_DEPTH} levels deep")));
        }
        let members = self.attributes(tag, start)?;
        self.open.push(Element { name: name.to_owned(), members, text: String::new() });
        Ok(())
    }

    fn attributes(&self, tag: &BytesStart<'_>, start: usize) -> Result<Map<String, Value>, XmlError> {
        if attributes_touch(tag.attributes_raw()) {
            return Err(self.error(start, "there must be a blank between two attributes"));
        }
        let mut members = Map::new();
        let mut attributes = tag.attributes();
        // The check of the library compares every attribute with every other; the map finds duplicates as well.
        for attribute in attributes.with_checks(false) {
            let attribute = attribute.map_err(|error| self.error(start, explain(&error.into())))?;
            let name = attribute.key.0;
            if !is_name(name) {
                return Err(self.error(start, format!("{name:?} is no name for an attribute")));
            }
            if attribute.value.contains('<') {
                return Err(self
                    .error(start, format!("the attribute {name:?} has a '<', which must be written &lt;")));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| {
                self.error(start, format!("in the attribute {name:?}: {}", explain(&error)))
            })?;
            self.check_characters(&value, start)?;
            if members.insert(name.to_owned(), Value::from(value)).is_some() {
                return Err(self.error(start, format!("the attribute {name:?} is given twice")));
            }
        }
        Ok(members)
    }

    /// Ends the innermost element. The reader has checked that there is one and that the names agree.
    fn close(&mut self) {
        let Some(Element { name, mut members, text }) = self.open.pop() else {
            return;
        };
        let text = match strip(&text) {
            "" => None,
            text => Some(Value::from(text)),
        };
        let value = if members.is_empty() {
            text.unwrap_or(Value::Null)
        } else {
            if let Some(text) = text {
                members.insert("#text".to_owned(), text);
            }
            Value::Object(members)
        };
        match self.open.last_mut() {
            Some(parent) => add(&mut parent.members, name, value),
            None => self.root = Some((name, value)),
        }
    }

    fn text(&mut self, text: &str, start: usize) -> Result<(), XmlError> {
        if self.open.is_empty() {
            let blanks = text.len() - text.trim_start_matches([' ', '\t', '\n', '\r']).len();
            return if blanks == text.len() { Ok(()) } else { Err(self.outside(start + blanks)) };
        }
        if text.contains("]]>") {
            return Err(self.error(start, "\"]]>\" in text must be written ]]&gt;"));
        }
        self.character_data(text, start)
    }

    fn character_data(&mut self, text: &str, start: usize) -> Result<(), XmlError> {
        self.check_characters(text, start)?;
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None => return Err(self.outside(start)),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>, start: usize) -> Result<(), XmlError> {
        let character = character(reference).map_err(|problem| self.error(start, problem))?;
        self.character_data(character.encode_utf8(&mut [0; 4]), start)
    }

    fn document_type(&mut self, doctype: &str, start: usize) -> Result<(), XmlError> {
        if self.root.is_some() || !self.open.is_empty() {
            return Err(self.error(start, "a document type must come before the root element"));
        }
        if std::mem::replace(&mut self.has_type, true) {
            return Err(self.error(start, "there is a second document type"));
        }
        if !self.text.get(start..).is_some_and(is_document_type) {
            return Err(self.error(start, "a document type must be like <!DOCTYPE voe:VOEvent>"));
        }
        if doctype.contains("<!ENTITY") {
            return Err(self.error(start, "the document declares entities of its own, which are refused"));
        }
        Ok(())
    }

    fn check_characters(&self, text: &str, start: usize) -> Result<(), XmlError> {
        match text.chars().find(|&c| !is_xml_char(c)) {
            Some(c) => {
                Err(self.error(start, format!("the character U+{:04X} is not allowed in XML", u32::from(c))))
            }
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(String, Value), XmlError> {
        if let Some(element) = self.open.last() {
            return Err(self.error(self.text.len(), format!("the document ends before </{}>", element.name)));
        }
        self.root.take().ok_or_else(|| self.error(self.text.len(), "there is no XML element"))
    }

    fn outside(&self, at: usize) -> XmlError {
        if self.root.is_some() {
            return self.error(at, "there is text after the end of the root element");
        }
        let found = self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        self.error(at, format!("expected XML, which begins with '<', found {found:?}"))
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> XmlError {
        XmlError::at(self.text, at, problem)
    }
}

/// Adds a member; one of the same name makes both a list.
fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => {
            members.insert(name, value);
        }
    }
}

/// Whether a value's closing quote is followed by something else than a blank, which the library lets pass.
fn attributes_touch(raw: &str) -> bool {
    let mut open = None;
    let mut after_value = false;
    for byte in raw.bytes() {
        if after_value && !byte.is_ascii_whitespace() {
            return true;
        }
        after_value = open == Some(byte);
        open = match open {
            None if matches!(byte, b'"' | b'\'') => Some(byte),
            Some(_) if after_value => None,
            unchanged => unchanged,
        };
    }
    false
}

/// What a reference stands for.
pub(super) fn character(reference: &BytesRef<'_>) -> Result<char, String> {
    let name: &str = reference;
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "quot" => '"',
        _ => match reference.resolve_char_ref() {
            Ok(Some(character)) => character,
            Ok(None) => return Err(format!("the entity &{name}; is not defined")),
            Err(_) => return Err(format!("&{name}; is no character")),
        },
    })
}

/// A position of the reader in the text that it reads.
pub(super) fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The library's wording without the kind of error in front of it.
fn explain(error: &Error) -> String {
    match error {
        Error::Syntax(error) => error.to_string(),
        Error::IllFormed(error) => error.to_string(),
        Error::InvalidAttr(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(xml: &str) -> Value {
        parse(xml.as_bytes()).unwrap().1
    }

    fn problem(xml: &str) -> String {
        parse(xml.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn elements_become_objects_strings_and_null() {
        assert_eq!(read("<a/>"), json!(null));
        assert_eq!(read("<a> \n </a>"), json!(null));
        assert_eq!(read("<a> x\ty </a>"), json!("x\ty"));
        assert_eq!(read("<a b='1'/>"), json!({ "b": "1" }));
        assert_eq!(read("<a b='\"' c=\"1'2\"\n/>"), json!({ "b": "\"", "c": "1'2" }));
        assert_eq!(read("<a b='1'> x </a>"), json!({ "b": "1", "#text": "x" }));
        assert_eq!(read("<a>one <b>two</b> three</a>"), json!({ "b": "two", "#text": "one  three" }));
    }

    #[test]
    fn order_is_attributes_then_elements_then_text() {
        let value = read("<a z='1' y='2'>t<x/><w/></a>");
        let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["z", "y", "x", "w", "#text"]);
    }

    #[test]
    fn names_that_come_twice_hold_a_list() {
        assert_eq!(
            read("<a><b>1</b><c/><b/><b x='2'/></a>"),
            json!({ "b": ["1", null, { "x": "2" }], "c": null })
        );
        assert_eq!(read("<a n='1'><n>2</n></a>"), json!({ "n": ["1", "2"] }));
    }

    #[test]
    fn prefixes_stay_and_are_not_resolved() {
        assert_eq!(
            read("<q:a xmlns='' xmlns:r='u'><r:b r:c='1'/></q:a>"),
            json!({ "xmlns": "", "xmlns:r": "u", "r:b": { "r:c": "1" } })
        );
    }

    #[test]
    fn text_is_put_together_from_its_parts() {
        assert_eq!(
            read("<a>a&amp;b<!-- no -->&#99;<![CDATA[<d>&e;]]><?no?>&#x66;</a>"),
            json!("a&bc<d>&e;f")
        );
        assert_eq!(read("<a>&#32;x&#10;</a>"), json!("x"));
        assert_eq!(read("<a>one\r\ntwo\rthree</a>"), json!("one\ntwo\nthree"));
        assert_eq!(read("<a b='one\r\ntwo\tthree&#10;four &lt;'/>"), json!({ "b": "one two three\nfour <" }));
    }

    #[test]
    fn prolog_and_epilog_are_skipped() {
        let xml = "<?xml version='1.0'?><!-- c --><!DOCTYPE a SYSTEM 'x'>\n<a/>\n<!-- c --><?p i?>\n";
        assert_eq!(parse(xml.as_bytes()).unwrap(), ("a".to_owned(), Value::Null));
    }

    #[test]
    fn faults_are_placed_and_explained() {
        for (xml, expected) in [
            ("", "line 1, column 1: there is no XML element"),
            ("junk", "line 1, column 1: expected XML, which begins with '<', found 'j'"),
            ("<a>\n  <b>\n</a>", "line 3, column 1: expected `</b>`, but `</a>` was found"),
            ("<a>\n <b/>", "line 2, column 6: the document ends before </a>"),
            ("<a/>\n\n junk", "line 3, column 2: there is text after the end of the root element"),
            ("<a/><b/>", "line 1, column 5: <b> comes after the end of the root element"),
            ("<a>&nope;</a>", "line 1, column 4: the entity &nope; is not defined"),
            ("<a>&#0;</a>", "line 1, column 4: &#0; is no character"),
            ("<a>&#1;</a>", "line 1, column 4: the character U+0001 is not allowed in XML"),
            ("<a b='1' b='2'/>", "line 1, column 1: the attribute \"b\" is given twice"),
            ("<a b='<'/>", "line 1, column 1: the attribute \"b\" has a '<', which must be written &lt;"),
            ("<a b='1'c='2'/>", "line 1, column 1: there must be a blank between two attributes"),
            ("<a><!DOCTYPE b></a>", "line 1, column 4: a document type must come before the root element"),
            ("<1/>", "line 1, column 1: \"1\" is no name for an element"),
            ("<a><!ENTITY></a>", "line 1, column 4: unknown or missed symbol in markup"),
            (" <?xml version='1.0'?><a/>", "line 1, column 2: the XML declaration must be at the very start"),
            (
                "<?xml encoding='UTF-8'?><a/>",
                "line 1, column 1: the XML declaration must be like <?xml version=",
            ),
            ("<a><?xMl b?></a>", "line 1, column 4: \"xMl\" is no name for an instruction"),
            ("<a><!-- \u{1} --></a>", "line 1, column 4: the character U+0001 is not allowed in XML"),
            ("<a><?b \u{1}?></a>", "line 1, column 4: the character U+0001 is not allowed in XML"),
            ("<!DOCTYPE a><!DOCTYPE b><a/>", "line 1, column 13: there is a second document type"),
            ("<!doctype a><a/>", "line 1, column 1: a document type must be like <!DOCTYPE voe:VOEvent>"),
            (
                "\u{feff}\u{feff}<a/>",
                "line 1, column 1: expected XML, which begins with '<', found '\\u{feff}'",
            ),
            ("<a>]]></a>", "line 1, column 4: \"]]>\" in text must be written ]]&gt;"),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
                "line 1, column 1: the document declares entities of its own",
            ),
        ] {
            let problem = problem(xml);
            assert!(problem.starts_with(expected), "{xml}\n  is: {problem}\nnot: {expected}");
        }
        for xml in [
            "<a",
            "<a b/>",
            "<a b=c/>",
            "<a b='c/>",
            "<a>&</a>",
            "<a>& b</a>",
            "<a><!-- -- --></a>",
            "<a b='&x;'/>",
        ] {
            let problem = problem(xml);
            assert!(problem.starts_with("line 1, column "), "{xml}: {problem}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| "<a>".repeat(levels) + &"</a>".repeat(levels);
        assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(problem(&deep(MAX_DEPTH + 1)).contains("100 levels"));
        assert!(parse("<a>".repeat(1_000_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn xml_like_text_is_read_or_refused(
            text in r"(<a|<voe:b|</a>|/>|>| c='|'|&#|&amp;|;|<!--|-->|<!\[CDATA\[|\]\]>|<\?|\?>|<!DOCTYPE|x|\n|\PC){0,30}",
        ) {
            let _ = parse(text.as_bytes());
        }
    }
}
