//! A cache of sealed states that only commits have touched: nothing of them is known but the newest revision. Nearly all
//! are so, and one takes a word, so that most accounts that come back after two seals are not looked for in every segment.

use orrery_formats::segment::{ActorState, rev_bound};

use super::ActorId;

/// log2 of the slots of a block.
const BLOCK_BITS: u32 = 10;
/// log2 of the slots: all blocks together take 16 MiB.
const SLOT_BITS: u32 = 21;
/// The bits of a revision that segments do not keep.
const REV_BITS: u32 = rev_bound(1).trailing_ones();
/// Bits of an entry's revision: one more than the steps take, for none.
const STEP_BITS: u32 = 64 - REV_BITS;
/// Set in each entry.
const TAKEN: u64 = 1 << 63;
const _: () = assert!(STEP_BITS + (ActorId::BITS - SLOT_BITS) < 63);

type Block = Box<[u64; 1 << BLOCK_BITS]>;

/// States by id, each id having one slot: a new entry takes the place of the one before. What is put in has to be the
/// state that segments tell, and what is told of an account anew has to be put in too.
#[derive(Default)]
pub(crate) struct PlainStates {
    /// Made when first written to: ids are dense, so that small directories take little.
    blocks: Vec<Option<Block>>,
}

impl PlainStates {
    fn place(actor: ActorId) -> (usize, usize) {
        let slot = actor as usize & ((1 << SLOT_BITS) - 1);
        (slot >> BLOCK_BITS, slot & ((1 << BLOCK_BITS) - 1))
    }

    /// What an entry of `actor` has beside the revision.
    fn tag(actor: ActorId) -> u64 {
        TAKEN | u64::from(actor >> SLOT_BITS) << STEP_BITS
    }

    /// The state of an actor as segments tell it, if it is here.
    #[inline]
    pub(crate) fn get(&self, actor: ActorId) -> Option<ActorState> {
        let (block, slot) = Self::place(actor);
        let entry = *self.blocks.get(block)?.as_ref()?.get(slot)?;
        if entry >> STEP_BITS != Self::tag(actor) >> STEP_BITS {
            return None;
        }
        let last_rev = match entry & ((1 << STEP_BITS) - 1) {
            0 => 0,
            step => rev_bound((step - 1) << REV_BITS | 1),
        };
        Some(ActorState {
            id: actor,
            last_rev,
            ..ActorState::default()
        })
    }

    /// Notes a state that stands in a segment, or will with the next seal. One that is more than a revision takes what is
    /// here of its actor away.
    pub(crate) fn put(&mut self, state: &ActorState) {
        let plain = ActorState {
            id: state.id,
            last_rev: state.last_rev,
            ..ActorState::default()
        };
        let (block, slot) = Self::place(state.id);
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        let Some(block) = self.blocks.get_mut(block) else {
            return;
        };
        let block = block.get_or_insert_with(|| Box::new([0; 1 << BLOCK_BITS]));
        let Some(entry) = block.get_mut(slot) else {
            return;
        };
        if *state == plain {
            let step = match state.last_rev {
                0 => 0,
                rev => (rev >> REV_BITS) + 1,
            };
            *entry = Self::tag(state.id) | step;
        } else if *entry >> STEP_BITS == Self::tag(state.id) >> STEP_BITS {
            *entry = 0;
        }
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.blocks = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: ActorId, last_rev: u64) -> ActorState {
        ActorState {
            id,
            last_rev,
            ..ActorState::default()
        }
    }

    #[test]
    fn a_state_is_told_as_a_segment_keeps_it_until_another_takes_its_slot() {
        let mut states = PlainStates::default();
        for id in [0, 7, u32::MAX] {
            for rev in [0, 1, (1 << 30) - 1, 1 << 30, u64::MAX >> 1] {
                states.put(&state(id, rev));
                assert_eq!(states.get(id), Some(state(id, rev_bound(rev))));
            }
            states.put(&state(id, 0));
        }
        assert_eq!(states.get(8), None);
        assert_eq!(states.get(7 + (1 << SLOT_BITS)), None, "the same slot");
        states.put(&state(7 + (1 << SLOT_BITS), 5));
        assert_eq!(states.get(7), None);
        states.clear();
        assert_eq!(states.get(0), None);
    }

    #[test]
    fn a_state_of_more_than_a_revision_takes_the_older_one_away_and_no_other() {
        let mut states = PlainStates::default();
        states.put(&state(7, 5));
        let other = 7 + (1 << SLOT_BITS);
        for more in [
            ActorState {
                account_seq: 1,
                ..state(0, 6)
            },
            ActorState {
                status: 4,
                ..state(0, 6)
            },
            ActorState {
                purged_us: 1,
                ..state(0, 6)
            },
        ] {
            states.put(&ActorState { id: other, ..more });
            assert_eq!(states.get(7), Some(state(7, rev_bound(5))));
            assert_eq!(states.get(other), None);
        }
        states.put(&ActorState {
            account_seq: 1,
            ..state(7, 6)
        });
        assert_eq!(states.get(7), None);
    }
}
