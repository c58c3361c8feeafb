//! What is counted of the link stream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Hub;
use super::closing::SLOW;
use crate::index::{Fact, FactKind};
use crate::wire::status::StatusStream;

/// Why subscriptions end, all ways: each is told from the start, so that the first of a kind is seen to have come.
const ENDS: [&str; 11] = [
    "busy", "failed", "filters", "gone", "options", "peer", "pong", "protocol", "shutdown", SLOW,
    "stalled",
];

/// Counts since the start, and of the present.
#[derive(Default)]
pub(super) struct Counters {
    /// Frames written to sockets.
    pub(super) sent: AtomicU64,
    replaying: AtomicUsize,
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

/// One replay; leaves the count however it ends.
pub(super) struct Replaying<'a>(&'a AtomicUsize);

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn replaying(&self) -> Replaying<'_> {
        self.replaying.fetch_add(1, Ordering::Relaxed);
        Replaying(&self.replaying)
    }

    pub(super) fn ended(&self, kind: &'static str) {
        debug_assert!(ENDS.contains(&kind), "{kind}");
        *self.ended.lock().entry(kind).or_default() += 1;
    }
}

impl Hub {
    /// What the status page tells.
    pub(crate) fn figures(&self) -> StatusStream {
        StatusStream {
            instant: self.instant.subscribers() as u64,
            delayed: self.delayed.subscribers() as u64,
            frames: self.counters.sent.load(Ordering::Relaxed),
            too_slow: self.counters.ended.lock().get(SLOW).copied().unwrap_or(0),
        }
    }

    /// All of it, for the metrics page.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut fact = |name: String, help, kind, value| {
            facts.push(Fact {
                name,
                help,
                kind,
                value,
            });
        };
        use FactKind::{Counter, Gauge};
        let kinds = [("instant", &self.instant), ("delayed", &self.delayed)];
        for (stream, dispatcher) in kinds {
            fact(
                format!("orrery_stream_subscribers{{stream=\"{stream}\"}}"),
                "Subscribers of the link stream.",
                Gauge,
                dispatcher.subscribers() as f64,
            );
        }
        for (stream, dispatcher) in kinds {
            fact(
                format!("orrery_stream_behind_events{{stream=\"{stream}\"}}"),
                "Events that are indexed and not yet read for subscribers.",
                Gauge,
                dispatcher.behind() as f64,
            );
        }
        fact(
            "orrery_stream_filter_entries".to_owned(),
            "Values in the indexes of filters.",
            Gauge,
            (self.instant.entries() + self.delayed.entries()) as f64,
        );
        fact(
            "orrery_stream_queued_bytes".to_owned(),
            "Bytes of frames that wait for subscribers.",
            Gauge,
            self.memory.bytes() as f64,
        );
        fact(
            "orrery_stream_replays".to_owned(),
            "Subscribers that are told what they missed.",
            Gauge,
            self.counters.replaying.load(Ordering::Relaxed) as f64,
        );
        fact(
            "orrery_stream_frames_total".to_owned(),
            "Frames sent to subscribers.",
            Counter,
            self.counters.sent.load(Ordering::Relaxed) as f64,
        );
        let ended = self.counters.ended.lock();
        for reason in ENDS {
            let count = ended.get(reason).copied().unwrap_or(0);
            fact(
                format!("orrery_stream_ended_total{{reason=\"{reason}\"}}"),
                "Subscriptions that ended, by what ended them.",
                Counter,
                count as f64,
            );
        }
        facts
    }
}
