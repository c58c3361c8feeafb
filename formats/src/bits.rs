//! Bit packing: integers of one to 64 bits back to back, without padding between them. Bit `n` of a
//! packed run is bit `n % 8` (the least significant is 0) of byte `n / 8`; a value's least significant
//! bit comes first. The last byte is filled up with zeros.

use crate::Result;
use crate::chunks::Region;

/// How many bits hold every value up to `max`: 0 for 0, 64 for `u64::MAX`.
#[inline]
pub const fn width_for(max: u64) -> u32 {
    u64::BITS - max.leading_zeros()
}

/// How many bytes `count` values of `width` bits take.
#[inline]
pub const fn packed_len(count: u64, width: u32) -> u64 {
    count.saturating_mul(width as u64).div_ceil(8)
}

/// The `width` lowest bits set; all of them from 64 on.
#[inline]
const fn mask(width: u32) -> u64 {
    match width {
        0 => 0,
        1..=63 => (1 << width) - 1,
        _ => u64::MAX,
    }
}

/// Packs values of any width into bytes.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that were not moved to `bytes` yet, the first of them lowest.
    pending: u64,
    /// How many of them there are, below 64 between calls.
    pending_bits: u32,
}

impl BitWriter {
    /// An empty run.
    pub fn new() -> Self {
        Self::default()
    }

    /// A run behind `bytes`, which stand before it among those packed in the end.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// Appends the `width` lowest bits of `value`; higher bits are left out. `width` is at most 64.
    #[inline]
    pub fn write(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 64, "a width of {width} bits");
        let width = width.min(64);
        let value = value & mask(width);
        let room = u64::BITS - self.pending_bits;
        self.pending |= value << self.pending_bits;
        if width < room {
            self.pending_bits += width;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_le_bytes());
        // All bits of the value are out where there was room for 64.
        self.pending = value.checked_shr(room).unwrap_or(0);
        self.pending_bits = width - room;
    }

    /// Moves the pending bits to the whole bytes, but those that do not fill a byte.
    fn settle(&mut self) {
        let whole = self.pending_bits / 8;
        let bytes = self.pending.to_le_bytes();
        self.bytes.extend(bytes.iter().take(whole as usize));
        self.pending >>= whole * 8;
        self.pending_bits %= 8;
    }

    /// Moves the whole bytes so far to the end of `out`; bits that do not fill a byte stay.
    pub fn drain_into(&mut self, out: &mut Vec<u8>) {
        self.settle();
        out.append(&mut self.bytes);
    }

    /// How many bits were appended, less those that were moved out.
    pub fn len_bits(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.pending_bits)
    }

    /// Moves the packed bytes to the end of `out`, the last one filled up with zeros, and begins a new run.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        self.drain_into(out);
        if self.pending_bits > 0 {
            out.push(self.pending as u8);
        }
        (self.pending, self.pending_bits) = (0, 0);
    }

    /// The packed bytes, the last one filled up with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        self.settle();
        if self.pending_bits > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Reads `width` bits (at most 64; a larger width reads 64) that begin at bit `bit_offset` of the
/// region. O(1).
///
/// # Errors
/// The bits lie outside the region, or the bytes there are damaged.
#[inline]
pub fn read_bits(region: Region<'_>, bit_offset: u64, width: u32) -> Result<u64> {
    let width = width.min(64);
    if width == 0 {
        return Ok(0);
    }
    let shift = (bit_offset & 7) as u32;
    let len = (shift + width).div_ceil(8) as usize;
    let bytes = region.get(bit_offset >> 3, len)?;
    // At most nine bytes: 64 bits that begin inside a byte.
    let word = match (bytes.first_chunk::<8>(), bytes.get(8)) {
        (Some(low), Some(high)) => u128::from(u64::from_le_bytes(*low)) | u128::from(*high) << 64,
        _ => u128::from(load_short(bytes)),
    };
    Ok((word >> shift) as u64 & mask(width))
}

/// The lowest `count` bits of at most 128.
#[inline]
pub(crate) const fn below(count: u64) -> u128 {
    match count {
        0..128 => (1 << count) - 1,
        _ => u128::MAX,
    }
}

