//! Sets of account ids: a hash set while small, then bits in chunks that copies share.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Members beyond which the set turns to bits. Below, a hash set is smaller even where the ids are
/// spread over tens of millions of accounts.
const SPARSE_MAX: usize = 65_536;
/// Words of a flat set at most: 16 MiB.
const FLAT_WORDS_MAX: usize = 1 << 21;
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

    /// What has so many bits is a keyed hash already.
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// Builds [`IdHasher`]s.
pub(crate) type IdHash = BuildHasherDefault<IdHasher>;

type Words = [u64; CHUNK_WORDS];

/// A chunk: nobody's while it is empty, one set's while it is filled, all copies' once it was shared.
#[derive(Debug)]
enum Chunk {
    Empty,
    Own(Box<Words>),
    Shared(Arc<Words>),
}

impl Chunk {
    fn words(&self) -> Option<&Words> {
        match self {
            Self::Empty => None,
            Self::Own(words) => Some(words),
            Self::Shared(words) => Some(words),
        }
    }

    /// The words to write to: a copy of shared ones.
    #[cold]
    fn make_own(&mut self) {
        *self = Self::Own(match self.words() {
            Some(words) => Box::new(*words),
            None => Box::new([0; CHUNK_WORDS]),
        });
    }

    /// Sets a bit; whether it was not set.
    #[inline]
    fn insert(&mut self, word: usize, bit: u64) -> bool {
        if let Self::Shared(words) = self
            && words.get(word).is_some_and(|word| word & bit != 0)
        {
            return false;
        }
        if !matches!(self, Self::Own(_)) {
            self.make_own();
        }
        let Self::Own(words) = self else {
            return false;
        };
        let Some(word) = words.get_mut(word) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[derive(Debug)]
enum Inner {
    Sparse(HashSet<u32, IdHash>),
    /// The bits side by side, while a large set is made: the fastest to add to, and no other set's.
    Flat(Vec<u64>),
    Dense(Vec<Chunk>),
}

/// A set of account ids that is cheap to copy and extend.
#[derive(Debug)]
pub(crate) struct ActorSet(Inner);

impl Default for ActorSet {
    fn default() -> Self {
        Self(Inner::Sparse(HashSet::default()))
    }
}

impl ActorSet {
    /// A set that is about to get up to so many accounts.
    pub(crate) fn for_up_to(members: u64) -> Self {
        match usize::try_from(members) {
            Ok(members) if members <= SPARSE_MAX => Self(Inner::Sparse(
                HashSet::with_capacity_and_hasher(members, IdHash::default()),
            )),
            _ => Self(Inner::Flat(Vec::new())),
        }
    }

    /// Adds an account; whether it was new.
    pub(crate) fn insert(&mut self, actor: u32) -> bool {
        self.insert_some(&[actor], 1) == 1
    }

    /// Adds those of up to 128 accounts whose bits are set in `wanted`, the first in the lowest; which of them
    /// were new.
    pub(crate) fn insert_some(&mut self, actors: &[u32], wanted: u128) -> u128 {
        let mut new = 0;
        self.make_room(actors);
        match &mut self.0 {
            Inner::Flat(words) => {
                let words = words.as_mut_slice();
                for (half, actors) in actors.chunks(64).enumerate() {
                    // The bit of each comes in on the left, behind that of the one before.
                    let mut some = 0u64;
                    let mut wanted = (wanted >> (half * 64)) as u64;
                    for &actor in actors {
                        let mut is_new = 0;
                        if let Some(word) = words.get_mut((actor >> 6) as usize) {
                            let is_wanted = wanted & 1;
                            is_new = is_wanted & !(*word >> (actor & 63));
                            *word |= is_wanted << (actor & 63);
                        }
                        some = (some | is_new).rotate_right(1);
                        wanted >>= 1;
                    }
                    // Of fewer than 64 there is a gap to the right.
                    some = some.rotate_right((u64::BITS - actors.len() as u32) % u64::BITS);
                    new |= u128::from(some) << (half * 64);
                }
            }
            Inner::Sparse(set) => {
                for (place, &actor) in (0..u128::BITS).zip(actors) {
                    if wanted >> place & 1 == 1 {
                        new |= u128::from(set.insert(actor)) << place;
                    }
                }
                if set.len() > SPARSE_MAX {
                    let mut chunks = Vec::new();
                    for &member in set.iter() {
                        insert_bit(&mut chunks, member);
                    }
                    self.0 = Inner::Dense(chunks);
                }
            }
            Inner::Dense(chunks) => {
                for (place, &actor) in (0..u128::BITS).zip(actors) {
                    if wanted >> place & 1 == 1 {
                        new |= u128::from(insert_bit(chunks, actor)) << place;
                    }
                }
            }
        }
        new
    }

    /// Makes the bits of a flat set reach those accounts, or takes to chunks where that would be too many bits.
    fn make_room(&mut self, actors: &[u32]) {
        let Inner::Flat(words) = &mut self.0 else {
            return;
        };
        let largest = actors.iter().fold(0, |a, b| a.max(*b));
        let needed = (largest >> 6) as usize + 1;
        if needed <= words.len() {
            return;
        }
        if needed <= FLAT_WORDS_MAX {
            let more = (2 * words.len()).clamp(CHUNK_WORDS, FLAT_WORDS_MAX);
            words.resize(needed.max(more), 0);
        } else {
            self.0 = Inner::Dense(chunks_of(words, Chunk::own));
        }
    }

    /// Whether an account is a member.
    pub(crate) fn contains(&self, actor: u32) -> bool {
        match &self.0 {
            Inner::Sparse(set) => set.contains(&actor),
            Inner::Flat(words) => {
                let word = words.get((actor >> 6) as usize);
                word.is_some_and(|word| word >> (actor & 63) & 1 == 1)
            }
            Inner::Dense(chunks) => {
                let (chunk, word, bit) = split(actor);
                chunks
                    .get(chunk)
                    .and_then(Chunk::words)
                    .and_then(|words| words.get(word))
                    .is_some_and(|word| word & bit != 0)
            }
        }
    }

    /// A copy. Chunks of bits are shared from now on, until one of the two writes to them.
    pub(crate) fn share(&mut self) -> Self {
        if let Inner::Flat(words) = &self.0 {
            if words.is_empty() {
                return Self(Inner::Flat(Vec::new()));
            }
            self.0 = Inner::Dense(chunks_of(words, Chunk::shared));
        }
        Self(match &mut self.0 {
            Inner::Sparse(set) => Inner::Sparse(set.clone()),
            Inner::Flat(words) => Inner::Flat(words.clone()),
            Inner::Dense(chunks) => {
                let copies = chunks.iter_mut().map(|chunk| {
                    if let Chunk::Own(words) = chunk {
                        *chunk = Chunk::Shared(Arc::new(**words));
                    }
                    chunk.copy()
                });
                Inner::Dense(copies.collect())
            }
        })
    }

    /// A copy of a set that shares all its chunks: one that [`settle`](Self::settle) has seen.
    pub(crate) fn copy(&self) -> Self {
        Self(match &self.0 {
            Inner::Sparse(set) => Inner::Sparse(set.clone()),
            Inner::Flat(words) => Inner::Dense(chunks_of(words, Chunk::shared)),
            Inner::Dense(chunks) => Inner::Dense(chunks.iter().map(Chunk::copy).collect()),
        })
    }

    /// Makes the set, which has so many members, fit to be kept: as small as it can be, all chunks ready to be
    /// shared.
    pub(crate) fn settle(&mut self, members: u64) {
        if let Inner::Flat(words) = &self.0 {
            self.0 = Inner::Dense(chunks_of(words, Chunk::shared));
        }
        match &mut self.0 {
            Inner::Sparse(set) => set.shrink_to_fit(),
            Inner::Flat(_) => {}
            Inner::Dense(chunks) => {
                // A slot of a hash table takes ten bytes at most.
                let bytes = chunks.iter().filter_map(Chunk::words).count() * CHUNK_WORDS * 8;
                if members <= SPARSE_MAX as u64 && members * 10 < bytes as u64 {
                    self.0 = Inner::Sparse(members_of(chunks).collect());
                    return;
                }
                for chunk in chunks {
                    if let Chunk::Own(words) = chunk {
                        *chunk = Chunk::Shared(Arc::new(**words));
                    }
                }
            }
        }
    }

    /// About how much memory the set takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Inner::Sparse(set) => set.capacity() * 5,
            Inner::Flat(words) => words.capacity() * 8,
            Inner::Dense(chunks) => {
                chunks.iter().filter_map(Chunk::words).count() * CHUNK_WORDS * 8 + chunks.len() * 16
            }
        }
    }
}

