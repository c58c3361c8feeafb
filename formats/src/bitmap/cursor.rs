//! Walking a bitmap up and down, container by container, without memory of its own.

use super::container::{Container, run_ends};
use super::{Bitmap, join, split};
use crate::Result;

/// Where a cursor stands inside a container.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// Values still to come.
    Array(&'a [[u8; 2]]),
    /// The words, the index of the current one, and its bits still to come.
    Bits(&'a [[u8; 8]], u32, u64),
    /// Runs still to come behind the current one, and the current one's first and last value.
    Runs(&'a [[u8; 4]], Option<(u16, u16)>),
}

/// A run's ends, of which the last is at most the largest value.
fn clamped(run: [u8; 4]) -> (u16, u16) {
    let (start, end) = run_ends(run);
    (start, u16::try_from(end).unwrap_or(u16::MAX))
}

fn word_at(words: &[[u8; 8]], index: u32) -> Option<u64> {
    words
        .get(index as usize)
        .map(|word| u64::from_le_bytes(*word))
}

impl<'a> Place<'a> {
    /// Before the smallest value of at least `low`.
    fn at_least(container: Container<'a>, low: u16) -> Self {
        match container {
            Container::Array(values) => {
                let start = values.partition_point(|v| u16::from_le_bytes(*v) < low);
                Self::Array(values.get(start..).unwrap_or_default())
            }
            Container::Bits(words, _) => {
                let index = u32::from(low >> 6);
                let word = word_at(words, index).unwrap_or(0);
                Self::Bits(words, index, word & (u64::MAX << (low & 63)))
            }
            Container::Runs(runs, _) => {
                let start = runs.partition_point(|run| clamped(*run).1 < low);
                let mut runs = runs.get(start..).unwrap_or_default();
                let current = runs.split_off_first().map(|run| {
                    let (start, end) = clamped(*run);
                    (start.max(low), end)
                });
                Self::Runs(runs, current)
            }
        }
    }

    /// Behind the largest value of at most `low`.
    fn at_most(container: Container<'a>, low: u16) -> Self {
        match container {
            Container::Array(values) => {
                let end = values.partition_point(|v| u16::from_le_bytes(*v) <= low);
                Self::Array(values.get(..end).unwrap_or_default())
            }
            Container::Bits(words, _) => {
                let index = u32::from(low >> 6);
                let word = word_at(words, index).unwrap_or(0);
                Self::Bits(words, index, word & (u64::MAX >> (63 - (low & 63))))
            }
            Container::Runs(runs, _) => {
                let end = runs.partition_point(|run| clamped(*run).0 <= low);
                let mut runs = runs.get(..end).unwrap_or_default();
                let current = runs.split_off_last().map(|run| {
                    let (start, end) = clamped(*run);
                    (start, end.min(low))
                });
                Self::Runs(runs, current)
            }
        }
    }

    fn next_up(&mut self) -> Option<u16> {
        match self {
            Self::Array(values) => values.split_off_first().map(|v| u16::from_le_bytes(*v)),
            Self::Bits(words, index, word) => {
                while *word == 0 {
                    *word = word_at(words, *index + 1)?;
                    *index += 1;
                }
                let low = 64 * *index + word.trailing_zeros();
                *word &= *word - 1;
                u16::try_from(low).ok()
            }
            Self::Runs(runs, current) => {
                let (start, end) = (*current)?;
                // Damage may leave a run that was cut to nothing; it is passed over as a single value.
                *current = if start < end {
                    Some((start + 1, end))
                } else {
                    runs.split_off_first().map(|run| clamped(*run))
                };
                Some(start)
            }
        }
    }

    /// Writes as many of the next values as `out` has places; the upper 16 bits are `key`. Says how many.
    fn fill_up(&mut self, key: u16, out: &mut [u32]) -> usize {
        match self {
            Self::Array(values) => {
                let count = values.len().min(out.len());
                let some = values.split_off(..count).unwrap_or_default();
                for (to, low) in out.iter_mut().zip(some) {
                    *to = join(key, u16::from_le_bytes(*low));
                }
                count
            }
            Self::Runs(runs, current) => {
                let mut filled = 0;
                while let Some((start, end)) = *current
                    && let Some(room) = out.get_mut(filled..)
                    && !room.is_empty()
                {
                    // As `next_up`, a run that was cut to nothing counts as a single value.
                    let left = usize::from(end.saturating_sub(start)) + 1;
                    let count = left.min(room.len());
                    let first = join(key, start);
                    for (to, place) in room.iter_mut().take(count).zip(0u32..) {
                        *to = first.wrapping_add(place);
                    }
                    filled += count;
                    *current = if count < left {
                        // Fewer than `left`, which reaches to `end` at most.
                        Some((start.saturating_add(count as u16), end))
                    } else {
                        runs.split_off_first().map(|run| clamped(*run))
                    };
                }
                filled
            }
            Self::Bits(..) => {
                let mut filled = 0;
                for to in out {
                    let Some(low) = self.next_up() else {
                        break;
                    };
                    *to = join(key, low);
                    filled += 1;
                }
                filled
            }
        }
    }

    fn next_down(&mut self) -> Option<u16> {
        match self {
            Self::Array(values) => values.split_off_last().map(|v| u16::from_le_bytes(*v)),
            Self::Bits(words, index, word) => {
                while *word == 0 {
                    *index = index.checked_sub(1)?;
                    *word = word_at(words, *index)?;
                }
                let place = 63 - word.leading_zeros();
                *word &= !(1 << place);
                u16::try_from(64 * *index + place).ok()
            }
            Self::Runs(runs, current) => {
                let (start, end) = (*current)?;
                *current = if start < end {
                    Some((start, end - 1))
                } else {
                    runs.split_off_last().map(|run| clamped(*run))
                };
                Some(end)
            }
        }
    }
}

/// Values of a bitmap in ascending order; made by [`Bitmap::iter_from`]. Ends after an error.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    bitmap: Bitmap<'a>,
    /// Key and place in the current container.
    current: Option<(u16, Place<'a>)>,
    /// The container to open next, once the first was found.
    next: Option<u32>,
    from: u32,
}

impl<'a> Iter<'a> {
    pub(super) fn new(bitmap: Bitmap<'a>, from: u32) -> Self {
        Self {
            bitmap,
            current: None,
            next: None,
            from,
        }
    }

    #[cold]
    fn advance(&mut self) -> Result<bool> {
        let (from_key, from_low) = split(self.from);
        let index = match self.next {
            Some(index) => index,
            None => self.bitmap.first_of_key(from_key)?,
        };
        let Some(key) = self.bitmap.key(index)? else {
            return Ok(false);
        };
        let low = if key == from_key { from_low } else { 0 };
        let container = self.bitmap.container(index)?;
        self.current = Some((key, Place::at_least(container, low)));
        self.next = Some(index + 1);
        Ok(true)
    }

    /// Writes the next values into `out`: as many as it has places, fewer only where the bitmap ends. Says how
    /// many.
    ///
    /// # Errors
    /// The bytes are damaged; the walk ends with that.
    pub fn fill(&mut self, out: &mut [u32]) -> Result<usize> {
        let mut filled = 0;
        loop {
            let room = out.get_mut(filled..).unwrap_or_default();
            if room.is_empty() {
                return Ok(filled);
            }
            if let Some((key, place)) = &mut self.current {
                let count = place.fill_up(*key, room);
                if count > 0 {
                    filled += count;
                    continue;
                }
            }
            match self.advance() {
                Ok(true) => {}
                ended => {
                    self.current = None;
                    self.next = Some(self.bitmap.containers);
                    return ended.map(|_| filled);
                }
            }
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<u32>;

    #[inline]
    fn next(&mut self) -> Option<Result<u32>> {
        loop {
            if let Some((key, place)) = &mut self.current
                && let Some(low) = place.next_up()
            {
                return Some(Ok(join(*key, low)));
            }
            match self.advance() {
                Ok(true) => {}
                ended => {
                    self.current = None;
                    self.next = Some(self.bitmap.containers);
                    return ended.err().map(Err);
                }
            }
        }
    }
}

/// Values of a bitmap in descending order; made by [`Bitmap::iter_back_from`]. Ends after an error.
#[derive(Debug, Clone)]
pub struct IterBack<'a> {
    bitmap: Bitmap<'a>,
    /// Key and place in the current container.
    current: Option<(u16, Place<'a>)>,
    /// One more than the container to open next, once the first was found.
    next: Option<u32>,
    from: u32,
}

impl<'a> IterBack<'a> {
    pub(super) fn new(bitmap: Bitmap<'a>, from: u32) -> Self {
        Self {
            bitmap,
            current: None,
            next: None,
            from,
        }
    }

    #[cold]
    fn advance(&mut self) -> Result<bool> {
        let (from_key, from_low) = split(self.from);
        let behind = match self.next {
            Some(behind) => behind,
            // Behind the last container whose key is at most that of the start.
            None => match from_key.checked_add(1) {
                Some(above) => self.bitmap.first_of_key(above)?,
                None => self.bitmap.containers,
            },
        };
        let Some(index) = behind.checked_sub(1) else {
            return Ok(false);
        };
        let (key, _) = self.bitmap.descriptor(index)?;
        let low = if key == from_key { from_low } else { u16::MAX };
        let container = self.bitmap.container(index)?;
        self.current = Some((key, Place::at_most(container, low)));
        self.next = Some(index);
        Ok(true)
    }
}

impl Iterator for IterBack<'_> {
    type Item = Result<u32>;

    #[inline]
    fn next(&mut self) -> Option<Result<u32>> {
        loop {
            if let Some((key, place)) = &mut self.current
                && let Some(low) = place.next_down()
            {
                return Some(Ok(join(*key, low)));
            }
            match self.advance() {
                Ok(true) => {}
                ended => {
                    self.current = None;
                    self.next = Some(0);
                    return ended.err().map(Err);
                }
            }
        }
    }
}
