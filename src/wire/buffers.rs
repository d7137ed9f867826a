//! Memory that is used again.
//!
//! A reader of records needs a large piece of memory for every answer and for every compressed batch, and gives it up
//! soon after. Fresh memory is dear: the system hands it out a page at a time and fills each with zeros, which takes
//! longer than the copy that follows. So what is given up waits on a shelf, with its zeros long overwritten.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// What fills less than this share of its buffer is handed over as a copy: whoever keeps one record keeps all that it
/// is in.
const LEAST_SHARE: usize = 4;
/// Smaller buffers are made anew: they cost little.
const LEAST_BYTES: usize = 16 * 1024;

/// A shelf of buffers that are to be used again. Clones are the same shelf.
#[derive(Clone)]
pub(crate) struct Buffers {
    shelf: Option<Arc<Shelf>>,
}

struct Shelf {
    waiting: Mutex<Vec<Vec<u8>>>,
    most_bytes: usize,
}

impl Buffers {
    /// No shelf: nothing is used again.
    pub(crate) const NONE: Self = Self { shelf: None };

    /// A shelf on which no more than so many bytes wait.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { shelf: Some(Arc::new(Shelf { waiting: Mutex::default(), most_bytes })) }
    }

    /// An empty buffer, which probably is to hold `likely` bytes. There may be room already, and it grows.
    pub(crate) fn take(&self, likely: usize) -> Buffer {
        let (bytes, shelf) = match &self.shelf {
            Some(shelf) => (shelf.take(likely), Arc::downgrade(shelf)),
            None => (None, Weak::new()),
        };
        Buffer { bytes: bytes.unwrap_or_default(), length: 0, shelf }
    }

    /// Gives what waits back to the system.
    pub(crate) fn clear(&self) {
        if let Some(shelf) = &self.shelf {
            drop(std::mem::take(&mut *shelf.lock()));
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = |shelf: &Arc<Shelf>| shelf.lock().iter().map(Vec::len).collect::<Vec<_>>();
        f.debug_struct("Buffers").field("waiting", &self.shelf.as_ref().map(waiting)).finish()
    }
}

impl Shelf {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // Nothing can be half done under it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest that will do, else the greatest, which has to grow least.
    fn take(&self, likely: usize) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        let sizes = || waiting.iter().enumerate().map(|(at, bytes)| (at, bytes.len()));
        let fitting = sizes().filter(|&(_, size)| size >= likely).min_by_key(|&(_, size)| size);
        let (at, _) = fitting.or_else(|| sizes().max_by_key(|&(_, size)| size))?;
        Some(waiting.remove(at))
    }

    fn put_back(&self, bytes: Vec<u8>) {
        if bytes.len() < LEAST_BYTES || bytes.len() > self.most_bytes {
            return;
        }
        let mut waiting = self.lock();
        // What was last used is warm; the longest on the shelf goes.
        while waiting.iter().map(Vec::len).sum::<usize>().saturating_add(bytes.len()) > self.most_bytes {
            waiting.remove(0);
        }
        waiting.push(bytes);
    }
}

/// Bytes that are written once from the front and then handed over. Goes back to its shelf, if that is still there, when
/// nobody has anything of it any more.
pub(crate) struct Buffer {
    /// All of it has been written once, if only with zeros: what is behind `length` is room.
    bytes: Vec<u8>,
    length: usize,
    shelf: Weak<Shelf>,
}

impl Buffer {
    /// What was written.
    pub(crate) fn written(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// How much was written.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Room for at least so many bytes behind what was written, all that there is; [`advance`](Self::advance) says how
    /// many of them count.
    pub(crate) fn room(&mut self, least: usize) -> &mut [u8] {
        self.split(least).1
    }

    /// What was written, and [`room`](Self::room).
    pub(crate) fn split(&mut self, least: usize) -> (&[u8], &mut [u8]) {
        let wanted = self.length.saturating_add(least);
        if self.bytes.is_empty() {
            // Zeros from the system, which need not be written.
            self.bytes = vec![0; wanted];
        } else if wanted > self.bytes.len() {
            self.bytes.resize(wanted.max(self.bytes.len().saturating_mul(2)), 0);
        }
        let (written, room) = self.bytes.split_at_mut(self.length);
        (written, room)
    }

    /// So many bytes of the room were written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length = self.length.saturating_add(count).min(self.bytes.len());
    }

    /// Writes a copy.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.advance(bytes.len());
    }

    /// What was written, to be shared.
    pub(crate) fn freeze(self) -> Bytes {
        if self.length < self.bytes.len() / LEAST_SHARE {
            Bytes::copy_from_slice(self.written())
        } else {
            Bytes::from_owner(self)
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.written()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.put_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("length", &self.length).field("of", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Buffers, bytes: usize) -> Bytes {
        let mut buffer = buffers.take(bytes);
        buffer.put(&vec![1; bytes]);
        buffer.freeze()
    }

    fn waiting(buffers: &Buffers) -> Vec<usize> {
        buffers.shelf.as_ref().unwrap().lock().iter().map(Vec::len).collect()
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_has_anything_of_it() {
        let buffers = Buffers::new(1 << 20);
        let bytes = filled(&buffers, 100_000);
        let part = bytes.slice(10..20);
        let place = bytes.as_ptr();
        drop(bytes);
        assert!(waiting(&buffers).is_empty());
        drop(part);
        assert_eq!(waiting(&buffers), [100_000]);
        let again = filled(&buffers, 90_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 90_000));
        assert_eq!(again, vec![1; 90_000]);
    }

    #[test]
    fn the_smallest_that_does_is_taken_and_the_greatest_grows() {
        let buffers = Buffers::new(1 << 20);
        let all = [100_000, 300_000, 200_000].map(|bytes| filled(&buffers, bytes));
        drop(all);
        assert_eq!(buffers.take(150_000).bytes.len(), 200_000);
        assert_eq!(buffers.take(400_000).room(400_000).len(), 600_000);
    }

    #[test]
    fn no_more_waits_than_may() {
        let buffers = Buffers::new(250_000);
        drop([100_000, 120_000, 90_000].map(|bytes| filled(&buffers, bytes)));
        assert_eq!(waiting(&buffers), [120_000, 90_000]);
        drop(filled(&Buffers::NONE, 100_000));
        drop([300_000, LEAST_BYTES - 1].map(|bytes| {
            let shelf = Arc::downgrade(buffers.shelf.as_ref().unwrap());
            let mut buffer = Buffer { bytes: Vec::new(), length: 0, shelf };
            buffer.put(&vec![1; bytes]);
            buffer
        }));
        assert_eq!(waiting(&buffers), [120_000, 90_000]);
        buffers.clear();
        assert!(waiting(&buffers).is_empty());
    }

    #[test]
    fn what_is_little_of_a_buffer_does_not_keep_it() {
        let buffers = Buffers::new(1 << 20);
        drop(filled(&buffers, 100_000));
        let little = filled(&buffers, 20_000);
        assert_eq!((waiting(&buffers), little), (vec![100_000], Bytes::from(vec![1; 20_000])));
    }
}
