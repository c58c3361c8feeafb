//! Whether an account's records are shown. All account events that are not sealed are in the window, since it always
//! has what is not sealed; of older ones the segments tell. Why it is hidden, or that it was deleted, only the window knows.

use orrery_formats::event::{Body, Event};
use orrery_formats::keys::fingerprint;

use crate::actors::{ActorId, is_deletion, is_hidden};
use crate::log::keys::{KeyView, Place};
use crate::snapshot::Generation;
use crate::store::{LOG, Shared, Store};
use crate::{Error, Result};

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Whether its records are shown.
    pub state: AccountState,
    /// The seq of its newest deletion in the log's window: what it had before is gone.
    pub purged_through: Option<u64>,
}

/// Whether an account's records are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// It was never seen.
    Unknown,
    /// They are: nothing says otherwise.
    Active,
    /// They are not.
    Hidden {
        /// Why, in the words of its event; `None` where that gave no reason or is not in the window any more.
        status: Option<String>,
    },
    /// Its newest account event deleted it, as far as the window tells. What came behind is shown.
    Deleted,
}

/// An account event in the window.
struct Told {
    seq: u64,
    state: AccountState,
}

/// What the window has of an account's events.
#[derive(Default)]
struct Found {
    newest: Option<Told>,
    purged_through: Option<u64>,
    /// What cannot be read may hold a newer event up to this seq; 0 where all was read.
    unread_through: u64,
}

impl Store {
    /// The state of an account as answers see it, by each event that is visible to a snapshot before the call. It blocks
    /// as [`record`](Self::record) does, and reads at most two frames.
    ///
    /// # Errors
    /// When the index or the log cannot be read.
    pub fn account(&self, did: &str) -> Result<AccountView> {
        let shared = &*self.shared;
        shared.window.look(|view| shared.account_view(view, did))
    }
}

impl Shared {
    fn account_view(&self, view: &KeyView, did: &str) -> Result<AccountView> {
        // Behind the view: what was trimmed from that is sealed in this.
        let generation = self.generation();
        let Some(actor) = generation.find_actor(did)? else {
            return Ok(AccountView {
                state: AccountState::Unknown,
                purged_through: None,
            });
        };
        let found = self.account_events(view, &generation, actor, did)?;
        let first_unsealed = generation.memtable.first_seq;
        if found.unread_through >= first_unsealed {
            return Err(Error::Inconsistent {
                path: self.dir.join(LOG),
                what: format!(
                    "an event of {did} up to seq {}, which may hide it, cannot be read",
                    found.unread_through
                ),
            });
        }
        let state = match found.newest {
            Some(told) if told.seq >= first_unsealed => told.state,
            told => {
                // A newer one may be lost.
                let told = told.filter(|told| told.seq >= view.whole_from);
                let is_hidden = is_hidden(&generation.sealed_state(actor)?);
                match (is_hidden, told.map(|told| told.state)) {
                    (true, Some(hidden @ AccountState::Hidden { .. })) => hidden,
                    (true, _) => AccountState::Hidden { status: None },
                    (false, Some(AccountState::Deleted)) => AccountState::Deleted,
                    (false, _) => AccountState::Active,
                }
            }
        };
        Ok(AccountView {
            state,
            purged_through: found.purged_through,
        })
    }

    fn account_events(
        &self,
        view: &KeyView,
        generation: &Generation,
        actor: ActorId,
        did: &str,
    ) -> Result<Found> {
        let prints = [false, true].map(|is_deletion| {
            let hash = generation.hasher.account_hash(is_deletion);
            fingerprint(actor, hash)
        });
        let mut found = Found::default();
        let mut is_decided = false;
        for file in view.newest_first(prints) {
            let [change, deletion] = match file.places {
                Ok(places) => places,
                Err(error) => {
                    self.window.report_damage(&error);
                    if !std::mem::replace(&mut is_decided, true) {
                        found.unread_through = file.last_seq;
                    }
                    continue;
                }
            };
            let newest = match (change, deletion) {
                (Some(change), Some(deletion)) if change.is_behind(&deletion) => Some(change),
                (change, deletion) => deletion.or(change),
            };
            if let (Some(newest), false) = (newest, is_decided) {
                is_decided = true;
                match self.told(&newest, did)? {
                    Some(told) => found.newest = Some(told),
                    None => found.unread_through = newest.last_seq,
                }
            }
            let Some(deletion) = deletion else { continue };
            if let Some(told) = self.told(&deletion, did)? {
                found.purged_through = Some(told.seq);
                break;
            }
        }
        Ok(found)
    }

    /// The account event at `place`; `None` where it cannot be read, or is of another account.
    fn told(&self, place: &Place, did: &str) -> Result<Option<Told>> {
        let told = self.window_event(place, |seq, event| {
            let state = state_by(event).filter(|_| event.did == did);
            state.map(|state| Told { seq, state })
        })?;
        Ok(told.flatten())
    }
}

fn state_by(event: &Event<'_>) -> Option<AccountState> {
    let Body::Account { active, status, .. } = event.body else {
        return None;
    };
    Some(if active {
        AccountState::Active
    } else if is_deletion(active, status) {
        AccountState::Deleted
    } else {
        AccountState::Hidden {
            status: status.map(str::to_owned),
        }
    })
}

/// Whether an event deletes its account.
pub(super) fn deletes(event: &Event<'_>) -> bool {
    matches!(state_by(event), Some(AccountState::Deleted))
}
