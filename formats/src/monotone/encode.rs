//! Writing a list, at once or value by value.

use super::BLOCK_LEN;
use crate::bits::BitWriter;
use crate::bytes::{put_u32, put_varint};

/// Appends `values`, which do not decrease and number at most `u32::MAX`, to `out`. Takes about
/// `2 + log2(range / values)` bits a value.
///
/// ```
/// use orrery_formats::chunks::Region;
/// use orrery_formats::monotone::{Monotone, encode};
///
/// let mut bytes = Vec::new();
/// encode(&[3, 8, 8, 21], &mut bytes);
/// let list = Monotone::open(Region::over("list", &bytes))?;
/// assert_eq!(list.get(2)?, 8);
/// assert_eq!(list.lower_bound(9)?, 3);
/// # Ok::<(), orrery_formats::Error>(())
/// ```
pub fn encode(values: &[u32], out: &mut Vec<u8>) {
    debug_assert!(values.is_sorted(), "a list that decreases");
    debug_assert!(u32::try_from(values.len()).is_ok(), "too many values");
    let mut encoder = Encoder::new();
    let (mut skips, mut blocks) = (Vec::new(), Vec::new());
    for &value in values {
        encoder.push(value, &mut skips, &mut blocks);
    }
    encoder.finish(&mut skips, &mut blocks, out);
    out.extend_from_slice(&skips);
    out.extend_from_slice(&blocks);
}

/// Encodes a list value by value. The bytes of a list are its head, its skip table and its blocks, in
/// this order; the last two grow while values come, the head is known at the end. Whoever keeps them may
/// move out what was appended at any time.
#[derive(Debug, Clone)]
pub struct Encoder {
    pending: Vec<u32>,
    len: u32,
    first: u32,
    last: u32,
    /// Bytes of the blocks so far.
    blocks_len: u64,
    /// Low and high parts of the block being written.
    low: BitWriter,
    high: BitWriter,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pending: Vec::with_capacity(BLOCK_LEN),
            len: 0,
            first: 0,
            last: 0,
            blocks_len: 0,
            low: BitWriter::new(),
            high: BitWriter::new(),
        }
    }

    /// Values so far.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no value came.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last value, 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Appends a value, at least the one before; of at most `u32::MAX`.
    #[inline]
    pub fn push(&mut self, value: u32, skips: &mut Vec<u8>, blocks: &mut Vec<u8>) {
        debug_assert!(self.last <= value, "a list that decreases");
        if self.pending.len() == BLOCK_LEN {
            self.flush(skips, blocks);
        }
        if self.len == 0 {
            self.first = value;
        }
        self.pending.push(value);
        self.len = self.len.saturating_add(1);
        self.last = value;
    }

    fn flush(&mut self, skips: &mut Vec<u8>, blocks: &mut Vec<u8>) {
        put_u32(skips, self.pending.first().copied().unwrap_or_default());
        // At most five bytes a value, of fewer than 2^32 values that share 2^32: a block takes far less
        // than 2^32 bytes, and all together do while the list has below 2^29 values.
        put_u32(skips, self.blocks_len as u32);
        let before = blocks.len();
        self.encode_block(blocks);
        self.blocks_len += (blocks.len() - before) as u64;
        self.pending.clear();
    }

    /// Ends the list: appends what is left to `skips` and `blocks`, and the head to `head`. A list of one
    /// block has no skip table: `skips` is emptied then, of which nothing was moved out before.
    pub fn finish(mut self, skips: &mut Vec<u8>, blocks: &mut Vec<u8>, head: &mut Vec<u8>) {
        put_varint(head, u64::from(self.len));
        if self.len == 0 {
            return;
        }
        self.flush(skips, blocks);
        if self.len as usize <= BLOCK_LEN {
            skips.clear();
        }
        put_varint(head, self.blocks_len);
        put_varint(head, u64::from(self.first));
        put_varint(head, u64::from(self.last.saturating_sub(self.first)));
    }

    /// Appends the block of the pending values to `out`.
    fn encode_block(&mut self, out: &mut Vec<u8>) {
        let Self {
            pending, low, high, ..
        } = self;
        let Some((&first, others)) = pending.split_first() else {
            return;
        };
        let Some(&last) = others.last() else {
            return;
        };
        // Vigna's choice: the low bits' width is the binary logarithm of the mean distance, rounded down.
        let range = last.saturating_sub(first);
        let low_width = (range / others.len() as u32).checked_ilog2().unwrap_or(0);
        let mut high_before = 0;
        for value in others {
            let distance = u64::from(value.saturating_sub(first));
            low.write(distance, low_width);
            let high_now = distance >> low_width;
            let mut zeros = high_now.saturating_sub(high_before);
            high_before = high_now;
            while zeros > 63 {
                high.write(0, 63);
                zeros -= 63;
            }
            high.write(1 << zeros, zeros as u32 + 1);
        }
        out.push(low_width as u8);
        low.finish_into(out);
        high.finish_into(out);
    }
}
