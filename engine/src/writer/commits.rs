//! Commit events: a record was made, changed or deleted, and the row at its key with it.

use std::sync::atomic::Ordering;

use orrery_formats::event::{Event, Operation};
use orrery_formats::segment::hour_of;

use super::repeats::is_ahead;
use super::{Applied, Writer};
use crate::Result;
use crate::actors::{is_hidden, is_masked};
use crate::memtable::{Kind, NewRow};

impl Writer {
    pub(super) fn apply_commit(
        &mut self,
        event: &Event<'_>,
        replayed: Option<u64>,
        rev: u64,
        collection: &str,
        rkey: &str,
        operation: &Operation<'_>,
    ) -> Result<Applied> {
        let key_hash = self.journal.key_hash(collection, rkey);
        let known = self.generation.find_actor(event.did)?;
        let ahead = is_ahead(rev, event.time_us);
        if let (Some(actor), None) = (known, replayed)
            && self.is_repeat(event, actor, (collection, rkey, key_hash), rev, ahead)?
        {
            return Ok(Applied::Repeat);
        }
        let truncated = match self.read_links(operation) {
            Ok(truncated) => truncated,
            Err(reason) => return Ok(Applied::BadRecord(reason)),
        };
        self.read_forms()?;
        self.check_accounts(known, replayed)?;
        let (old, is_hidden) = match known {
            Some(actor) => {
                let state = self.states.get(&self.generation, actor)?;
                let old = self.find_live(actor, collection, rkey, key_hash)?;
                (old, is_hidden(&state))
            }
            None => (None, false),
        };
        if let Some(place) = old {
            self.read_old_row(place, !self.spans.is_empty())?;
        }
        if self.logs(replayed) {
            self.read_commit_effect(known, is_hidden, old)?;
        }
        let seq = self.accept(event, replayed)?;
        let actor = self.intern_actor(known, event.did);
        if self.is_logged {
            // Who finds the event by its key finds the change too.
            let did_hash = self.generation.dids.hash(event.did);
            let changed = &self.shared.window.changed;
            changed.note_record(did_hash, key_hash, seq);
            self.journal.note_key(actor, key_hash, rev)?;
        }
        let state = self.states.get(&self.generation, actor)?;
        if rev > state.last_rev && !ahead {
            if state.last_rev == 0 {
                self.generation
                    .counters
                    .authors
                    .fetch_add(1, Ordering::Relaxed);
            }
            self.states
                .update(&self.generation, actor, |state| state.last_rev = rev)?;
        }
        let collection_id = self.resolve_links(collection);
        let links = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let mut unchanged = false;
        if let Some(place) = old {
            if !self.links.is_empty() && self.has_these_links(place)? {
                unchanged = true;
            } else {
                self.kill(place, seq)?;
            }
        }
        debug_assert!(
            self.next_effect
                .keeps_row()
                .is_none_or(|keeps| keeps == unchanged),
            "the log tells what becomes of the row at the key"
        );
        if !self.links.is_empty() && !unchanged {
            let hidden = is_masked(&state);
            let row = self.memtable().push_row(&NewRow {
                seq,
                time_us: event.time_us,
                actor,
                collection: collection_id,
                rkey,
                links: &self.links,
                hidden,
            });
            self.keys.insert((actor, key_hash), row);
            if !hidden {
                self.count_live(1, i64::from(links));
            }
        }
        let has_row = !self.links.is_empty() && !unchanged;
        self.note_evidence(actor, key_hash, event.time_us, has_row)?;
        let kind = match operation {
            Operation::Create(_) => Kind::Create,
            Operation::Update(_) => Kind::Update,
            Operation::Delete => Kind::Delete,
        };
        let element = self.elements.of(actor, event.did);
        let buckets = &self.generation.memtable.buckets;
        buckets.count(collection_id, hour_of(event.time_us), kind, element);
        self.note_sample(
            (seq, event.time_us, rev),
            actor,
            collection_id,
            (rkey, key_hash),
            operation,
        );
        self.publish(seq, event.time_us);
        Ok(if unchanged {
            Applied::Unchanged { seq, links }
        } else {
            Applied::New {
                seq,
                links,
                truncated,
            }
        })
    }
}
