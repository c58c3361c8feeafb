//! An append-only array whose cells never move: chunks of doubling size, made when first touched.

use std::sync::OnceLock;

/// log2 of the length of the first chunk.
const FIRST_BITS: u32 = 8;
/// Chunks of 2^8, 2^9, ... 2^32 cells: enough for every `u32` index.
const CHUNKS: usize = 25;

/// A growing array of `T`, indexed by `u32`, whose cells keep their address. Wastes at most half of
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
        reason = "place + 2^8 has its top bit between 8 and 32, so chunk is 0..=24; offset is below the chunk's length by construction"
    )]
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &T {
        let place = u64::from(index) + (1 << FIRST_BITS);
        let top = 63 - place.leading_zeros();
        let chunk = (top - FIRST_BITS) as usize;
        let offset = (place - (1 << top)) as usize;
        let cells =
            self.chunks[chunk].get_or_init(|| (0..1_usize << top).map(|_| T::default()).collect());
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
}
