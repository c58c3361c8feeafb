//! The thread that merges in the background, one merge at a time. What it has made waits until the writer
//! installs it; only then does it look for the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::holds::Holds;
use super::merge::{Merged, candidates, merge, need};
use super::policy::{Candidate, Policy, plan};
use super::want::Want;
use super::workspace::{Pace, Stopped};
use crate::effort::{Effort, EffortStatus};
use crate::snapshot::Generation;
use crate::store::Shared;
use crate::{DiskLimit, Error, Result};

/// The writer waits at most so long for a merge to give way; a sync of a slow disk takes about a second.
const GIVE_WAY_WITHIN: Duration = Duration::from_secs(10);

/// What the writer, the worker and readers of the status share.
#[derive(Default)]
pub(crate) struct Compaction {
    slot: Mutex<Slot>,
    wake: Condvar,
    is_cancelled: AtomicBool,
    /// Bytes that merges leave to the writer.
    keeps_free: AtomicU64,
    /// Whether the merge that runs is to end, since the writer needs its room.
    must_give_way: AtomicBool,
    want: Want,
    counts: Counts,
}

#[derive(Default)]
struct Slot {
    merged: Option<Merged>,
    merged_at: Option<Instant>,
    /// Whether the writer installs what was merged: until it has published that, the generation still has the inputs.
    is_installing: bool,
    /// Whether the segments changed since the worker last looked.
    is_due: bool,
    /// Whether the writer made room since then for the merge that found none.
    has_room: bool,
    failure: Option<String>,
}

#[derive(Debug, Default)]
struct Counts {
    merges: Effort,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    /// 1 while a merge runs, until what it made can be taken.
    running: AtomicU64,
    /// How often the thread looked whether there is something to do.
    #[cfg(test)]
    looks: AtomicU64,
}

/// What compaction does, and has done since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompactionStatus {
    /// Merges, rewrites of one segment among them.
    pub merges: u64,
    /// What they took.
    pub effort: EffortStatus,
    /// Bytes of segments read by them.
    pub bytes_read: u64,
    /// Bytes of segments written by them.
    pub bytes_written: u64,
    /// Whether a merge runs now.
    pub is_running: bool,
    /// Why the merge that failed last did, as long as one that failed waits to be tried again.
    pub failure: Option<String>,
}

impl Slot {
    /// Whether a merge that is made now could be put down and is not one of segments that are just being replaced.
    const fn is_free(&self) -> bool {
        self.merged.is_none() && !self.is_installing
    }
}

impl Compaction {
    /// The segments have changed, or stay as they are behind an installation that came to nothing.
    pub(crate) fn notify(&self) {
        let mut slot = self.slot.lock();
        slot.is_due = true;
        slot.is_installing = false;
        drop(slot);
        self.wake.notify_all();
    }

    /// There is room now for the merge that found none.
    pub(crate) fn tell_of_room(&self) {
        let mut slot = self.slot.lock();
        slot.is_due = true;
        slot.has_room = true;
        self.wake.notify_all();
    }

    /// The segment that waits, for whoever installs it and then [notifies](Self::notify): until then the thread rests,
    /// since it would merge what is being replaced.
    pub(crate) fn take_to_install(&self) -> Option<Merged> {
        let mut slot = self.slot.lock();
        slot.merged_at = None;
        let merged = slot.merged.take();
        slot.is_installing = merged.is_some();
        merged
    }

    /// The segment that waits, for whoever gives it up. The thread, which rests as long as one does, hears of it.
    fn take_to_give_up(&self) -> Option<Merged> {
        let mut slot = self.slot.lock();
        slot.merged_at = None;
        let merged = slot.merged.take();
        if merged.is_some() {
            self.wake.notify_all();
        }
        merged
    }

    /// For how long a segment has waited to be installed.
    pub(crate) fn waiting(&self) -> Option<Duration> {
        self.slot.lock().merged_at.map(|since| since.elapsed())
    }

    /// Makes merges leave so many bytes free beside what they write.
    pub(crate) fn keep_free(&self, bytes: u64) {
        self.keeps_free.store(bytes, Ordering::Relaxed);
    }

    /// What [`keep_free`](Self::keep_free) was told last.
    pub(crate) fn keeps_free(&self) -> u64 {
        self.keeps_free.load(Ordering::Relaxed)
    }

