//! Non-decreasing lists of `u32`, read in place (SPEC.md, section 2). Values stand in blocks of 128,
//! each Elias–Fano coded (Elias 1974, Fano 1971; in the form of Vigna, "Quasi-succinct indices", WSDM
//! 2013): the low bits of each value packed, its high bits as a unary run. A skip table with the first
//! value and the place of each block makes an access by index cost one block, whatever the length.

mod cursor;
mod encode;

pub use cursor::{Iter, IterBack};
pub use encode::{Encoder, encode};

use crate::Result;
use crate::bits::{bits_of, packed_len};
use crate::bytes::Reader;
use crate::chunks::Region;

/// Values in a block; the last block may have fewer.
pub const BLOCK_LEN: usize = 128;
/// Bytes of an entry of the skip table: the block's first value and its place.
pub const SKIP_BYTES: usize = 8;
/// Bytes of the header of a list of several blocks at most: two varints of 32 bits and a value.
const HEADER_BYTES_MAX: u64 = 5 + 5 + 5 + 5;

/// A distance has 32 bits, and a low part is at least one bit narrower.
const LOW_WIDTH_MAX: u32 = 31;
/// With m values behind the first, the low width leaves high parts below 2 m; m ones and as many zeros
/// as the last high part take fewer than 3 m bits. The limit keeps a damaged block from costing more.
const HIGH_BYTES_MAX: usize = (3 * (BLOCK_LEN - 1)).div_ceil(8);

/// Bytes of a block, about, where its values are close together.
const BLOCK_BYTES: u64 = 128;

const BLOCK_SHIFT: u32 = 7;
const _: () = assert!(1 << BLOCK_SHIFT == BLOCK_LEN);

/// A list in its encoded form.
#[derive(Debug, Clone, Copy)]
pub struct Monotone<'a> {
    region: Region<'a>,
    head: Head,
}

/// What the header of a list says, for whoever opens one again and again.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    len: u32,
    first: u32,
    last: u32,
    /// Where the skip table begins in the region, for a list of several blocks.
    skips: u32,
    /// Where the blocks begin in the region.
    blocks: u64,
    /// Bytes of the blocks together.
    blocks_len: u32,
}

/// One block, taken apart but not decoded. The first value is not in the coded part: the others are
/// coded as their distance from it.
#[derive(Clone, Copy)]
struct Block<'a> {
    first: u32,
    /// Values of the block including the first.
    len: usize,
    low_width: u32,
    /// All coded bytes: low bits, then high bits.
    coded: &'a [u8],
    /// The high bits: for each value in turn a zero for each step of `1 << low_width`, then a one.
    high: &'a [u8],
}

impl<'a> Monotone<'a> {
    /// Opens the list that begins where `region` does; the region may be longer. O(1).
    ///
    /// # Errors
    /// The bytes are not the beginning of a list, or end before it does, or are damaged.
    pub fn open(region: Region<'a>) -> Result<Self> {
        let start = region.get(0, region.len().min(HEADER_BYTES_MAX) as usize)?;
        let mut fields = Reader::new("monotone list", start);
        let head = Self::read_header(region, &mut fields);
        let head = head.map_err(|error| relocate(region, error))?;
        Ok(Self { region, head })
    }

    /// The list whose header said `head` when it was opened in the same region.
    #[inline]
    pub const fn with_head(region: Region<'a>, head: Head) -> Self {
        Self { region, head }
    }

    /// What the header says.
    pub const fn head(&self) -> Head {
        self.head
    }

    fn read_header(region: Region<'_>, fields: &mut Reader<'_>) -> Result<Head> {
        let len = fields.varint_u32()?;
        if len == 0 {
            return Ok(Head {
                len,
                first: 0,
                last: 0,
                skips: 0,
                blocks: fields.position(),
                blocks_len: 0,
            });
        }
        let blocks_len = fields.varint_u32()?;
        let first = fields.varint_u32()?;
        let range = fields.varint_u32()?;
        let Some(last) = first.checked_add(range) else {
            return Err(fields.corrupt("a last value of 32 bits", format!("{first} + {range}")));
        };
        let skips = fields.position();
        let blocks = match block_count(len) {
            1 => skips,
            count => skips + u64::from(count) * SKIP_BYTES as u64,
        };
        if blocks + u64::from(blocks_len) > region.len() {
            return Err(fields.corrupt(
                format!("{len} values in {blocks} + {blocks_len} bytes"),
                format!("{} bytes", region.len()),
            ));
        }
        Ok(Head {
            len,
            first,
            last,
            // At most HEADER_BYTES_MAX.
            skips: skips as u32,
            blocks,
            blocks_len,
        })
    }

