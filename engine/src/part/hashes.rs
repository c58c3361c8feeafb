//! Targets told apart without their strings: in whichever part one stands, the same string has the same hash.

use orrery_formats::segment::{RecordKey, TargetKey, TargetRef};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::{Inner, Part, TargetId};
use crate::snapshot::Generation;
use crate::{ActorId, Error, Result};

/// Hashes targets of one view.
struct Hasher<'a> {
    generation: &'a Generation,
    /// Whether some DIDs cannot be told.
    lost: bool,
    seed: u64,
    buffer: Vec<u8>,
}

impl Hasher<'_> {
    /// Whether the string of what names that account cannot be told.
    fn is_lost(&self, actor: ActorId) -> bool {
        self.lost && self.generation.has_lost_did(actor)
    }

    /// The seed of hashes of a collection's records.
    fn of_collection(&self, collection: &str) -> u64 {
        xxh3_64_with_seed(collection.as_bytes(), self.seed)
    }

    /// `None` for a target whose string cannot be told. Each kind of target has a seed of its own, so that none is taken
    /// for one of another.
    /// `of_collection` is the seed of a record's collection.
    #[inline]
    fn hash(
        &mut self,
        target: TargetRef<'_>,
        of_collection: impl FnOnce(&Self) -> u64,
    ) -> Option<u128> {
        let hash = match target {
            TargetRef::Did(actor) => xxh3_128_with_seed(&actor.to_le_bytes(), self.seed),
            TargetRef::Record { actor, rkey, .. } => {
                let seed = of_collection(self);
                match rkey {
                    RecordKey::Tid(tid) => {
                        let bytes = (u128::from(tid) << 32 | u128::from(actor)).to_le_bytes();
                        xxh3_128_with_seed(bytes.get(..12).unwrap_or_default(), seed)
                    }
                    RecordKey::Str(text) => {
                        let buffer = &mut self.buffer;
                        buffer.clear();
                        buffer.extend_from_slice(&actor.to_le_bytes());
                        buffer.extend_from_slice(text.as_bytes());
                        xxh3_128_with_seed(buffer, !seed)
                    }
                }
            }
            TargetRef::Other(text) => xxh3_128_with_seed(text.as_bytes(), !self.seed),
        };
        match target {
            TargetRef::Did(actor) | TargetRef::Record { actor, .. } if self.is_lost(actor) => None,
            _ => Some(hash),
        }
    }
}

/// A target of the memtable in the form in which segments have it.
fn form<'k>(key: &TargetKey<'k>) -> TargetRef<'k> {
    match *key {
        TargetKey::Did(actor) => TargetRef::Did(actor),
        TargetKey::Other(text) => TargetRef::Other(text),
        TargetKey::Record {
            actor,
            collection,
            rkey,
        } => TargetRef::Record {
            actor,
            collection,
            rkey: RecordKey::parse(rkey),
        },
    }
}

impl Part<'_> {
    /// Calls `each` with a hash of each of `targets`, which rise. With one seed, the same string has the same hash in
    /// every part, and two strings have two hashes but by a chance of 2^-128, or where two collections meet in 64 bits.
    /// `None` for a target whose DID stood in a segment that is set aside.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn target_hashes(
        &self,
        targets: &[TargetId],
        seed: u64,
        mut each: impl FnMut(Option<u128>),
    ) -> Result<()> {
        let generation = &*self.snapshot.generation;
        let mut segments = generation.segments.iter();
        let mut hasher = Hasher {
            generation,
            lost: segments.any(|sealed| sealed.without_accounts().is_some()),
            seed,
            buffer: Vec::new(),
        };
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                // Most records that stand side by side are of one collection, whose name stands in one place.
                let mut last: Option<(&str, u64)> = None;
                let each = |target| {
                    let hash = hasher.hash(target, |hasher| {
                        let TargetRef::Record { collection, .. } = target else {
                            return 0;
                        };
                        match last {
                            Some((known, seed)) if std::ptr::eq(known, collection) => seed,
                            _ => {
                                let seed = hasher.of_collection(collection);
                                last = Some((collection, seed));
                                seed
                            }
                        }
                    });
                    each(hash);
                    Ok::<(), Error>(())
                };
                sealed.segment.each_target(targets, |target| target.0, each)
            }
            Inner::Memtable(memtable) => {
                for target in targets {
                    each(memtable.with_target(target.0, |key| {
                        let seed = match key {
                            TargetKey::Record { collection, .. } => {
                                hasher.of_collection(collection)
                            }
                            _ => 0,
                        };
                        hasher.hash(form(&key), |_| seed)
                    }));
                }
                Ok(())
            }
        }
    }
}