    /// Bytes that merges leave to the writer: all of the above, or half of it for one that was refused, beside which
    /// the log's window gives way as the log grows.
    pub(crate) fn left_by_merges(&self) -> u64 {
        match self.want.bytes() {
            Some(_) => self.keeps_free() / 2,
            None => self.keeps_free(),
        }
    }

    /// Frees the room that merging takes in passing: ends the merge that runs, and removes the segment that waits to
    /// be installed. Both are made again. Waits for the end of the merge, which looks every few milliseconds of
    /// work. Tells whether there was anything.
    pub(crate) fn give_way(&self, shared: &Shared) -> bool {
        let running = &self.counts.running;
        let mut gave = false;
        if running.load(Ordering::Acquire) != 0 {
            gave = true;
            self.must_give_way.store(true, Ordering::Relaxed);
            let until = Instant::now() + GIVE_WAY_WITHIN;
            while running.load(Ordering::Acquire) != 0 && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        if let Some(merged) = self.take_to_give_up() {
            gave = true;
            tracing::debug!(segment = %merged.sealed.name, "a merged segment gives way to the log");
            let inputs = merged.inputs.iter().map(|input| input.bytes);
            self.want.refused(need(inputs));
            if let Err(error) = shared.fs.unlink(&merged.path(shared)) {
                tracing::warn!(%error, "a merged segment that is given up cannot be removed");
            }
        }
        gave
    }

    pub(crate) const fn must_give_way(&self) -> &AtomicBool {
        &self.must_give_way
    }

    /// The room that a merge did not get.
    pub(crate) const fn want(&self) -> &Want {
        &self.want
    }

    /// Why the merge that failed last did, as long as one waits.
    fn failure(&self) -> Option<String> {
        self.slot.lock().failure.clone()
    }

    /// A merge that began at `since` is done.
    pub(crate) fn count(&self, merged: &Merged, since: Instant) {
        let read: u64 = merged.inputs.iter().map(|input| input.bytes).sum();
        self.counts.merges.done(since, merged.entry.bytes);
        self.counts.bytes_read.fetch_add(read, Ordering::Relaxed);
        let written = merged.entry.bytes;
        self.counts
            .bytes_written
            .fetch_add(written, Ordering::Relaxed);
    }

    /// Runs the merge that is due, if one is and nothing waits to be installed. Gives whether there was one.
    pub(crate) fn run_once(&self, shared: &Shared) -> Result<bool, Stopped> {
        self.run_once_beside(shared, &mut Holds::default(), Instant::now())
    }

    /// As [`run_once`](Self::run_once), with merges left out that failed before.
    fn run_once_beside(
        &self,
        shared: &Shared,
        holds: &mut Holds,
        now: Instant,
    ) -> Result<bool, Stopped> {
        if !self.slot.lock().is_free() {
            return Ok(false);
        }
        let found = merge_next(shared, holds, now);
        let mut slot = self.slot.lock();
        // Under the lock: whoever sees that no merge runs finds what the last one made.
        self.counts.running.store(0, Ordering::Release);
        let merged = found?;
        let is_made = merged.is_some();
        if is_made {
            slot.merged = merged;
            slot.merged_at = Some(Instant::now());
        }
        slot.failure = holds.why();
        Ok(is_made)
    }

    /// For the status.
    pub(crate) fn status(&self) -> CompactionStatus {
        let counts = &self.counts;
        let effort = counts.merges.status();
        CompactionStatus {
            merges: effort.times,
            effort,
            bytes_read: counts.bytes_read.load(Ordering::Relaxed),
            bytes_written: counts.bytes_written.load(Ordering::Relaxed),
            is_running: counts.running.load(Ordering::Relaxed) != 0,
            failure: self.failure(),
        }
    }

    pub(crate) const fn is_cancelled(&self) -> &AtomicBool {
        &self.is_cancelled
    }
}

/// The running thread. Dropping it cancels what it does and waits for its end.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let compaction = &shared.compaction;
        compaction.is_cancelled.store(false, Ordering::Relaxed);
        compaction.notify();
        let of_thread = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("compaction".to_owned())
            .spawn(move || run(&of_thread))
            .map_err(|error| Error::Config(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            shared: Arc::clone(shared),
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let compaction = &self.shared.compaction;
        compaction.is_cancelled.store(true, Ordering::Relaxed);
        compaction.notify();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("compaction ended by a bug; please report this");
        }
    }
}

