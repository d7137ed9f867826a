//! Writes Avro of JSON, for `interop/test_avro.py`: a line of standard input is `[content, schema or null, whether it is
//! one record]`, and its answer the container in base64, or what is wrong behind an exclamation mark.

use std::io::{BufRead as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hop::models::python_json::Json;
use hop::models::{AvroBlob, AvroValue, MessageModel, ModelError, WireForm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let answer = match written(line?.as_bytes()) {
            Ok(container) => BASE64.encode(container),
            Err(error) => format!("! {error}"),
        };
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn written(line: &[u8]) -> Result<Vec<u8>, ModelError> {
    let Json::Array(parts) = Json::parse(line)? else {
        return Err(ModelError::structure("line", "it is no array"));
    };
    let Ok([content, schema, is_single]) = <[Json; 3]>::try_from(parts) else {
        return Err(ModelError::structure("line", "it has not three parts"));
    };
    let blob = match AvroValue::try_from(content)? {
        AvroValue::Array(records) if is_single == Json::Bool(false) => AvroBlob::of_records(records),
        content => AvroBlob::new(content),
    };
    let blob = if schema == Json::Null { blob } else { blob.with_schema(schema) };
    blob.serialize(WireForm::Json)
}
