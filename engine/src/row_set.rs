//! A set of rows of one segment, read at random on the hot path and copied at every seal that changes it:
//! bits in chunks that copies share. At 5 % of rows, where masks of busy segments settle, it takes about as
//! much memory as compressed bitmaps and answers in a few nanoseconds.

use std::sync::Arc;

/// Words of a chunk: 4,096 rows, 512 bytes.
const WORDS: usize = 64;
const ROWS: u32 = (WORDS * 64) as u32;

/// Rows by their ordinals. Memory: 512 bytes for each 4,096 rows of which one is in, 8 for the others.
#[derive(Clone, Default)]
pub(crate) struct RowSet {
    chunks: Vec<Option<Arc<[u64; WORDS]>>>,
}

const fn place(row: u32) -> (usize, usize, u64) {
    let within = row % ROWS;
    (
        (row / ROWS) as usize,
        (within / 64) as usize,
        1 << (within % 64),
    )
}

impl RowSet {
    #[inline]
    pub(crate) fn contains(&self, row: u32) -> bool {
        let (chunk, word, bit) = place(row);
        match self.chunks.get(chunk) {
            Some(Some(words)) => words.get(word).is_some_and(|word| word & bit != 0),
            _ => false,
        }
    }

    pub(crate) fn set(&mut self, row: u32, present: bool) {
        let (chunk, word, bit) = place(row);
        if !present && !self.contains(row) {
            return;
        }
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, None);
        }
        if let Some(slot) = self.chunks.get_mut(chunk) {
            let words = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; WORDS])));
            if let Some(word) = words.get_mut(word) {
                *word = if present { *word | bit } else { *word & !bit };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_was_set_and_copies_stay_as_they_were(
            changes in proptest::collection::vec((0_u32..20_000, any::<bool>()), 0..300),
        ) {
            let (mut set, mut model) = (RowSet::default(), BTreeSet::new());
            let (first, second) = changes.split_at(changes.len() / 2);
            let apply = |set: &mut RowSet, model: &mut BTreeSet<u32>, changes: &[(u32, bool)]| {
                for (row, present) in changes {
                    set.set(*row, *present);
                    if *present { model.insert(*row); } else { model.remove(row); }
                }
            };
            apply(&mut set, &mut model, first);
            let (copy, copy_model) = (set.clone(), model.clone());
            apply(&mut set, &mut model, second);
            for row in 0..20_000 {
                prop_assert_eq!(set.contains(row), model.contains(&row));
                prop_assert_eq!(copy.contains(row), copy_model.contains(&row));
            }
        }
    }
}
