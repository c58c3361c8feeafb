//! The keys of the file being written: one thread adds to them, and any number look them up without waiting.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::concurrent::{Chunked, HashIndex};

/// The newest event of a key. Fingerprint and revision are the writer's own, but for the fingerprint that readers compare.
#[derive(Default)]
struct Cell {
    fingerprint: AtomicU64,
    /// The highest revision applied to it.
    rev: AtomicU64,
    /// Where its newest event stands: one word, so that no reader sees half of a change.
    place: AtomicU64,
}

/// Where an event stands in the file being written. Rises with its seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActivePlace {
    /// The offset of its frame, in units of [`FRAME_UNIT`](orrery_formats::keys::FRAME_UNIT).
    pub(super) frame: u32,
    /// Its seq less the first of the file.
    pub(super) seq: u32,
}

impl ActivePlace {
    fn word(self) -> u64 {
        u64::from(self.frame) << 32 | u64::from(self.seq)
    }

    const fn of_word(word: u64) -> Self {
        Self {
            frame: (word >> 32) as u32,
            seq: word as u32,
        }
    }
}

/// See the module's description.
pub(crate) struct ActiveKeys {
    /// The first seq of the file, set before the first key is.
    file: AtomicU64,
    index: HashIndex,
    cells: Chunked<Cell>,
    len: AtomicU32,
}

impl std::fmt::Debug for ActiveKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActiveKeys")
            .field("file", &self.file())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl ActiveKeys {
    /// None yet, in a file that is not known yet; about so many are expected.
    pub(super) fn new(expected: u32) -> Self {
        Self {
            file: AtomicU64::new(0),
            index: HashIndex::with_expected(expected),
            cells: Chunked::default(),
            len: AtomicU32::new(0),
        }
    }

    /// The first seq of the file, 0 before it is known.
    pub(crate) fn file(&self) -> u64 {
        self.file.load(Ordering::Relaxed)
    }

    /// Tells which file the keys are of. Writer only, before the first insertion.
    pub(super) fn begin(&self, file: u64) {
        self.file.store(file, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn cell(&self, fingerprint: u64) -> Option<&Cell> {
        let id = self.index.find(fingerprint, |id| {
            self.cells.at(id).fingerprint.load(Ordering::Relaxed) == fingerprint
        })?;
        Some(self.cells.at(id))
    }

    /// Notes the newest event of a key. Writer only.
    #[inline]
    pub(super) fn insert(&self, fingerprint: u64, rev: u64, place: ActivePlace) {
        if let Some(cell) = self.cell(fingerprint) {
            if cell.rev.load(Ordering::Relaxed) < rev {
                cell.rev.store(rev, Ordering::Relaxed);
            }
            // Release: the bytes of the event were in the tail before.
            cell.place.store(place.word(), Ordering::Release);
            return;
        }
        let id = self.len.load(Ordering::Relaxed);
        let cell = self.cells.at(id);
        cell.fingerprint.store(fingerprint, Ordering::Relaxed);
        cell.rev.store(rev, Ordering::Relaxed);
        cell.place.store(place.word(), Ordering::Relaxed);
        // The index is published with a release, and the cell and the event's bytes with it.
        self.index.insert(fingerprint, id);
        self.len.store(id.saturating_add(1), Ordering::Relaxed);
    }

    /// The highest revision applied to a key in this file.
    #[inline]
    pub(super) fn last_rev(&self, fingerprint: u64) -> Option<u64> {
        Some(self.cell(fingerprint)?.rev.load(Ordering::Relaxed))
    }

    /// Where the newest event of a key stands.
    pub(super) fn place(&self, fingerprint: u64) -> Option<ActivePlace> {
        let word = self.cell(fingerprint)?.place.load(Ordering::Acquire);
        Some(ActivePlace::of_word(word))
    }

    /// All keys: fingerprint, highest revision and newest place. Writer only.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, u64, ActivePlace)> + '_ {
        (0..self.len()).map(|id| {
            let cell = self.cells.at(id);
            (
                cell.fingerprint.load(Ordering::Relaxed),
                cell.rev.load(Ordering::Relaxed),
                ActivePlace::of_word(cell.place.load(Ordering::Relaxed)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(frame: u32, seq: u32) -> ActivePlace {
        ActivePlace { frame, seq }
    }

    #[test]
    fn a_key_keeps_its_highest_revision_and_its_newest_place() {
        let keys = ActiveKeys::new(1);
        keys.begin(100);
        keys.insert(7, 50, place(6, 0));
        keys.insert(9, 1, place(6, 1));
        keys.insert(7, 40, place(u32::MAX, 2));
        assert_eq!(keys.last_rev(7), Some(50));
        assert_eq!(keys.place(7), Some(place(u32::MAX, 2)));
        assert_eq!((keys.last_rev(8), keys.place(8)), (None, None));
        let all: Vec<_> = keys.all().collect();
        assert_eq!(all, [(7, 50, place(u32::MAX, 2)), (9, 1, place(6, 1))]);
        assert_eq!((keys.file(), keys.len()), (100, 2));
    }
}
