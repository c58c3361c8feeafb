//! The mask of a segment: which of its rows are dead, which are hidden, and how many links of each long
//! list that takes out. Derived: kills and account states in the segments say all of it.

use std::collections::{HashMap, HashSet};

use orrery_formats::segment::Segment;

use crate::actors::{ActorId, is_hidden};
use crate::memtable::{DEAD, HIDDEN};
use crate::row_set::RowSet;
use crate::snapshot::Sealed;
use crate::{Error, Result};

/// Lists longer than this have their masked links counted; shorter ones are looked through.
pub(crate) const LONG_LIST: u32 = 64;

/// The masked rows of one segment, as of a seal.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    dead: RowSet,
    hidden: RowSet,
    /// Rows in either.
    masked_rows: u64,
    /// Masked links by list, for lists longer than [`LONG_LIST`].
    lists: HashMap<u32, u32>,
}

impl Mask {
    /// [`DEAD`] and [`HIDDEN`] of a row.
    pub(crate) fn state(&self, row: u32) -> u64 {
        let dead = if self.dead.contains(row) { DEAD } else { 0 };
        let hidden = if self.hidden.contains(row) { HIDDEN } else { 0 };
        dead | hidden
    }

    /// Masked links of a long list.
    pub(crate) fn list(&self, list: u32) -> u32 {
        self.lists.get(&list).copied().unwrap_or(0)
    }

    /// Rows that are dead or hidden.
    pub(crate) const fn masked_rows(&self) -> u64 {
        self.masked_rows
    }

    /// Sets the state of a row without touching the counts of lists.
    pub(crate) fn set_state(&mut self, row: u32, state: u64) {
        let before = u64::from(self.state(row) != 0);
        self.dead.set(row, state & DEAD != 0);
        self.hidden.set(row, state & HIDDEN != 0);
        self.masked_rows = self.masked_rows + u64::from(state != 0) - before;
    }

    /// Changes the masked links of a long list.
    pub(crate) fn add_to_list(&mut self, list: u32, change: i64) {
        let count = self.lists.entry(list).or_default();
        *count = u32::try_from(i64::from(*count).saturating_add(change)).unwrap_or(0);
    }

    /// Sets the state of a row and, where that masks or unmasks it, moves the counts of its long lists.
    /// Gives the change of the number of masked links.
    pub(crate) fn move_row(&mut self, segment: &Segment, row: u32, state: u64) -> Result<i64> {
        let before = self.state(row);
        self.set_state(row, state);
        let change = i64::from(state != 0) - i64::from(before != 0);
        let mut links = 0;
        if change != 0 {
            for link in segment.links(row)? {
                let link = link?;
                let list = segment.list_id(row, link.path, link.target)?;
                if segment.list(list)?.len() > LONG_LIST {
                    self.add_to_list(list, change);
                }
                links += change;
            }
        }
        Ok(links)
    }
}

/// The masks that kills and account states add up to, each with the number of links it masks.
pub(crate) fn recover_masks(segments: &[Sealed]) -> Result<Vec<(Mask, i64)>> {
    let mut masks: Vec<(Mask, i64)> = segments.iter().map(|_| (Mask::default(), 0)).collect();
    for sealed in segments {
        for seq in sealed.segment.kills()? {
            let seq = seq?;
            let part = segments.partition_point(|known| known.segment.info().last_seq < seq);
            let (Some(of), Some((mask, links))) = (segments.get(part), masks.get_mut(part)) else {
                return Err(Error::Internal(format!(
                    "{} kills seq {seq}, which is in no segment",
                    sealed.name
                )));
            };
            let row = of.segment.lower_bound_seq(seq)?;
            // A row that a compaction has dropped is no longer there to be masked.
            if row < of.segment.info().rows && of.segment.seq(row)? == seq {
                *links += mask.move_row(&of.segment, row, DEAD)?;
            }
        }
    }
    for actor in hidden_actors(segments)? {
        for (sealed, (mask, links)) in segments.iter().zip(masks.iter_mut()) {
            for row in sealed.segment.actor_rows(actor)? {
                let row = row?;
                let state = mask.state(row) | HIDDEN;
                *links += mask.move_row(&sealed.segment, row, state)?;
            }
        }
    }
    Ok(masks)
}

/// The actors whose account is inactive, by the newest segment that has their state.
fn hidden_actors(segments: &[Sealed]) -> Result<Vec<ActorId>> {
    let mut seen = HashSet::new();
    let mut hidden = Vec::new();
    for sealed in segments.iter().rev() {
        for state in sealed.segment.account_states()? {
            let state = state?;
            if seen.insert(state.id) && is_hidden(&state) {
                hidden.push(state.id);
            }
        }
    }
    Ok(hidden)
}
