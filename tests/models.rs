//! Messages as files hold them, through the public interface: read, shown, sent, and read again.

// The helpers below are called from tests only, where a panic is the report.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use hop::models::{
    GcnCircular, GcnTextNotice, JsonBlob, MessageModel, ModelError, Registry, VoEvent, WireForm,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Sends a model in every form and reads it back as its receiver would.
fn received(model: &dyn MessageModel) -> Vec<Box<dyn MessageModel>> {
    let registry = Registry::standard();
    [WireForm::Json, WireForm::Original, WireForm::Envelope]
        .into_iter()
        .map(|form| {
            let payload = model.serialize(form).unwrap();
            let header = (form != WireForm::Envelope).then(|| model.format().as_bytes());
            let decoded = registry.decode(header, &payload).unwrap();
            assert_eq!(decoded.warning, None);
            decoded.model
        })
        .collect()
}

#[test]
fn a_voevent_is_shown_as_json_and_arrives_in_every_form() {
    let event = VoEvent::load_file(fixture("voevent.xml")).unwrap();
    let expected = String::from_utf8(bytes("voevent.json")).unwrap();
    assert_eq!((&event as &dyn MessageModel).to_string() + "\n", expected);
    for model in received(&event) {
        assert_eq!(model.to_json(), event.to_json());
    }
    assert_eq!(event.serialize(WireForm::Original).unwrap(), bytes("voevent.xml"));
    assert_eq!(VoEvent::load_file(fixture("voevent.json")).unwrap().to_json(), event.to_json());
}

#[test]
fn a_voevent_that_came_as_json_becomes_a_document_of_the_same_content() {
    let event = VoEvent::load_file(fixture("voevent.json")).unwrap();
    let document = event.serialize(WireForm::Original).unwrap();
    let again = VoEvent::from_xml(&document).unwrap();
    assert_eq!(again.what(), event.what());
    assert_eq!(again.where_when(), event.where_when());
    assert_eq!(again.citations(), event.citations());
}

#[test]
fn a_circular_is_shown_as_it_was_written_and_arrives_in_every_form() {
    let circular = GcnCircular::load_file(fixture("circular.gcn3")).unwrap();
    assert_eq!(circular.to_text().as_ref(), bytes("circular.gcn3"));
    for model in received(&circular) {
        assert_eq!(model.downcast_ref(), Some(&circular));
    }
}

#[test]
fn real_voevents_keep_to_the_schema_and_a_mistake_in_one_is_found() {
    let example = include_bytes!("../examples/data/voevent.xml");
    for document in [&bytes("voevent.xml")[..], example] {
        assert_eq!(VoEvent::validate(document), []);
        let text = String::from_utf8(document.to_vec()).unwrap();
        let mistaken = text.replace("<Error2Radius>", "<Error2Radius>about ");
        let problems = VoEvent::validate(mistaken.as_bytes());
        assert_eq!(problems.len(), 1, "{problems:?}");
        let line = mistaken.lines().nth(problems[0].line - 1).unwrap();
        assert!(
            line.chars().skip(problems[0].column - 1).collect::<String>().starts_with("about 0.0"),
            "{line}"
        );
    }
}

#[test]
fn a_text_notice_keeps_its_bytes_and_arrives_in_every_form() {
    let notice = GcnTextNotice::load_file(fixture("notice.txt")).unwrap();
    assert_eq!(notice.field("trigger_num"), Some("260314"));
    assert_eq!(notice.field("comments"), Some("An invented notice.\nNothing was seen anywhere."));
    for model in received(&notice) {
        assert_eq!(model.downcast_ref(), Some(&notice));
        assert_eq!(model.to_text().as_ref(), bytes("notice.txt"));
    }
}

#[test]
fn a_file_error_names_the_file_and_its_cause_the_place() {
    let error = JsonBlob::load_file(fixture("notice.txt")).unwrap_err();
    assert!(matches!(error, ModelError::InFile { .. }));
    assert!(error.to_string().ends_with("notice.txt"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "not valid JSON: line 1, column 1: expected a value, found 'T'");
}
