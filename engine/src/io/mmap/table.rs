//! Which files are mapped where, for a signal handler to look up: a fixed table of atomics, without locks
//! and without allocation.
//!
//! A handler that looks up its own faulting address reads a slot that cannot change meanwhile, since the
//! thread that faulted holds the mapping. Other slots may change under its eyes; they are read twice, and
//! a name that is wrong all the same costs only time: it is a hint.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use orrery_formats::fault::NAME_BYTES_MAX;

/// More mappings than this are not entered: a fault in one of them names no file.
const SLOTS: usize = 4096;
const WORDS: usize = NAME_BYTES_MAX / 8;
/// The start of a slot that is being filled. No mapping begins at it.
const FILLING: usize = 1;

struct Slot {
    /// The first address; 0 where the slot is free.
    start: AtomicUsize,
    len: AtomicUsize,
    name_len: AtomicUsize,
    name: [AtomicU64; WORDS],
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        name_len: AtomicUsize::new(0),
        name: [const { AtomicU64::new(0) }; WORDS],
    }
}; SLOTS];

/// Where the search for a free slot begins.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Mappings that found no free slot and still stand.
static UNLISTED: AtomicUsize = AtomicUsize::new(0);

/// A place in the table; dropping it frees it.
#[derive(Debug)]
pub(super) struct Entry(Option<usize>);

/// Enters a mapping of `len` bytes from address `start`. Names beyond [`NAME_BYTES_MAX`] are not kept.
pub(super) fn enter(start: usize, len: usize, name: &str) -> Entry {
    let name = if name.len() > NAME_BYTES_MAX {
        ""
    } else {
        name
    };
    let first = NEXT.fetch_add(1, Ordering::Relaxed);
    for step in 0..SLOTS {
        let place = first.wrapping_add(step) % SLOTS;
        let Some(slot) = TABLE.get(place) else {
            continue;
        };
        let claimed = slot
            .start
            .compare_exchange(0, FILLING, Ordering::Acquire, Ordering::Relaxed);
        if claimed.is_err() {
            continue;
        }
        slot.len.store(len, Ordering::Relaxed);
        slot.name_len.store(name.len(), Ordering::Relaxed);
        for (word, bytes) in slot.name.iter().zip(name.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            for (to, from) in padded.iter_mut().zip(bytes) {
                *to = *from;
            }
            word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
        slot.start.store(start, Ordering::Release);
        return Entry(Some(place));
    }
    UNLISTED.fetch_add(1, Ordering::Relaxed);
    Entry(None)
}

impl Drop for Entry {
    fn drop(&mut self) {
        match self.0 {
            Some(place) => {
                if let Some(slot) = TABLE.get(place) {
                    slot.start.store(0, Ordering::Release);
                }
            }
            None => {
                UNLISTED.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// The mapping that holds an address.
pub(super) struct Found {
    /// Bytes from the start of the mapping.
    pub(super) offset: u64,
    name: [u8; NAME_BYTES_MAX],
    name_len: usize,
}

impl Found {
    /// The name it was entered under; empty where it is not known.
    pub(super) fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or_default()
    }
}

/// Looks an address up. Takes no lock and allocates nothing. Where there are mappings beyond the table, an
/// address outside all entered ones is taken to be in one of them.
pub(super) fn find(address: usize) -> Option<Found> {
    let mut found = Found {
        offset: 0,
        name: [0; NAME_BYTES_MAX],
        name_len: 0,
    };
    for slot in &TABLE {
        let start = slot.start.load(Ordering::Acquire);
        let Some(offset) = address.checked_sub(start) else {
            continue;
        };
        if start <= FILLING || offset >= slot.len.load(Ordering::Acquire) {
            continue;
        }
        for (bytes, word) in found.name.chunks_mut(8).zip(&slot.name) {
            for (to, from) in bytes
                .iter_mut()
                .zip(word.load(Ordering::Acquire).to_le_bytes())
            {
                *to = from;
            }
        }
        found.name_len = slot.name_len.load(Ordering::Acquire);
        if slot.start.load(Ordering::Relaxed) == start {
            found.offset = offset as u64;
            return Some(found);
        }
    }
    found.name_len = 0;
    (UNLISTED.load(Ordering::Relaxed) > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_its_mapping_as_long_as_that_stands() {
        // Addresses that no real mapping of this process has.
        let (low, high) = (usize::MAX - (64 << 20), usize::MAX - (32 << 20));
        let first = enter(low, 4096, "segments/a");
        let second = enter(high, 10, &"n".repeat(NAME_BYTES_MAX));
        let at = find(low + 4095).unwrap();
        assert_eq!((at.name(), at.offset), (&b"segments/a"[..], 4095));
        assert!(find(low + 4096).is_none());
        assert!(find(low - 1).is_none());
        assert_eq!(find(high).unwrap().name(), [b'n'; NAME_BYTES_MAX]);
        drop(second);
        assert!(find(high).is_none());
        drop(first);
        assert!(find(low).is_none());
    }

    #[test]
    fn a_name_too_long_is_none() {
        let start = usize::MAX - (96 << 20);
        let _entry = enter(start, 10, &"n".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(find(start).unwrap().name(), b"");
    }
}
