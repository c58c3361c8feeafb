//! The seqs of many rows.

use super::{BEFORE_TIMES, BLOCK, DIRECTORY_ENTRY, Rows};
use crate::Result;

/// Reads the seqs of many rows: a block that is read in twice in a row is read as a whole.
pub struct SeqColumn<'s> {
    rows: Rows<'s>,
    last_block: Option<u32>,
    /// The block whose seqs stand in `seqs`.
    decoded: Option<u32>,
    seqs: Box<[u64; BLOCK as usize]>,
}

impl<'s> SeqColumn<'s> {
    pub(in crate::segment) fn new(rows: Rows<'s>) -> Self {
        Self {
            rows,
            last_block: None,
            decoded: None,
            seqs: Box::new([0; BLOCK as usize]),
        }
    }

    /// Has the processor fetch what the seqs of these rows are read of, which lie far apart in memory: to be called with some rows before they are
    /// asked for.
    pub fn fetch(&self, rows: impl Iterator<Item = u32>) {
        rows.for_each(|row| self.rows.fetch_head(row, BEFORE_TIMES));
    }

    /// The seq of `row`. O(1); cheapest for rows in rising or falling order.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    #[inline]
    pub fn get(&mut self, row: u32) -> Result<u64> {
        let block = row / BLOCK;
        if self.decoded != Some(block) || row >= self.rows.count {
            if self.last_block != Some(block) {
                self.last_block = Some(block);
                return self.rows.seq(row);
            }
            self.turn(row)?;
        }
        let seq = self.seqs.get((row % BLOCK) as usize);
        Ok(seq.copied().unwrap_or_default())
    }

    fn turn(&mut self, row: u32) -> Result<()> {
        self.decoded = None;
        let (block, _) = self.rows.locate(row)?;
        let number = row / BLOCK;
        let entry = u64::from(number) * DIRECTORY_ENTRY;
        let base = self.rows.directory.u64_at(entry + 8)?;
        let bits = block.seqs.bit_len(block.count);
        let (first, start) = (block.seq_bit() / 8, block.seq_bit() % 8);
        // A damaged head tells of some 4,100 bytes at most.
        let bytes = block
            .region
            .get(first, (start + bits).div_ceil(8) as usize)?;
        let seqs = self
            .seqs
            .get_mut(..block.count as usize)
            .unwrap_or_default();
        let decoded = block.seqs.decode(bytes, start, seqs).and_then(|()| {
            for (seq, i) in seqs.iter_mut().zip(0..) {
                *seq = base.checked_add(*seq)?.checked_add(i)?;
            }
            Some(())
        });
        if decoded.is_none() {
            let expected = format!("sound seqs of block {number} of rows");
            return Err(block.region.corrupt(block.start, expected, "others"));
        }
        self.decoded = Some(number);
        Ok(())
    }
}
