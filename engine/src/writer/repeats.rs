//! Telling a repeat from a new event, for keys that the log's window does not know.
//!
//! Every commit event that was applied left evidence that its key has come as far as the event's time: a row, or
//! a passed key where it left none (deletes, records without links, updates that changed no link), or it stands
//! before the deletion of its account. A row is dropped only once newer evidence of its key is sealed, and passed
//! keys go only with their account, so this holds however old the event is and however often segments were merged.
//!
//! A row tells its time to the millisecond and the memtable's passed keys theirs exactly. A segment's passed keys
//! tell that there was an event within the segment's time, so a repeat is always known as one, and so is a new
//! event that comes in order. One that comes out of order, from before events of its own key that were applied, is
//! taken for a repeat.

use std::collections::hash_map::Entry;

use orrery_formats::event::{Body, Event};
use orrery_formats::segment::{KeyProbe, PASSED_HASH_BITS, PassedKey};

use super::Writer;
use crate::Result;
use crate::actors::{ActorId, account_event_is_old, is_excluded};

/// A revision this far ahead of its event's time is taken for a wrong clock: it is accepted, but does
/// not raise the actor's newest revision, which would make every later event look like a repeat.
const REV_AHEAD_MAX_US: u64 = 10 * 60 * 1_000_000;

/// How far event times may be out of order and an account's deletion still stand behind all events that came
/// before it.
pub(super) const OUT_OF_ORDER_MAX_US: u64 = 10 * 60 * 1_000_000;

/// Heap bytes of a passed key, about.
pub(super) const PASSED_BYTES: usize = 40;

/// The key as a segment keeps it; `key_hash` is keyed with the directory's secret.
pub(crate) fn passed_key(actor: ActorId, key_hash: u64) -> PassedKey {
    PassedKey {
        actor,
        hash: (key_hash >> (u64::BITS - PASSED_HASH_BITS)) as u32,
    }
}

/// Whether a revision is so far ahead of its event's time that its clock was wrong.
pub(super) const fn is_ahead(rev: u64, time_us: u64) -> bool {
    rev >> 10 > time_us.saturating_add(REV_AHEAD_MAX_US)
}

impl Writer {
    /// Whether a commit event was applied before, or is void. `ahead` where its revision is of a wrong clock.
    pub(super) fn is_repeat(
        &mut self,
        event: &Event<'_>,
        actor: ActorId,
        (collection, rkey, key_hash): (&str, &str, u64),
        rev: u64,
        ahead: bool,
    ) -> Result<bool> {
        let time_us = event.time_us;
        let state = self.states.get(&self.generation, actor)?;
        // What a deletion of the account stands behind is void, whether it was applied or not.
        if time_us.max(1) <= state.purged_us {
            return Ok(true);
        }
        // A revision above the actor's newest proves the event new without any look-up, if that is the newest.
        if !ahead && rev > state.last_rev && !self.unread.reaches(time_us) {
            return Ok(false);
        }
        if self.has_reached(actor, key_hash, rev)? {
            return Ok(true);
        }
        // Where the window knows all of that time, it does not matter whether it knows the key.
        if self.window_covers(time_us) || self.is_known(actor, key_hash)? {
            return self.is_void_unread(event.did, time_us);
        }
        if self.is_passed(actor, collection, rkey, key_hash, time_us)? {
            return Ok(true);
        }
        self.check_evidence(time_us)?;
        Ok(false)
    }

    /// Whether the index has an event of the log already, by what it keeps of it: the window knows the event itself.
    pub(super) fn is_again(&mut self, event: &Event<'_>) -> Result<bool> {
        let Some(actor) = self.generation.find_actor(event.did)? else {
            return Ok(false);
        };
        let state = self.states.get(&self.generation, actor)?;
        match event.body {
            Body::Commit {
                rev,
                collection,
                rkey,
                ..
            } => {
                if event.time_us.max(1) <= state.purged_us {
                    return Ok(true);
                }
                if rev > state.last_rev && !is_ahead(rev, event.time_us) {
                    return Ok(false);
                }
                let key_hash = self.journal.key_hash(collection, rkey);
                self.is_passed(actor, collection, rkey, key_hash, event.time_us)
            }
            Body::Account { seq, .. } => Ok(account_event_is_old(&state, seq)),
            Body::Identity { .. } => Ok(false),
            Body::Exclusion { excluded } => Ok(is_excluded(&state) == excluded),
        }
    }

