use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;

fn encoded(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::new();
    bitmap.serialize_into(&mut bytes).unwrap();
    bytes
}

/// Sets with arrays, bitmaps and runs, in few containers and in many.
fn sets() -> impl Strategy<Value = RoaringBitmap> {
    let part = prop_oneof![
        // Scattered values: arrays.
        prop::collection::vec(any::<u16>().prop_map(u32::from), 0..300),
        // Every second value: a bitmap.
        (0_u32..50_000).prop_map(|start| (start..start + 14_000).step_by(2).collect()),
        // Ranges: runs.
        prop::collection::vec((0_u32..65_000, 1_u32..500), 1..20).prop_map(|runs| runs
            .iter()
            .flat_map(|(s, l)| *s..(s + l).min(65_536))
            .collect()),
        Just((0..65_536).collect()),
    ];
    let key = prop_oneof![0_u32..8, Just(0xffff_u32), 0_u32..0x1_0000];
    (prop::collection::vec((key, part), 0..6), any::<bool>()).prop_map(|(parts, optimize)| {
        let mut bitmap = RoaringBitmap::new();
        for (key, values) in parts {
            bitmap.extend(values.into_iter().map(|low: u32| key << 16 | low));
        }
        if optimize {
            bitmap.optimize();
        }
        bitmap
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn the_encoder_writes_what_crate_roaring_writes(mut set in sets()) {
        set.optimize();
        let mut encoder = Encoder::new();
        let (mut containers, mut bytes) = (Vec::new(), Vec::new());
        for value in &set {
            encoder.push(value, &mut containers);
        }
        encoder.finish(&mut containers, &mut bytes);
        bytes.extend_from_slice(&containers);
        prop_assert_eq!(bytes, encoded(&set));
    }

    #[test]
    fn a_bitmap_answers_as_crate_roaring_does(set in sets(), probes in prop::collection::vec(any::<u32>(), 10)) {
        let bytes = encoded(&set);
        let bitmap = Bitmap::open(Region::over("bitmap", &bytes)).unwrap();
        bitmap.verify().unwrap();
        prop_assert_eq!(bitmap.len(), set.len());
        prop_assert_eq!(bitmap.is_empty(), set.is_empty());
        prop_assert_eq!(bitmap.first().unwrap(), set.min());
        prop_assert_eq!(bitmap.last().unwrap(), set.max());
        prop_assert!(bitmap.iter_from(0).map(Result::unwrap).eq(set.iter()));
        prop_assert!(bitmap.iter_back_from(u32::MAX).map(Result::unwrap).eq(set.iter().rev()));
        prop_assert_eq!(bitmap.select(set.len()).unwrap(), None);
        let near = probes.iter().filter_map(|p| set.select(p % (set.len().max(1) as u32)));
        let near: Vec<u32> = near.flat_map(|v| [v.saturating_sub(1), v, v.saturating_add(1)]).collect();
        for x in near.into_iter().chain(probes.iter().copied()).chain([0, 65_535, 65_536, u32::MAX]) {
            prop_assert_eq!(bitmap.contains(x).unwrap(), set.contains(x), "contains {}", x);
            let rank = set.rank(x);
            prop_assert_eq!(bitmap.rank(x).unwrap(), rank, "rank {}", x);
            let below = set.range(..x).next_back();
            let index = rank.saturating_sub(1);
            prop_assert_eq!(bitmap.select(index).unwrap(), set.select(index as u32), "select {}", index);
            prop_assert_eq!(bitmap.lower_bound(x).unwrap(), set.range(x..).next(), "lower bound {}", x);
            let up: Vec<u32> = bitmap.iter_from(x).take(200).map(Result::unwrap).collect();
            let expected: Vec<u32> = set.range(x..).take(200).collect();
            prop_assert_eq!(&up, &expected);
            let mut filled = [0; 200];
            let count = bitmap.iter_from(x).fill(&mut filled).unwrap();
            prop_assert_eq!(&filled[..count], &expected[..]);
            let down: Vec<u32> = bitmap.iter_back_from(x).take(200).map(Result::unwrap).collect();
            let expected: Vec<u32> = set.range(..=x).rev().take(200).collect();
            prop_assert_eq!(down, expected);
            prop_assert_eq!(below, x.checked_sub(1).and_then(|y| bitmap.iter_back_from(y).next()).map(Result::unwrap));
        }
    }

    #[test]
    fn damaged_bytes_never_panic(set in sets(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..60, any::<u8>()), 1..5)) {
        let mut bytes = encoded(&set);
        for (index, near, xor) in flips {
            // Half of the flips hit the tables at the start.
            let index = if near < 30 { usize::from(near).min(bytes.len() - 1) } else { index.index(bytes.len()) };
            bytes[index] ^= xor;
        }
        exercise(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..200), containers in 0_u8..8, runs in any::<bool>()) {
        let mut bytes = if runs {
            vec![0x3b, 0x30, containers, 0]
        } else {
            vec![0x3a, 0x30, 0, 0, containers, 0, 0, 0]
        };
        bytes.extend(tail);
        exercise(&bytes);
    }
}

/// Calls everything; whether it succeeds is not the question.
fn exercise(bytes: &[u8]) {
    let Ok(bitmap) = Bitmap::open(Region::over("bitmap", bytes)) else {
        return;
    };
    for x in [0, 1, 65_535, 65_536, 1 << 20, u32::MAX] {
        let _ = (bitmap.contains(x), bitmap.rank(x), bitmap.select(x.into()));
        let _ = (bitmap.lower_bound(x), bitmap.iter_back_from(x).next());
    }
    let _ = bitmap.verify();
    for value in bitmap.iter_from(0).take(100_000) {
        let _ = value;
    }
    for value in bitmap.iter_back_from(u32::MAX).take(100_000) {
        let _ = value;
    }
    let mut values = bitmap.iter_from(0);
    let mut filled = [0; 128];
    for _ in 0..1_000 {
        if values
            .fill(&mut filled)
            .is_ok_and(|count| count < filled.len())
        {
            break;
        }
    }
}

#[test]
fn a_bitmap_cut_at_any_length_does_not_verify() {
    let mut set = RoaringBitmap::new();
    set.extend([1, 5, 70_000, 70_001, 200_000, 900_000]);
    set.insert_range(300_000..300_900);
    for optimize in [false, true] {
        if optimize {
            set.optimize();
        }
        let bytes = encoded(&set);
        for len in 0..bytes.len() {
            let verified =
                Bitmap::open(Region::over("bitmap", &bytes[..len])).and_then(|b| b.verify());
            assert!(verified.is_err(), "cut at {len}");
        }
    }
}

#[test]
fn a_count_that_contradicts_its_container_does_not_verify() {
    let bytes = encoded(&(0..10_000).step_by(2).collect());
    let mut damaged = bytes.clone();
    // The count less one of the first descriptor, behind cookie, number and key.
    damaged[10] ^= 1;
    assert!(
        Bitmap::open(Region::over("bitmap", &bytes))
            .unwrap()
            .verify()
            .is_ok()
    );
    assert!(
        Bitmap::open(Region::over("bitmap", &damaged))
            .unwrap()
            .verify()
            .is_err()
    );
}

#[test]
fn keys_that_do_not_rise_do_not_open() {
    let mut bytes = encoded(&[1, 70_000].into_iter().collect());
    // The second key, behind the first descriptor.
    bytes[12] = 0;
    assert!(Bitmap::open(Region::over("bitmap", &bytes)).is_err());
}

#[test]
fn bytes_of_another_writer_are_read_as_they_were() {
    let mut sets = vec![RoaringBitmap::new()];
    sets.push([3, 5, 65_536, 4_294_967_295].into_iter().collect());
    sets.push((0..20_000).step_by(2).collect());
    let mut runs = RoaringBitmap::new();
    for key in 0..5 {
        runs.insert_range(key * 65_536 + 10..key * 65_536 + 3000);
    }
    runs.optimize();
    sets.push(runs);
    let mut bytes = Vec::new();
    for set in &sets {
        let one = encoded(set);
        let bitmap = Bitmap::open(Region::over("bitmap", &one)).unwrap();
        assert!(bitmap.iter_from(0).map(Result::unwrap).eq(set.iter()));
        bytes.extend(one);
    }
    crate::testing::assert_golden("bitmap.bin", &bytes);
}

/// Two offsets that name one container: the other container is read nowhere, and crate `roaring`, which passes
/// over the offsets, reads another set.
#[test]
fn offsets_that_leave_a_container_out_do_not_verify() {
    let mut bytes = encoded(&(0..6).map(|i| i * 70_000).collect());
    // Behind cookie, count and six descriptors.
    let offsets = 4 + 4 + 6 * 4;
    bytes.copy_within(offsets..offsets + 4, offsets + 4);
    let bitmap = Bitmap::open(Region::over("bitmap", &bytes)).unwrap();
    assert!(bitmap.verify().is_err());
}
