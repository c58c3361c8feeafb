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

/// A DID that several segments are asked for: what each of them would have to work out, once.
#[derive(Debug, Clone, Copy)]
pub struct WantedDid<'a> {
    text: &'a str,
    plc: Option<[u8; 15]>,
    seed: u64,
    hash: u64,
}

impl<'a> WantedDid<'a> {
    /// `seed` is that of the segments' indexes of DIDs.
    #[must_use]
    pub fn new(text: &'a str, seed: u64) -> Self {
        Self {
            text,
            plc: plc_bytes(text),
            seed,
            hash: hash::did(text, seed),
        }
    }

    /// The DID.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Its XXH3-64 with the seed.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    fn packed(&self) -> DidRef<'a> {
        self.plc.map_or(DidRef::Str(self.text), DidRef::Plc)
    }
}

impl Segment {
    pub(in crate::segment) fn dids(&self) -> Result<Dids<'_>> {
        Ok(Dids {
            plc: self.section(Section::PlcDids)?,
            other_indexes: Monotone::open(self.section(Section::OtherDidIndexes)?)?,
            others: self.strings(Section::OtherDids)?,
        })
    }

    /// Has the processor fetch the DID of an actor first seen in this segment's range: for many actors, before they are asked for one by one.
    pub fn fetch_did(&self, actor: u32) {
        // What cannot be read is told to whoever reads it next.
        if let (Some(index), Ok(plc)) = (
            actor.checked_sub(self.info.actors_first_id),
            self.section(Section::PlcDids),
        ) {
            plc.fetch(u64::from(index) * 15, 15);
        }
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
        self.find_wanted_did(&WantedDid::new(did, self.info.did_seed))
    }

    /// As [`find_did`](Self::find_did).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_wanted_did(&self, did: &WantedDid<'_>) -> Result<Option<u32>> {
        let index = DidIndex {
            region: self.section(Section::DidIndex)?,
            actors: self.info.actors_count,
        };
        let seed = self.info.did_seed;
        let hash = if did.seed == seed {
            did.hash
        } else {
            hash::did(did.text, seed)
        };
        for index in index.candidates(hash)? {
            let index = index?;
            if self.has_did_at(index, did)? {
                return Ok(Some(self.info.actors_first_id.saturating_add(index)));
            }
        }
        Ok(None)
    }

    /// Whether an actor was first seen in this segment's range, and has that DID. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn is_did(&self, actor: u32, did: &WantedDid<'_>) -> Result<bool> {
        let index = actor.checked_sub(self.info.actors_first_id);
        match index.filter(|&index| index < self.info.actors_count) {
            Some(index) => self.has_did_at(index, did),
            None => Ok(false),
        }
    }

    fn has_did_at(&self, index: u32, did: &WantedDid<'_>) -> Result<bool> {
        if let Some(plc) = did.plc {
            let found: [u8; 15] = self
                .section(Section::PlcDids)?
                .array_at(u64::from(index) * 15)?;
            // Zeros stand there for every other DID as well as for one of their own.
            if found != plc || plc != [0; 15] {
                return Ok(found == plc);
            }
        }
        Ok(self.dids()?.get(index)? == did.packed())
    }

    fn state_blocks(&self) -> Result<StateBlocks<'_>> {
        Ok(StateBlocks {
            ids: self.state_ids()?,
            directory: self.section(Section::StateDirectory)?,
            data: self.section(Section::States)?,
        })
    }

    /// The state of an actor that events of the range touched; `None` for other actors. O(log states).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn state(&self, actor: u32) -> Result<Option<ActorState>> {
        // Most segments have none, and are asked no further.
        match self.state_ids()?.find(actor)? {
            Some(index) => self.state_blocks()?.read(index, actor).map(Some),
            None => Ok(None),
        }
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
