//! The records of a batch, borrowed one after the other.

use super::RecordError;
use super::legacy::LegacyRecords;
use super::reader::Reader;

/// What more headers than this take is found out as they are read.
const MOST_LIKELY_HEADERS: usize = 16;

/// One record. All that it holds is borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in the partition.
    pub offset: i64,
    /// Milliseconds since 1970 UTC: the producer's, or the broker's where the topic is set so; -1 in messages of
    /// version 0.
    pub timestamp: i64,
    /// The key; `None` is null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is null, which marks a key as deleted.
    pub value: Option<&'a [u8]>,
    header_count: usize,
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// The headers, in their order; names may repeat. They are parsed as they are taken.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers { left: self.header_count, reader: Reader::new(self.headers) }
    }

    /// How many headers there are said to be.
    pub fn header_count(&self) -> usize {
        self.header_count
    }

    /// For how many headers to make room, on the record's word alone.
    pub(crate) fn likely_headers(&self) -> usize {
        self.header_count.min(MOST_LIKELY_HEADERS)
    }

    /// A message of a version that has no headers.
    pub(super) fn without_headers(
        offset: i64,
        timestamp: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Self {
        Self { offset, timestamp, key, value, header_count: 0, headers: &[] }
    }
}

/// A header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name: UTF-8 by convention.
    pub key: &'a [u8],
    /// Its value, which may be null.
    pub value: Option<&'a [u8]>,
}

/// Iterates over the headers of a record; ends after an error.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let header = self.read();
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> Result<Header<'a>, RecordError> {
        let field = "a header's name";
        let key = self.reader.nullable(field)?.ok_or(RecordError::Impossible { field, value: -1 })?;
        Ok(Header { key, value: self.reader.nullable("a header's value")? })
    }
}

/// Iterates over the records of a batch; ends after an error.
#[derive(Debug, Clone)]
pub struct Records<'a>(Kind<'a>);

#[derive(Debug, Clone)]
enum Kind<'a> {
    V2(V2Records<'a>),
    Legacy(LegacyRecords<'a>),
}

impl<'a> Records<'a> {
    pub(super) fn v2(records: V2Records<'a>) -> Self {
        Self(Kind::V2(records))
    }

    pub(super) fn legacy(records: LegacyRecords<'a>) -> Self {
        Self(Kind::Legacy(records))
    }

    /// What is still to come, for whoever cannot hold on to a borrowed batch meanwhile: see
    /// [`Batch::records_of`](super::Batch::records_of).
    #[inline]
    pub(crate) fn rest(&self) -> Rest {
        match &self.0 {
            Kind::V2(records) => Rest { bytes: records.reader.rest().len(), records: records.left },
            Kind::Legacy(records) => Rest { bytes: records.reader.rest().len(), records: records.left },
        }
    }
}

/// The end of a batch whose records have been taken up to some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(super) bytes: usize,
    pub(super) records: i32,
}

impl Rest {
    /// How many records are to come, as far as the batch knows.
    pub(crate) fn count(self) -> usize {
        usize::try_from(self.records).unwrap_or_default()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::V2(records) => records.next(),
            Kind::Legacy(records) => records.next(),
        }
    }
}

/// The records of a batch of version 2, uncompressed.
#[derive(Debug, Clone)]
pub(super) struct V2Records<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) left: i32,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) base_timestamp: i64,
    /// The broker's time of appending, which stands for that of each record.
    pub(super) append_time: Option<i64>,
}

impl<'a> V2Records<'a> {
    #[inline]
    fn next(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        if self.left == 0 {
            if self.reader.is_empty() {
                return None;
            }
            self.reader = Reader::new(&[]);
            return Some(Err(RecordError::Impossible { field: "the number of records", value: 0 }));
        }
        self.left = self.left.wrapping_sub(1);
        let record = self.read();
        if record.is_err() {
            self.left = 0;
            self.reader = Reader::new(&[]);
        }
        Some(record)
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let field = "a record's length";
        let length = self.reader.varint(field)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Impossible { field, value: length })?;
        let mut record = Reader::new(self.reader.take(length, field)?);
        // Attributes, of which none are defined.
        record.take(1, "a record's attributes")?;
        let timestamp_delta = record.varint("a record's timestamp")?;
        let offset_delta = record.varint("a record's offset")?;
        let key = record.nullable("a record's key")?;
        let value = record.nullable("a record's value")?;
        let header_count = record.varint("the number of headers")?;

        let offset = self.base_offset.checked_add(offset_delta);
        // An offset outside of its batch would send the reader back, or ahead.
        let offset = offset.filter(|&offset| offset >= self.base_offset && offset <= self.last_offset);
        let offset =
            offset.ok_or(RecordError::Impossible { field: "a record's offset", value: offset_delta })?;
        let timestamp = match self.append_time {
            Some(time) => time,
            None => self
                .base_timestamp
                .checked_add(timestamp_delta)
                .ok_or(RecordError::Impossible { field: "a record's timestamp", value: timestamp_delta })?,
        };
        let headers = record.rest();
        // A header takes two bytes at least.
        let impossible = RecordError::Impossible { field: "the number of headers", value: header_count };
        let header_count = usize::try_from(header_count).map_err(|_| impossible.clone())?;
        if header_count > headers.len() / 2 || (header_count == 0 && !headers.is_empty()) {
            return Err(impossible);
        }
        Ok(Record { offset, timestamp, key, value, header_count, headers })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Batch;
    use super::*;

    /// Whoever takes one record after the other gets what the iterator gives, and knows how much is left.
    pub(in super::super) fn comes_one_by_one(batch: &Batch) {
        let mut rest = batch.whole();
        let next = |rest: &mut Rest| {
            let mut records = batch.records_of(*rest);
            let next = records.next();
            *rest = records.rest();
            next
        };
        let all: Vec<_> = batch.records().collect();
        for (taken, expected) in all.iter().enumerate() {
            if expected.is_ok() {
                assert_eq!(rest.count() + taken, batch.whole().count());
            }
            assert_eq!(next(&mut rest).as_ref(), Some(expected));
        }
        assert_eq!((next(&mut rest), rest.count()), (None, 0));
        assert_eq!(next(&mut rest), None);
    }
}