    /// How many values the list has.
    #[inline]
    pub const fn len(&self) -> u32 {
        self.head.len
    }

    /// Whether the list has no value.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.head.len == 0
    }

    /// How many bytes of the region the list takes.
    #[inline]
    pub const fn encoded_len(&self) -> u64 {
        self.head.blocks + self.head.blocks_len as u64
    }

    /// The smallest value.
    #[inline]
    pub const fn first(&self) -> Option<u32> {
        if self.head.len == 0 {
            None
        } else {
            Some(self.head.first)
        }
    }

    /// The largest value.
    #[inline]
    pub const fn last(&self) -> Option<u32> {
        if self.head.len == 0 {
            None
        } else {
            Some(self.head.last)
        }
    }

    /// The value at `index`. O(1): one entry of the skip table, one block.
    ///
    /// # Errors
    /// `index` is not below the length, or the bytes are damaged.
    #[inline]
    pub fn get(&self, index: u32) -> Result<u32> {
        if index >= self.head.len {
            return Err(self
                .region
                .corrupt(0, format!("an index below {}", self.head.len), index));
        }
        let block = self.block(index >> BLOCK_SHIFT)?;
        let value = block.get(index as usize % BLOCK_LEN);
        value.ok_or_else(|| self.bad_block(index >> BLOCK_SHIFT))
    }

    /// Has the processor fetch what the value at `index` is read of: for many values, before they are asked for one by one.
    pub fn fetch(&self, index: u32) {
        // What cannot be read is told to whoever reads it next.
        if let Ok((_, place)) = self.block_place(index >> BLOCK_SHIFT) {
            self.region
                .fetch(self.head.blocks + place.start, BLOCK_BYTES);
        }
    }

    /// The values at `index` and the next. As [`get`](Self::get), and most pairs stand in one block.
    ///
    /// # Errors
    /// The second is not below the length, or the bytes are damaged.
    pub fn pair(&self, index: u32) -> Result<(u32, u32)> {
        let next = index.saturating_add(1);
        if next.is_multiple_of(BLOCK_LEN as u32) || next >= self.head.len {
            return Ok((self.get(index)?, self.get(next)?));
        }
        let number = index >> BLOCK_SHIFT;
        let block = self.block(number)?;
        let within = index as usize % BLOCK_LEN;
        let pair = block.get(within).zip(block.get(within + 1));
        pair.ok_or_else(|| self.bad_block(number))
    }

    /// The index of the first value of at least `x`; the length when there is none. O(log blocks).
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn lower_bound(&self, x: u32) -> Result<u32> {
        if self.head.len == 0 || x <= self.head.first {
            return Ok(0);
        }
        if x > self.head.last {
            return Ok(self.head.len);
        }
        let below = self.block_below(x)?;
        let index = self.block(below)?.lower_bound(x);
        let index = index.ok_or_else(|| self.bad_block(below))?;
        Ok((below << BLOCK_SHIFT) + index as u32)
    }

    /// The index of the first value that is `x`, if there is one. As [`lower_bound`](Self::lower_bound), and no dearer.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn find(&self, x: u32) -> Result<Option<u32>> {
        if self.head.len == 0 || x < self.head.first || x > self.head.last {
            return Ok(None);
        }
        if x == self.head.first {
            return Ok(Some(0));
        }
        let below = self.block_below(x)?;
        let block = self.block(below)?;
        let found = block.lower_bound(x).ok_or_else(|| self.bad_block(below))?;
        let index = (below << BLOCK_SHIFT) + found as u32;
        if found < block.len {
            let value = block.get(found).ok_or_else(|| self.bad_block(below))?;
            return Ok((value == x).then_some(index));
        }
        // It may be the first of the next block.
        let is_next = index < self.head.len && self.block_first(below + 1)? == x;
        Ok(is_next.then_some(index))
    }

    /// The last block whose first value is below `x`, which is above the first value of all: what is at least `x` lies
    /// in it, or directly behind it.
    fn block_below(&self, x: u32) -> Result<u32> {
        // Block 0 is such a block.
        let (mut below, mut at_least) = (0, block_count(self.head.len));
        while at_least - below > 1 {
            let middle = below + (at_least - below) / 2;
            if self.block_first(middle)? < x {
                below = middle;
            } else {
                at_least = middle;
            }
        }
        Ok(below)
    }

    /// The values from `index` on, ascending; none when `index` is not below the length.
    pub fn iter_from(&self, index: u32) -> Iter<'a> {
        Iter::new(*self, index)
    }

    /// The values before `index`, descending, beginning with that at `index - 1`; an `index` above the
    /// length stands for the length.
    pub fn iter_back_from(&self, index: u32) -> IterBack<'a> {
        IterBack::new(*self, index)
    }

    /// Checks what opening and access do not: that values never decrease, that first and last value are
    /// as the header says, and that blocks stand back to back. Costs a pass over the list.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<()> {
        let mut buffer = [0; BLOCK_LEN];
        let mut previous = self.head.first;
        let mut place = 0;
        for index in 0..block_count(self.head.len) {
            let (first, range) = self.block_place(index)?;
            if range.start != place || first < previous || (index == 0 && first != self.head.first)
            {
                return Err(self.bad_block(index));
            }
            place = range.end;
            for value in self.decode(index, &mut buffer)? {
                if *value < previous {
                    return Err(self.bad_block(index));
                }
                previous = *value;
            }
        }
        if place != u64::from(self.head.blocks_len)
            || (self.head.len > 0 && previous != self.head.last)
        {
            return Err(self.region.corrupt(
                0,
                format!(
                    "a last value of {} at {}",
                    self.head.last, self.head.blocks_len
                ),
                format!("{previous} at {place}"),
            ));
        }
        Ok(())
    }

    /// Decodes block `index`, of at least one value, into `buffer`.
    pub(crate) fn decode<'b>(
        &self,
        index: u32,
        buffer: &'b mut [u32; BLOCK_LEN],
    ) -> Result<&'b [u32]> {
        let block = self.block(index)?;
        match block.decode(buffer) {
            Some(()) => Ok(buffer.get(..block.len).unwrap_or_default()),
            None => Err(self.bad_block(index)),
        }
    }

    /// First value of block `index` of several.
    #[inline]
    fn block_first(&self, index: u32) -> Result<u32> {
        self.region.u32_at(self.skip_at(index))
    }

    #[inline]
    fn skip_at(&self, index: u32) -> u64 {
        u64::from(self.head.skips) + u64::from(index) * SKIP_BYTES as u64
    }

    /// First value of block `index`, and where it stands among the blocks' bytes.
    #[inline]
    fn block_place(&self, index: u32) -> Result<(u32, std::ops::Range<u64>)> {
        let count = block_count(self.head.len);
        let end = u64::from(self.head.blocks_len);
        if count == 1 {
            return Ok((self.head.first, 0..end));
        }
        // One read takes in the next block's entry too, which says where this one ends.
        let has_next = index + 1 < count;
        let bytes = self.region.get(
            self.skip_at(index),
            if has_next { 2 * SKIP_BYTES } else { SKIP_BYTES },
        )?;
        let word = |index: usize| {
            let bytes = bytes.get(4 * index..)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*bytes))
        };
        match (word(0), word(1), word(3)) {
            (Some(first), Some(start), Some(next)) => Ok((first, start.into()..next.into())),
            (Some(first), Some(start), None) => Ok((first, start.into()..end)),
            _ => Err(self.bad_block(index)),
        }
    }

    #[inline]
    fn block(&self, index: u32) -> Result<Block<'a>> {
        let (first, range) = self.block_place(index)?;
        if range.start > range.end || range.end > u64::from(self.head.blocks_len) {
            return Err(self.bad_block(index));
        }
        // Below 2^32, which `blocks_len` is.
        let bytes_len = (range.end - range.start) as usize;
        let bytes = self.region.get(self.head.blocks + range.start, bytes_len)?;
        let before = index << BLOCK_SHIFT;
        let len = (self.head.len - before).min(BLOCK_LEN as u32) as usize;
        Block::split(first, len, bytes).ok_or_else(|| self.bad_block(index))
    }

    #[cold]
    fn bad_block(&self, index: u32) -> crate::Error {
        self.region.corrupt(
            self.head.blocks,
            format!(
                "a sound block {index} of a list of {} values",
                self.head.len
            ),
            "a block that contradicts itself",
        )
    }
}

