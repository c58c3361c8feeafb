//! What a segment answers about actors.

use super::Segment;
use crate::Result;
use crate::monotone::Monotone;
use crate::segment::actors::Dids;
use crate::segment::did_index::DidIndex;
use crate::segment::layout::Section;
use crate::segment::states::{AccountStates, StateBlocks, States};
use crate::segment::value::plc_bytes;
use crate::segment::{ActorState, DidRef, hash};

impl Segment {
    pub(in crate::segment) fn dids(&self) -> Result<Dids<'_>> {
        Ok(Dids {
            plc: self.section(Section::PlcDids)?,
            other_indexes: Monotone::open(self.section(Section::OtherDidIndexes)?)?,
            others: self.strings(Section::OtherDids)?,
        })
    }

    /// The DID of an actor first seen in this segment's range; `None` for other actors.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn did(&self, actor: u32) -> Result<Option<DidRef<'_>>> {
        let index = actor.checked_sub(self.info.actors_first_id);
        let Some(index) = index.filter(|&index| index < self.info.actors_count) else {
            return Ok(None);
        };
        self.dids()?.get(index).map(Some)
    }

    /// The actor of a DID first seen in this segment's range; `None` for other DIDs. O(1) expected; of
    /// the DIDs that the segment does not have, one in 64 is compared with one that it has.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_did(&self, did: &str) -> Result<Option<u32>> {
        let index = DidIndex {
            region: self.section(Section::DidIndex)?,
            actors: self.info.actors_count,
        };
        let wanted = match plc_bytes(did) {
            Some(bytes) => DidRef::Plc(bytes),
            None => DidRef::Str(did),
        };
        for index in index.candidates(hash::did(did, self.info.did_seed))? {
            let index = index?;
            if self.dids()?.get(index)? == wanted {
                return Ok(Some(self.info.actors_first_id.saturating_add(index)));
            }
        }
        Ok(None)
    }

    fn state_blocks(&self) -> Result<StateBlocks<'_>> {
        Ok(StateBlocks {
            ids: Monotone::open(self.section(Section::StateIds)?)?,
            directory: self.section(Section::StateDirectory)?,
            data: self.section(Section::States)?,
        })
    }

    /// The state of an actor that events of the range touched; `None` for other actors. O(log states).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn state(&self, actor: u32) -> Result<Option<ActorState>> {
        self.state_blocks()?.find(actor)
    }

    /// The states of actors, by rising id.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn states(&self) -> Result<States<'_>> {
        Ok(States::new(self.state_blocks()?))
    }

    /// The states with an account seq or a status other than 0, by rising id. Costs one read for each block of 128
    /// states that has none.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn account_states(&self) -> Result<AccountStates<'_>> {
        Ok(AccountStates::new(self.state_blocks()?))
    }
}
