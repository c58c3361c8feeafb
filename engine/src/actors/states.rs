//! The states of actors as the writer needs them: those touched since the last seal, and beside them what was
//! looked up lately. All others are read from the newest segment that has them.

use std::collections::{HashMap, hash_map};

use orrery_formats::segment::ActorState;

use super::plain_states::PlainStates;
use super::{ActorId, EXCLUDED, INACTIVE, IdHashes, TOLD};
use crate::Result;
use crate::snapshot::Generation;

/// Look-ups kept beside touched states; beyond, they are forgotten.
const LOOKED_UP_MAX: usize = 1 << 18;

#[derive(Clone, Copy)]
struct Entry {
    state: ActorState,
    is_touched: bool,
}

type Entries = HashMap<ActorId, Entry, IdHashes>;

/// See the module's description. Memory is bounded by the events between two seals, [`LOOKED_UP_MAX`] and the fixed size of
/// [`PlainStates`].
#[derive(Default)]
pub(crate) struct States {
    /// Since the last seal.
    now: Entries,
    /// Between the last seal and the one before: all of it stands in segments.
    before: Entries,
    /// What is in neither of them.
    older: PlainStates,
    touched: usize,
}

impl States {
    fn entry(&mut self, generation: &Generation, actor: ActorId) -> Result<&mut Entry> {
        if self.now.len() > self.touched + LOOKED_UP_MAX {
            self.now.retain(|_, entry| entry.is_touched);
            self.before = Entries::default();
        }
        match self.now.entry(actor) {
            hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            hash_map::Entry::Vacant(new) => {
                let known = self.before.get(&actor).map(|entry| entry.state);
                let state = match known.or_else(|| self.older.get(actor)) {
                    Some(state) => state,
                    None => {
                        let state = generation.sealed_state(actor)?;
                        if generation.is_sealed(actor) {
                            self.older.put(&state);
                        }
                        state
                    }
                };
                let is_touched = false;
                Ok(new.insert(Entry { state, is_touched }))
            }
        }
    }

    /// The state of an actor, with all fields 0 where nothing is known of it.
    pub(crate) fn get(&mut self, generation: &Generation, actor: ActorId) -> Result<ActorState> {
        Ok(self.entry(generation, actor)?.state)
    }

    /// Changes the state of an actor.
    pub(crate) fn update(
        &mut self,
        generation: &Generation,
        actor: ActorId,
        change: impl FnOnce(&mut ActorState),
    ) -> Result<()> {
        let entry = self.entry(generation, actor)?;
        change(&mut entry.state);
        let is_new = !std::mem::replace(&mut entry.is_touched, true);
        self.touched += usize::from(is_new);
        Ok(())
    }

    /// How many states changed since the last seal.
    pub(crate) const fn touched_len(&self) -> usize {
        self.touched
    }

    /// The states that changed since the last seal, by rising id.
    pub(crate) fn touched(&self) -> Vec<ActorState> {
        let touched = self.now.values().filter(|entry| entry.is_touched);
        let mut states = Vec::with_capacity(self.touched);
        states.extend(touched.map(|entry| entry.state));
        states.sort_unstable_by_key(|state| state.id);
        states
    }

    /// Segments are left out from here on: what they told is not asked for here, no more than by readers or after a
    /// restart. What was touched since the last seal stays, since no segment has it.
    pub(crate) fn leave_out(&mut self) {
        self.now.retain(|_, entry| entry.is_touched);
        self.before = Entries::default();
        self.older.clear();
    }

    /// Lets go of what is only kept to spare look-ups in segments, but for a part of fixed size.
    pub(crate) fn forget_older(&mut self) {
        self.before = Entries::default();
    }

    /// What was touched is in a segment now.
    pub(crate) fn seal(&mut self) {
        let touched = self.now.values().filter(|entry| entry.is_touched);
        touched.for_each(|entry| self.older.put(&entry.state));
        self.before = std::mem::take(&mut self.now);
        self.touched = 0;
    }

    /// Heap bytes of what grows between two seals, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.now.capacity() + self.before.capacity()) * (size_of::<(ActorId, Entry)>() + 1)
    }
}

/// Whether the network hides an account in this state.
pub(crate) const fn is_hidden(state: &ActorState) -> bool {
    state.status & INACTIVE != 0
}

/// Whether the operator has excluded it.
pub(crate) const fn is_excluded(state: &ActorState) -> bool {
    state.status & EXCLUDED != 0
}

/// Whether its records are not shown, for either reason: the rows of exactly these accounts are hidden.
pub(crate) const fn is_masked(state: &ActorState) -> bool {
    state.status & (INACTIVE | EXCLUDED) != 0
}

/// Whether an account event with this seq was applied, or a newer one.
pub(crate) const fn account_event_is_old(state: &ActorState, seq: u64) -> bool {
    seq < state.account_seq
}

/// Whether an account event deletes the account.
pub(crate) fn is_deletion(active: bool, status: Option<&str>) -> bool {
    !active && status == Some("deleted")
}

/// Notes an account event. It brings back nothing that the operator has excluded.
pub(crate) const fn set_account(state: &mut ActorState, seq: u64, is_hidden: bool) {
    // The seq plus one, so that 0 says that there was none.
    state.account_seq = seq.saturating_add(1);
    let hidden = if is_hidden { INACTIVE } else { 0 };
    state.status = state.status & !INACTIVE | hidden;
}

/// Notes what the operator says.
pub(crate) const fn set_excluded(state: &mut ActorState, excluded: bool) {
    let excluded = if excluded { EXCLUDED } else { 0 };
    state.status = state.status & !EXCLUDED | excluded | TOLD;
}
