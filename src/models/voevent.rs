//! VOEvents: the notices of the IVOA, XML documents of eleven parts, which hop-client passes on as JSON.
//!
//! The standard is "Sky Event Reporting Metadata", IVOA recommendation VOEvent 2.0; packets of version 1.1 are read the
//! same way, since nothing here depends on the schema. How elements and attributes become keys is told in the `xml`
//! module next to this one, and how they become XML again in `write`.

mod encoding;
mod names;
mod write;
mod xml;

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

use super::python_json::{self, Json};
use super::{MessageModel, ModelError, WireForm, envelope};

/// A VOEvent: eleven fields as JSON values and, when it was read from XML, that document.
///
/// ```
/// use hop::models::VoEvent;
///
/// let event = VoEvent::from_json(serde_json::json!({
///     "ivorn": "ivo://example.org/demo#1",
///     "What": { "Param": { "name": "mag", "value": "17.5" } },
/// }))?;
/// assert_eq!(event.role(), "observation");
/// assert_eq!(event.what()["Param"]["value"], "17.5");
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct VoEvent {
    /// Exactly [`FIELDS`], in that order.
    fields: Map<String, Value>,
    /// The document that this was read from.
    xml: Option<Vec<u8>>,
}

/// The fields in the order in which they are written.
const FIELDS: [&str; 11] = [
    "ivorn",
    "role",
    "version",
    "Who",
    "What",
    "WhereWhen",
    "How",
    "Why",
    "Citations",
    "Description",
    "Reference",
];

/// The root element, compared as written: which prefix is bound to which name space is not looked at.
const ROOT: &str = "voe:VOEvent";

impl VoEvent {
    /// The format's name.
    pub const FORMAT: &'static str = "voevent";

    /// Reads a file: XML, or the JSON form.
    ///
    /// # Errors
    ///
    /// When it is neither well-formed XML nor JSON, or not a VOEvent.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        Self::decode(content)
    }

    /// Reads a file of XML or of the JSON form.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or does not hold a VOEvent.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        ModelError::with_file(path.as_ref(), Self::load)
    }

    /// Reads a payload: the JSON form, which versions 0.6 to 0.11 of hop-client send, or the XML of later ones.
    ///
    /// # Errors
    ///
    /// When it is neither well-formed XML nor JSON, or not a VOEvent.
    pub fn decode(payload: &[u8]) -> Result<Self, ModelError> {
        let is_json = payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if is_json {
            return Self::from_json(Json::parse(payload)?.into_value());
        }
        Self::from_xml(payload)
    }

    /// Reads an XML document and keeps it, to be sent on as it is with [`WireForm::Original`].
    ///
    /// # Errors
    ///
    /// When it is not well-formed XML, declares entities, or is not a VOEvent.
    pub fn from_xml(document: &[u8]) -> Result<Self, ModelError> {
        let wrong = |problem: &str| ModelError::structure(Self::FORMAT, problem);
        let (root, value) = xml::parse(document)?;
        if root != ROOT {
            return Err(wrong(&format!(
                "the root element must be <{ROOT}>, with that prefix, but it is <{root}>"
            )));
        }
        let Value::Object(mut members) = value else {
            return Err(wrong(NO_IVORN));
        };
        // Name space declarations and the place of the schema say nothing about the event.
        members.retain(|name, _| !name.contains(':'));
        if members.contains_key("#text") {
            return Err(wrong(&format!("there is text directly in <{ROOT}>, outside of its parts")));
        }
        if members.contains_key("xmlns") {
            return Err(wrong(&format!("<{ROOT}> must not have an xmlns attribute without a prefix")));
        }
        Ok(Self { xml: Some(document.to_vec()), ..Self::from_json(Value::Object(members))? })
    }

    /// Takes the JSON form: an object of some of the eleven fields, `ivorn` among them.
    ///
    /// # Errors
    ///
    /// When `ivorn` is missing, or a key is none of the eleven.
    pub fn from_json(json: Value) -> Result<Self, ModelError> {
        let Value::Object(mut members) = json else {
            return Err(ModelError::structure(Self::FORMAT, "expected a JSON object"));
        };
        let mut fields = Map::new();
        for name in FIELDS {
            let default = match name {
                "ivorn" => None,
                "role" => Some("observation".into()),
                "version" => Some("2.0".into()),
                _ => Some(Value::Object(Map::new())),
            };
            let value = members
                .shift_remove(name)
                .or(default)
                .ok_or_else(|| ModelError::structure(Self::FORMAT, NO_IVORN))?;
            fields.insert(name.to_owned(), value);
        }
        if let Some(name) = members.keys().next() {
            let problem = format!("unknown part {name:?}; a VOEvent has {}", FIELDS.join(", "));
            return Err(ModelError::structure(Self::FORMAT, problem));
        }
        Ok(Self { fields, xml: None })
    }

    /// The event's identifier, such as `ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_532871-729`.
    pub fn ivorn(&self) -> Cow<'_, str> {
        self.text("ivorn")
    }

    /// What the event is for: `observation`, `prediction`, `utility` or `test`.
    pub fn role(&self) -> Cow<'_, str> {
        self.text("role")
    }

    /// The version of the VOEvent standard.
    pub fn version(&self) -> Cow<'_, str> {
        self.text("version")
    }

    /// Who reports it.
    pub fn who(&self) -> &Value {
        self.field("Who")
    }

    /// What was measured.
    pub fn what(&self) -> &Value {
        self.field("What")
    }

    /// Where and when.
    pub fn where_when(&self) -> &Value {
        self.field("WhereWhen")
    }

    /// How it was observed.
    pub fn how(&self) -> &Value {
        self.field("How")
    }

    /// Why it may have happened.
    pub fn why(&self) -> &Value {
        self.field("Why")
    }

    /// Which events it follows, replaces or retracts.
    pub fn citations(&self) -> &Value {
        self.field("Citations")
    }

    /// Prose.
    pub fn description(&self) -> &Value {
        self.field("Description")
    }

    /// Where there is more.
    pub fn reference(&self) -> &Value {
        self.field("Reference")
    }

    /// The XML document that this was read from, if it was.
    pub fn xml(&self) -> Option<&[u8]> {
        self.xml.as_deref()
    }

    fn text(&self, name: &str) -> Cow<'_, str> {
        match self.field(name) {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(python_json::to_string(other)),
        }
    }

    fn field(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }
}

const NO_IVORN: &str = "the ivorn, the identifier of the event, is missing";

impl MessageModel for VoEvent {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Owned(python_json::to_string_pretty(&self.to_json()).into_bytes())
    }

    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        Ok(match (form, &self.xml) {
            (WireForm::Original, Some(document)) => document.clone(),
            (WireForm::Original, None) => write::document(&self.fields)
                .map_err(|problem| ModelError::NotRepresentable {
                    format: Self::FORMAT.to_owned(),
                    form,
                    problem,
                })?
                .into_bytes(),
            (WireForm::Envelope, _) => envelope(Self::FORMAT, &self.json_line()),
            (WireForm::Json, _) => self.json_line().into_bytes(),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
