//! Which blocks of 2,048 rows hold a row by an actor.
//!
//! The index is four sections: the actors that have rows (monotone); for each, and once more at the end,
//! how many blocks those before it have together (monotone); the numbers of blocks, rising for each actor;
//! and for each 64th actor the bit where its numbers begin (`u64`). The numbers of an actor with k of a
//! segment's n blocks are
//!
//! ```text
//! plain          k numbers at the width of n
//! Elias–Fano     with l = floor(log2(floor(n / k))): the l low bits of each, then k + ((n - 1) >> l) bits,
//!                of which number i sets the bit (number >> l) + i
//! ```
//!
//! whichever is shorter, plain if neither is. So k and n alone tell where the next actor's begin.

use crate::Result;
use crate::bits::{BitWriter, read_bits, width_for};
use crate::bytes::put_u64;
use crate::chunks::Region;
use crate::monotone::Monotone;
use crate::segment::layout::ROWS_MAX;

/// Rows a block of the index of actors.
pub(in crate::segment) const ACTOR_BLOCK: u32 = 2048;
/// Bits of the number of a block, of at most 2^28 rows.
const BLOCK_BITS: u32 = 17;
const _: () = assert!(ROWS_MAX / ACTOR_BLOCK == 1 << BLOCK_BITS);
/// Actors an entry of the directory.
const DIRECTORY_ACTORS: u32 = 64;

/// How the numbers of one actor are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    /// At that width.
    Plain(u32),
    /// With as many low bits, and as many bits of the high part.
    EliasFano { low: u32, high_bits: u64 },
}

impl Code {
    /// The code of `count` of `blocks` numbers; none where there are more than can be.
    fn of(count: u32, blocks: u32) -> Option<Self> {
        if count > blocks {
            return None;
        }
        let width = width_for(u64::from(blocks.saturating_sub(1)));
        let plain = Self::Plain(width);
        let Some(low) = blocks.checked_div(count).and_then(u32::checked_ilog2) else {
            return Some(plain);
        };
        let high_bits = u64::from(count) + u64::from((blocks - 1) >> low);
        let coded = Self::EliasFano { low, high_bits };
        Some(if coded.bits(count) < plain.bits(count) {
            coded
        } else {
            plain
        })
    }

    fn bits(self, count: u32) -> u64 {
        match self {
            Self::Plain(width) => u64::from(count) * u64::from(width),
            Self::EliasFano { low, high_bits } => u64::from(count) * u64::from(low) + high_bits,
        }
    }

    fn write(self, numbers: &[u32], bits: &mut BitWriter) {
        let (Self::Plain(width) | Self::EliasFano { low: width, .. }) = self;
        for &number in numbers {
            bits.write(number.into(), width);
        }
        let Self::EliasFano { low, mut high_bits } = self else {
            return;
        };
        let mut high_before = 0;
        for &number in numbers {
            let mut zeros = (number >> low) - high_before;
            high_before += zeros;
            high_bits = high_bits.saturating_sub(u64::from(zeros) + 1);
            while zeros > 32 {
                bits.write(0, 32);
                zeros -= 32;
            }
            bits.write(1 << zeros, zeros + 1);
        }
        while high_bits > 0 {
            let zeros = high_bits.min(32);
            bits.write(0, zeros as u32);
            high_bits -= zeros;
        }
    }
}

/// Makes the index from (actor, block of rows), in order, each pair once.
pub(in crate::segment) struct ActorIndexWriter {
    blocks: u32,
    pairs: u32,
    actors: u32,
    actor: Option<u32>,
    /// Blocks of the last actor so far.
    numbers: Vec<u32>,
    /// Bits of all actors before.
    written: u64,
    bits: BitWriter,
    /// Starts of each 64th actor, which the caller may move out at any time.
    pub(in crate::segment) directory: Vec<u8>,
}

impl ActorIndexWriter {
    /// A writer for a segment with that many rows.
    pub(in crate::segment) fn new(rows: u32) -> Self {
        Self {
            blocks: rows.div_ceil(ACTOR_BLOCK),
            pairs: 0,
            actors: 0,
            actor: None,
            numbers: Vec::new(),
            written: 0,
            bits: BitWriter::new(),
            directory: Vec::new(),
        }
    }

    /// The pair of a row and its actor, as one number in the order of pairs.
    pub(in crate::segment) fn pair(actor: u32, row: u32) -> u64 {
        u64::from(actor) << BLOCK_BITS | u64::from(row / ACTOR_BLOCK)
    }

