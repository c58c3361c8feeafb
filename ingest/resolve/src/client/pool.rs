//! Connections that wait for the next request.
//!
//! Owns how many are kept, and for how long. A connection kept here leads to an address that was checked when it was
//! made, and is only used again for the same scheme, host and port.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::exchange::Connection;

/// Connections kept per origin.
const PER_ORIGIN: usize = 4;

pub(crate) struct Pool {
    most: usize,
    keep: Duration,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    count: usize,
    swept: Option<Instant>,
    by_origin: HashMap<String, Vec<(Instant, Connection)>>,
}

impl Pool {
    pub(crate) fn new(most: usize, keep: Duration) -> Self {
        Self {
            most,
            keep,
            idle: Mutex::default(),
        }
    }

    /// The connection to `origin` that was used last.
    pub(crate) fn take(&self, origin: &str) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.sweep(self.keep);
        loop {
            let kept = idle.by_origin.get_mut(origin)?;
            let Some((since, connection)) = kept.pop() else {
                idle.by_origin.remove(origin);
                return None;
            };
            idle.count -= 1;
            if since.elapsed() < self.keep && connection.is_open() {
                return Some(connection);
            }
        }
    }

    /// Keeps `connection`, if there is room.
    pub(crate) fn put(&self, origin: String, connection: Connection) {
        let mut idle = self.idle.lock();
        idle.sweep(self.keep);
        if idle.count >= self.most || !connection.is_open() {
            return;
        }
        let kept = idle.by_origin.entry(origin).or_default();
        if kept.len() < PER_ORIGIN {
            kept.push((Instant::now(), connection));
            idle.count += 1;
        }
    }
}

impl Idle {
    /// Closes what has waited too long. Looks at everything, so not on every call.
    fn sweep(&mut self, keep: Duration) {
        let now = Instant::now();
        if self.swept.is_some_and(|at| now - at < keep / 4) {
            return;
        }
        self.swept = Some(now);
        self.by_origin.retain(|_, kept| {
            kept.retain(|(since, connection)| now - *since < keep && connection.is_open());
            !kept.is_empty()
        });
        self.count = self.by_origin.values().map(Vec::len).sum();
    }
}
