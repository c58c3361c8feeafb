//! Posting lists: for each (target, source) the rows that link there, each once and rising. Lists stand
//! in the order of (target, source); a list's id is its place.
//!
//! Where each target's lists begin is a monotone list, with one entry more at the end. The lists stand in
//! blocks of 128, found by a directory of byte offsets (u32):
//!
//! ```text
//! u8    sources in the block, less one
//! u8    width of the codes
//! u32   long lists in the blocks before, if the width is 7
//! bits  the sources, in rising order, at the segment's width of sources
//! bits  where there are several, the index of the commonest of them; a bit for each list, set where its
//!       source is another; each such list's index
//! bits  a bit for each list, set where it has more than one row, if any has
//! bits  the code of each list with more than one row: rows less one, or 64 for a long list
//! bits  each list's rows, back to back:
//!         1 row       the row, at the segment's width of rows
//!         2 to 64     the first row, 5 bits of width, the others less the first at that width
//!         long        nothing: its place follows from the long lists before it
//! ```
//!
//! A long list has an entry of 16 bytes, `u64` byte offset (bit 63: a bitmap), `u32` bytes, `u32` rows,
//! and is a monotone list or a portable Roaring bitmap, whichever is shorter.

mod write;

pub(super) use write::{ListsWriter, Written};

use std::ops::Range;

use super::list::{Kind, List};
use super::rows::BLOCK;
use crate::Result;
use crate::bitmap::Bitmap;
use crate::bits::{BitReader, below, bitmap, bits_of, read_bits, width_for};
use crate::chunks::Region;
use crate::monotone::Monotone;

/// Most rows of a list inside its block; longer lists are long.
pub(super) const SHORT_MAX: u32 = 64;
const LONG_CODE: u64 = SHORT_MAX as u64;
/// The width of the codes of a block that has a long list, and of no other.
const LONG_CODE_WIDTH: u32 = 7;
const HEAD: u64 = 2;
const LONG_ENTRY: u64 = 16;
const BITMAP: u64 = 1 << 63;
const DELTA_WIDTH_BITS: u32 = 5;

/// Bytes of a block up to the codes of its lists' lengths, about.
const BEFORE_ROWS: u64 = 128;

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
}

struct Block {
    lists: u64,
    sources: u64,
    code_width: u32,
    /// Long lists in the blocks before.
    long: u32,
    /// Bit where the sources begin.
    start: u64,
    index_width: u32,
    source_width: u32,
}

impl Block {
    /// The bit where the index of the commonest source stands, where there are several.
    fn common(&self) -> u64 {
        self.start + self.sources * u64::from(self.source_width)
    }

    /// The lists of another source than the commonest, and the bit where their indexes begin.
    fn read_others(&self, region: Region<'_>) -> Result<(u128, u64)> {
        let at = self.common() + u64::from(self.index_width);
        match self.index_width {
            0 => Ok((0, at)),
            _ => Ok((bitmap(region, at, self.lists)?, at + self.lists)),
        }
    }

    /// The lists with more than one row, and the bit where their codes begin.
    fn read_several(&self, region: Region<'_>) -> Result<(u128, u64)> {
        self.several_behind(region, self.read_others(region)?)
    }

    /// The same, behind the `others` that were read.
    fn several_behind(&self, region: Region<'_>, others: (u128, u64)) -> Result<(u128, u64)> {
        let (others, at) = others;
        let at = at + u64::from(others.count_ones()) * u64::from(self.index_width);
        match self.code_width {
            0 => Ok((0, at)),
            _ => Ok((bitmap(region, at, self.lists)?, at + self.lists)),
        }
    }
}