    /// Appends a pair. Gives the actor and the count of pairs before, when it is not that of the last pair.
    pub(in crate::segment) fn push(&mut self, pair: u64) -> Option<(u32, u32)> {
        let actor = (pair >> BLOCK_BITS) as u32;
        let is_new = self.actor != Some(actor);
        let first = is_new.then_some((actor, self.pairs));
        if is_new {
            self.close_actor();
            if self.actors.is_multiple_of(DIRECTORY_ACTORS) {
                put_u64(&mut self.directory, self.written);
            }
            self.actors = self.actors.saturating_add(1);
            self.actor = Some(actor);
        }
        self.numbers.push(pair as u32 & ((1 << BLOCK_BITS) - 1));
        // At most one pair a row.
        self.pairs = self.pairs.saturating_add(1);
        first
    }

    fn close_actor(&mut self) {
        // At most 2^17 numbers, each below the count of blocks and once.
        let count = self.numbers.len() as u32;
        if let Some(code) = Code::of(count, self.blocks).filter(|_| count > 0) {
            code.write(&self.numbers, &mut self.bits);
            self.written += code.bits(count);
        }
        self.numbers.clear();
    }

    /// Pairs so far.
    pub(in crate::segment) const fn pairs(&self) -> u32 {
        self.pairs
    }

    /// Moves the whole bytes of finished actors to the end of `out`.
    pub(in crate::segment) fn drain_into(&mut self, out: &mut Vec<u8>) {
        self.bits.drain_into(out);
    }

    /// Ends the numbers of blocks: what is left goes to the end of `out`.
    pub(in crate::segment) fn finish(mut self, out: &mut Vec<u8>) {
        self.close_actor();
        out.extend_from_slice(&self.bits.finish());
    }
}

/// The index of a segment.
#[derive(Clone, Copy)]
pub(in crate::segment) struct ActorIndex<'a> {
    pub(in crate::segment) actors: Monotone<'a>,
    pub(in crate::segment) starts: Monotone<'a>,
    pub(in crate::segment) directory: Region<'a>,
    pub(in crate::segment) numbers: Region<'a>,
    pub(in crate::segment) rows: u32,
}

impl<'a> ActorIndex<'a> {
    /// The blocks of `actor`; none of an actor without rows. O(log actors).
    pub(in crate::segment) fn blocks_of(&self, actor: u32) -> Result<BlockNumbers<'a>> {
        let index = self.actors.lower_bound(actor)?;
        if index < self.actors.len() && self.actors.get(index)? == actor {
            return self.blocks_at(index);
        }
        self.numbers(0, 0, 0)
    }

    /// The blocks of the actor at `index` of those with rows.
    fn blocks_at(&self, index: u32) -> Result<BlockNumbers<'a>> {
        let entry = index / DIRECTORY_ACTORS;
        let mut bit = self.directory.u64_at(u64::from(entry) * 8)?;
        let mut starts = self.starts.iter_from(entry * DIRECTORY_ACTORS);
        let mut next = || match starts.next() {
            Some(start) => start,
            None => self.starts.get(self.starts.len()),
        };
        let blocks = self.rows.div_ceil(ACTOR_BLOCK);
        // Most actors have one block.
        let bits_of_one = Code::of(1, blocks).map_or(0, |code| code.bits(1));
        let mut start = next()?;
        let mut left = index % DIRECTORY_ACTORS;
        while left > 0 {
            let end = next()?;
            let bits = match end.wrapping_sub(start) {
                1 => bits_of_one,
                _ => {
                    let numbers = self.numbers(bit, start, end)?;
                    numbers.code.bits(numbers.count)
                }
            };
            bit = bit.saturating_add(bits);
            (left, start) = (left - 1, end);
        }
        self.numbers(bit, start, next()?)
    }

    /// The actors in order, with their blocks, one after the other.
    pub(in crate::segment) fn each(
        &self,
        each: &mut dyn FnMut(u32, BlockNumbers<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut starts = self.starts.iter_from(0);
        let mut start = starts.next().transpose()?.unwrap_or(0);
        let mut bit = 0;
        for (index, actor) in (0u32..).zip(self.actors.iter_from(0)) {
            if index.is_multiple_of(DIRECTORY_ACTORS) {
                let at = u64::from(index / DIRECTORY_ACTORS) * 8;
                let stored = self.directory.u64_at(at)?;
                if stored != bit {
                    return Err(self.directory.corrupt(at, bit.to_string(), stored));
                }
            }
            let end = match starts.next() {
                Some(end) => end?,
                None => self.starts.get(self.starts.len())?,
            };
            let numbers = self.numbers(bit, start, end)?;
            bit = bit.saturating_add(numbers.code.bits(numbers.count));
            start = end;
            each(actor?, numbers)?;
        }
        if bit.div_ceil(8) != self.numbers.len() {
            let expected = format!("{} bytes", bit.div_ceil(8));
            return Err(self.numbers.corrupt(0, expected, self.numbers.len()));
        }
        Ok(())
    }

    fn numbers(&self, bit: u64, start: u32, end: u32) -> Result<BlockNumbers<'a>> {
        let blocks = self.rows.div_ceil(ACTOR_BLOCK);
        let count = end.checked_sub(start);
        let coded = count.and_then(|count| Some((count, Code::of(count, blocks)?)));
        let Some((count, code)) = coded else {
            let expected = format!("at most {blocks} blocks of an actor");
            return Err(self
                .numbers
                .corrupt(bit / 8, expected, format!("{start} to {end}")));
        };
        Ok(BlockNumbers {
            region: self.numbers,
            blocks,
            count,
            code,
            start: bit,
            next: 0,
            word: 0,
            words_end: 0,
        })
    }
}

