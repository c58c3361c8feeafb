//! Whether a source reaches back to where it was asked to go on. A server keeps its events for a while. For an older
//! position it begins with the oldest event that it has, and does not say so: what lies between is missing, and
//! nothing else tells of it.
//!
//! The first event stands some time behind the position also where nothing happened between, as on a server of a few
//! accounts in a quiet night. So more is asked than that: the position must be older than what servers keep, or the
//! events that follow so dense that the time between cannot have been empty. Where this errs, it says that something
//! is missing where nothing is.

/// How far the first event may be behind the position, in microseconds: servers reorder events, and clocks differ.
const SLACK_US: u64 = 600_000_000;

/// How long servers keep events unless they are told otherwise, in microseconds.
const KEPT_US: u64 = 36 * 3_600_000_000;

/// How many events are looked at for how dense they are.
const SAMPLE: u64 = 1_000;

/// How many times as many as these the time between would have held, at least, for it to be called not empty.
const TIMES_SAMPLE: u64 = 100;

/// Looks at the first events of each connection.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// The position of a connection that has brought no event yet.
    asked_us: Option<u64>,
    first: Option<First>,
}

/// An event far behind the position, and what came after it.
#[derive(Debug)]
struct First {
    time_us: u64,
    /// How far behind.
    gap_us: u64,
    /// How many came after it.
    followers: u64,
}

impl Reach {
    /// Notes that a connection goes on at the time `asked_us`, if it does at one.
    pub(crate) fn connected(&mut self, asked_us: Option<u64>) {
        // One before may have ended while it was not decided yet.
        if self.first.is_none() {
            self.asked_us = asked_us;
        }
    }

    /// Notes an event. Gives from which time on the source has all, where it lacks what was before.
    pub(crate) fn event(&mut self, time_us: u64, now_us: u64) -> Option<u64> {
        if let Some(asked_us) = self.asked_us.take() {
            let gap_us = time_us.saturating_sub(asked_us);
            if gap_us <= SLACK_US {
                return None;
            }
            if now_us.saturating_sub(asked_us) > KEPT_US {
                return Some(time_us);
            }
            self.first = Some(First {
                time_us,
                gap_us,
                followers: 0,
            });
            return None;
        }
        let first = self.first.as_mut()?;
        first.followers += 1;
        let first_us = first.time_us;
        if time_us.saturating_sub(first_us) > first.gap_us / TIMES_SAMPLE {
            self.first = None;
            return None;
        }
        if first.followers < SAMPLE {
            return None;
        }
        self.first = None;
        Some(first_us)
    }

    /// Whether events to come decide. Until then the position is not to move: a restart looks at the same again.
    pub(crate) const fn is_open(&self) -> bool {
        self.first.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_786_000_000_000_000;
    const HOUR: u64 = 3_600_000_000;

    /// What is told of a connection that was asked for `asked` and brings events from `first` on, one each `every_us`.
    fn told(asked: u64, first: u64, every_us: u64) -> Option<u64> {
        let mut reach = Reach::default();
        reach.connected(Some(asked));
        let events = (0..5_000).map(|place| first + place * every_us);
        let told: Vec<u64> = events.filter_map(|time| reach.event(time, NOW)).collect();
        assert!(told.len() <= 1 && !reach.is_open());
        told.first().copied()
    }

    #[test]
    fn an_old_position_of_which_the_source_lacks_the_time_behind_is_told() {
        for every_us in [2_000, 60_000_000] {
            let first = NOW - 36 * HOUR;
            assert_eq!(told(NOW - 72 * HOUR, first, every_us), Some(first));
            // As old, and all of it is there.
            assert_eq!(told(NOW - 72 * HOUR, NOW - 72 * HOUR + 9, every_us), None);
        }
    }

    #[test]
    fn a_time_without_events_is_a_loss_only_where_events_are_dense() {
        let first = NOW - 2 * HOUR;
        assert_eq!(told(NOW - 8 * HOUR, first, 2_000), Some(first));
        // A server of some accounts, silent for six hours.
        assert_eq!(told(NOW - 8 * HOUR, first, 10_000_000), None);
        assert_eq!(told(first - SLACK_US, first, 1), None);
    }

    #[test]
    fn a_connection_that_ends_early_does_not_hide_what_the_one_before_lacked() {
        let mut reach = Reach::default();
        let first = NOW - 2 * HOUR;
        reach.connected(Some(NOW - 8 * HOUR));
        for place in 0..=SAMPLE {
            assert_eq!(
                reach.event(first + place, NOW),
                (place == SAMPLE).then_some(first)
            );
            reach.connected(Some(first + place));
        }
        assert_eq!(reach.event(first + SAMPLE, NOW), None);
    }

    #[test]
    fn a_connection_that_begins_at_the_present_lacks_nothing() {
        let mut reach = Reach::default();
        assert_eq!(reach.event(NOW, NOW), None);
        reach.connected(None);
        assert_eq!(reach.event(NOW, NOW), None);
    }
}
