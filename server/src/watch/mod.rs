//! Looks at the index every few seconds, also when nobody asks: what it saw last, and what it saw over the last hours and days.

mod history;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::index::{Index, Vitals};
use crate::process::Process;
use crate::time::now_us;

pub(crate) use history::{History, Point, Series, rate};

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// What was seen.
pub(crate) struct Watch {
    started: Instant,
    started_us: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    latest: Option<Arc<Look>>,
    history: History,
}

/// One look.
pub(crate) struct Look {
    pub(crate) vitals: Vitals,
    pub(crate) process: Process,
    pub(crate) lag_us: Option<u64>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_us: now_us(),
            seen: Mutex::default(),
        }
    }
}

impl Watch {
    /// Looks until the server is to stop, the first time at once. On a thread that may wait for the disk: where that hangs, what was
    /// seen last stands.
    pub(crate) async fn run(
        self: &Arc<Self>,
        index: &Arc<dyn Index>,
        stopped: watch::Receiver<bool>,
    ) {
        let looks = async {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (watch, index) = (Arc::clone(self), Arc::clone(index));
                let look = tokio::task::spawn_blocking(move || watch.look(&*index));
                if let Err(error) = look.await {
                    tracing::error!(%error, "a look at the index panicked");
                }
            }
        };
        let mut stopped = stopped;
        tokio::select! {
            () = looks => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    /// Looks once.
    fn look(&self, index: &dyn Index) {
        let look = Look {
            vitals: index.vitals(),
            process: Process::now(),
            lag_us: index.status().lag_us,
        };
        let point = Point {
            at_s: u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX),
            lag_s: look.lag_us.map_or(f32::NAN, |us| (us as f64 / 1e6) as f32),
            events: look.vitals.events.unwrap_or(0),
            links: look.vitals.links.unwrap_or(0),
            disk_bytes: look.vitals.disk.iter().map(|(_, bytes)| bytes).sum(),
        };
        let mut seen = self.seen.lock();
        seen.history.add(point);
        seen.latest = Some(Arc::new(look));
    }

    /// What was seen last; none before the first look is done.
    pub(crate) fn latest(&self) -> Option<Arc<Look>> {
        self.seen.lock().latest.clone()
    }

    /// Asks what was seen over time.
    pub(crate) fn history<T>(&self, ask: impl FnOnce(&History) -> T) -> T {
        ask(&self.seen.lock().history)
    }

    /// When the server began, microseconds since 1970.
    pub(crate) fn started_us(&self) -> u64 {
        self.started_us
    }

    /// How long ago that was.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
