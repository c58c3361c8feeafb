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
//!   u8 u8 Elias–Fano head of the links
//!   u8    shapes in the block, less one
//!   u16   byte offset in the block of the keys
//!   bits  seq - seq of the first row - index in the block         Elias–Fano
//!   bits  time - least time             Elias–Fano when non-decreasing, else packed
//!   bits  first link - first link of the block - index in the block         Elias–Fano
//!   bits  actor - least actor
//!   bits  the shapes, in rising order, at the segment's width of shapes
//!   bits  each row's index into them
//!   keys  a block of keys, from a whole byte on
//! ```
//!
//! Every row has at least one link, so seqs and first links rise by at least one a row and lose
//! nothing to the subtraction of the index.

use super::ef::EfHead;
use super::keyblock::{self, PackedKey};
use crate::bits::{BitReader, BitWriter, read_bits, width_for};
use crate::bytes::{put_u16, put_u32, put_u64};
use crate::chunks::Region;
use crate::{Error, Result};

/// Rows (targets, states) a block.
pub(super) const BLOCK: u32 = 128;
pub(super) const DIRECTORY_ENTRY: u64 = 16;
const HEAD: u64 = 22;
const TIME_PACKED: u8 = 0x80;

/// One row as the builder packs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedRow {
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) actor: u32,
    pub(super) shape: u32,
    /// Index of its first link.
    pub(super) first_link: u32,
    pub(super) key: PackedKey,
}

/// Encodes rows in order, block by block.
pub(super) struct RowsWriter {
    shape_width: u32,
    block: Vec<PackedRow>,
    scratch: Scratch,
    /// Bytes of the finished blocks.
    written: u64,
}

impl RowsWriter {
    /// A writer for a segment whose shapes have that width.
    pub(super) fn new(shape_width: u32) -> Self {
        Self {
            shape_width,
            block: Vec::with_capacity(BLOCK as usize),
            scratch: Scratch::default(),
            written: 0,
        }
    }

    /// Appends a row. What is finished goes to the end of `directory` and `data`.
    pub(super) fn push(
        &mut self,
        row: PackedRow,
        directory: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) -> Result<()> {
        self.block.push(row);
        if self.block.len() == BLOCK as usize {
            return self.flush(directory, data);
        }
        Ok(())
    }

    /// Writes the block being filled. To be called once at the end.
    pub(super) fn flush(&mut self, directory: &mut Vec<u8>, data: &mut Vec<u8>) -> Result<()> {
        let Some(first) = self.block.first() else {
            return Ok(());
        };
        put_u32(
            directory,
            offset_u64(self.written, "bytes of rows in a segment")?,
        );
        put_u32(directory, first.first_link);
        put_u64(directory, first.seq);
        let before = data.len();
        encode_block(&self.block, self.shape_width, &mut self.scratch, data);
        self.written += (data.len() - before) as u64;
        self.block.clear();
        Ok(())
    }
}

#[derive(Default)]
struct Scratch {
    values: Vec<u64>,
    shapes: Vec<u32>,
    keys: Vec<PackedKey>,
    sort: Vec<u64>,
}

