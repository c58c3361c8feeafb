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

use orrery_formats::segment::{PASSED_HASH_BITS, PassedKey};

use super::Writer;
use crate::Result;
use crate::actors::ActorId;

/// How far event times may be out of order and an account's deletion still stand behind all events that came
/// before it.
const OUT_OF_ORDER_MAX_US: u64 = 10 * 60 * 1_000_000;

/// Heap bytes of a passed key, about.
pub(super) const PASSED_BYTES: usize = 40;

/// The key as a segment keeps it; `key_hash` is keyed with the directory's secret.
pub(crate) fn passed_key(actor: ActorId, key_hash: u64) -> PassedKey {
    PassedKey {
        actor,
        hash: (key_hash >> (u64::BITS - PASSED_HASH_BITS)) as u32,
    }
}

impl Writer {
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
        for (_, sealed) in self.generation.numbered().rev() {
            let segment = &sealed.segment;
            let last_time_us = segment.info().last_time_us;
            if time_ms > last_time_us / 1_000 {
                continue;
            }
            if time_us <= last_time_us && sealed.passed_keys().holds_passed_key(key)? {
                return Ok(true);
            }
            if !segment.may_hold_key(actor, collection, rkey)? {
                continue;
            }
            let mut newest = None;
            segment.find_rows(actor, collection, rkey, &mut |row| newest = Some(row))?;
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

    /// The time up to which a deletion of an account at `time_us` reaches: that of all events before it.
    pub(super) fn deletion_time_us(&self, time_us: u64) -> u64 {
        let memtable = self.memtable().times_us().map_or(0, |(_, last)| last);
        let segments = self.generation.segments.iter();
        let newest = segments
            .map(|sealed| sealed.segment.info().last_time_us)
            .fold(memtable, u64::max);
        newest.clamp(time_us, time_us.saturating_add(OUT_OF_ORDER_MAX_US))
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