    /// Whether the log's window knows the key of each applied event with that time. Times need not be in order:
    /// the newest of all events that the window has lost is what counts, or a later one where a segment holds such
    /// events and others. O(segments).
    pub(super) fn window_covers(&self, time_us: u64) -> bool {
        let Some(floor) = self.journal.window_floor() else {
            return true;
        };
        let infos = self.generation.segments.iter();
        infos
            .map(|sealed| sealed.segment.info())
            .all(|info| info.first_seq >= floor || info.last_time_us < time_us)
    }

    /// Whether there is evidence in the index that the key has come as far as `time_us` or further. O(segments
    /// with events at or behind that time).
    pub(super) fn is_passed(
        &self,
        actor: ActorId,
        collection: &str,
        rkey: &str,
        key_hash: u64,
        time_us: u64,
    ) -> Result<bool> {
        if let Some(passed_us) = self.passed.get(&(actor, key_hash))
            && time_us <= *passed_us
        {
            return Ok(true);
        }
        let time_ms = time_us / 1_000;
        let memtable = self.memtable();
        if let Some(row) = self.keys.get(&(actor, key_hash))
            && memtable.collection(*row) == collection
            && memtable.rkey(*row) == *rkey
            && time_ms <= memtable.time_us(*row) / 1_000
        {
            return Ok(true);
        }
        let key = passed_key(actor, key_hash);
        let probe = KeyProbe::new(actor, collection, rkey);
        for (_, sealed) in self.generation.numbered().rev() {
            let segment = &sealed.segment;
            let last_time_us = segment.info().last_time_us;
            if time_ms > last_time_us / 1_000 {
                continue;
            }
            if time_us <= last_time_us && sealed.passed_keys().holds_passed_key(key)? {
                return Ok(true);
            }
            if !segment.may_hold(&probe)? {
                continue;
            }
            let mut newest = None;
            segment.find_key(&probe, &mut |row| newest = Some(row))?;
            if let Some(row) = newest
                && time_ms <= segment.time_us(row)? / 1_000
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes what an applied event left of its key: a row, or none.
    pub(super) fn note_evidence(
        &mut self,
        actor: ActorId,
        key_hash: u64,
        time_us: u64,
        has_row: bool,
    ) -> Result<()> {
        let entry = self.passed.entry((actor, key_hash));
        if has_row {
            if let Entry::Occupied(passed) = entry
                && *passed.get() <= time_us
            {
                passed.remove();
            }
            return Ok(());
        }
        let passed_us = entry.or_insert(time_us);
        *passed_us = time_us.max(*passed_us);
        self.unmeasured_bytes += PASSED_BYTES;
        // A merge tells by the state which of an actor's keys are from before its deletion.
        self.states.update(&self.generation, actor, |_| {})
    }

    /// The time up to which a deletion of an account at `time_us` reaches: that of all its events before it, as far as
    /// these may be out of order. Rows tell theirs; keys without rows count as of their segment's newest event.
    /// O(rows of the account) where anything is newer than the deletion.
    pub(super) fn deletion_time_us(&self, actor: ActorId, time_us: u64) -> Result<u64> {
        let mut newest = time_us;
        let memtable = self.memtable();
        if memtable
            .times_us()
            .is_some_and(|(_, last_us)| last_us > time_us)
        {
            for row in memtable.actor_rows_back(actor, memtable.row_count()) {
                newest = newest.max(memtable.time_us(row));
            }
            let passed = self.passed.iter();
            let own = passed.filter(|((of, _), _)| *of == actor);
            newest = own.fold(newest, |newest, (_, passed_us)| newest.max(*passed_us));
        }
        for sealed in &self.generation.segments {
            let segment = &sealed.segment;
            let last_time_us = segment.info().last_time_us;
            if last_time_us <= newest {
                continue;
            }
            if sealed.passed_keys().holds_passed_keys_of(actor)? {
                newest = last_time_us;
                continue;
            }
            for row in segment.actor_rows(actor)? {
                // A segment tells the millisecond.
                let row_us = segment.time_us(row?)?.saturating_add(999);
                newest = newest.max(row_us.min(last_time_us));
            }
        }
        Ok(newest.min(time_us.saturating_add(OUT_OF_ORDER_MAX_US)))
    }

    /// The passed keys of the memtable as its segment keeps them, without those that the deletion of their
    /// account makes needless.
    pub(crate) fn passed_keys(&mut self) -> Result<Vec<PassedKey>> {
        let mut keys = Vec::with_capacity(self.passed.len());
        for (&(actor, key_hash), &time_us) in &self.passed {
            let state = self.states.get(&self.generation, actor)?;
            if time_us > state.purged_us {
                keys.push(passed_key(actor, key_hash));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}
