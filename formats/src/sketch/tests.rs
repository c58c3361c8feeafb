//! Sketches against sets, their bytes against hostile ones, and the error of estimates.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::testing::assert_golden;

/// SplitMix64: hashes that are as good as random.
fn hash(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x5eed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn sketch_of(numbers: impl IntoIterator<Item = u64>) -> Sketch {
    let mut sketch = Sketch::new();
    for number in numbers {
        sketch.add(Element::of_hash(hash(number)));
    }
    sketch
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut out = Vec::new();
    sketch.encode(&mut out);
    out
}

fn decoded(bytes: &[u8]) -> Result<Sketch> {
    let mut sketch = Sketch::new();
    sketch.unite_encoded(bytes)?;
    Ok(sketch)
}

#[test]
fn elements_are_those_of_the_test_vector() {
    let element = Secret::new([0; 16]).element("did:plc:abc");
    assert_eq!(element.hash(), 0x358b_bdda_c8e2_0d3e);
    assert_eq!((element.register(), element.rank()), (3390, 1));
    assert_eq!(Element::of_hash(u64::MAX).rank(), RANK_MAX);
}

#[test]
fn sets_up_to_128_are_counted_exactly_in_whatever_order_they_come() {
    for n in 0..=EXACT_MAX as u64 {
        let sketch = sketch_of((0..n).chain((0..n).rev()));
        assert_eq!((sketch.estimate(), sketch.is_exact()), (n, true));
        assert_eq!(encoded(&sketch).len(), 1 + 6 * n as usize);
    }
    assert!(!sketch_of(0..=EXACT_MAX as u64).is_exact());
}

#[test]
fn each_form_is_the_shortest_somewhere_and_comes_back() {
    let mut forms = BTreeSet::new();
    for n in [0, 1, 128, 129, 1_000, 9_000, 20_000, 100_000, 3_000_000] {
        let sketch = sketch_of(0..n);
        let bytes = encoded(&sketch);
        forms.insert(bytes[0].max(128));
        assert_eq!(decoded(&bytes).unwrap(), sketch, "{n}");
        assert_eq!(estimate_of(&bytes).unwrap(), sketch.estimate());
        assert!(bytes.len() < 8_300, "{n}: {} bytes", bytes.len());
    }
    // No hash makes such registers, but someone's union may.
    let mut odd = Sketch::new();
    for register in 0..REGISTERS as u16 {
        odd.raise(register, (hash(u64::from(register)) % 36) as u8);
    }
    let bytes = encoded(&odd);
    forms.insert(bytes[0]);
    assert_eq!(decoded(&bytes).unwrap(), odd);
    assert!(bytes.len() <= ENCODED_MAX);
    assert_eq!(forms, BTreeSet::from([128, 129, 130, 131]));
}

#[test]
fn the_golden_sketches_are_encoded() {
    let mut all = Vec::new();
    for n in [0, 3, 128, 129, 2_000, 100_000] {
        let bytes = encoded(&sketch_of(0..n));
        crate::bytes::put_varint(&mut all, bytes.len() as u64);
        all.extend(bytes);
    }
    assert_golden("sketches.bin", &all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_union_is_the_sketch_of_all_elements(
        sets in prop::collection::vec((0u64..600, 0u64..300), 0..6),
    ) {
        let mut all = BTreeSet::new();
        let (mut whole, mut united, mut from_bytes) = (Sketch::new(), Sketch::new(), Sketch::new());
        for (start, len) in sets {
            let part = sketch_of(start..start + len);
            united.unite(&part);
            from_bytes.unite_encoded(&encoded(&part)).unwrap();
            for number in start..start + len {
                all.insert(number);
                whole.add(Element::of_hash(hash(number)));
            }
        }
        prop_assert_eq!(&united, &whole);
        prop_assert_eq!(&from_bytes, &whole);
        prop_assert_eq!(encoded(&united), encoded(&whole));
        if all.len() <= EXACT_MAX {
            prop_assert_eq!(united.estimate(), all.len() as u64);
        }
        prop_assert_eq!(decoded(&encoded(&whole)).unwrap(), whole.clone());
        united.clear();
        prop_assert!(united.is_empty());
        united.unite(&whole);
        prop_assert_eq!(united, whole);
    }

    #[test]
    fn odd_registers_come_back(
        values in prop::collection::vec((0u16..16_384, 0u8..36), 1..3_000),
        floor in 0u8..30,
    ) {
        let mut sketch = Sketch::new();
        if floor > 20 {
            (0..16_384).for_each(|register| sketch.raise(register, floor));
        }
        for (register, value) in values {
            sketch.raise(register, value);
        }
        let bytes = encoded(&sketch);
        prop_assert!(bytes.len() <= ENCODED_MAX);
        prop_assert_eq!(decoded(&bytes).unwrap(), sketch);
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_and_never_believed(
        n in prop_oneof![0u64..200, 0u64..40_000],
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encoded(&sketch_of(0..n));
        for (place, value) in damages {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(sketch) = decoded(&bytes) {
            let estimate = sketch.estimate();
            prop_assert_eq!(decoded(&encoded(&sketch)).unwrap().estimate(), estimate);
        }
    }
}

/// Errors of estimates in standard errors of 0.81 %: (root of the mean square, how many beyond 3, beyond 5).
fn errors(sizes: &[u64], runs: u64) -> Vec<(u64, f64, f64, u64, u64)> {
    let mut results = Vec::new();
    for &size in sizes {
        let (mut squares, mut sum, mut beyond_3, mut beyond_5) = (0.0, 0.0, 0, 0);
        for run in 0..runs {
            let first = (run + 1) * 1_000_000_007;
            let estimate = sketch_of(first..first + size).estimate() as f64;
            let error = estimate / size as f64 - 1.0;
            squares += error * error;
            sum += error;
            beyond_3 += u64::from(error.abs() > 3.0 * 0.0081);
            beyond_5 += u64::from(error.abs() > 5.0 * 0.0081);
        }
        let runs = runs as f64;
        results.push((
            size,
            (squares / runs).sqrt(),
            sum / runs,
            beyond_3,
            beyond_5,
        ));
    }
    results
}

/// `ORRERY_LONG_TESTS=1` takes more runs, and more sizes.
#[test]
fn estimates_are_within_the_error_of_the_method_at_all_sizes() {
    let long = std::env::var_os("ORRERY_LONG_TESTS").is_some();
    let mut sizes = vec![
        129, 200, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 41_000, 60_000,
    ];
    if long {
        sizes.extend([82_000, 150_000, 300_000, 1_000_000]);
    }
    let runs = if long { 2_000 } else { 60 };
    let results = errors(&sizes, runs);
    for (size, rms, bias, beyond_3, beyond_5) in &results {
        if long {
            eprintln!(
                "{size}: rms {rms:.5}, bias {bias:+.5}, {beyond_3} beyond 3, {beyond_5} beyond 5"
            );
        }
        // The mean of as many runs scatters by one standard error over their root; allow 4 of it.
        let scatter = 0.0081 / (runs as f64).sqrt();
        // Small estimates also lose up to a half by rounding, nearly all in one direction.
        let allowed = 4.0 * scatter + 0.5 / *size as f64;
        assert!(bias.abs() < allowed, "{size}: bias {bias}");
        // The root mean square itself scatters by 1 / sqrt(2 runs).
        let allowed = 0.0083 * (1.0 + 3.0 / (2.0 * runs as f64).sqrt());
        assert!(*rms < allowed, "{size}: {rms}");
        assert_eq!(*beyond_5, 0, "{size}");
    }
    let beyond: u64 = results.iter().map(|result| result.3).sum();
    assert!(
        beyond * 100 <= runs * sizes.len() as u64,
        "{beyond} beyond 3"
    );
}

/// Beyond what can be added one by one: registers drawn from their distribution for so many elements.
#[test]
fn estimates_of_billions_are_without_bias() {
    for exponent in [8, 9, 10, 12] {
        let size = 10f64.powi(exponent);
        let (runs, mut sum) = (40u64, 0.0);
        for run in 0..runs {
            let mut sketch = Sketch::new();
            for register in 0..REGISTERS as u64 {
                // The largest of Poisson many ranks is at most k with probability exp(-size / m / 2^k).
                let uniform = (hash(run << 20 | register) >> 11) as f64 / (1u64 << 53) as f64;
                let rank = (size / REGISTERS as f64 / -uniform.ln()).log2().ceil();
                sketch.raise(register as u16, rank.clamp(0.0, 35.0) as u8);
            }
            sum += sketch.estimate() as f64 / size - 1.0;
        }
        let bias: f64 = sum / runs as f64;
        assert!(
            bias.abs() < 4.0 * 0.0081 / (runs as f64).sqrt(),
            "10^{exponent}: {bias}"
        );
    }
}

/// `cargo test --release -p orrery-formats -- --ignored --nocapture speed_of_sketches`
#[test]
#[ignore = "a measurement"]
fn speed_of_sketches() {
    for n in [128u64, 1_000, 9_000, 100_000] {
        let sketch = sketch_of(0..n);
        let bytes = encoded(&sketch);
        let mut into = sketch_of(1_000_000..1_100_000);
        let start = std::time::Instant::now();
        for _ in 0..1_000 {
            into.unite_encoded(std::hint::black_box(&bytes)).unwrap();
        }
        let unite = start.elapsed();
        let start = std::time::Instant::now();
        for _ in 0..1_000 {
            std::hint::black_box(sketch.estimate());
        }
        let estimate = start.elapsed();
        let start = std::time::Instant::now();
        let mut out = Vec::new();
        for _ in 0..1_000 {
            out.clear();
            sketch.encode(&mut out);
        }
        let encode = start.elapsed();
        eprintln!(
            "{n}: {} bytes, unite {:?}, estimate {:?}, encode {:?}",
            bytes.len(),
            unite / 1_000,
            estimate / 1_000,
            encode / 1_000
        );
    }
}
