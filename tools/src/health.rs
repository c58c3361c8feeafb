//! How far the index is behind its source. The age of the last event says so while events come. On a
//! stream that is quiet it says nothing, and a single quiet server is a valid source: a connection that
//! stands, answers pings and has brought nothing for some seconds is taken to be at the stream's tip.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orrery_ingest::{Counters, Follower, Pulse, Tally};
use orrery_jetstream::{Handle, Stats, server_name};
use orrery_server::Foreign;

/// Silence after which a standing connection counts as at the tip. Servers that replay their past never
/// pause for so long.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// So many unreadable messages without an event say that a source is another one.
const UNREADABLE_MIN: u64 = 3;

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
    /// Since when there is no connection, by this machine's clock.
    gone_since_us: Option<u64>,
}

impl Silence {
    /// Goes on or begins anew, by what the subscription did since.
    fn observe(&mut self, stats: &Stats, now: Instant, now_us: u64) {
        // A source that was there since the last look, and said something, is gone anew.
        let was_there = stats.connections != self.connections && stats.frames != self.frames;
        self.gone_since_us = match self.gone_since_us {
            _ if stats.connected => None,
            Some(since) if !was_there => Some(since),
            _ => Some(now_us),
        };
        let is_same = stats.connected
            && stats.queue_frames == 0
            && stats.frames == self.frames
            && stats.connections == self.connections;
        if !is_same {
            *self = Self {
                frames: stats.frames,
                connections: stats.connections,
                since: now,
                ..*self
            };
        }
    }
}

impl Health {
    /// Watches `follower`, which follows `source`.
    pub(crate) fn new(source: String, follower: &Follower) -> Self {
        Self {
            source: server_name(&source),
            subscription: follower.subscription(),
            counters: follower.counters(),
            pulse: follower.pulse(),
            silence: Mutex::new(Silence {
                frames: 0,
                connections: 0,
                since: Instant::now(),
                gone_since_us: Some(now_us()),
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
        silence.observe(&stats, Instant::now(), now_us());
    }

    /// Whether a connection has stood for so long and brought nothing.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        self.observe();
        let since = self
            .silence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .since;
        // One of which nothing can be read is not quiet.
        since.elapsed() >= time && self.subscription.stats().connected && self.foreign().is_none()
    }

    /// Since when the source is not connected, in microseconds since 1970; none where it is.
    pub(crate) fn disconnected_since_us(&self) -> Option<u64> {
        self.observe();
        let silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.gone_since_us
    }

    /// By what the source looks like something else than a Jetstream.
    pub(crate) fn foreign(&self) -> Option<Foreign> {
        let (stats, tally) = (self.subscription.stats(), self.counters.view());
        match stats.refused_status {
            Some(status) => (!stats.connected).then_some(Foreign::Answer(status)),
            None => is_unreadable(&stats, &tally).then_some(Foreign::Messages),
        }
    }

    /// How far behind the index is, in microseconds, given the time of its newest event.
    pub(crate) fn lag_us(&self, indexed_through_us: Option<u64>) -> Option<u64> {
        if self.is_quiet_for(QUIET_AFTER) {
            return Some(0);
        }
        indexed_through_us.map(|time_us| now_us().saturating_sub(time_us))
    }
}

/// Whether messages come, and none since the start was an event. A few that cannot be read come from sound sources too, as when
/// their compression changes.
fn is_unreadable(stats: &Stats, tally: &Tally) -> bool {
    let dropped: u64 = tally.drops.iter().map(|(_, count)| count).sum();
    tally.items <= dropped && stats.unreadable() >= UNREADABLE_MIN
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn now_us() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_gone_since_it_was_last_there() {
        let mut silence = Silence {
            frames: 0,
            connections: 0,
            since: Instant::now(),
            gone_since_us: Some(1),
        };
        let mut stats = Stats::default();
        let mut gone_since = |connected, (connections, frames), now_us| {
            stats.connected = connected;
            (stats.connections, stats.frames) = (connections, frames);
            silence.observe(&stats, Instant::now(), now_us);
            silence.gone_since_us
        };
        assert_eq!(gone_since(false, (0, 0), 2), Some(1));
        assert_eq!(gone_since(true, (1, 0), 3), None);
        assert_eq!(gone_since(false, (1, 0), 4), Some(4));
        assert_eq!(gone_since(false, (1, 0), 5), Some(4));
        // It was there between two looks.
        assert_eq!(gone_since(false, (2, 1), 6), Some(6));
        // It takes connections, and ends them before they bring anything.
        assert_eq!(gone_since(false, (3, 1), 7), Some(6));
    }
}
