//! Rows, in blocks of 128, each with its columns side by side, so that a row costs one page.
//!
//! ```text
//! directory, 16 bytes a block
//!   u32   byte offset of the block
//!   u32   index of the first link of the block's first row
//!   u64   seq of the first row
//! block
//!   u64   least time in ms
//!   u32   least actor
//!   u8    width of actors
//!   u8 u8 Elias–Fano head of the seqs
//!   u8 u8 Elias–Fano head of the times; or 0x80 + width, 0
//!   u8    shapes in the block, less one
//!   u16   byte offset in the block of the keys
//!   bits  seq - seq of the first row - index in the block         Elias–Fano
//!   bits  time - least time             Elias–Fano when non-decreasing, else packed
//!   bits  actor - least actor
//!   bits  the shapes, in rising order, at the segment's width of shapes
//!   bits  where there are several, the index of the commonest of them; a bit for each row, set where its
//!         shape is another; each such row's index
//!   keys  a block of keys, from a whole byte on
//! ```
//!
//! Seqs rise by at least one a row and lose nothing to the subtraction of the index. Where the links of a row
//! begin follows from the shapes of the rows before it in the block: the table of shapes has the links of each.

mod ahead;
mod authors;
mod decode;
mod forward;
mod names;
mod seqs;
mod shapes;
mod write;

pub(super) use decode::RowBlock;
pub use forward::TargetsAt;
pub use names::{RowName, RowNames};
pub use seqs::SeqColumn;
pub(super) use shapes::{SHAPE_ENTRY, ShapeTable};
pub(super) use write::{PackedRow, RowsWriter};

use std::ops::Range;

use super::ef::EfHead;
use super::keyblock::{self, KeyBlock, PackedKey};
use crate::bits::{equal, read_bits};
use crate::chunks::Region;
use crate::{Error, Result};

/// Rows (targets, states) a block.
pub(super) const BLOCK: u32 = 128;
pub(super) const DIRECTORY_ENTRY: u64 = 16;
const HEAD: u64 = 20;
const TIME_PACKED: u8 = 0x80;
/// Bytes of the head of a block and its seqs, about.
const BEFORE_TIMES: u64 = 128;
/// Bytes of the head of a block and the columns up to the authors' end, about: most of it, where seqs and times are close together.
const BEFORE_SHAPES: u64 = 512;

pub(super) fn offset_u64(offset: u64, what: &'static str) -> Result<u32> {
    u32::try_from(offset).map_err(|_| Error::TooLarge {
        what,
        found: offset,
        limit: u64::from(u32::MAX),
    })
}

pub(super) fn offset_u32(offset: usize, what: &'static str) -> Result<u32> {
    u32::try_from(offset).map_err(|_| Error::TooLarge {
        what,
        found: offset as u64,
        limit: u64::from(u32::MAX),
    })
}

/// The rows of a segment.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
    pub(super) count: u32,
    pub(super) links: u32,
    pub(super) shapes: ShapeTable<'a>,
}

/// A block whose head was read: where each column starts.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    region: Region<'a>,
    /// Byte offset in the region.
    start: u64,
    count: u64,
    time_base: u64,
    actor_base: u32,
    actor_width: u32,
    seqs: EfHead,
    times: EfHead,
    times_packed: bool,
    shapes: u64,
    keys: u64,
}

impl<'a> Block<'a> {
    /// Which of the up to 128 rows are by `actor`, as a bitmap.
    pub(super) fn rows_by(&self, actor: u32) -> Result<u128> {
        let width = self.actor_width;
        let Some(wanted) = actor.checked_sub(self.actor_base) else {
            return Ok(0);
        };
        if u64::from(wanted) >= 1 << width {
            return Ok(0);
        }
        let (first, start) = (self.actor_bit() / 8, self.actor_bit() % 8);
        let len = (start + self.count * u64::from(width)).div_ceil(8);
        // At most 513 bytes.
        let column = self.region.get(first, len as usize)?;
        let damaged = || self.region.corrupt(first, "a column of actors", "its end");
        equal(column, start as usize, width, self.count as usize, wanted).ok_or_else(damaged)
    }

