//! The lists of a target and source in every segment at once. Where they are is remembered with the generation: as long as
//! that is the newest, its segments and masks are the same, and a target that is asked for again costs no look-up in
//! any dictionary, and no list is opened but those that are read.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::{List, ListInner, Part};
use crate::Result;
use crate::mask::LONG_LIST;
use crate::snapshot::{Generation, OwnedTargetKey, Snapshot};

/// Targets that are remembered, each in the place that its name hashes to: the newer one stays.
const SLOTS: usize = 1_024;
/// Lists of a target that are remembered at most, 16 bytes each; where there are more, none are.
const LISTS_MAX: usize = 128;
/// Targets, collections and paths that together are longer are not remembered.
const NAME_MAX: usize = 512;

/// A list in one of the segments of a generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundList {
    /// Of the segment.
    place: u32,
    pub(super) id: u32,
    pub(super) rows: u32,
    /// Rows that the segment's mask masks; not told of short lists.
    pub(super) masked: u32,
}

struct Found {
    key: OwnedTargetKey,
    collection: Box<str>,
    path: Box<str>,
    lists: Box<[FoundList]>,
}

type Slot = Mutex<Option<Arc<Found>>>;

/// See the module's description. At most 3 MiB. Each lock guards a pointer's copy.
#[derive(Default)]
pub(crate) struct FoundLists {
    /// Made when first written to: most generations of a loading index are never asked.
    slots: OnceLock<Box<[Slot]>>,
}

fn hash(key: &OwnedTargetKey, collection: &str, path: &str) -> u64 {
    let mut hash = Xxh3::new();
    match key {
        OwnedTargetKey::Did(actor) => hash.update(&actor.to_le_bytes()),
        OwnedTargetKey::Record {
            actor,
            collection,
            rkey,
        } => {
            hash.update(&actor.to_le_bytes());
            hash.update(collection.as_bytes());
            hash.update(rkey.as_bytes());
        }
        OwnedTargetKey::Other(text) => hash.update(text.as_bytes()),
    }
    hash.update(collection.as_bytes());
    hash.update(path.as_bytes());
    hash.digest()
}

fn name_len(key: &OwnedTargetKey) -> usize {
    match key {
        OwnedTargetKey::Did(_) => 0,
        OwnedTargetKey::Record {
            collection, rkey, ..
        } => collection.len() + rkey.len(),
        OwnedTargetKey::Other(text) => text.len(),
    }
}

impl FoundLists {
    fn get(&self, hash: u64, key: &OwnedTargetKey, source: (&str, &str)) -> Option<Arc<Found>> {
        let slot = self.slots.get()?.get(hash as usize % SLOTS)?;
        let found = slot.lock().clone()?;
        let is_it = found.key == *key && (&*found.collection, &*found.path) == source;
        is_it.then_some(found)
    }

    fn put(&self, hash: u64, found: Arc<Found>) {
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| Slot::default()).collect());
        if let Some(slot) = slots.get(hash as usize % SLOTS) {
            // Dropped behind the lock.
            let _before = slot.lock().replace(found);
        }
    }
}

impl Generation {
    /// Looks in every segment.
    fn find_lists(
        &self,
        key: &OwnedTargetKey,
        (collection, path): (&str, &str),
    ) -> Result<Vec<FoundList>> {
        let mut lists = Vec::new();
        for (place, sealed) in self.numbered() {
            let segment = &sealed.segment;
            let Some(target) = segment.find_target(&key.borrowed())? else {
                continue;
            };
            let Some(source) = segment.find_source(collection, path)? else {
                continue;
            };
            let Some(list) = segment.find_list(target, source)? else {
                continue;
            };
            let masked = match list.len() > LONG_LIST {
                true => sealed.mask.list(list.id())?,
                false => 0,
            };
            lists.push(FoundList {
                place,
                id: list.id(),
                rows: list.len(),
                masked,
            });
        }
        Ok(lists)
    }

    fn found_lists(&self, key: &OwnedTargetKey, source: (&str, &str)) -> Result<Arc<Found>> {
        let (collection, path) = source;
        let hash = hash(key, collection, path);
        if let Some(found) = self.found.get(hash, key, source) {
            return Ok(found);
        }
        let found = Arc::new(Found {
            key: key.clone(),
            collection: collection.into(),
            path: path.into(),
            lists: self.find_lists(key, source)?.into(),
        });
        let name = name_len(key) + collection.len() + path.len();
        if name <= NAME_MAX && found.lists.len() <= LISTS_MAX {
            self.found.put(hash, Arc::clone(&found));
        }
        Ok(found)
    }
}

impl Snapshot {
    /// The parts that have links to `key` at `path` (with its leading dot) of the records of `collection`, oldest
    /// first, with the list of each. Lists may not have been opened: see [`List::opened`].
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn lists(
        &self,
        key: &OwnedTargetKey,
        collection: &str,
        path: &str,
    ) -> Result<Vec<(Part<'_>, List<'_>)>> {
        let generation = &self.generation;
        let mut lists = Vec::new();
        if !generation.segments.is_empty() {
            let found = generation.found_lists(key, (collection, path))?;
            lists.reserve(found.lists.len() + 1);
            for list in &found.lists {
                let Some(sealed) = generation.segments.get(list.place as usize) else {
                    continue;
                };
                let part = Part::sealed(self, sealed, list.place);
                let inner = match list.rows > LONG_LIST {
                    true => ListInner::Found(*list),
                    // The rows of a short one are counted one by one.
                    false => ListInner::Sealed(sealed.segment.list(list.id)?),
                };
                lists.push((part, List { part, inner }));
            }
        }
        let memtable = Part::memtable(self);
        if let Some(list) = memtable.list(key, collection, path)? {
            lists.push((memtable, list));
        }
        Ok(lists)
    }
}
