//! Numbers for hashes of 128 bits, in the order in which these come: a table of slots, of which each names an entry in a
//! list. Open addressing with linear probing (Knuth, TAOCP 6.4). A hash takes 8 bytes in the list and 16 in the table, and
//! of its bits 96 are kept: two hashes are taken for one by a chance of 2^-96.

/// log2 of the slots at first.
const FIRST_BITS: u32 = 12;
/// log2 of the slots that are expected at most, 32 MiB.
const EXPECTED_BITS: u32 = 22;

/// See the module's description. Hashes are keyed, so that nobody chooses which meet in a slot.
pub(super) struct Ordinals {
    /// The lowest 32 bits of the hash, and its number plus one; 0 where there is none.
    slots: Vec<u64>,
    /// The upper halves of the hashes, of which the lowest bits choose the slot.
    halves: Vec<u64>,
    /// As many slots as the first table that grows gets at least.
    slots_expected: usize,
}

/// The number of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ordinal {
    Known(u32),
    New(u32),
}

impl Ordinals {
    /// None yet. Few are expected, or else about `many`, so that no table of a size between is made.
    pub(super) fn with_expected(many: u64) -> Self {
        let bits = many.saturating_mul(2).max(1).ilog2() + 1;
        Self {
            slots: vec![0; 1 << FIRST_BITS],
            halves: Vec::new(),
            slots_expected: 1 << bits.min(EXPECTED_BITS),
        }
    }

    const fn half(hash: u128) -> u64 {
        (hash >> 64) as u64
    }

    const fn place(slots: &[u64], half: u64) -> usize {
        half as usize & slots.len().wrapping_sub(1)
    }

    /// Reads the slots of some hashes that are asked for next: these reads wait for memory together, and those that
    /// follow one by one do not.
    pub(super) fn touch(&self, hashes: &[u128]) {
        let slots = hashes
            .iter()
            .map(|hash| self.slots.get(Self::place(&self.slots, Self::half(*hash))));
        let touched = slots.fold(0, |all, slot| all ^ slot.copied().unwrap_or(0));
        std::hint::black_box(touched);
    }

    /// The number of a hash, given now if it has none and fewer than `most` have.
    #[inline]
    pub(super) fn get(&mut self, hash: u128, most: usize) -> Option<Ordinal> {
        let half = Self::half(hash);
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = Self::place(&self.slots, half);
        // At most half of the slots are taken, so that one that is not ends each search.
        loop {
            let slot = self.slots.get_mut(place)?;
            if *slot == 0 {
                let ordinal = self.halves.len();
                if ordinal >= most {
                    return None;
                }
                // Fewer than 2^32.
                *slot = u64::from(hash as u32) << 32 | (ordinal as u64 + 1);
                self.halves.push(half);
                if 2 * self.halves.len() > self.slots.len() {
                    self.grow();
                }
                return Some(Ordinal::New(ordinal as u32));
            }
            if (*slot >> 32) as u32 == hash as u32 {
                let ordinal = (*slot as u32).wrapping_sub(1);
                if self.halves.get(ordinal as usize) == Some(&half) {
                    return Some(Ordinal::Known(ordinal));
                }
            }
            place = (place + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mut slots = vec![0; self.slots_expected.max(self.slots.len() * 2)];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|slot| **slot != 0) {
            let half = self.halves.get((slot as u32).wrapping_sub(1) as usize);
            let mut place = Self::place(&slots, half.copied().unwrap_or_default());
            while let Some(free) = slots.get_mut(place) {
                if *free == 0 {
                    *free = slot;
                    break;
                }
                place = (place + 1) & mask;
            }
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    #[test]
    fn hashes_are_numbered_as_they_come_each_once_and_no_more_than_allowed() {
        // Some meet in their slot, some in all that the slot keeps.
        let hash = |n: u32| match n % 3 {
            0 => u128::from(n) << 96 | 5,
            1 => u128::from(n) << 8 | 5,
            _ => xxh3_128(&n.to_le_bytes()),
        };
        // The table grows twice, to what is expected, and as far as is allowed.
        for expected in [0, 6_000, u64::MAX] {
            let mut ordinals = Ordinals::with_expected(expected);
            for n in 0..6_000 {
                assert_eq!(ordinals.get(hash(n), 6_000), Some(Ordinal::New(n)));
                let known = n / 2;
                let found = ordinals.get(hash(known), 6_000);
                assert_eq!(found, Some(Ordinal::Known(known)));
            }
            assert_eq!(ordinals.get(hash(6_000), 6_000), None);
            let last = ordinals.get(hash(5_999), 6_000);
            assert_eq!(last, Some(Ordinal::Known(5_999)));
        }
    }
}