fn encode_block(rows: &[PackedRow], shape_width: u32, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let Some(first) = rows.first() else {
        return;
    };
    let Scratch {
        values,
        shapes,
        keys,
        sort,
    } = scratch;
    let count = rows.len() as u64;
    let mut bits = BitWriter::new();
    let mut column = |values: &mut dyn Iterator<Item = u64>, bits: &mut BitWriter| {
        sort.clear();
        sort.extend(values);
        let head = EfHead::choose(count, sort.last().copied().unwrap_or(0));
        head.write(sort, bits);
        head
    };
    // Seqs and first links of rows rise strictly, which the builder has checked.
    let seq_head = column(
        &mut (0u64..).zip(rows).map(|(i, row)| row.seq - first.seq - i),
        &mut bits,
    );
    let time_base = rows.iter().map(|row| row.time_ms).min().unwrap_or(0);
    let time_head = if rows.is_sorted_by_key(|row| row.time_ms) {
        let head = column(
            &mut rows.iter().map(|row| row.time_ms - time_base),
            &mut bits,
        );
        [head.low, head.high_max]
    } else {
        let time_max = rows.iter().map(|row| row.time_ms).max().unwrap_or(0);
        let width = width_for(time_max - time_base);
        for row in rows {
            bits.write(row.time_ms - time_base, width);
        }
        [TIME_PACKED | width as u8, 0]
    };
    let link_head = column(
        &mut (0u64..)
            .zip(rows)
            .map(|(i, row)| u64::from(row.first_link - first.first_link) - i),
        &mut bits,
    );
    values.clear();
    values.extend(rows.iter().map(|row| u64::from(row.actor)));
    let actor_base = values.iter().copied().min().unwrap_or(0);
    let actor_width = width_for(values.iter().copied().max().unwrap_or(0) - actor_base);
    for actor in values.iter() {
        bits.write(actor - actor_base, actor_width);
    }
    shapes.clear();
    shapes.extend(rows.iter().map(|row| row.shape));
    shapes.sort_unstable();
    shapes.dedup();
    for &shape in shapes.iter() {
        bits.write(u64::from(shape), shape_width);
    }
    let shapes_less_one = shapes.len().saturating_sub(1);
    let index_width = width_for(shapes_less_one as u64);
    for row in rows {
        let index = shapes.partition_point(|&shape| shape < row.shape);
        bits.write(index as u64, index_width);
    }
    let bits = bits.finish();
    put_u64(out, time_base);
    put_u32(out, actor_base as u32);
    out.extend_from_slice(&[
        actor_width as u8,
        seq_head.low,
        seq_head.high_max,
        time_head[0],
        time_head[1],
        link_head.low,
        link_head.high_max,
        shapes_less_one as u8,
    ]);
    // 128 rows of five columns of at most 64 bits, and 128 shapes: far below 2^16.
    put_u16(out, HEAD as u16 + bits.len() as u16);
    out.extend_from_slice(&bits);
    keys.clear();
    keys.extend(rows.iter().map(|row| row.key));
    keyblock::encode(keys, sort, out);
}

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

/// One row as it is decoded.
pub(super) type DecodedRow = PackedRow;

/// The rows of one block, decoded.
#[derive(Default)]
pub(super) struct RowBlock {
    pub(super) rows: Vec<DecodedRow>,
    /// The first link behind the block's.
    pub(super) end_link: u32,
    numbers: Vec<u64>,
    keys: Vec<PackedKey>,
}

/// The rows of a segment.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
    pub(super) count: u32,
    pub(super) links: u32,
    pub(super) shape_width: u32,
}

/// A block whose head was read: where each column starts.
#[derive(Clone, Copy)]
struct Block<'a> {
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
    links: EfHead,
    shapes: u64,
    keys: u64,
}