impl<'a> Postings<'a> {
    /// Has the processor fetch what the source and the length of a list are read of.
    pub(super) fn fetch(&self, id: u32) {
        // What cannot be read is told to whoever reads it next.
        if let Ok(start) = self.directory.u32_at(u64::from(id / BLOCK) * 4) {
            self.blocks.fetch(start.into(), BEFORE_ROWS);
        }
    }

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
        let lists = u64::from((self.count - number * BLOCK).min(BLOCK));
        let sources = u64::from(sources) + 1;
        if sources > lists {
            return Err(self
                .blocks
                .corrupt(start, format!("sources of {lists} lists"), sources));
        }
        let code_width = u32::from(code_width);
        let (mut start, mut long) = (start + HEAD, 0);
        if code_width == LONG_CODE_WIDTH {
            long = self.blocks.u32_at(start)?;
            start += 4;
        }
        Ok(Block {
            lists,
            sources,
            code_width,
            long,
            start: start * 8,
            index_width: width_for(sources - 1),
            source_width: width_below(self.sources),
        })
    }

    /// The source of a list.
    pub(super) fn source(&self, id: u32) -> Result<u32> {
        let block = self.block(id)?;
        self.source_in(&block, block.read_others(self.blocks)?, id)
    }

    /// The same, in a block of which the `others` were read.
    fn source_in(&self, block: &Block, others: (u128, u64), id: u32) -> Result<u32> {
        let (others, indexes) = others;
        let place = u64::from(id % BLOCK);
        let at = match others >> place & 1 {
            0 => block.common(),
            _ => {
                let before = u64::from((others & below(place)).count_ones());
                indexes + before * u64::from(block.index_width)
            }
        };
        let index = read_bits(self.blocks, at, block.index_width)?;
        if index >= block.sources {
            return Err(self.blocks.corrupt(at / 8, "the index of a source", index));
        }
        let at = block.start + index * u64::from(block.source_width);
        Ok(read_bits(self.blocks, at, block.source_width)? as u32)
    }

    /// Of the lists of one target that of the source, with the count of its rows. O(log lists).
    pub(super) fn find(&self, lists: Range<u32>, source: u32) -> Result<Option<(u32, u32)>> {
        let (mut low, mut high) = (lists.start, lists.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let block = self.block(middle)?;
            let others = block.read_others(self.blocks)?;
            match self.source_in(&block, others, middle)?.cmp(&source) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let several = block.several_behind(self.blocks, others)?;
                    return Ok(Some((middle, self.len_in(&block, several, middle)?)));
                }
            }
        }
        Ok(None)
    }

    /// Opens a list. Costs a walk over the codes before it in its block.
    pub(super) fn get(&self, id: u32) -> Result<List<'a>> {
        let block = self.block(id)?;
        let row_width = width_below(self.rows);
        let (several, codes) = block.read_several(self.blocks)?;
        let codes_len = u64::from(several.count_ones()) * u64::from(block.code_width);
        // At most 113 bytes.
        let (first_byte, shift) = (codes / 8, codes % 8);
        let bytes = (shift + codes_len).div_ceil(8) as usize;
        let column = self.blocks.get(first_byte, bytes)?;
        let code = |i: u64| {
            let bit = shift + i * u64::from(block.code_width);
            // A list of one row has no code.
            match bits_of(column, bit as usize, block.code_width) {
                None | Some(0) => {
                    let expected = format!("the code of list {i} of those with several rows");
                    Err(self.blocks.corrupt(first_byte, expected, "none"))
                }
                Some(code) => Ok(code),
            }
        };
        let place = u64::from(id % BLOCK);
        let before = several & below(place);
        // Of those before it a list with one row has as many bits as any other; only the rest is walked over.
        let singles = place - u64::from(before.count_ones());
        let mut at = codes + codes_len;
        let mut long = block.long;
        let (mut left, mut number) = (before, 0);
        while left != 0 {
            let place = u64::from(left.trailing_zeros());
            left &= left - 1;
            let singles = place - number;
            match code(number)? {
                others @ ..LONG_CODE => {
                    let rows = at + singles * u64::from(row_width);
                    let width =
                        read_bits(self.blocks, rows + u64::from(row_width), DELTA_WIDTH_BITS)?;
                    at += u64::from(row_width + DELTA_WIDTH_BITS) + others * width;
                }
                _ => long = long.saturating_add(1),
            }
            number += 1;
        }
        at += singles * u64::from(row_width);
        let code = match several >> place & 1 {
            0 => 0,
            _ => code(number)?,
        };
        if code >= LONG_CODE {
            return self.long(id, long);
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
        self.len_in(&block, block.read_several(self.blocks)?, id)
    }

    /// The same, in a block of which the lists with `several` rows were read.
    fn len_in(&self, block: &Block, several: (u128, u64), id: u32) -> Result<u32> {
        let (several, codes) = several;
        let place = u64::from(id % BLOCK);
        if several >> place & 1 == 0 {
            return Ok(1);
        }
        let number = u64::from((several & below(place)).count_ones());
        let code = |number: u64| {
            let at = codes + number * u64::from(block.code_width);
            read_bits(self.blocks, at, block.code_width)
        };
        if let code @ 0..LONG_CODE = code(number)? {
            return Ok(code as u32 + 1);
        }
        let mut index = block.long;
        for before in 0..number {
            index = index.saturating_add(u32::from(code(before)? >= LONG_CODE));
        }
        let at = u64::from(index) * LONG_ENTRY + 12;
        let len = self.long_directory.u32_at(at)?;
        if len <= SHORT_MAX {
            let expected = format!("a long list of more than {SHORT_MAX} rows");
            return Err(self.long_directory.corrupt(at, expected, len));
        }
        Ok(len)
    }

    fn long(&self, id: u32, index: u32) -> Result<List<'a>> {
        let entry = u64::from(index) * LONG_ENTRY;
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

