//! Merges that failed. Each waits before it is tried again, longer with each failure, and meanwhile its segments are
//! left out, so that others are merged. A merge is known by its inputs: once they change, it is another one.

use std::time::{Duration, Instant};

use super::policy::Candidate;

/// The wait after the first failure; by then its cause may be gone.
pub(super) const FIRST: Duration = Duration::from_secs(60);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3_600);

struct Hold {
    /// The ids of the inputs, in order of seq.
    inputs: Vec<u64>,
    wait: Duration,
    until: Instant,
}

/// The failed merges whose inputs are still there.
#[derive(Default)]
pub(super) struct Holds(Vec<Hold>);

impl Holds {
    /// Notes that the merge of `inputs` failed.
    pub(super) fn failed(&mut self, inputs: Vec<u64>, now: Instant) {
        let known = self.0.iter().position(|hold| hold.inputs == inputs);
        let before = known.map(|place| self.0.swap_remove(place).wait);
        let wait = before.map_or(FIRST, |wait| (wait * 2).min(LONGEST));
        self.0.push(Hold {
            inputs,
            wait,
            until: now + wait,
        });
    }

    /// Forgets merges whose inputs are not all in `ids`, which are of all segments in order of seq, and takes those
    /// that still wait out of `candidates`, which are of the same segments.
    pub(super) fn apply(&mut self, ids: &[u64], candidates: &mut [Candidate], now: Instant) {
        let place = |hold: &Hold| {
            let mut runs = ids.windows(hold.inputs.len().max(1));
            runs.position(|run| run == hold.inputs)
        };
        self.0.retain(|hold| place(hold).is_some());
        for hold in self.0.iter().filter(|hold| hold.until > now) {
            let inputs = candidates
                .iter_mut()
                .skip(place(hold).unwrap_or(usize::MAX))
                .take(hold.inputs.len());
            inputs.for_each(|candidate| candidate.is_readable = false);
        }
    }

    /// When the next one may be tried again.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let waits = self.0.iter().map(|hold| hold.until);
        waits.filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction::policy::{Plan, Policy, plan};

    fn next(holds: &mut Holds, ids: &[u64], now: Instant) -> Option<Plan> {
        let fresh = Candidate {
            level: 0,
            rows: 10,
            links: 10,
            dead_rows: 0,
            is_readable: true,
            passed_keys: 0,
            has_dead_samples: false,
        };
        let mut candidates = vec![fresh; ids.len()];
        holds.apply(ids, &mut candidates, now);
        let policy = Policy {
            fan_in: 2,
            ..Policy::default()
        };
        plan(&candidates, &policy)
    }

    #[test]
    fn a_merge_that_fails_waits_twice_as_long_each_time_and_at_most_an_hour() {
        let (mut holds, mut now) = (Holds::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert!(next(&mut holds, &[1, 2], now).is_some());
            holds.failed(vec![1, 2], now);
            assert_eq!(next(&mut holds, &[1, 2], now), None);
            let until = holds.next(now).unwrap();
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn while_a_merge_waits_others_are_made() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        holds.failed(vec![1, 2], now);
        assert_eq!(next(&mut holds, &[1, 2, 3, 4], now).unwrap().places, 2..4);
        holds.failed(vec![3, 4], now);
        assert_eq!(next(&mut holds, &[1, 2, 3, 4], now), None);
    }

    #[test]
    fn a_merge_whose_inputs_changed_is_another_one() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        holds.failed(vec![1, 2], now);
        assert_eq!(next(&mut holds, &[1, 5], now).unwrap().places, 0..2);
        assert_eq!(holds.next(now), None, "it is forgotten");
    }
}
