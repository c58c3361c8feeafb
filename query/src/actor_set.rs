//! Sets of account ids: a hash set while small, then bits in chunks that copies share.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Members beyond which the set turns to bits. Below, a hash set is smaller even where the ids are
/// spread over tens of millions of accounts.
const SPARSE_MAX: usize = 65_536;
/// Words of a chunk: 32,768 bits, 4 KiB. A copy of a set of 50 M accounts clones about 1,500 pointers.
const CHUNK_WORDS: usize = 512;
/// Binary logarithm of the bits of a chunk.
const CHUNK_SHIFT: u32 = 15;

/// Hashes small integers by one multiplication (Fibonacci hashing, Knuth, The Art of Computer Programming
/// 6.4). The ids are given by the index, not chosen by whoever writes records.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // The high half of a product mixes best; hash tables look at both ends.
        let mixed = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// Builds [`IdHasher`]s.
pub(crate) type IdHash = BuildHasherDefault<IdHasher>;

#[derive(Debug, Clone)]
enum Inner {
    Sparse(HashSet<u32, IdHash>),
    Dense(Vec<Option<Arc<[u64; CHUNK_WORDS]>>>),
}

/// A set of account ids that is cheap to copy and extend.
#[derive(Debug, Clone)]
pub(crate) struct ActorSet(Inner);

impl Default for ActorSet {
    fn default() -> Self {
        Self(Inner::Sparse(HashSet::default()))
    }
}

impl ActorSet {
    /// Adds an account; whether it was new.
    pub(crate) fn insert(&mut self, actor: u32) -> bool {
        match &mut self.0 {
            Inner::Sparse(set) => {
                let new = set.insert(actor);
                if set.len() > SPARSE_MAX {
                    let mut chunks = Vec::new();
                    for &member in set.iter() {
                        insert_bit(&mut chunks, member);
                    }
                    self.0 = Inner::Dense(chunks);
                }
                new
            }
            Inner::Dense(chunks) => insert_bit(chunks, actor),
        }
    }

    /// Whether an account is a member.
    pub(crate) fn contains(&self, actor: u32) -> bool {
        match &self.0 {
            Inner::Sparse(set) => set.contains(&actor),
            Inner::Dense(chunks) => {
                let (chunk, word, bit) = split(actor);
                chunks
                    .get(chunk)
                    .and_then(Option::as_ref)
                    .and_then(|words| words.get(word))
                    .is_some_and(|word| word & bit != 0)
            }
        }
    }

    /// About how much memory the set takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Inner::Sparse(set) => set.capacity() * 5,
            Inner::Dense(chunks) => {
                chunks.iter().flatten().count() * CHUNK_WORDS * 8 + chunks.len() * 8
            }
        }
    }
}

fn split(actor: u32) -> (usize, usize, u64) {
    (
        (actor >> CHUNK_SHIFT) as usize,
        ((actor >> 6) as usize) % CHUNK_WORDS,
        1 << (actor & 63),
    )
}

fn insert_bit(chunks: &mut Vec<Option<Arc<[u64; CHUNK_WORDS]>>>, actor: u32) -> bool {
    let (chunk, word, bit) = split(actor);
    if chunk >= chunks.len() {
        chunks.resize(chunk + 1, None);
    }
    let Some(slot) = chunks.get_mut(chunk) else {
        return false;
    };
    // Most members of a full walk are there already: look before unsharing the chunk.
    if let Some(words) = slot
        && words.get(word).is_some_and(|word| word & bit != 0)
    {
        return false;
    }
    let words = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; CHUNK_WORDS])));
    if let Some(word) = words.get_mut(word) {
        *word |= bit;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_was_put_in_whether_small_or_large_and_copies_are_apart() {
        let mut set = ActorSet::default();
        let mut model = BTreeSet::new();
        let mut x = 1u32;
        for _ in 0..200_000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let actor = x >> 12;
            assert_eq!(set.insert(actor), model.insert(actor));
        }
        assert!(matches!(set.0, Inner::Dense(_)));
        let before = set.clone();
        for actor in 0..1 << 20 {
            assert_eq!(set.contains(actor), model.contains(&actor));
        }
        let new = (0..1 << 20).find(|a| !model.contains(a)).unwrap();
        assert!(set.insert(new));
        assert!(set.contains(new) && !before.contains(new));
        assert!(set.insert(u32::MAX) && set.contains(u32::MAX));
    }
}
