//! From the JSON form of a VOEvent to XML, for readers that want a document where there was none.
//!
//! JSON does not tell attributes from elements, so names that VOEvent 2.0 uses for attributes become attributes and all
//! others elements. An element whose value is null, an empty string or an empty object is empty, so these three
//! are the same to whoever reads the document.
//!
//! hop-client writes the root without declaring its prefix, which is an error to every reader that knows name spaces;
//! here it is declared.

use serde_json::{Map, Value};

use super::names::{is_name, is_xml_char};
use super::xml::MAX_DEPTH;
use super::{FIELDS, ROOT};
use crate::models::python_json;

/// The names that VOEvent 2.0 and its STC elements use for attributes.
const ATTRIBUTES: [&str; 20] = [
    "cite",
    "coord_system_id",
    "dataType",
    "expires",
    "id",
    "importance",
    "ivorn",
    "meaning",
    "mimetype",
    "name",
    "probability",
    "relation",
    "role",
    "type",
    "ucd",
    "unit",
    "uri",
    "utype",
    "value",
    "version",
];

/// Writes a document; the error says what XML cannot hold.
pub(super) fn document(fields: &Map<String, Value>) -> Result<String, String> {
    let version = if fields.get("version").and_then(Value::as_str) == Some("1.1") { "v1.1" } else { "v2.0" };
    let mut root = Map::new();
    root.insert("xmlns:voe".to_owned(), format!("http://www.ivoa.net/xml/VOEvent/{version}").into());
    for name in FIELDS {
        root.insert(name.to_owned(), fields.get(name).cloned().unwrap_or_default());
    }
    let mut writer = Writer { out: "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned(), depth: 0 };
    writer.object(ROOT, &root)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    /// An element for a value; of a list, one for each of its values.
    fn element(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(values) => {
                for value in values {
                    if value.is_array() {
                        return Err(format!("{name:?} has a list within a list, which XML cannot express"));
                    }
                    self.element(name, value)?;
                }
                Ok(())
            }
            Value::Object(members) => self.object(name, members),
            scalar => {
                self.start(name)?;
                let text = scalar_text(scalar);
                self.end(name, &escape(&text, false)?);
                Ok(())
            }
        }
    }

    fn object(&mut self, name: &str, members: &Map<String, Value>) -> Result<(), String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
        self.start(name)?;
        let mut text = String::new();
        let mut children = Vec::new();
        for (key, value) in members {
            match (key.as_str(), value) {
                ("#text", Value::Array(_) | Value::Object(_)) => {
                    return Err(format!("the text of {name:?} is not a string"));
                }
                ("#text", value) => text = escape(&scalar_text(value), false)?,
                (key, Value::Array(values)) if is_attribute(key) => {
                    // Read back, an attribute and the elements of its name are one list again.
                    let first_is_text = values.first().is_some_and(is_attribute_value);
                    let (attribute, rest) = values.split_at(usize::from(first_is_text));
                    for value in attribute {
                        self.attribute(key, value)?;
                    }
                    children.extend(rest.iter().map(|value| (key, value)));
                }
                (key, value) if is_attribute(key) && is_attribute_value(value) => {
                    self.attribute(key, value)?;
                }
                (key, value) => children.push((key, value)),
            }
        }
        let content_start = self.out.len();
        self.out.push('>');
        self.depth += 1;
        for (key, value) in children {
            self.element(key, value)?;
        }
        self.depth -= 1;
        self.out.push_str(&text);
        if self.out.len() == content_start + 1 {
            self.out.truncate(content_start);
            self.out.push_str("/>");
        } else {
            self.out.push_str(&format!("</{name}>"));
        }
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name for an element"));
        }
        self.out.push('<');
        self.out.push_str(name);
        Ok(())
    }

    fn end(&mut self, name: &str, content: &str) {
        if content.is_empty() {
            self.out.push_str("/>");
        } else {
            self.out.push_str(&format!(">{content}</{name}>"));
        }
    }

    fn attribute(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let value = escape(&scalar_text(value), true)?;
        self.out.push_str(&format!(" {name}=\"{value}\""));
        Ok(())
    }
}

