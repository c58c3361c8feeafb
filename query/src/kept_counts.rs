//! Counts that are told again from memory. Where a count was asked for, what it is in the segments is kept; until the next seal or
//! merge it takes no look at a file to count again, exactly, whatever came since.

use std::sync::Arc;

use orrery_engine::{SealedCount, Snapshot};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::backlinks;
use crate::error::Result;
use crate::target::{candidates, resolve};
use crate::types::Filter;

/// Counts that are kept: each takes some hundred bytes, at most about two KiB.
const SLOTS: usize = 4_096;
/// Targets, collections and paths that together are longer are not kept.
const NAME_MAX: usize = 512;

struct Kept {
    target: Box<str>,
    collection: Box<str>,
    path: Box<str>,
    sealed: SealedCount,
    /// Whether links to the target may stand under another form of it: then these count only while there are any.
    has_other_forms: bool,
}

/// A bounded number of counts, each in the place that its name hashes to: the newer one stays.
pub struct KeptCounts {
    slots: Box<[Mutex<Option<Arc<Kept>>>]>,
}

impl Default for KeptCounts {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::new(None)).collect(),
        }
    }
}

impl std::fmt::Debug for KeptCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptCounts").finish_non_exhaustive()
    }
}

impl KeptCounts {
    fn slot(
        &self,
        target: &str,
        collection: &str,
        path: &str,
    ) -> Option<&Mutex<Option<Arc<Kept>>>> {
        let mut hash = Xxh3::new();
        for part in [target, collection, path] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        self.slots.get(hash.digest() as usize % SLOTS)
    }

    /// How many records link to the target from that collection and path, if that is known without a look at a file. Never waits for
    /// a disk.
    #[must_use]
    pub fn get(
        &self,
        snapshot: &Snapshot,
        target: &str,
        collection: &str,
        path: &str,
    ) -> Option<u64> {
        let kept = self.slot(target, collection, path)?.lock().clone()?;
        let is_it =
            *kept.target == *target && *kept.collection == *collection && *kept.path == *path;
        let count = snapshot.count_with(&kept.sealed).filter(|_| is_it)?;
        (count > 0 || !kept.has_other_forms).then_some(count)
    }

    /// As [`Queries::count`](crate::Queries::count); remembers it for [`get`](Self::get).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn count(&self, snapshot: &Snapshot, filter: &Filter) -> Result<u64> {
        let (target, collection, path) = (&filter.target, &filter.collection, &filter.path);
        if !is_open(filter) || target.len() + collection.len() + path.len() > NAME_MAX {
            return backlinks::count(snapshot, filter);
        }
        let Some(subject) = resolve(snapshot, target, collection, path, None)? else {
            return Ok(0);
        };
        let sealed = snapshot.sealed_count(&subject.key, collection, path)?;
        let Some((sealed, count)) = sealed.and_then(|sealed| {
            let count = snapshot.count_with(&sealed)?;
            Some((sealed, count))
        }) else {
            return backlinks::count(snapshot, filter);
        };
        // Links under an earlier form would go before those under a later one.
        if subject.candidate == 0
            && let Some(slot) = self.slot(target, collection, path)
        {
            let kept = Kept {
                target: target.as_str().into(),
                collection: collection.as_str().into(),
                path: path.as_str().into(),
                sealed,
                has_other_forms: candidates(target).len() > 1,
            };
            *slot.lock() = Some(Arc::new(kept));
        }
        Ok(count)
    }
}

/// Whether the filter selects all links to its target from its source.
fn is_open(filter: &Filter) -> bool {
    filter.dids.is_none() && filter.since_us.is_none() && filter.until_us.is_none()
}
