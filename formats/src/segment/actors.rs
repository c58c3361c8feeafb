//! Actors: which blocks of rows are theirs, and the DIDs first seen in the segment's range.
//!
//! The index of actors is three sections: the actors that have rows (monotone); for each, and once more
//! at the end, where its blocks begin among all (monotone); and the numbers of blocks of 1,024 rows,
//! rising for each actor, packed at the width of the last block's number.
//!
//! DIDs have 15 bytes each (`did:plc:`), zero for others, whose indexes are a monotone list parallel to
//! a table of strings (in the order of the indexes, not of bytes).

use super::DidRef;
use super::layout::ROWS_MAX;
use super::strings::Strings;
use crate::Result;
use crate::bits::{BitWriter, read_bits, width_for};
use crate::chunks::Region;
use crate::monotone::Monotone;

/// Rows a block of the index of actors.
pub(super) const ACTOR_BLOCK: u32 = 1024;
/// Bits of the number of a block, of at most 2^28 rows.
pub(super) const BLOCK_BITS: u32 = 18;
const _: () = assert!(ROWS_MAX / ACTOR_BLOCK == 1 << BLOCK_BITS);

/// Makes the index from (actor, block of rows), in order, each pair once.
pub(super) struct ActorIndexWriter {
    width: u32,
    pairs: u32,
    actor: Option<u32>,
    /// The numbers of blocks; the caller may move out whole bytes at any time.
    pub(super) blocks: BitWriter,
}

impl ActorIndexWriter {
    /// A writer for a segment with that many rows.
    pub(super) fn new(rows: u32) -> Self {
        Self {
            width: block_width(rows),
            pairs: 0,
            actor: None,
            blocks: BitWriter::new(),
        }
    }

    /// The pair of a row and its actor, as one number in the order of pairs.
    pub(super) fn pair(actor: u32, row: u32) -> u64 {
        u64::from(actor) << BLOCK_BITS | u64::from(row / ACTOR_BLOCK)
    }

    /// Appends a pair. Gives the actor and where its blocks begin, when it is not that of the last pair.
    pub(super) fn push(&mut self, pair: u64) -> Option<(u32, u32)> {
        let actor = (pair >> BLOCK_BITS) as u32;
        let first = (self.actor != Some(actor)).then_some((actor, self.pairs));
        self.actor = Some(actor);
        // The width is at most that of a block's number, so the bits of the actor are left out.
        self.blocks.write(pair, self.width);
        // At most one pair a row.
        self.pairs = self.pairs.saturating_add(1);
        first
    }

    /// Pairs so far.
    pub(super) const fn pairs(&self) -> u32 {
        self.pairs
    }
}

/// Bits of a block's number.
pub(super) fn block_width(rows: u32) -> u32 {
    width_for(u64::from(rows.div_ceil(ACTOR_BLOCK).saturating_sub(1)))
}

/// The blocks of rows of one actor, rising.
#[derive(Clone, Copy)]
pub(super) struct BlockNumbers<'a> {
    region: Region<'a>,
    width: u32,
    /// Blocks of the segment.
    blocks: u32,
    /// Those still to come, as places in the section.
    next: u32,
    end: u32,
}

impl<'a> BlockNumbers<'a> {
    /// Those from place `next` to place `end` in the section, of a segment with that many rows.
    pub(super) fn new(region: Region<'a>, rows: u32, next: u32, end: u32) -> Self {
        Self {
            region,
            width: block_width(rows),
            blocks: rows.div_ceil(ACTOR_BLOCK),
            next,
            end,
        }
    }

    /// How many are still to come.
    pub(super) const fn left(&self) -> u32 {
        self.end.saturating_sub(self.next)
    }

    fn get(&self, place: u32) -> Result<u32> {
        let at = u64::from(place) * u64::from(self.width);
        let block = read_bits(self.region, at, self.width)? as u32;
        if block >= self.blocks {
            return Err(self.region.corrupt(at / 8, "the number of a block", block));
        }
        Ok(block)
    }

    /// The next block.
    pub(super) fn next(&mut self) -> Result<Option<u32>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let block = self.get(self.next)?;
        self.next += 1;
        Ok(Some(block))
    }

    /// Leaves out the blocks before `block`. O(log blocks).
    pub(super) fn skip_to(&mut self, block: u32) -> Result<()> {
        let mut high = self.end;
        while self.next < high {
            let middle = self.next + (high - self.next) / 2;
            if self.get(middle)? < block {
                self.next = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(())
    }

    /// Ends the walk.
    pub(super) const fn stop(&mut self) {
        self.next = self.end;
    }
}

/// Where the DIDs of a segment stand.
pub(super) struct Dids<'a> {
    pub(super) plc: Region<'a>,
    pub(super) other_indexes: Monotone<'a>,
    pub(super) others: Strings<'a>,
}

impl<'a> Dids<'a> {
    /// The DID at `index` of those in the segment.
    pub(super) fn get(&self, index: u32) -> Result<DidRef<'a>> {
        let place = self.other_indexes.lower_bound(index)?;
        if place < self.other_indexes.len() && self.other_indexes.get(place)? == index {
            return Ok(DidRef::Str(self.others.get(place)?));
        }
        Ok(DidRef::Plc(self.plc.array_at(u64::from(index) * 15)?))
    }
}
