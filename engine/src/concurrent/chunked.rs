//! An append-only array whose cells never move: chunks of growing size, made when first touched.

use std::sync::OnceLock;

/// log2 of the cells of the first four chunks together.
const FIRST_BITS: u32 = 8;
/// log2 of the chunks of one size. One step of doubling size would leave half of the memory unused.
const STEP_BITS: u32 = 2;
/// Four chunks each of 2^6, 2^7, ... 2^30 cells: enough for every `u32` index.
const CHUNKS: usize = 25 << STEP_BITS;

/// A growing array of `T`, indexed by `u32`, whose cells keep their address. Wastes at most a fifth of
/// its memory.
pub(crate) struct Chunked<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self {
            chunks: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<T: Default> Chunked<T> {
    /// The cell at `index`; a cell never written holds `T::default()`. O(1).
    #[expect(
        clippy::indexing_slicing,
        reason = "place + 2^8 has its top bit between 8 and 32, so chunk is 0..=99; offset is below the chunk's length by construction"
    )]
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &T {
        let place = u64::from(index) + (1 << FIRST_BITS);
        let top = 63 - place.leading_zeros();
        let len_bits = top - STEP_BITS;
        // The leading one and the two bits behind it are 4 to 7.
        let step = (place >> len_bits) as usize - (1 << STEP_BITS);
        let chunk = ((top - FIRST_BITS) << STEP_BITS) as usize + step;
        let offset = (place & ((1 << len_bits) - 1)) as usize;
        let cells = self.chunks[chunk]
            .get_or_init(|| (0..1_usize << len_bits).map(|_| T::default()).collect());
        &cells[offset]
    }

    /// Heap bytes of the chunks made so far.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.chunks
            .iter()
            .filter_map(OnceLock::get)
            .map(|chunk| size_of_val::<[T]>(chunk))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn cells_are_distinct_and_keep_their_values() {
        let cells = Chunked::<AtomicU32>::default();
        for i in 0..10_000 {
            cells.at(i).store(i + 1, Ordering::Relaxed);
        }
        assert!((0..10_000).all(|i| cells.at(i).load(Ordering::Relaxed) == i + 1));
        assert!(cells.heap_bytes() >= 40_000);
    }

    #[test]
    fn at_most_a_fifth_is_unused() {
        let cells = Chunked::<u8>::default();
        for index in 0..300_000_u32 {
            cells.at(index);
            let used = index as usize + 1;
            let unused = cells.heap_bytes() - used;
            assert!(
                unused <= 64 || unused * 5 <= cells.heap_bytes() + 320,
                "{used}"
            );
        }
        // The last index there is has its place, of which nothing else is made.
        let cells = Chunked::<()>::default();
        cells.at(u32::MAX);
    }
}
