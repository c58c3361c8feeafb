//! Up to where snapshots see a memtable, and what the whole index comes to there.
//!
//! An event's effects are made reachable first, `visible_seq` is stored last, with release. A snapshot loads it with
//! acquire, and passes over everything that is newer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Memtable;

#[derive(Default)]
pub(super) struct LiveCell {
    rows: AtomicU64,
    links: AtomicU64,
}

impl Memtable {
    /// The newest event that snapshots may see.
    pub(crate) fn visible_seq(&self) -> u64 {
        self.visible_seq.load(Ordering::Acquire)
    }

    fn live_cell(&self, seq: u64) -> Option<&LiveCell> {
        let index = u32::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        Some(self.live.at(index))
    }

    /// Live rows and live links of the whole index as of `seq`, which must have been visible.
    pub(crate) fn live_as_of(&self, seq: u64) -> (u64, u64) {
        self.live_cell(seq).map_or(self.first_live, |cell| {
            (
                cell.rows.load(Ordering::Relaxed),
                cell.links.load(Ordering::Relaxed),
            )
        })
    }

    /// Event times as of now: earliest and latest, `None` before the first event.
    pub(crate) fn times_us(&self) -> Option<(u64, u64)> {
        let first = self.first_time_us.load(Ordering::Acquire);
        let last = self.last_time_us.load(Ordering::Acquire);
        (first <= last).then_some((first, last))
    }
}

// Writing: one thread only.
impl Memtable {
    /// Lets snapshots see the event `seq` and all before it.
    pub(crate) fn publish(&self, seq: u64, time_us: u64, live: (u64, u64)) {
        if let Some(cell) = self.live_cell(seq) {
            cell.rows.store(live.0, Ordering::Relaxed);
            cell.links.store(live.1, Ordering::Relaxed);
        }
        if time_us != 0 {
            // What the operator says before the first event has no time.
            self.first_time_us.fetch_min(time_us, Ordering::Relaxed);
        }
        self.last_time_us.fetch_max(time_us, Ordering::Relaxed);
        self.visible_seq.store(seq, Ordering::Release);
    }
}