    /// The keys of its rows.
    pub(super) fn keys(&self) -> Result<KeyBlock<'a>> {
        KeyBlock::open(self.region, self.keys, self.count)
    }

    /// The author of the `i`-th row; the column starts at bit `column`.
    #[inline]
    fn actor(&self, column: u64, i: u64) -> Result<u32> {
        let bit = column + i * u64::from(self.actor_width);
        let rest = read_bits(self.region, bit, self.actor_width)? as u32;
        self.actor_base
            .checked_add(rest)
            .ok_or_else(|| self.region.corrupt(self.start, "an actor below 2^32", rest))
    }

    const fn seq_bit(&self) -> u64 {
        (self.start + HEAD) * 8
    }

    fn time_bit(&self) -> u64 {
        self.seq_bit() + self.seqs.bit_len(self.count)
    }

    fn actor_bit(&self) -> u64 {
        let times = if self.times_packed {
            self.count * u64::from(self.times.low)
        } else {
            self.times.bit_len(self.count)
        };
        self.time_bit() + times
    }

    fn shape_bit(&self) -> u64 {
        self.actor_bit() + self.count * u64::from(self.actor_width)
    }
}

/// Reads the authors of many rows: the head of a block is read once for all rows that follow in it.
pub struct ActorColumn<'s> {
    rows: Rows<'s>,
    /// The block read last, by number, with the start of its column in bits.
    block: Option<(u32, Block<'s>, u64)>,
}

impl<'s> ActorColumn<'s> {
    pub(super) const fn new(rows: Rows<'s>) -> Self {
        Self { rows, block: None }
    }

    /// The author of `row`. O(1); cheapest for rows in rising or falling order.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    #[inline]
    pub fn get(&mut self, row: u32) -> Result<u32> {
        let number = row / BLOCK;
        if let Some((known, block, column)) = &self.block
            && *known == number
            && row < self.rows.count
        {
            return block.actor(*column, u64::from(row % BLOCK));
        }
        let (block, i) = self.rows.locate(row)?;
        let column = block.actor_bit();
        self.block = Some((number, block, column));
        block.actor(column, i)
    }
}

impl<'a> Rows<'a> {
    /// Blocks of rows.
    pub(super) const fn blocks(&self) -> u32 {
        self.count.div_ceil(BLOCK)
    }

    #[inline]
    fn entry(&self, block: u32) -> u64 {
        u64::from(block) * DIRECTORY_ENTRY
    }

