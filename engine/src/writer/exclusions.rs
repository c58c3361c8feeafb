//! What the operator says of accounts: rows are hidden and shown again by events of the log, as the network's are, so
//! that snapshots see each whole and replays give the same. An excluded account stays so whatever its hosting status
//! becomes, and what comes from it meanwhile is indexed and hidden.

use std::sync::Arc;

use orrery_formats::event::{Body, Event};

use super::own_rows::{Move, OwnRows};
use super::{Applied, Writer};
use crate::actors::{ActorId, is_excluded, is_hidden, set_excluded};
use crate::{Error, Result};

impl Writer {
    /// Has the next [`apply_exclusions`](Self::apply_exclusions) look at all accounts of the list, where a segment was left out
    /// whose account states cannot be read: they may have been what hides these accounts.
    pub(crate) fn compare_exclusions_again(&mut self) {
        if self.unread.may_have_states() {
            self.shared.exclusions.compare_again();
            self.waiting_exclusions = None;
        }
    }

    /// Makes the index say of each account what the exclude list does, durably. Does nothing, and costs a load, where the
    /// list has not changed since.
    ///
    /// # Errors
    /// As [`apply`](Self::apply) and [`commit`](Self::commit); after a pause what is left is tried again by the next
    /// call.
    pub fn apply_exclusions(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let count = shared.exclusions.pending_count();
        if count == 0 {
            return Ok(());
        }
        let version = shared.exclusions.current().version();
        if self.lost_accounts.is_some() && self.waiting_exclusions == Some((version, count)) {
            // None of them is known before the repair, and they may be many.
            return Ok(());
        }
        self.waiting_exclusions = None;
        let (fs, dir) = (&*shared.fs, &shared.dir);
        if let Err(error) = shared.exclusions.settle(fs, dir) {
            // Whoever changed the list was told. Rows that were hidden now would stay so where a power cut takes the entry back.
            tracing::debug!(%error, "the exclude list is not durable yet");
            return Ok(());
        }
        let pending = shared.exclusions.pending();
        let list = shared.exclusions.current();
        let mut looked_at = Vec::with_capacity(pending.len());
        let (mut paused, mut waiting) = (Ok(()), 0);
        let mut changes = false;
        for did in pending {
            let excluded = list.hides_account(&did);
            let said = loop {
                match self.says_of(&did) {
                    // Damage that is met is set aside, and what is left is asked.
                    Err(error) if self.leave_out(&error)? => {}
                    said => break said?,
                }
            };
            if said != excluded {
                let event = Event {
                    // Whatever is told of the index's time is the source's.
                    time_us: self.journal.last_time_us(),
                    did: &did,
                    body: Body::Exclusion { excluded },
                };
                match self.apply(&event) {
                    Ok(_) => {
                        changes = true;
                        if !excluded {
                            shared.exclusions.note_shown(&did);
                        }
                    }
                    // This account waits for a repair, and none of the others does for that.
                    Err(error @ Error::LostAccounts { .. }) => {
                        paused = Err(error);
                        waiting += 1;
                        continue;
                    }
                    Err(error) if error.is_pause() => {
                        paused = Err(error);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            looked_at.push((did, excluded));
        }
        if let Err(error @ Error::LostAccounts { .. }) = &paused {
            // Another account's event may have told since that none waits.
            shared.durable.lock().blocked = Some(error.to_string());
            self.waiting_exclusions = Some((version, waiting));
        }
        // A removal may have been applied by a call whose commit found no room.
        if changes || looked_at.iter().any(|(_, excluded)| !excluded) {
            self.commit()?;
        }
        // A segment that comes back may have what an older list said.
        let may_change = self.unread.may_have_states();
        let done = shared.exclusions.done(fs, dir, &looked_at, may_change);
        if let Err(error) = done {
            // The file stays as it was, or comes back so, with entries that the next start drops: nothing depends on them.
            tracing::warn!(%error, "removed entries stay in the file of the exclude list, or may come back there; the next start drops them");
        }
        paused
    }

    /// Whether the index has an account excluded.
    fn says_of(&mut self, did: &str) -> Result<bool> {
        match self.generation.find_actor(did)? {
            Some(actor) => Ok(is_excluded(&self.states.get(&self.generation, actor)?)),
            None => Ok(false),
        }
    }

    pub(super) fn apply_exclusion(
        &mut self,
        event: &Event<'_>,
        replayed: Option<u64>,
        excluded: bool,
    ) -> Result<Applied> {
        let known = self.generation.find_actor(event.did)?;
        let (mut was_excluded, mut is_hidden_too) = (false, false);
        if let Some(actor) = known {
            let state = self.states.get(&self.generation, actor)?;
            (was_excluded, is_hidden_too) = (is_excluded(&state), is_hidden(&state));
        }
        if replayed.is_none() && was_excluded == excluded {
            return Ok(Applied::Repeat);
        }
        self.forms.clear();
        self.check_accounts(known, replayed)?;
        // Rows that the network hides are hidden already, and stay so.
        let changes = was_excluded != excluded && !is_hidden_too;
        let moves = if excluded { Move::Hide } else { Move::Show };
        let rows = match known.filter(|_| changes) {
            Some(actor) => self.own_rows(actor, moves, 0)?,
            None => OwnRows::default(),
        };
        let seq = self.accept(event, replayed)?;
        let actor: ActorId = self.intern_actor(known, event.did);
        let unmasks = changes && !excluded;
        if unmasks {
            self.turn_unmask_epoch();
        }
        self.move_own_rows(rows, moves, seq)?;
        self.states.update(&self.generation, actor, |state| {
            set_excluded(state, excluded);
        })?;
        let hides = excluded || is_hidden_too;
        let samples = &self.memtable().samples;
        samples.change_account(actor, seq, hides, false);
        self.publish(seq, event.time_us);
        if unmasks {
            self.turn_unmask_epoch();
        }
        Ok(Applied::New {
            seq,
            links: 0,
            truncated: false,
        })
    }
}
