//! The authors of many rows at a time.

use super::{ActorColumn, BLOCK};
use crate::Result;
use crate::bits::{bits_of, unpack};

/// Whether the rows stand side by side, each one behind the one before. Looks at all of them, and so at several at once.
fn is_run(rows: &[u32]) -> bool {
    let first = rows.first().copied().unwrap_or_default();
    let places = rows.iter().zip(0u32..);
    let differing = places.fold(0, |differing, (row, place)| {
        differing | (row ^ first.wrapping_add(place))
    });
    differing == 0
}

impl ActorColumn<'_> {
    /// Writes the author of each of `rows` to its place in `authors`. Cheapest for rows in rising or falling
    /// order: what stands in one block is read in one go, and rows side by side are read as one run.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    pub fn fill(&mut self, rows: &[u32], authors: &mut [u32]) -> Result<()> {
        let (mut rows, mut authors) = (rows, authors);
        let is_one_run = is_run(rows);
        while let Some(row) = rows.first() {
            let number = row / BLOCK;
            let count = match is_one_run {
                true => rows.len().min((BLOCK - row % BLOCK) as usize),
                false => {
                    let same = rows.iter().take_while(|row| **row / BLOCK == number);
                    same.count()
                }
            };
            let (Some((some, rest)), Some((to, authors_rest))) = (
                rows.split_at_checked(count),
                authors.split_at_mut_checked(count),
            ) else {
                break;
            };
            (rows, authors) = (rest, authors_rest);
            // Finds the block, and refuses rows behind the last.
            let largest = match (is_one_run, some.last()) {
                (true, Some(last)) => *last,
                _ => some.iter().fold(0, |a, b| a.max(*b)),
            };
            self.get(largest)?;
            let Some((_, block, column)) = &self.block else {
                break;
            };
            let width = block.actor_width;
            let (first, start) = (column / 8, (column % 8) as usize);
            let len = (start as u64 + block.count * u64::from(width)).div_ceil(8);
            // At most 513 bytes.
            let bytes = block.region.get(first, len as usize)?;
            let bit = |row: u32| start + (row % BLOCK) as usize * width as usize;
            let least = some.first().copied().unwrap_or_default();
            let read = if is_one_run || is_run(some) {
                unpack(bytes, bit(least), width, to)
            } else {
                some.iter().zip(&mut *to).try_for_each(|(row, author)| {
                    *author = bits_of(bytes, bit(*row), width)? as u32;
                    Some(())
                })
            };
            if read.is_none() {
                return Err(block.region.corrupt(first, "a column of actors", "its end"));
            }
            let base = block.actor_base;
            // The largest that the width allows, mostly; where that is too large, the largest that there is.
            let mut most = u32::MAX.checked_shr(u32::BITS - width).unwrap_or(0);
            if base.checked_add(most).is_none() {
                most = to.iter().fold(0, |a, b| a.max(*b));
            }
            if base.checked_add(most).is_none() {
                let expected = "an actor below 2^32";
                return Err(block.region.corrupt(block.start, expected, most));
            }
            for author in to {
                *author = author.wrapping_add(base);
            }
        }
        Ok(())
    }
}
