//! Zipf-distributed ranks: rank k of 1..=n with probability proportional to
//! k^-s. Samples come from rejection-inversion: W. Hörmann and G. Derflinger,
//! "Rejection-inversion to generate variates from monotone discrete
//! distributions", ACM TOMACS 6 (1996) 169–184. It needs no table, so a
//! population of any size costs the same.
//!
//! The platform's `ln`, `exp` and `powf` may differ in the last bit from one
//! system to another, which would break "same seed, same bytes". The two
//! functions needed are therefore made of additions, multiplications and
//! divisions only, which IEEE 754 fixes to the bit.

use crate::rng::Rng;

/// ln 2 rounded to a double.
const LN_2: f64 = std::f64::consts::LN_2;

/// The natural logarithm of a positive normal number, to about 1e-15 relative.
fn ln(x: f64) -> f64 {
    // x = m * 2^e with m of [1, 2), then m of [0.75, 1.5) so that the series is short.
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa >= 1.5 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh z = 2 (z + z^3/3 + z^5/5 + …), |z| <= 1/5: the first omitted
    // term is below 2e-16.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let zz = z * z;
    let mut sum = 0.0;
    for denominator in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * zz + 1.0 / denominator;
    }
    exponent as f64 * LN_2 + 2.0 * z * sum
}

/// e to the power `x`, for |x| up to 700, to about 1e-15 relative.
fn exp(x: f64) -> f64 {
    // x = k ln 2 + r with |r| <= ln 2 / 2; Taylor to r^14 leaves less than 1e-18.
    let k = (x * (1.0 / LN_2) + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - k as f64 * LN_2;
    let mut sum = 1.0;
    for n in [
        14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0,
    ] {
        sum = sum * r / n + 1.0;
    }
    sum * f64::from_bits(((k + 1023).clamp(1, 2046) as u64) << 52)
}

/// A sampler of ranks `1..=n` with exponent `s` (0 < s < 1).
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    n: u64,
    exponent: f64,
    /// The integral of the density up to the upper edge of the last rank.
    area_end: f64,
    /// The integral up to the edge where rank 1 begins, widened by rank 1's own mass.
    area_start: f64,
    /// Draws this close to their rank are accepted without computing the density.
    shortcut: f64,
}

impl Zipf {
    /// A sampler over `1..=n`; `n` is raised to 1 and `exponent` kept within (0, 1).
    pub(crate) fn new(n: u64, exponent: f64) -> Self {
        let n = n.max(1);
        let exponent = exponent.clamp(0.01, 0.99);
        let mut zipf = Self {
            n,
            exponent,
            area_end: 0.0,
            area_start: 0.0,
            shortcut: 0.0,
        };
        zipf.area_start = zipf.area(1.5) - 1.0;
        zipf.area_end = zipf.area(n as f64 + 0.5);
        zipf.shortcut = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.density(2.0));
        zipf
    }

    fn density(&self, x: f64) -> f64 {
        exp(-self.exponent * ln(x))
    }

    /// The integral of x^-s without its constant: x^(1-s) / (1-s).
    fn area(&self, x: f64) -> f64 {
        exp((1.0 - self.exponent) * ln(x)) / (1.0 - self.exponent)
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let base = area * (1.0 - self.exponent);
        if base <= 0.0 {
            return 1.0;
        }
        exp(ln(base) / (1.0 - self.exponent))
    }

    /// Draws a rank counted from 0, the most frequent. Fewer than 1.1 rounds on average.
    pub(crate) fn sample(&self, rng: &mut Rng) -> u64 {
        loop {
            let area = self.area_end + rng.unit() * (self.area_start - self.area_end);
            let x = self.area_inverse(area);
            let rank = ((x + 0.5) as u64).clamp(1, self.n);
            let k = rank as f64;
            if k - x <= self.shortcut || area >= self.area(k + 0.5) - self.density(k) {
                return rank - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_logarithm_and_exponential_agree_with_the_platform() {
        let mut x = 1e-9_f64;
        while x < 1e12 {
            assert!(
                (ln(x) - x.ln()).abs() <= 4e-15 * x.ln().abs().max(1.0),
                "ln {x}"
            );
            let y = x.ln();
            assert!((exp(y) / y.exp() - 1.0).abs() < 2e-14, "exp {y}");
            x *= 1.37;
        }
    }

    #[test]
    fn frequencies_follow_the_law() {
        for (n, s) in [(600_000, 0.95), (1_200_000, 0.75), (3, 0.75), (1, 0.95)] {
            let zipf = Zipf::new(n, s);
            let mut rng = Rng::new(3);
            let draws = 400_000;
            let mut counts = [0_u32; 8];
            for _ in 0..draws {
                let rank = zipf.sample(&mut rng);
                assert!(rank < n);
                if let Some(count) = counts.get_mut(rank as usize) {
                    *count += 1;
                }
            }
            let norm: f64 = (1..=n).map(|k| (k as f64).powf(-s)).sum();
            for (i, &count) in counts.iter().enumerate().take(n as usize) {
                let expected = f64::from(draws) * ((i + 1) as f64).powf(-s) / norm;
                let tolerance = 5.0 * expected.sqrt();
                assert!(
                    (f64::from(count) - expected).abs() <= tolerance,
                    "n {n} s {s} rank {i}: {count}, {expected}"
                );
            }
        }
    }
}
