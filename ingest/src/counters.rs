//! What a pipeline did, in counters that other threads read while it runs. They are published once a
//! batch, so that the pipeline itself counts in plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reason::{Drops, Reason};
use crate::report::Tally;

/// Counters of a running pipeline. All are since its start.
#[derive(Debug)]
pub struct Counters {
    items: AtomicU64,
    events: AtomicU64,
    unselected: AtomicU64,
    repeats: AtomicU64,
    records: AtomicU64,
    unchanged: AtomicU64,
    links: AtomicU64,
    last_time_us: AtomicU64,
    drops: Vec<AtomicU64>,
    turns: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            items: AtomicU64::default(),
            events: AtomicU64::default(),
            unselected: AtomicU64::default(),
            repeats: AtomicU64::default(),
            records: AtomicU64::default(),
            unchanged: AtomicU64::default(),
            links: AtomicU64::default(),
            last_time_us: AtomicU64::default(),
            drops: (0..Reason::COUNT).map(|_| AtomicU64::default()).collect(),
            turns: AtomicU64::default(),
        }
    }
}

/// The counters at one moment.
pub type CountersView = Tally;

impl Counters {
    /// Makes `tally` what others see.
    pub(crate) fn publish(&self, tally: &Tally) {
        let set = |counter: &AtomicU64, value| counter.store(value, Ordering::Relaxed);
        set(&self.items, tally.items);
        set(&self.events, tally.events);
        set(&self.unselected, tally.unselected);
        set(&self.repeats, tally.repeats);
        set(&self.records, tally.records);
        set(&self.unchanged, tally.unchanged);
        set(&self.links, tally.links);
        set(&self.last_time_us, tally.last_time_us.unwrap_or(0));
        for (counter, &value) in self.drops.iter().zip(tally.drops.counts()) {
            set(counter, value);
        }
    }

    /// Tells that the pipeline goes on: once a turn of its loop, and while it waits for a paused sink.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the pipeline has told that it goes on. It does so several times a second, also where no events
    /// come or they wait; one batch, with a seal in it, is the longest time without.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The counters as they stand. Each is right by itself; together they may be from neighbouring batches.
    pub fn view(&self) -> CountersView {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut drops = Drops::default();
        for (index, counter) in self.drops.iter().enumerate() {
            drops.set(index, get(counter));
        }
        Tally {
            items: get(&self.items),
            events: get(&self.events),
            unselected: get(&self.unselected),
            repeats: get(&self.repeats),
            records: get(&self.records),
            unchanged: get(&self.unchanged),
            links: get(&self.links),
            drops,
            // No event is from 1970.
            last_time_us: Some(get(&self.last_time_us)).filter(|&time_us| time_us > 0),
        }
    }
}
