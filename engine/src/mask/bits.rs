//! The bits of a whole mask, file and changes together, chunk by chunk: for walks over all rows.

use orrery_formats::mask::{CHUNK_ROWS, Chunk, MaskFile};

use super::ByOrdinal;
use crate::Result;

/// See the module's description.
pub(crate) struct Bits<'m> {
    file: Option<&'m MaskFile>,
    /// Changed rows, rising.
    changes: Vec<(u32, u8)>,
}

impl<'m> Bits<'m> {
    pub(super) fn new(file: Option<&'m MaskFile>, rows: &ByOrdinal<u8>) -> Self {
        // As numbers they are sorted in half the time.
        let packed = rows
            .iter()
            .map(|(row, state)| u64::from(*row) << 8 | u64::from(*state));
        let mut packed: Vec<u64> = packed.collect();
        packed.sort_unstable();
        // The lower byte is the state.
        let changes = packed
            .into_iter()
            .map(|change| ((change >> 8) as u32, change as u8));
        Self {
            file,
            changes: changes.collect(),
        }
    }

    /// The same with states that are newer.
    pub(super) fn with_newer(mut self, newer: impl Iterator<Item = (u32, u8)>) -> Self {
        self.changes.extend(newer);
        // The newer of one row comes last.
        self.changes.sort_by_key(|(row, _)| *row);
        self
    }

    /// Chunks from this one on have no masked rows.
    pub(crate) fn chunks(&self) -> u32 {
        let in_file = self.file.map_or(0, MaskFile::chunks);
        let changed = self
            .changes
            .last()
            .map_or(0, |(row, _)| row / CHUNK_ROWS + 1);
        in_file.max(changed)
    }

    /// The bits of [`CHUNK_ROWS`] rows. O(log changes).
    pub(crate) fn chunk(&self, number: u32) -> orrery_formats::Result<Chunk> {
        let mut chunk = match self.file {
            Some(file) if number < file.chunks() => file.chunk(number)?,
            _ => Chunk::default(),
        };
        let first = self
            .changes
            .partition_point(|(row, _)| row / CHUNK_ROWS < number);
        let changes = self.changes.iter().skip(first);
        for (row, state) in changes.take_while(|(row, _)| row / CHUNK_ROWS == number) {
            chunk.set(*row, *state);
        }
        Ok(chunk)
    }

    /// The rows whose bit is set in what `of` gives for their chunk, rising.
    pub(crate) fn rows_of(
        self,
        of: impl Fn(&Chunk) -> [u64; CHUNK_ROWS as usize / 64] + 'm,
    ) -> impl Iterator<Item = Result<u32>> + 'm {
        (0..self.chunks()).flat_map(move |number| {
            let (chunk, error) = match self.chunk(number) {
                Ok(chunk) => (chunk, None),
                Err(error) => (Chunk::default(), Some(Err(error.into()))),
            };
            rows(number, of(&chunk)).map(Ok).chain(error)
        })
    }
}

/// The rows of set bits.
fn rows(number: u32, words: [u64; CHUNK_ROWS as usize / 64]) -> impl Iterator<Item = u32> {
    let firsts = (number * CHUNK_ROWS..).step_by(64);
    words.into_iter().zip(firsts).flat_map(|(mut word, first)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(first + bit)
        })
    })
}

/// The rows whose state differs, rising, with the state in `new`.
pub(super) fn differences<'m>(
    old: Bits<'m>,
    new: Bits<'m>,
) -> impl Iterator<Item = Result<(u32, u64)>> + 'm {
    (0..old.chunks().max(new.chunks())).flat_map(move |number| {
        let mut differing = [0; CHUNK_ROWS as usize / 64];
        let chunks = old
            .chunk(number)
            .and_then(|old| Ok((old, new.chunk(number)?)));
        let (state, error) = match chunks {
            Err(error) => (Chunk::default(), Some(Err(error.into()))),
            Ok((old, new)) => {
                let words = differing.iter_mut().zip(old.dead.iter().zip(&new.dead));
                for ((word, (a, b)), (c, d)) in words.zip(old.hidden.iter().zip(&new.hidden)) {
                    *word = (a ^ b) | (c ^ d);
                }
                (new, None)
            }
        };
        rows(number, differing)
            .map(move |row| Ok((row, u64::from(state.state(row)))))
            .chain(error)
    })
}
