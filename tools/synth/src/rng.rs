//! The source of every random choice: xoshiro256++ seeded by splitmix64. Both are
//! the published public-domain algorithms of D. Blackman and S. Vigna
//! (<https://prng.di.unimi.it/xoshiro256plusplus.c>,
//! <https://prng.di.unimi.it/splitmix64.c>). They are written here, rather than
//! taken from a crate, so that no dependency update can ever change the bytes that
//! a seed stands for. Not fit for secrets.

/// The increment of splitmix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of splitmix64 from state `x`: also a good mixer of a 64-bit key.
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(GOLDEN_GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A xoshiro256++ generator.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    s0: u64,
    s1: u64,
    s2: u64,
    s3: u64,
}

impl Rng {
    /// Starts the generator of `seed`, filling the state by splitmix64 as its authors advise.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            s0: mix(seed),
            s1: mix(seed.wrapping_add(GOLDEN_GAMMA)),
            s2: mix(seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(2))),
            s3: mix(seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(3))),
        }
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let result = self
            .s0
            .wrapping_add(self.s3)
            .rotate_left(23)
            .wrapping_add(self.s0);
        let t = self.s1 << 17;
        self.s2 ^= self.s0;
        self.s3 ^= self.s1;
        self.s1 ^= self.s2;
        self.s0 ^= self.s3;
        self.s2 ^= t;
        self.s3 = self.s3.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 when `bound` is 0. By the high half of a 128-bit
    /// product, whose bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number of `low..=high`; `low` when the range is empty.
    #[cfg_attr(not(feature = "server"), allow(dead_code))]
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// A number of [0, 1) with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Whether something that happens `percent` times in a hundred happens.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Whether something of probability `share` happens.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of `items`, or the default where there is none.
    pub(crate) fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let at = self.below(items.len() as u64) as usize;
        items.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference outputs of splitmix64 for seed 1234567, as listed at
    /// <https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64>.
    #[test]
    fn mix_gives_the_published_splitmix64_sequence() {
        let at = |i: u64| mix(1_234_567_u64.wrapping_add(GOLDEN_GAMMA.wrapping_mul(i)));
        assert_eq!(at(0), 6_457_827_717_110_365_317);
        assert_eq!(at(1), 3_203_168_211_198_807_973);
        assert_eq!(at(2), 9_817_491_932_198_370_423);
    }

    /// The first outputs from the state {1, 2, 3, 4}: the test vector that the
    /// `rand_xoshiro` crate made from the reference C code.
    #[test]
    fn bits_give_the_reference_xoshiro256plusplus_sequence() {
        let mut rng = Rng {
            s0: 1,
            s1: 2,
            s2: 3,
            s3: 4,
        };
        assert_eq!(rng.bits(), 41_943_041);
        assert_eq!(rng.bits(), 58_720_359);
        assert_eq!(rng.bits(), 3_588_806_011_781_223);
        assert_eq!(rng.bits(), 3_591_011_842_654_386);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::new(7);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.between(5, 5), 5);
    }
}
