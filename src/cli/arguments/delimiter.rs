//! What stands between messages, as it is typed.

use std::str::FromStr;

/// The bytes between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Delimiter(pub(in crate::cli) Vec<u8>);

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            match characters.next() {
                Some('n') => bytes.push(b'\n'),
                Some('r') => bytes.push(b'\r'),
                Some('t') => bytes.push(b'\t'),
                Some('0') => bytes.push(0),
                Some('\\') => bytes.push(b'\\'),
                Some('x') => {
                    let digits: String = characters.by_ref().take(2).collect();
                    let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                    bytes.push(byte.ok_or_else(|| {
                        format!("\\x{digits} is not a byte: two hexadecimal digits follow \\x")
                    })?);
                }
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    let character = code.and_then(char::from_u32);
                    let character = character.ok_or_else(|| format!("\\u{digits} is not a character"))?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(other) => {
                    return Err(format!(
                        "\\{other} is not known; use \\n, \\r, \\t, \\0, \\\\, \\xHH or \\uHHHH"
                    ));
                }
                None => return Err("ends with a lone backslash".to_owned()),
            }
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_unescaped() {
        for (text, bytes) in
            [("\\n", b"\n" as &[u8]), ("", b""), ("\\0\\x7f", b"\0\x7f"), ("\\u00e9|", "é|".as_bytes())]
        {
            assert_eq!(text.parse(), Ok(Delimiter(bytes.to_vec())), "{text}");
        }
        for text in ["\\", "\\q", "\\x1", "\\xgg", "\\u12", "\\ud800"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text}");
        }
    }
}
