//! The actors of a directory: a small id for every DID seen, and per actor the newest revision, the
//! newest account event and whether its records are hidden. Ids are given in log order, so that a
//! replay of the log gives the same ones.
//!
//! DIDs and states stand in the segments, each with an index of its own, and for the newest events in the
//! memtable and with the writer. Nothing here grows with the directory: [`DidCache`], `PlainStates` and [`States`] only
//! save look-ups.

mod cache;
mod id_hashes;
mod plain_states;
mod states;
mod target_form;

pub(crate) use cache::DidCache;
pub(crate) use id_hashes::IdHashes;
pub(crate) use states::{
    States, account_event_is_old, is_deletion, is_excluded, is_hidden, is_masked, set_account,
    set_excluded,
};
pub(crate) use target_form::{TargetForm, target_form};

/// The number of an actor in its data directory.
pub type ActorId = u32;

/// The bit of [`ActorState::status`](orrery_formats::segment::ActorState::status) that is set while the network hides the account.
pub(crate) const INACTIVE: u8 = 1;
/// The bit that is set while the operator has excluded it, whatever the network says. Records are shown with neither.
pub(crate) const EXCLUDED: u8 = 2;
/// The bit that is set once it was excluded, and stays: what is no longer so is told too.
pub(crate) const TOLD: u8 = 4;
