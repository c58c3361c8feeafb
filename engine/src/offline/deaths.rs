//! Which rows are dead, which are hidden, as of the last seal: kills and account states of the segments
//! say all of it.

use std::collections::HashSet;

use super::Directory;
use crate::Result;
use crate::actors::{ActorId, is_masked};

/// Rows of one segment, one bit each.
pub(super) struct Rows(Vec<u64>);

impl Rows {
    fn with_room(rows: u32) -> Self {
        Self(vec![0; rows.div_ceil(64) as usize])
    }

    fn insert(&mut self, row: u32) {
        if let Some(word) = self.0.get_mut((row / 64) as usize) {
            *word |= 1 << (row % 64);
        }
    }

    pub(super) fn contains(&self, row: u32) -> bool {
        self.0
            .get((row / 64) as usize)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

impl Directory {
    /// The dead rows of the segment at that place. Reads the kills of all segments from it on.
    pub(super) fn dead_rows(&self, place: usize) -> Result<Rows> {
        self.dead_rows_through(place, u64::MAX)
    }

    /// As [`dead_rows`](Self::dead_rows), by the kills of segments that end at `through_seq` or before.
    pub(super) fn dead_rows_through(&self, place: usize, through_seq: u64) -> Result<Rows> {
        let Some(Ok(segment)) = self.segments.get(place).map(|file| file.segment()) else {
            return Ok(Rows::with_room(0));
        };
        let info = segment.info();
        let mut dead = Rows::with_room(info.rows);
        for file in self.segments.iter().skip(place) {
            let Ok(killer) = file.segment() else { continue };
            if killer.info().last_seq > through_seq {
                break;
            }
            for seq in killer.kills()? {
                let seq = seq?;
                if seq > info.last_seq {
                    break;
                }
                let row = segment.lower_bound_seq(seq)?;
                if seq >= info.first_seq && row < info.rows && segment.seq(row)? == seq {
                    dead.insert(row);
                }
            }
        }
        Ok(dead)
    }

    /// The accounts whose records are not shown. Memory grows with their number.
    pub(super) fn hidden_actors(&self) -> Result<HashSet<ActorId>> {
        self.hidden_actors_through(u64::MAX)
    }

    /// As [`hidden_actors`](Self::hidden_actors), by segments that end at `through_seq` or before.
    pub(super) fn hidden_actors_through(&self, through_seq: u64) -> Result<HashSet<ActorId>> {
        let mut hidden = HashSet::new();
        for (_, segment) in self.sound_segments() {
            if segment.info().last_seq > through_seq {
                break;
            }
            for state in segment.account_states()? {
                let state = state?;
                if is_masked(&state) {
                    hidden.insert(state.id);
                } else {
                    hidden.remove(&state.id);
                }
            }
        }
        Ok(hidden)
    }
}
