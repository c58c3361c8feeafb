//! How far the index is behind its source. The age of the last event says so while events come. On a
//! stream that is quiet it says nothing, and a single quiet server is a valid source: a connection that
//! stands, answers pings and has brought nothing for some seconds is taken to be at the stream's tip.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orrery_ingest::{Counters, Follower, Pulse, Tally};
use orrery_jetstream::{Handle, Stats};

/// Silence after which a standing connection counts as at the tip. Servers that replay their past never
/// pause for so long.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// How often [`Health::observe`] is to be called.
pub(crate) const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// Watches a followed source.
#[derive(Debug)]
pub(crate) struct Health {
    source: String,
    subscription: Handle,
    counters: Arc<Counters>,
    pulse: Pulse,
    silence: Mutex<Silence>,
}

/// Since when a connection has brought nothing.
#[derive(Debug, Clone, Copy)]
struct Silence {
    frames: u64,
    connections: u64,
    since: Instant,
}

impl Silence {
    /// Goes on or begins anew, by what the subscription did since.
    fn observe(&mut self, stats: &Stats, now: Instant) {
        let is_same = stats.connected
            && stats.queue_frames == 0
            && stats.frames == self.frames
            && stats.connections == self.connections;
        if !is_same {
            *self = Self {
                frames: stats.frames,
                connections: stats.connections,
                since: now,
            };
        }
    }
}

impl Health {
    /// Watches `follower`, which follows `source`.
    pub(crate) fn new(source: String, follower: &Follower) -> Self {
        Self {
            source: without_query(&source).to_owned(),
            subscription: follower.subscription(),
            counters: follower.counters(),
            pulse: follower.pulse(),
            silence: Mutex::new(Silence {
                frames: 0,
                connections: 0,
                since: Instant::now(),
            }),
        }
    }

    /// The source as it was named, without what may be a secret in it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Counters of the subscription.
    pub(crate) fn stats(&self) -> Stats {
        self.subscription.stats()
    }

    /// Counters of the pipeline.
    pub(crate) fn tally(&self) -> Tally {
        self.counters.view()
    }

    /// Whether the writer goes on.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Looks at the subscription; silence is only as long as it was watched.
    pub(crate) fn observe(&self) {
        let stats = self.subscription.stats();
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.observe(&stats, Instant::now());
    }

    /// Whether a connection has stood for so long and brought nothing.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        self.observe();
        let since = self
            .silence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .since;
        since.elapsed() >= time && self.subscription.stats().connected
    }

    /// How far behind the index is, in microseconds, given the time of its newest event.
    pub(crate) fn lag_us(&self, indexed_through_us: Option<u64>) -> Option<u64> {
        if self.is_quiet_for(QUIET_AFTER) {
            return Some(0);
        }
        indexed_through_us.map(|time_us| now_us().saturating_sub(time_us))
    }
}

/// A source without the query of its URL: that may have a key in it, and what is told of a source is told to anybody.
pub(crate) fn without_query(source: &str) -> &str {
    source.split(['?', '#']).next().unwrap_or_default()
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn now_us() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}
