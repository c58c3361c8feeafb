//! How long a piece of code takes, in rounds, and what it allocates. Own code and not a library: allocations are counted in
//! the same run, a round can have its own preparation that is not timed, and the same rounds run under callgrind
//! ([`super::callgrind`]), of which benchmark libraries do nothing without dozens of further crates.

use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use super::percentile::Times;
use crate::{Outcome, Result};

/// A piece of code to be measured.
pub(crate) trait Subject {
    /// Makes ready for the next round; not measured.
    fn ready(&mut self) -> Outcome {
        Ok(())
    }

    /// Does its work many times, and tells how often.
    fn round(&mut self) -> Result<u64>;
}

/// What a subject took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timing {
    /// Operations of a round.
    pub(crate) ops: u64,
    /// Nanoseconds an operation: in the middle round, and in those that a tenth of the rounds were below and above.
    pub(crate) median_ns: f64,
    pub(crate) low_ns: f64,
    pub(crate) high_ns: f64,
    /// Bytes and times that an operation allocates on the heap, in the last round.
    pub(crate) bytes: f64,
    pub(crate) allocations: f64,
}

/// The frame in which instructions are counted: callgrind knows it by its name.
#[inline(never)]
pub(crate) fn counted_round(subject: &mut dyn Subject) -> Result<u64> {
    subject.round()
}

/// Measures in `rounds` rounds, behind one that warms up.
pub(crate) fn time(subject: &mut dyn Subject, rounds: usize) -> Result<Timing> {
    subject.ready()?;
    counted_round(subject)?;
    let mut times = Times::default();
    let (mut ops, mut bytes, mut allocations) = (0, 0, 0);
    for _ in 0..rounds.max(1) {
        subject.ready()?;
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        let start = Instant::now();
        ops = counted_round(subject)?;
        times.add(start.elapsed());
        let change = region.change();
        bytes = change.bytes_allocated;
        allocations = change.allocations + change.reallocations;
    }
    if ops == 0 {
        return Err("nothing was done".into());
    }
    let each = |time: Duration| time.as_nanos() as f64 / ops as f64;
    Ok(Timing {
        ops,
        median_ns: each(times.at(0.5)),
        low_ns: each(times.at(0.1)),
        high_ns: each(times.at(0.9)),
        bytes: bytes as f64 / ops as f64,
        allocations: allocations as f64 / ops as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper {
        readied: u32,
        rounds: u32,
    }

    impl Subject for Sleeper {
        fn ready(&mut self) -> Outcome {
            self.readied += 1;
            // Far more than a round: it must not be counted.
            std::thread::sleep(Duration::from_millis(60));
            Ok(())
        }

        fn round(&mut self) -> Result<u64> {
            self.rounds += 1;
            std::thread::sleep(Duration::from_millis(2));
            std::hint::black_box(Vec::<u8>::with_capacity(40_000));
            Ok(10)
        }
    }

    #[test]
    fn only_rounds_are_timed_and_each_is_made_ready() {
        let mut sleeper = Sleeper {
            readied: 0,
            rounds: 0,
        };
        let timing = time(&mut sleeper, 3).unwrap();
        assert_eq!((sleeper.readied, sleeper.rounds), (4, 4));
        assert_eq!(timing.ops, 10);
        assert!(timing.median_ns >= 200_000.0, "{timing:?}");
        assert!(timing.low_ns < 5_000_000.0, "{timing:?}");
        assert!(timing.low_ns <= timing.median_ns && timing.median_ns <= timing.high_ns);
        // Other tests of the process allocate too.
        assert!(timing.bytes >= 4_000.0 && timing.allocations >= 0.1);
    }

    #[test]
    fn a_round_that_does_nothing_is_refused() {
        struct Idle;
        impl Subject for Idle {
            fn round(&mut self) -> Result<u64> {
                Ok(0)
            }
        }
        assert!(time(&mut Idle, 1).is_err());
    }
}