/// The blocks of rows of one actor, rising.
#[derive(Clone, Copy)]
pub(in crate::segment) struct BlockNumbers<'a> {
    region: Region<'a>,
    /// Blocks of the segment.
    blocks: u32,
    /// Blocks of the actor.
    count: u32,
    code: Code,
    /// The bit where the code begins.
    start: u64,
    /// How many were given out.
    next: u32,
    /// The ones of the last word of the high part that are still to come.
    word: u64,
    /// Where that word ends in the high part.
    words_end: u64,
}

impl BlockNumbers<'_> {
    /// How many are still to come.
    pub(in crate::segment) const fn left(&self) -> u32 {
        self.count.saturating_sub(self.next)
    }

    #[cold]
    fn damaged(&self, found: u32) -> crate::Error {
        self.region
            .corrupt(self.start / 8, "the number of a block", found)
    }

    /// Reads the next word of the high part.
    fn load(&mut self, low: u32, high_bits: u64) -> Result<()> {
        let left = high_bits.saturating_sub(self.words_end).min(64) as u32;
        if left == 0 {
            return Err(self.damaged(self.next));
        }
        let high = self.start + u64::from(self.count) * u64::from(low);
        self.word = read_bits(self.region, high.saturating_add(self.words_end), left)?;
        self.words_end += 64;
        Ok(())
    }

    /// The next block.
    pub(in crate::segment) fn next(&mut self) -> Result<Option<u32>> {
        if self.next >= self.count {
            return Ok(None);
        }
        let low_bits = |width: u32| {
            let at = u64::from(self.next) * u64::from(width);
            read_bits(self.region, self.start.saturating_add(at), width)
        };
        let block = match self.code {
            Code::Plain(width) => low_bits(width)?,
            Code::EliasFano { low, high_bits } => {
                let low_part = low_bits(low)?;
                while self.word == 0 {
                    self.load(low, high_bits)?;
                }
                let place = self.words_end - 64 + u64::from(self.word.trailing_zeros());
                self.word &= self.word - 1;
                // As many ones stand before as numbers were given out.
                place.saturating_sub(self.next.into()) << low | low_part
            }
        };
        if block >= u64::from(self.blocks) {
            return Err(self.damaged(block as u32));
        }
        self.next += 1;
        Ok(Some(block as u32))
    }

    /// Leaves out the blocks before `block`. Costs a step for each 64 bits of high parts.
    pub(in crate::segment) fn skip_to(&mut self, block: u32) -> Result<()> {
        if let Code::EliasFano { low, high_bits } = self.code {
            loop {
                let ones = self.word.count_ones();
                let seen = u64::from(self.next + ones);
                // The high part of each one of the word is at most the count of zeros up to its end.
                if seen >= u64::from(self.count)
                    || self.words_end.saturating_sub(seen) >= u64::from(block >> low)
                {
                    break;
                }
                self.next += ones;
                self.load(low, high_bits)?;
            }
        }
        loop {
            let before = *self;
            match self.next()? {
                Some(next) if next < block => {}
                Some(_) => {
                    *self = before;
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
    }

    /// Ends the walk.
    pub(in crate::segment) const fn stop(&mut self) {
        self.next = self.count;
    }
}
