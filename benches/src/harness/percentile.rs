//! Percentiles of what was measured, all of it kept: a run has some hundred thousand values at most.

use std::time::Duration;

/// Times, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    nanos: Vec<u64>,
    is_sorted: bool,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.nanos
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.is_sorted = false;
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
        self.is_sorted = false;
    }

    pub(crate) fn len(&self) -> usize {
        self.nanos.len()
    }

    /// The least value that at least `share` of all values do not exceed (nearest rank); 0 without values.
    pub(crate) fn at(&mut self, share: f64) -> Duration {
        if !self.is_sorted {
            self.nanos.sort_unstable();
            self.is_sorted = true;
        }
        let rank = (share * self.nanos.len() as f64).ceil() as usize;
        let place = rank.clamp(1, self.nanos.len().max(1)) - 1;
        Duration::from_nanos(self.nanos.get(place).copied().unwrap_or_default())
    }

    /// p50, p99, p99.9 and the most, as text.
    pub(crate) fn text(&mut self) -> String {
        let [median, high, higher, most] =
            [0.5, 0.99, 0.999, 1.0].map(|share| short(self.at(share)));
        format!("p50 {median}, p99 {high}, p99.9 {higher}, most {most}")
    }
}

/// A time with the unit that suits it.
pub(crate) fn short(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        ..1e4 => format!("{nanos:.0} ns"),
        ..1e7 => format!("{:.1} us", nanos / 1e3),
        ..1e10 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.1} s", nanos / 1e9),
    }
}

/// The middle one of some figures; of an even number, the upper of both. 0 without figures.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(nanos: impl Iterator<Item = u64>) -> Times {
        let mut times = Times::default();
        nanos.for_each(|nanos| times.add(Duration::from_nanos(nanos)));
        times
    }

    #[test]
    fn percentiles_are_values_by_nearest_rank() {
        // Added in falling order.
        let mut hundred = times((1..=100).rev());
        for (share, nanos) in [
            (0.0, 1),
            (0.5, 50),
            (0.501, 51),
            (0.99, 99),
            (0.999, 100),
            (1.0, 100),
        ] {
            assert_eq!(hundred.at(share), Duration::from_nanos(nanos), "at {share}");
        }
        let mut three = times([30, 10, 20].into_iter());
        assert_eq!(three.at(0.5), Duration::from_nanos(20));
        assert_eq!(three.at(0.67), Duration::from_nanos(30));
    }

    #[test]
    fn values_added_after_a_percentile_was_read_count() {
        let mut few = times([1, 2].into_iter());
        assert_eq!(few.at(1.0), Duration::from_nanos(2));
        few.add(Duration::from_nanos(9));
        few.extend(times([7].into_iter()));
        assert_eq!(few.at(1.0), Duration::from_nanos(9));
        assert_eq!(few.at(0.75), Duration::from_nanos(7));
        assert_eq!(few.len(), 4);
    }

    #[test]
    fn without_values_a_percentile_is_zero() {
        assert_eq!(Times::default().at(0.99), Duration::ZERO);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn times_are_printed_in_their_unit() {
        for (nanos, text) in [
            (950, "950 ns"),
            (12_300, "12.3 us"),
            (45_600_000, "45.6 ms"),
            (78_900_000_000, "78.9 s"),
        ] {
            assert_eq!(short(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_median_does_not_depend_on_order() {
        assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
