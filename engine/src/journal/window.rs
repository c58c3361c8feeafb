//! The log's window for the writer: what it tells of keys and of sealed events, and how far back it is kept.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use orrery_formats::event::Body;
use orrery_formats::manifest::Edit;

use super::Journal;
use crate::actors::is_deletion;
use crate::log::keys::{KeyHasher, KeyWindow, KeyWrite, Meaning, SharedKeys};
use crate::log::{Replayed, is_known_loss, log_name, read_closed};
use crate::{ActorId, Options, Result};

/// What a replayed event means for the key window.
pub(crate) fn key_write(
    hasher: &KeyHasher,
    replayed: &Replayed<'_>,
    find_actor: &dyn Fn(&str) -> Result<Option<ActorId>>,
) -> Result<Meaning> {
    let (hash, rev) = match replayed.event.body {
        Body::Commit {
            rev,
            collection,
            rkey,
            ..
        } => (hasher.hash(collection, rkey), rev),
        Body::Account {
            seq,
            active,
            status,
        } => (hasher.account_hash(is_deletion(active, status)), seq),
        Body::Identity { .. } | Body::Exclusion { .. } => return Ok(Meaning::Nothing),
    };
    let actor = find_actor(replayed.event.did)?;
    Ok(actor.map_or(Meaning::Lost, |actor| {
        Meaning::Write(KeyWrite { actor, hash, rev })
    }))
}

impl Journal {
    /// Makes key indexes anew that are damaged.
    pub(crate) fn rebuild_keys(
        &mut self,
        find_actor: &dyn Fn(&str) -> Result<Option<ActorId>>,
    ) -> Result<()> {
        let hasher = self.hasher;
        let window = &mut self.open_mut()?.window;
        window
            .rebuild(&mut |replayed| key_write(&hasher, replayed, find_actor))
            .map(drop)
    }

    pub(crate) fn key_hash(&self, collection: &str, rkey: &str) -> u64 {
        self.hasher.hash(collection, rkey)
    }

    /// The revision last applied to a key within the window.
    pub(crate) fn last_rev(&self, actor: ActorId, key_hash: u64) -> Result<Option<u64>> {
        self.open_ref()?.window.last_rev(actor, key_hash)
    }

    /// Whether that revision of a key, or a higher one, was applied within the window.
    pub(crate) fn has_reached(&self, actor: ActorId, key_hash: u64, rev: u64) -> Result<bool> {
        self.open_ref()?.window.has_reached(actor, key_hash, rev)
    }

    /// Events with lower seqs are not in the key window, or not all; `None` where all that there ever were are.
    pub(crate) fn window_floor(&self) -> Option<u64> {
        let window = self.open.as_ref().map(|open| &open.window);
        let known_from = window.map_or(0, KeyWindow::known_from);
        let is_whole = known_from == 0 && window.is_some_and(KeyWindow::complete);
        (!is_whole).then(|| self.state().log_floor.max(known_from))
    }

    /// Whether events within the window are missing from it, so that a later revision of a key may have been applied
    /// than the one that it knows.
    pub(crate) fn window_is_broken(&self) -> bool {
        let window = self.open.as_ref().map(|open| &open.window);
        window.is_some_and(|window| window.known_from() > self.state().log_floor.max(1))
    }

    /// Gives the events with those seqs, which are sealed, as far as the window has them, and tells whether it has all.
    /// What cannot be read of a file, for whatever reason, it does not have.
    pub(crate) fn each_closed(
        &self,
        seqs: RangeInclusive<u64>,
        each: &mut dyn FnMut(&Replayed<'_>),
    ) -> Result<bool> {
        let mut each = |replayed: &Replayed<'_>| -> Result<()> {
            each(replayed);
            Ok(())
        };
        let state = self.state();
        // What is known to be lost was not sealed.
        let mut next = *seqs.start();
        let mut is_whole = true;
        for log in self.open_ref()?.window.files() {
            if log.last_seq < next || log.first_seq > *seqs.end() {
                continue;
            }
            let (fs, id, losses) = (&*self.fs, state.directory.id, &state.gaps);
            let read = read_closed(fs, &self.dir, id, log, seqs.clone(), losses, &mut each);
            if let Err(error) = &read {
                tracing::warn!(file = log_name(log.first_seq), %error, "a closed log file cannot be read whole");
            }
            is_whole &= matches!(read, Ok(0))
                && (log.first_seq <= next || is_known_loss(losses, next, log.first_seq));
            next = log.last_seq.saturating_add(1);
        }
        let end = seqs.end().saturating_add(1);
        Ok(is_whole && (next >= end || is_known_loss(&state.gaps, next, end)))
    }