/// The chunks of flat bits, those with any made by `make`.
fn chunks_of(words: &[u64], make: fn(Words) -> Chunk) -> Vec<Chunk> {
    let chunk = |some: &[u64]| {
        if some.iter().all(|word| *word == 0) {
            return Chunk::Empty;
        }
        let mut words = [0; CHUNK_WORDS];
        for (to, from) in words.iter_mut().zip(some) {
            *to = *from;
        }
        make(words)
    };
    words.chunks(CHUNK_WORDS).map(chunk).collect()
}

impl Chunk {
    fn own(words: Words) -> Self {
        Self::Own(Box::new(words))
    }

    fn shared(words: Words) -> Self {
        Self::Shared(Arc::new(words))
    }

    fn copy(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Own(words) => Self::Own(words.clone()),
            Self::Shared(words) => Self::Shared(Arc::clone(words)),
        }
    }
}

fn members_of(chunks: &[Chunk]) -> impl Iterator<Item = u32> {
    let words = chunks.iter().map(Chunk::words);
    let words = (0u32..)
        .step_by(1 << CHUNK_SHIFT)
        .zip(words)
        .flat_map(|(first, words)| {
            let words = words.into_iter().flatten();
            (first..).step_by(64).zip(words)
        });
    words.flat_map(|(first, &word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(first + bit)
        })
    })
}

