//! The targets of a memtable's links, by small ids.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use orrery_formats::segment::TargetKey;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Memtable, hash_pair};

/// `TargetCell::collection` of a target that is a DID.
const DID_TARGET: u32 = u32::MAX;
/// `TargetCell::collection` of a target that is any other string.
const OTHER_TARGET: u32 = u32::MAX - 1;

#[derive(Default)]
pub(super) struct TargetCell {
    actor: AtomicU32,
    collection: AtomicU32,
    key: AtomicU64,
    /// The newest list plus one.
    pub(super) lists: AtomicU32,
}

fn hash_target(key: &TargetKey<'_>, seed: u64) -> u64 {
    match key {
        TargetKey::Did(actor) => hash_pair(u32::MAX, *actor),
        TargetKey::Other(text) => xxh3_64_with_seed(text.as_bytes(), seed),
        TargetKey::Record {
            actor,
            collection,
            rkey,
        } => {
            // The hash of the one is the seed of the other: two short hashes cost a fifth of a streaming one.
            let seed = xxh3_64_with_seed(collection.as_bytes(), seed);
            xxh3_64_with_seed(rkey.as_bytes(), seed.wrapping_add(u64::from(*actor)))
        }
    }
}

impl Memtable {
    pub(crate) fn target_count(&self) -> u32 {
        self.target_count.load(Ordering::Acquire)
    }

    /// The collection and record key of a target that is a record; what it is otherwise.
    pub(crate) fn with_target<R>(&self, target: u32, f: impl FnOnce(TargetKey<'_>) -> R) -> R {
        let cell = self.targets.at(target);
        let actor = cell.actor.load(Ordering::Relaxed);
        let key = cell.key.load(Ordering::Relaxed);
        match cell.collection.load(Ordering::Relaxed) {
            DID_TARGET => f(TargetKey::Did(actor)),
            OTHER_TARGET => f(TargetKey::Other(self.strings.get(key as u32))),
            collection => f(TargetKey::Record {
                actor,
                collection: self.collections.get(collection),
                rkey: &self.record_key(key).text(),
            }),
        }
    }

    /// Whether some row links to the target.
    pub(crate) fn is_linked(&self, target: u32) -> bool {
        self.targets.at(target).lists.load(Ordering::Acquire) != 0
    }

    /// The target, with `rkey` for its record key if it is a record.
    pub(crate) fn linked_target<'a>(&'a self, target: u32, rkey: &'a str) -> TargetKey<'a> {
        let cell = self.targets.at(target);
        let actor = cell.actor.load(Ordering::Relaxed);
        match cell.collection.load(Ordering::Relaxed) {
            DID_TARGET => TargetKey::Did(actor),
            OTHER_TARGET => {
                TargetKey::Other(self.strings.get(cell.key.load(Ordering::Relaxed) as u32))
            }
            collection => TargetKey::Record {
                actor,
                collection: self.collections.get(collection),
                rkey,
            },
        }
    }

    pub(crate) fn find_target(&self, key: &TargetKey<'_>) -> Option<u32> {
        self.target_index
            .find(hash_target(key, self.seed), |target| {
                self.with_target(target, |found| found == *key)
            })
    }
}

// Writing: one thread only.
impl Memtable {
    /// The id of the target, given now if it has none.
    pub(crate) fn intern_target(&self, key: &TargetKey<'_>) -> u32 {
        let hash = hash_target(key, self.seed);
        let found = self.target_index.find(hash, |target| {
            self.with_target(target, |found| found == *key)
        });
        if let Some(target) = found {
            return target;
        }
        let target = self.target_count.load(Ordering::Relaxed);
        let cell = self.targets.at(target);
        let (actor, collection, stored) = match *key {
            TargetKey::Did(actor) => (actor, DID_TARGET, 0),
            TargetKey::Other(text) => (0, OTHER_TARGET, u64::from(self.strings.intern(text))),
            TargetKey::Record {
                actor,
                collection,
                rkey,
            } => (
                actor,
                self.collections.intern(collection),
                self.store_key(rkey),
            ),
        };
        cell.actor.store(actor, Ordering::Relaxed);
        cell.collection.store(collection, Ordering::Relaxed);
        cell.key.store(stored, Ordering::Relaxed);
        self.target_index.insert(hash, target);
        self.target_count.store(target + 1, Ordering::Release);
        target
    }
}
