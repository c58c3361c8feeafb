//! The authors of many rows at a time.

use super::{ActorColumn, BLOCK};
use crate::Result;
use crate::bits::bits_of;

impl ActorColumn<'_> {
    /// Writes the author of each of `rows` to its place in `authors`. Cheapest for rows in rising or falling
    /// order: what stands in one block is read in one go.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    pub fn fill(&mut self, rows: &[u32], authors: &mut [u32]) -> Result<()> {
        let (mut rows, mut authors) = (rows, authors.iter_mut());
        while let Some(row) = rows.first() {
            let number = row / BLOCK;
            let same = rows.iter().take_while(|row| **row / BLOCK == number);
            let Some((some, rest)) = rows.split_at_checked(same.count()) else {
                break;
            };
            rows = rest;
            // Finds the block, and refuses rows behind the last.
            let largest = some.iter().fold(0, |a, b| b.max(&a).to_owned());
            self.get(largest)?;
            let Some((_, block, column)) = &self.block else {
                break;
            };
            let width = block.actor_width;
            let (first, start) = (column / 8, column % 8);
            let len = (start + block.count * u64::from(width)).div_ceil(8);
            // At most 513 bytes.
            let bytes = block.region.get(first, len as usize)?;
            let mut author_max = 0;
            for (row, author) in some.iter().zip(&mut authors) {
                let bit = start + u64::from(row % BLOCK) * u64::from(width);
                let Some(rest) = bits_of(bytes, bit as usize, width) else {
                    return Err(block.region.corrupt(first, "a column of actors", "its end"));
                };
                let wide = u64::from(block.actor_base) + rest;
                author_max = author_max.max(wide);
                // Wider ones are refused below.
                *author = wide as u32;
            }
            if author_max > u64::from(u32::MAX) {
                let found = author_max;
                return Err(block
                    .region
                    .corrupt(block.start, "an actor below 2^32", found));
            }
        }
        Ok(())
    }
}
