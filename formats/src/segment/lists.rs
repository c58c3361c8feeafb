//! Posting lists: for each (target, source) the rows that link there, each once and rising. Lists stand
//! in the order of (target, source); a list's id is its place.
//!
//! Where each target's lists begin is a monotone list, with one entry more at the end. The lists stand in
//! blocks of 128, found by a directory of byte offsets (u32):
//!
//! ```text
//! u8    sources in the block, less one
//! u8    width of the codes
//! bits  the sources, in rising order, at the segment's width of sources
//! bits  each list's index into them
//! bits  each list's code: rows less one, or 64 for a long list
//! bits  each list's rows, back to back:
//!         1 row       the row, at the segment's width of rows
//!         2 to 64     the first row, 5 bits of width, the others less the first at that width
//!         long        its index among the long lists, at their width
//! ```
//!
//! A long list has an entry of 16 bytes, `u64` byte offset (bit 63: a bitmap), `u32` bytes, `u32` rows,
//! and is a monotone list or a portable Roaring bitmap, whichever is shorter.

use super::list::{Kind, List};
use super::rows::{BLOCK, offset_u32};
use crate::Result;
use crate::bitmap::Bitmap;
use crate::bits::{BitWriter, bits_of, read_bits, width_for};
use crate::bytes::{put_u32, put_u64};
use crate::chunks::Region;
use crate::monotone::{self, Monotone};

/// Most rows of a list inside its block; longer lists are long.
pub(super) const SHORT_MAX: u32 = 64;
const LONG_CODE: u64 = SHORT_MAX as u64;
const HEAD: u64 = 2;
const LONG_ENTRY: u64 = 16;
const BITMAP: u64 = 1 << 63;
const DELTA_WIDTH_BITS: u32 = 5;

/// Collects lists in order, then encodes them.
pub(super) struct ListsWriter {
    row_width: u32,
    source_width: u32,
    long_width: u32,
    pub(super) directory: Vec<u8>,
    pub(super) blocks: Vec<u8>,
    pub(super) long_directory: Vec<u8>,
    pub(super) long: Vec<u8>,
    long_count: u32,
    /// Source and code of the lists of the block being filled.
    pending: Vec<(u32, u64)>,
    payload: BitWriter,
    scratch: Vec<u32>,
    encoded: Vec<u8>,
}

