//! Actors: which blocks of rows are theirs, and the DIDs first seen in the segment's range.
//!
//! The index of actors is three sections: the actors that have rows (monotone); for each, and once more
//! at the end, where its blocks begin among all (monotone); and the numbers of blocks of 1,024 rows,
//! rising for each actor, packed at the width of the last block's number.
//!
//! DIDs have 15 bytes each (`did:plc:`), zero for others, whose indexes are a monotone list parallel to
//! a table of strings (in the order of the indexes, not of bytes).

use super::DidRef;
use super::strings::Strings;
use crate::Result;
use crate::bits::{BitWriter, width_for};
use crate::chunks::Region;
use crate::monotone::Monotone;

/// Rows a block of the index of actors.
pub(super) const ACTOR_BLOCK: u32 = 1024;

/// The three sections of the index, from the actors of the rows in order.
pub(super) struct ActorIndex {
    pub(super) actors: Vec<u32>,
    pub(super) starts: Vec<u32>,
    pub(super) blocks: Vec<u8>,
}

pub(super) fn encode_index(actor_of_rows: impl Iterator<Item = u32>, rows: u32) -> ActorIndex {
    let mut pairs: Vec<u64> = Vec::with_capacity(rows as usize);
    pairs.extend(
        (0u32..)
            .zip(actor_of_rows)
            .map(|(row, actor)| u64::from(actor) << 32 | u64::from(row / ACTOR_BLOCK)),
    );
    pairs.sort_unstable();
    pairs.dedup();
    let width = block_width(rows);
    let (mut actors, mut starts) = (Vec::new(), Vec::new());
    let mut bits = BitWriter::new();
    for (at, pair) in (0u32..).zip(&pairs) {
        let actor = (pair >> 32) as u32;
        if actors.last() != Some(&actor) {
            actors.push(actor);
            starts.push(at);
        }
        bits.write(pair & u64::from(u32::MAX), width);
    }
    starts.push(pairs.len() as u32);
    ActorIndex {
        actors,
        starts,
        blocks: bits.finish(),
    }
}

/// Bits of a block's number.
pub(super) fn block_width(rows: u32) -> u32 {
    width_for(u64::from(rows.div_ceil(ACTOR_BLOCK).saturating_sub(1)))
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
