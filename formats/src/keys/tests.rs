use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn header() -> KeysHeader {
    KeysHeader {
        first_seq: 5,
        last_seq: 900,
        log_bytes: 4096,
        log_seed: 0x1122_3344_5566_7788,
        min_rev: 0,
        max_rev: 0,
        count: 0,
        bucket_bits: 0,
    }
}

fn entry(fingerprint: u64, rev: u64) -> KeyEntry {
    KeyEntry {
        fingerprint,
        rev,
        frame: (rev % 1000) as u32,
        ordinal: (rev % 7) as u32,
    }
}

fn open(bytes: Vec<u8>) -> KeysFile {
    KeysFile::open("test.keys".to_owned(), bytes).unwrap()
}

/// Most of one time, some far from it.
fn rev() -> impl Strategy<Value = u64> {
    prop_oneof![200 => (1_u64 << 60)..(1 << 60) + 5_000, 1 => any::<u64>(), 1 => 0_u64..9]
}

proptest! {
    #[test]
    fn each_key_is_found_and_no_other(keys in prop_oneof![
        proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..300),
        proptest::collection::btree_map(any::<u64>(), rev(), 0..300),
    ], others in proptest::collection::vec(any::<u64>(), 50)) {
        let entries = keys.iter().map(|(key, rev)| entry(*key, *rev)).rev().collect();
        let file = open(build(header(), entries).unwrap());
        file.verify().unwrap();
        prop_assert_eq!(file.header().min_rev, keys.values().min().copied().unwrap_or(0));
        prop_assert_eq!(file.header().max_rev, keys.values().max().copied().unwrap_or(0));
        for key in keys.keys().chain(&others).flat_map(|key| [*key, key.wrapping_add(1), key.wrapping_sub(1)]) {
            prop_assert_eq!(file.find(key).unwrap(), keys.get(&key).map(|rev| entry(key, *rev)));
        }
        prop_assert_eq!(file.entries().map(Result::unwrap).map(|e| (e.fingerprint, e.rev)).collect::<BTreeMap<_, _>>(), keys);
    }

    #[test]
    fn the_short_way_of_hashing_agrees_with_the_long(collection in ".{0,300}", rkey in ".{0,300}", seed in any::<u64>()) {
        let joined = format!("{collection}\0{rkey}");
        prop_assert_eq!(key_hash(seed, &collection, &rkey), xxhash_rust::xxh3::xxh3_64_with_seed(joined.as_bytes(), seed));
    }
}

#[test]
fn many_keys_stay_few_to_a_bucket() {
    let keys: Vec<u64> = (0..20_000)
        .map(|n| fingerprint(n as u32 % 17, key_hash(1, "a.b.c", &n.to_string())))
        .collect();
    let file = open(build(header(), keys.iter().map(|key| entry(*key, 1)).collect()).unwrap());
    assert_eq!(file.header().bucket_bits, 12);
    for key in keys {
        assert_eq!(file.find(key).unwrap(), Some(entry(key, 1)));
    }
}

#[test]
fn an_entry_takes_what_its_numbers_need() {
    // A quarter of an hour of revs, in 150 frames, and an account event in 200 whose seq is in the place of a rev.
    let entries: Vec<KeyEntry> = (0..50_000_u64)
        .map(|n| KeyEntry {
            fingerprint: fingerprint(n as u32, n),
            rev: match n % 200 {
                0 => 12_000_000_000 + n,
                _ => ((1_767_225_600_000_000 + n * 18_000) << 10) | (n % 32),
            },
            frame: (n / 350) as u32 * 9_000,
            ordinal: (n % 350) as u32,
        })
        .collect();
    let bytes = build(header(), entries.clone()).unwrap();
    let each = bytes.len() as f64 / entries.len() as f64;
    assert!(each < 15.0, "{each}");
    let file = open(bytes);
    file.verify().unwrap();
    for entry in entries {
        assert_eq!(file.find(entry.fingerprint), Ok(Some(entry)));
    }
}

#[test]
fn golden_bytes() {
    for (actor, hash) in [(0, 0), (7, 0x0123_4567_89ab_cdef), (u32::MAX, u64::MAX)] {
        assert_eq!(
            fingerprint(actor, hash),
            fingerprint_by_hand(u64::from(actor), hash)
        );
    }
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/log-v3.keys");
    let entries = (1..200_u64)
        .map(|n| entry(n.wrapping_mul(0x0f0f_1234_5678_9abd), (1 << 60) + n))
        .chain([entry(3, 17), entry(u64::MAX, u64::MAX)])
        .collect();
    let written = build(header(), entries).unwrap();
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        std::fs::write(&golden, &written).unwrap();
    }
    assert_eq!(std::fs::read(&golden).unwrap(), written);
}

fn fingerprint_by_hand(actor: u64, hash: u64) -> u64 {
    let multiply = |a: u64, b: u64| (u128::from(a) * u128::from(b)) as u64;
    let mut x = hash ^ multiply(actor + 1, 11_400_714_819_323_198_485);
    x = multiply(x ^ (x >> 33), 18_397_679_294_719_823_053);
    x = multiply(x ^ (x >> 33), 14_181_476_777_654_086_739);
    x ^ (x >> 33)
}

#[test]
fn each_flipped_bit_is_noticed_or_changes_nothing() {
    let keys: Vec<u64> = (0..40).map(|n| fingerprint(n, 7)).collect();
    let bytes = build(header(), keys.iter().map(|key| entry(*key, *key)).collect()).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(file) = KeysFile::open("test.keys".to_owned(), damaged) else {
            continue;
        };
        for key in &keys {
            if let Ok(found) = file.find(*key) {
                assert_eq!(found, Some(entry(*key, *key)), "bit {bit}");
            }
        }
    }
}

/// A bucket without entries whose bounds are wrong, under sound checksums: nothing but a walk over the directory
/// meets it, and a look-up of a key that is not there fails.
#[test]
fn an_empty_bucket_out_of_order_does_not_verify() {
    let keys: Vec<u64> = (0..40).collect();
    let bytes = build(header(), keys.iter().map(|key| entry(*key, 1)).collect()).unwrap();
    let sound =
        SealedFile::open(String::new(), bytes, FileKind::KeyIndex, VERSION..=VERSION).unwrap();
    for (bucket, value) in [(0, 1_u32), (5, 39), (5, 41), (8, 41)] {
        let mut file = FileBuilder::new(FileKind::KeyIndex, VERSION);
        for (id, _) in sound.sections() {
            let mut contents = sound.section(id).unwrap().all().unwrap().to_vec();
            if id == section::DIRECTORY {
                contents[bucket * 4..][..4].copy_from_slice(&value.to_le_bytes());
            }
            file.section(id, &contents);
        }
        assert!(
            open(file.finish()).verify().is_err(),
            "bucket {bucket} at {value}"
        );
    }
}