impl ListsWriter {
    /// A writer for a segment with that many rows and sources, and at most that many long lists.
    pub(super) fn new(rows: u32, sources: u32, long_lists: u32) -> Self {
        Self {
            row_width: width_below(rows),
            source_width: width_below(sources),
            long_width: width_below(long_lists),
            directory: Vec::new(),
            blocks: Vec::new(),
            long_directory: Vec::new(),
            long: Vec::new(),
            long_count: 0,
            pending: Vec::with_capacity(BLOCK as usize),
            payload: BitWriter::new(),
            scratch: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// Appends the next list; its rows rise and are at least one.
    pub(super) fn push(&mut self, source: u32, rows: &[u32]) -> Result<()> {
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        if rows.len() == 1 {
            self.payload.write(u64::from(first), self.row_width);
            self.pending.push((source, 0));
        } else if rows.len() <= SHORT_MAX as usize {
            let width = width_for(u64::from(last - first));
            self.payload.write(u64::from(first), self.row_width);
            self.payload.write(u64::from(width), DELTA_WIDTH_BITS);
            for row in rows.iter().skip(1) {
                self.payload.write(u64::from(row - first), width);
            }
            self.pending.push((source, rows.len() as u64 - 1));
        } else {
            self.payload
                .write(u64::from(self.long_count), self.long_width);
            self.pending.push((source, LONG_CODE));
            self.push_long(rows);
        }
        if self.pending.len() >= BLOCK as usize {
            self.flush()?;
        }
        Ok(())
    }

    fn push_long(&mut self, rows: &[u32]) {
        self.encoded.clear();
        monotone::encode(rows, &mut self.encoded);
        let offset = self.long.len() as u64;
        let mut kind = 0;
        // A bitmap takes at least a bit a row, and cannot win unless the monotone list takes more.
        let mut bitmap =
            roaring::RoaringBitmap::from_sorted_iter(rows.iter().copied()).unwrap_or_default();
        bitmap.optimize();
        if bitmap.len() == rows.len() as u64 && bitmap.serialized_size() < self.encoded.len() {
            self.encoded.clear();
            // Writing to a vector does not fail.
            if bitmap.serialize_into(&mut self.encoded).is_ok() {
                kind = BITMAP;
            }
        }
        put_u64(&mut self.long_directory, offset | kind);
        put_u32(&mut self.long_directory, self.encoded.len() as u32);
        put_u32(&mut self.long_directory, rows.len() as u32);
        self.long.extend_from_slice(&self.encoded);
        self.long_count += 1;
    }

    /// Writes what is pending. To be called once at the end.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        put_u32(
            &mut self.directory,
            offset_u32(self.blocks.len(), "bytes of lists in a segment")?,
        );
        let sources = &mut self.scratch;
        sources.clear();
        sources.extend(self.pending.iter().map(|(source, _)| *source));
        sources.sort_unstable();
        sources.dedup();
        let code_max = self.pending.iter().map(|(_, code)| *code).max();
        let code_width = width_for(code_max.unwrap_or(0));
        let sources_less_one = sources.len().saturating_sub(1);
        self.blocks
            .extend_from_slice(&[sources_less_one as u8, code_width as u8]);
        let mut bits = BitWriter::new();
        for &source in sources.iter() {
            bits.write(u64::from(source), self.source_width);
        }
        let index_width = width_for(sources_less_one as u64);
        for (source, _) in &self.pending {
            let index = sources.partition_point(|other| other < source);
            bits.write(index as u64, index_width);
        }
        for (_, code) in &self.pending {
            bits.write(*code, code_width);
        }
        // The rows follow bit by bit.
        let payload_bits = self.payload.len_bits();
        let payload = std::mem::take(&mut self.payload).finish();
        let mut left = payload_bits;
        for chunk in payload.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            bits.write(u64::from_le_bytes(word), left.min(64) as u32);
            left = left.saturating_sub(64);
        }
        self.blocks.extend_from_slice(&bits.finish());
        self.pending.clear();
        Ok(())
    }
}

/// Bits of a number below `count`.
pub(super) fn width_below(count: u32) -> u32 {
    width_for(u64::from(count.saturating_sub(1)))
}

/// The lists of a segment.
#[derive(Clone, Copy)]
pub(super) struct Postings<'a> {
    pub(super) directory: Region<'a>,
    pub(super) blocks: Region<'a>,
    pub(super) long_directory: Region<'a>,
    pub(super) long: Region<'a>,
    pub(super) count: u32,
    pub(super) rows: u32,
    pub(super) sources: u32,
    pub(super) long_count: u32,
}

struct Block {
    lists: u64,
    sources: u64,
    code_width: u32,
    /// Bit where the sources begin.
    start: u64,
    index_width: u32,
    source_width: u32,
}

impl Block {
    fn codes(&self) -> u64 {
        self.start
            + self.sources * u64::from(self.source_width)
            + self.lists * u64::from(self.index_width)
    }
}

impl<'a> Postings<'a> {
    fn block(&self, id: u32) -> Result<Block> {
        if id >= self.count {
            return Err(self
                .directory
                .corrupt(0, format!("a list below {}", self.count), id));
        }
        let number = id / BLOCK;
        let start = u64::from(self.directory.u32_at(u64::from(number) * 4)?);
        let [sources, code_width] = self.blocks.array_at::<{ HEAD as usize }>(start)?;
        if code_width > 7 {
            return Err(self
                .blocks
                .corrupt(start + 1, "a width of codes up to 7", code_width));
        }
        let sources = u64::from(sources) + 1;
        Ok(Block {
            lists: u64::from((self.count - number * BLOCK).min(BLOCK)),
            sources,
            code_width: u32::from(code_width),
            start: (start + HEAD) * 8,
            index_width: width_for(sources - 1),
            source_width: width_below(self.sources),
        })
    }

