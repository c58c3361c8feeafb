//! Reading all rows of a block at once.

use super::{BLOCK, Block, DIRECTORY_ENTRY, PackedRow, Rows};
use crate::Result;
use crate::bits::{BitReader, unpack, width_for};
use crate::segment::keyblock::{self, PackedKey};

/// The rows of one block, decoded.
#[derive(Default)]
pub(in crate::segment) struct RowBlock {
    pub(in crate::segment) rows: Vec<PackedRow>,
    /// The first link behind the block's.
    pub(in crate::segment) end_link: u32,
    numbers: Vec<u64>,
    keys: Vec<PackedKey>,
}

impl Rows<'_> {
    /// Decodes the block `number`.
    pub(in crate::segment) fn decode(&self, number: u32, out: &mut RowBlock) -> Result<()> {
        self.decode_some(number, out, Self::decode_columns)
    }

    /// Decodes of the block `number` only shapes and first links.
    pub(in crate::segment) fn decode_links(&self, number: u32, out: &mut RowBlock) -> Result<()> {
        self.decode_some(number, out, |rows, block, bytes, first_seq, out| {
            let row = PackedRow {
                seq: first_seq,
                time_ms: 0,
                actor: 0,
                shape: 0,
                first_link: 0,
                key: PackedKey::Tid(0),
            };
            out.rows.clear();
            out.rows.resize(block.count as usize, row);
            rows.decode_shapes(block, bytes, out)
        })
    }

    fn decode_some(
        &self,
        number: u32,
        out: &mut RowBlock,
        columns: impl Fn(&Self, &Block<'_>, &[u8], u64, &mut RowBlock) -> Option<()>,
    ) -> Result<()> {
        let block = self.block(number)?;
        let entry = self.entry(number);
        let (end, end_link) = if number + 1 < self.blocks() {
            let next = entry + DIRECTORY_ENTRY;
            let end = u64::from(self.directory.u32_at(next)?);
            (end, self.directory.u32_at(next + 4)?)
        } else {
            (self.data.len(), self.links)
        };
        let first_link = self.directory.u32_at(entry + 4)?;
        let first_seq = self.directory.u64_at(entry + 8)?;
        let Some(len) = end.checked_sub(block.start) else {
            return Err(self.directory.corrupt(entry, "rising offsets", end));
        };
        let bytes = self.data.get(block.start, len as usize)?;
        out.end_link = end_link;
        let damaged = || {
            let expected = format!("a sound block {number} of rows");
            self.data.corrupt(block.start, expected, "another")
        };
        columns(self, &block, bytes, first_seq, out).ok_or_else(damaged)?;
        let mut links = [0; BLOCK as usize];
        for (links, shape) in links.iter_mut().zip(&out.numbers) {
            *links = self.shapes.links(*shape as u32)?;
        }
        let mut next = first_link;
        for row in &mut out.rows {
            let index = row.shape as usize;
            let known = out.numbers.get(index).zip(links.get(index));
            let (shape, links) = known.ok_or_else(damaged)?;
            (row.shape, row.first_link) = (*shape as u32, next);
            // Each row has a link.
            let behind = next.checked_add(*links).filter(|behind| *behind > next);
            next = behind.ok_or_else(damaged)?;
        }
        if next != end_link || end_link > self.links {
            let expected = format!("a block {number} of rows whose links end at {end_link}");
            return Err(self.data.corrupt(block.start, expected, next));
        }
        Ok(())
    }

    /// All but first links. Leaves the shapes of the block in `numbers`, and of each row its place among them.
    fn decode_columns(
        &self,
        block: &Block<'_>,
        bytes: &[u8],
        first_seq: u64,
        out: &mut RowBlock,
    ) -> Option<()> {
        let RowBlock {
            rows,
            numbers,
            keys,
            ..
        } = out;
        let start = block.start * 8;
        let count = block.count as usize;
        rows.clear();
        numbers.clear();
        numbers.resize(count, 0);
        block.seqs.decode(bytes, block.seq_bit() - start, numbers)?;
        keys.clear();
        let keys_at = block.keys.checked_sub(block.start)? as usize;
        keyblock::decode(bytes.get(keys_at..)?, count, keys)?;
        for ((i, rest), &key) in (0..).zip(numbers.iter()).zip(keys.iter()) {
            rows.push(PackedRow {
                seq: first_seq.checked_add(*rest)?.checked_add(i)?,
                time_ms: 0,
                actor: 0,
                shape: 0,
                first_link: 0,
                key,
            });
        }
        let time_bit = block.time_bit() - start;
        if block.times_packed {
            let mut times = BitReader::new(bytes, time_bit as usize);
            for row in rows.iter_mut() {
                row.time_ms = block
                    .time_base
                    .checked_add(times.read(block.times.low.into())?)?;
            }
        } else {
            block.times.decode(bytes, time_bit, numbers)?;
            for (row, rest) in rows.iter_mut().zip(numbers.iter()) {
                row.time_ms = block.time_base.checked_add(*rest)?;
            }
        }
        let mut actors = [0; BLOCK as usize];
        let actors = actors.get_mut(..count)?;
        let actor_bit = (block.actor_bit() - start) as usize;
        unpack(bytes, actor_bit, block.actor_width, actors)?;
        for (row, rest) in rows.iter_mut().zip(actors) {
            row.actor = block.actor_base.checked_add(*rest)?;
        }
        self.decode_shapes(block, bytes, out)
    }

    /// The shapes of the block, to `numbers`, and of each row its place among them.
    fn decode_shapes(&self, block: &Block<'_>, bytes: &[u8], out: &mut RowBlock) -> Option<()> {
        let RowBlock { rows, numbers, .. } = out;
        let start = block.start * 8;
        let count = block.count as usize;
        if block.shapes > block.count {
            return None;
        }
        let mut shapes = BitReader::new(bytes, (block.shape_bit() - start) as usize);
        numbers.clear();
        for _ in 0..block.shapes {
            numbers.push(shapes.read(self.shapes.width)?);
        }
        let width = width_for(block.shapes - 1);
        let common = shapes.read(width)? as u32;
        let mut others = 0;
        if width > 0 {
            others = u128::from(shapes.read(count.min(64) as u32)?);
            others |= u128::from(shapes.read(count.saturating_sub(64) as u32)?) << 64;
        }
        for (i, row) in rows.iter_mut().enumerate() {
            row.shape = match others >> i & 1 {
                0 => common,
                _ => shapes.read(width)? as u32,
            };
        }
        Some(())
    }
}
