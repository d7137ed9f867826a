//! The plug-in's side of the lines.

use std::io::{self, BufRead, Write};

use super::protocol::{Answer, Content, Question, answer_line, parse_request};
use crate::models::python_json::Json;
use crate::models::{Format, MessageModel, ModelError, WireForm};

/// Answers what `hop` asks, until its questions end: the whole of a plug-in's `main`.
///
/// ```no_run
/// use std::io;
///
/// use hop::models::plugin::serve;
/// # #[derive(Debug)]
/// # struct DonutFormat;
/// # impl hop::models::Format for DonutFormat {
/// #     fn name(&self) -> &str { "donut" }
/// #     fn decode(&self, payload: &[u8]) -> Result<Box<dyn hop::models::MessageModel>, hop::models::ModelError> {
/// #         Ok(Box::new(hop::models::Blob::new(payload)))
/// #     }
/// #     fn decode_envelope(
/// #         &self,
/// #         content: hop::models::python_json::Json,
/// #     ) -> Result<Box<dyn hop::models::MessageModel>, hop::models::ModelError> {
/// #         Ok(Box::new(hop::models::JsonBlob::new(content)))
/// #     }
/// # }
///
/// // The program hop-model-donut.
/// fn main() -> io::Result<()> {
///     serve(&DonutFormat, &mut io::stdin().lock(), &mut io::stdout().lock())
/// }
/// ```
///
/// Nothing else may be written to `answers`. What the format refuses is answered with its reason; a message
/// without an original form has its JSON form for one, and one without an envelope has none.
///
/// # Errors
///
/// When the questions cannot be read or the answers not be written, and when a line is no question.
pub fn serve(format: &dyn Format, questions: &mut dyn BufRead, answers: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    while questions.read_until(b'\n', &mut line)? > 0 {
        let (id, question) = parse_request(&line).map_err(|problem| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("standard input is no question of hop's: {problem}"),
            )
        })?;
        answers.write_all(&answer_line(id, question.and_then(|question| answer(format, question))))?;
        answers.flush()?;
        line.clear();
    }
    Ok(())
}

fn answer(format: &dyn Format, question: Question) -> Answer {
    let model = match question {
        Question::Load(content) => format.load(&content),
        Question::Decode(payload) => format.decode(&payload),
        Question::DecodeEnvelope(content) => format.decode_envelope(Json::from(content)),
    };
    model.and_then(|model| content(&*model)).map_err(|error| error.to_string())
}

fn content(model: &dyn MessageModel) -> Result<Content, ModelError> {
    let payload = model.serialize(WireForm::Json)?;
    Ok(Content {
        text: String::from_utf8_lossy(&model.to_text()).into_owned(),
        json: model.to_json(),
        original: model.serialize(WireForm::Original).ok().filter(|original| *original != payload),
        envelope: model.serialize(WireForm::Envelope).ok(),
        payload,
    })
}
