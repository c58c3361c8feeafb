//! Targets told apart without their strings: in whichever part one stands, the same string has the same hash.

use orrery_formats::segment::{RecordKey, TargetKey, TargetRef};
use xxhash_rust::xxh3::xxh3_128_with_seed;

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

    /// `None` for a target whose string cannot be told.
    fn hash(&mut self, target: TargetRef<'_>) -> Option<u128> {
        let buffer = &mut self.buffer;
        buffer.clear();
        match target {
            TargetRef::Did(actor) => {
                buffer.push(0);
                buffer.extend_from_slice(&actor.to_le_bytes());
            }
            TargetRef::Record {
                actor,
                collection,
                rkey,
            } => {
                buffer.push(1);
                buffer.extend_from_slice(&actor.to_le_bytes());
                buffer.extend_from_slice(collection.as_bytes());
                // No collection has these bytes.
                match rkey {
                    RecordKey::Tid(tid) => {
                        buffer.push(0);
                        buffer.extend_from_slice(&tid.to_le_bytes());
                    }
                    RecordKey::Str(text) => {
                        buffer.push(1);
                        buffer.extend_from_slice(text.as_bytes());
                    }
                }
            }
            TargetRef::Other(text) => {
                buffer.push(2);
                buffer.extend_from_slice(text.as_bytes());
            }
        }
        let hash = xxh3_128_with_seed(buffer, self.seed);
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
    /// every part, and two strings have two hashes but by a chance of 2^-128. `None` for a target whose DID stood in a
    /// segment that is set aside.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn target_hashes(
        &self,
        targets: &[TargetId],
        seed: u64,
        each: &mut dyn FnMut(Option<u128>),
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
                let ids: Vec<u32> = targets.iter().map(|target| target.0).collect();
                let each = &mut |target: TargetRef<'_>| {
                    each(hasher.hash(target));
                    Ok::<(), Error>(())
                };
                sealed.segment.each_target(&ids, each)
            }
            Inner::Memtable(memtable) => {
                for target in targets {
                    each(memtable.with_target(target.0, |key| hasher.hash(form(&key))));
                }
                Ok(())
            }
        }
    }
}
