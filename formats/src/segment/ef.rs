//! Elias–Fano codes of one block (at most 128 non-decreasing numbers), without any header: what
//! describes the code is two bytes that the block keeps in its own head. Elias 1974, Fano 1971;
//! Vigna, "Quasi-succinct indices", WSDM 2013.
//!
//! The low `low` bits of each number are packed; the rest of the i-th number, `h`, is a one at bit
//! `h + i` of the high part, which has `n + high_max` bits. A block of zeros has no bits at all.

use crate::bits::{BitReader, BitWriter, read_bits};
use crate::chunks::Region;
use crate::{Error, Result};

/// The two bytes that describe a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct EfHead {
    /// Low bits of each number.
    pub(super) low: u8,
    /// The high part of the last number.
    pub(super) high_max: u8,
}

impl EfHead {
    /// The shortest code for `count` numbers up to `max`.
    pub(super) fn choose(count: u64, max: u64) -> Self {
        let low_min = 64 - (max >> 8).leading_zeros();
        let mut low = low_min;
        let mut best = (u64::MAX, Self::default());
        // A low part one bit wider costs `count` bits and at most halves the high part, which is at
        // most 255: eight steps see every optimum.
        while low <= 56 && low <= low_min + 8 {
            let high = max.checked_shr(low).unwrap_or(0);
            let bits = count * u64::from(low) + high;
            if bits < best.0
                && let (Ok(low), Ok(high_max)) = (u8::try_from(low), u8::try_from(high))
            {
                best = (bits, Self { low, high_max });
            }
            low += 1;
        }
        best.1
    }

    /// Bits of the code of `count` numbers.
    pub(super) fn bit_len(self, count: u64) -> u64 {
        if self == Self::default() {
            return 0;
        }
        count * (u64::from(self.low) + 1) + u64::from(self.high_max)
    }

    /// Appends the code.
    pub(super) fn write(self, values: &[u64], bits: &mut BitWriter) {
        if self == Self::default() {
            return;
        }
        let low = u32::from(self.low);
        let mask = (1u64 << low) - 1;
        for &value in values {
            bits.write(value & mask, low);
        }
        let mut at = 0;
        for &value in values {
            let mut zeros = (value >> low) - at;
            at += zeros;
            while zeros > 32 {
                bits.write(0, 32);
                zeros -= 32;
            }
            // At most 33 bits: the zeros, then the one.
            bits.write(1 << zeros, zeros as u32 + 1);
        }
    }

    /// The number at `index` of a code of `count` numbers that starts at bit `start`.
    pub(super) fn read(
        self,
        region: Region<'_>,
        start: u64,
        count: u64,
        index: u64,
    ) -> Result<u64> {
        if self == Self::default() {
            return Ok(0);
        }
        if self.low > 56 || index >= count {
            return Err(damaged(region, start, "at most 56 low bits", self.low));
        }
        let low_bits = u32::from(self.low);
        let low = read_bits(region, start + index * u64::from(self.low), low_bits)?;
        let high_start = start + count * u64::from(self.low);
        let high_len = count + u64::from(self.high_max);
        let (mut at, mut rank) = (0, index as u32);
        while at < high_len {
            let width = (high_len - at).min(64);
            let word = read_bits(region, high_start + at, width as u32)?;
            let ones = word.count_ones();
            if rank < ones {
                let high = at + u64::from(select(word, rank)) - index;
                return Ok(high << low_bits | low);
            }
            rank -= ones;
            at += width;
        }
        Err(damaged(region, start, "a one for each number", "fewer"))
    }
}

impl EfHead {
    /// All numbers of a code that starts at bit `start` of `bytes`; `out` has one place for each. `None`
    /// for damage.
    pub(super) fn decode(self, bytes: &[u8], start: u64, out: &mut [u64]) -> Option<()> {
        if self == Self::default() {
            out.fill(0);
            return Some(());
        }
        if self.low > 56 {
            return None;
        }
        let count = out.len() as u64;
        let low_bits = u32::from(self.low);
        let mut lows = BitReader::new(bytes, start as usize);
        let mut highs = BitReader::new(bytes, (start + count * u64::from(self.low)) as usize);
        let len = count + u64::from(self.high_max);
        let (mut at, mut before) = (0, 0);
        let mut slots = out.iter_mut();
        while at < len {
            let width = (len - at).min(64);
            let mut word = highs.read(width as u32)?;
            while word != 0 {
                let place = at + u64::from(word.trailing_zeros());
                word &= word - 1;
                *slots.next()? = (place - before) << low_bits | lows.read(low_bits)?;
                before += 1;
            }
            at += width;
        }
        (before == count).then_some(())
    }
}

/// The position of the one with `rank` ones below it, of which `word` has more than `rank`.
pub(in crate::segment) fn select(word: u64, rank: u32) -> u32 {
    let (mut word, mut rank, mut at) = (word, rank, 0);
    loop {
        let ones = (word & 0xff).count_ones();
        if rank < ones || at >= 56 {
            break;
        }
        rank -= ones;
        word >>= 8;
        at += 8;
    }
    for _ in 0..rank {
        word &= word.wrapping_sub(1);
    }
    at + word.trailing_zeros()
}

#[cold]
fn damaged(region: Region<'_>, bit: u64, expected: &str, found: impl ToString) -> Error {
    region.corrupt(bit / 8, expected, found)
}
