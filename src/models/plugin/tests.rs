//! A plug-in that behaves as each payload says, and the other side of the lines.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::models::{Blob, GcnCircular, JsonBlob, Registry, WireForm};

fn moody() -> PluginFormat {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plugins/hop-model-moody");
    PluginFormat::new("moody", program).unwrap()
}

fn error(plugin: &PluginFormat, payload: &str) -> String {
    plugin.decode(payload.as_bytes()).unwrap_err().to_string()
}

#[test]
fn one_process_answers_all_questions_and_is_gone_with_the_format() {
    let plugin = moody();
    assert!(plugin.state.lock().unwrap().running.is_none(), "nothing is started before it is asked");
    let model = plugin.decode(b"pid").unwrap();
    assert_eq!(model.to_json(), plugin.load(b"pid").unwrap().to_json(), "the same process");
    assert_eq!(model.format(), "moody");
    assert_eq!(model.serialize(WireForm::Json).unwrap(), b"pid");
    assert_eq!(model.serialize(WireForm::Original).unwrap(), b"pid");
    let refused = model.serialize(WireForm::Envelope).unwrap_err().to_string();
    assert!(refused.contains("its plug-in has no such form"), "{refused}");
    // What it refuses in order is no failure.
    for _ in 0..5 {
        assert_eq!(error(&plugin, "x"), "not a valid moody message: it does not feel like it");
    }
    assert_eq!(model.to_json(), plugin.decode(b"pid").unwrap().to_json());
    drop(plugin);
    let pid = model.to_string();
    let there = std::process::Command::new("kill").args(["-0", &pid]).output().unwrap();
    assert!(!there.status.success(), "{pid} is still there");
}

#[test]
fn whatever_it_does_there_is_an_error_that_names_it_and_the_next_message_is_read() {
    let plugin = moody().answer_timeout(Duration::from_secs(60));
    for (payload, said) in [
        ("die", "ended without an answer (exit status: 3)"),
        ("close", "ended without an answer (signal: 9 (SIGKILL))"),
        ("garbage", "gave no answer that can be understood and was ended: the line is no JSON"),
        ("other", "it answers question 4711, and was asked question"),
        ("long", "gave an answer of more than 16 MiB"),
    ] {
        let error = error(&plugin, payload);
        assert!(error.starts_with("the plug-in ") && error.contains("hop-model-moody "), "{error}");
        assert!(error.contains(said), "{error}");
        plugin.decode(b"pid").unwrap();
    }
    // What is left of one answer is not taken for the next.
    assert!(error(&plugin, "twice").contains("said twice"));
    assert!(error(&plugin, "pid").contains("it answers question"));
    plugin.decode(b"pid").unwrap();
}

#[test]
fn one_that_hangs_is_ended() {
    let plugin = moody().answer_timeout(Duration::from_millis(50));
    let hangs = error(&plugin, "hang");
    assert!(hangs.contains("did not answer within 50ms and was ended"), "{hangs}");
    assert!(plugin.state.lock().unwrap().running.is_none());
}

#[test]
fn one_that_left_after_its_answer_is_started_again() {
    let plugin = moody();
    assert!(error(&plugin, "leave").contains("and goodbye"));
    if let Some(running) = &mut plugin.state.lock().unwrap().running {
        running.wait_for_its_end();
    }
    plugin.decode(b"pid").unwrap();
}

#[test]
fn one_that_only_fails_is_left_alone() {
    let plugin = moody();
    for _ in 0..MOST_FAILURES {
        assert!(error(&plugin, "die").contains("ended without an answer"));
    }
    assert!(error(&plugin, "pid").ends_with("is not asked any more, since it failed 3 times in a row"));
}

#[test]
fn one_that_is_no_program_is_an_error() {
    for program in ["/no/such/hop-model-x", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let plugin = PluginFormat::new("x", program).unwrap();
        let error = error(&plugin, "x");
        assert!(error.starts_with(&format!("the plug-in {program} cannot be started: ")), "{error}");
    }
    let error = PluginFormat::new("../sh", "/bin/sh").unwrap_err().to_string();
    assert!(error.starts_with("\"../sh\" cannot be the name"), "{error}");
}

/// What a registry makes of it when the named format is served by a plug-in of this library, without a process.
fn through_lines(format: &dyn Format, question: &Question) -> Result<PluginModel, String> {
    let mut answers = Vec::new();
    serve(format, &mut &request_line(3, question)[..], &mut answers).unwrap();
    let content = parse_answer(&answers, 3).unwrap()?;
    Ok(PluginModel::new(format.name().to_owned(), content))
}

#[test]
fn a_format_that_is_served_is_the_same_on_the_other_side() {
    let registry = Registry::standard();
    let circular = b"TITLE: GCN CIRCULAR\nSUBJECT: GRB 260101A: optical limit\n\nNothing seen.\n";
    let here = GcnCircular::load(circular).unwrap();
    let format = registry.get("circular").unwrap();
    let there = through_lines(format, &Question::Load(circular.to_vec())).unwrap();
    assert_eq!(there.to_text(), here.to_text());
    assert_eq!(there.to_json(), here.to_json());
    assert_eq!(there.json_line(), here.json_line());
    for form in [WireForm::Json, WireForm::Original, WireForm::Envelope] {
        assert_eq!(there.serialize(form).unwrap(), here.serialize(form).unwrap());
    }
    let read = through_lines(format, &Question::DecodeEnvelope(here.to_json())).unwrap();
    assert_eq!(read.to_json(), here.to_json());
    let refused = through_lines(format, &Question::Decode(b"{".to_vec())).unwrap_err();
    assert!(refused.starts_with("not valid JSON"), "{refused}");
    // Bytes have no envelope unless they are text.
    let blob = through_lines(registry.get("blob").unwrap(), &Question::Decode(b"\xff".to_vec())).unwrap();
    assert_eq!(blob.serialize(WireForm::Json).unwrap(), Blob::new(&b"\xff"[..]).content());
    assert!(blob.serialize(WireForm::Envelope).is_err());
}

#[test]
fn what_is_no_question_ends_the_service() {
    let mut answers = Vec::new();
    let served = serve(Registry::standard().get("json").unwrap(), &mut &b"hello\n"[..], &mut answers);
    assert!(served.unwrap_err().to_string().contains("no question of hop's"));
    assert!(answers.is_empty());
}

proptest! {
    #[test]
    fn any_payload_can_be_served(payload in any::<Vec<u8>>()) {
        let model = through_lines(Registry::standard().get("blob").unwrap(), &Question::Decode(payload.clone()));
        prop_assert_eq!(&model.unwrap().serialize(WireForm::Json).unwrap(), &payload);
        let json = JsonBlob::new(json!({ "payload": payload }));
        let question = Question::DecodeEnvelope(json.to_json());
        let read = through_lines(Registry::standard().get("json").unwrap(), &question).unwrap();
        prop_assert_eq!(read.to_json(), json.to_json());
    }
}
