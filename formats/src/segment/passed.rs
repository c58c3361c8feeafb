//! Keys that events of the range left without a row: those of deletes, of records without links, and of
//! updates that changed no link. Who asks whether an event was applied before finds them here, long after the
//! rows of such keys are gone.
//!
//! A key is told by its actor and by [`PASSED_HASH_BITS`] bits of a hash, as one number: the actor above the
//! hash. These numbers rise, each once, in blocks of 128:
//!
//! ```text
//! directory of passed keys, 12 bytes for each block
//!   u64   the block's first number
//!   u32   byte offset of the block
//! a block
//!   2     Elias-Fano head
//!   bits  each number less the first (Elias-Fano)
//! ```

use super::ef::EfHead;
use super::rows::{BLOCK, offset_u32};
use crate::bits::BitWriter;
use crate::bytes::{put_u32, put_u64};
use crate::chunks::Region;
use crate::{Error, Result};

/// Bits of the hash of a passed key. A key that is none is taken for one of its actor's n passed keys with
/// probability n / 2^28.
pub const PASSED_HASH_BITS: u32 = 28;

const ENTRY_BYTES: u64 = 12;
const HEAD: u64 = 2;

/// A key that an event of the range left without a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassedKey {
    /// The author.
    pub actor: u32,
    /// A hash of collection and record key, below 2^[`PASSED_HASH_BITS`]: the same function for all segments of
    /// a directory, and unknown to those who choose keys.
    pub hash: u32,
}

impl PassedKey {
    pub(super) const fn pack(self) -> u64 {
        (self.actor as u64) << PASSED_HASH_BITS | self.hash as u64
    }

    const fn unpack(number: u64) -> Self {
        Self {
            actor: (number >> PASSED_HASH_BITS) as u32,
            hash: (number & ((1 << PASSED_HASH_BITS) - 1)) as u32,
        }
    }
}

/// Encodes keys that come one by one, rising.
pub(super) struct PassedWriter {
    block: Vec<u64>,
    /// Bytes of the blocks so far.
    written: usize,
    count: usize,
}

impl PassedWriter {
    pub(super) fn new() -> Self {
        Self {
            block: Vec::with_capacity(BLOCK as usize),
            written: 0,
            count: 0,
        }
    }

    /// Keys so far.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Appends a key above the one before.
    pub(super) fn push(
        &mut self,
        key: PassedKey,
        directory: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) -> Result<()> {
        if self.block.len() == BLOCK as usize {
            self.flush(directory, data)?;
        }
        self.block.push(key.pack());
        self.count += 1;
        Ok(())
    }

    /// Ends the last block.
    pub(super) fn flush(&mut self, directory: &mut Vec<u8>, data: &mut Vec<u8>) -> Result<()> {
        let Some(&first) = self.block.first() else {
            return Ok(());
        };
        put_u64(directory, first);
        put_u32(
            directory,
            offset_u32(self.written, "bytes of passed keys in a segment")?,
        );
        for number in &mut self.block {
            *number = number.saturating_sub(first);
        }
        let last = self.block.last().copied().unwrap_or(0);
        let head = EfHead::choose(self.block.len() as u64, last);
        let mut bits = BitWriter::new();
        head.write(&self.block, &mut bits);
        let bits = bits.finish();
        data.extend_from_slice(&[head.low, head.high_max]);
        data.extend_from_slice(&bits);
        self.written += HEAD as usize + bits.len();
        self.block.clear();
        Ok(())
    }
}

/// The passed keys of a segment.
#[derive(Clone, Copy)]
pub(super) struct PassedBlocks<'a> {
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
    pub(super) count: u32,
}

impl<'a> PassedBlocks<'a> {
    pub(super) const fn blocks(&self) -> u32 {
        self.count.div_ceil(BLOCK)
    }

    /// First number and byte offset of a block.
    fn entry(&self, block: u32) -> Result<(u64, u64)> {
        let at = u64::from(block) * ENTRY_BYTES;
        let [a, b, c, d, e, f, g, h, i, j, k, l] =
            self.directory.array_at::<{ ENTRY_BYTES as usize }>(at)?;
        let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Ok((first, u32::from_le_bytes([i, j, k, l]).into()))
    }

