//! Messages of every kind, made up from how Apache Kafka lays them out.
//!
//! Every field has a value that is not the one it would have anyway, so that a decoder that drops or swaps one is
//! caught when the message is encoded back.

use fastrand::Rng;
use hop::wire::layout::{Side, layout};

/// A message without its header.
#[derive(Debug, Clone, Default)]
pub struct Example {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where in it lengths stand.
    pub lengths: Vec<Length>,
}

/// Where a length stands.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Its first byte.
    pub at: usize,
    /// How it is written.
    pub form: LengthForm,
}

/// How a length is written.
#[derive(Debug, Clone, Copy)]
pub enum LengthForm {
    /// In two bytes.
    Short,
    /// In four bytes.
    Int,
    /// In a byte, of up to five: one more than it is. Also the number of tagged fields, and the size of one.
    Compact,
}

impl Example {
    /// One of the API's requests or answers of this version; `None` where there is no such version.
    pub fn new(key: i16, side: Side, version: i16, rng: &mut Rng) -> Option<Self> {
        let mut example = Self::default();
        example.fields(layout(key, side, version)?.as_bytes(), rng, false);
        Some(example)
    }

    /// The same message with the length at `length` replaced.
    pub fn with_length(&self, length: Length, value: u32) -> Vec<u8> {
        let (before, after) = self.bytes.split_at(length.at);
        let (written, own): (Vec<u8>, usize) = match length.form {
            LengthForm::Short => (u16::try_from(value).unwrap_or(0x7fff).to_be_bytes().to_vec(), 2),
            LengthForm::Int => (value.to_be_bytes().to_vec(), 4),
            LengthForm::Compact => (varint(value), 1),
        };
        [before, &written, after.get(own..).unwrap_or(&[])].concat()
    }

    /// `set` says that absent and empty will not do: a tagged field that has nothing to say is not written.
    fn fields(&mut self, mut fields: &[u8], rng: &mut Rng, set: bool) {
        let mut may_be_absent = false;
        while let [letter, rest @ ..] = fields {
            fields = rest;
            let absent = std::mem::take(&mut may_be_absent) && !set && rng.u8(..4) == 0;
            let one = usize::from(set);
            match letter {
                b'?' => may_be_absent = true,
                b'f' => self.bytes.push(u8::from(set || rng.bool())),
                b'1' => self.bytes.push(rng.u8(2..100)),
                b'2' => self.bytes.extend(rng.i16(2..).to_be_bytes()),
                b'4' => self.bytes.extend(rng.i32(2..).to_be_bytes()),
                b'8' => self.bytes.extend(rng.i64(2..).to_be_bytes()),
                b'u' => self.bytes.extend(rng.u128(2..).to_be_bytes()),
                b's' | b'S' | b'b' | b'B' => {
                    let text: String = (0..rng.usize(one..6)).map(|_| rng.lowercase()).collect();
                    let form = match letter {
                        b's' => LengthForm::Short,
                        b'b' => LengthForm::Int,
                        _ => LengthForm::Compact,
                    };
                    self.length(form, (!absent).then_some(text.len()));
                    if !absent {
                        self.bytes.extend(text.as_bytes());
                    }
                }
                b'[' | b'{' => {
                    let (element, after) = group(rest);
                    fields = after;
                    let form = if *letter == b'[' { LengthForm::Int } else { LengthForm::Compact };
                    let count = rng.usize(one..3);
                    self.length(form, (!absent).then_some(count));
                    for _ in 0..if absent { 0 } else { count } {
                        self.fields(element, rng, false);
                    }
                }
                b'(' => {
                    let (inside, after) = group(rest);
                    fields = after;
                    self.bytes.push(if absent { 0xff } else { 1 });
                    if !absent {
                        self.fields(inside, rng, false);
                    }
                }
                _ => {
                    let (known, after) = group(rest);
                    fields = after;
                    self.tagged(known, rng);
                }
            }
        }
    }

    fn tagged(&mut self, mut known: &[u8], rng: &mut Rng) {
        let mut tagged: Vec<(u8, Self)> = Vec::new();
        while let [letter, b'(', rest @ ..] = known {
            let (fields, after) = group(rest);
            known = after;
            if rng.bool() {
                let mut value = Self::default();
                value.fields(fields, rng, true);
                tagged.push((letter - b'a', value));
            }
        }
        // One that nobody knows yet is passed over, and kept.
        if rng.u8(..4) == 0 {
            tagged.push((40, Self { bytes: b"new".to_vec(), lengths: Vec::new() }));
        }
        self.length(LengthForm::Compact, tagged.len().checked_sub(1));
        for (tag, value) in tagged {
            self.bytes.push(tag);
            self.length(LengthForm::Compact, value.bytes.len().checked_sub(1));
            let start = self.bytes.len();
            self.lengths
                .extend(value.lengths.iter().map(|length| Length { at: length.at + start, ..*length }));
            self.bytes.extend(value.bytes);
        }
    }

    fn length(&mut self, form: LengthForm, length: Option<usize>) {
        self.lengths.push(Length { at: self.bytes.len(), form });
        let length = length.and_then(|length| u16::try_from(length).ok());
        match (form, length) {
            (LengthForm::Short, None) => self.bytes.extend([0xff; 2]),
            (LengthForm::Int, None) => self.bytes.extend([0xff; 4]),
            (LengthForm::Short, Some(length)) => self.bytes.extend(length.to_be_bytes()),
            (LengthForm::Int, Some(length)) => self.bytes.extend(u32::from(length).to_be_bytes()),
            (LengthForm::Compact, length) => {
                self.bytes.extend(varint(length.map_or(0, |length| u32::from(length) + 1)));
            }
        }
    }
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or(0));
    bytes
}

/// What is inside the bracket that was just opened, and what follows it.
fn group(fields: &[u8]) -> (&[u8], &[u8]) {
    let mut depth = 0;
    for (at, letter) in fields.iter().enumerate() {
        match letter {
            b'[' | b'{' | b'(' | b'<' => depth += 1,
            b']' | b'}' | b')' | b'>' if depth > 0 => depth -= 1,
            b']' | b'}' | b')' | b'>' => return (&fields[..at], &fields[at + 1..]),
            _ => {}
        }
    }
    (fields, &[])
}
