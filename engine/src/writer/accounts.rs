//! Account events: hiding an account's records, bringing them back, and deleting them for good, each by
//! one walk over that account's own rows.

use std::sync::atomic::Ordering;

use orrery_formats::event::Event;

use super::rows::OldRow;
use super::{Applied, Place, Writer};
use crate::Result;
use crate::actors::{
    ActorId, account_event_is_old, is_deletion, is_excluded, is_hidden, set_account,
};
use crate::memtable::{DEAD, HIDDEN};

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
        let (mut rows, mut deletion_us) = (Vec::new(), event.time_us);
        if let Some(actor) = known {
            let state = self.states.get(&self.generation, actor)?;
            (was_hidden, excluded) = (is_hidden(&state), is_excluded(&state));
            if deleted || active == was_hidden {
                rows = self.rows_of(actor)?;
            }
            let mut old = OldRow::default();
            for place in &rows {
                self.read_row(*place, false, &mut old)?;
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
            self.read_account_effect(known, changes, &rows)?;
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
        if deleted {
            for place in rows {
                self.unmeasured_bytes += 128;
                self.kill(place, seq)?;
            }
        } else if active == was_hidden && !excluded {
            self.hide_rows(rows, seq, !active)?;
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

    /// Hides rows from `seq` on, or shows them again.
    pub(super) fn hide_rows(&mut self, rows: Vec<Place>, seq: u64, hides: bool) -> Result<()> {
        for place in rows {
            self.unmeasured_bytes += 128;
            let state = self.state(place)?;
            let state = if hides {
                state | HIDDEN
            } else {
                state & !HIDDEN
            };
            self.move_row(place, seq, state)?;
        }
        Ok(())
    }

    /// The rows of an actor that are not dead.
    pub(super) fn rows_of(&self, actor: ActorId) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for (part, sealed) in self.generation.numbered() {
            for row in sealed.segment.actor_rows(actor)? {
                places.push(Place::Sealed { part, row: row? });
            }
        }
        let memtable = self.memtable();
        places.extend(
            memtable
                .actor_rows_back(actor, memtable.row_count())
                .map(Place::Memtable),
        );
        let mut live = Vec::with_capacity(places.len());
        for place in places {
            if self.state(place)? & DEAD == 0 {
                live.push(place);
            }
        }
        Ok(live)
    }
}