    /// The source of a list.
    pub(super) fn source(&self, id: u32) -> Result<u32> {
        let block = self.block(id)?;
        let indexes = block.start + block.sources * u64::from(block.source_width);
        let at = indexes + u64::from(id % BLOCK) * u64::from(block.index_width);
        let index = read_bits(self.blocks, at, block.index_width)?;
        if index >= block.sources {
            return Err(self.blocks.corrupt(at / 8, "the index of a source", index));
        }
        let at = block.start + index * u64::from(block.source_width);
        Ok(read_bits(self.blocks, at, block.source_width)? as u32)
    }

    /// Opens a list. Costs a walk over the codes before it in its block.
    pub(super) fn get(&self, id: u32) -> Result<List<'a>> {
        let block = self.block(id)?;
        let row_width = width_below(self.rows);
        let long_width = width_below(self.long_count);
        let codes = block.codes();
        let codes_len = block.lists * u64::from(block.code_width);
        // At most 113 bytes.
        let (first_byte, shift) = (codes / 8, codes % 8);
        let bytes = (shift + codes_len).div_ceil(8) as usize;
        let column = self.blocks.get(first_byte, bytes)?;
        let code = |i: u64| {
            let bit = shift + i * u64::from(block.code_width);
            bits_of(column, bit as usize, block.code_width).ok_or_else(|| {
                self.blocks
                    .corrupt(first_byte, "a column of codes", "its end")
            })
        };
        let place = u64::from(id % BLOCK);
        let mut at = codes + codes_len;
        if block.code_width == 0 {
            at += place * u64::from(row_width);
        } else {
            for i in 0..place {
                at += match code(i)? {
                    0 => u64::from(row_width),
                    others @ 1..LONG_CODE => {
                        let width =
                            read_bits(self.blocks, at + u64::from(row_width), DELTA_WIDTH_BITS)?;
                        u64::from(row_width + DELTA_WIDTH_BITS) + others * width
                    }
                    _ => u64::from(long_width),
                };
            }
        }
        let code = code(place)?;
        if code >= LONG_CODE {
            let index = read_bits(self.blocks, at, long_width)?;
            return self.long(id, index);
        }
        let first = read_bits(self.blocks, at, row_width)? as u32;
        if code == 0 {
            return Ok(List::new(
                id,
                1,
                self.rows,
                Kind::Single(first),
                self.blocks,
            ));
        }
        let rest = at + u64::from(row_width + DELTA_WIDTH_BITS);
        let width = read_bits(
            self.blocks,
            rest - u64::from(DELTA_WIDTH_BITS),
            DELTA_WIDTH_BITS,
        )?;
        let kind = Kind::Short {
            first,
            width: width as u32,
            rest,
        };
        Ok(List::new(id, code as u32 + 1, self.rows, kind, self.blocks))
    }

    /// How many rows the list has, without opening it.
    pub(super) fn len(&self, id: u32) -> Result<u32> {
        let block = self.block(id)?;
        let at = block.codes() + u64::from(id % BLOCK) * u64::from(block.code_width);
        match read_bits(self.blocks, at, block.code_width)? {
            code @ 0..LONG_CODE => Ok(code as u32 + 1),
            _ => Ok(self.get(id)?.len()),
        }
    }

    fn long(&self, id: u32, index: u64) -> Result<List<'a>> {
        let entry = index * LONG_ENTRY;
        let place = self.long_directory.u64_at(entry)?;
        let bytes = self.long_directory.u32_at(entry + 8)?;
        let len = self.long_directory.u32_at(entry + 12)?;
        let region = self.long.sub(place & !BITMAP, u64::from(bytes))?;
        let (kind, found) = if place & BITMAP == 0 {
            let list = Monotone::open(region)?;
            (Kind::Monotone(list), u64::from(list.len()))
        } else {
            let bitmap = Bitmap::open(region)?;
            (Kind::Bitmap(bitmap), bitmap.len())
        };
        if found != u64::from(len) || len <= SHORT_MAX {
            return Err(self.long_directory.corrupt(
                entry + 12,
                format!("a long list of {found} rows"),
                len,
            ));
        }
        Ok(List::new(id, len, self.rows, kind, self.long))
    }
}
