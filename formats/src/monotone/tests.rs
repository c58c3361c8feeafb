use proptest::prelude::*;

use super::*;

fn encoded(values: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(values, &mut bytes);
    bytes
}

/// Lists of one to several blocks: dense, sparse, with runs of duplicates, with both ends of the range.
fn lists() -> impl Strategy<Value = Vec<u32>> {
    let gap = prop_oneof![
        4 => 0_u32..3,
        2 => 0_u32..500,
        1 => 0_u32..20_000_000,
    ];
    (
        any::<bool>(),
        any::<u32>(),
        prop::collection::vec(gap, 0..700),
    )
        .prop_map(|(dense, start, gaps)| {
            let mut value = if dense { start % 1000 } else { start };
            let step = |gap: &u32| {
                value = value.saturating_add(if dense { gap % 2 } else { *gap });
                value
            };
            gaps.iter().map(step).collect()
        })
}

proptest! {
    #[test]
    fn a_list_answers_as_a_vector_does(values in lists(), probes in prop::collection::vec(any::<u32>(), 20)) {
        let mut bytes = encoded(&values);
        let len = bytes.len() as u64;
        bytes.extend_from_slice(b"what follows");
        let list = Monotone::open(Region::over("list", &bytes)).unwrap();
        prop_assert_eq!(list.encoded_len(), len);
        prop_assert_eq!(list.len() as usize, values.len());
        prop_assert_eq!(list.first(), values.first().copied());
        prop_assert_eq!(list.last(), values.last().copied());
        list.verify().unwrap();
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(list.get(index as u32).unwrap(), *value);
        }
        prop_assert!(list.get(values.len() as u32).is_err());
        for (index, two) in values.windows(2).enumerate() {
            prop_assert_eq!(list.pair(index as u32).unwrap(), (two[0], two[1]));
        }
        prop_assert!(list.pair((values.len() as u32).saturating_sub(1)).is_err());
        prop_assert!(list.pair(u32::MAX).is_err());
        let near = values.iter().flat_map(|v| [v.saturating_sub(1), *v, v.saturating_add(1)]);
        for x in near.chain(probes.iter().copied()).chain([0, u32::MAX]) {
            let expected = values.partition_point(|v| *v < x);
            prop_assert_eq!(list.lower_bound(x).unwrap() as usize, expected, "lower bound of {}", x);
            let found = values.get(expected).is_some_and(|v| *v == x).then_some(expected as u32);
            prop_assert_eq!(list.find(x).unwrap(), found, "the place of {}", x);
        }
        for start in probes.iter().map(|p| *p as usize % (values.len() + 2)).chain([0, values.len()]) {
            let up: Vec<u32> = list.iter_from(start as u32).map(Result::unwrap).collect();
            prop_assert_eq!(&up[..], values.get(start..).unwrap_or_default());
            let mut down: Vec<u32> = list.iter_back_from(start as u32).map(Result::unwrap).collect();
            down.reverse();
            prop_assert_eq!(&down[..], &values[..start.min(values.len())]);
        }
    }

    #[test]
    fn damaged_bytes_never_panic(values in lists(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = encoded(&values);
        for (index, xor) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= xor;
        }
        exercise(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }
}

/// Calls everything; whether it succeeds is not the question.
fn exercise(bytes: &[u8]) {
    let Ok(list) = Monotone::open(Region::over("list", bytes)) else {
        return;
    };
    for x in [0, 1, 127, 128, 129, 1 << 16, u32::MAX] {
        let _ = (list.get(x), list.lower_bound(x));
    }
    let _ = list.verify();
    assert!(list.iter_from(0).take(2000).count() <= list.len() as usize);
    assert!(list.iter_back_from(u32::MAX).take(2000).count() <= list.len() as usize);
}

#[test]
fn a_list_cut_at_any_length_does_not_verify() {
    let values: Vec<u32> = (0..300).map(|i| i * i).collect();
    let bytes = encoded(&values);
    for len in 0..bytes.len() {
        let cut = Region::over("list", &bytes[..len]);
        assert!(Monotone::open(cut).is_err(), "cut at {len}");
    }
}

#[test]
fn a_cursor_ends_after_an_error() {
    let values: Vec<u32> = (0..1000).map(|i| i * 100).collect();
    let mut bytes = encoded(&values);
    let list = Monotone::open(Region::over("list", &bytes)).unwrap();
    let (_, third) = list.block_place(2).unwrap();
    // The width of the low bits of the third block, now beyond its limit of 32.
    let place = (list.head.blocks + third.start) as usize;
    bytes[place] = 33;
    let list = Monotone::open(Region::over("list", &bytes)).unwrap();
    let up: Vec<_> = list.iter_from(0).collect();
    assert_eq!(up.len(), 257);
    assert!(up[..256].iter().all(Result::is_ok) && up[256].is_err());
    let down: Vec<_> = list.iter_back_from(1000).collect();
    assert_eq!(down.len(), 1000 - 384 + 1);
    assert!(down.last().unwrap().is_err());
}

#[test]
fn a_list_takes_the_bits_that_elias_fano_promises() {
    // 2 + log2(range / values) bits a value, and 8 bytes a block for the skip table.
    let values: Vec<u32> = (0..128_000_u32)
        .map(|i| i * 100 + i.wrapping_mul(2_654_435_761) % 100)
        .collect();
    let bytes = encoded(&values);
    let bits = bytes.len() as f64 * 8.0 / values.len() as f64;
    assert!(bits < 2.0 + 100_f64.log2() + 0.75, "{bits} bits a value");
}

#[test]
fn bytes_are_as_they_were() {
    let mut bytes = encoded(&[]);
    for values in [
        vec![7],
        vec![0, 0, u32::MAX],
        (0..128).collect(),
        (0..129).map(|i| i * 37).collect(),
        (0..400).map(|i| 1000 + i * i * 26_000).collect(),
    ] {
        bytes.extend(encoded(&values));
    }
    crate::testing::assert_golden("monotone.bin", &bytes);
}
