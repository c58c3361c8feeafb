//! Account events: hiding an account's records, bringing them back, and deleting them for good, each by
//! one walk over that account's own rows.

use std::sync::atomic::Ordering;

use orrery_formats::event::Event;

use super::effects::links_told;
use super::own_rows::{Move, OwnRows};
use super::{Applied, Writer};
use crate::Result;
use crate::actors::{account_event_is_old, is_deletion, is_excluded, is_hidden, set_account};

impl Writer {
    pub(super) fn apply_account(
        &mut self,
        event: &Event<'_>,
        replayed: Option<u64>,
        account_seq: u64,
        active: bool,
        status: Option<&str>,
    ) -> Result<Applied> {
        let known = self.generation.find_actor(event.did)?;
        if let (Some(actor), None) = (known, replayed) {
            let state = self.states.get(&self.generation, actor)?;
            if account_event_is_old(&state, account_seq)
                || self.is_repeat_unread(event.did, account_seq, event.time_us)?
            {
                return Ok(Applied::Repeat);
            }
        }
        self.forms.clear();
        self.check_accounts(known, replayed)?;
        let deleted = is_deletion(active, status);
        let (mut was_hidden, mut excluded) = (false, false);
        let moves = match (deleted, active) {
            (true, _) => Move::Delete,
            (false, false) => Move::Hide,
            (false, true) => Move::Show,
        };
        let (mut rows, mut deletion_us) = (OwnRows::default(), event.time_us);
        if let Some(actor) = known {
            let state = self.states.get(&self.generation, actor)?;
            (was_hidden, excluded) = (is_hidden(&state), is_excluded(&state));
            if deleted || active == was_hidden {
                let is_told = self.logs(replayed);
                let kept_max = if is_told { links_told(moves) } else { 0 };
                rows = self.own_rows(actor, moves, kept_max as usize)?;
            }
            if deleted {
                deletion_us = self.deletion_time_us(actor, event.time_us)?;
            }
        }
        if self.logs(replayed) {
            // What was hidden was not to be seen before either.
            let changes = if deleted {
                !was_hidden
            } else {
                active == was_hidden
            };
            self.read_account_effect(known, changes.then_some(moves), &rows)?;
        }
        let seq = self.accept(event, replayed)?;
        let actor = self.intern_actor(known, event.did);
        if self.is_logged {
            let did_hash = self.generation.dids.hash(event.did);
            self.shared.window.changed.note_account(did_hash, seq);
            self.journal.note_account(actor, account_seq, deleted)?;
        }
        // What is excluded stays so, and comes back as it is by then.
        let unmasks = active && was_hidden && !excluded;
        if unmasks {
            self.turn_unmask_epoch();
        }
        if deleted || active == was_hidden && !excluded {
            self.move_own_rows(rows, moves, seq)?;
        }
        let hides = !active && !deleted;
        self.states.update(&self.generation, actor, |state| {
            set_account(state, account_seq, hides);
            if deleted {
                state.purged_us = state.purged_us.max(deletion_us);
            }
        })?;
        self.memtable()
            .samples
            .change_account(actor, seq, hides || excluded, deleted);
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

    /// The epoch is odd while rows come back: turned before the first, and when the event is published.
    pub(super) fn turn_unmask_epoch(&self) {
        let epoch = &self.generation.counters.unmask_epoch;
        epoch.fetch_add(1, Ordering::AcqRel);
    }
}