    /// The numbers of a block, in `buffer`.
    fn decode<'b>(&self, block: u32, buffer: &'b mut [u64; BLOCK as usize]) -> Result<&'b [u64]> {
        let (first, start) = self.entry(block)?;
        let before = block.saturating_mul(BLOCK);
        let count = self.count.saturating_sub(before).min(BLOCK);
        let [low, high_max] = self.data.array_at::<{ HEAD as usize }>(start)?;
        let head = EfHead { low, high_max };
        let len = head.bit_len(count.into()).div_ceil(8);
        let bytes = self.data.get(start + HEAD, len as usize)?;
        let Some(numbers) = buffer.get_mut(..count as usize) else {
            return Ok(&[]);
        };
        if head.decode(bytes, 0, numbers).is_none() {
            return Err(self.damaged(start, "a number for each place", "fewer"));
        }
        for number in &mut *numbers {
            let Some(sum) = number.checked_add(first) else {
                return Err(self.damaged(start, "numbers of 64 bits", *number));
            };
            *number = sum;
        }
        Ok(numbers)
    }

    /// How many blocks begin at or before `wanted`.
    fn blocks_up_to(&self, wanted: u64) -> Result<u32> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Whether `key` is one of them. O(log keys), and one block is decoded.
    pub(super) fn contains(&self, key: PassedKey) -> Result<bool> {
        let wanted = key.pack();
        let Some(block) = self.blocks_up_to(wanted)?.checked_sub(1) else {
            return Ok(false);
        };
        let mut buffer = [0; BLOCK as usize];
        Ok(self
            .decode(block, &mut buffer)?
            .binary_search(&wanted)
            .is_ok())
    }

    /// The first of them that is `key` or behind it. O(log keys), and at most one block is decoded.
    pub(super) fn at_or_behind(&self, key: PassedKey) -> Result<Option<PassedKey>> {
        let wanted = key.pack();
        let next = self.blocks_up_to(wanted)?;
        if let Some(block) = next.checked_sub(1) {
            let mut buffer = [0; BLOCK as usize];
            let numbers = self.decode(block, &mut buffer)?;
            let at = numbers.partition_point(|number| *number < wanted);
            if let Some(number) = numbers.get(at) {
                return Ok(Some(PassedKey::unpack(*number)));
            }
        }
        if next == self.blocks() {
            return Ok(None);
        }
        Ok(Some(PassedKey::unpack(self.entry(next)?.0)))
    }

    #[cold]
    pub(super) fn damaged(&self, at: u64, expected: &str, found: impl ToString) -> Error {
        self.data.corrupt(at, expected, found)
    }

    /// Checks that the directory and the blocks stand back to back, and that keys rise.
    pub(super) fn verify(&self) -> Result<()> {
        let entries = u64::from(self.blocks()) * ENTRY_BYTES;
        if self.directory.len() != entries {
            let found = self.directory.len();
            return Err(self.directory.corrupt(
                0,
                format!("{entries} bytes for {} keys", self.count),
                found,
            ));
        }
        let (mut end, mut before) = (0, None);
        let mut buffer = [0; BLOCK as usize];
        for block in 0..self.blocks() {
            let (first, start) = self.entry(block)?;
            if start != end {
                let at = u64::from(block) * ENTRY_BYTES;
                return Err(self.directory.corrupt(at, format!("offset {end}"), start));
            }
            let numbers = self.decode(block, &mut buffer)?;
            if numbers.first() != Some(&first) {
                return Err(self.damaged(start, "the first number of the directory", first));
            }
            for &number in numbers {
                if before >= Some(number) || number >> (32 + PASSED_HASH_BITS) != 0 {
                    return Err(self.damaged(start, "rising keys of actors", number));
                }
                before = Some(number);
            }
            let [low, high_max] = self.data.array_at::<{ HEAD as usize }>(start)?;
            let head = EfHead { low, high_max };
            end = start + HEAD + head.bit_len(numbers.len() as u64).div_ceil(8);
        }
        if end != self.data.len() {
            return Err(self.damaged(end, "the end of the section", self.data.len()));
        }
        Ok(())
    }

    pub(super) const fn iter(self) -> PassedKeys<'a> {
        PassedKeys {
            blocks: self,
            buffer: [0; BLOCK as usize],
            next: 0,
        }
    }
}

/// The passed keys of a segment, rising. Ends after an error.
#[derive(Clone)]
pub struct PassedKeys<'s> {
    blocks: PassedBlocks<'s>,
    /// The block that `next` is in, once its first key was read.
    buffer: [u64; BLOCK as usize],
    next: u32,
}

impl Iterator for PassedKeys<'_> {
    type Item = Result<PassedKey>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.blocks.count {
            return None;
        }
        let place = self.next % BLOCK;
        if place == 0
            && let Err(error) = self.blocks.decode(self.next / BLOCK, &mut self.buffer)
        {
            self.next = u32::MAX;
            return Some(Err(error));
        }
        self.next += 1;
        let number = self.buffer.get(place as usize).copied().unwrap_or(0);
        Some(Ok(PassedKey::unpack(number)))
    }
}
