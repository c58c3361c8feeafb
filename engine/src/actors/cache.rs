//! A cache of the ids of DIDs, so that a DID that was just looked up is not looked for in every segment again.
//! Ids never change, so nothing in it is ever wrong; an entry is a hint all the same, and whoever takes
//! one compares the DID.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ActorId;

/// log2 of the slots of a block.
const BLOCK_BITS: u32 = 10;
/// log2 of the blocks. All blocks together take 16 MiB.
const BLOCKS_BITS: u32 = 11;

type Block = Box<[AtomicU64; 1 << BLOCK_BITS]>;

/// Ids by DID, each hash having two slots side by side: a new entry takes the place of that of the two which was used less
/// lately, so that DIDs that come once do not drive out those that come often. Any number of threads read and write it
/// without locks.
pub(crate) struct DidCache {
    /// Made when first written to, so that small directories take little.
    blocks: Box<[OnceLock<Block>]>,
    seed: u64,
}

impl DidCache {
    /// An empty cache. `seed` is a secret of the directory, so that nobody can make DIDs that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            blocks: (0..1 << BLOCKS_BITS).map(|_| OnceLock::new()).collect(),
            seed,
        }
    }

    /// The seed of hashes of DIDs in this directory.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash of a DID in this directory.
    pub(crate) fn hash(&self, did: &str) -> u64 {
        xxh3_64_with_seed(did.as_bytes(), self.seed)
    }

    fn block(&self, hash: u64) -> Option<&OnceLock<Block>> {
        self.blocks
            .get((hash >> BLOCK_BITS) as usize & ((1 << BLOCKS_BITS) - 1))
    }

    /// The two slots of a hash, that which was used last in front.
    #[inline]
    fn slots(block: &Block, hash: u64) -> Option<(&AtomicU64, &AtomicU64)> {
        let first = hash as usize & ((1 << BLOCK_BITS) - 2);
        Some((block.get(first)?, block.get(first + 1)?))
    }

    /// An id that the DID of this hash probably has.
    #[inline]
    pub(crate) fn get(&self, hash: u64) -> Option<ActorId> {
        let (newest, older) = Self::slots(self.block(hash)?.get()?, hash)?;
        let is_it = |value: u64| value != 0 && value >> 32 == hash >> 32;
        // Relaxed: an entry is one word, and what the id names was there before any reader's snapshot. Where two threads
        // exchange slots at once one of the entries may be lost.
        let value = newest.load(Ordering::Relaxed);
        if is_it(value) {
            return Some((value as u32).wrapping_sub(1));
        }
        let found = older.load(Ordering::Relaxed);
        if !is_it(found) {
            return None;
        }
        newest.store(found, Ordering::Relaxed);
        older.store(value, Ordering::Relaxed);
        Some((found as u32).wrapping_sub(1))
    }

    /// Notes the id (below `u32::MAX`) of the DID of this hash.
    pub(crate) fn put(&self, hash: u64, id: ActorId) {
        let Some(block) = self.block(hash) else {
            return;
        };
        let block = block.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        if let Some((newest, older)) = Self::slots(block, hash) {
            let value = (hash >> 32) << 32 | (u64::from(id) + 1);
            let before = newest.load(Ordering::Relaxed);
            if before >> 32 != hash >> 32 {
                older.store(before, Ordering::Relaxed);
            }
            newest.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_until_two_others_were_used_since() {
        let cache = DidCache::new(7);
        let hash = cache.hash("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
        let (second, third) = (hash ^ 1 << 40, hash ^ 1 << 41);
        assert_eq!(cache.get(hash), None);
        cache.put(hash, 0);
        assert_eq!(cache.get(hash), Some(0));
        assert_eq!(cache.get(second), None, "the same slots, another tag");
        cache.put(second, 9);
        cache.put(second, 9);
        assert_eq!(cache.get(hash), Some(0));
        // It was used last, so that the other one goes.
        cache.put(third, 4);
        let found = [hash, second, third].map(|hash| cache.get(hash));
        assert_eq!(found, [Some(0), None, Some(4)]);
        cache.put(hash, 5);
        let found = [hash, third].map(|hash| cache.get(hash));
        assert_eq!(found, [Some(5), Some(4)]);
    }
}
