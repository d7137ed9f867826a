//! The lines between `hop` and a plug-in, as `docs/plugins.md` has them. Nothing here reads or writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// The version of the lines.
const PROTOCOL: u64 = 1;

/// The longest answer, with its line feed, in bytes: a message of Kafka's usual megabyte in base64, three times over, as
/// text and as JSON takes less than half of it.
pub const MOST_ANSWER_BYTES: usize = 16 << 20;

/// What is shown of a plug-in's own words.
const LONGEST_PROBLEM: usize = 500;

/// What a plug-in is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// What a file of these bytes means.
    Load(Vec<u8>),
    /// What a payload of these bytes means.
    Decode(Vec<u8>),
    /// What this content of an envelope means.
    DecodeEnvelope(Value),
}

/// What a plug-in answers: a message, or why it is none.
pub(super) type Answer = Result<Content, String>;

/// A message in all its forms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) json: Value,
    pub(super) payload: Vec<u8>,
    /// Where it is not the same as `payload`.
    pub(super) original: Option<Vec<u8>>,
    /// Where there is one.
    pub(super) envelope: Option<Vec<u8>>,
}

/// A question, as a line with its line feed.
pub(super) fn request_line(id: u64, question: &Question) -> Vec<u8> {
    let (ask, name, value) = match question {
        Question::Load(bytes) => ("load", "bytes", BASE64.encode(bytes).into()),
        Question::Decode(bytes) => ("decode", "bytes", BASE64.encode(bytes).into()),
        Question::DecodeEnvelope(content) => ("decode_envelope", "content", content.clone()),
    };
    line(json!({ "protocol": PROTOCOL, "id": id, "ask": ask, name: value }))
}

/// Reads what [`request_line`] has written, on the plug-in's side: the number, and the question or why it cannot be
/// answered. The error is that there is nothing to answer to.
pub(super) fn parse_request(line: &[u8]) -> Result<(u64, Result<Question, String>), String> {
    let members = object(line)?;
    let id = members.get("id").and_then(Value::as_u64).ok_or("it has no 'id'")?;
    Ok((id, question(members)))
}

fn question(mut members: Map<String, Value>) -> Result<Question, String> {
    let protocol = members.get("protocol").cloned().unwrap_or_default();
    if protocol != PROTOCOL {
        return Err(format!("the plug-in speaks protocol {PROTOCOL}, and was asked in {protocol}"));
    }
    let ask = members.get("ask").and_then(Value::as_str).unwrap_or_default();
    match ask {
        "load" => Ok(Question::Load(bytes(&members, "bytes")?.ok_or("there are no 'bytes'")?)),
        "decode" => Ok(Question::Decode(bytes(&members, "bytes")?.ok_or("there are no 'bytes'")?)),
        "decode_envelope" => {
            Ok(Question::DecodeEnvelope(members.remove("content").ok_or("there is no 'content'")?))
        }
        other => Err(format!("the plug-in knows no question {:?}", shown(other))),
    }
}

/// An answer to the question of this number, as a line with its line feed.
pub(super) fn answer_line(id: u64, answer: Answer) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("id".to_owned(), id.into());
    match answer {
        Ok(content) => {
            members.insert("text".to_owned(), content.text.into());
            members.insert("json".to_owned(), content.json);
            members.insert("payload".to_owned(), BASE64.encode(content.payload).into());
            for (name, bytes) in [("original", content.original), ("envelope", content.envelope)] {
                if let Some(bytes) = bytes {
                    members.insert(name.to_owned(), BASE64.encode(bytes).into());
                }
            }
        }
        Err(problem) => {
            members.insert("error".to_owned(), problem.into());
        }
    }
    line(Value::Object(members))
}

/// Reads an answer to the question of this number, whatever a plug-in may have written. The error says what is wrong.
pub(super) fn parse_answer(line: &[u8], id: u64) -> Result<Answer, String> {
    let mut members = object(line)?;
    let answered = members.get("id").and_then(Value::as_u64).ok_or("it has no 'id'")?;
    if answered != id {
        return Err(format!("it answers question {answered}, and was asked question {id}"));
    }
    match members.remove("error") {
        Some(Value::String(problem)) => return Ok(Err(shown(&problem))),
        Some(Value::Null) | None => {}
        Some(_) => return Err("its 'error' is no string".to_owned()),
    }
    let Some(Value::String(text)) = members.remove("text") else {
        return Err("it has neither 'text', a string, nor 'error'".to_owned());
    };
    let payload = bytes(&members, "payload")?.ok_or("it has no 'payload'")?;
    let (original, envelope) = (bytes(&members, "original")?, bytes(&members, "envelope")?);
    let json = members.remove("json").ok_or("it has no 'json'")?;
    Ok(Ok(Content { text, json, payload, original, envelope }))
}

fn line(value: Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("the line is no JSON object".to_owned()),
        Err(error) => Err(format!("the line is no JSON ({error}): {:?}", beginning(line))),
    }
}

