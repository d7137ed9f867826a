//! A schema for values that come without one, as hop-client makes it.
//!
//! Values of one type are an array or a map of it, and of several one of a union. An object whose values have nearly as
//! many types as there are values is a record instead. hop-client leaves the order of a union to chance; here it is that of
//! the values.

use indexmap::IndexMap;

use super::value::AvroValue;
use crate::models::python_json::Json;

/// The schema of records like these.
pub(super) fn schema_of(records: &[AvroValue]) -> Json {
    let mut inferring = Inferring { records: 0 };
    let types = records.iter().map(|record| inferring.type_of(record)).collect();
    all_of(types)
}

struct Inferring {
    /// How many record types there are so far.
    records: usize,
}

impl Inferring {
    fn type_of(&mut self, value: &AvroValue) -> Json {
        let name = match value {
            AvroValue::Null => "null",
            AvroValue::Boolean(_) => "boolean",
            AvroValue::Long(_) => "long",
            AvroValue::Double(_) => "double",
            AvroValue::Bytes(_) => "bytes",
            AvroValue::String(_) => "string",
            AvroValue::Logical { value, .. } => return self.type_of(value),
            AvroValue::Array(items) => {
                let types = items.iter().map(|item| self.type_of(item)).collect();
                return object([("type", text("array")), ("items", all_of(types))]);
            }
            AvroValue::Map(values) => {
                let types: Vec<Json> = values.values().map(|value| self.type_of(value)).collect();
                let common = all_of(types.clone());
                match &common {
                    Json::Array(union) if union.len() > values.len() / 2 => {}
                    _ => return object([("type", text("map")), ("values", common)]),
                }
                let name = format!("auto_record{}", self.records);
                self.records += 1;
                let fields = values.keys().zip(types);
                let fields = fields.map(|(name, of)| object([("name", text(name)), ("type", of)])).collect();
                return object([
                    ("type", text("record")),
                    ("name", Json::String(name)),
                    ("fields", Json::Array(fields)),
                ]);
            }
        };
        text(name)
    }
}

/// One type, or the union of several.
fn all_of(types: Vec<Json>) -> Json {
    let mut distinct: IndexMap<String, Json> = types.into_iter().map(|of| (of.to_string(), of)).collect();
    match distinct.len() {
        1 => distinct.pop().map(|(_, only)| only).unwrap_or_default(),
        _ => Json::Array(distinct.into_values().collect()),
    }
}

fn text(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn object<const MEMBERS: usize>(members: [(&str, Json); MEMBERS]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
