//! Writing a list.

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
    put_varint(out, values.len() as u64);
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
        return;
    };
    let mut skips = Vec::new();
    let mut blocks = Vec::new();
    for block in values.chunks(BLOCK_LEN) {
        put_u32(&mut skips, block.first().copied().unwrap_or_default());
        // At most five bytes a value, of fewer than 2^32 values that share 2^32: a block takes far less
        // than 2^32 bytes, and all together do while the list has below 2^29 values.
        put_u32(&mut skips, blocks.len() as u32);
        encode_block(block, &mut blocks);
    }
    put_varint(out, blocks.len() as u64);
    put_varint(out, u64::from(first));
    put_varint(out, u64::from(last.saturating_sub(first)));
    if values.len() > BLOCK_LEN {
        out.extend_from_slice(&skips);
    }
    out.extend_from_slice(&blocks);
}

fn encode_block(block: &[u32], out: &mut Vec<u8>) {
    let Some((&first, others)) = block.split_first() else {
        return;
    };
    let Some(&last) = others.last() else {
        return;
    };
    // Vigna's choice: the low bits' width is the binary logarithm of the mean distance, rounded down.
    let range = last.saturating_sub(first);
    let low_width = (range / others.len() as u32).checked_ilog2().unwrap_or(0);
    let (mut low, mut high) = (BitWriter::new(), BitWriter::new());
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
    out.extend_from_slice(&low.finish());
    out.extend_from_slice(&high.finish());
}