/// The `count` (at most 128) bits from bit `start` on, as a set.
///
/// # Errors
/// As [`read_bits`].
#[inline]
pub(crate) fn bitmap(region: Region<'_>, start: u64, count: u64) -> Result<u128> {
    let low = read_bits(region, start, count.min(64) as u32)?;
    let high = match count {
        0..=64 => 0,
        _ => read_bits(region, start + 64, (count - 64).min(64) as u32)?,
    };
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// At most eight bytes as an integer, with two loads that may overlap instead of a loop.
#[inline]
fn load_short(bytes: &[u8]) -> u64 {
    let shift = |len: usize, part: usize| 8 * (len - part) as u32;
    if let (Some(all), 8) = (bytes.first_chunk::<8>(), bytes.len()) {
        u64::from_le_bytes(*all)
    } else if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*low))
            | u64::from(u32::from_le_bytes(*high)) << shift(bytes.len().min(8), 4)
    } else if let (Some(low), Some(high)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        u64::from(u16::from_le_bytes(*low))
            | u64::from(u16::from_le_bytes(*high)) << shift(bytes.len(), 2)
    } else {
        bytes.first().map_or(0, |byte| u64::from(*byte))
    }
}

/// As [`read_bits`] over plain bytes already checked, for widths up to 32. `None` outside of `bytes`.
#[inline]
pub(crate) fn bits_of(bytes: &[u8], bit_offset: usize, width: u32) -> Option<u64> {
    debug_assert!(width <= 32, "a width of {width} bits");
    if width == 0 {
        return Some(0);
    }
    let (start, shift) = (bit_offset >> 3, (bit_offset & 7) as u32);
    let tail = bytes.get(start..)?;
    let word = match tail.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => {
            let len = (shift + width).div_ceil(8) as usize;
            load_short(tail.get(..len)?)
        }
    };
    Some((word >> shift) & mask(width))
}

/// Bytes that eight values of 32 bits lie in that begin inside a byte, with eight bytes from each of their first ones on.
const WINDOW: usize = 40;

/// Reads one value after the other of the same width, at most 32, into `out`; the first begins at bit `bit_offset`.
/// `None` where they reach behind the bytes. Eight of them take as many bytes as they have bits, so that each eighth
/// begins at the same bit of a byte.
pub(crate) fn unpack(bytes: &[u8], bit_offset: usize, width: u32, out: &mut [u32]) -> Option<()> {
    debug_assert!(width <= 32, "a width of {width} bits");
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => unpack_eights::<$width>(bytes, bit_offset, out),)*
                _ => 0,
            }
        };
    }
    let done = by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    let width = width.min(32) as usize;
    let mut bit = bit_offset.checked_add(done * width)?;
    for value in out.iter_mut().skip(done) {
        *value = bits_of(bytes, bit, width as u32)? as u32;
        bit += width;
    }
    Some(())
}

/// As [`unpack`], eight values at a time for as long as there are bytes enough behind them. Says how many it read.
fn unpack_eights<const WIDTH: usize>(bytes: &[u8], bit_offset: usize, out: &mut [u32]) -> usize {
    let (mut start, shift) = (bit_offset >> 3, bit_offset & 7);
    let mut done = 0;
    let (eights, _) = out.as_chunks_mut::<8>();
    for eight in eights {
        let Some(window) = bytes.get(start..).and_then(<[u8]>::first_chunk::<WINDOW>) else {
            break;
        };
        for (place, value) in eight.iter_mut().enumerate() {
            // Where eight values begin is known beforehand, up to the shift: the compiler takes this apart.
            let (byte, bit) = (place * WIDTH / 8, place * WIDTH % 8);
            let word = window.get(byte..).and_then(<[u8]>::first_chunk::<8>);
            let word = word.map_or(0, |word| u64::from_le_bytes(*word));
            *value = (word >> (bit + shift) & mask(WIDTH as u32)) as u32;
        }
        start += WIDTH;
        done += 8;
    }
    done
}

