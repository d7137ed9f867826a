//! A schema, from its JSON: the types in one list, so that a recursive one is a number that stands in its own fields.
//!
//! Only what reading and writing need is looked at: documentation, aliases and sort orders stay in the JSON. What a name
//! may look like is not checked either; a reader that is stricter than the writer helps nobody.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::logical::Logical;
use crate::models::python_json::Json;

/// The types of a schema.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

/// One type.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) logical: Option<Logical>,
}

/// What a type is made of; others are named by their place in the list.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
}

impl Kind {
    /// What the specification calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) node: usize,
    pub(super) default: Option<Json>,
}

/// They stand first in every list, in this order.
/// As long as the name of a type may be, with its namespace.
const LONGEST_NAME: usize = 1024;
const PRIMITIVES: [Kind; 8] =
    [Kind::Null, Kind::Boolean, Kind::Int, Kind::Long, Kind::Float, Kind::Double, Kind::Bytes, Kind::String];

impl Schema {
    /// Reads a schema; the error says what is wrong with it.
    pub(super) fn parse(json: &Json) -> Result<Self, String> {
        let nodes = PRIMITIVES.into_iter().map(|kind| Node { kind, logical: None }).collect();
        let mut parser = Parser { nodes, names: HashMap::new() };
        let root = parser.schema(json, "")?;
        Ok(Self { nodes: parser.nodes, root })
    }

    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The type at a place. There are no others than those in the list.
    pub(super) fn node(&self, at: usize) -> Result<&Node, String> {
        self.nodes.get(at).ok_or_else(|| "the schema has no such type".to_owned())
    }
}

struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, usize>,
}

impl Parser {
    /// The place of the type that this JSON is. JSON bounds how deep it is nested.
    fn schema(&mut self, json: &Json, namespace: &str) -> Result<usize, String> {
        match json {
            Json::String(name) => self.named(name, namespace),
            Json::Array(branches) => {
                let branches =
                    branches.iter().map(|branch| self.schema(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.push(Kind::Union(branches)))
            }
            Json::Object(object) => match object.get("type") {
                Some(Json::String(name)) => self.object(name, object, namespace),
                Some(inner) => self.schema(inner, namespace),
                None => Err("a part of the schema has no type".to_owned()),
            },
            other => Err(format!("{} is no schema", shown(&other.to_string()))),
        }
    }

    fn object(
        &mut self,
        kind: &str,
        object: &IndexMap<String, Json>,
        namespace: &str,
    ) -> Result<usize, String> {
        let at = match kind {
            "array" => {
                let items = self.schema(object.get("items").unwrap_or(&Json::Null), namespace)?;
                self.push(Kind::Array(items))
            }
            "map" => {
                let values = self.schema(object.get("values").unwrap_or(&Json::Null), namespace)?;
                self.push(Kind::Map(values))
            }
            "record" | "error" => {
                let at = self.push(Kind::Record(Vec::new()));
                // Its fields may be of its own type.
                let namespace = self.define(object, namespace, at)?;
                let fields = self.fields(object, &namespace)?;
                self.set(at, Kind::Record(fields))
            }
            "enum" => {
                let symbols = list(object, "symbols")?.iter().map(|symbol| {
                    symbol.as_str().map(str::to_owned).ok_or_else(|| "a symbol is no string".to_owned())
                });
                let symbols = symbols.collect::<Result<_, _>>()?;
                let at = self.push(Kind::Enum(symbols));
                self.define(object, namespace, at)?;
                at
            }
            "fixed" => {
                let size = number(object, "size").ok_or("a fixed type has no size")?;
                let at = self.push(Kind::Fixed(size));
                self.define(object, namespace, at)?;
                at
            }
            name => {
                let at = self.named(name, namespace)?;
                // A logical type belongs to where a type is defined: one that is only named has what it has there, and a
                // copy of it would take its room each time.
                if at >= PRIMITIVES.len() || !object.contains_key("logicalType") {
                    return Ok(at);
                }
                let kind = self.nodes.get(at).map_or(Kind::Null, |node| node.kind.clone());
                self.push(kind)
            }
        };
        if let Some(node) = self.nodes.get_mut(at)
            && let Some(name) = object.get("logicalType").and_then(Json::as_str)
        {
            node.logical = Logical::of(name, &node.kind, number(object, "scale"));
        }
        Ok(at)
    }

    fn fields(&mut self, record: &IndexMap<String, Json>, namespace: &str) -> Result<Vec<Field>, String> {
        let mut fields = Vec::new();
        for field in list(record, "fields")? {
            let member = |name| field.as_object().and_then(|field| field.get(name));
            let name = member("name").and_then(Json::as_str).ok_or("a field has no name")?;
            let schema = member("type").ok_or_else(|| format!("the field {:?} has no type", shown(name)))?;
            let node = self.schema(schema, namespace)?;
            fields.push(Field { name: name.to_owned(), node, default: member("default").cloned() });
        }
        Ok(fields)
    }

    /// A type that is known by now: as the specification has it, one is defined before it is named.
    fn named(&self, name: &str, namespace: &str) -> Result<usize, String> {
        if let Some(at) = PRIMITIVES.iter().position(|primitive| primitive.name() == name) {
            return Ok(at);
        }
        let full = full_name(name, namespace);
        let found = self.names.get(&full).or_else(|| self.names.get(name));
        found
            .copied()
            .ok_or_else(|| format!("the schema names a type {:?} that it has not defined", shown(&full)))
    }

    /// Remembers a type's name; the namespace of what is inside of it.
    fn define(
        &mut self,
        object: &IndexMap<String, Json>,
        namespace: &str,
        at: usize,
    ) -> Result<String, String> {
        let member = |name| object.get(name).and_then(Json::as_str);
        let name = member("name").ok_or("a record, enum or fixed type has no name")?;
        let namespace = member("namespace").unwrap_or(namespace);
        // Each type keeps its name with its namespace.
        if name.len().saturating_add(namespace.len()) > LONGEST_NAME {
            return Err(format!("the name of a type is longer than {LONGEST_NAME} bytes"));
        }
        let full = full_name(name, namespace);
        let inside = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        match self.names.insert(full, at) {
            None => Ok(inside),
            Some(_) => Err(format!("the schema defines {:?} twice", shown(name))),
        }
    }

    fn push(&mut self, kind: Kind) -> usize {
        self.nodes.push(Node { kind, logical: None });
        self.nodes.len() - 1
    }

    fn set(&mut self, at: usize, kind: Kind) -> usize {
        if let Some(node) = self.nodes.get_mut(at) {
            node.kind = kind;
        }
        at
    }
}

/// What is said of a name that somebody else has chosen.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn list<'a>(object: &'a IndexMap<String, Json>, name: &str) -> Result<&'a [Json], String> {
    match object.get(name) {
        Some(Json::Array(items)) => Ok(items),
        _ => Err(format!("a part of the schema has no list of {name}")),
    }
}

fn number(object: &IndexMap<String, Json>, name: &str) -> Option<usize> {
    match object.get(name) {
        Some(Json::Number(number)) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        _ => None,
    }
}
