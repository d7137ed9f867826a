//! Where the lengths stand in each message, so that none is believed before it is seen to be true.
//!
//! The decoder of the schemas reserves memory for whatever length a frame states. So each frame is gone over first, in
//! one pass that takes no memory: it knows how each version of each message is laid out, follows every length, and
//! fails at the first that goes beyond the end. What has passed holds every element that it claims, so no more is
//! reserved for it than a fixed multiple of its size.
//!
//! A layout is a line of letters, a letter a field:
//!
//! | letter | field |
//! | --- | --- |
//! | `1` `2` `4` `8` | an integer, or a float, of so many bytes |
//! | `f` | a boolean |
//! | `u` | a UUID |
//! | `s` `S` | text, with a length of two bytes or a compact one |
//! | `b` `B` | bytes, with a length of four bytes or a compact one |
//! | `[…]` `{…}` | a list, with a length of four bytes or a compact one, and how its elements are laid out |
//! | `(…)` | a structure, after a byte: 1 where it is there, -1 where not |
//! | `<a(…)b(…)>` | tagged fields: those known, `a` with tag 0, and how they are laid out |
//! | `?` | the next field may be absent |
//!
//! The table is written by a program that asks Apache Kafka's own schemas; compact lengths and tags are those of
//! KIP-482.

mod table;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// From a client to a broker.
    Request,
    /// From a broker to a client.
    Response,
}

/// Versions of a message that are laid out in the same way.
struct Row {
    key: i16,
    side: Side,
    first: i16,
    last: i16,
    fields: &'static str,
}

/// How a message is laid out, without its header; `None` for versions that Apache Kafka does not know.
pub fn layout(key: i16, side: Side, version: i16) -> Option<&'static str> {
    let after = table::ROWS.partition_point(|row| (row.key, row.side, row.first) <= (key, side, version));
    let row = table::ROWS.get(after.checked_sub(1)?)?;
    (row.key == key && row.side == side && version <= row.last).then_some(row.fields)
}

