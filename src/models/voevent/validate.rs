//! Where a document breaks the schema of VOEvent 2.0. What the schema asks for is the table in `schema`.
//!
//! The document is read twice: first by the reader of `xml`, which finds what is no XML at all and bounds the depth, and
//! then along the table. What stands within an element that does not belong where it is, is not looked at.

use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attribute as Given;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::name_spaces::{NameSpaces, declared_prefix, split};
use super::schema::{Attribute, Child, Content, Kind, NAME_SPACE, Order, ROOT, VOEVENT, Value};
use super::values::{BLANKS, or};
use super::{encoding, xml};
use crate::models::error::{XmlError, line_and_column};

/// One thing in a document that the schema of VOEvent 2.0 does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
#[non_exhaustive]
pub struct SchemaProblem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there, and what the schema wants.
    pub problem: String,
}

/// So many problems are told one by one.
const MOST_PROBLEMS: usize = 20;
/// So many characters of a name or a value are shown.
const MOST_SHOWN: usize = 60;
/// Whose attributes may be anywhere.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The problems of a document in their order, of which there is one more than [`MOST_PROBLEMS`] when there are too many.
pub(super) fn problems(document: &[u8]) -> Vec<SchemaProblem> {
    let unreadable = |error: XmlError| {
        let XmlError { line, column, problem } = error;
        vec![SchemaProblem { line, column, problem: format!("not valid XML: {problem}") }]
    };
    let text = match encoding::decode(document) {
        Ok(text) => text,
        Err(error) => return unreadable(error),
    };
    if let Err(error) = xml::parse_text(&text) {
        return unreadable(error);
    }
    let mut walk =
        Walk { open: Vec::new(), skipped: 0, name_spaces: NameSpaces::default(), found: Vec::new() };
    walk.along(&text);
    let mut found = walk.found;
    found.sort_by_key(|(at, _)| *at);
    if let Some((_, last)) = found.get_mut(MOST_PROBLEMS) {
        *last = format!("and more: {MOST_PROBLEMS} problems were told");
    }
    let placed = |(at, problem)| {
        let (line, column) = line_and_column(&text, at);
        SchemaProblem { line, column, problem }
    };
    found.into_iter().map(placed).collect()
}

/// A way through a document that is well-formed.
struct Walk {
    /// The elements that are not closed yet and belong where they are, the innermost last.
    open: Vec<Element>,
    /// How many are open within them that do not belong there.
    skipped: usize,
    name_spaces: NameSpaces,
    /// What is wrong, and at which byte of the text.
    found: Vec<(usize, String)>,
}

struct Element {
    name: &'static str,
    kind: &'static Kind,
    start: usize,
    /// A bit for each child of the table that has come.
    seen: u32,
    /// Whether no element at all has come.
    is_empty: bool,
    /// What is between the tags, where that is looked at.
    text: String,
    /// Where that begins, but for blanks.
    text_start: Option<usize>,
}

