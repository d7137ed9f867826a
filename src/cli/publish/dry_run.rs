//! `hop publish --dry-run`: what would be sent, one JSON object a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::PublishFailure;
use super::additions::Additions;
use super::input::{Input, Lines};
use crate::cli::Outcome;
use crate::cli::output::Output;
use crate::models::MessageModel;
use crate::stream::{Outgoing, Packer};

/// Prints each message as it would be sent.
pub(super) async fn show(
    packer: &Packer,
    additions: &Additions,
    input: Input,
    models: &[Box<dyn MessageModel>],
) -> Outcome {
    let mut output = Output::new();
    for model in models {
        output.line(&described(&additions.to(packer.pack(&**model)?)))?;
    }
    if let Input::Messages(delimiter) = input {
        let mut lines = Lines::new(delimiter);
        loop {
            let next = lines.next().await;
            // What came before a line that cannot be sent would be sent all the same.
            let Some((place, model)) = next.inspect_err(|_| drop(output.flush()))? else { break };
            let failed = |source| PublishFailure::Send { place, source };
            output.line(&described(&additions.to(packer.pack(&model).map_err(failed)?)))?;
        }
    }
    Ok(output.flush()?)
}

/// The id, the other headers as text, key and partition where they were chosen, and the payload in base64.
fn described(message: &Outgoing) -> String {
    let mut id = Value::Null;
    let mut headers = Map::new();
    for header in message.headers() {
        match (&header.name()[..], header.value().and_then(|value| Uuid::from_slice(value).ok())) {
            (b"_id", Some(uuid)) => id = uuid.to_string().into(),
            _ => {
                headers.insert(
                    text(header.name()),
                    header.value().map_or(Value::Null, |value| text(value).into()),
                );
            }
        }
    }
    let mut shown = Map::new();
    shown.insert("_id".to_owned(), id);
    shown.insert("headers".to_owned(), headers.into());
    if let Some(key) = message.message_key() {
        shown.insert("key".to_owned(), text(key).into());
    }
    if let Some(partition) = message.chosen_partition() {
        shown.insert("partition".to_owned(), partition.into());
    }
    shown.insert("payload".to_owned(), BASE64.encode(message.payload()).into());
    Value::Object(shown).to_string()
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stands_apart_and_the_payload_is_base64() {
        let id = Uuid::from_u128(7);
        let message = Outgoing::raw(&b"\xff\x00"[..])
            .header("_id", Bytes::copy_from_slice(id.as_bytes()))
            .header("_format", "blob")
            .header("odd", &b"\xff"[..]);
        let shown = described(&message);
        assert_eq!(
            shown,
            format!(r#"{{"_id":"{id}","headers":{{"_format":"blob","odd":"�"}},"payload":"/wA="}}"#)
        );
    }
}
