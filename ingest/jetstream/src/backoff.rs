//! How long to wait before the next connection attempt.
//!
//! Owns the retry count and the jitter. The delay is drawn evenly between zero and an exponentially growing, capped
//! bound ("full jitter", as in Amazon's Builders' Library on timeouts and retries), so that clients cut off together
//! do not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Bounds of the delay between connection attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the delay after the first failure; it doubles with each further one.
    pub base: Duration,
    /// Largest bound of the delay.
    pub max: Duration,
    /// A connection that lived at least this long makes the next attempt immediate.
    pub stable_after: Duration,
    /// Largest `Retry-After` that is obeyed in full.
    pub retry_after_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_secs(30),
            stable_after: Duration::from_secs(15),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

/// How an attempt went, as far as the next delay depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Connected for at least [`Backoff::stable_after`].
    Stable,
    /// Ended early, but brought new events: no reason to slow down further.
    Advanced,
    /// Never connected, or ended early with nothing new.
    Failed,
}

/// The delays of one subscription.
#[derive(Debug)]
pub(crate) struct Retries {
    backoff: Backoff,
    failures: u32,
    random: Random,
}

impl Retries {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            failures: 0,
            random: Random::from_entropy(),
        }
    }

    /// Attempts without progress since the last connection that was stable or brought something.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes how an attempt went and draws the delay before the next one.
    pub(crate) fn delay(&mut self, outcome: Outcome, retry_after: Option<Duration>) -> Duration {
        self.failures = match outcome {
            Outcome::Stable => 0,
            Outcome::Advanced => 1,
            Outcome::Failed => self.failures.saturating_add(1),
        };
        let jitter = self.bound().mul_f64(self.random.fraction());
        let asked = retry_after
            .unwrap_or_default()
            .min(self.backoff.retry_after_max);
        // The jitter comes on top of what the server asked, or all its clients would return at that second.
        if asked.is_zero() {
            jitter
        } else {
            asked + jitter
        }
    }

    fn bound(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.backoff
            .base
            .saturating_mul(factor)
            .min(self.backoff.max)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): ample for jitter, and no dependency.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn from_entropy() -> Self {
        // The keys of a fresh `RandomState` come from the operating system.
        Self(RandomState::new().hash_one(0u64))
    }

    /// A number in 0..1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits are exact in an f64.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_doubles_up_to_the_maximum_and_never_overflows() {
        let mut retries = Retries::new(Backoff::default());
        let mut bounds = Vec::new();
        for _ in 0..100 {
            let delay = retries.delay(Outcome::Failed, None);
            assert!(delay <= retries.bound());
            bounds.push(retries.bound().as_secs());
        }
        assert_eq!(bounds[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(bounds[99], 30);
    }

    #[test]
    fn jitter_covers_the_whole_range() {
        let mut retries = Retries::new(Backoff::default());
        let delays: Vec<_> = (0..1000)
            .map(|_| retries.delay(Outcome::Advanced, None).as_secs_f64())
            .collect();
        assert!(delays.iter().any(|delay| *delay < 0.1) && delays.iter().any(|delay| *delay > 0.9));
        let mean = delays.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn a_stable_connection_is_replaced_at_once() {
        let mut retries = Retries::new(Backoff::default());
        for _ in 0..5 {
            retries.delay(Outcome::Failed, None);
        }
        assert_eq!(retries.delay(Outcome::Stable, None), Duration::ZERO);
        retries.delay(Outcome::Failed, None);
        assert_eq!(retries.bound(), Duration::from_secs(1));
    }

    #[test]
    fn retry_after_is_a_minimum_and_is_capped() {
        let mut retries = Retries::new(Backoff::default());
        let delay = retries.delay(Outcome::Failed, Some(Duration::from_secs(7)));
        assert!((7..=8).contains(&delay.as_secs()), "{delay:?}");
        let delay = retries.delay(Outcome::Failed, Some(Duration::from_secs(u64::MAX)));
        assert!((300..=302).contains(&delay.as_secs()), "{delay:?}");
    }
}
