//! The DIDs of many actors.

use super::Segment;
use crate::Result;
use crate::segment::DidRef;
use crate::segment::actors::Dids;

/// Reads the DIDs of many actors of one segment: where they stand is found once.
pub struct DidNames<'s> {
    dids: Dids<'s>,
    first: u32,
    count: u32,
}

impl Segment {
    /// The DIDs of many actors, read faster than one by one.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn did_names(&self) -> Result<DidNames<'_>> {
        Ok(DidNames {
            dids: self.dids()?,
            first: self.info.actors_first_id,
            count: self.info.actors_count,
        })
    }
}

impl<'s> DidNames<'s> {
    /// As [`Segment::did`].
    ///
    /// # Errors
    /// See [`Segment`].
    #[inline]
    pub fn get(&self, actor: u32) -> Result<Option<DidRef<'s>>> {
        match actor.checked_sub(self.first) {
            Some(index) if index < self.count => self.dids.get(index).map(Some),
            _ => Ok(None),
        }
    }
}