    #[inline]
    pub(super) fn block(&self, block: u32) -> Result<Block<'a>> {
        let region = self.data;
        let start = u64::from(self.directory.u32_at(self.entry(block))?);
        let head = region.array_at::<{ HEAD as usize }>(start)?;
        let [t0, t1, t2, t3, t4, t5, t6, t7, a0, a1, a2, a3, rest @ ..] = head;
        let [
            actor_width,
            seq_low,
            seq_high,
            time_low,
            time_high,
            shapes,
            k0,
            k1,
        ] = rest;
        let rows = self
            .count
            .saturating_sub(block.saturating_mul(BLOCK))
            .min(BLOCK);
        let times_packed = time_low & TIME_PACKED != 0;
        let time_low = time_low & !TIME_PACKED;
        if actor_width > 32 || time_low > 64 {
            return Err(region.corrupt(start, "widths of columns", actor_width.max(time_low)));
        }
        Ok(Block {
            region,
            start,
            count: u64::from(rows),
            time_base: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            actor_base: u32::from_le_bytes([a0, a1, a2, a3]),
            actor_width: u32::from(actor_width),
            seqs: EfHead {
                low: seq_low,
                high_max: seq_high,
            },
            times: EfHead {
                low: time_low,
                high_max: time_high,
            },
            times_packed,
            shapes: u64::from(shapes) + 1,
            keys: start + u64::from(u16::from_le_bytes([k0, k1])),
        })
    }

    /// The block of a row and the row's index in it.
    #[inline]
    fn locate(&self, row: u32) -> Result<(Block<'a>, u64)> {
        if row >= self.count {
            return Err(self
                .directory
                .corrupt(0, format!("a row below {}", self.count), row));
        }
        Ok((self.block(row / BLOCK)?, u64::from(row % BLOCK)))
    }

    pub(super) fn seq(&self, row: u32) -> Result<u64> {
        let (block, i) = self.locate(row)?;
        self.seq_in(&block, row, i)
    }

    /// The seq of a row, the `i`-th of its block.
    fn seq_in(&self, block: &Block<'a>, row: u32, i: u64) -> Result<u64> {
        let base = self.directory.u64_at(self.entry(row / BLOCK) + 8)?;
        let rest = block
            .seqs
            .read(block.region, block.seq_bit(), block.count, i)?;
        base.checked_add(rest)
            .and_then(|seq| seq.checked_add(i))
            .ok_or_else(|| block.region.corrupt(block.start, "a seq below 2^64", rest))
    }

    pub(super) fn time_ms(&self, row: u32) -> Result<u64> {
        let (block, i) = self.locate(row)?;
        let rest = if block.times_packed {
            let width = u32::from(block.times.low);
            read_bits(block.region, block.time_bit() + i * u64::from(width), width)?
        } else {
            block
                .times
                .read(block.region, block.time_bit(), block.count, i)?
        };
        block
            .time_base
            .checked_add(rest)
            .ok_or_else(|| block.region.corrupt(block.start, "a time below 2^64", rest))
    }

    pub(super) fn actor(&self, row: u32) -> Result<u32> {
        let (block, i) = self.locate(row)?;
        block.actor(block.actor_bit(), i)
    }

    /// Has the processor fetch the head of a row's block, and so many bytes from its beginning on.
    fn fetch_head(&self, row: u32, bytes: u64) {
        // Where it cannot be read, whoever reads it next is told.
        if let Ok(start) = self.directory.u32_at(self.entry(row / BLOCK)) {
            self.data.fetch(start.into(), bytes);
        }
    }

    /// Has the processor fetch what [`rows_by`](Self::rows_by) reads of each of `blocks`, which lie far apart in memory: it waits for all of
    /// them at once, where looking at one after the other waits for each.
    pub(super) fn fetch(&self, blocks: Range<u32>) -> Result<()> {
        let len = blocks.len() * DIRECTORY_ENTRY as usize;
        let entries = self.directory.get(self.entry(blocks.start), len)?;
        let (entries, _) = entries.as_chunks::<{ DIRECTORY_ENTRY as usize }>();
        for [o0, o1, o2, o3, ..] in entries {
            let start = u32::from_le_bytes([*o0, *o1, *o2, *o3]);
            self.data.fetch(start.into(), BEFORE_SHAPES);
        }
        Ok(())
    }

    /// Which of the up to 128 rows of `block` are by `actor`, as a bitmap.
    pub(super) fn rows_by(&self, block: u32, actor: u32) -> Result<u128> {
        self.block(block)?.rows_by(actor)
    }

    pub(super) fn key(&self, row: u32) -> Result<PackedKey> {
        let (block, i) = self.locate(row)?;
        keyblock::read(block.region, block.keys, block.count, i)
    }

    /// Whether one of the up to 128 rows of `block` may have that key; `false` is certain.
    pub(super) fn may_hold_key(&self, block: u32, key: PackedKey) -> Result<bool> {
        // The head's last field alone.
        let start = u64::from(self.directory.u32_at(self.entry(block))?);
        let keys = self.data.u16_at(start + HEAD - 2)?;
        keyblock::may_hold(self.data, start + u64::from(keys), key)
    }

    /// The first row whose seq is at least `seq`; the count of rows when there is none.
    pub(super) fn lower_bound_seq(&self, seq: u64) -> Result<u32> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.directory.u64_at(self.entry(middle) + 8)? < seq {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The row is in the block before, or the first of this one.
        let end = low.saturating_mul(BLOCK).min(self.count);
        let (mut low, mut high) = (low.saturating_sub(1).saturating_mul(BLOCK), end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.seq(middle)? < seq {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
