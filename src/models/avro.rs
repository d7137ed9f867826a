//! Avro: the format `avro`, records in an object container that has their schema with it (Avro 1.11).
//!
//! What is read is kept as it came, so that it is sent again with its own schema, metadata and order; only compressed
//! blocks are uncompressed first, since hop-client has no snappy and no Zstandard of its own. Read are the codecs `null`,
//! `deflate`, `snappy` and `zstandard`. What strangers send is bounded: see `decode` and `container`.
//!
//! hop-client reads one record from a message and refuses others. Here one record is the content, and several are an array
//! of them.
//!
//! Why there is no crate under it: of those that read any schema, `apache-avro` 0.23 and `serde_avro_fast` 2.1 read
//! Zstandard with C only, and bring a second deflate, big numbers, or decimals and random numbers besides; `arrow-avro` makes
//! columns of its own. What is left of Avro without code generation, schema resolution and remote calls are two small
//! recursions: some 50 KiB of the program, which has what decompresses anyway.

mod container;
mod decode;
mod encode;
mod inferred;
mod logical;
mod schema;
mod value;

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

pub use self::value::AvroValue;
use super::python_json::Json;
use super::{MessageModel, ModelError, WireForm};

/// One record, or several, in Avro.
///
/// ```
/// use hop::models::{AvroBlob, AvroValue, MessageModel, WireForm};
///
/// let content = AvroValue::try_from(serde_json::json!({ "name": "Bob", "age": 40, "height": 2.05 }))?;
/// let sent = AvroBlob::new(content);
/// let received = AvroBlob::decode(&sent.serialize(WireForm::Json)?)?;
/// assert_eq!(received, sent);
/// assert_eq!(received.json_line(), r#"{"name": "Bob", "age": 40, "height": 2.05}"#);
/// println!("{}", received.schema().expect("what was read has one"));
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AvroBlob {
    content: AvroValue,
    is_single_record: bool,
    schema: Option<Json>,
    /// What it was read from, uncompressed.
    container: Option<Vec<u8>>,
}

impl PartialEq for AvroBlob {
    /// Whether the content is the same, in as many records. The schemas may differ.
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content && self.is_single_record == other.is_single_record
    }
}

impl AvroBlob {
    /// The format's name.
    pub const FORMAT: &'static str = "avro";

    /// A message of one record. Unless it gets a schema, one is made up that fits: what is written then is what
    /// hop-client writes of the same value.
    pub fn new(content: impl Into<AvroValue>) -> Self {
        Self { content: content.into(), is_single_record: true, schema: None, container: None }
    }

    /// A message of any number of records, which hop-client does not read.
    pub fn of_records(records: Vec<AvroValue>) -> Self {
        Self { is_single_record: false, ..Self::new(AvroValue::Array(records)) }
    }

    /// The same with the schema that it is to be written in. Whether both fit is found out by
    /// [`serialize`](MessageModel::serialize).
    #[must_use]
    pub fn with_schema(self, schema: impl Into<Json>) -> Self {
        Self { schema: Some(schema.into()), container: None, ..self }
    }

    /// Reads an object container.
    ///
    /// # Errors
    ///
    /// When it is none, is damaged, has a schema that is none or a codec that is not read, holds more than 64 MiB
    /// uncompressed or values that would take more than 128 MiB of memory, or is nested more than 256 levels deep.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        let read = container::read(content).map_err(|problem| bad(&problem))?;
        let mut records = read.records;
        let only = if records.len() == 1 { records.pop() } else { None };
        Ok(Self {
            is_single_record: only.is_some(),
            content: only.unwrap_or(AvroValue::Array(records)),
            schema: Some(read.schema),
            container: Some(read.uncompressed),
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; else as for [`load`](Self::load).
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        Self::load(payload)
    }

    /// Reads the content of an envelope: an object of `content` and perhaps `schema` and `single_record`.
    pub(super) fn from_envelope(envelope: Json) -> Result<Self, ModelError> {
        let Json::Object(mut members) = envelope else {
            return Err(bad("expected an object with the member \"content\""));
        };
        let content = members.swap_remove("content").ok_or_else(|| bad("it has no \"content\""))?;
        let is_single_record = match members.swap_remove("single_record") {
            None => true,
            Some(Json::Bool(is_single_record)) => is_single_record,
            Some(_) => return Err(bad("its \"single_record\" must be true or false")),
        };
        let content = AvroValue::try_from(content)?;
        if !is_single_record && !matches!(content, AvroValue::Array(_)) {
            return Err(bad("its \"content\" must be an array, since \"single_record\" is false"));
        }
        let schema = members.swap_remove("schema").filter(|schema| *schema != Json::Null);
        if let Some(name) = members.keys().next() {
            let known = "only \"content\", \"schema\" and \"single_record\" are allowed";
            return Err(ModelError::structure(Self::FORMAT, format!("unknown key {name:?}: {known}")));
        }
        Ok(Self { content, is_single_record, schema, container: None })
    }

    /// The record, or an array of them unless there [is one](Self::is_single_record).
    pub fn content(&self) -> &AvroValue {
        &self.content
    }

    /// The same, taken out.
    pub fn into_content(self) -> AvroValue {
        self.content
    }

    /// Whether the content is the one record of the message.
    pub fn is_single_record(&self) -> bool {
        self.is_single_record
    }

    /// The records, however many there are.
    pub fn records(&self) -> &[AvroValue] {
        match &self.content {
            AvroValue::Array(records) if !self.is_single_record => records,
            only => std::slice::from_ref(only),
        }
    }

    /// The schema that it was written with, or is to be written with; `None` if one will be made up.
    pub fn schema(&self) -> Option<&Json> {
        self.schema.as_ref()
    }

    fn encoded(&self) -> Result<Vec<u8>, String> {
        let records = self.records();
        let json = match &self.schema {
            Some(schema) => Cow::Borrowed(schema),
            None => Cow::Owned(inferred::schema_of(records)),
        };
        let schema = schema::Schema::parse(&json)?;
        let mut encoder = encode::Encoder::new(&schema);
        for record in records {
            encoder.value(schema.root(), record)?;
        }
        Ok(container::write(&json, records.len(), &encoder.finish()))
    }
}

impl MessageModel for AvroBlob {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        self.content.to_json()
    }

    /// JSON on one line; a string or bytes alone as they are.
    fn to_text(&self) -> Cow<'_, [u8]> {
        match &self.content {
            AvroValue::String(text) | AvroValue::Logical { text, .. } => Cow::Borrowed(text.as_bytes()),
            AvroValue::Bytes(bytes) => Cow::Borrowed(bytes),
            other => Cow::Owned(other.to_string().into_bytes()),
        }
    }

    /// An object container with uncompressed blocks: the one that was read, or a new one. No envelope holds it, since
    /// whoever reads envelopes has no Avro.
    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        if form == WireForm::Envelope {
            return Err(ModelError::NotRepresentable {
                format: Self::FORMAT.to_owned(),
                form,
                problem: "old versions do not read Avro; send it without the envelope".to_owned(),
            });
        }
        match &self.container {
            Some(container) => Ok(container.clone()),
            None => self.encoded().map_err(|problem| bad(&problem)),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn json_line(&self) -> String {
        self.content.to_string()
    }
}

fn bad(problem: &str) -> ModelError {
    ModelError::structure(AvroBlob::FORMAT, problem)
}

#[cfg(test)]
mod tests;
