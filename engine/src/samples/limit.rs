//! How many samples seals and merges may write: all that a segment takes while the samples of all segments together
//! are below half of the limit, then half as many for each further step, and none beyond it.

use orrery_formats::segment::SAMPLES_MAX;

use crate::snapshot::Sealed;

/// Between half of the limit and all of it, each such share halves the samples of a collection.
const STEPS: u64 = 6;

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Samples of a collection.
    pub(crate) most: usize,
    /// Bytes, before compression.
    pub(crate) bytes: u64,
}

impl Allowance {
    /// With samples that take `used` bytes of `limit`.
    pub(crate) fn of(used: u64, limit: u64) -> Self {
        let bytes = limit.saturating_sub(used);
        let half = limit / 2;
        let most = if bytes == 0 {
            0
        } else if used <= half {
            SAMPLES_MAX
        } else {
            let beyond = u128::from(used - half) * u128::from(STEPS);
            let step = 1 + beyond / u128::from(limit - half).max(1);
            (SAMPLES_MAX >> step.min(STEPS.into())).max(1)
        };
        Self { most, bytes }
    }

    /// Beside the samples of `segments`.
    pub(crate) fn beside<'a>(segments: impl Iterator<Item = &'a Sealed>, limit: u64) -> Self {
        Self::of(
            segments.map(|sealed| sealed.segment.samples_bytes()).sum(),
            limit,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_are_allowed_as_the_limit_comes_nearer() {
        const LIMIT: u64 = 1200;
        let most = |used| Allowance::of(used, LIMIT).most;
        assert_eq!([0, 300, 600].map(most), [64; 3]);
        assert_eq!([601, 700, 800, 900].map(most), [32, 16, 8, 4]);
        assert_eq!([1000, 1100, 1199, 1200, 5000].map(most), [2, 1, 1, 0, 0]);
        assert_eq!(Allowance::of(0, 0).most, 0);
        assert_eq!(Allowance::of(0, 1).most, 64);
        assert_eq!(Allowance::of(u64::MAX - 1, u64::MAX).most, 1);
        assert_eq!(Allowance::of(900, LIMIT).bytes, 300);
    }
}