/// Which of the first `count` (at most 128) values of the same width, at most 32, are `wanted`, which has no more bits;
/// the first value begins at bit `bit_offset`. `None` where they reach behind the bytes.
pub(crate) fn equal(
    bytes: &[u8],
    bit_offset: usize,
    width: u32,
    count: usize,
    wanted: u32,
) -> Option<u128> {
    match width {
        0 => Some(below(count as u64)),
        1..=7 => equal_by::<1, 16>(bytes, bit_offset, width, count, wanted),
        8..=14 => equal_by::<2, 16>(bytes, bit_offset, width, count, wanted),
        15..=28 => equal_by::<4, 32>(bytes, bit_offset, width, count, wanted),
        _ => equal_by::<8, 40>(bytes, bit_offset, width.min(32), count, wanted),
    }
}

/// As [`equal`], by so many loads for eight values, which lie in so many bytes from the first one's on: as many as stand
/// in one load are compared at once.
fn equal_by<const LOADS: usize, const WINDOW: usize>(
    bytes: &[u8],
    bit_offset: usize,
    width: u32,
    count: usize,
    wanted: u32,
) -> Option<u128> {
    let (mut start, shift) = (bit_offset >> 3, bit_offset & 7);
    let per_load = 8 / LOADS;
    let bits = width as usize;
    let lowest = (0..per_load).fold(0u64, |lowest, place| lowest | 1 << (place * bits));
    let highest = lowest << (width - 1);
    let all_wanted = lowest.wrapping_mul(wanted.into());
    let places: [usize; LOADS] = std::array::from_fn(|load| shift + load * per_load * bits);
    let one = |place: usize| {
        let value = bits_of(bytes, bit_offset + place * bits, width)?;
        Some(u128::from(value == u64::from(wanted)) << place)
    };
    let (mut found, mut done) = (0, 0);
    while done + 8 <= count {
        let Some(window) = bytes.get(start..).and_then(<[u8]>::first_chunk::<WINDOW>) else {
            break;
        };
        let mut hits = 0;
        for bit in places {
            let word = window.get(bit >> 3..)?.first_chunk::<8>()?;
            let others = (u64::from_le_bytes(*word) >> (bit & 7)) ^ all_wanted;
            // The highest bit of each value that is zero, and perhaps of others above such a one.
            hits |= others.wrapping_sub(lowest) & !others & highest;
        }
        if hits != 0 {
            for place in done..done + 8 {
                found |= one(place)?;
            }
        }
        start += bits;
        done += 8;
    }
    for place in done..count {
        found |= one(place)?;
    }
    Some(found)
}

/// Reads packed values one after the other from bytes already checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl<'a> BitReader<'a> {
    /// Reads from bit `bit` of `bytes` on.
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8], bit: usize) -> Self {
        Self { bytes, bit }
    }

    /// Leaves out the next `bits` bits.
    #[inline]
    pub(crate) const fn skip(&mut self, bits: u64) {
        self.bit = self.bit.saturating_add(bits as usize);
    }

    /// The next `width` bits, at most 64; `None` behind the end.
    #[inline]
    pub(crate) fn read(&mut self, width: u32) -> Option<u64> {
        let (start, shift) = (self.bit >> 3, (self.bit & 7) as u32);
        let value = match self.bytes.get(start..).and_then(<[u8]>::first_chunk) {
            Some(word) if shift + width <= 64 => (u64::from_le_bytes(*word) >> shift) & mask(width),
            _ => self.read_across(width)?,
        };
        self.bit = self.bit.checked_add(width as usize)?;
        Some(value)
    }

    /// As `read`, near the end or for many bits.
    #[cold]
    fn read_across(&self, width: u32) -> Option<u64> {
        if width <= 32 {
            return bits_of(self.bytes, self.bit, width);
        }
        let low = bits_of(self.bytes, self.bit, 32)?;
        let high = bits_of(self.bytes, self.bit.checked_add(32)?, width.min(64) - 32)?;
        Some(high << 32 | low)
    }
}

#[cfg(test)]
mod tests;