/// Blocks of a list of `len` values.
#[inline]
const fn block_count(len: u32) -> u32 {
    len.div_ceil(BLOCK_LEN as u32)
}

/// An error of a [`Reader`] over the start of `region`, with the section and file of the region.
#[cold]
fn relocate(region: Region<'_>, error: crate::Error) -> crate::Error {
    match error {
        crate::Error::Corrupt(corruption) => {
            region.corrupt(corruption.offset, corruption.expected, corruption.found)
        }
        other => region.in_file(other),
    }
}

impl<'a> Block<'a> {
    #[inline]
    fn split(first: u32, len: usize, bytes: &'a [u8]) -> Option<Self> {
        if len <= 1 {
            // The only value stands in the header or the skip table.
            return (len == 1 && bytes.is_empty()).then_some(Self {
                first,
                len,
                low_width: 0,
                coded: &[],
                high: &[],
            });
        }
        let (&low_width, coded) = bytes.split_first()?;
        let low_width = u32::from(low_width);
        let high = coded.get(packed_len(len as u64 - 1, low_width) as usize..)?;
        if low_width > LOW_WIDTH_MAX || high.len() > HIGH_BYTES_MAX {
            return None;
        }
        Some(Self {
            first,
            len,
            low_width,
            coded,
            high,
        })
    }

