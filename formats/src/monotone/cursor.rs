//! Walking a list up and down. Both cursors decode a block at a time into themselves and allocate
//! nothing.

use super::{BLOCK_LEN, BLOCK_SHIFT, Monotone};
use crate::Result;

/// Values of a list in ascending order; made by [`Monotone::iter_from`]. Ends after an error.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    list: Monotone<'a>,
    /// The index in the list of the value to come.
    next: u32,
    /// How many values of the buffer are decoded; those of the block of `next`, or none.
    decoded: usize,
    buffer: [u32; BLOCK_LEN],
}

impl<'a> Iter<'a> {
    pub(super) fn new(list: Monotone<'a>, next: u32) -> Self {
        Self {
            list,
            next,
            decoded: 0,
            buffer: [0; BLOCK_LEN],
        }
    }

    #[cold]
    fn refill(&mut self) -> Result<()> {
        let block = self.list.decode(self.next >> BLOCK_SHIFT, &mut self.buffer);
        match block {
            Ok(values) => self.decoded = values.len(),
            Err(error) => {
                self.next = self.list.head.len;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<u32>;

    #[inline]
    fn next(&mut self) -> Option<Result<u32>> {
        if self.next >= self.list.head.len {
            return None;
        }
        let within = self.next as usize % BLOCK_LEN;
        if (within == 0 || self.decoded == 0)
            && let Err(error) = self.refill()
        {
            return Some(Err(error));
        }
        self.next += 1;
        self.buffer.get(within).copied().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error cuts the rest off.
        let left = self.list.head.len.saturating_sub(self.next) as usize;
        (left.min(1), Some(left))
    }
}

/// Values of a list in descending order; made by [`Monotone::iter_back_from`]. Ends after an error.
#[derive(Debug, Clone)]
pub struct IterBack<'a> {
    list: Monotone<'a>,
    /// One more than the index in the list of the value to come.
    next: u32,
    /// Whether the block of the value to come is in the buffer.
    decoded: bool,
    buffer: [u32; BLOCK_LEN],
}

impl<'a> IterBack<'a> {
    pub(super) fn new(list: Monotone<'a>, next: u32) -> Self {
        Self {
            list,
            next: next.min(list.head.len),
            decoded: false,
            buffer: [0; BLOCK_LEN],
        }
    }
}

impl Iterator for IterBack<'_> {
    type Item = Result<u32>;

    #[inline]
    fn next(&mut self) -> Option<Result<u32>> {
        let index = self.next.checked_sub(1)?;
        if !self.decoded {
            if let Err(error) = self.list.decode(index >> BLOCK_SHIFT, &mut self.buffer) {
                self.next = 0;
                return Some(Err(error));
            }
            self.decoded = true;
        }
        let within = index as usize % BLOCK_LEN;
        self.next = index;
        self.decoded = within != 0;
        self.buffer.get(within).copied().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.next as usize;
        (left.min(1), Some(left))
    }
}
