//! What is known under one key, and what is to be done with it.
//!
//! Owns [`Slot`] and the rules of age: [`Slot::judge`] decides without a clock of its own and without doing anything.

use crate::clock::micros;
use crate::error::ResolveError;
use crate::identity::ResolverOptions;

/// What is known under a key.
#[derive(Debug, Clone)]
pub(crate) enum Slot<V> {
    /// A value.
    Known(Known<V>),
    /// No value, and why not.
    Absent {
        /// What those are told who ask.
        error: ResolveError,
        /// Until when the source is not asked again.
        until_us: u64,
    },
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) struct Known<V> {
    pub(crate) value: V,
    /// When the source was last heard to say this.
    pub(crate) confirmed_us: u64,
    /// There has been an identity event since: good only while the source is down.
    pub(crate) doubtful: bool,
    /// The source has been asked since, in vain.
    pub(crate) trouble: Option<Trouble>,
}

/// Failures in a row.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) error: ResolveError,
    pub(crate) failures: u32,
    pub(crate) failed_us: u64,
}

/// What to do for one who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<V> {
    /// Give the value.
    Serve(V),
    /// Give the value, and ask the source without waiting for it.
    ServeAndRefresh(V),
    /// Ask the source, and wait.
    Ask,
    /// Give the error.
    Fail(ResolveError),
}

/// The spans of [`ResolverOptions`] in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    pub(crate) refresh_after: u64,
    pub(crate) stale_most: u64,
    pub(crate) negative: u64,
    pub(crate) failure_pause: u64,
    pub(crate) refresh_pause: u64,
    pub(crate) refresh_pause_most: u64,
    pub(crate) doubtful_pause_most: u64,
    /// What was confirmed before this is by an earlier process, which may have missed identity events at its end.
    pub(crate) started_us: u64,
}

impl Ages {
    pub(crate) fn new(options: &ResolverOptions, started_us: u64) -> Self {
        Self {
            refresh_after: micros(options.refresh_after),
            stale_most: micros(options.stale_most),
            negative: micros(options.negative),
            failure_pause: micros(options.failure_pause),
            refresh_pause: micros(options.refresh_pause),
            refresh_pause_most: micros(options.refresh_pause_most),
            doubtful_pause_most: micros(options.doubtful_pause_most),
            started_us,
        }
    }
}

impl<V: Clone> Slot<V> {
    pub(crate) fn judge(&self, now_us: u64, ages: &Ages) -> Verdict<V> {
        match self {
            Self::Absent { error, until_us } if now_us < *until_us => Verdict::Fail(error.clone()),
            Self::Absent { .. } => Verdict::Ask,
            Self::Known(known) => known.judge(now_us, ages),
        }
    }
}

impl<V: Clone> Known<V> {
    fn judge(&self, now_us: u64, ages: &Ages) -> Verdict<V> {
        let is_old = self.age(now_us) >= ages.refresh_after || self.confirmed_us < ages.started_us;
        let is_usable = self.is_usable(now_us, ages);
        let must_ask = self.doubtful || !is_usable;
        if !is_old && !must_ask {
            return Verdict::Serve(self.value.clone());
        }
        let resting = self
            .trouble
            .as_ref()
            .filter(|trouble| now_us < trouble.rests_until(must_ask, ages));
        match resting {
            Some(trouble) if !is_usable => Verdict::Fail(trouble.error.clone()),
            Some(_) => Verdict::Serve(self.value.clone()),
            None if must_ask => Verdict::Ask,
            None => Verdict::ServeAndRefresh(self.value.clone()),
        }
    }

    /// Whether it may be served while the source is down.
    pub(crate) const fn is_usable(&self, now_us: u64, ages: &Ages) -> bool {
        self.age(now_us) < ages.stale_most
    }

    const fn age(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.confirmed_us)
    }

    /// The same value after one more failure.
    pub(crate) fn after_failure(self, error: ResolveError, now_us: u64) -> Self {
        let before = self.trouble.map_or(0, |trouble| trouble.failures);
        Self {
            trouble: Some(Trouble {
                error,
                failures: before.saturating_add(1),
                failed_us: now_us,
            }),
            ..self
        }
    }
}

impl Trouble {
    /// Twice as long after each failure. Where somebody waits for the answer the source is tried more often.
    fn rests_until(&self, must_ask: bool, ages: &Ages) -> u64 {
        let doublings = self.failures.saturating_sub(1).min(32);
        let pause = ages
            .refresh_pause
            .saturating_mul(1 << doublings)
            .min(ages.refresh_pause_most);
        let pause = if must_ask {
            pause.min(ages.doubtful_pause_most)
        } else {
            pause
        };
        self.failed_us.saturating_add(pause)
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
