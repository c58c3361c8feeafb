//! Accounts as elements of sketches. SHA-256 costs as much as everything else that buckets need, so the hashes of
//! accounts seen lately are kept.

use orrery_formats::sketch::{Element, Secret};

use crate::actors::ActorId;

/// Places for hashes, 16 bytes each.
const PLACES: usize = 1 << 15;

/// Elements by actor. Ids are never given twice in a directory, so an entry holds for ever.
pub(super) struct Elements {
    secret: Secret,
    /// The actor's id plus one, and its hash; one place for all ids that are equal modulo the count.
    places: Box<[(u32, u64)]>,
}

impl Elements {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            places: vec![(0, 0); PLACES].into_boxed_slice(),
        }
    }

    /// The element of `actor`, whose DID is `did`.
    pub(super) fn of(&mut self, actor: ActorId, did: &str) -> Element {
        let tag = actor.wrapping_add(1);
        let Some(place) = self.places.get_mut(actor as usize % PLACES) else {
            return self.secret.element(did);
        };
        if place.0 != tag || tag == 0 {
            *place = (tag, self.secret.element(did).hash());
        }
        Element::of_hash(place.1)
    }
}
