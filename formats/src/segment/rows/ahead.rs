//! Rows that are fetched from memory before they are read. A row is found step by step, each of which waits for what the one before it read;
//! the steps of several rows wait together.

use super::{BLOCK, HEAD, Rows};

/// Bytes of the shapes of a block that are mostly read: which they are, and which rows have another than the commonest.
const SHAPES: u64 = 64;

impl Rows<'_> {
    /// Has the processor fetch the heads of the blocks of some rows, which lie far apart.
    pub(in crate::segment) fn fetch_heads(&self, rows: &[u32]) {
        rows.iter().for_each(|row| self.fetch_head(*row, HEAD));
    }

    /// Has the processor fetch the shapes of the blocks of some rows, whose heads it has.
    pub(in crate::segment) fn fetch_shapes(&self, rows: &[u32]) {
        let mut last = None;
        for number in rows.iter().map(|row| row / BLOCK) {
            // Neighbours stand in one.
            if last == Some(number) {
                continue;
            }
            last = Some(number);
            // What cannot be read is told to whoever reads it next.
            if let Ok(block) = self.block(number) {
                self.data.fetch(block.shape_bit() / 8, SHAPES);
            }
        }
    }
}