fn is_attribute(name: &str) -> bool {
    ATTRIBUTES.contains(&name) || name == "xmlns:voe"
}

/// A null cannot be an attribute: it would come back as an empty string.
fn is_attribute_value(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => python_json::to_string(other),
    }
}

fn escape(text: &str, is_attribute: bool) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if is_attribute => out.push_str("&quot;"),
            // Line ends would be normalised, and blanks too in an attribute.
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' if is_attribute => out.push_str(&format!("&#{};", u32::from(c))),
            c if is_xml_char(c) => out.push(c),
            c => return Err(format!("XML cannot hold the character U+{:04X}", u32::from(c))),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn write(name: &str, value: Value) -> Result<String, String> {
        let mut writer = Writer { out: String::new(), depth: 0 };
        writer.element(name, &value)?;
        Ok(writer.out)
    }

    #[test]
    fn known_attributes_are_attributes_and_the_rest_elements() {
        let value =
            json!({ "Param": { "name": "mag", "value": 17.5, "Description": "a<b", "unit": "\"\n" } });
        assert_eq!(
            write("What", value).unwrap(),
            "<What><Param name=\"mag\" value=\"17.5\" unit=\"&quot;&#10;\">\
             <Description>a&lt;b</Description></Param></What>"
        );
    }

    #[test]
    fn lists_repeat_the_element_and_empty_values_are_empty_elements() {
        assert_eq!(
            write("W", json!({ "a": ["1", null, {}], "b": [], "c": "", "d": true, "#text": "t" })).unwrap(),
            "<W><a>1</a><a/><a/><c/><d>true</d>t</W>"
        );
        assert_eq!(
            write("W", json!({ "name": ["n", "other"] })).unwrap(),
            "<W name=\"n\"><name>other</name></W>"
        );
        assert_eq!(write("W", json!({ "name": null })).unwrap(), "<W><name/></W>");
    }

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        for (value, expected) in [
            (json!({ "a b": 1 }), "\"a b\" is no name for an element"),
            (json!({ "a": "\u{1}" }), "U+0001"),
            (json!({ "a": [[1]] }), "a list within a list"),
            (json!({ "#text": {} }), "the text of \"W\""),
        ] {
            let problem = write("W", value).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let deep = (0..=MAX_DEPTH).fold(json!(null), |inner, _| json!({ "a": inner }));
        assert!(write("W", deep).unwrap_err().contains("100 levels"));
    }

    /// What an element can hold once it was read from XML.
    fn any_element() -> impl Strategy<Value = Value> {
        let text = r#"[!-~é🚀]([ -~\n\té]{0,8}[!-~é])?"#;
        let leaf = prop_oneof![Just(Value::Null), text.prop_map(Value::from)];
        leaf.prop_recursive(4, 30, 4, move |inner| {
            let name = prop_oneof!["[A-Z][a-z]{0,4}", "q:[a-z]{1,3}"];
            (
                prop::collection::btree_map(prop::sample::select(&ATTRIBUTES[..]), "[ -~\n\t\ré]{0,6}", 0..3),
                prop::collection::btree_map(name, prop::collection::vec(inner, 1..3), 1..4),
                prop::option::of(text),
            )
                .prop_map(|(attributes, elements, text)| {
                    let attributes =
                        attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                    let elements = elements.into_iter().map(|(name, mut values)| {
                        let single = values.pop().filter(|_| values.is_empty());
                        (
                            name,
                            single.unwrap_or_else(|| {
                                values.push(json!("last"));
                                values.into()
                            }),
                        )
                    });
                    let text = text.map(|text| ("#text".to_owned(), Value::from(text)));
                    Value::Object(attributes.chain(elements).chain(text).collect())
                })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_element()) {
            let xml = write("Root", value.clone()).unwrap();
            prop_assert_eq!(xml::parse(xml.as_bytes()).unwrap(), ("Root".to_owned(), value), "{}", xml);
        }
    }
}
