//! Hashes of ids for maps that only the writer sees.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes ids, and pairs of an id and a keyed hash. Ids are given in order and hashes are keyed with the directory's
/// secret, so nobody chooses what collides, and a multiplication for each member does: it folds a product of 128 bits,
/// so that all of its bits depend on all of the value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

/// Builds [`IdHasher`]s.
pub(crate) type IdHashes = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        // The constant is the golden ratio's, as in Knuth, TAOCP 6.4. Added, so that no value meets a zero.
        let mixed = self.0.wrapping_add(value).wrapping_add(1);
        let product = u128::from(mixed) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// How many of `count` hashes share both the seven bits and the bucket that a map of that size takes of them.
    fn collisions(count: u32, hash: impl Fn(u32) -> u64) -> usize {
        let mask = u64::from(count.next_power_of_two() - 1);
        let mut places: Vec<(u64, u64)> = (0..count)
            .map(hash)
            .map(|hash| (hash & mask, hash >> 57))
            .collect();
        places.sort_unstable();
        places.windows(2).filter(|pair| pair[0] == pair[1]).count()
    }

    #[test]
    fn ids_and_pairs_spread_over_the_ends_of_their_hashes() {
        let hashes = IdHashes::default();
        let count = 100_000;
        // As many as of random hashes: n^2 / 2 / (2^17 * 2^7) is 298.
        assert!(collisions(count, |id| hashes.hash_one(id)) < 600);
        let key = 0x0123_4567_89ab_cdef_u64;
        assert!(collisions(count, |id| hashes.hash_one((id, key))) < 600);
        let keyed = |id: u32| u64::from(id).wrapping_mul(0xff51_afd7_ed55_8ccd);
        assert!(collisions(count, |id| hashes.hash_one((7_u32, keyed(id)))) < 600);
    }
}
