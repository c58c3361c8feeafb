//! Merges that failed. Each waits before it is tried again, longer with each failure, and meanwhile its segments are
//! left out, so that others are merged. A merge is known by its inputs: once they change, it is another one.

use std::time::{Duration, Instant};

use super::policy::Candidate;

/// The longest wait, in waits after a first failure.
const LONGEST: u32 = 60;

struct Hold {
    /// The ids of the inputs, in order of seq.
    inputs: Vec<u64>,
    wait: Duration,
    until: Instant,
    why: String,
}

/// The failed merges whose inputs are still there and can be read.
#[derive(Default)]
pub(super) struct Holds {
    /// In the order in which they failed last.
    holds: Vec<Hold>,
    /// The wait after a first failure; by then its cause may be gone.
    first: Duration,
}

impl Holds {
    /// None, of which each will wait for `first` after its first failure.
    pub(super) const fn new(first: Duration) -> Self {
        let holds = Vec::new();
        Self { holds, first }
    }

    /// Notes that the merge of `inputs` failed.
    pub(super) fn failed(&mut self, inputs: Vec<u64>, why: String, now: Instant) {
        let known = self.holds.iter().position(|hold| hold.inputs == inputs);
        let before = known.map(|place| self.holds.remove(place).wait);
        let longest = self.first * LONGEST;
        let wait = before.map_or(self.first, |wait| (wait * 2).min(longest));
        self.holds.push(Hold {
            inputs,
            wait,
            until: now + wait,
            why,
        });
    }

    /// Notes that the merge of `inputs` was made.
    pub(super) fn made(&mut self, inputs: &[u64]) {
        self.holds.retain(|hold| hold.inputs != inputs);
    }

    /// Why the merge that failed last did.
    pub(super) fn why(&self) -> Option<String> {
        self.holds.last().map(|hold| hold.why.clone())
    }

    /// Forgets merges whose inputs are not all in `ids`, which are of all segments in order of seq, or are not all
    /// read any more, and takes those that still wait out of `candidates`, which are of the same segments.
    pub(super) fn apply(&mut self, ids: &[u64], candidates: &mut [Candidate], now: Instant) {
        let place = |hold: &Hold| {
            let mut runs = ids.windows(hold.inputs.len().max(1));
            runs.position(|run| run == hold.inputs)
        };
        let is_read = |candidate: &Candidate| candidate.is_readable;
        self.holds.retain(|hold| {
            let inputs = place(hold).and_then(|at| candidates.get(at..at + hold.inputs.len()));
            inputs.is_some_and(|inputs| inputs.iter().all(is_read))
        });
        for hold in self.holds.iter().filter(|hold| hold.until > now) {
            let inputs = candidates
                .iter_mut()
                .skip(place(hold).unwrap_or(usize::MAX))
                .take(hold.inputs.len());
            inputs.for_each(|candidate| candidate.is_readable = false);
        }
    }

    /// When the next one may be tried again of those that waited at `looked`, when [`apply`](Self::apply) was called
    /// last: one whose wait ended since was left out, and is tried at once.
    pub(super) fn next(&self, looked: Instant) -> Option<Instant> {
        let waits = self.holds.iter().map(|hold| hold.until);
        waits.filter(|until| *until > looked).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction::policy::{Plan, Policy, plan};

    const FIRST: Duration = Duration::from_secs(60);

    fn candidate() -> Candidate {
        Candidate {
            level: 0,
            rows: 10,
            links: 10,
            dead_rows: 0,
            is_readable: true,
            passed_keys: 0,
            has_dead_samples: false,
        }
    }

    fn next(holds: &mut Holds, ids: &[u64], now: Instant) -> Option<Plan> {
        let mut candidates = vec![candidate(); ids.len()];
        holds.apply(ids, &mut candidates, now);
        let policy = Policy {
            fan_in: 2,
            ..Policy::default()
        };
        plan(&candidates, &policy)
    }

    #[test]
    fn a_merge_that_fails_waits_twice_as_long_each_time_and_at_most_an_hour() {
        let (mut holds, mut now) = (Holds::new(FIRST), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert!(next(&mut holds, &[1, 2], now).is_some());
            holds.failed(vec![1, 2], "why".to_owned(), now);
            assert_eq!(next(&mut holds, &[1, 2], now), None);
            let until = holds.next(now).unwrap();
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    }

    #[test]
    fn while_a_merge_waits_others_are_made() {
        let (mut holds, now) = (Holds::new(FIRST), Instant::now());
        holds.failed(vec![1, 2], "why".to_owned(), now);
        assert_eq!(next(&mut holds, &[1, 2, 3, 4], now).unwrap().places, 2..4);
        holds.failed(vec![3, 4], "why".to_owned(), now);
        assert_eq!(next(&mut holds, &[1, 2, 3, 4], now), None);
    }

    #[test]
    fn a_merge_whose_inputs_changed_is_another_one() {
        let (mut holds, now) = (Holds::new(FIRST), Instant::now());
        holds.failed(vec![1, 2], "why".to_owned(), now);
        assert_eq!(next(&mut holds, &[1, 5], now).unwrap().places, 0..2);
        assert_eq!(holds.next(now), None, "it is forgotten");
    }

    #[test]
    fn a_wait_that_ends_after_the_look_is_still_told() {
        let (mut holds, now) = (Holds::new(FIRST), Instant::now());
        holds.failed(vec![1, 2], "why".to_owned(), now);
        assert_eq!(next(&mut holds, &[1, 2], now), None);
        // Told with the time of the look, however late; and not again once it is over.
        assert_eq!(holds.next(now), Some(now + FIRST));
        assert_eq!(holds.next(now + FIRST), None);
    }

    #[test]
    fn the_reason_told_is_that_of_the_last_failure_that_still_waits() {
        let (mut holds, now) = (Holds::new(FIRST), Instant::now());
        for (inputs, why) in [([1, 2], "a"), ([3, 4], "b"), ([1, 2], "c")] {
            holds.failed(inputs.to_vec(), why.to_owned(), now);
        }
        let mut reasons = Vec::new();
        for made in [[5, 6], [1, 2], [3, 4]] {
            holds.made(&made);
            reasons.push(holds.why());
        }
        assert_eq!(reasons, [Some("c".to_owned()), Some("b".to_owned()), None]);
    }

    #[test]
    fn a_merge_of_a_segment_that_is_set_aside_is_forgotten() {
        let (mut holds, now) = (Holds::new(FIRST), Instant::now());
        holds.failed(vec![1, 2], "why".to_owned(), now);
        let mut candidates = [candidate(), candidate(), candidate()];
        candidates[1].is_readable = false;
        holds.apply(&[1, 2, 3], &mut candidates, now);
        assert_eq!(holds.why(), None);
        assert!(candidates[0].is_readable);
    }
}
