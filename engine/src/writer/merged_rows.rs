//! Rows of merged segments, worked out from those that are known of what was merged: a merge only counts them anew, so that an account's rows need not be
//! looked for in all of a new segment.

use std::collections::VecDeque;

use super::Writer;
use super::known_rows::KnownRows;
use crate::Result;
use crate::compaction::renumbering::Renumbering;

/// What the renumberings take together at most, bytes: some 20 million rows. A larger merge is not kept.
const BYTES_MAX: usize = 4 << 20;
/// How many are kept at most: each segment that is new to an account is looked for among them.
const MERGES_MAX: usize = 32;

/// The renumberings of the latest merges, by the id of what came of each.
#[derive(Debug, Default)]
pub(super) struct MergedRows {
    merges: VecDeque<(u64, Renumbering)>,
    bytes: usize,
    /// How often all rows, or a part of them, were told.
    #[cfg(test)]
    pub(super) told: std::cell::Cell<[u64; 2]>,
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
        while (self.bytes > BYTES_MAX || self.merges.len() > MERGES_MAX)
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
        #[cfg(test)]
        {
            let all = self.merges.iter().rfind(|(id, _)| *id == segment);
            let is_part = all.is_some_and(|(_, all)| told < all.rows());
            let [whole, part] = self.told.get();
            let is_told = u64::from(told > 0);
            let is_part = u64::from(is_part) & is_told;
            self.told.set([whole + is_told - is_part, part + is_part]);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a segment, each of one link.
    fn pack(rows: &[u32]) -> Vec<u8> {
        let rows: Vec<(u32, u32)> = rows.iter().map(|row| (*row, 1)).collect();
        KnownRows::pack(&rows, &[])
    }

    fn rows_of(merged: &MergedRows, segment: u64, known: &[(u64, &[u32])]) -> (Vec<u32>, u32) {
        let packed: Vec<_> = known.iter().map(|(id, rows)| (*id, pack(rows))).collect();
        let known = |wanted| {
            let found = packed.iter().find(|(id, _)| *id == wanted);
            found.map(|(_, packed)| KnownRows::of(packed))
        };
        merged.rows_of(segment, &known).unwrap()
    }

    #[test]
    fn rows_are_those_of_the_inputs_that_stay_as_far_as_these_are_known() {
        let mut merged = MergedRows::default();
        assert_eq!(rows_of(&merged, 9, &[(1, &[0])]), (vec![], 0));
        let inputs: &[(u64, u32, &[u32])] = &[(1, 100, &[3, 50]), (2, 10, &[]), (3, 5, &[0])];
        merged.keep(9, Renumbering::of_dead(inputs));
        let all: &[(u64, &[u32])] = &[(1, &[0, 3, 51]), (2, &[4]), (3, &[0, 4])];
        assert_eq!(rows_of(&merged, 9, all), (vec![0, 49, 102, 111], 112));
        // An account that has none there is known as well.
        let none: &[(u64, &[u32])] = &[(1, &[]), (2, &[]), (3, &[])];
        assert_eq!(rows_of(&merged, 9, none), (vec![], 112));
        // What stands behind one that is not known is looked for.
        assert_eq!(rows_of(&merged, 9, &all[..2]), (vec![0, 49, 102], 108));
        assert_eq!(rows_of(&merged, 9, &all[1..]), (vec![], 0));
        assert_eq!(rows_of(&merged, 8, all), (vec![], 0));
    }

    #[test]
    fn a_merge_of_merged_segments_is_followed_to_what_is_known() {
        let mut merged = MergedRows::default();
        merged.keep(9, Renumbering::of_dead(&[(1, 10, &[0]), (2, 10, &[])]));
        merged.keep(10, Renumbering::of_dead(&[(3, 10, &[1]), (4, 10, &[])]));
        merged.keep(11, Renumbering::of_dead(&[(9, 19, &[0]), (10, 19, &[])]));
        let first: (u64, &[u32]) = (1, &[5]);
        let third: (u64, &[u32]) = (3, &[2]);
        let known = [first, (2, &[1]), third];
        assert_eq!(rows_of(&merged, 11, &known), (vec![3, 9, 19], 27));
        assert_eq!(rows_of(&merged, 11, &[first, third]), (vec![3], 8));
        // One that is known itself is asked no further.
        let itself: (u64, &[u32]) = (9, &[0, 18]);
        assert_eq!(rows_of(&merged, 11, &[itself, third]), (vec![17, 19], 27));
    }

    #[test]
    fn the_latest_merges_are_kept_within_the_bounds() {
        let mut merged = MergedRows::default();
        for id in 0..MERGES_MAX as u64 + 5 {
            merged.keep(id, Renumbering::of_dead(&[(1_000 + id, 1, &[])]));
        }
        assert_eq!(merged.merges.len(), MERGES_MAX);
        let kept = |merged: &MergedRows, id| rows_of(merged, id, &[(1_000 + id, &[0])]).1 == 1;
        assert!(!kept(&merged, 4) && kept(&merged, 5));
        for id in 100..110 {
            let last = 5_000_000;
            merged.keep(id, Renumbering::of_dead(&[(1_000 + id, last + 1, &[last])]));
            let bytes = merged.merges.iter().map(|(_, kept)| kept.heap_bytes());
            assert_eq!(bytes.sum::<usize>(), merged.bytes);
            assert!(merged.bytes <= BYTES_MAX, "{}", merged.bytes);
        }
        assert!(merged.merges.len() > 1 && merged.merges.back().unwrap().0 == 109);
        let last = 50_000_000;
        merged.keep(200, Renumbering::of_dead(&[(1, last + 1, &[last])]));
        assert_eq!(
            merged.merges.back().unwrap().0,
            109,
            "one that is too large"
        );
    }
}
