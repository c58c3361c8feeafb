//! The parts of a snapshot: the same calls for a segment and for the memtable.
//! Rows are ordinals within a part, in order of seq; dead and hidden rows stay and are *masked*.

mod blocks;
mod found;
mod hashes;
mod list;
mod names;

pub use blocks::LIST_BLOCK;
pub(crate) use found::FoundLists;
pub use list::List;
use list::ListInner;
pub use names::{EachName, TargetBlocks};

use orrery_formats::segment;

use crate::memtable::{DEAD, HIDDEN, Memtable};
use crate::snapshot::{OwnedTargetKey, Sealed, Snapshot};
use crate::{ActorId, Error, Result};

/// One contiguous range of seq of a snapshot.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    snapshot: &'a Snapshot,
    inner: Inner<'a>,
}

#[derive(Clone, Copy)]
enum Inner<'a> {
    Sealed { sealed: &'a Sealed, index: u32 },
    Memtable(&'a Memtable),
}

/// A target within one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u32);

impl<'a> Part<'a> {
    pub(crate) fn sealed(snapshot: &'a Snapshot, sealed: &'a Sealed, index: u32) -> Self {
        Self {
            snapshot,
            inner: Inner::Sealed { sealed, index },
        }
    }

    pub(crate) fn memtable(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            inner: Inner::Memtable(&snapshot.generation.memtable),
        }
    }

    /// A number that no other part has. The memtable keeps it as it grows, and loses it when it is sealed.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self.inner {
            Inner::Sealed { sealed, .. } => sealed.segment.info().first_seq << 1,
            Inner::Memtable(memtable) => memtable.first_seq << 1 | 1,
        }
    }

    /// Whether this is the memtable.
    #[must_use]
    pub fn is_memtable(&self) -> bool {
        matches!(self.inner, Inner::Memtable(_))
    }

    /// The first seq of the range.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        match self.inner {
            Inner::Sealed { sealed, .. } => sealed.segment.info().first_seq,
            Inner::Memtable(memtable) => memtable.first_seq,
        }
    }

    /// The last seq of the range.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        match self.inner {
            Inner::Sealed { sealed, .. } => sealed.segment.info().last_seq,
            Inner::Memtable(_) => self.snapshot.visible_seq,
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        match self.inner {
            Inner::Sealed { sealed, .. } => sealed.segment.info().rows,
            Inner::Memtable(_) => self.snapshot.rows,
        }
    }

    /// Earliest and latest event time, in microseconds; may be wider than the rows.
    #[must_use]
    pub fn time_range_us(&self) -> (u64, u64) {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                let info = sealed.segment.info();
                (info.first_time_us, info.last_time_us)
            }
            Inner::Memtable(memtable) => memtable.times_us().unwrap_or((0, 0)),
        }
    }

    /// The links to `key` at `path` (with its leading dot) of the records of `collection`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(
        &self,
        key: &OwnedTargetKey,
        collection: &str,
        path: &str,
    ) -> Result<Option<List<'a>>> {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                let segment = &sealed.segment;
                let Some(target) = segment.find_target(&key.borrowed())? else {
                    return Ok(None);
                };
                let Some(source) = segment.find_source(collection, path)? else {
                    return Ok(None);
                };
                let list = segment.find_list(target, source)?;
                Ok(list.map(|list| self.sealed_list(list)))
            }
            Inner::Memtable(memtable) => Ok(memtable
                .find_target(&key.borrowed())
                .zip(memtable.find_source(collection, path))
                .and_then(|(target, source)| memtable.find_list(target, source))
                .and_then(|list| self.memtable_list(memtable, list))),
        }
    }

    fn sealed_list(&self, list: segment::List<'a>) -> List<'a> {
        List {
            part: *self,
            inner: ListInner::Sealed(list),
        }
    }

    fn memtable_list(&self, memtable: &'a Memtable, list: u32) -> Option<List<'a>> {
        let list = memtable.list(list, self.snapshot.rows)?;
        Some(List {
            part: *self,
            inner: ListInner::Memtable(list),
        })
    }

    /// Calls `each` with the collection, the path and the list of every source that links to `key`.
    ///
    /// # Errors
    /// When the index cannot be read, or as `each` does.
    pub fn lists<E: From<Error>>(
        &self,
        key: &OwnedTargetKey,
        each: &mut dyn FnMut(&str, &str, List<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                let segment = &sealed.segment;
                let found = segment.find_target(&key.borrowed()).map_err(Error::from)?;
                let Some(target) = found else {
                    return Ok(());
                };
                for info in segment.lists_of(target).map_err(Error::from)? {
                    let info = info.map_err(Error::from)?;
                    let list = segment.list(info.id).map_err(Error::from)?;
                    each(info.collection, info.path, self.sealed_list(list))?;
                }
            }
            Inner::Memtable(memtable) => {
                let Some(target) = memtable.find_target(&key.borrowed()) else {
                    return Ok(());
                };
                for (list, source) in memtable.lists_of(target) {
                    if let Some(list) = self.memtable_list(memtable, list) {
                        let (collection, path) = memtable.source(source);
                        each(collection, path, list)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the row is dead or hidden.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn is_masked(&self, row: u32) -> Result<bool> {
        let seq = self.snapshot.visible_seq;
        let state = match self.inner {
            Inner::Sealed { sealed, index } => {
                let memtable = &self.snapshot.generation.memtable;
                match memtable.segment_state(index, row, seq) {
                    Some(state) => state,
                    None => sealed.mask.state(row)?,
                }
            }
            Inner::Memtable(memtable) => memtable.state(row, seq),
        };
        Ok(state & (DEAD | HIDDEN) != 0)
    }

    /// Tells of many rows, in any order, whether they are dead or hidden, faster than one by one where they
    /// stand close together.
    pub fn mask_reader(&self) -> impl FnMut(u32) -> Result<bool> + use<'a> {
        let seq = self.snapshot.visible_seq;
        let memtable = &self.snapshot.generation.memtable;
        let mut column = match self.inner {
            Inner::Sealed { sealed, index } => Some((sealed.mask.column(), index)),
            Inner::Memtable(_) => None,
        };
        move |row| {
            let state = match &mut column {
                Some((column, index)) => match memtable.segment_state(*index, row, seq) {
                    Some(state) => state,
                    None => column.state(row)?,
                },
                None => memtable.state(row, seq),
            };
            Ok(state & (DEAD | HIDDEN) != 0)
        }
    }

    /// The seq of a row.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn seq(&self, row: u32) -> Result<u64> {
        match self.inner {
            Inner::Sealed { sealed, .. } => Ok(sealed.segment.seq(row)?),
            Inner::Memtable(memtable) => Ok(memtable.seq(row)),
        }
    }

    /// Reads the seqs of many rows, in any order, faster than one by one where they stand close together.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn seq_reader(&self) -> Result<impl FnMut(u32) -> Result<u64> + use<'a>> {
        let (mut column, memtable) = match self.inner {
            Inner::Sealed { sealed, .. } => (Some(sealed.segment.seq_column()?), None),
            Inner::Memtable(memtable) => (None, Some(memtable)),
        };
        Ok(move |row| match (&mut column, memtable) {
            (Some(column), _) => Ok(column.get(row)?),
            (None, Some(memtable)) => Ok(memtable.seq(row)),
            (None, None) => Err(Error::Internal("a part of neither kind".to_owned())),
        })
    }

    /// The event time of a row in microseconds, exact to the millisecond.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn time_us(&self, row: u32) -> Result<u64> {
        match self.inner {
            Inner::Sealed { sealed, .. } => Ok(sealed.segment.time_us(row)?),
            // The same precision as after the seal, so that sealing changes no answer.
            Inner::Memtable(memtable) => Ok(memtable.time_us(row) / 1_000 * 1_000),
        }
    }

    /// The author of a row.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn actor(&self, row: u32) -> Result<ActorId> {
        match self.inner {
            Inner::Sealed { sealed, .. } => Ok(sealed.segment.actor(row)?),
            Inner::Memtable(memtable) => Ok(memtable.actor(row)),
        }
    }

    /// Reads the authors of many rows, in any order, faster than one by one where they stand close together.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn actor_reader(&self) -> Result<impl FnMut(u32) -> Result<ActorId> + use<'a>> {
        let (mut column, memtable) = match self.inner {
            Inner::Sealed { sealed, .. } => (Some(sealed.segment.actor_column()?), None),
            Inner::Memtable(memtable) => (None, Some(memtable)),
        };
        Ok(move |row| match (&mut column, memtable) {
            (Some(column), _) => Ok(column.get(row)?),
            (None, Some(memtable)) => Ok(memtable.actor(row)),
            (None, None) => Err(Error::Internal("a part of neither kind".to_owned())),
        })
    }

    /// Calls `f` with the collection and the record key of a row.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn with_key<R>(&self, row: u32, f: impl FnOnce(&str, &str) -> R) -> Result<R> {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                let key = sealed.segment.rkey(row)?;
                Ok(f(sealed.segment.collection(row)?, &key.text()))
            }
            Inner::Memtable(memtable) => {
                Ok(f(memtable.collection(row), &memtable.rkey(row).text()))
            }
        }
    }

    /// The first row whose seq is at least `seq`; [`rows`](Self::rows) when there is none.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn lower_bound_seq(&self, seq: u64) -> Result<u32> {
        match self.inner {
            Inner::Sealed { sealed, .. } => Ok(sealed.segment.lower_bound_seq(seq)?),
            Inner::Memtable(memtable) => {
                let (mut low, mut high) = (0, self.snapshot.rows);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if memtable.seq(middle) < seq {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                Ok(low)
            }
        }
    }

    /// The rows of an account, ascending, masked ones included.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn actor_rows(
        &self,
        actor: ActorId,
    ) -> Result<impl Iterator<Item = Result<u32>> + use<'a>> {
        let (sealed, memtable) = match self.inner {
            Inner::Sealed { sealed, .. } => (Some(sealed.segment.actor_rows(actor)?), Vec::new()),
            Inner::Memtable(memtable) => {
                let mut rows: Vec<u32> = memtable
                    .actor_rows_back(actor, self.snapshot.rows)
                    .collect();
                rows.reverse();
                (None, rows)
            }
        };
        let sealed = sealed
            .into_iter()
            .flatten()
            .map(|row| row.map_err(Error::from));
        Ok(sealed.chain(memtable.into_iter().map(Ok)))
    }

    /// Calls `each` with path (with its leading dot) and target of the links of `row`, by path and, at one path, in the
    /// order of the record.
    ///
    /// # Errors
    /// When the index cannot be read, or as `each` does.
    pub fn links<E: From<Error>>(
        &self,
        row: u32,
        each: &mut dyn FnMut(&str, TargetId) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                for link in sealed.segment.links(row).map_err(Error::from)? {
                    let link = link.map_err(Error::from)?;
                    let path = sealed.segment.path(link.path).map_err(Error::from)?;
                    each(path, TargetId(link.target))?;
                }
            }
            Inner::Memtable(memtable) => {
                for (source, target, _) in memtable.row_links(row) {
                    each(memtable.source(source).1, TargetId(target))?;
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with the targets of the links of `row` at `path`, in the order of the record.
    ///
    /// # Errors
    /// When the index cannot be read, or as `each` does.
    pub fn targets_at<E: From<Error>>(
        &self,
        row: u32,
        path: &str,
        each: &mut dyn FnMut(TargetId) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                for link in sealed.segment.links(row).map_err(Error::from)? {
                    let link = link.map_err(Error::from)?;
                    if sealed.segment.path(link.path).map_err(Error::from)? == path {
                        each(TargetId(link.target))?;
                    }
                }
            }
            Inner::Memtable(memtable) => {
                for (source, target, _) in memtable.row_links(row) {
                    if memtable.source(source).1 == path {
                        each(TargetId(target))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The place of a target among those of a segment, and how many these are; `None` in the memtable, which gets more.
    #[must_use]
    pub fn target_place(&self, target: TargetId) -> Option<(u32, u32)> {
        match self.inner {
            Inner::Sealed { sealed, .. } => Some((target.0, sealed.segment.info().targets)),
            Inner::Memtable(_) => None,
        }
    }

    /// The stored string of a target of this part.
    ///
    /// # Errors
    /// [`Error::LostDid`] when it has a DID that stood in a segment that is set aside; otherwise when the index
    /// cannot be read.
    pub fn target_string(&self, target: TargetId) -> Result<String> {
        let print = |key: &segment::TargetKey<'_>| {
            let mut out = String::new();
            self.snapshot.generation.push_target(key, &mut out)?;
            Ok(out)
        };
        match self.inner {
            Inner::Sealed { sealed, .. } => {
                let mut text = segment::Text::default();
                print(&sealed.segment.target(target.0)?.key(&mut text))
            }
            Inner::Memtable(memtable) => memtable.with_target(target.0, |key| print(&key)),
        }
    }
}