/// The lists of a segment in order, read block by block.
pub(super) struct ListScan<'a> {
    postings: Postings<'a>,
    /// The list to come.
    next: u32,
    /// Source and code of each list of its block.
    lists: Vec<(u32, u32)>,
    rows: BitReader<'a>,
    /// Long lists before the one to come.
    long: u32,
}

impl<'a> ListScan<'a> {
    pub(super) const fn new(postings: Postings<'a>) -> Self {
        Self {
            postings,
            next: 0,
            lists: Vec::new(),
            rows: BitReader::new(&[], 0),
            long: 0,
        }
    }

    /// The source of the next list, whose rows are appended to `rows`; or, for a long one, the list.
    pub(super) fn read(&mut self, rows: &mut Vec<u32>) -> Result<(u32, Option<List<'a>>)> {
        let id = self.next;
        if id.is_multiple_of(BLOCK) {
            self.load(id)?;
        }
        let Some(&(source, code)) = self.lists.get((id % BLOCK) as usize) else {
            let expected = format!("a list below {}", self.postings.count);
            return Err(self.postings.directory.corrupt(0, expected, id));
        };
        self.next += 1;
        if u64::from(code) >= LONG_CODE {
            let list = self.postings.long(id, self.long)?;
            self.long = self.long.saturating_add(1);
            return Ok((source, Some(list)));
        }
        match self.short(code, rows) {
            Some(()) => Ok((source, None)),
            None => Err(self.damaged(id)),
        }
    }

    fn short(&mut self, code: u32, rows: &mut Vec<u32>) -> Option<()> {
        let row_width = width_below(self.postings.rows);
        let first = self.rows.read(row_width)? as u32;
        rows.push(first);
        if code > 0 {
            let width = self.rows.read(DELTA_WIDTH_BITS)? as u32;
            for _ in 0..code {
                rows.push(first.checked_add(self.rows.read(width)? as u32)?);
            }
        }
        let last = rows.last()?;
        (*last < self.postings.rows).then_some(())
    }

    #[cold]
    fn damaged(&self, id: u32) -> crate::Error {
        self.postings
            .blocks
            .corrupt(0, format!("a sound block of list {id}"), "another")
    }

    /// Reads the head of the block that begins with list `id`.
    fn load(&mut self, id: u32) -> Result<()> {
        let postings = self.postings;
        let block = postings.block(id)?;
        let at = 4 * u64::from(id / BLOCK);
        let start = u64::from(postings.directory.u32_at(at)?);
        let end = if id + BLOCK < postings.count {
            u64::from(postings.directory.u32_at(at + 4)?)
        } else {
            postings.blocks.len()
        };
        let Some(len) = end.checked_sub(start) else {
            return Err(postings.directory.corrupt(at, "rising offsets", end));
        };
        let bytes = postings.blocks.get(start, len as usize)?;
        self.lists.clear();
        self.long = block.long;
        let bit = (block.start - start * 8) as usize;
        self.head(&block, bytes, bit)
            .ok_or_else(|| self.damaged(id))
    }

    fn head(&mut self, block: &Block, bytes: &'a [u8], bit: usize) -> Option<()> {
        let mut bits = BitReader::new(bytes, bit);
        let mut sources = [0; BLOCK as usize];
        for source in sources.iter_mut().take(block.sources as usize) {
            *source = bits.read(block.source_width)? as u32;
        }
        let source = |bits: &mut BitReader<'_>| {
            let index = bits.read(block.index_width)?;
            if index >= block.sources {
                return None;
            }
            sources.get(index as usize).copied()
        };
        let set = |bits: &mut BitReader<'_>| {
            let lists = block.lists as u32;
            let low = bits.read(lists.min(64))?;
            let high = bits.read(lists.saturating_sub(64))?;
            Some(u128::from(high) << 64 | u128::from(low))
        };
        let common = source(&mut bits)?;
        let others = match block.index_width {
            0 => 0,
            _ => set(&mut bits)?,
        };
        for i in 0..block.lists {
            let source = match others >> i & 1 {
                0 => common,
                _ => source(&mut bits)?,
            };
            self.lists.push((source, 0));
        }
        if block.code_width > 0 {
            let several = set(&mut bits)?;
            for (i, (_, code)) in self.lists.iter_mut().enumerate() {
                if several >> i & 1 == 1 {
                    *code = bits.read(block.code_width)? as u32;
                    if *code == 0 {
                        return None;
                    }
                }
            }
        }
        self.rows = bits;
        Some(())
    }
}
