//! Object containers, the files of Avro: a header with the schema, then blocks of records, each behind a mark of 16 bytes
//! that the header has stated.
//!
//! What blocks hold uncompressed is bounded for a container as a whole.

use std::io::Read as _;

use flate2::read::DeflateDecoder;
use structured_zstd::decoding::StreamingDecoder;

use super::decode::{Decoder, Input, MAX_VALUE_BYTES};
use super::encode::put_long;
use super::schema::Schema;
use super::value::AvroValue;
use crate::models::python_json::Json;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
const CODEC: &[u8] = b"avro.codec";
const SCHEMA: &[u8] = b"avro.schema";
/// What the blocks of a container may hold when they are compressed.
const MAX_DECOMPRESSED_BYTES: usize = 64 << 20;
/// A copy of 64 bytes takes at least two.
const MOST_SNAPPY_RATIO: usize = 32;

/// A container that was read.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) schema: Json,
    pub(super) records: Vec<AvroValue>,
    /// The container with its blocks as they are uncompressed, which every reader reads; the rest is unchanged.
    pub(super) uncompressed: Vec<u8>,
}

/// Reads a container; the error says what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Container, String> {
    let rest =
        bytes.strip_prefix(MAGIC).ok_or("it does not begin with \"Obj\" and 1, as an Avro container does")?;
    let mut input = Input { rest };
    let metadata = metadata(&mut input).map_err(|damage| format!("in the header {damage}"))?;
    let sync = input.take(SYNC_BYTES).map_err(|damage| format!("in the header {damage}"))?;
    let entry = |name| metadata.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let text = entry(SCHEMA).ok_or("the header has no schema")?;
    let json = Json::parse(text).map_err(|error| format!("its schema is not JSON: {error}"))?;
    let schema = Schema::parse(&json)?;
    let codec = Codec::of(entry(CODEC).unwrap_or(b"null"))?;

    let mut plain = Vec::new();
    if codec == Codec::Null {
        plain.extend_from_slice(bytes);
    } else {
        let kept = metadata.iter().copied().filter(|(key, _)| *key != CODEC);
        put_header(&mut plain, kept, sync);
    }
    let mut records = Vec::new();
    let mut decoder = Decoder { schema: &schema, bytes_left: MAX_VALUE_BYTES };
    let mut most = MAX_DECOMPRESSED_BYTES;
    while !input.rest.is_empty() {
        let at = |damage: String| format!("at record {} {damage}", records.len() + 1);
        let count = input.length().map_err(at)?;
        let stored = input.bytes().map_err(at)?;
        if input.take(SYNC_BYTES).map_err(at)? != sync {
            return Err(at("the end of a block is not marked as the header says".to_owned()));
        }
        let decompressed;
        let block = if codec == Codec::Null {
            stored
        } else {
            decompressed = codec.decompress(stored, most).map_err(at)?;
            most -= decompressed.len();
            put_block(&mut plain, count, &decompressed, sync);
            &decompressed
        };
        let mut block = Input { rest: block };
        for _ in 0..count {
            let record = decoder.value(&mut block, schema.root(), 0);
            let record = record.map_err(|damage| format!("at record {} {damage}", records.len() + 1))?;
            records.push(record);
        }
        if !block.rest.is_empty() {
            return Err(format!("behind record {} there is more than its schema says", records.len()));
        }
    }
    Ok(Container { schema: json, records, uncompressed: plain })
}

/// A container of so many records that are encoded already.
pub(super) fn write(schema: &Json, count: usize, records: &[u8]) -> Vec<u8> {
    let sync = fastrand::u128(..).to_ne_bytes();
    let mut out = Vec::new();
    put_header(&mut out, [(SCHEMA, schema.to_string().as_bytes())].into_iter(), &sync);
    if count > 0 {
        put_block(&mut out, count, records, &sync);
    }
    out
}

type Entry<'a> = (&'a [u8], &'a [u8]);

fn metadata<'a>(input: &mut Input<'a>) -> Result<Vec<Entry<'a>>, String> {
    let mut entries = Vec::new();
    loop {
        let count = input.items()?;
        if count == 0 {
            return Ok(entries);
        }
        for _ in 0..count {
            entries.push((input.bytes()?, input.bytes()?));
        }
    }
}

fn put_header<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = Entry<'a>> + Clone, sync: &[u8]) {
    out.extend_from_slice(MAGIC);
    put_length(out, entries.clone().count() + 1);
    for (key, value) in std::iter::once((CODEC, &b"null"[..])).chain(entries) {
        put_length(out, key.len());
        out.extend_from_slice(key);
        put_length(out, value.len());
        out.extend_from_slice(value);
    }
    out.push(0);
    out.extend_from_slice(sync);
}

fn put_block(out: &mut Vec<u8>, count: usize, records: &[u8], sync: &[u8]) {
    put_length(out, count);
    put_length(out, records.len());
    out.extend_from_slice(records);
    out.extend_from_slice(sync);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_long(out, i64::try_from(length).unwrap_or(i64::MAX));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    fn of(name: &[u8]) -> Result<Self, String> {
        Ok(match name {
            b"null" => Self::Null,
            b"deflate" => Self::Deflate,
            b"snappy" => Self::Snappy,
            b"zstandard" => Self::Zstandard,
            _ => {
                return Err(format!(
                    "it is compressed with {:?}, which is not read here; \
                     null, deflate, snappy and zstandard are",
                    String::from_utf8_lossy(name.get(..32).unwrap_or(name))
                ));
            }
        })
    }

    fn decompress(self, data: &[u8], most: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        // One byte more than allowed, to tell the limit from the end.
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let read = match self {
            Self::Null => return Ok(data.to_vec()),
            Self::Deflate => DeflateDecoder::new(data).take(limit).read_to_end(&mut out),
            Self::Zstandard => StreamingDecoder::new(data).take(limit).read_to_end(&mut out),
            Self::Snappy => return snappy(data, most),
        };
        read.map_err(|error| format!("a block cannot be decompressed: {error}"))?;
        if out.len() > most { Err(too_large()) } else { Ok(out) }
    }
}

/// A raw block and behind it the CRC-32 of what it holds. It states its own length, which is believed only as far as it
/// could be true.
fn snappy(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let damaged = || "a block of snappy data is damaged".to_owned();
    let (data, checksum) = data.split_last_chunk().ok_or_else(damaged)?;
    let stated = snap::raw::decompress_len(data).map_err(|_| damaged())?;
    if stated > data.len().saturating_mul(MOST_SNAPPY_RATIO) {
        return Err(damaged());
    }
    if stated > most {
        return Err(too_large());
    }
    let out = snap::raw::Decoder::new().decompress_vec(data).map_err(|_| damaged())?;
    if crc32fast::hash(&out) == u32::from_be_bytes(*checksum) { Ok(out) } else { Err(damaged()) }
}

fn too_large() -> String {
    format!("its blocks are larger than {} MiB uncompressed, which is refused", MAX_DECOMPRESSED_BYTES >> 20)
}
