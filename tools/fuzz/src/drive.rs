//! Many inputs: those that are known, then changes of them, for a time or a number of runs. An input with an
//! outcome of its own joins those that are changed further.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::mutate::mutate;
use crate::rng::Rng;
use crate::{Failure, Outcome, Target, corpus, run};

/// Inputs that are changed further, at most.
const POOL_MAX: usize = 4096;
/// Failures of one target that are told apart, at most; then its run ends.
const FAILURES_MAX: usize = 8;

/// How long, and from what.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Ends a run after this time.
    pub time_max: Duration,
    /// Ends a run after this many changed inputs.
    pub count_max: u64,
    /// What all changes follow from.
    pub seed: u64,
    /// Longest input, in bytes.
    pub len_max: usize,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Inputs read.
    pub runs: u64,
    /// Distinct outcomes.
    pub outcomes: usize,
    /// Inputs that broke a check, one for each message.
    pub failures: Vec<(Vec<u8>, Failure)>,
}

/// Reads the target's seeds and its corpus, then changes of them; `before` sees each input first.
///
/// # Errors
/// The corpus cannot be read.
pub fn drive(
    target: &Target,
    plan: &Plan,
    before: &mut dyn FnMut(&[u8]),
) -> std::io::Result<Report> {
    let started = Instant::now();
    let mut seen = HashSet::new();
    let mut report = Report::default();
    let mut read = |input: &[u8], report: &mut Report| {
        before(input);
        report.runs += 1;
        match run(target, input) {
            Ok(outcome) => seen.insert(outcome),
            Err(failure) => {
                if seen.insert(Outcome::of(&failure.why)) {
                    report.failures.push((input.to_vec(), failure));
                }
                false
            }
        }
    };
    let mut pool = (target.seeds)();
    pool.extend(corpus::read(target.name)?.into_iter().map(|kept| kept.1));
    for input in &pool {
        read(input, &mut report);
    }
    // A target without seeds begins with nothing.
    pool.push(Vec::new());
    let mut rng = Rng::new(plan.seed);
    let mut input = Vec::new();
    for _ in 0..plan.count_max {
        if started.elapsed() >= plan.time_max || report.failures.len() >= FAILURES_MAX {
            break;
        }
        input.clone_from(rng.one(&pool));
        mutate(&mut input, &pool, target.words, plan.len_max, &mut rng);
        if read(&input, &mut report) {
            if pool.len() < POOL_MAX {
                pool.push(input.clone());
            } else {
                let slot = rng.below(pool.len());
                pool[slot].clone_from(&input);
            }
        }
    }
    report.outcomes = seen.len();
    Ok(report)
}
