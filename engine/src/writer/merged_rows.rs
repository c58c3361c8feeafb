//! Rows of merged segments, worked out from those that are known of what was merged: a merge only counts them anew, so that an account's rows need not be
//! looked for in all of a new segment.

use std::collections::VecDeque;

use super::Writer;
use super::known_rows::KnownRows;
use crate::Result;
use crate::compaction::renumbering::Renumbering;

/// What the renumberings take together at most, bytes: some 20 million rows. A larger merge is not kept.
const BYTES_MAX: usize = 4 << 20;

/// The renumberings of the latest merges, by the id of what came of each.
#[derive(Debug, Default)]
pub(super) struct MergedRows {
    merges: VecDeque<(u64, Renumbering)>,
    bytes: usize,
}

impl Writer {
    /// Notes where the rows of a merge's inputs are in what came of it, the latest segment that was installed.
    pub(crate) fn note_merge(&mut self, segment: u64, renumbering: Renumbering) {
        self.merged_rows.keep(segment, renumbering);
    }
}

impl MergedRows {
    /// Keeps what a merge has done, as the latest.
    fn keep(&mut self, segment: u64, renumbering: Renumbering) {
        let bytes = renumbering.heap_bytes();
        if bytes > BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.merges.push_back((segment, renumbering));
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.merges.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(oldest.heap_bytes());
        }
    }

    /// The rows of `segment`, rising, that came of those `known` of what it was merged from, by its id; and how many of its first rows these are of:
    /// those behind are to be looked for.
    pub(super) fn rows_of<'k>(
        &self,
        segment: u64,
        known: &dyn Fn(u64) -> Option<KnownRows<'k>>,
    ) -> Result<(Vec<u32>, u32)> {
        let mut rows = Vec::new();
        let told = self.collect(segment, self.merges.len(), known, &mut rows)?;
        Ok((rows, told))
    }

    /// Of the first so many merges.
    fn collect<'k>(
        &self,
        segment: u64,
        merges: usize,
        known: &dyn Fn(u64) -> Option<KnownRows<'k>>,
        rows: &mut Vec<u32>,
    ) -> Result<u32> {
        let earlier = self.merges.iter().take(merges);
        // What was merged was made by an earlier merge, if by one.
        let found = earlier.enumerate().rfind(|(_, (id, _))| *id == segment);
        let Some((merges, (_, renumbering))) = found else {
            return Ok(0);
        };
        for input in renumbering.inputs() {
            let start = rows.len();
            let told = match known(input.id) {
                Some(known) => {
                    known.each(|row, _, _| {
                        rows.push(row);
                        Ok(())
                    })?;
                    input.rows
                }
                None => self.collect(input.id, merges, known, rows)?,
            };
            let old = rows.split_off(start);
            rows.extend(old.into_iter().filter_map(|row| input.number(row)));
            if told < input.rows {
                return Ok(input.before(told));
            }
        }
        Ok(renumbering.rows())
    }
}
