//! A hash table from 64-bit hashes to `u32` ids, growing by adding larger levels: nothing is ever moved
//! or removed, so a reader needs no lock. Open addressing with linear probing (Knuth, TAOCP 6.4).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Each level is twice the size of the one before.
const GROWTH_BITS: u32 = 1;
/// Those of the smallest index come to 2^29 slots.
const LEVELS: usize = 24;

/// Ids by hash. The caller compares what an id stands for, so equal hashes are harmless.
pub(crate) struct HashIndex {
    levels: [OnceLock<Box<[AtomicU64]>>; LEVELS],
    first_bits: u32,
    /// Ids in the last level; only the writer uses it.
    last_level_len: AtomicU32,
}

impl HashIndex {
    /// An index whose first level takes about `expected` ids before a second is made.
    pub(crate) fn with_expected(expected: u32) -> Self {
        let slots = u64::from(expected.clamp(32, 1 << 26)) * 2;
        Self {
            levels: std::array::from_fn(|_| OnceLock::new()),
            first_bits: slots.next_power_of_two().trailing_zeros(),
            last_level_len: AtomicU32::new(0),
        }
    }

    /// The first id under `hash` that `is_it` accepts. Expected O(levels).
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash >> 32;
        for level in &self.levels {
            let slots = level.get()?;
            let mask = slots.len().wrapping_sub(1);
            let mut place = hash as usize & mask;
            // A level is never more than half full, so an empty slot ends every probe.
            while let Some(slot) = slots.get(place) {
                // Acquire: what the id names was filled before the slot was set.
                let value = slot.load(Ordering::Acquire);
                if value == 0 {
                    break;
                }
                if value >> 32 == tag {
                    let id = (value as u32).wrapping_sub(1);
                    if is_it(id) {
                        return Some(id);
                    }
                }
                place = (place + 1) & mask;
            }
        }
        None
    }

    /// Has the processor fetch the slots where ids of `hash` are looked for first, as far as it can without waiting for them.
    #[inline]
    pub(crate) fn fetch(&self, hash: u64) {
        for level in self.levels.iter().map_while(OnceLock::get) {
            let slot = level.get(hash as usize & level.len().wrapping_sub(1));
            // A load whose value is used for nothing would be left out.
            std::hint::black_box(slot.map(|slot| slot.load(Ordering::Relaxed)));
        }
    }

    /// Adds `id` (below `u32::MAX`) under `hash`. Writer only.
    pub(crate) fn insert(&self, hash: u64, id: u32) {
        let mut last = self
            .levels
            .iter()
            .position(|level| level.get().is_none())
            .unwrap_or(LEVELS)
            .saturating_sub(1);
        let len = self.last_level_len.load(Ordering::Relaxed);
        let room = |level: usize| (1_u64 << (self.first_bits + GROWTH_BITS * level as u32)) / 2;
        if u64::from(len) >= room(last) && last + 1 < LEVELS {
            last += 1;
            self.last_level_len.store(0, Ordering::Relaxed);
        }
        let Some(level) = self.levels.get(last) else {
            return;
        };
        let bits = self.first_bits + GROWTH_BITS * last as u32;
        let slots = level.get_or_init(|| (0..1_usize << bits).map(|_| AtomicU64::new(0)).collect());
        let mask = slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(slot) = slots.get(place) {
            if slot.load(Ordering::Relaxed) == 0 {
                // Release: pairs with the acquire in `find`.
                let value = (hash >> 32) << 32 | (u64::from(id) + 1);
                slot.store(value, Ordering::Release);
                break;
            }
            place = (place + 1) & mask;
        }
        self.last_level_len.fetch_add(1, Ordering::Relaxed);
    }

    /// Heap bytes of the levels made so far.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.levels
            .iter()
            .filter_map(OnceLock::get)
            .map(|level| size_of_val::<[AtomicU64]>(level))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn finds_all_ids_and_no_others_across_levels() {
        let index = HashIndex::with_expected(32);
        let hash = |i: u32| xxh3_64(&i.to_le_bytes());
        for i in 0..50_000 {
            index.insert(hash(i), i);
        }
        for i in 0..50_000 {
            assert_eq!(index.find(hash(i), |id| id == i), Some(i));
        }
        assert_eq!(index.find(hash(60_000), |id| id == 60_000), None);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let index = HashIndex::with_expected(1);
        (0..100).for_each(|i| index.insert(7, i));
        assert_eq!(index.find(7, |id| id == 99), Some(99));
    }
}
