//! Which rows are masked, 64 at a time: for lists that are read from end to end.

use orrery_formats::mask::CHUNK_ROWS;

use super::bits::Bits;
use crate::Result;

const WORDS: u32 = CHUNK_ROWS / 64;

/// The masked rows of a segment as words, bit *i* mod 64 of word *i* / 64 for row *i*; keeps its place.
pub(crate) struct Words<'m> {
    bits: Bits<'m>,
    /// The chunk that `words` are of.
    chunk: Option<u32>,
    words: [u64; WORDS as usize],
}

impl<'m> Words<'m> {
    pub(super) const fn new(bits: Bits<'m>) -> Self {
        Self {
            bits,
            chunk: None,
            words: [0; WORDS as usize],
        }
    }

    #[inline]
    fn word(&mut self, number: u32) -> Result<u64> {
        if self.chunk != Some(number / WORDS) {
            self.turn(number / WORDS)?;
        }
        let word = self.words.get((number % WORDS) as usize);
        Ok(word.copied().unwrap_or(0))
    }

    #[cold]
    fn turn(&mut self, chunk: u32) -> Result<()> {
        let bits = self.bits.chunk(chunk)?;
        let masked = bits.dead.iter().zip(&bits.hidden).map(|(a, b)| a | b);
        for (word, masked) in self.words.iter_mut().zip(masked) {
            *word = masked;
        }
        self.chunk = Some(chunk);
        Ok(())
    }

    /// Which of up to 128 rising rows are masked, the first in the lowest bit.
    pub(crate) fn masked(&mut self, rows: &[u32]) -> Result<u128> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(0);
        };
        let len = rows.len() as u32;
        let mut masked = 0;
        if last.wrapping_sub(*first) == len - 1 && len <= u128::BITS {
            let (mut number, mut filled) = (first / 64, 64 - first % 64);
            masked = u128::from(self.word(number)? >> (first % 64));
            while filled < len {
                number += 1;
                masked |= u128::from(self.word(number)?) << filled;
                filled += 64;
            }
            return Ok(masked & u128::MAX >> (u128::BITS - len));
        }
        for (place, row) in (0..u128::BITS).zip(rows) {
            masked |= u128::from(self.word(row / 64)? >> (row % 64) & 1) << place;
        }
        Ok(masked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mask;
    use crate::memtable::{DEAD, HIDDEN};

    #[test]
    fn words_say_of_rows_what_their_states_do_and_newer_states_win() {
        let mut x = 3u32;
        let mut random = |below: u32| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) % below
        };
        let mut mask = Mask::default();
        for _ in 0..1_500 {
            let state = [DEAD, HIDDEN][random(2) as usize];
            mask.set_state(random(5_000), state).unwrap();
        }
        let newer: Vec<(u32, u8)> = (0..400).map(|_| (random(5_000), random(4) as u8)).collect();
        let masked = |row: u32| {
            let newest = newer.iter().rev().find(|(changed, _)| *changed == row);
            newest.map_or(mask.state(row).unwrap(), |(_, state)| u64::from(*state)) != 0
        };
        let mut words = mask.words(newer.iter().copied());
        for step in [1, 1, 1, 2, 40] {
            let mut first = random(70);
            while first < 5_000 {
                let len = 1 + random(128);
                let rows: Vec<u32> = (0..len).map(|i| first + i * step).collect();
                let found = words.masked(&rows).unwrap();
                for place in 0..128 {
                    let expected = rows.get(place as usize).is_some_and(|row| masked(*row));
                    assert_eq!(found >> place & 1 == 1, expected, "{place} of {rows:?}");
                }
                first += len * step;
            }
        }
        assert_eq!(words.masked(&[]).unwrap(), 0);
    }
}
