//! Places in a list, as bits or one by one.

use std::ops::Range;
use std::sync::Arc;

use crate::view::BLOCK;

/// Some places of a list, which copies share.
#[derive(Debug, Clone)]
pub(crate) enum Places {
    /// A bit for each place from the block `first` on, [`BLOCK`] of them together.
    Bits { first: u32, blocks: Arc<Vec<u128>> },
    /// Rising.
    Few(Arc<Vec<u32>>),
}

const _: () = assert!(BLOCK == u128::BITS as usize);

impl Default for Places {
    fn default() -> Self {
        Self::Few(Arc::default())
    }
}

impl Places {
    /// Those places, in any order.
    pub(crate) fn of(mut places: Vec<u32>) -> Self {
        places.sort_unstable();
        places.shrink_to_fit();
        Self::Few(Arc::new(places))
    }

    /// Adds places from `first` on, which is behind all that were added before: those whose bits are set in
    /// `some`, within one block.
    pub(crate) fn add(&mut self, first: u32, some: u128) {
        if some == 0 {
            return;
        }
        let (number, within) = (first / BLOCK as u32, first % BLOCK as u32);
        if let Self::Few(few) = self {
            let Some(least) = few.first() else {
                let blocks = Arc::new(vec![some << within]);
                *self = Self::Bits {
                    first: number,
                    blocks,
                };
                return;
            };
            let mut bits = Self::Bits {
                first: least / BLOCK as u32,
                blocks: Arc::default(),
            };
            for place in few.iter() {
                bits.add(*place, 1);
            }
            *self = bits;
        }
        let Self::Bits { first, blocks } = self else {
            return;
        };
        let index = number.saturating_sub(*first) as usize;
        let blocks = Arc::make_mut(blocks);
        if index >= blocks.len() {
            blocks.resize(index + 1, 0);
        }
        if let Some(block) = blocks.get_mut(index) {
            *block |= some << within;
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Bits { blocks, .. } => blocks.capacity() * size_of::<u128>(),
            Self::Few(few) => few.capacity() * size_of::<u32>(),
        }
    }

    /// The places within a range, from its end down where `descending`.
    pub(crate) fn walk(&self, within: Range<u32>, descending: bool) -> Walk<'_> {
        match self {
            Self::Few(few) => {
                let start = few.partition_point(|place| *place < within.start);
                let end = few.partition_point(|place| *place < within.end);
                Walk::Few(few.get(start..end).unwrap_or_default(), descending)
            }
            Self::Bits { first, blocks } => {
                let all_end = u64::from(*first) * BLOCK as u64 + blocks.len() as u64 * BLOCK as u64;
                let end = u32::try_from(all_end).unwrap_or(u32::MAX);
                let all = first.saturating_mul(BLOCK as u32)..end;
                Walk::Bits {
                    first: *first,
                    blocks,
                    left: within.start.max(all.start)..within.end.min(all.end),
                    descending,
                }
            }
        }
    }
}

/// See [`Places::walk`].
pub(crate) enum Walk<'a> {
    Few(&'a [u32], bool),
    Bits {
        first: u32,
        blocks: &'a [u128],
        left: Range<u32>,
        descending: bool,
    },
}

impl Iterator for Walk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, blocks, left, descending) = match self {
            Self::Few(few, true) => return few.split_off_last().copied(),
            Self::Few(few, false) => return few.split_off_first().copied(),
            Self::Bits {
                first,
                blocks,
                left,
                descending,
            } => (*first, blocks, left, *descending),
        };
        while left.start < left.end {
            // The block of the next place, with the places that were passed cut off.
            let at = if descending { left.end - 1 } else { left.start };
            let number = at / BLOCK as u32;
            let block = blocks.get(number.checked_sub(first)? as usize)?;
            let base = number * BLOCK as u32;
            if descending {
                let rest = block & u128::MAX >> (u128::BITS - 1 - at % BLOCK as u32);
                if rest != 0 {
                    left.end = base + (u128::BITS - 1 - rest.leading_zeros());
                    return (left.end >= left.start).then_some(left.end);
                }
                left.end = base;
            } else {
                let rest = block & u128::MAX << (at % BLOCK as u32);
                if rest != 0 {
                    let place = base + rest.trailing_zeros();
                    left.start = place + 1;
                    return (place < left.end).then_some(place);
                }
                left.start = base.checked_add(BLOCK as u32)?;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_the_places_of_its_range_in_both_directions() {
        let mut x = 1u32;
        let mut random = |below: u32| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 8) % below
        };
        for round in 0..200 {
            let (mut places, mut expected) = (Places::default(), Vec::new());
            if round % 4 == 0 {
                expected = vec![3, 200, 201];
                places = Places::of(vec![201, 3, 200]);
            }
            let mut first = 202 + random(1_000);
            for _ in 0..random(20) {
                let len = 1 + random(BLOCK as u32 - first % BLOCK as u32);
                let mut some = 0u128;
                for place in 0..len {
                    if random(3) == 0 {
                        some |= 1 << place;
                        expected.push(first + place);
                    }
                }
                places.add(first, some);
                first += len + random(3) * random(400);
            }
            for _ in 0..50 {
                let within = random(6_000)..random(6_000);
                let some = expected.iter().copied().filter(|p| within.contains(p));
                let mut some: Vec<u32> = some.collect();
                assert!(places.walk(within.clone(), false).eq(some.iter().copied()));
                some.reverse();
                assert!(places.walk(within, true).eq(some.iter().copied()));
            }
            assert!(places.walk(0..u32::MAX, false).eq(expected));
        }
    }
}
