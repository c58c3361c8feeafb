//! Accounts and targets as text, out of the segments.

use orrery_formats::segment::{Segment, TargetKey, TargetRef};

use super::Directory;
use crate::actors::{ActorId, TargetForm, target_form};
use crate::{Error, Result};

impl Directory {
    /// The segment in which `actor` was first seen, by the manifest's ranges of ids.
    fn home(&self, actor: ActorId) -> Option<&Segment> {
        let at = self
            .segments
            .partition_point(|file| file.entry.actors_end <= actor);
        self.segments.get(at)?.segment().ok()
    }

    /// The number of accounts in the segments.
    #[must_use]
    pub fn actors(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(0, |file| u64::from(file.entry.actors_end))
    }

    /// Calls `f` with the DID of `actor`; with `did:unknown:<id>` where its segment is damaged.
    ///
    /// # Errors
    /// When the segment cannot be read there.
    pub fn with_did<R>(&self, actor: ActorId, f: impl FnOnce(&str) -> R) -> Result<R> {
        if let Some(segment) = self.home(actor)
            && let Some(did) = segment.did(actor)?
        {
            return Ok(f(&did.text()));
        }
        Ok(f(&format!("did:unknown:{actor}")))
    }

    /// The id of an account; `None` where no segment that opens knows it. One look-up in each segment.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn find_actor(&self, did: &str) -> Result<Option<ActorId>> {
        for (_, segment) in self.sound_segments() {
            if let Some(actor) = segment.find_did(did)? {
                return Ok(Some(actor));
            }
        }
        Ok(None)
    }

    /// Puts the text of a target into `text`, in place of what it held.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn target_text(&self, target: &TargetRef<'_>, text: &mut String) -> Result<()> {
        text.clear();
        match target {
            TargetRef::Did(actor) => self.with_did(*actor, |did| text.push_str(did)),
            TargetRef::Other(other) => {
                text.push_str(other);
                Ok(())
            }
            TargetRef::Record {
                actor,
                collection,
                rkey,
            } => self.with_did(*actor, |did| {
                for piece in ["at://", did, "/", collection, "/", &rkey.text()] {
                    text.push_str(piece);
                }
            }),
        }
    }

    /// Calls `f` with the key of a target string, as the store has it; gives `None` where its account is in
    /// no segment.
    pub(super) fn with_target_key<R>(
        &self,
        target: &str,
        f: impl FnOnce(&TargetKey<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        match target_form(target) {
            TargetForm::Other(text) => f(&TargetKey::Other(text)).map(Some),
            TargetForm::Did(did) => match self.find_actor(did)? {
                Some(actor) => f(&TargetKey::Did(actor)).map(Some),
                None => Ok(None),
            },
            TargetForm::Record {
                did,
                collection,
                rkey,
            } => match self.find_actor(did)? {
                Some(actor) => f(&TargetKey::Record {
                    actor,
                    collection,
                    rkey,
                })
                .map(Some),
                None => Ok(None),
            },
        }
    }
}

/// An error of a format as one of the engine, for closures that give the latter.
pub(super) fn of_format(error: orrery_formats::Error) -> Error {
    error.into()
}
