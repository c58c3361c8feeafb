//! One input through one target.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::{Outcome, Target};

/// Longest time that reading one input may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(5);

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The panic's message, or how long it took.
    pub why: String,
}

/// Reads `input` by the target.
///
/// # Errors
/// The target panicked, or took longer than [`TIME_MAX`].
pub fn run(target: &Target, input: &[u8]) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure {
            why: text.unwrap_or_else(|| "a panic without a message".to_owned()),
        }
    })?;
    let took = started.elapsed();
    if took > TIME_MAX {
        return Err(Failure {
            why: format!("it took {took:?}"),
        });
    }
    Ok(outcome)
}
