//! The keys that were written or deleted since the last seal, of which older segments may have a sample. One writer,
//! any number of readers, no lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::actors::ActorId;
use crate::concurrent::{Chunked, HashIndex};

/// Keys that the first level of the index takes at most. It is filled with zeros by the first event behind a seal, 1 MiB in less than a
/// millisecond; a seal of 262,144 events comes to three levels.
const AT_ONCE_MAX: u32 = 1 << 16;

#[derive(Default)]
struct Cell {
    key_hash: AtomicU64,
    /// The first event since the last seal that touched the key.
    seq: AtomicU64,
    actor: AtomicU32,
}

/// Key hashes are keyed with a secret and spread evenly; one key of many accounts is spread by an odd constant, the
/// golden ratio's as in Knuth, TAOCP 6.4.
fn hash_of(actor: ActorId, key_hash: u64) -> u64 {
    key_hash ^ u64::from(actor).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// See the module's description.
pub(crate) struct Touched {
    cells: Chunked<Cell>,
    count: AtomicU32,
    index: HashIndex,
}

impl Touched {
    /// With room for about `expected` keys before its index grows, but no more than [`AT_ONCE_MAX`]: of most commits that come
    /// to a grown directory the key is noted.
    pub(crate) fn new(expected: u32) -> Self {
        Self {
            cells: Chunked::default(),
            count: AtomicU32::new(0),
            index: HashIndex::with_expected(expected.min(AT_ONCE_MAX)),
        }
    }

    /// Notes that the event `seq` wrote or deleted a key of which older segments may have a sample. Writer only,
    /// before the event is published.
    pub(crate) fn note(&self, actor: ActorId, key_hash: u64, seq: u64) {
        if self.first_seq(actor, key_hash).is_some() {
            return;
        }
        let id = self.count.load(Ordering::Relaxed);
        let cell = self.cells.at(id);
        cell.key_hash.store(key_hash, Ordering::Relaxed);
        cell.seq.store(seq, Ordering::Relaxed);
        cell.actor.store(actor, Ordering::Relaxed);
        self.count.store(id + 1, Ordering::Relaxed);
        self.index.insert(hash_of(actor, key_hash), id);
    }

    fn first_seq(&self, actor: ActorId, key_hash: u64) -> Option<u64> {
        let cell = |id: u32| self.cells.at(id);
        let found = self.index.find(hash_of(actor, key_hash), |id| {
            cell(id).actor.load(Ordering::Relaxed) == actor
                && cell(id).key_hash.load(Ordering::Relaxed) == key_hash
        });
        found.map(|id| cell(id).seq.load(Ordering::Relaxed))
    }

    /// Whether an event up to `seq` touched the key.
    pub(crate) fn holds(&self, actor: ActorId, key_hash: u64, seq: u64) -> bool {
        self.first_seq(actor, key_hash)
            .is_some_and(|first| first <= seq)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.heap_bytes() + self.index.heap_bytes()
    }
}
