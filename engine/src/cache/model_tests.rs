//! Random puts, refreshes, removals and starts, against a map.

use std::sync::atomic::{AtomicBool, Ordering};

use super::limits::Limits;
use super::open::open_within;
use super::testing::{Model, cache_dir, key, limits, opened, opening, value};
use super::{CacheSpace, CachedValue, ValueCache};
use crate::io::fault::{SimFs, SplitMix};
use crate::io::fs::OsFs;

#[test]
fn whatever_is_done_a_key_has_its_last_value_or_none() {
    let mut kept = [0; 2];
    for seed in 0..40 {
        let mut random = SplitMix::new(seed);
        // More than the bound is a failed write, at whatever instant.
        let fs = SimFs::new();
        fs.set_capacity(Some(limits().most_bytes));
        let (mut fs, mut cache, mut model) = (fs.clone(), opened(&fs), Model::default());
        for _ in 0..600 {
            model.step(&cache, &mut random);
            match random.below(100) {
                0 => {
                    drop(cache);
                    cache = opened(&fs);
                    model.at.clear();
                }
                1 => {
                    fs = fs.killed();
                    fs.set_capacity(Some(limits().most_bytes));
                    cache = opened(&fs);
                    model.at.clear();
                }
                _ => {}
            }
            assert_eq!(cache.status().off, None, "seed {seed}");
        }
        // What was written lately is there.
        let status = cache.status();
        for (n, at) in &model.at {
            if status.appended_bytes - at < limits().file_bytes {
                assert!(model.look(&cache, *n), "seed {seed}: key {n}");
            }
        }
        kept[0] += model.look_at_all(&cache);
        kept[1] += model.now.len();
        assert!(
            4 * status.moved_bytes <= status.appended_bytes,
            "seed {seed}: {status:?}"
        );
    }
    assert!(kept[0] * 3 > kept[1] * 2, "{kept:?} are there");
}

#[test]
fn a_start_finds_everything_that_was_there() {
    let fs = SimFs::new();
    let (mut random, mut model) = (SplitMix::new(3), Model::default());
    let mut cache = opened(&fs);
    for _ in 0..20 {
        for _ in 0..40 {
            model.step(&cache, &mut random);
        }
        let all = |cache: &ValueCache| {
            let keys = (0..super::testing::KEYS).map(key);
            keys.map(|key| cache.get(CacheSpace::Record, &key))
                .collect::<Vec<_>>()
        };
        let before = all(&cache);
        drop(cache);
        cache = opened(&fs);
        assert_eq!(all(&cache), before);
    }
}

#[test]
fn keys_that_share_a_fingerprint_never_get_each_others_value() {
    for seed in 0..20 {
        let fs = SimFs::new();
        let mut inner = open_within(opening(fs.shared()), limits()).unwrap();
        inner.hasher.mask = 7;
        let cache = ValueCache::new(inner, false);
        let (mut random, mut model) = (SplitMix::new(seed), Model::default());
        for _ in 0..500 {
            model.step(&cache, &mut random);
        }
        assert!(model.look_at_all(&cache) > 0);
    }
}

#[test]
fn spaces_are_apart_and_keys_that_are_none_have_no_value() {
    let cache = opened(&SimFs::new());
    let spaces = [
        CacheSpace::Record,
        CacheSpace::Proof,
        CacheSpace::Handle,
        CacheSpace::Document,
    ];
    for (n, space) in (1..).zip(spaces) {
        assert!(cache.put(space, "key", &value(n, 50)));
    }
    cache.remove(CacheSpace::Proof, "key");
    let found = spaces.map(|space| cache.get(space, "key").map(|found| found.as_of_seq));
    assert_eq!(found, [Some(1), None, Some(3), Some(4)]);
    for key in ["", &"k".repeat(4_097)] {
        assert!(!cache.put(CacheSpace::Handle, key, &value(1, 1)));
        cache.remove(CacheSpace::Handle, key);
        assert_eq!(cache.get(CacheSpace::Handle, key), None);
    }
    assert!(cache.put(CacheSpace::Handle, &"k".repeat(4_096), &value(1, 1)));
}

#[test]
fn the_same_value_again_costs_little_and_with_the_same_stamps_nothing() {
    let cache = opened(&SimFs::new());
    let put = |value: &CachedValue| {
        let before = cache.status().appended_bytes;
        assert!(cache.put(CacheSpace::Record, "key", value));
        cache.status().appended_bytes - before
    };
    let mut value = value(1, 4_000);
    assert!(put(&value) > 4_000);
    for n in 2..20 {
        assert_eq!(put(&value), 0);
        value.as_of_seq = n;
        assert!(put(&value) < 80);
        assert_eq!(cache.get(CacheSpace::Record, "key").as_ref(), Some(&value));
    }
    let status = cache.status();
    assert_eq!((status.written, status.refreshed), (1, 18));
}

#[test]
fn readers_see_versions_rise_while_files_come_and_go() {
    const WRITERS: u64 = 2;
    const READERS: usize = 3;
    let dir = tempfile::tempdir().unwrap();
    let mut opening = opening(OsFs::shared());
    opening.dir = dir.path().to_owned();
    let limits = Limits::with_files(1 << 20, 64 << 10);
    let cache = ValueCache::new(open_within(opening, limits).unwrap(), true);
    let is_over = AtomicBool::new(false);
    let of = |n: u64, version: u64| CachedValue {
        as_of_seq: version,
        ..value(
            3 * (version * 32 + n) + 1,
            300 + 10 * (version % 40) as usize,
        )
    };
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut seen = [0; 32];
                let mut hits = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    for (n, seen) in (0..).zip(&mut seen) {
                        let Some(found) = cache.get(CacheSpace::Record, &key(n)) else {
                            continue;
                        };
                        assert_eq!(found, of(n, found.as_of_seq));
                        assert!(
                            found.as_of_seq >= *seen,
                            "{} behind {seen}",
                            found.as_of_seq
                        );
                        *seen = found.as_of_seq;
                        hits += 1;
                    }
                }
                assert!(hits > 0);
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (cache, of) = (&cache, &of);
                scope.spawn(move || {
                    for version in 1..4_000 {
                        let n = version * WRITERS % 32 + writer;
                        if version % 50 == 0 {
                            cache.remove(CacheSpace::Record, &key(n));
                        } else {
                            assert!(cache.put(CacheSpace::Record, &key(n), &of(n, version)));
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let status = cache.status();
    assert_eq!((status.off, status.damaged), (None, 0));
    assert!(status.evicted_files > 3, "{}", status.evicted_files);
    drop(cache);
    let left = std::fs::read_dir(dir.path().join(cache_dir().file_name().unwrap())).unwrap();
    let bytes: u64 = left
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 1 << 20, "{bytes}");
}
