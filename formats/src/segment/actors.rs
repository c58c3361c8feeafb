//! Actors: which blocks of rows are theirs, and the DIDs first seen in the segment's range.
//!
//! The index of actors is in [`blocks`].
//!
//! DIDs have 15 bytes each (`did:plc:`), zero for others, whose indexes are a monotone list parallel to
//! a table of strings (in the order of the indexes, not of bytes).

mod blocks;

pub(super) use blocks::{ACTOR_BLOCK, ActorIndex, ActorIndexWriter, BlockNumbers};

use super::DidRef;
use super::strings::Strings;
use crate::Result;
use crate::chunks::Region;
use crate::monotone::Monotone;

/// Where the DIDs of a segment stand.
pub(super) struct Dids<'a> {
    pub(super) plc: Region<'a>,
    pub(super) other_indexes: Monotone<'a>,
    pub(super) others: Strings<'a>,
}

impl<'a> Dids<'a> {
    /// The DID at `index` of those in the segment.
    pub(super) fn get(&self, index: u32) -> Result<DidRef<'a>> {
        let plc = self.plc.array_at(u64::from(index) * 15)?;
        // Zeros stand there for every other DID as well as for one of their own.
        if plc == [0; 15]
            && let Some(place) = self.other_indexes.find(index)?
        {
            return Ok(DidRef::Str(self.others.get(place)?));
        }
        Ok(DidRef::Plc(plc))
    }
}
