//! Values that change while snapshots read them: each value is a chain of versions, newest first, each
//! with the seq that made it. A snapshot takes the newest version that is not newer than itself, so
//! that it sees neither half of an event nor a later one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::{Chunked, HashIndex};

#[derive(Default)]
struct Version {
    seq: AtomicU64,
    value: AtomicU64,
    /// The next older version plus one; 0 ends the chain.
    older: AtomicU32,
}

/// A pool of versions. A chain's head is an `AtomicU32` kept by its owner: 0, or a version plus one.
#[derive(Default)]
pub(crate) struct Versions {
    cells: Chunked<Version>,
    len: AtomicU32,
}

impl Versions {
    /// Makes `value` the newest of the chain. `seq` must not be visible to any snapshot yet and not be
    /// lower than the chain's newest. Writer only.
    pub(crate) fn push(&self, head: &AtomicU32, seq: u64, value: u64) {
        let newest = head.load(Ordering::Relaxed);
        if newest != 0 {
            let cell = self.cells.at(newest - 1);
            if cell.seq.load(Ordering::Relaxed) == seq {
                // No snapshot can see this version yet.
                cell.value.store(value, Ordering::Relaxed);
                return;
            }
        }
        let place = self.len.load(Ordering::Relaxed);
        let cell = self.cells.at(place);
        cell.seq.store(seq, Ordering::Relaxed);
        cell.value.store(value, Ordering::Relaxed);
        cell.older.store(newest, Ordering::Relaxed);
        self.len.store(place + 1, Ordering::Relaxed);
        // Release: whoever sees the head sees the version.
        head.store(place + 1, Ordering::Release);
    }

    /// The value as of `seq`, if the chain has one that old. O(versions newer than `seq`).
    #[inline]
    pub(crate) fn as_of(&self, head: &AtomicU32, seq: u64) -> Option<u64> {
        let mut next = head.load(Ordering::Acquire);
        while next != 0 {
            let cell = self.cells.at(next - 1);
            if cell.seq.load(Ordering::Relaxed) <= seq {
                return Some(cell.value.load(Ordering::Relaxed));
            }
            next = cell.older.load(Ordering::Relaxed);
        }
        None
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.heap_bytes()
    }
}

#[derive(Default)]
struct Entry {
    key: AtomicU64,
    head: AtomicU32,
}

/// Versioned values by a 64-bit key: what has changed since the sealed state a memtable stands on.
pub(crate) struct Overlay {
    index: HashIndex,
    entries: Chunked<Entry>,
    len: AtomicU32,
}

/// Keys that an overlay's index is made ready for at least, and at most: it is filled with zeros by the first change, 4 MiB in some milliseconds.
const EXPECTED: std::ops::RangeInclusive<u32> = 1 << 12..=1 << 18;

impl Overlay {
    /// No changes. Its index takes about `expected` keys, within bounds, before it grows; a key that it lacks is looked for in each of the levels that it
    /// has by then.
    pub(crate) fn with_expected(expected: u32) -> Self {
        Self {
            index: HashIndex::with_expected(expected.clamp(*EXPECTED.start(), *EXPECTED.end())),
            entries: Chunked::default(),
            len: AtomicU32::new(0),
        }
    }

    fn entry(&self, key: u64) -> Option<&Entry> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let id = self.index.find(xxh3_64(&key.to_le_bytes()), |id| {
            self.entries.at(id).key.load(Ordering::Relaxed) == key
        })?;
        Some(self.entries.at(id))
    }

    /// Has the processor fetch what [`as_of`](Self::as_of) and [`set`](Self::set) begin with: for many keys, before they are asked for one by one.
    pub(crate) fn fetch(&self, key: u64) {
        self.index.fetch(xxh3_64(&key.to_le_bytes()));
    }

    /// The value of `key` as of `seq`, `None` where nothing had changed by then.
    #[inline]
    pub(crate) fn as_of(&self, versions: &Versions, key: u64, seq: u64) -> Option<u64> {
        versions.as_of(&self.entry(key)?.head, seq)
    }

    /// Sets the value of `key` from `seq` on. Writer only.
    pub(crate) fn set(&self, versions: &Versions, key: u64, seq: u64, value: u64) {
        if let Some(entry) = self.entry(key) {
            versions.push(&entry.head, seq, value);
            return;
        }
        let id = self.len.load(Ordering::Relaxed);
        let entry = self.entries.at(id);
        entry.key.store(key, Ordering::Relaxed);
        versions.push(&entry.head, seq, value);
        self.index.insert(xxh3_64(&key.to_le_bytes()), id);
        self.len.store(id + 1, Ordering::Release);
    }

    /// About how many keys there are.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// The keys that had changed by `seq`, which some event that was published has reached, with their values
    /// then.
    pub(crate) fn all_as_of(
        &self,
        versions: &Versions,
        seq: u64,
    ) -> impl Iterator<Item = (u64, u64)> {
        // Acquire: the entries below were written before.
        (0..self.len.load(Ordering::Acquire)).filter_map(move |id| {
            let entry = self.entries.at(id);
            let value = versions.as_of(&entry.head, seq)?;
            Some((entry.key.load(Ordering::Relaxed), value))
        })
    }

    /// All keys with their newest values. Writer only.
    pub(crate) fn newest(&self, versions: &Versions) -> impl Iterator<Item = (u64, u64)> {
        (0..self.len.load(Ordering::Relaxed)).filter_map(move |id| {
            let entry = self.entries.at(id);
            let value = versions.as_of(&entry.head, u64::MAX)?;
            Some((entry.key.load(Ordering::Relaxed), value))
        })
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.index.heap_bytes() + self.entries.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_the_newest_value_not_newer_than_itself() {
        let versions = Versions::default();
        let overlay = Overlay::with_expected(0);
        assert_eq!(overlay.as_of(&versions, 5, 100), None);
        overlay.set(&versions, 5, 10, 1);
        overlay.set(&versions, 5, 20, 2);
        overlay.set(&versions, 5, 20, 3);
        overlay.set(&versions, 6, 30, 9);
        assert_eq!(overlay.as_of(&versions, 5, 9), None);
        assert_eq!(overlay.as_of(&versions, 5, 19), Some(1));
        assert_eq!(overlay.as_of(&versions, 5, 20), Some(3));
        assert_eq!(overlay.as_of(&versions, 6, 29), None);
        assert_eq!(overlay.len(), 2);
        assert_eq!(overlay.all_as_of(&versions, 9).count(), 0);
        let early: Vec<_> = overlay.all_as_of(&versions, 29).collect();
        assert_eq!(early, [(5, 3)]);
        let mut all: Vec<_> = overlay.newest(&versions).collect();
        all.sort_unstable();
        assert_eq!(all, [(5, 3), (6, 9)]);
    }
}
