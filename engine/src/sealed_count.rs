//! What a list counts in the segments. That changes with a seal or a merge; what deletes and hidden accounts change meanwhile stands in
//! the memtable. So a count that was read once is told again, exactly, from memory alone.

use crate::mask::LONG_LIST;
use crate::memtable::{DEAD, HIDDEN};
use crate::snapshot::{OwnedTargetKey, Snapshot};
use crate::{Error, Result};

/// Rows of short lists that are remembered one by one; where there are more, none are.
const ROWS_MAX: usize = 64;

/// What the links to one target from one source count in the segments of one state of the index.
#[derive(Debug, Clone)]
pub struct SealedCount {
    generation: u64,
    /// As of which list of excluded targets.
    excluded: u64,
    key: OwnedTargetKey,
    collection: Box<str>,
    path: Box<str>,
    /// Links that their masks don't mask.
    live: i64,
    /// The long lists, whose masked links are counted: place of the segment, list.
    lists: Box<[(u32, u32)]>,
    /// The rows of the others: place of the segment, row, whether its mask masks it.
    rows: Box<[(u32, u32, bool)]>,
}

fn masks(state: u64) -> bool {
    state & (DEAD | HIDDEN) != 0
}

impl Snapshot {
    /// Reads what the links to `key` at `path` (with its leading dot) of the records of `collection` count in the segments; `None`
    /// where many segments have a few of them. A look-up in each segment.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sealed_count(
        &self,
        key: &OwnedTargetKey,
        collection: &str,
        path: &str,
    ) -> Result<Option<SealedCount>> {
        let (mut live, mut lists, mut rows) = (0_i64, Vec::new(), Vec::new());
        for (place, sealed) in self.generation.numbered() {
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
            if list.len() > LONG_LIST {
                live += i64::from(list.len()) - i64::from(sealed.mask.list(list.id())?);
                lists.push((place, list.id()));
                continue;
            }
            if rows.len() + list.len() as usize > ROWS_MAX {
                return Ok(None);
            }
            for row in list.iter_from(0) {
                let row = row.map_err(Error::from)?;
                let is_masked = masks(sealed.mask.state(row)?);
                live += i64::from(!is_masked);
                rows.push((place, row, is_masked));
            }
        }
        Ok(Some(SealedCount {
            generation: self.id().generation,
            excluded: self.excluded_version(),
            key: key.clone(),
            collection: collection.into(),
            path: path.into(),
            live,
            lists: lists.into(),
            rows: rows.into(),
        }))
    }

    /// The links that a list has now, dead and hidden ones left out; `None` where `sealed` is of another state of the index. Touches
    /// nothing but memory.
    #[must_use]
    pub fn count_with(&self, sealed: &SealedCount) -> Option<u64> {
        if self.id().generation != sealed.generation || self.excluded_version() != sealed.excluded {
            return None;
        }
        let memtable = &self.generation.memtable;
        let seq = self.last_seq();
        let mut live = sealed.live;
        for &(place, list) in &sealed.lists {
            live -= memtable.segment_masked(place, list, seq);
        }
        for &(place, row, was_masked) in &sealed.rows {
            if let Some(state) = memtable.segment_state(place, row, seq) {
                live += i64::from(was_masked) - i64::from(masks(state));
            }
        }
        let list = memtable
            .find_target(&sealed.key.borrowed())
            .zip(memtable.find_source(&sealed.collection, &sealed.path))
            .and_then(|(target, source)| memtable.find_list(target, source))
            .and_then(|list| memtable.list(list, self.rows));
        if let Some(list) = list {
            live += i64::from(list.len()) - i64::from(memtable.masked(list.id(), seq));
        }
        u64::try_from(live).ok()
    }
}
