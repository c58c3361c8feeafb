//! Counters of a subscription, readable at any time from any thread.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::decode::Undecodable;
use crate::malformed::Malformed;
use crate::position::Position;

/// Time constant of [`Stats::frames_per_second`]: older traffic weighs less by e for every so many seconds.
const RATE_SECONDS: f64 = 5.0;

/// A snapshot of what a subscription has done. All counts are since its start.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether a connection stands.
    pub connected: bool,
    /// Connections that were upgraded.
    pub connections: u64,
    /// Attempts that did not get so far.
    pub failed_attempts: u64,
    /// The HTTP status by which the last attempt was refused, where it was.
    pub refused_status: Option<u16>,
    /// Connections that ended without the consumer wanting it.
    pub disconnects: u64,
    /// Frames handed to the queue.
    pub frames: u64,
    /// Bytes of text in them.
    pub frame_bytes: u64,
    /// Bytes of the messages they came in, without websocket and TLS framing.
    pub message_bytes: u64,
    /// Pings of the server that were answered.
    pub pings: u64,
    /// Times that reading paused because the consumer was behind.
    pub stalls: u64,
    /// Messages that were too large for the connection to survive.
    pub oversized: u64,
    /// Messages that unpacked to more than the limit; dropped.
    pub bombs: u64,
    /// Binary messages that were no zstd frame; dropped.
    pub bad_zstd: u64,
    /// Messages that were not UTF-8.
    pub bad_utf8: u64,
    /// Times that a reconnect began after the last known position to get past a message that killed the connection.
    /// Events can be missing there.
    pub skips: u64,
    /// Frames reported with [`Handle::count_malformed`](crate::Handle::count_malformed), by
    /// [`Malformed::index`].
    pub malformed: Vec<u64>,
    /// Largest plausible `time_us` seen.
    pub newest_time_us: Option<u64>,
    /// Last sequence number seen.
    pub newest_seq: Option<u64>,
    /// Frames and notices waiting for the consumer.
    pub queue_frames: usize,
    /// Bytes of text waiting for the consumer.
    pub queue_bytes: usize,
    /// Frames per second, averaged over some seconds.
    pub frames_per_second: f64,
}

impl Stats {
    /// Age of the newest event received, by this machine's clock. On a quiet stream it grows while nothing is wrong.
    pub fn lag(&self) -> Option<Duration> {
        self.newest_time_us
            .map(|time_us| Duration::from_micros(now_us().saturating_sub(time_us)))
    }

    /// How many messages came that no event could be read from, whatever was wrong with them.
    pub fn unreadable(&self) -> u64 {
        let malformed = self.malformed.iter().sum::<u64>();
        malformed
            .saturating_add(self.bombs)
            .saturating_add(self.bad_zstd)
            .saturating_add(self.bad_utf8)
    }

    /// How many frames were reported malformed for `reason`.
    pub fn malformed(&self, reason: Malformed) -> u64 {
        self.malformed
            .get(reason.index())
            .copied()
            .unwrap_or_default()
    }
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn now_us() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) connected: AtomicBool,
    pub(crate) connections: AtomicU64,
    pub(crate) failed_attempts: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    pub(crate) message_bytes: AtomicU64,
    pub(crate) pings: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) oversized: AtomicU64,
    pub(crate) bad_utf8: AtomicU64,
    pub(crate) skips: AtomicU64,
    /// Nothing is 0.
    refused_status: AtomicU16,
    frames: AtomicU64,
    frame_bytes: AtomicU64,
    bombs: AtomicU64,
    bad_zstd: AtomicU64,
    malformed: Vec<AtomicU64>,
    /// Frames per second and when that was true.
    rate: Mutex<(f64, Instant)>,
    newest: Mutex<Position>,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            connected: AtomicBool::default(),
            connections: AtomicU64::default(),
            failed_attempts: AtomicU64::default(),
            disconnects: AtomicU64::default(),
            message_bytes: AtomicU64::default(),
            pings: AtomicU64::default(),
            stalls: AtomicU64::default(),
            oversized: AtomicU64::default(),
            bad_utf8: AtomicU64::default(),
            skips: AtomicU64::default(),
            refused_status: AtomicU16::default(),
            frames: AtomicU64::default(),
            frame_bytes: AtomicU64::default(),
            bombs: AtomicU64::default(),
            bad_zstd: AtomicU64::default(),
            malformed: Malformed::ALL
                .iter()
                .map(|_| AtomicU64::default())
                .collect(),
            rate: Mutex::new((0.0, Instant::now())),
            newest: Mutex::default(),
        }
    }

    /// Counts frames as they enter the queue.
    pub(crate) fn delivered(&self, frames: usize, bytes: usize, newest: Position) {
        add(&self.frames, frames as u64);
        add(&self.frame_bytes, bytes as u64);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *rate = (decayed(*rate, now) + frames as f64 / RATE_SECONDS, now);
    }

    /// Notes the HTTP status of the last attempt; 0 where there was none.
    pub(crate) fn refused(&self, status: u16) {
        self.refused_status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub(crate) fn undecodable(&self, reason: &Undecodable) {
        match reason {
            Undecodable::Bomb { .. } => add(&self.bombs, 1),
            Undecodable::BadZstd(_) | Undecodable::UnknownDictionary { .. } => {
                add(&self.bad_zstd, 1)
            }
            Undecodable::BadUtf8 => add(&self.bad_utf8, 1),
        }
    }

    pub(crate) fn malformed(&self, reason: Malformed) {
        if let Some(counter) = self.malformed.get(reason.index()) {
            add(counter, 1);
        }
    }

    pub(crate) fn snapshot(&self, (queue_frames, queue_bytes): (usize, usize)) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = *self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            connected: self.connected.load(Ordering::Relaxed),
            connections: get(&self.connections),
            failed_attempts: get(&self.failed_attempts),
            refused_status: Some(self.refused_status.load(Ordering::Relaxed))
                .filter(|status| *status > 0),
            disconnects: get(&self.disconnects),
            frames: get(&self.frames),
            frame_bytes: get(&self.frame_bytes),
            message_bytes: get(&self.message_bytes),
            pings: get(&self.pings),
            stalls: get(&self.stalls),
            oversized: get(&self.oversized),
            bombs: get(&self.bombs),
            bad_zstd: get(&self.bad_zstd),
            bad_utf8: get(&self.bad_utf8),
            skips: get(&self.skips),
            malformed: self.malformed.iter().map(get).collect(),
            newest_time_us: newest.time_us,
            newest_seq: newest.seq,
            queue_frames,
            queue_bytes,
            frames_per_second: decayed(rate, Instant::now()),
        }
    }
}

/// An exponentially weighted rate, as it stands at `now`.
fn decayed((rate, at): (f64, Instant), now: Instant) -> f64 {
    rate * (-now.saturating_duration_since(at).as_secs_f64() / RATE_SECONDS).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_follows_the_traffic() {
        let counters = Counters::new();
        for _ in 0..600 {
            counters.delivered(50, 5000, Position::default());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let rate = counters.snapshot((0, 0)).frames_per_second;
        assert!((475.0..525.0).contains(&rate), "{rate}");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(counters.snapshot((0, 0)).frames_per_second < 1.0);
        assert_eq!(counters.snapshot((0, 0)).frames, 30_000);
    }
}