/// Goes over the fields at the beginning of `frame`, and leaves what follows them.
pub(super) fn check(fields: &'static str, frame: &mut &[u8]) -> Result<(), LayoutError> {
    walk(fields.as_bytes(), frame)
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LayoutError {
    #[error("it ends in the middle of a field")]
    Short,
    #[error("it states a length of {stated} with {left} bytes left")]
    Long { stated: u64, left: usize },
    #[error("it states a length of {stated}")]
    Negative { stated: i32 },
    #[error("a compact length has more than five bytes, or more than 32 bits")]
    Varint,
    #[error("a structure that may be absent begins with {marker}")]
    Marker { marker: u8 },
    #[error("a tagged field of {stated} bytes leaves {left} of them over")]
    Tag { stated: usize, left: usize },
}

fn walk(mut fields: &[u8], frame: &mut &[u8]) -> Result<(), LayoutError> {
    while let [letter, rest @ ..] = fields {
        fields = rest;
        match letter {
            b'1' | b'f' => skip(frame, 1)?,
            b'2' => skip(frame, 2)?,
            b'4' => skip(frame, 4)?,
            b'8' => skip(frame, 8)?,
            b'u' => skip(frame, 16)?,
            b's' => {
                let length = i16::from_be_bytes(take(frame)?);
                skip(frame, stated(i32::from(length), frame)?)?;
            }
            b'b' => {
                let length = i32::from_be_bytes(take(frame)?);
                skip(frame, stated(length, frame)?)?;
            }
            b'S' | b'B' => {
                let length = compact(frame)?;
                skip(frame, length)?;
            }
            b'[' => {
                let (element, after) = group(rest);
                fields = after;
                let length = i32::from_be_bytes(take(frame)?);
                repeat(element, stated(length, frame)?, frame)?;
            }
            b'{' => {
                let (element, after) = group(rest);
                fields = after;
                let length = compact(frame)?;
                repeat(element, length, frame)?;
            }
            b'(' => {
                let (inside, after) = group(rest);
                fields = after;
                match take::<1>(frame)? {
                    [1] => walk(inside, frame)?,
                    [0xff] => {}
                    [marker] => return Err(LayoutError::Marker { marker }),
                }
            }
            b'<' => {
                let (known, after) = group(rest);
                fields = after;
                tagged(known, frame)?;
            }
            // What may be absent says so itself; whether it may is the decoder's concern.
            _ => {}
        }
    }
    Ok(())
}

fn repeat(element: &[u8], count: usize, frame: &mut &[u8]) -> Result<(), LayoutError> {
    for _ in 0..count {
        walk(element, frame)?;
    }
    Ok(())
}

fn tagged(known: &[u8], frame: &mut &[u8]) -> Result<(), LayoutError> {
    for _ in 0..varint(frame)? {
        let tag = varint(frame)?;
        let size = usize::try_from(varint(frame)?).unwrap_or(usize::MAX);
        let Some((mut field, after)) = frame.split_at_checked(size) else {
            return Err(LayoutError::Long { stated: size as u64, left: frame.len() });
        };
        *frame = after;
        let Some(fields) = field_of_tag(known, tag) else { continue };
        walk(fields, &mut field)?;
        // The decoder does not look at the size.
        if !field.is_empty() {
            return Err(LayoutError::Tag { stated: size, left: field.len() });
        }
    }
    Ok(())
}

fn field_of_tag(mut known: &[u8], tag: u32) -> Option<&[u8]> {
    while let [letter, b'(', rest @ ..] = known {
        let (fields, after) = group(rest);
        if u32::from(letter.wrapping_sub(b'a')) == tag {
            return Some(fields);
        }
        known = after;
    }
    None
}

/// What is inside the bracket that was just opened, and what follows it.
fn group(fields: &[u8]) -> (&[u8], &[u8]) {
    let mut depth = 0_u32;
    for (at, letter) in fields.iter().enumerate() {
        match letter {
            b'[' | b'{' | b'(' | b'<' => depth += 1,
            b']' | b'}' | b')' | b'>' if depth > 0 => depth -= 1,
            b']' | b'}' | b')' | b'>' => {
                let (inside, after) = fields.split_at_checked(at).unwrap_or((fields, &[]));
                return (inside, after.get(1..).unwrap_or(&[]));
            }
            _ => {}
        }
    }
    (fields, &[])
}

fn take<const N: usize>(frame: &mut &[u8]) -> Result<[u8; N], LayoutError> {
    let (bytes, after) = frame.split_first_chunk().ok_or(LayoutError::Short)?;
    *frame = after;
    Ok(*bytes)
}

fn skip(frame: &mut &[u8], count: usize) -> Result<(), LayoutError> {
    *frame = frame.get(count..).ok_or(LayoutError::Short)?;
    Ok(())
}

/// A length of four bytes (or two); -1 says that there is nothing.
fn stated(length: i32, frame: &[u8]) -> Result<usize, LayoutError> {
    match usize::try_from(length) {
        Ok(length) if length <= frame.len() => Ok(length),
        Ok(length) => Err(LayoutError::Long { stated: length as u64, left: frame.len() }),
        Err(_) if length == -1 => Ok(0),
        Err(_) => Err(LayoutError::Negative { stated: length }),
    }
}

/// A compact length: one more than what it is, and 0 where there is nothing.
fn compact(frame: &mut &[u8]) -> Result<usize, LayoutError> {
    let stated = varint(frame)?.saturating_sub(1);
    match usize::try_from(stated) {
        Ok(length) if length <= frame.len() => Ok(length),
        _ => Err(LayoutError::Long { stated: u64::from(stated), left: frame.len() }),
    }
}

fn varint(frame: &mut &[u8]) -> Result<u32, LayoutError> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let [byte] = take(frame)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| LayoutError::Varint);
        }
    }
    Err(LayoutError::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::APIS;

    fn checked(fields: &'static str, frame: &[u8]) -> Result<usize, LayoutError> {
        let mut rest = frame;
        check(fields, &mut rest).map(|()| rest.len())
    }

    #[test]
    fn every_message_of_the_table_has_a_layout() {
        for api in APIS {
            for version in api.versions.iter() {
                for side in [Side::Request, Side::Response] {
                    assert!(layout(api.key, side, version).is_some(), "{} {version} {side:?}", api.name);
                }
            }
        }
        assert_eq!(layout(3, Side::Request, 99), None);
        assert_eq!(layout(3, Side::Request, -1), None);
        assert_eq!(layout(-7, Side::Response, 0), None);
    }

    #[test]
    fn the_rows_are_in_order_and_their_brackets_match() {
        assert!(table::ROWS.is_sorted_by(|a, b| (a.key, a.side, a.last) < (b.key, b.side, b.first)));
        for row in table::ROWS {
            let mut open = Vec::new();
            for letter in row.fields.bytes() {
                match letter {
                    b'[' => open.push(b']'),
                    b'{' => open.push(b'}'),
                    b'(' => open.push(b')'),
                    b'<' => open.push(b'>'),
                    b']' | b'}' | b')' | b'>' => assert_eq!(open.pop(), Some(letter), "{}", row.fields),
                    letter => assert!(b"1248fusSbB?".contains(&letter) || letter.is_ascii_lowercase()),
                }
            }
            assert!(open.is_empty(), "{}", row.fields);
        }
    }

    #[test]
    fn every_field_takes_its_own_bytes() {
        assert_eq!(checked("1248fu", &[0; 33]), Ok(1));
        assert_eq!(checked("sb", &[0, 1, 9, 0, 0, 0, 1, 9, 7]), Ok(1));
        assert_eq!(checked("?s?b", &[0xff; 6]), Ok(0));
        assert_eq!(checked("SB", &[2, 9, 3, 9, 9]), Ok(0));
        assert_eq!(checked("?S?B", &[0, 0]), Ok(0));
        assert_eq!(checked("[2]4", &[0, 0, 0, 2, 9, 9, 9, 9, 0, 0, 0, 0]), Ok(0));
        assert_eq!(checked("{2{1}}4", &[3, 9, 9, 1, 9, 9, 2, 9, 0, 0, 0, 0]), Ok(0));
        assert_eq!(checked("?(2)1", &[1, 9, 9, 9]), Ok(0));
        assert_eq!(checked("?(2)1", &[0xff, 9]), Ok(0));
    }

    #[test]
    fn tagged_fields_are_as_long_as_they_say() {
        // Tag 1 is known and holds an i16; tag 0 and 5 are not.
        let fields = "<b(2)>";
        assert_eq!(checked(fields, &[0]), Ok(0));
        assert_eq!(checked(fields, &[3, 0, 0, 1, 2, 9, 9, 5, 1, 9]), Ok(0));
        assert_eq!(checked(fields, &[1, 1, 3, 9, 9, 9]), Err(LayoutError::Tag { stated: 3, left: 1 }));
        assert_eq!(checked(fields, &[1, 1, 1, 9, 9]), Err(LayoutError::Short));
        assert_eq!(checked(fields, &[1, 5, 9, 9]), Err(LayoutError::Long { stated: 9, left: 1 }));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert_eq!(
            checked("[4]", &[0x7f, 0xff, 0xff, 0xff, 0]),
            Err(LayoutError::Long { stated: 0x7fff_ffff, left: 1 })
        );
        assert_eq!(checked("[4]", &[0xff, 0xff, 0xff, 0xfe]), Err(LayoutError::Negative { stated: -2 }));
        assert_eq!(checked("[44]", &[0, 0, 0, 2, 0, 0, 0, 0]), Err(LayoutError::Short));
        assert_eq!(
            checked("{4}", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(LayoutError::Long { stated: 0xffff_fffe, left: 0 })
        );
        assert_eq!(checked("S", &[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(LayoutError::Varint));
        assert_eq!(checked("S", &[0x80, 0x80, 0x80, 0x80, 0x80, 0]), Err(LayoutError::Varint));
        assert_eq!(checked("?(1)", &[2, 0]), Err(LayoutError::Marker { marker: 2 }));
    }
}
