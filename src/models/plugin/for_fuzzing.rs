//! What a fuzz target drives that is nobody else's business. No part of the API.

use super::protocol::{answer_line, parse_answer, parse_request, request_line};

/// Reads what a plug-in may have answered to its first question, and what it may have been asked; whether what is
/// understood of either is still understood once it is written again.
pub fn plugin_line(line: &[u8]) -> bool {
    let answer = parse_answer(line, 1);
    let answer_holds =
        answer.is_err() || parse_answer(&answer_line(1, answer.clone().unwrap_or_else(Err)), 1) == answer;
    let question_holds = match parse_request(line) {
        Ok((id, Ok(question))) => parse_request(&request_line(id, &question)) == Ok((id, Ok(question))),
        _ => true,
    };
    answer_holds && question_holds
}
