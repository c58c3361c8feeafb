//! Writing rows, block by block.

use super::{BLOCK, HEAD, TIME_PACKED, offset_u64};
use crate::Result;
use crate::bits::{BitWriter, width_for};
use crate::bytes::{put_u16, put_u32, put_u64};
use crate::segment::ef::EfHead;
use crate::segment::keyblock::{self, PackedKey};

/// One row as the builder packs it.
#[derive(Debug, Clone, Copy)]
pub(in crate::segment) struct PackedRow {
    pub(in crate::segment) seq: u64,
    pub(in crate::segment) time_ms: u64,
    pub(in crate::segment) actor: u32,
    pub(in crate::segment) shape: u32,
    /// Index of its first link.
    pub(in crate::segment) first_link: u32,
    pub(in crate::segment) key: PackedKey,
}

/// Encodes rows in order, block by block.
pub(in crate::segment) struct RowsWriter {
    shape_width: u32,
    block: Vec<PackedRow>,
    scratch: Scratch,
    /// Bytes of the finished blocks.
    written: u64,
}

impl RowsWriter {
    /// A writer for a segment whose shapes have that width.
    pub(in crate::segment) fn new(shape_width: u32) -> Self {
        Self {
            shape_width,
            block: Vec::with_capacity(BLOCK as usize),
            scratch: Scratch::default(),
            written: 0,
        }
    }

    /// Appends a row. What is finished goes to the end of `directory` and `data`.
    pub(in crate::segment) fn push(
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
    pub(in crate::segment) fn flush(
        &mut self,
        directory: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) -> Result<()> {
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
    bits: BitWriter,
    packed: Vec<u8>,
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
        bits,
        packed,
    } = scratch;
    let count = rows.len() as u64;
    let mut column = |values: &mut dyn Iterator<Item = u64>, bits: &mut BitWriter| {
        sort.clear();
        sort.extend(values);
        let head = EfHead::choose(count, sort.last().copied().unwrap_or(0));
        head.write(sort, bits);
        head
    };
    // Seqs of rows rise strictly, which the builder has checked.
    let seq_head = column(
        &mut (0u64..).zip(rows).map(|(i, row)| row.seq - first.seq - i),
        bits,
    );
    let time_base = rows.iter().map(|row| row.time_ms).min().unwrap_or(0);
    let time_head = if rows.is_sorted_by_key(|row| row.time_ms) {
        let head = column(&mut rows.iter().map(|row| row.time_ms - time_base), bits);
        [head.low, head.high_max]
    } else {
        let time_max = rows.iter().map(|row| row.time_ms).max().unwrap_or(0);
        let width = width_for(time_max - time_base);
        for row in rows {
            bits.write(row.time_ms - time_base, width);
        }
        [TIME_PACKED | width as u8, 0]
    };
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
    let common = shapes
        .chunk_by(|a, b| a == b)
        .rev()
        .max_by_key(|of_shape| of_shape.len())
        .and_then(|of_shape| of_shape.first().copied());
    shapes.dedup();
    for &shape in shapes.iter() {
        bits.write(u64::from(shape), shape_width);
    }
    let shapes_less_one = shapes.len().saturating_sub(1);
    let index_width = width_for(shapes_less_one as u64);
    let index_of = |wanted: u32| shapes.partition_point(|&shape| shape < wanted) as u64;
    if let Some(common) = common.filter(|_| shapes.len() > 1) {
        bits.write(index_of(common), index_width);
        for row in rows {
            bits.write(u64::from(row.shape != common), 1);
        }
        for row in rows.iter().filter(|row| row.shape != common) {
            bits.write(index_of(row.shape), index_width);
        }
    }
    packed.clear();
    bits.finish_into(packed);
    put_u64(out, time_base);
    put_u32(out, actor_base as u32);
    out.extend_from_slice(&[
        actor_width as u8,
        seq_head.low,
        seq_head.high_max,
        time_head[0],
        time_head[1],
        shapes_less_one as u8,
    ]);
    // 128 rows of four columns of at most 64 bits, and 128 shapes: far below 2^16.
    put_u16(out, HEAD as u16 + packed.len() as u16);
    out.extend_from_slice(packed);
    keys.clear();
    keys.extend(rows.iter().map(|row| row.key));
    keyblock::encode(keys, sort, out);
}