    /// Notes that the event appended last was applied to a key.
    pub(crate) fn note_key(&mut self, actor: ActorId, hash: u64, rev: u64) -> Result<()> {
        let Some((seq, position)) = self.position else {
            return Ok(());
        };
        let key = KeyWrite { actor, hash, rev };
        self.open_mut()?.window.insert(key, seq, position)
    }

    /// As [`note_key`](Self::note_key), for an event of the account itself.
    pub(crate) fn note_account(
        &mut self,
        actor: ActorId,
        account_seq: u64,
        deletes: bool,
    ) -> Result<()> {
        let hash = self.hasher.account_hash(deletes);
        self.note_key(actor, hash, account_seq)
    }

    /// What readers share with the key window, once the log is open.
    pub(crate) fn shared_keys(&self) -> Result<Arc<SharedKeys>> {
        Ok(Arc::clone(self.open_ref()?.window.shared()))
    }

    /// Lets the log go on in a new file, and trims its window. Does nothing while it is still replayed.
    pub(crate) fn rotate(&mut self, options: &Options) -> Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        let cursor = self.durable_cursor.clone();
        let age_us = u64::try_from(options.log_age_max.as_micros()).unwrap_or(u64::MAX);
        // An event's time is a claim: one from the future must not empty the window.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_us = now.map_or(u64::MAX, |now| {
            u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
        });
        let older_than_us = self.last_time_us.min(now_us).saturating_sub(age_us);
        let open = self.open_mut()?;
        if let Some(file) = open.writer.rotate(cursor.as_ref())? {
            open.window.seal(&file)?;
        }
        self.position = None;
        let sealed_through = self.state().sealed_through;
        let kept = self.window_bytes_kept;
        let bytes_max = options.log_bytes_max.max(kept);
        let older_than_us = if kept > 0 { 0 } else { older_than_us };
        let window = &self.open_ref()?.window;
        if let Some(floor) = window.plan_trim(bytes_max, kept, older_than_us, sealed_through) {
            self.trim(floor)?;
        }
        Ok(())
    }

    /// Removes the closed log files with only seqs below `floor`.
    fn trim(&mut self, floor: u64) -> Result<()> {
        self.manifest.append(&Edit {
            log_floor: Some(floor),
            window_complete: Some(false),
            ..Edit::default()
        })?;
        self.open_mut()?.window.trim_below(floor)?;
        Ok(())
    }

    /// Whether the window has closed files whose events are sealed, which [`give_up_window`](Self::give_up_window)
    /// would remove.
    pub(crate) fn has_window(&self) -> bool {
        let sealed_through = self.state().sealed_through;
        let open = self.open.as_ref();
        open.is_some_and(|open| open.window.plan_trim(0, 0, 0, sealed_through).is_some())
    }

    /// Makes the log's window smaller by about `bytes`, as far as it has closed files whose events are
    /// sealed; tells whether it did. What is given up no longer recognises repeats by itself.
    pub(crate) fn give_up_window(&mut self, bytes: u64) -> Result<bool> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let left = open.window.bytes().saturating_sub(bytes);
        let sealed_through = self.state().sealed_through;
        match open.window.plan_trim(left, 0, 0, sealed_through) {
            Some(floor) => self.trim(floor).map(|()| true),
            None => Ok(false),
        }
    }

    /// As [`give_up_window`](Self::give_up_window), where at least `bytes` come free by it, and at least `bytes_min` and
    /// what is always kept are left of the window: otherwise nothing is given up.
    pub(crate) fn give_up_window_above(&mut self, bytes: u64, bytes_min: u64) -> Result<bool> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let left = open.window.bytes().saturating_sub(bytes);
        let bytes_min = bytes_min.max(self.window_bytes_kept);
        let sealed_through = self.state().sealed_through;
        let floor = open.window.plan_trim(left, bytes_min, 0, sealed_through);
        match floor.filter(|floor| open.window.bytes_below(*floor) >= bytes) {
            Some(floor) => self.trim(floor).map(|()| true),
            None => Ok(false),
        }
    }
}
