//! The counts of all other subjects in the order of their first links, as they are kept: most subjects take one or two
//! bytes, so that the counts of a million of them stay in the cache between two pages.
//!
//! Subjects stand in blocks of [`SUBJECTS`], each with the place of its first one in front. Of a subject
//!
//! ```text
//! varint  rows behind the subject before it (0 for the first of a block), twice; plus one where more follows, for
//!         its first link is the first of its row, and it has one link by one account
//! varint  the link, links, links less accounts
//! ```

use std::ops::Range;

use crate::cursor::{put_varint, take_varint};

/// Subjects a block.
const SUBJECTS: usize = 128;

/// Where a link stands among those that are counted: the row of a part, the parts being numbered in the order of their
/// seqs, and the place of the link among those of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct At {
    /// The part in the upper half, the row in the lower.
    row: u64,
    link: u64,
}

impl At {
    /// Behind all links.
    pub(super) const END: Self = Self {
        row: u64::MAX,
        link: 0,
    };

    pub(super) const fn new(part: u32, row: u32, link: u32) -> Self {
        Self {
            row: (part as u64) << 32 | row as u64,
            link: link as u64,
        }
    }

    /// The place directly behind this one.
    pub(super) const fn behind(self) -> Self {
        Self {
            link: self.link + 1,
            ..self
        }
    }

    pub(super) const fn part(self) -> u32 {
        (self.row >> 32) as u32
    }

    pub(super) const fn row(self) -> u32 {
        self.row as u32
    }

    pub(super) const fn link(self) -> u32 {
        self.link as u32
    }
}

/// What is counted of one other subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// Its first link.
    pub(super) first: At,
    pub(super) total: u32,
    /// At least one, and at most as many.
    pub(super) distinct: u32,
}

#[derive(Debug)]
struct Block {
    /// The first link of its first subject.
    first: At,
    /// Where it begins among the bytes.
    start: usize,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Table {
    bytes: Vec<u8>,
    blocks: Vec<Block>,
    len: usize,
    /// The row of the last subject.
    last_row: u64,
}

impl Table {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.blocks.capacity() * size_of::<Block>()
    }

    /// Adds a subject, whose first link stands behind those of all others.
    #[inline]
    pub(super) fn push(&mut self, count: Count) {
        let Count {
            first,
            total,
            distinct,
        } = count;
        if self.len.is_multiple_of(SUBJECTS) {
            self.last_row = first.row;
            self.blocks.push(Block {
                first,
                start: self.bytes.len(),
            });
        }
        self.len += 1;
        // Parts are far fewer than 2^31.
        let rows = first.row.saturating_sub(self.last_row) << 1;
        self.last_row = first.row;
        if first.link == 0 && total == 1 && distinct == 1 {
            put_varint(&mut self.bytes, rows);
            return;
        }
        put_varint(&mut self.bytes, rows | 1);
        let more = [
            first.link,
            total.into(),
            (total - distinct.min(total)).into(),
        ];
        for number in more {
            put_varint(&mut self.bytes, number);
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.blocks.shrink_to_fit();
    }

    /// The subjects of a block.
    fn block(&self, number: usize) -> Blocks<'_> {
        let block = self.blocks.get(number);
        let start = block.map_or(self.bytes.len(), |block| block.start);
        Blocks {
            bytes: self.bytes.get(start..).unwrap_or_default(),
            row: block.map_or(0, |block| block.first.row),
            left: self
                .len
                .saturating_sub(number.saturating_mul(SUBJECTS))
                .min(SUBJECTS),
        }
    }

    /// How many subjects have their first link before `at`.
    pub(super) fn before(&self, at: At) -> usize {
        let blocks = self.blocks.partition_point(|block| block.first < at);
        let Some(last) = blocks.checked_sub(1) else {
            return 0;
        };
        let within = self.block(last).take_while(|count| count.first < at);
        last * SUBJECTS + within.count()
    }

    /// The subjects at the places of a range, in order.
    pub(super) fn range(&self, range: Range<usize>) -> Vec<Count> {
        let first = range.start / SUBJECTS;
        let blocks = first..range.end.div_ceil(SUBJECTS);
        let subjects = blocks.flat_map(|number| self.block(number));
        let subjects = subjects.skip(range.start - first * SUBJECTS);
        subjects.take(range.len()).collect()
    }
}

struct Blocks<'a> {
    bytes: &'a [u8],
    row: u64,
    left: usize,
}

impl Iterator for Blocks<'_> {
    type Item = Count;

    fn next(&mut self) -> Option<Count> {
        self.left = self.left.checked_sub(1)?;
        let rows = take_varint(&mut self.bytes)?;
        self.row += rows >> 1;
        let mut count = Count {
            first: At {
                row: self.row,
                link: 0,
            },
            total: 1,
            distinct: 1,
        };
        if rows & 1 == 1 {
            count.first.link = take_varint(&mut self.bytes)?;
            count.total = take_varint(&mut self.bytes)? as u32;
            count.distinct = count.total - take_varint(&mut self.bytes)? as u32;
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Vec<Count>> {
        let number = || prop_oneof![4 => 1..3u32, 1 => 1..=u32::MAX];
        let link = prop_oneof![4 => Just(0), 1 => any::<u32>()];
        let part = prop_oneof![4 => 0..3u32, 1 => any::<u32>()];
        let row = prop_oneof![4 => 0..400u32, 1 => any::<u32>()];
        let count = (part, row, link, number(), number());
        prop::collection::vec(count, 0..600).prop_map(|mut counts| {
            counts.sort_unstable();
            counts.dedup_by_key(|(part, row, link, ..)| (*part, *row, *link));
            let counts = counts.into_iter().map(|(part, row, link, a, b)| Count {
                first: At::new(part >> 2, row, link),
                total: a.max(b),
                distinct: a.min(b),
            });
            let mut counts: Vec<Count> = counts.collect();
            counts.sort_unstable_by_key(|count| count.first);
            counts.dedup_by_key(|count| count.first);
            counts
        })
    }

    proptest! {
        #[test]
        fn a_table_tells_what_was_put_in_at_every_place(
            counts in counts(), range in (0..600usize, 0..600usize), at in (0..3u32, 0..400u32, 0..3u32),
        ) {
            let mut table = Table::default();
            counts.iter().for_each(|count| table.push(*count));
            table.shrink_to_fit();
            prop_assert_eq!(table.len(), counts.len());
            let end = range.0.max(range.1).min(counts.len());
            let start = range.0.min(range.1).min(end);
            prop_assert_eq!(table.range(start..end), &counts[start..end]);
            let places = counts.iter().flat_map(|count| [count.first, count.first.behind()]);
            for at in places.chain([At::default(), At::END, At::new(at.0, at.1, at.2)]) {
                let before = counts.partition_point(|count| count.first < at);
                prop_assert_eq!(table.before(at), before);
            }
        }
    }

    #[test]
    fn a_subject_of_one_link_takes_a_byte_where_rows_stand_close() {
        let mut table = Table::default();
        for row in 0..10_000 {
            table.push(Count {
                first: At::new(7, 3 * row, 0),
                total: 1,
                distinct: 1,
            });
        }
        table.shrink_to_fit();
        assert!(table.heap_bytes() < 12_000, "{}", table.heap_bytes());
    }
}