impl Block<'_> {
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

    fn link_bit(&self) -> u64 {
        let times = if self.times_packed {
            self.count * u64::from(self.times.low)
        } else {
            self.times.bit_len(self.count)
        };
        self.time_bit() + times
    }

    fn actor_bit(&self) -> u64 {
        self.link_bit() + self.links.bit_len(self.count)
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
    fn block(&self, block: u32) -> Result<Block<'a>> {
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
            link_low,
            link_high,
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
            links: EfHead {
                low: link_low,
                high_max: link_high,
            },
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

    /// Which of the up to 128 rows of `block` are by `actor`, as a bitmap.
    pub(super) fn rows_by(&self, block: u32, actor: u32) -> Result<u128> {
        let head = self.block(block)?;
        let width = head.actor_width;
        let Some(wanted) = actor.checked_sub(head.actor_base).map(u64::from) else {
            return Ok(0);
        };
        if wanted >= 1 << width {
            return Ok(0);
        }
        let (first, start) = (head.actor_bit() / 8, head.actor_bit() % 8);
        let len = (start + head.count * u64::from(width)).div_ceil(8);
        // At most 513 bytes.
        let column = head.region.get(first, len as usize)?;
        let mut found = 0u128;
        let mut bit = start as usize;
        for i in 0..head.count {
            let value = crate::bits::bits_of(column, bit, width)
                .ok_or_else(|| head.region.corrupt(first, "a column of actors", "its end"))?;
            found |= u128::from(value == wanted) << i;
            bit += width as usize;
        }
        Ok(found)
    }

    /// Decodes the block `number`.
    pub(super) fn decode(&self, number: u32, out: &mut RowBlock) -> Result<()> {
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
        self.decode_columns(&block, bytes, first_seq, first_link, out)
            .filter(|()| {
                // Each row has a link, so these rise.
                let firsts = out.rows.iter().map(|row| row.first_link);
                firsts.chain([end_link]).is_sorted_by(|a, b| a < b) && end_link <= self.links
            })
            .ok_or_else(|| {
                let expected = format!("a sound block {number} of rows");
                self.data.corrupt(block.start, expected, "another")
            })
    }

    fn decode_columns(
        &self,
        block: &Block<'_>,
        bytes: &[u8],
        first_seq: u64,
        first_link: u32,
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
        block
            .links
            .decode(bytes, block.link_bit() - start, numbers)?;
        for ((i, row), rest) in (0..).zip(rows.iter_mut()).zip(numbers.iter()) {
            let link = u64::from(first_link).checked_add(*rest)?.checked_add(i)?;
            row.first_link = u32::try_from(link).ok()?;
        }
        let mut actors = BitReader::new(bytes, (block.actor_bit() - start) as usize);
        for row in rows.iter_mut() {
            let rest = actors.read(block.actor_width)? as u32;
            row.actor = block.actor_base.checked_add(rest)?;
        }
        let mut shapes = BitReader::new(bytes, (block.shape_bit() - start) as usize);
        numbers.clear();
        for _ in 0..block.shapes {
            numbers.push(shapes.read(self.shape_width)?);
        }
        let width = width_for(block.shapes - 1);
        for row in rows.iter_mut() {
            row.shape = *numbers.get(shapes.read(width)? as usize)? as u32;
        }
        Some(())
    }

    pub(super) fn shape(&self, row: u32) -> Result<u32> {
        let (block, i) = self.locate(row)?;
        let width = width_for(block.shapes - 1);
        let shapes = block.shape_bit();
        let indexes = shapes + block.shapes * u64::from(self.shape_width);
        let index = read_bits(block.region, indexes + i * u64::from(width), width)?;
        if index >= block.shapes {
            return Err(block
                .region
                .corrupt(block.start, "the index of a shape", index));
        }
        let bit = shapes + index * u64::from(self.shape_width);
        Ok(read_bits(block.region, bit, self.shape_width)? as u32)
    }

    pub(super) fn key(&self, row: u32) -> Result<PackedKey> {
        let (block, i) = self.locate(row)?;
        keyblock::read(block.region, block.keys, block.count, i)
    }

    /// Whether one of the up to 128 rows of `block` may have that key; `false` is certain.
    pub(super) fn may_hold_key(&self, block: u32, key: PackedKey) -> Result<bool> {
        let block = self.block(block)?;
        keyblock::may_hold(block.region, block.keys, key)
    }

    /// The index of the row's first link.
    pub(super) fn first_link(&self, row: u32) -> Result<u32> {
        let (block, i) = self.locate(row)?;
        let base = self.directory.u32_at(self.entry(row / BLOCK) + 4)?;
        let rest = block
            .links
            .read(block.region, block.link_bit(), block.count, i)?;
        let link = u64::from(base).saturating_add(rest).saturating_add(i);
        match u32::try_from(link) {
            Ok(link) if link < self.links => Ok(link),
            _ => {
                Err(block
                    .region
                    .corrupt(block.start, format!("a link below {}", self.links), link))
            }
        }
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
