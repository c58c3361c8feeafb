//! Writing the lists of a segment, row by row.

use super::{BITMAP, DELTA_WIDTH_BITS, LONG_CODE, LONG_CODE_WIDTH, SHORT_MAX, width_below};
use crate::bits::{BitWriter, width_for};
use crate::bytes::{put_u32, put_u64};
use crate::segment::rows::{BLOCK, offset_u64};
use crate::segment::spill::{Spool, Spooled};
use crate::segment::workspace::{Env, Workspace};
use crate::{bitmap, monotone};

/// Encodes lists in order.
pub(in crate::segment) struct ListsWriter<W: Workspace> {
    row_width: u32,
    source_width: u32,
    /// Finished blocks, which the caller moves out.
    pub(in crate::segment) blocks: Vec<u8>,
    /// Bytes of all finished blocks.
    blocks_len: u64,
    directory: Spool<W>,
    long_directory: Spool<W>,
    long: Spool<W>,
    count: u32,
    /// Rows of all lists.
    rows_written: u64,
    long_count: u32,
    /// Long lists before the block being filled.
    long_before: u32,
    /// Source and code of the lists of that block.
    pending: Vec<(u32, u64)>,
    payload: BitWriter,
    payload_bytes: Vec<u8>,
    /// Rows of the list being filled, while it is short.
    rows: Vec<u32>,
    long_list: Option<LongList<W>>,
    sources: Vec<u32>,
}

/// What the writer leaves besides the blocks.
pub(in crate::segment) struct Written<W: Workspace> {
    pub(in crate::segment) directory: Spooled<W>,
    pub(in crate::segment) long_directory: Spooled<W>,
    pub(in crate::segment) long: Spooled<W>,
    pub(in crate::segment) count: u32,
    pub(in crate::segment) long_count: u32,
}

impl<W: Workspace> ListsWriter<W> {
    /// A writer for a segment with that many rows and sources.
    pub(in crate::segment) fn new(rows: u32, sources: u32) -> Self {
        Self {
            row_width: width_below(rows),
            source_width: width_below(sources),
            blocks: Vec::new(),
            blocks_len: 0,
            directory: Spool::new(),
            long_directory: Spool::new(),
            long: Spool::new(),
            count: 0,
            rows_written: 0,
            long_count: 0,
            long_before: 0,
            pending: Vec::with_capacity(BLOCK as usize),
            payload: BitWriter::new(),
            payload_bytes: Vec::new(),
            rows: Vec::with_capacity(SHORT_MAX as usize),
            long_list: None,
            sources: Vec::new(),
        }
    }

    /// Lists so far.
    pub(in crate::segment) const fn count(&self) -> u32 {
        self.count
    }

    /// Rows of the lists so far.
    pub(in crate::segment) const fn rows_written(&self) -> u64 {
        self.rows_written
    }

    /// Appends a row to the list being filled; rows rise.
    #[inline]
    pub(in crate::segment) fn row(
        &mut self,
        env: &mut Env<'_, W>,
        row: u32,
    ) -> Result<(), W::Error> {
        if let Some(long) = &mut self.long_list {
            return long.row(env, row);
        }
        if self.rows.len() < SHORT_MAX as usize {
            self.rows.push(row);
            return Ok(());
        }
        let mut long = LongList::new();
        for &row in &self.rows {
            long.row(env, row)?;
        }
        self.rows.clear();
        self.long_list.insert(long).row(env, row)
    }

    /// Ends the list being filled, which is of `source`. A list without rows leaves no trace.
    pub(in crate::segment) fn end(
        &mut self,
        env: &mut Env<'_, W>,
        source: u32,
    ) -> Result<(), W::Error> {
        if let Some(long) = self.long_list.take() {
            self.pending.push((source, LONG_CODE));
            self.put_long(env, long)?;
        } else if let (Some(&first), Some(&last)) = (self.rows.first(), self.rows.last()) {
            self.payload.write(u64::from(first), self.row_width);
            if self.rows.len() > 1 {
                let width = width_for(u64::from(last - first));
                self.payload.write(u64::from(width), DELTA_WIDTH_BITS);
                for row in self.rows.iter().skip(1) {
                    self.payload.write(u64::from(row - first), width);
                }
            }
            self.pending.push((source, self.rows.len() as u64 - 1));
            self.rows_written += self.rows.len() as u64;
            self.rows.clear();
        } else {
            return Ok(());
        }
        self.count += 1;
        if self.pending.len() >= BLOCK as usize {
            self.flush(env)?;
        }
        Ok(())
    }

    fn put_long(&mut self, env: &mut Env<'_, W>, list: LongList<W>) -> Result<(), W::Error> {
        let offset = self.long.len();
        let Encoded { rows, kind, parts } = list.finish(env)?;
        self.rows_written += u64::from(rows);
        for part in parts {
            // Mapped bytes may be many; they move in pieces.
            for piece in part.bytes().chunks(64 << 10) {
                self.long.write(env, piece)?;
            }
        }
        let entry = self.long_directory.tail();
        put_u64(entry, offset | kind);
        // At most 2^28 rows, of five bytes at most.
        put_u32(entry, (self.long.len() - offset) as u32);
        put_u32(entry, rows);
        self.long_directory.settle(env)?;
        self.long_count += 1;
        Ok(())
    }