fn run(shared: &Shared) {
    let compaction = &shared.compaction;
    let mut retry_at: Option<Instant> = None;
    let mut no_room_until: Option<Instant> = None;
    let retry = shared.options.merge_retry;
    let mut holds = Holds::new(retry);
    loop {
        {
            let mut slot = compaction.slot.lock();
            loop {
                if compaction.is_cancelled.load(Ordering::Relaxed) {
                    return;
                }
                #[cfg(test)]
                compaction.counts.looks.fetch_add(1, Ordering::Relaxed);
                let retries = retry_at.is_some_and(|at| at <= Instant::now());
                let has_room = no_room_until.is_none() || slot.has_room;
                if slot.is_free() && (slot.is_due && has_room || retries) {
                    break;
                }
                // While one waits to be installed no other is made, whatever time it is.
                match retry_at.filter(|_| slot.is_free()) {
                    Some(at) => drop(compaction.wake.wait_until(&mut slot, at)),
                    None => compaction.wake.wait(&mut slot),
                }
            }
            slot.is_due = false;
            slot.has_room = false;
        }
        no_room_until = None;
        // One time for what is left out and for when to look again: no wait may end between the two unseen.
        let now = Instant::now();
        match compaction.run_once_beside(shared, &mut holds, now) {
            Ok(_) => {}
            Err(Stopped::Cancelled) => return,
            Err(Stopped::Failed(error)) => {
                tracing::warn!(%error, "segments cannot be merged; it is tried again later");
                // A damaged one is left out from here on.
                shared.report_damage(&error);
                let mut slot = compaction.slot.lock();
                slot.failure = Some(error.to_string());
                if error.is_pause() {
                    // No other merge asks for less room.
                    no_room_until = Some(Instant::now() + retry);
                } else {
                    slot.is_due = true;
                }
            }
        }
        retry_at = no_room_until.or_else(|| holds.next(now));
    }
}

/// Runs the merge that is due, if one is.
fn merge_next(shared: &Shared, holds: &mut Holds, now: Instant) -> Result<Option<Merged>, Stopped> {
    // Not the generation: its memtable would stay in memory as long as the merge runs.
    let segments = shared.generation().segments.clone();
    let policy = Policy::of(&shared.options);
    let ids: Vec<u64> = segments.iter().map(|sealed| sealed.id).collect();
    let mut candidates = candidates(&segments);
    holds.apply(&ids, &mut candidates, now);
    let want = &shared.compaction.want;
    let Some(plan) = plan(&candidates, &policy) else {
        want.forget();
        return Ok(None);
    };
    let is_urgent = || is_behind(&shared.generation(), &policy);
    let pace = Pace::new(
        shared.options.compact_share,
        &is_urgent,
        shared.compaction.is_cancelled(),
    );
    let began = Instant::now();
    let running = &shared.compaction.counts.running;
    shared
        .compaction
        .must_give_way
        .store(false, Ordering::Relaxed);
    running.store(1, Ordering::Relaxed);
    let merged = merge(shared, &segments, &plan, pace);
    let inputs = ids.get(plan.places.clone()).unwrap_or_default();
    match &merged {
        Ok(_) => {
            holds.made(inputs);
            want.takes(0);
        }
        Err(Stopped::Failed(Error::DiskFull {
            limit: DiskLimit::Directory(_),
            ..
        })) => {
            let inputs = segments.get(plan.places).unwrap_or_default();
            want.refused(need(inputs.iter().map(|sealed| sealed.bytes)));
        }
        Err(Stopped::Failed(error)) if !error.is_pause() => {
            want.forget();
            holds.failed(inputs.to_vec(), error.to_string(), Instant::now());
        }
        Err(_) => {}
    }
    let merged = merged?;
    shared.compaction.count(&merged, began);
    tracing::debug!(
        segment = %merged.sealed.name,
        of = merged.inputs.len(),
        bytes = merged.entry.bytes,
        "segments are merged"
    );
    Ok(Some(merged))
}

/// Whether sealed segments gather faster than they are merged.
fn is_behind(generation: &Generation, policy: &Policy) -> bool {
    let fresh = |candidate: &&Candidate| candidate.level == 0;
    candidates(&generation.segments)
        .iter()
        .filter(fresh)
        .count()
        > 3 * policy.fan_in
}

#[cfg(test)]
mod tests;
