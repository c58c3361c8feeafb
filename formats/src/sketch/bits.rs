//! A run of bits that is read from the front, with unary numbers.

/// Reads bits, the least significant of each byte first. Beyond the end all bits are zero, and
/// [`is_at_end`](Self::is_at_end) tells.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    word: u64,
    /// Bits in `word` that were not read.
    left: u32,
    over: bool,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            word: 0,
            left: 0,
            over: false,
        }
    }

    /// Makes at least 32 bits ready, as long as there are any.
    #[inline]
    fn fill(&mut self) {
        if self.left > 32 {
            return;
        }
        if let Some((bytes, rest)) = self.rest.split_first_chunk::<4>() {
            self.word |= u64::from(u32::from_le_bytes(*bytes)) << self.left;
            self.left += 32;
            self.rest = rest;
        } else {
            while let Some((byte, rest)) = self.rest.split_first() {
                self.word |= u64::from(*byte) << self.left;
                self.left += 8;
                self.rest = rest;
            }
        }
    }

    #[inline]
    fn take(&mut self, bits: u32) {
        if bits > self.left {
            self.over = true;
            (self.word, self.left) = (0, 0);
        } else {
            // At most 33 bits are taken at once.
            self.word >>= bits;
            self.left -= bits;
        }
    }

    /// The next `width` bits, at most 32.
    #[inline]
    pub(super) fn read(&mut self, width: u32) -> u32 {
        self.fill();
        let value = self.word & ((1 << width) - 1);
        self.take(width);
        value as u32
    }

    /// How many ones stand before the next zero, which is read too. More than `max` is too much to read.
    #[inline]
    pub(super) fn ones(&mut self, max: u32) -> u32 {
        let mut count = 0;
        loop {
            self.fill();
            let ones = self.word.trailing_ones().min(self.left).min(32);
            count += ones;
            if count > max || (ones == self.left && self.rest.is_empty()) {
                self.over = true;
                return max;
            }
            if ones < self.left && ones < 32 {
                self.take(ones + 1);
                return count;
            }
            self.take(ones);
        }
    }

    /// What [`read`](Self::read) of `width` bits (at most 32) and then [`ones`](Self::ones) twice give, where it is
    /// all at hand; otherwise nothing is read.
    #[inline]
    pub(super) fn read_and_ones_twice(&mut self, width: u32) -> Option<(u32, u32, u32)> {
        self.fill();
        let value = self.word & ((1 << width) - 1);
        let rest = self.word >> width;
        let first = rest.trailing_ones();
        let second = rest.checked_shr(first + 1)?.trailing_ones();
        let all = width + first + 1 + second + 1;
        if all > self.left || all >= u64::BITS {
            return None;
        }
        self.word >>= all;
        self.left -= all;
        Some((value as u32, first, second))
    }

    /// Whether all was read but zeros up to the end of the last byte.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.fill();
        !self.over && self.rest.is_empty() && self.left < 8 && self.word == 0
    }
}
