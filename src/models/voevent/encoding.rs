//! From the bytes of an XML document to text: its byte order mark and its declaration say how.

use std::borrow::Cow;

use encoding_rs::Encoding;

use crate::models::error::{XmlError, line_and_column};

/// The text of a document, without a byte order mark. What follows the declaration in it is not looked at.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'<', 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, b'<', ..] => utf16(bytes, u16::from_be_bytes),
        _ => declared(bytes),
    }
}

fn declared(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let Some(label) = declared_label(bytes) else {
        return utf8(bytes);
    };
    let at_start = |problem| XmlError { line: 1, column: 1, problem };
    let mislabelled = || at_start(format!("the document is not in {label}, as its declaration says"));
    match label.to_ascii_lowercase().as_str() {
        "utf-8" => utf8(bytes),
        "us-ascii" | "ascii" if bytes.is_ascii() => utf8(bytes),
        "us-ascii" | "ascii" => Err(mislabelled()),
        // `encoding_rs` follows the web, for which this name means windows-1252.
        "iso-8859-1" | "latin1" | "latin-1" | "l1" => {
            Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
        }
        "utf-16" | "utf-16le" | "utf-16be" => Err(at_start(format!(
            "the declaration says {label}, but the declaration itself is not in {label}"
        ))),
        lower => {
            let encoding = Encoding::for_label(lower.as_bytes())
                .filter(|encoding| encoding.is_ascii_compatible())
                .ok_or_else(|| at_start(format!("unknown encoding {label:?}")))?;
            encoding.decode_without_bom_handling_and_without_replacement(bytes).ok_or_else(mislabelled)
        }
    }
}

/// The `encoding` of a declaration at the very start of the document.
fn declared_label(bytes: &[u8]) -> Option<&str> {
    // Declarations are short; a long first line is not searched.
    let head = bytes.get(..bytes.len().min(256))?;
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(head.get(..end)?).ok()?.strip_prefix("<?xml")?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.get(1..)?.split_once(quote).map(|(label, _)| label)
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let valid = error.valid_up_to();
        let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
        let (line, column) = line_and_column(&before, before.len());
        let byte = bytes.get(valid).copied().unwrap_or_default();
        XmlError {
            line,
            column,
            problem: format!("byte {byte:#04x} is not UTF-8; is the encoding declared?"),
        }
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, XmlError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::new();
    let mut decoded = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    let problem = loop {
        match decoded.next() {
            Some(Ok(c)) => text.push(c),
            Some(Err(_)) => break "half of a surrogate pair is no character of UTF-16",
            None if rest.is_empty() => return Ok(Cow::Owned(text)),
            None => break "the last character of UTF-16 is cut in half",
        }
    };
    let (line, column) = line_and_column(&text, text.len());
    Err(XmlError { line, column, problem: problem.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_bytes(text: &str, encode: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(encode).collect()
    }

    #[test]
    fn marks_and_first_bytes_tell_utf8_from_utf16() {
        assert_eq!(decode("<é>".as_bytes()).unwrap(), "<é>");
        assert_eq!(decode("\u{feff}<é>".as_bytes()).unwrap(), "<é>");
        assert_eq!(decode(&utf16_bytes("\u{feff}<🚀>", u16::to_le_bytes)).unwrap(), "<🚀>");
        assert_eq!(decode(&utf16_bytes("\u{feff}<🚀>", u16::to_be_bytes)).unwrap(), "<🚀>");
        assert_eq!(decode(&utf16_bytes("<é>", u16::to_le_bytes)).unwrap(), "<é>");
        assert_eq!(decode(&utf16_bytes("<é>", u16::to_be_bytes)).unwrap(), "<é>");
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn the_declaration_names_eight_bit_encodings() {
        assert_eq!(
            decode(b"<?xml version='1.0' encoding='ISO-8859-1'?>\xe9\x85").unwrap().chars().last(),
            Some('\u{85}')
        );
        assert!(decode(b"<?xml version=\"1.0\" encoding = \"windows-1252\"?>\x85").unwrap().ends_with('…'));
        assert!(decode("<?xml version=\"1.0\" encoding=\"Utf-8\"?>é".as_bytes()).unwrap().ends_with('é'));
    }

    #[test]
    fn what_cannot_be_decoded_is_placed() {
        let problem = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert!(problem(b"<a>\n\xff").starts_with("line 2, column 1: byte 0xff is not UTF-8"));
        assert!(problem(b"<?xml encoding='klingon'?>").contains("unknown encoding \"klingon\""));
        assert!(problem(b"<?xml encoding='UTF-16'?>").contains("is not in UTF-16"));
        assert!(
            problem(b"<?xml encoding='US-ASCII'?>\xe9").contains("not in US-ASCII, as its declaration says")
        );
        assert!(problem(b"\xff\xfe<\0a").contains("cut in half"));
        assert!(problem(b"\xff\xfe<\0\x00\xd8<\0").contains("half of a surrogate pair"));
    }
}
