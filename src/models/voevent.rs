//! VOEvents: the notices of the IVOA, XML documents of eleven parts, which hop-client passes on as JSON.
//!
//! The standard is "Sky Event Reporting Metadata", IVOA recommendation VOEvent 2.0; packets of version 1.1 are read the
//! same way, since nothing in reading depends on the schema. How elements and attributes become keys is told in the `xml`
//! module next to this one, and how they become XML again in `write`; what the schema allows, in `schema`.

mod encoding;
mod name_spaces;
mod names;
mod prolog;
mod schema;
mod validate;
mod values;
mod write;
mod xml;

use std::any::Any;
use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

pub use self::validate::SchemaProblem;

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
        if Self::is_json_form(payload) {
            return Self::from_json(Json::parse(payload)?.into_value());
        }
        Self::from_xml(payload)
    }

    /// Whether a file or payload is of the JSON form, not of XML.
    pub(crate) fn is_json_form(payload: &[u8]) -> bool {
        payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }

    /// What in an XML document the schema of VOEvent 2.0 (VOEvent-v2.0.xsd) does not allow, in the order of the document;
    /// nothing where it is valid.
    ///
    /// Reading takes less than the schema asks for, and more: [`from_xml`](Self::from_xml) takes any `<What>`, but insists
    /// on the prefix `voe`. A document that is no well-formed XML has one problem, which is where it ends to be that. After
    /// 20 problems the last says that there are more. Beyond the schema, the `ivorn` must begin with `ivo://`.
    ///
    /// ```
    /// use hop::models::VoEvent;
    ///
    /// let document = br#"<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="tset"
    ///     ivorn="ivo://org.example/demo#1"/>"#;
    /// let problems = VoEvent::validate(document);
    /// assert_eq!(
    ///     problems[0].to_string(),
    ///     "line 1, column 77: role is \"tset\"; it must be observation, prediction, utility or test",
    /// );
    /// assert_eq!(problems.len(), 1);
    /// ```
    pub fn validate(document: &[u8]) -> Vec<SchemaProblem> {
        validate::problems(document)
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

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const PACKET: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <voe:VOEvent xmlns:voe=\"http://www.ivoa.net/xml/VOEvent/v2.0\" \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"a b\" \
        ivorn=\"ivo://example.org/demo#7\" role=\"test\" version=\"2.0\">\
        <Who><Date>2026-01-01T00:00:00</Date></Who>\
        <What><Param name=\"mag\" value=\"17.5\"/><Param name=\"far\" value=\"1e-8\"/></What><Why/>\
        </voe:VOEvent>\n";

    #[test]
    fn a_packet_becomes_eleven_fields() {
        let event = VoEvent::load(PACKET.as_bytes()).unwrap();
        assert_eq!(
            event.json_line(),
            r#"{"ivorn": "ivo://example.org/demo#7", "role": "test", "version": "2.0", "#.to_owned()
                + r#""Who": {"Date": "2026-01-01T00:00:00"}, "#
                + r#""What": {"Param": [{"name": "mag", "value": "17.5"}, {"name": "far", "value": "1e-8"}]}, "#
                + r#""WhereWhen": {}, "How": {}, "Why": null, "Citations": {}, "Description": {}, "Reference": {}}"#
        );
        assert_eq!(event.ivorn(), "ivo://example.org/demo#7");
        assert_eq!(event.what()["Param"][1]["name"], "far");
    }

    #[test]
    fn the_text_form_is_indented_json_of_all_fields() {
        let text =
            String::from_utf8(VoEvent::load(PACKET.as_bytes()).unwrap().to_text().into_owned()).unwrap();
        assert!(
            text.starts_with("{\n  \"ivorn\": \"ivo://example.org/demo#7\",\n  \"role\": \"test\",\n"),
            "{text}"
        );
        assert!(text.ends_with("  \"Description\": {},\n  \"Reference\": {}\n}"), "{text}");
    }

    #[test]
    fn each_wire_form_is_as_its_readers_expect() {
        let event = VoEvent::load(PACKET.as_bytes()).unwrap();
        assert_eq!(event.serialize(WireForm::Original).unwrap(), PACKET.as_bytes());
        let json = event.serialize(WireForm::Json).unwrap();
        assert_eq!(json, event.json_line().as_bytes());
        let envelope = String::from_utf8(event.serialize(WireForm::Envelope).unwrap()).unwrap();
        assert_eq!(envelope, format!("{{\"format\": \"voevent\", \"content\": {}}}", event.json_line()));
        for (format, payload) in [(Some(&b"voevent"[..]), &json[..]), (None, envelope.as_bytes())] {
            let decoded = Registry::standard().decode(format, payload).unwrap();
            assert_eq!(decoded.model.to_json(), event.to_json());
        }
    }

    #[test]
    fn a_document_is_made_where_there_was_none() {
        let event =
            VoEvent::from_json(json!({ "ivorn": "ivo://a&b", "Who": { "Date": null }, "Description": "d" }));
        let xml = event.as_ref().unwrap().serialize(WireForm::Original).unwrap();
        assert_eq!(
            String::from_utf8(xml.clone()).unwrap(),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <voe:VOEvent xmlns:voe=\"http://www.ivoa.net/xml/VOEvent/v2.0\" ivorn=\"ivo://a&amp;b\" \
             role=\"observation\" version=\"2.0\"><Who><Date/></Who><What/><WhereWhen/><How/><Why/><Citations/>\
             <Description>d</Description><Reference/></voe:VOEvent>"
        );
        let again = VoEvent::load(&xml).unwrap();
        assert_eq!((again.who(), again.what()), (&json!({ "Date": null }), &Value::Null));

        let error = VoEvent::from_json(json!({ "ivorn": "i", "What": { "a b": 1 } }))
            .and_then(|event| event.serialize(WireForm::Original))
            .unwrap_err();
        assert!(error.to_string().contains("its original form: \"a b\" is no name"), "{error}");
    }

    #[test]
    fn what_is_no_voevent_is_explained() {
        for (payload, expected) in [
            (
                "<VOEvent ivorn='i'/>",
                "the root element must be <voe:VOEvent>, with that prefix, but it is <VOEvent>",
            ),
            ("<voe:VOEvent role='test'/>", "the ivorn"),
            ("<voe:VOEvent/>", "the ivorn"),
            ("<voe:VOEvent>text</voe:VOEvent>", "the ivorn"),
            ("<voe:VOEvent ivorn='i'>text</voe:VOEvent>", "text directly in <voe:VOEvent>"),
            ("<voe:VOEvent ivorn='i' xmlns='u'/>", "xmlns attribute without a prefix"),
            ("<voe:VOEvent ivorn='i'><Whom/></voe:VOEvent>", "unknown part \"Whom\""),
            ("{\"role\": \"test\"}", "the ivorn"),
            (" {\"ivorn\": \"i\", \"Foo\": 1}", "unknown part \"Foo\""),
            ("{\"ivorn\": \"i\"", "not valid JSON: line 1, column 14"),
            ("[]", "not valid XML: line 1, column 1: expected XML, which begins with '<', found '['"),
        ] {
            let error = VoEvent::decode(payload.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{payload}: {error}");
        }
        assert!(VoEvent::from_json(json!([])).is_err());
    }

    #[test]
    fn root_keys_with_a_prefix_are_dropped_and_nested_ones_kept() {
        let event =
            VoEvent::load(b"<voe:VOEvent ivorn='i' x:y='1'><q:z/><Who x:y='2'/></voe:VOEvent>").unwrap();
        assert_eq!(event.who(), &json!({ "x:y": "2" }));
    }

    #[test]
    fn numbers_in_the_json_form_survive() {
        let event =
            VoEvent::decode(br#"{"ivorn": 5, "version": 2.0, "What": {"snr": 1e16, "bad": NaN}}"#).unwrap();
        assert_eq!((event.ivorn(), event.version()), ("5".into(), "2.0".into()));
        assert!(event.json_line().contains(r#""What": {"snr": 1e+16, "bad": "NaN"}"#));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = VoEvent::load(&bytes);
        }

        #[test]
        fn the_json_form_reads_back(
            ivorn in any::<String>(), parts in prop::collection::btree_map(prop::sample::select(&FIELDS[1..]), r"\PC{0,6}", 0..10),
        ) {
            let mut members: Map<_, _> = parts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
            members.insert("ivorn".to_owned(), ivorn.into());
            let event = VoEvent::from_json(members.into()).unwrap();
            prop_assert_eq!(&VoEvent::decode(&event.serialize(WireForm::Json).unwrap()).unwrap(), &event);
        }
    }
}