#[inline]
fn split(actor: u32) -> (usize, usize, u64) {
    (
        (actor >> CHUNK_SHIFT) as usize,
        ((actor >> 6) as usize) % CHUNK_WORDS,
        1 << (actor & 63),
    )
}

#[inline]
fn insert_bit(chunks: &mut Vec<Chunk>, actor: u32) -> bool {
    let (chunk, word, bit) = split(actor);
    if let Some(chunk) = chunks.get_mut(chunk) {
        return chunk.insert(word, bit);
    }
    chunks.resize_with(chunk + 1, || Chunk::Empty);
    chunks
        .last_mut()
        .is_some_and(|chunk| chunk.insert(word, bit))
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
        let before = set.share();
        for actor in 0..1 << 20 {
            assert_eq!(set.contains(actor), model.contains(&actor));
        }
        let new = (0..1 << 20).find(|a| !model.contains(a)).unwrap();
        assert!(set.insert(new));
        assert!(set.contains(new) && !before.contains(new));
        assert!(set.insert(u32::MAX) && set.contains(u32::MAX));
    }

    #[test]
    fn many_at_once_are_those_one_by_one_whether_settled_or_not() {
        for up_to in [0, SPARSE_MAX as u64, 1 << 20] {
            let (mut some, mut one) = (ActorSet::for_up_to(up_to), ActorSet::default());
            let (mut x, mut members) = (7u32, 0);
            for round in 0..2_000 {
                let actors: Vec<u32> = (0..1 + round % 128)
                    .map(|_| {
                        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        x >> 11
                    })
                    .collect();
                let wanted = u128::from(x) << 50 | u128::from(x.rotate_left(9)) << 3 | 1;
                let mut new = 0;
                for (place, actor) in actors.iter().enumerate() {
                    if wanted >> place & 1 == 1 && one.insert(*actor) {
                        new |= 1u128 << place;
                    }
                }
                assert_eq!(some.insert_some(&actors, wanted), new);
                members += u64::from(new.count_ones());
                if round % 400 == 7 {
                    some.settle(members);
                    some = some.copy();
                }
            }
            for actor in 0..1 << 21 {
                assert_eq!(some.contains(actor), one.contains(actor));
            }
        }
    }

    #[test]
    fn a_flat_set_keeps_its_members_beyond_its_bounds_and_when_it_is_shared() {
        for far in [1 << 26, 1 << 28] {
            let mut set = ActorSet::for_up_to(1 << 30);
            let members = [0, 63, 64, 40_000, far];
            assert!(members.iter().all(|member| set.insert(*member)));
            let before = set.share();
            assert!(set.insert(far - 1) && !set.insert(far));
            assert!(members.iter().all(|member| before.contains(*member)));
            assert!(!before.contains(far - 1) && !before.contains(1));
            set.settle(6);
            assert!(set.contains(far - 1) && set.contains(64) && !set.contains(65));
        }
    }

    #[test]
    fn a_settled_set_of_few_accounts_is_small_however_it_was_made() {
        let mut set = ActorSet::for_up_to(1 << 30);
        for actor in (0..50_000_000).step_by(500_000) {
            set.insert(actor);
        }
        assert!(set.heap_bytes() > 400_000);
        set.settle(100);
        assert!(set.heap_bytes() < 2_000, "{}", set.heap_bytes());
        assert!(set.contains(49_500_000) && !set.contains(1) && !set.insert(500_000));
    }
}