impl Walk {
    fn along(&mut self, text: &str) {
        let mut reader = Reader::from_str(text);
        while self.found.len() <= MOST_PROBLEMS {
            let start = xml::offset(reader.buffer_position());
            match reader.read_event() {
                Ok(Event::Start(tag)) => self.open(&tag, start),
                Ok(Event::Empty(tag)) => {
                    self.open(&tag, start);
                    self.close();
                }
                Ok(Event::End(_)) => self.close(),
                Ok(Event::Text(text)) => self.text(&text, start),
                Ok(Event::CData(text)) => self.text(&text, start + "<![CDATA[".len()),
                Ok(Event::GeneralRef(reference)) => {
                    if let Ok(character) = xml::character(&reference) {
                        self.text(character.encode_utf8(&mut [0; 4]), start);
                    }
                }
                Ok(Event::Decl(_) | Event::DocType(_) | Event::Comment(_) | Event::PI(_)) => {}
                Ok(Event::Eof) | Err(_) => return,
            }
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>, start: usize) {
        if self.skipped > 0 {
            self.skipped += 1;
            return;
        }
        let depth = self.open.len() + 1;
        for attribute in attributes(tag) {
            if declared_prefix(attribute.key.0).is_some() {
                self.name_spaces.declare(depth, attribute.key.0, &value(&attribute));
            }
        }
        let known = match self.open.len() {
            0 => self.root(tag.name().0, start),
            _ => self.child(tag.name().0, start),
        };
        let Some((name, kind)) = known else {
            self.name_spaces.end(depth);
            self.skipped = 1;
            return;
        };
        self.attributes(tag, start, name, kind.attributes);
        self.open.push(Element {
            name,
            kind,
            start,
            seen: 0,
            is_empty: true,
            text: String::new(),
            text_start: None,
        });
    }

    /// What is known of the root element; `None` when it is something else, about which nothing can be said.
    fn root(&mut self, name: &str, start: usize) -> Option<(&'static str, &'static Kind)> {
        let (prefix, local) = split(name);
        if local != ROOT {
            self.problem(start, format!("the root element must be <voe:{ROOT}>, but it is <{}>", cut(name)));
            return None;
        }
        match self.name_spaces.of(prefix) {
            Some(NAME_SPACE) => {}
            Some(other) => {
                let other = quoted(other);
                self.problem(
                    start,
                    format!(
                        "<{}> is in the name space {other}, not in {NAME_SPACE}; nothing else was checked",
                        cut(name)
                    ),
                );
                return None;
            }
            None if prefix.is_empty() => self.problem(
                start,
                format!("<{ROOT}> is in no name space; it must be <voe:{ROOT} xmlns:voe=\"{NAME_SPACE}\">"),
            ),
            None => self.problem(
                start,
                format!(
                    "the prefix of <{}> is not declared; xmlns:{}=\"{NAME_SPACE}\" is missing",
                    cut(name),
                    cut(prefix)
                ),
            ),
        }
        Some((ROOT, &VOEVENT))
    }

    /// What is known of an element in another; `None` when it does not belong there.
    fn child(&mut self, name: &str, start: usize) -> Option<(&'static str, &'static Kind)> {
        let parent = self.open.last_mut()?;
        parent.is_empty = false;
        let (prefix, local) = split(name);
        let name_space = self.name_spaces.of(prefix);
        let (order, children) = match &parent.kind.content {
            Content::Elements(order, children) => (*order, *children),
            Content::Nothing | Content::Text(_) => (Order::Free, &[][..]),
        };
        let known = children.iter().zip(0_u32..).find(|(child, _)| child.name == local);
        let Some((child, number)) = known else {
            let problem =
                format!("<{}> does not belong in <{}>, which {}", cut(name), parent.name, holds(parent.kind));
            self.problem(start, problem);
            return None;
        };
        if !prefix.is_empty() || name_space.is_some() {
            let problem = match name_space {
                Some(name_space) => format!(
                    "<{}> is in the name space {}; what is in <voe:{ROOT}> must be in none: no prefix, no xmlns",
                    cut(name),
                    quoted(name_space)
                ),
                None => format!("the prefix of <{}> is not declared, and must not be there", cut(name)),
            };
            self.problem(start, problem);
            return None;
        }
        let parent = self.open.last_mut()?;
        let (seen, bit) = (parent.seen, 1 << number);
        parent.seen |= bit;
        let parent_name = parent.name;
        let may_repeat = match order {
            Order::Once => false,
            Order::Free | Order::AtLeastOne => true,
            Order::FirstThenOthers => number == 0,
        };
        if seen & bit != 0 && !may_repeat {
            self.problem(start, format!("another <{local}> in <{parent_name}>, which may hold only one"));
        } else if order == Order::FirstThenOthers && seen >= bit << 1 {
            let others = or(children.iter().skip(1).map(|child| child.name));
            self.problem(
                start,
                format!("<{local}> comes behind {others} in <{parent_name}>, and must be before that"),
            );
        }
        Some((child.name, child.kind))
    }

    fn attributes(&mut self, tag: &BytesStart<'_>, start: usize, element: &str, known: &'static [Attribute]) {
        let raw = tag.attributes_raw();
        let behind_name = start + 1 + tag.name().0.len();
        let mut seen = 0_u32;
        for attribute in attributes(tag) {
            let name = attribute.key.0;
            let at = behind_name + name.as_ptr().addr().saturating_sub(raw.as_ptr().addr());
            let (prefix, _) = split(name);
            if declared_prefix(name).is_some() {
                continue;
            }
            if !prefix.is_empty() {
                match self.name_spaces.of(prefix) {
                    Some(SCHEMA_INSTANCE) => continue,
                    Some(_) => {}
                    None => {
                        let problem = format!("the prefix of the attribute {} is not declared", quoted(name));
                        self.problem(at, problem);
                        continue;
                    }
                }
            }
            let Some((rule, number)) = known.iter().zip(0_u32..).find(|(rule, _)| rule.name == name) else {
                let allowed = match known {
                    [] => "none".to_owned(),
                    known => or(known.iter().map(|rule| rule.name)),
                };
                let problem = format!("<{element}> has an attribute {}; it may have {allowed}", quoted(name));
                self.problem(at, problem);
                continue;
            };
            seen |= 1 << number;
            let value = value(&attribute);
            if !rule.value.accepts(&value) {
                let problem = format!("{name} is {}; it must be {}", quoted(&value), rule.value.wanted());
                self.problem(at, problem);
            }
        }
        for (rule, number) in known.iter().zip(0_u32..) {
            if rule.is_required && seen & (1 << number) == 0 {
                let Attribute { name, value, .. } = rule;
                self.problem(start, format!("<{element}> has no {name}, which must be {}", value.wanted()));
            }
        }
    }

    fn text(&mut self, text: &str, start: usize) {
        if self.skipped > 0 {
            return;
        }
        let Some(element) = self.open.last_mut() else { return };
        let blanks = text.len() - text.trim_start_matches(BLANKS).len();
        let is_blank = blanks == text.len();
        match element.kind.content {
            Content::Text(Value::Any) => return,
            Content::Text(_) => element.text.push_str(text),
            Content::Elements(..) | Content::Nothing => {}
        }
        let is_nothing = matches!(element.kind.content, Content::Nothing);
        if element.text_start.is_some() || text.is_empty() || (is_blank && !is_nothing) {
            return;
        }
        let at = if is_blank { start } else { start + blanks };
        element.text_start = Some(at);
        if !matches!(element.kind.content, Content::Text(_)) {
            let (name, kind) = (element.name, element.kind);
            let what = if is_blank { "white space" } else { "text" };
            self.problem(at, format!("there is {what} in <{name}>, which {}", holds(kind)));
        }
    }

    fn close(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        self.name_spaces.end(self.open.len());
        let Some(Element { name, kind, start, seen, is_empty, text, text_start }) = self.open.pop() else {
            return;
        };
        match &kind.content {
            Content::Nothing => {}
            Content::Text(value) => {
                if !value.accepts(&text) {
                    let problem = format!(
                        "<{name}> is {}; it must be {}",
                        quoted(text.trim_matches(BLANKS)),
                        value.wanted()
                    );
                    self.problem(text_start.unwrap_or(start), problem);
                }
            }
            Content::Elements(order, children) => {
                for (child, number) in children.iter().zip(0_u32..) {
                    if child.is_required && seen & (1 << number) == 0 {
                        self.problem(start, format!("there is no <{}> in <{name}>, and must be", child.name));
                    }
                }
                if *order == Order::AtLeastOne && is_empty && text_start.is_none() {
                    self.problem(start, format!("<{name}> is empty; it {}", holds(kind)));
                }
            }
        }
    }

    fn problem(&mut self, at: usize, problem: String) {
        if self.found.len() <= MOST_PROBLEMS {
            self.found.push((at, problem));
        }
    }
}

/// Checked by the reader of `xml` already.
fn attributes<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = Given<'t>> {
    let mut attributes = tag.attributes();
    attributes.with_checks(false);
    attributes.flatten()
}

fn value(attribute: &Given<'_>) -> String {
    attribute.normalized_value(XmlVersion::Explicit1_0).map(Into::into).unwrap_or_default()
}

/// What an element of this kind is there for, behind "which".
fn holds(kind: &Kind) -> String {
    match &kind.content {
        Content::Nothing => "must be empty".to_owned(),
        Content::Text(_) => "holds text only".to_owned(),
        Content::Elements(order, children) => {
            let names = or(children.iter().map(|Child { name, .. }| *name));
            match order {
                Order::AtLeastOne => format!("must hold {names}"),
                _ => format!("may hold only {names}"),
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// The text, or its beginning.
fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
