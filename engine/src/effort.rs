//! What seals and merges cost: how many there were, how long they took, and when the last one ended. Of this process alone, and by
//! a clock that nobody sets.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Work of one kind since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EffortStatus {
    /// How often it was done.
    pub times: u64,
    /// How long all of it took, with the pauses that it makes for others.
    pub took: Duration,
    /// The last of it.
    pub last: Option<LastEffort>,
}

/// Work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastEffort {
    /// How long ago it ended.
    pub ago: Duration,
    /// How long it took.
    pub took: Duration,
    /// Bytes of the segment that it made.
    pub bytes: u64,
}

/// Counts work of one kind.
#[derive(Debug, Default)]
pub(crate) struct Effort(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    times: u64,
    took: Duration,
    last: Option<(Instant, Duration, u64)>,
}

impl Effort {
    /// Work that began at `since` is done, and made `bytes`.
    pub(crate) fn done(&self, since: Instant, bytes: u64) {
        let now = Instant::now();
        let took = now.saturating_duration_since(since);
        let mut counted = self.0.lock();
        counted.times += 1;
        counted.took += took;
        counted.last = Some((now, took, bytes));
    }

    pub(crate) fn status(&self) -> EffortStatus {
        let counted = self.0.lock();
        EffortStatus {
            times: counted.times,
            took: counted.took,
            last: counted.last.map(|(at, took, bytes)| LastEffort {
                ago: at.elapsed(),
                took,
                bytes,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_the_last_is_told() {
        let effort = Effort::default();
        assert_eq!(effort.status(), EffortStatus::default());
        let Some(since) = Instant::now().checked_sub(Duration::from_secs(2)) else {
            return;
        };
        effort.done(since, 10);
        effort.done(since, 20);
        let status = effort.status();
        let last = status.last.unwrap();
        assert_eq!((status.times, last.bytes), (2, 20));
        assert!(status.took >= Duration::from_secs(4) && last.took >= Duration::from_secs(2));
        assert!(last.ago < Duration::from_secs(2), "{last:?}");
    }
}
