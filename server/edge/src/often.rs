//! Which records are linked to often, of late: those are worth keeping for longer than the log window. A count-min sketch of two
//! rows with aging (Cormode and Muthukrishnan 2005; aging as in TinyLFU, Einziger and others 2017): no memory of names.

use std::hash::{BuildHasher, RandomState};

/// Counters of a row; a power of two.
const COUNTERS: usize = 1 << 16;
/// All counts are halved after so many.
const AGE_AFTER: u32 = 1 << 20;

/// Counts links to targets.
pub(crate) struct OftenLinked {
    rows: [(RandomState, Vec<u16>); 2],
    counted: u32,
    threshold: u16,
}

impl OftenLinked {
    /// Speaks up at `threshold` links.
    pub(crate) fn new(threshold: u32) -> Self {
        Self {
            rows: [(); 2].map(|()| (RandomState::new(), vec![0; COUNTERS])),
            counted: 0,
            threshold: u16::try_from(threshold).unwrap_or(u16::MAX),
        }
    }

    /// Counts a link. Tells whether the target is at the threshold with this one: once, until its count has aged.
    pub(crate) fn count(&mut self, target: &str) -> bool {
        self.counted += 1;
        if self.counted == AGE_AFTER {
            self.counted = 0;
            for (_, counts) in &mut self.rows {
                counts.iter_mut().for_each(|count| *count /= 2);
            }
        }
        let mut least = u16::MAX;
        for (hasher, counts) in &mut self.rows {
            let place = hasher.hash_one(target) as usize % COUNTERS;
            if let Some(count) = counts.get_mut(place) {
                *count = count.saturating_add(1);
                least = least.min(*count);
            }
        }
        least == self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_of_once_when_it_comes_to_the_threshold() {
        let mut often = OftenLinked::new(4);
        let told: Vec<bool> = (0..10).map(|_| often.count("at://a")).collect();
        let expected: Vec<bool> = (0..10).map(|at| at == 3).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn counts_age() {
        let mut often = OftenLinked::new(4);
        for _ in 0..3 {
            assert!(!often.count("at://a"));
        }
        for at in 3..AGE_AFTER {
            often.count(&format!("https://x.example/{}", at % 50_000));
        }
        // Halved to one, or a little more where others share its counters in both rows.
        let more = (0..4).position(|_| often.count("at://a"));
        assert!(more.is_none_or(|more| more > 0), "{more:?}");
    }
}