    /// Puts value `index` (from 1) together from its high part.
    #[inline]
    fn value(&self, index: usize, high: usize) -> Option<u32> {
        let low = bits_of(
            self.coded,
            (index - 1) * self.low_width as usize,
            self.low_width,
        )?;
        let distance = ((high as u64) << self.low_width) | low;
        u32::try_from(u64::from(self.first) + distance).ok()
    }

    /// Value `index` of the block. Costs a scan of at most a few words.
    #[inline]
    fn get(&self, index: usize) -> Option<u32> {
        if index == 0 {
            return Some(self.first);
        }
        // The place of the one that ends value `index`, which is the (index - 1)-th from 0; the zeros
        // before it are the value's high part.
        let mut before = index as u32 - 1;
        for (at, word) in words(self.high) {
            let ones = word.count_ones();
            if before < ones {
                let place = at + select_in_word(word, before) as usize;
                return self.value(index, place - (index - 1));
            }
            before -= ones;
        }
        None
    }

    /// The index in the block of the first value of at least `x`, for an `x` above the first value; the
    /// block's length when all are smaller.
    fn lower_bound(&self, x: u32) -> Option<usize> {
        let distance = u64::from(x.checked_sub(self.first)?);
        let high_wanted = (distance >> self.low_width) as usize;
        // Values with a high part below that of x are smaller than x: skip whole words of them.
        let (mut index, mut zeros) = (1_usize, 0_usize);
        for (_, mut word) in words(self.high) {
            let word_zeros = word.count_zeros() as usize;
            if zeros + word_zeros < high_wanted {
                zeros += word_zeros;
                index += word.count_ones() as usize;
                continue;
            }
            // Walk the ones of this word: a one's rank among the word's bits gives its zeros before.
            let mut ones_seen = 0;
            while word != 0 {
                if index >= self.len {
                    return Some(self.len);
                }
                let place = word.trailing_zeros() as usize;
                word &= word - 1;
                let high = zeros + place - ones_seen;
                ones_seen += 1;
                if high > high_wanted || (high == high_wanted && self.value(index, high)? >= x) {
                    return Some(index);
                }
                index += 1;
            }
            zeros += word_zeros;
        }
        Some(self.len.min(index))
    }

    /// Decodes the whole block. Values may decrease when the bytes are damaged in a way that their
    /// checksum does not show; nothing here relies on that they do not.
    fn decode(&self, buffer: &mut [u32; BLOCK_LEN]) -> Option<()> {
        let (head, rest) = buffer.get_mut(..self.len)?.split_first_mut()?;
        *head = self.first;
        // First the high parts, the zeros before each one; then the low parts beside them.
        let mut slots = rest.iter_mut();
        let mut ones = 0;
        'words: for (at, mut word) in words(self.high) {
            while word != 0 {
                let Some(slot) = slots.next() else {
                    break 'words;
                };
                *slot = (at as u32 + word.trailing_zeros()).wrapping_sub(ones);
                word &= word - 1;
                ones += 1;
            }
        }
        if slots.len() > 0 {
            return None;
        }
        let width = self.low_width;
        let first = u64::from(self.first);
        let (mut low_at, mut largest) = (0_usize, 0_u64);
        for slot in rest {
            let low = bits_of(self.coded, low_at, width)?;
            low_at += width as usize;
            let value = first + (u64::from(*slot) << width | low);
            largest = largest.max(value);
            *slot = value as u32;
        }
        (largest <= u64::from(u32::MAX)).then_some(())
    }
}

/// The words of a run of bits with the place of each one's first bit; the last is filled up with zeros.
#[inline]
fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> + '_ {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut last = [0_u8; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let last = (!rest.is_empty()).then_some(last);
    let words = whole.iter().copied().chain(last);
    (0..).step_by(64).zip(words.map(u64::from_le_bytes))
}

/// The place of the `rank`-th one (from 0) of `word`, which has more than `rank` ones.
#[inline]
fn select_in_word(mut word: u64, mut rank: u32) -> u32 {
    let mut place = 0;
    for half in [32, 16, 8] {
        let ones = (word & ((1 << half) - 1)).count_ones();
        if rank >= ones {
            rank -= ones;
            word >>= half;
            place += half;
        }
    }
    for _ in 0..rank {
        word &= word.wrapping_sub(1);
    }
    place + word.trailing_zeros()
}

#[cfg(test)]
mod tests;