/// What a line begins with, for whoever has to find out what it is.
fn beginning(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..60).unwrap_or(line)).trim_end().to_owned()
}

/// The bytes of a member in base64; `None` where it is missing or `null`.
fn bytes(members: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            BASE64.decode(text).map(Some).map_err(|error| format!("its '{name}' is not base64: {error}"))
        }
        Some(_) => Err(format!("its '{name}' is no string")),
    }
}

/// Words of somebody else's, fit for a terminal.
fn shown(words: &str) -> String {
    words.chars().take(LONGEST_PROBLEM).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content() -> Content {
        Content {
            text: "a donut\n".to_owned(),
            json: json!({ "flavour": "plain", "toppings": [] }),
            payload: b"\x00\xff".to_vec(),
            original: Some(b"flavour: plain".to_vec()),
            envelope: None,
        }
    }

    #[test]
    fn lines_are_as_documented() {
        let request = request_line(7, &Question::Decode(b"\xff\x00".to_vec()));
        assert_eq!(request, b"{\"protocol\":1,\"id\":7,\"ask\":\"decode\",\"bytes\":\"/wA=\"}\n");
        let request = request_line(8, &Question::DecodeEnvelope(json!({ "a": 1 })));
        let expected = "{\"protocol\":1,\"id\":8,\"ask\":\"decode_envelope\",\"content\":{\"a\":1}}\n";
        assert_eq!(request, expected.as_bytes());
        let answer =
            br#"{"id": 7, "text": "t", "json": [1], "payload": "eA==", "original": null, "later": 1}"#;
        let expected = Content {
            text: "t".to_owned(),
            json: json!([1]),
            payload: b"x".to_vec(),
            original: None,
            envelope: None,
        };
        assert_eq!(parse_answer(answer, 7), Ok(Ok(expected)));
        assert_eq!(
            parse_answer(br#"{"id": 7, "error": "too\u001b[31m sweet"}"#, 7),
            Ok(Err("too [31m sweet".into()))
        );
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        for (line, problem) in [
            (&b"Traceback (most recent call last):\n"[..], "no JSON"),
            (b"\xff\xfe", "no JSON"),
            (b"", "no JSON"),
            (b"[]", "no JSON object"),
            (b"{}", "no 'id'"),
            (br#"{"id": -1}"#, "no 'id'"),
            (br#"{"id": 6, "error": "x"}"#, "it answers question 6, and was asked question 7"),
            (br#"{"id": 7}"#, "neither 'text'"),
            (br#"{"id": 7, "error": {}}"#, "'error' is no string"),
            (br#"{"id": 7, "text": 1, "json": 1, "payload": ""}"#, "neither 'text'"),
            (br#"{"id": 7, "text": "", "json": 1}"#, "no 'payload'"),
            (br#"{"id": 7, "text": "", "json": 1, "payload": "?"}"#, "'payload' is not base64"),
            (br#"{"id": 7, "text": "", "json": 1, "payload": "", "envelope": 1}"#, "'envelope' is no string"),
            (br#"{"id": 7, "text": "", "payload": ""}"#, "no 'json'"),
        ] {
            let error = parse_answer(line, 7).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let deep =
            [br#"{"id": 7, "text": "", "payload": "", "json": "#, "[".repeat(100_000).as_bytes()].concat();
        assert!(parse_answer(&deep, 7).is_err(), "what is nested takes no stack");
        let long = parse_answer(format!(r#"{{"id": 7, "error": "{}"}}"#, "x".repeat(9000)).as_bytes(), 7);
        assert_eq!(long.unwrap().unwrap_err().len(), LONGEST_PROBLEM);
    }

    #[test]
    fn what_is_wrong_with_a_question_is_said() {
        let problem = |line: &str| parse_request(line.as_bytes()).unwrap().1.unwrap_err();
        assert!(problem(r#"{"id": 1, "protocol": 2, "ask": "load"}"#).contains("was asked in 2"));
        assert!(problem(r#"{"id": 1, "protocol": 1, "ask": "fry"}"#).contains("no question \"fry\""));
        assert!(problem(r#"{"id": 1, "protocol": 1, "ask": "load"}"#).contains("no 'bytes'"));
        assert!(problem(r#"{"id": 1, "protocol": 1, "ask": "decode_envelope"}"#).contains("no 'content'"));
        assert!(parse_request(b"{}").unwrap_err().contains("no 'id'"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in any::<u64>(), bytes in any::<Vec<u8>>(), problem in "[ -~]{0,40}") {
            for question in [
                Question::Load(bytes.clone()),
                Question::Decode(bytes.clone()),
                Question::DecodeEnvelope(json!({ "bytes": bytes })),
            ] {
                prop_assert_eq!(parse_request(&request_line(id, &question)), Ok((id, Ok(question))));
            }
            let content = Content { envelope: Some(bytes), ..content() };
            for answer in [Ok(content), Err(problem)] {
                prop_assert_eq!(parse_answer(&answer_line(id, answer.clone()), id), Ok(answer));
            }
        }
    }
}
