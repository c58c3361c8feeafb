//! Where the rows of a merge's inputs stand in what came of it: there are the rows of each input in their order, less those that were dead when the
//! merge began. So the new number of a row is how many of those that stay stand before it.

use crate::mask::Mask;
use crate::snapshot::Sealed;
use crate::{Error, Result};

/// The rows of all inputs of a merge, in order. Takes 12 bytes for each 64 rows up to the last dead one of an input: 48 MiB at most, for the 2^28 rows
/// that a segment has at most, until what was merged is installed.
#[derive(Debug, Default)]
pub(crate) struct Renumbering {
    inputs: Vec<Renumbered>,
}

/// The rows of one input.
#[derive(Debug)]
pub(crate) struct Renumbered {
    /// The input's id.
    pub(crate) id: u64,
    pub(crate) rows: u32,
    /// The new number of its first row that stays.
    first: u32,
    /// The rows that were dropped, a bit each; all behind them stay.
    dropped: Vec<u64>,
    /// How many were dropped before the rows of each word of them.
    dropped_before: Vec<u32>,
}

impl Renumbering {
    /// Of a merge of these segments that begins now.
    pub(super) fn of(sources: &[Sealed]) -> Result<Self> {
        let mut inputs = Vec::with_capacity(sources.len());
        let mut first = 0;
        for sealed in sources {
            let rows = sealed.segment.info().rows;
            let input = Renumbered::of(sealed.id, rows, first, &sealed.mask)?;
            first = input.before(rows);
            inputs.push(input);
        }
        Ok(Self { inputs })
    }

    /// Of inputs by id, with their counts of rows and those that are dead.
    #[cfg(test)]
    pub(crate) fn of_dead(all: &[(u64, u32, &[u32])]) -> Self {
        let (mut inputs, mut first) = (Vec::new(), 0);
        for &(id, rows, dead) in all {
            let mut mask = Mask::default();
            for row in dead {
                mask.set_row(*row, crate::memtable::DEAD).unwrap();
            }
            let input = Renumbered::of(id, rows, first, &mask).unwrap();
            first = input.before(rows);
            inputs.push(input);
        }
        Self { inputs }
    }

    /// The inputs, in order.
    pub(crate) fn inputs(&self) -> &[Renumbered] {
        &self.inputs
    }

    /// Rows of the merged segment.
    pub(crate) fn rows(&self) -> u32 {
        let last = self.inputs.last();
        last.map_or(0, |input| input.before(input.rows))
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_rows = self.inputs.iter().map(|input| {
            input.dropped.capacity() * size_of::<u64>()
                + input.dropped_before.capacity() * size_of::<u32>()
        });
        of_rows.sum::<usize>() + self.inputs.capacity() * size_of::<Renumbered>()
    }
}

impl Renumbered {
    fn of(id: u64, rows: u32, first: u32, mask: &Mask) -> Result<Self> {
        let bits = mask.bits();
        let (mut dropped, mut count) = (Vec::new(), 0_u32);
        for number in 0..bits.chunks() {
            dropped.extend(bits.chunk(number)?.dead);
        }
        let words = dropped.iter().rposition(|word: &u64| *word != 0);
        dropped.truncate(words.map_or(0, |last| last + 1));
        dropped.shrink_to_fit();
        let mut dropped_before = Vec::with_capacity(dropped.len());
        for word in &dropped {
            dropped_before.push(count);
            count = count.saturating_add(word.count_ones());
        }
        if u64::from(count) != mask.dead_rows() || count > rows {
            let expected = mask.dead_rows();
            return Err(Error::Internal(format!(
                "{count} of {rows} rows of segment {id} are dead in place of {expected}"
            )));
        }
        Ok(Self {
            id,
            rows,
            first,
            dropped,
            dropped_before,
        })
    }

    /// Whether a row was dropped. O(1).
    pub(super) fn is_dropped(&self, row: u32) -> bool {
        let word = self.dropped.get((row / u64::BITS) as usize);
        word.is_some_and(|word| word >> (row % u64::BITS) & 1 == 1)
    }

    /// The new number of a row; `None` where it was dropped, or there is none. O(1).
    pub(crate) fn number(&self, row: u32) -> Option<u32> {
        (row < self.rows && !self.is_dropped(row)).then(|| self.before(row))
    }

    /// The first new number that no row before `row` has, which is at most the count of rows. O(1).
    pub(crate) fn before(&self, row: u32) -> u32 {
        let word = (row / u64::BITS) as usize;
        let dropped = match (self.dropped.get(word), self.dropped_before.get(word)) {
            (Some(word), Some(before)) => {
                let below = (1_u64 << (row % u64::BITS)) - 1;
                before.saturating_add((word & below).count_ones())
            }
            // All of them stand before it.
            _ => match (self.dropped.last(), self.dropped_before.last()) {
                (Some(word), Some(before)) => before.saturating_add(word.count_ones()),
                _ => 0,
            },
        };
        self.first.saturating_add(row.saturating_sub(dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An input behind `first` rows, of so many rows of which those are dead.
    fn input(rows: u32, first: u32, dead: &[u32]) -> Renumbered {
        let mut all = Renumbering::of_dead(&[(6, first, &[]), (7, rows, dead)]);
        all.inputs.pop().unwrap()
    }

    #[test]
    fn rows_that_stay_are_counted_through() {
        let dead = [0, 3, 63, 64, 65, 127, 128, 700, 9_000];
        let all = input(9_001, 40, &dead);
        let mut expected = 40;
        for row in 0..9_001 {
            assert_eq!(all.before(row), expected, "row {row}");
            let number = all.number(row);
            assert_eq!(number, (!dead.contains(&row)).then_some(expected));
            expected += u32::from(number.is_some());
        }
        assert_eq!(all.before(9_001), 40 + 9_001 - 9);
        assert_eq!(all.number(9_001), None);
    }

    #[test]
    fn rows_far_behind_the_last_dead_one_stay() {
        let some = input(1 << 20, 0, &[5]);
        assert_eq!((some.dropped.len(), some.dropped_before.len()), (1, 1));
        assert_eq!(some.number(4), Some(4));
        assert_eq!(some.number((1 << 20) - 1), Some((1 << 20) - 2));
        let none = input(10, 3, &[]);
        assert_eq!(none.number(9), Some(12));
        assert!(none.dropped.is_empty());
    }

    #[test]
    fn more_dead_rows_than_rows_are_an_error() {
        let mut mask = Mask::default();
        (0..3).for_each(|row| mask.set_row(row, crate::memtable::DEAD).unwrap());
        assert!(Renumbered::of(7, 2, 0, &mask).is_err());
    }
}
