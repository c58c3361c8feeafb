//! The posting lists of a part: the same calls for one of a segment and one of the memtable.

use orrery_formats::segment;

use super::found::FoundList;
use super::{Inner, Part};
use crate::mask::LONG_LIST;
use crate::memtable::MemList;
use crate::{Error, Result};

/// The links to one target from one source within one part, as ascending rows.
#[derive(Clone, Copy)]
pub struct List<'a> {
    pub(super) part: Part<'a>,
    pub(super) inner: ListInner<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum ListInner<'a> {
    Sealed(segment::List<'a>),
    /// A long list of a segment that was not opened.
    Found(FoundList),
    Memtable(MemList<'a>),
}

impl<'a> List<'a> {
    /// The number of rows, masked ones included.
    #[must_use]
    pub fn len(&self) -> u32 {
        match &self.inner {
            ListInner::Sealed(list) => list.len(),
            ListInner::Found(list) => list.rows,
            ListInner::Memtable(list) => list.len(),
        }
    }

    /// The same list, opened: what reads many of its rows opens it but once.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn opened(&self) -> Result<Self> {
        match (&self.inner, self.part.inner) {
            (ListInner::Found(list), Inner::Sealed { sealed, .. }) => {
                Ok(self.part.sealed_list(sealed.segment.list(list.id)?))
            }
            _ => Ok(*self),
        }
    }

    /// Id and length of the list of a segment.
    pub(super) fn sealed_id(&self) -> Option<(u32, u32)> {
        match &self.inner {
            ListInner::Sealed(list) => Some((list.id(), list.len())),
            ListInner::Found(list) => Some((list.id, list.rows)),
            ListInner::Memtable(_) => None,
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the rows are dead or hidden. O(1) for lists of more than 64 rows, which keep the count.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn masked(&self) -> Result<u32> {
        let snapshot = self.part.snapshot;
        let seq = snapshot.visible_seq;
        match (&self.inner, self.part.inner) {
            (ListInner::Memtable(list), Inner::Memtable(memtable)) => {
                Ok(memtable.masked(list.id(), seq))
            }
            (ListInner::Sealed(list), Inner::Sealed { sealed, index })
                if list.len() > LONG_LIST =>
            {
                let memtable = &snapshot.generation.memtable;
                let change = memtable.segment_masked(index, list.id(), seq);
                let base = i64::from(sealed.mask.list(list.id())?);
                Ok(u32::try_from(base.saturating_add(change)).unwrap_or(0))
            }
            (ListInner::Found(list), Inner::Sealed { index, .. }) => {
                let memtable = &snapshot.generation.memtable;
                let change = memtable.segment_masked(index, list.id, seq);
                let masked = i64::from(list.masked).saturating_add(change);
                Ok(u32::try_from(masked).unwrap_or(0))
            }
            _ => {
                let mut masked = 0;
                for row in self.iter_from(0) {
                    masked += u32::from(self.part.is_masked(row?)?);
                }
                Ok(masked)
            }
        }
    }

    /// The row at `index`.
    ///
    /// # Errors
    /// When the index cannot be read, or has no such row.
    pub fn get(&self, index: u32) -> Result<u32> {
        match &self.inner {
            ListInner::Sealed(list) => Ok(list.get(index)?),
            ListInner::Found(_) => self.opened()?.get(index),
            ListInner::Memtable(list) => list.get(index).ok_or_else(|| {
                Error::Internal(format!("place {index} of a list of {}", list.len()))
            }),
        }
    }

    /// The index of the first row that is at least `row`; the length when there is none.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn lower_bound(&self, row: u32) -> Result<u32> {
        match &self.inner {
            ListInner::Sealed(list) => Ok(list.lower_bound(row)?),
            ListInner::Found(_) => self.opened()?.lower_bound(row),
            ListInner::Memtable(list) => Ok(list.lower_bound(row)),
        }
    }

    /// The rows from `index` on, ascending.
    pub fn iter_from(&self, index: u32) -> impl Iterator<Item = Result<u32>> + use<'a> {
        let (sealed, memtable, error) = match self.opened() {
            Ok(list) => match &list.inner {
                ListInner::Sealed(list) => (Some(list.iter_from(index)), None, None),
                ListInner::Memtable(list) => (None, Some(list.iter_from(index)), None),
                ListInner::Found(_) => (None, None, None),
            },
            Err(error) => (None, None, Some(Err(error))),
        };
        let sealed = sealed
            .into_iter()
            .flatten()
            .map(|row| row.map_err(Error::from));
        let memtable = memtable.into_iter().flatten().map(Ok);
        error.into_iter().chain(sealed).chain(memtable)
    }

    /// The rows before `index`, descending.
    pub fn iter_back_from(&self, index: u32) -> impl Iterator<Item = Result<u32>> + use<'a> {
        let (sealed, memtable, error) = match self.opened() {
            Ok(list) => match &list.inner {
                ListInner::Sealed(list) => (Some(list.iter_back_from(index)), None, None),
                ListInner::Memtable(list) => (None, Some(list.iter_back_from(index)), None),
                ListInner::Found(_) => (None, None, None),
            },
            Err(error) => (None, None, Some(Err(error))),
        };
        let sealed = sealed
            .into_iter()
            .flatten()
            .map(|row| row.map_err(Error::from));
        let memtable = memtable.into_iter().flatten().map(Ok);
        error.into_iter().chain(sealed).chain(memtable)
    }
}
