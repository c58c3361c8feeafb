use proptest::prelude::*;

use super::*;

/// Distinct numbers that look like hashes.
fn hashes(seed: u64, count: u64) -> Vec<u64> {
    (0..count).map(|i| mix(i.wrapping_add(mix(seed)))).collect()
}

fn false_positives(filter: &Filter<'_>, probes: u64) -> u64 {
    let absent = hashes(0xdead_beef_0000, probes);
    absent
        .iter()
        .filter(|hash| filter.contains(**hash).unwrap())
        .count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_key_is_found(mut keys in prop::collection::vec(any::<u64>(), 0..600), small in prop::collection::vec(0_u64..50, 0..60)) {
        keys.extend(small);
        let bytes = build(&keys);
        let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
        filter.verify().unwrap();
        let kept = filter.keep().unwrap().unwrap();
        for key in &keys {
            prop_assert!(filter.contains(*key).unwrap());
            prop_assert!(kept.contains(*key));
        }
        for absent in hashes(3, 2_000) {
            prop_assert_eq!(kept.contains(absent), filter.contains(absent).unwrap());
        }
        // The order and repetition of keys leave no trace.
        keys.reverse();
        keys.extend_from_within(..keys.len() / 2);
        prop_assert_eq!(build(&keys), bytes);
    }

    #[test]
    fn damaged_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), probe in any::<u64>(), sane in any::<bool>()) {
        if sane && bytes.len() >= SHARD_HEADER_BYTES {
            bytes[8..16].copy_from_slice(&[16, 0, 0, 0, 5, 0, 0, 0]);
            bytes.extend_from_slice(&u32::to_le_bytes((probe % 3) as u32));
        }
        if let Ok(filter) = Filter::open(Region::over("filter", &bytes)) {
            let _ = filter.contains(probe);
            let _ = filter.verify();
            if let Ok(Some(kept)) = filter.keep() {
                let _ = kept.contains(probe);
            }
        }
    }
}

#[test]
fn large_filters_and_those_of_shards_are_not_kept() {
    for (count, is_kept) in [(10_000, true), (20_000, false), (2 * SHARD_KEYS + 1, false)] {
        let bytes = build(&hashes(6, count));
        let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
        assert_eq!(filter.keep().unwrap().is_some(), is_kept, "{count} keys");
    }
}

#[test]
fn false_positives_stay_below_one_percent_at_a_hundred_thousand_keys() {
    let keys = hashes(1, 100_000);
    let bytes = build(&keys);
    let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
    assert!(keys.iter().all(|key| filter.contains(*key).unwrap()));
    let found = false_positives(&filter, 100_000);
    // One in 256 is expected; not even ten standard deviations reach 1 %.
    assert!((200..1000).contains(&found), "{found} of 100000");
    let bits = bytes.len() as f64 * 8.0 / keys.len() as f64;
    assert!(bits < 9.8, "{bits} bits a key");
}

#[test]
fn every_small_number_of_keys_has_a_filter() {
    for count in 0..200 {
        let keys = hashes(count, count);
        let bytes = build(&keys);
        let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
        assert!(
            keys.iter().all(|key| filter.contains(*key).unwrap()),
            "{count} keys"
        );
        assert!(false_positives(&filter, 2000) < 40, "{count} keys");
    }
}

#[test]
fn a_filter_without_keys_holds_nothing() {
    let bytes = build(&[]);
    assert_eq!(bytes.len(), SHARD_HEADER_BYTES + TRAILER_BYTES);
    let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
    assert_eq!(false_positives(&filter, 1000), 0);
}

#[test]
fn a_filter_cut_at_any_length_does_not_verify() {
    let bytes = build(&hashes(2, 50));
    for len in 0..bytes.len() {
        let filter = Filter::open(Region::over("filter", &bytes[..len]));
        let verified = filter.and_then(|filter| filter.verify());
        assert!(verified.is_err(), "cut at {len}");
    }
}

#[test]
fn a_filter_of_many_keys_is_made_of_shards() {
    let keys = hashes(5, 2 * SHARD_KEYS + 1);
    let bytes = build(&keys);
    let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
    filter.verify().unwrap();
    assert_eq!(filter.shard_bits, 2);
    assert!(keys.iter().all(|key| filter.contains(*key).unwrap()));
    let found = false_positives(&filter, 100_000);
    assert!((200..1000).contains(&found), "{found} of 100000");
    let bits = bytes.len() as f64 * 8.0 / keys.len() as f64;
    assert!(bits < 9.4, "{bits} bits a key");
    // Damage in the directory and the trailer ends in an error or an answer.
    for at in bytes.len() - TRAILER_BYTES - 32..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x81;
        let filter = Filter::open(Region::over("filter", &bytes));
        if let Ok(filter) = filter {
            for key in keys.iter().take(100) {
                let _ = filter.contains(*key);
            }
            assert!(filter.verify().is_err(), "byte {at}");
        }
    }
}

#[test]
fn sizes_that_a_reader_cannot_hold_are_refused() {
    let mut bytes = build(&hashes(3, 10));
    for (segment_len, segment_count) in [(0, 1), (3, 1), (1 << 19, 1), (1 << 18, u32::MAX)] {
        bytes[8..12].copy_from_slice(&u32::to_le_bytes(segment_len));
        bytes[12..16].copy_from_slice(&u32::to_le_bytes(segment_count));
        let filter = Filter::open(Region::over("filter", &bytes)).unwrap();
        assert!(
            filter.contains(1).is_err(),
            "{segment_len}, {segment_count}"
        );
    }
}

#[test]
fn bytes_are_as_they_were() {
    let mut bytes = build(&[]);
    bytes.extend(build(&[42]));
    bytes.extend(build(&hashes(4, 1000)));
    crate::testing::assert_golden("filter.bin", &bytes);
}
