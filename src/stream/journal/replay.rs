//! What the bytes of a journal come to: which messages are unsent and where they stand, and where the sound part ends.
//!
//! A writer that is killed leaves the beginning of a record at the end. A power failure may leave zeros where the
//! last sectors should be, too. Both are *torn*: what stands before them is all that is sure to have been accepted.
//! Anything else that cannot be read was damaged after it was written, and is an error: what stands behind it may be
//! messages.

use std::collections::BTreeMap;
use std::io::{self, Read};

use bytes::Bytes;

use super::record::{Entry, HEAD_BYTES, Head, JournalFlaw};

/// What disks write or do not write as a whole.
const SECTOR_BYTES: u64 = 512;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) bytes: u64,
}

/// Which messages a journal holds. Their payloads stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    pub(super) unsent: BTreeMap<u64, Place>,
    /// Of their records.
    pub(super) unsent_bytes: u64,
    pub(super) next_sequence: u64,
}

/// A journal that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) contents: Contents,
    pub(super) sound_bytes: u64,
    /// Behind the sound part.
    pub(super) torn_bytes: u64,
}

#[derive(Debug)]
pub(super) enum ReplayError {
    Io(io::Error),
    Damaged { position: u64, flaw: JournalFlaw },
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a journal from its beginning to its end, one record at a time.
pub(super) fn replay(mut journal: impl Read) -> Result<Replayed, ReplayError> {
    let mut contents = Contents::default();
    let mut position = 0_u64;
    let torn_bytes = loop {
        let mut examined = read_up_to(&mut journal, HEAD_BYTES as u64)?;
        let Some(&head) = examined.first_chunk::<HEAD_BYTES>() else { break length_of(&examined) };
        let read = match Head::decode(head) {
            Err(flaw) => Err(flaw),
            Ok(head) => {
                let body = read_up_to(&mut journal, head.body_bytes)?;
                examined.extend_from_slice(&body);
                if length_of(&body) < head.body_bytes {
                    break length_of(&examined);
                }
                head.read_body(Bytes::from(body))
            }
        };
        let place = Place { position, bytes: length_of(&examined) };
        match read.and_then(|entry| contents.take(&entry, place)) {
            Ok(()) => position = position.saturating_add(place.bytes),
            Err(flaw @ (JournalFlaw::HeadChecksum | JournalFlaw::BodyChecksum)) => {
                match zeros_instead(position, &examined, &mut journal)? {
                    Some(bytes) => break bytes,
                    None => return Err(ReplayError::Damaged { position, flaw }),
                }
            }
            Err(flaw) => return Err(ReplayError::Damaged { position, flaw }),
        }
    };
    Ok(Replayed { contents, sound_bytes: position, torn_bytes })
}

impl Contents {
    fn take(&mut self, entry: &Entry, place: Place) -> Result<(), JournalFlaw> {
        match *entry {
            Entry::Message { sequence, .. } => self.queue(sequence, place),
            Entry::Sent { sequence } => {
                self.settle(sequence).map(|_| ()).ok_or(JournalFlaw::NotThere { sequence })
            }
        }
    }

    /// A message is in the journal.
    pub(super) fn queue(&mut self, sequence: u64, place: Place) -> Result<(), JournalFlaw> {
        if self.unsent.contains_key(&sequence) {
            return Err(JournalFlaw::Twice { sequence });
        }
        let next = sequence.checked_add(1).ok_or(JournalFlaw::LastNumber)?;
        self.unsent.insert(sequence, place);
        self.unsent_bytes = self.unsent_bytes.saturating_add(place.bytes);
        self.next_sequence = self.next_sequence.max(next);
        Ok(())
    }

    /// A message need not be sent any more.
    pub(super) fn settle(&mut self, sequence: u64) -> Option<Place> {
        let place = self.unsent.remove(&sequence)?;
        self.unsent_bytes = self.unsent_bytes.saturating_sub(place.bytes);
        Some(place)
    }
}

/// However much is asked for, memory is taken only for what is there.
fn read_up_to(journal: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    journal.take(bytes).read_to_end(&mut read)?;
    Ok(read)
}

/// How many bytes there are from a flawed record on, if a power failure explains it: from a sector's beginning in the
/// record on, or from the record's own, there is nothing but zeros to the end.
fn zeros_instead(position: u64, examined: &[u8], rest: &mut impl Read) -> io::Result<Option<u64>> {
    let examined_end = position.saturating_add(length_of(examined));
    let (mut end, mut zeros_from) = (position, position);
    let mut look = |bytes: &[u8]| {
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            zeros_from = end.saturating_add(length_of(bytes.get(..=last).unwrap_or(bytes)));
        }
        end = end.saturating_add(length_of(bytes));
    };
    look(examined);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match rest.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => look(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let lost_from = if zeros_from == position {
        Some(position)
    } else {
        zeros_from.checked_next_multiple_of(SECTOR_BYTES)
    };
    let lost = lost_from.is_some_and(|from| from < examined_end);
    Ok(lost.then_some(end.saturating_sub(position)))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
