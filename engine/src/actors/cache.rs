//! A cache of the ids of DIDs, so that a DID that was just looked up is not looked for in every segment again.
//! Ids never change, so nothing in it is ever wrong; an entry is a hint all the same, and whoever takes
//! one compares the DID.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ActorId;

/// log2 of the slots of a block.
const BLOCK_BITS: u32 = 10;
/// log2 of the blocks. All blocks together take 8 MiB.
const BLOCKS_BITS: u32 = 10;

type Block = Box<[AtomicU64; 1 << BLOCK_BITS]>;

/// Ids by DID, each hash having one slot: a new entry takes the place of the one before. Any number of threads
/// read and write it without locks.
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

    fn slot(block: &Block, hash: u64) -> Option<&AtomicU64> {
        block.get(hash as usize & ((1 << BLOCK_BITS) - 1))
    }

    /// An id that the DID of this hash probably has.
    #[inline]
    pub(crate) fn get(&self, hash: u64) -> Option<ActorId> {
        let slot = Self::slot(self.block(hash)?.get()?, hash)?;
        // Relaxed: the entry is one word, and what the id names was there before any reader's snapshot.
        let value = slot.load(Ordering::Relaxed);
        (value != 0 && value >> 32 == hash >> 32).then(|| (value as u32).wrapping_sub(1))
    }

    /// Notes the id (below `u32::MAX`) of the DID of this hash.
    pub(crate) fn put(&self, hash: u64, id: ActorId) {
        let Some(block) = self.block(hash) else {
            return;
        };
        let block = block.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        if let Some(slot) = Self::slot(block, hash) {
            let value = (hash >> 32) << 32 | (u64::from(id) + 1);
            slot.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_until_another_takes_its_place() {
        let cache = DidCache::new(7);
        let hash = cache.hash("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(cache.get(hash), None);
        cache.put(hash, 0);
        assert_eq!(cache.get(hash), Some(0));
        assert_eq!(
            cache.get(hash ^ 1 << 40),
            None,
            "the same slot, another tag"
        );
        cache.put(hash ^ 1 << 40, 9);
        assert_eq!(cache.get(hash), None);
        assert_eq!(cache.get(hash ^ 1 << 40), Some(9));
    }
}
