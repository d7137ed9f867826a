//! Values into bytes, as a schema has them.
//!
//! Of a union the first branch is chosen that takes the value as it is. If none does, a whole number may become a float,
//! and of records the one with most fields of the value is taken, and then with fewest others. A record's field that the
//! value lacks is its default, or null.

use super::schema::{Field, Kind, Schema};
use super::value::AvroValue;

/// Branches are tried, and those inside of them: some schemas would have that go on for ever.
const MOST_STEPS: usize = 20_000_000;
/// What is copied in the time of a step.
const BYTES_OF_STEP: usize = 64;
/// What it takes to say that a branch does not fit.
const STEPS_OF_ERROR: usize = 16;
/// Values and unions inside of each other.
const MAX_DEPTH: usize = 512;

/// Writes values behind each other.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    schema: &'a Schema,
    out: Vec<u8>,
    steps: usize,
    depth: usize,
    /// Whether a whole number is no float, a double none of 32 bits, and a record one of just these fields.
    is_exact: bool,
}

/// How well a record takes a value: the less of either, the first before the second, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// Fields of the value that the record has not.
    missing: usize,
    /// Fields of the record that the value has not.
    lacking: usize,
}

impl Fit {
    const PERFECT: Self = Self { missing: 0, lacking: 0 };
}

impl<'a> Encoder<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, out: Vec::new(), steps: 0, depth: 0, is_exact: false }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes a value of the type at this place. What was written of one that it does not take is to be cut off.
    pub(super) fn value(&mut self, at: usize, value: &AvroValue) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err("too many branches of unions would have to be tried".to_owned());
        }
        if self.depth == MAX_DEPTH {
            return Err(format!("values are nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let written = self.inside(at, value);
        self.depth -= 1;
        written
    }

    fn inside(&mut self, at: usize, value: &AvroValue) -> Result<(), String> {
        let schema = self.schema;
        match (&schema.node(at)?.kind, value) {
            (Kind::Union(branches), value) => return self.union(branches, value),
            (_, AvroValue::Logical { value, .. }) => return self.value(at, value),
            (Kind::Null, AvroValue::Null) => {}
            (Kind::Boolean, AvroValue::Boolean(value)) => self.out.push(u8::from(*value)),
            (Kind::Int, AvroValue::Long(value)) if i32::try_from(*value).is_ok() => self.long(*value),
            (Kind::Long, AvroValue::Long(value)) => self.long(*value),
            (Kind::Double, AvroValue::Double(value)) => self.out.extend_from_slice(&value.to_le_bytes()),
            #[expect(clippy::cast_precision_loss, reason = "the schema asks for it")]
            (Kind::Double, AvroValue::Long(value)) if !self.is_exact => {
                self.out.extend_from_slice(&(*value as f64).to_le_bytes());
            }
            #[expect(clippy::cast_possible_truncation, reason = "the schema asks for it")]
            (Kind::Float, AvroValue::Double(value)) if !self.is_exact => {
                self.out.extend_from_slice(&(*value as f32).to_le_bytes());
            }
            #[expect(clippy::cast_precision_loss, reason = "the schema asks for it")]
            (Kind::Float, AvroValue::Long(value)) if !self.is_exact => {
                self.out.extend_from_slice(&(*value as f32).to_le_bytes());
            }
            (Kind::Bytes, AvroValue::Bytes(bytes)) => self.bytes(bytes),
            (Kind::Fixed(size), AvroValue::Bytes(bytes)) if bytes.len() == *size => {
                self.out.extend_from_slice(bytes);
            }
            (Kind::String, AvroValue::String(text)) => self.bytes(text.as_bytes()),
            (Kind::Enum(symbols), AvroValue::String(text)) => {
                let symbol = symbols.iter().position(|symbol| symbol == text);
                self.length(symbol.ok_or_else(|| format!("an enum has no symbol {text:?}"))?);
            }
            (Kind::Array(items), AvroValue::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    if index == 0 {
                        self.length(values.len());
                    }
                    self.value(*items, value)?;
                }
                // None ends them.
                self.length(0);
            }
            (Kind::Map(items), AvroValue::Map(values)) => {
                for (index, (name, value)) in values.iter().enumerate() {
                    if index == 0 {
                        self.length(values.len());
                    }
                    self.bytes(name.as_bytes());
                    self.value(*items, value)?;
                }
                self.length(0);
            }
            (Kind::Record(fields), AvroValue::Map(values)) => {
                let has = |field: &Field| values.contains_key(&field.name);
                if self.is_exact && !(fields.len() == values.len() && fields.iter().all(has)) {
                    return Err("the schema asks for a record with other fields".to_owned());
                }
                for field in fields {
                    let written = match values.get(&field.name) {
                        Some(value) => self.value(field.node, value),
                        None => self.default(field),
                    };
                    written.map_err(|problem| format!("{:?}: {problem}", field.name))?;
                }
            }
            (kind, value) => {
                return Err(format!("the schema asks for {}, not for {}", kind.name(), value.kind()));
            }
        }
        Ok(())
    }

    fn default(&mut self, field: &Field) -> Result<(), String> {
        let json = field.default.clone().unwrap_or_default();
        let value = AvroValue::try_from(json).map_err(|error| error.to_string())?;
        let value = match (&self.schema.node(field.node)?.kind, value) {
            // The specification has them as characters.
            (Kind::Bytes | Kind::Fixed(_), AvroValue::String(text)) => {
                AvroValue::Bytes(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect())
            }
            (_, value) => value,
        };
        self.value(field.node, &value)
    }

    fn union(&mut self, branches: &[usize], value: &AvroValue) -> Result<(), String> {
        let start = self.out.len();
        let was_exact = self.is_exact;
        for is_exact in [true, false] {
            if was_exact && !is_exact {
                break;
            }
            self.is_exact = is_exact;
            let mut best: Option<(Fit, Vec<u8>)> = None;
            for (branch, at) in branches.iter().enumerate() {
                self.length(branch);
                if self.value(*at, value).is_err() {
                    self.steps += STEPS_OF_ERROR;
                    self.out.truncate(start);
                    continue;
                }
                let bytes = self.out.split_off(start);
                let fit = self.fit(*at, value)?;
                let is_perfect = fit == Fit::PERFECT;
                if best.as_ref().is_none_or(|(best, _)| fit < *best) {
                    best = Some((fit, bytes));
                }
                if is_perfect {
                    break;
                }
            }
            self.is_exact = was_exact;
            if let Some((_, bytes)) = best {
                self.out.extend_from_slice(&bytes);
                return Ok(());
            }
        }
        Err(format!("no branch of a union takes {}", value.kind()))
    }

    /// A map has all fields of a value, and no others.
    fn fit(&self, at: usize, value: &AvroValue) -> Result<Fit, String> {
        let (AvroValue::Map(values), Kind::Record(fields)) = (value, &self.schema.node(at)?.kind) else {
            return Ok(Fit::PERFECT);
        };
        let shared = fields.iter().filter(|field| values.contains_key(&field.name)).count();
        Ok(Fit { missing: values.len().saturating_sub(shared), lacking: fields.len().saturating_sub(shared) })
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.steps += bytes.len() / BYTES_OF_STEP;
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        self.long(i64::try_from(length).unwrap_or(i64::MAX));
    }

    fn long(&mut self, number: i64) {
        put_long(&mut self.out, number);
    }
}

/// A number of variable length, in zig-zag order.
pub(super) fn put_long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}
