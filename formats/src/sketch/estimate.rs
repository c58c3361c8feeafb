//! How many elements raised the registers: the improved raw estimator of O. Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches", arXiv:1702.01284 (2017), algorithm 6. It is without bias from 0 up to
//! 2^48, so that no other estimator takes over anywhere, and has no constant found by experiment.

use super::{RANK_MAX, REGISTERS};

/// The limit of the correction factor for many registers, 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// Uses only operations that IEEE 754 rounds in one way, so the number is the same on every machine.
pub(super) fn of_registers(registers: &[u8]) -> u64 {
    // Four tables, so that equal neighbours don't wait for each other.
    let mut tables = [[0u32; 64]; 4];
    for four in registers.chunks_exact(4) {
        for (table, value) in tables.iter_mut().zip(four) {
            if let Some(count) = table.get_mut(usize::from(*value & 63)) {
                *count += 1;
            }
        }
    }
    let count = |rank: u8| -> f64 {
        let counts = tables
            .iter()
            .filter_map(|table| table.get(usize::from(rank)));
        f64::from(counts.sum::<u32>())
    };
    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - count(RANK_MAX) / m);
    for rank in (1..RANK_MAX).rev() {
        z = 0.5 * (z + count(rank));
    }
    z += m * sigma(count(0) / m);
    (ALPHA * m * m / z).round() as u64
}

/// x + the sum over k of x^(2^k) 2^(k - 1).
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// A third of 1 - x - the sum over k of (1 - x^(2^-k))^2 2^-k.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}
