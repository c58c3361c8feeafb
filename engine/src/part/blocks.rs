//! Reading many rows at a time, for queries that read a list from end to end.

use std::ops::Range;

pub use orrery_formats::segment::LIST_BLOCK;

use super::{Inner, List, ListInner, Part};
use crate::mask::{LONG_LIST, Words};
use crate::{ActorId, Result};

/// How many changes of a mask are gathered in the time in which one row is looked up among them.
const CHANGES_PER_ROW: u64 = 4;

impl<'a> Part<'a> {
    /// Reads the authors of many rows at once: writes that of each row to its place.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn actor_blocks(
        &self,
    ) -> Result<impl FnMut(&[u32], &mut [ActorId]) -> Result<()> + use<'a>> {
        let (mut column, memtable) = match self.inner {
            Inner::Sealed { sealed, .. } => (Some(sealed.segment.actor_column()?), None),
            Inner::Memtable(memtable) => (None, Some(memtable)),
        };
        Ok(move |rows: &[u32], actors: &mut [ActorId]| {
            if let Some(column) = &mut column {
                column.fill(rows, actors)?;
            }
            if let Some(memtable) = memtable {
                for (row, actor) in rows.iter().zip(actors) {
                    *actor = memtable.actor(*row);
                }
            }
            Ok(())
        })
    }

    /// Tells of rising rows of `list`, up to 128 at once, which are dead or hidden: the first in the lowest bit.
    /// Worth its beginning where most of the list is read.
    pub fn mask_blocks(&self, list: &List<'a>) -> impl FnMut(&[u32]) -> Result<u128> + use<'a> {
        let mut words = self.mask_words(list);
        let mut one = self.mask_reader();
        move |rows: &[u32]| {
            if let Some(words) = &mut words {
                return words.masked(rows);
            }
            let mut masked = 0;
            for (place, row) in (0..u128::BITS).zip(rows) {
                masked |= u128::from(one(*row)?) << place;
            }
            Ok(masked)
        }
    }

    /// The masked rows as words; `None` where to look at the rows of `list` one by one is less.
    fn mask_words(&self, list: &List<'a>) -> Option<Words<'a>> {
        let Inner::Sealed { sealed, index } = self.inner else {
            return None;
        };
        let (id, len) = list.sealed_id()?;
        let (memtable, seq) = (
            &self.snapshot.generation.memtable,
            self.snapshot.visible_seq,
        );
        // Long lists know whether any of their rows were touched.
        let touched = len <= LONG_LIST || memtable.segment_list_touched(index, id, seq);
        let newer = if touched {
            memtable.segment_states_len()
        } else {
            0
        };
        let changes = sealed.mask.changes() + u64::from(newer);
        if changes / CHANGES_PER_ROW > u64::from(len) {
            return None;
        }
        let newer = touched.then(|| memtable.segment_states(index, seq));
        let newer = newer.into_iter().flatten();
        // Two bits.
        Some(
            sealed
                .mask
                .words(newer.map(|(row, state)| (row, state as u8))),
        )
    }
}

impl<'a> List<'a> {
    /// The rows at the indexes of `range`, ascending, many at a time: writes the next ones and says how many
    /// they are, up to an index that is a multiple of [`LIST_BLOCK`] or the end; none at the end.
    pub fn blocks(
        &self,
        range: Range<u32>,
    ) -> impl FnMut(&mut [u32; LIST_BLOCK]) -> Result<usize> + use<'a> {
        let (mut sealed, mut memtable, mut error) = match self.opened() {
            Ok(list) => match &list.inner {
                ListInner::Sealed(list) => (Some(list.blocks(range.clone())), None, None),
                ListInner::Memtable(list) => (None, Some(list.iter_from(range.start)), None),
                ListInner::Found(_) => (None, None, None),
            },
            Err(error) => (None, None, Some(error)),
        };
        let (mut next, end) = (range.start, range.end.min(self.len()));
        move |rows| {
            if let Some(error) = error.take() {
                return Err(error);
            }
            if let Some(sealed) = &mut sealed {
                return Ok(sealed.fill(rows)?);
            }
            let room = LIST_BLOCK - next as usize % LIST_BLOCK;
            let room = room.min(end.saturating_sub(next) as usize);
            let mut filled = 0;
            for (to, row) in rows
                .iter_mut()
                .take(room)
                .zip(memtable.iter_mut().flatten())
            {
                *to = row;
                filled += 1;
            }
            // At most 128 more.
            next += filled as u32;
            Ok(filled)
        }
    }
}
