//! Values, from their bytes.
//!
//! A few bytes can stand for a great deal: an array of a billion nulls has no bytes but those of its length, and a record
//! may hold nothing but itself. So each value is charged to an account, nothing is reserved by a stated length, and the
//! depth is bounded. Unions are gone through in a loop, since they nest without making a value deeper.

use indexmap::IndexMap;

use super::schema::{Kind, Schema};
use super::value::AvroValue;

/// Values are nested no deeper than JSON that is read: see `python_json`.
pub(super) const MAX_DEPTH: usize = 256;
/// What all values of a container may take.
pub(super) const MAX_VALUE_BYTES: usize = 128 << 20;
/// What a value takes in a list, and a name in a map beside its text; with that of a map, about what the memory says.
const VALUE_BYTES: usize = 96;
/// What a map of few members takes besides them.
const MAP_BYTES: usize = 2 * VALUE_BYTES;

/// Bytes that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("it is cut off")?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of variable length, in zig-zag order.
    pub(super) fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.array()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err("an integer has more than 64 bits".to_owned())
    }

    /// A number that counts something.
    pub(super) fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("{length} is no length"))
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// How many items of an array or map come next; none at its end. A negative number has the length in bytes behind
    /// it, for those who skip.
    pub(super) fn items(&mut self) -> Result<u64, String> {
        let count = self.long()?;
        if count < 0 {
            self.length()?;
        }
        Ok(count.unsigned_abs())
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<&'a [u8; LENGTH], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it is cut off")?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Reads values, as many as the account allows.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    pub(super) schema: &'a Schema,
    pub(super) bytes_left: usize,
}

impl Decoder<'_> {
    /// The next value of the type at this place.
    pub(super) fn value(
        &mut self,
        input: &mut Input<'_>,
        at: usize,
        depth: usize,
    ) -> Result<AvroValue, String> {
        let schema = self.schema;
        let mut node = schema.node(at)?;
        while let Kind::Union(branches) = &node.kind {
            let branch = input.length()?;
            let at = branches.get(branch).ok_or_else(|| format!("a union has no branch {branch}"))?;
            node = schema.node(*at)?;
        }
        self.charge(VALUE_BYTES)?;
        let value = match &node.kind {
            Kind::Null | Kind::Union(_) => AvroValue::Null,
            Kind::Boolean => AvroValue::Boolean(*input.array::<1>()? != [0]),
            Kind::Int | Kind::Long => AvroValue::Long(input.long()?),
            Kind::Float => AvroValue::Double(f32::from_le_bytes(*input.array()?).into()),
            Kind::Double => AvroValue::Double(f64::from_le_bytes(*input.array()?)),
            Kind::Bytes => AvroValue::Bytes(self.kept(input.bytes()?)?.to_vec()),
            Kind::Fixed(size) => AvroValue::Bytes(self.kept(input.take(*size)?)?.to_vec()),
            Kind::String => AvroValue::String(self.text(input)?),
            Kind::Enum(symbols) => {
                let symbol = input.length()?;
                let symbol = symbols.get(symbol).ok_or_else(|| format!("an enum has no symbol {symbol}"))?;
                self.charge(symbol.len())?;
                AvroValue::String(symbol.clone())
            }
            Kind::Array(items) => {
                let depth = deeper(depth)?;
                let mut values = Vec::new();
                self.blocks(input, |decoder, input| {
                    values.push(decoder.value(input, *items, depth)?);
                    Ok(())
                })?;
                AvroValue::Array(values)
            }
            Kind::Map(items) => {
                let depth = deeper(depth)?;
                let mut values = IndexMap::new();
                self.charge(MAP_BYTES)?;
                self.blocks(input, |decoder, input| {
                    let name = decoder.text(input)?;
                    decoder.charge(VALUE_BYTES)?;
                    values.insert(name, decoder.value(input, *items, depth)?);
                    Ok(())
                })?;
                AvroValue::Map(values)
            }
            Kind::Record(fields) => {
                let depth = deeper(depth)?;
                let mut values = IndexMap::new();
                self.charge(MAP_BYTES)?;
                for field in fields {
                    self.charge(VALUE_BYTES + field.name.len())?;
                    values.insert(field.name.clone(), self.value(input, field.node, depth)?);
                }
                AvroValue::Map(values)
            }
        };
        Ok(match node.logical {
            Some(logical) => {
                // A box, and a text beside the value.
                self.charge(2 * VALUE_BYTES)?;
                logical.explained(value)
            }
            None => value,
        })
    }

    /// Has each item of an array or map read.
    fn blocks(
        &mut self,
        input: &mut Input<'_>,
        mut item: impl FnMut(&mut Self, &mut Input<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        loop {
            let count = input.items()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                item(self, input)?;
            }
        }
    }

    fn text(&mut self, input: &mut Input<'_>) -> Result<String, String> {
        let bytes = self.kept(input.bytes()?)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a string is not UTF-8".to_owned())
    }

    fn kept<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        self.charge(bytes.len())?;
        Ok(bytes)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or_else(|| {
            format!("its values take more than {} MiB of memory, which is refused", MAX_VALUE_BYTES >> 20)
        })?;
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth < MAX_DEPTH {
        Ok(depth + 1)
    } else {
        Err(format!("values are nested more than {MAX_DEPTH} levels deep"))
    }
}