    /// Writes the lists of the block being filled.
    fn flush(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        let offset = offset_u64(self.blocks_len, "bytes of lists in a segment")?;
        put_u32(self.directory.tail(), offset);
        self.directory.settle(env)?;
        let out = &mut self.blocks;
        let before = out.len();
        let sources = &mut self.sources;
        sources.clear();
        sources.extend(self.pending.iter().map(|(source, _)| *source));
        sources.sort_unstable();
        let common = sources
            .chunk_by(|a, b| a == b)
            .rev()
            .max_by_key(|of_source| of_source.len())
            .and_then(|of_source| of_source.first().copied());
        sources.dedup();
        let code_max = self.pending.iter().map(|(_, code)| *code).max();
        let code_width = width_for(code_max.unwrap_or(0));
        let sources_less_one = sources.len().saturating_sub(1);
        out.extend_from_slice(&[sources_less_one as u8, code_width as u8]);
        if code_width == LONG_CODE_WIDTH {
            put_u32(out, self.long_before);
        }
        self.long_before = self.long_count;
        let mut bits = BitWriter::behind(std::mem::take(out));
        for &source in sources.iter() {
            bits.write(u64::from(source), self.source_width);
        }
        let index_width = width_for(sources_less_one as u64);
        let index_of = |wanted: u32| sources.partition_point(|&other| other < wanted) as u64;
        if let Some(common) = common.filter(|_| sources.len() > 1) {
            bits.write(index_of(common), index_width);
            for &(source, _) in &self.pending {
                bits.write(u64::from(source != common), 1);
            }
            for &(source, _) in self.pending.iter().filter(|(source, _)| *source != common) {
                bits.write(index_of(source), index_width);
            }
        }
        if code_width > 0 {
            for (_, code) in &self.pending {
                bits.write(u64::from(*code != 0), 1);
            }
        }
        for (_, code) in self.pending.iter().filter(|(_, code)| *code != 0) {
            bits.write(*code, code_width);
        }
        // The rows follow bit by bit.
        let mut left = self.payload.len_bits();
        self.payload.finish_into(&mut self.payload_bytes);
        for chunk in self.payload_bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            bits.write(u64::from_le_bytes(word), left.min(64) as u32);
            left = left.saturating_sub(64);
        }
        self.payload_bytes.clear();
        *out = bits.finish();
        self.blocks_len += (out.len() - before) as u64;
        self.pending.clear();
        Ok(())
    }

    /// Ends the last block, which the caller moves out before it takes the rest.
    pub(in crate::segment) fn flush_last(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.flush(env)
    }

    /// What stands besides the blocks.
    pub(in crate::segment) fn finish(self, env: &mut Env<'_, W>) -> Result<Written<W>, W::Error> {
        Ok(Written {
            directory: self.directory.finish(env)?,
            long_directory: self.long_directory.finish(env)?,
            long: self.long.finish(env)?,
            count: self.count,
            long_count: self.long_count,
        })
    }
}

/// The shorter encoding of a long list.
struct Encoded<W: Workspace> {
    rows: u32,
    /// The flag of its directory entry.
    kind: u64,
    parts: Vec<Spooled<W>>,
}

/// A list of more than 64 rows, encoded in both ways while its rows come.
struct LongList<W: Workspace> {
    monotone: monotone::Encoder,
    skips: Spool<W>,
    blocks: Spool<W>,
    bitmap: bitmap::Encoder,
    containers: Spool<W>,
}

impl<W: Workspace> LongList<W> {
    fn new() -> Self {
        Self {
            monotone: monotone::Encoder::new(),
            skips: Spool::new(),
            blocks: Spool::new(),
            bitmap: bitmap::Encoder::new(),
            containers: Spool::new(),
        }
    }

    #[inline]
    fn row(&mut self, env: &mut Env<'_, W>, row: u32) -> Result<(), W::Error> {
        let (skips, blocks) = (self.skips.tail(), self.blocks.tail());
        self.monotone.push(row, skips, blocks);
        self.bitmap.push(row, self.containers.tail());
        self.skips.settle(env)?;
        self.blocks.settle(env)?;
        self.containers.settle(env)
    }

    /// The shorter encoding.
    fn finish(mut self, env: &mut Env<'_, W>) -> Result<Encoded<W>, W::Error> {
        let rows = self.monotone.len();
        let mut head = Vec::new();
        let (skips, blocks) = (self.skips.tail(), self.blocks.tail());
        self.monotone.finish(skips, blocks, &mut head);
        let mut bitmap_head = Vec::new();
        self.bitmap.finish(self.containers.tail(), &mut bitmap_head);
        let monotone_len = head.len() as u64 + self.skips.len() + self.blocks.len();
        let bitmap_len = bitmap_head.len() as u64 + self.containers.len();
        if bitmap_len < monotone_len {
            let containers = self.containers.finish(env)?;
            return Ok(Encoded {
                rows,
                kind: BITMAP,
                parts: vec![Spooled::Memory(bitmap_head), containers],
            });
        }
        let (skips, blocks) = (self.skips.finish(env)?, self.blocks.finish(env)?);
        Ok(Encoded {
            rows,
            kind: 0,
            parts: vec![Spooled::Memory(head), skips, blocks],
        })
    }
}
