//! A partition's log on disk: files of batches, one after the other, as Kafka lays them out.
//!
//! A file is named by the offset of its first batch, and begins anew when the last is full. What was written and
//! not acknowledged when the process ended may be torn: it is cut when the log is opened.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::broker::journal::sync_directory;

/// A new file begins when one has this many bytes.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The files of one partition.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    base_offset: i64,
    file: File,
    size: u64,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    segment: i64,
    position: u64,
}

impl Segments {
    /// Opens the files of a directory, which is made if it is not there, and gives the batches that are whole to
    /// `found`, in order. The first that it does not take ends the log: it and all behind it are cut.
    pub(super) fn open(directory: &Path, mut found: impl FnMut(Bytes, Place) -> bool) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut bases: Vec<i64> = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let base: Option<i64> =
                name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse().ok());
            bases.extend(base);
        }
        bases.sort_unstable();
        let mut log = Self { directory: directory.to_owned(), segments: VecDeque::new() };
        let mut torn = false;
        for base_offset in bases {
            if torn {
                fs::remove_file(log.path(base_offset))?;
                continue;
            }
            let mut file = OpenOptions::new().read(true).write(true).open(log.path(base_offset))?;
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            let content = Bytes::from(content);
            let mut position = 0;
            while let Some(length) = whole_batch(content.get(position..).unwrap_or_default()) {
                let end = position.saturating_add(length);
                let place = Place { segment: base_offset, position: length_of(position) };
                if !found(content.slice(position..end), place) {
                    break;
                }
                position = end;
            }
            let size = length_of(position);
            if position < content.len() {
                tracing::warn!(
                    "cut {} bytes that were not written whole from {}",
                    content.len().saturating_sub(position),
                    log.path(base_offset).display()
                );
                file.set_len(size)?;
                file.sync_all()?;
                torn = true;
            }
            file.seek(SeekFrom::Start(size))?;
            log.segments.push_back(Segment { base_offset, file, size });
        }
        Ok(log)
    }

    /// Appends a batch, in two parts, whose first record has this offset. What could not be written whole is taken back.
    pub(super) fn append(&mut self, base_offset: i64, front: &[u8], rest: &[u8]) -> io::Result<Place> {
        if self.segments.back().is_none_or(|last| last.size >= SEGMENT_BYTES) {
            // Who brings files to the disk later sees the last one only.
            if let Some(full) = self.segments.back() {
                full.file.sync_data()?;
            }
            let path = self.path(base_offset);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
            // A file that cannot be found again keeps nothing.
            sync_directory(&self.directory)?;
            self.segments.push_back(Segment { base_offset, file, size: 0 });
        }
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let place = Place { segment: segment.base_offset, position: segment.size };
        let written = segment
            .file
            .seek(SeekFrom::Start(segment.size))
            .and_then(|_| segment.file.write_all(front))
            .and_then(|()| segment.file.write_all(rest));
        match written {
            Ok(()) => {
                let size = length_of(front.len()).saturating_add(length_of(rest.len()));
                segment.size = segment.size.saturating_add(size);
                Ok(place)
            }
            Err(error) => {
                segment.file.set_len(segment.size)?;
                Err(error)
            }
        }
    }

    /// Reads so many bytes from a place on, into the end of `buffer`, which has room for them.
    pub(super) fn read(&self, place: Place, size: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let at = self.segments.partition_point(|segment| segment.base_offset < place.segment);
        let Some(segment) = self.segments.get(at) else { return Err(io::ErrorKind::NotFound.into()) };
        let mut file = &segment.file;
        file.seek(SeekFrom::Start(place.position))?;
        let read = file.take(length_of(size)).read_to_end(buffer)?;
        if read == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Removes the files that hold nothing from this place on.
    pub(super) fn remove_before(&mut self, place: Option<Place>) -> io::Result<()> {
        while let Some(first) = self.segments.front() {
            // The last stays: it tells where the log goes on.
            if self.segments.len() == 1 || place.is_some_and(|place| first.base_offset >= place.segment) {
                break;
            }
            fs::remove_file(self.path(first.base_offset))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// A handle on the file that is written to, to be brought to the disk without holding the log.
    pub(super) fn last_file(&self) -> Option<io::Result<File>> {
        self.segments.back().map(|segment| segment.file.try_clone())
    }

    fn path(&self, base_offset: i64) -> PathBuf {
        self.directory.join(format!("{base_offset:020}.log"))
    }
}

impl Place {
    /// Whether the batch at this place begins where `size` bytes from another end.
    pub(super) fn follows(self, other: Self, size: usize) -> bool {
        self.segment == other.segment && self.position == other.position.saturating_add(length_of(size))
    }
}

/// The length of the batch at the front, if it is whole.
fn whole_batch(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let whole = usize::try_from(length).ok()?.checked_add(12)?;
    (whole <= bytes.len()).then_some(whole)
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
