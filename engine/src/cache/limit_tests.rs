//! The bounds: what goes first, what stays, and that the cache gives way to everything else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::limits::Limits;
use super::open::open_within;
use super::testing::{FILE_BYTES, cache_dir, key, limits, opened, opening, value};
use super::{CacheOptions, CacheSpace, CachedValue, ValueCache};
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::{Error, Options, Store};

#[test]
fn what_is_read_stays_and_what_is_not_goes() {
    let cache = opened(&SimFs::new());
    let hot = 0..5;
    for n in 0..2_000 {
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 400)));
        for n in hot.clone().filter(|hot| *hot <= n) {
            assert!(cache.get(CacheSpace::Record, &key(n)).is_some(), "{n}");
        }
    }
    let is_there = |n: &u64| cache.get(CacheSpace::Record, &key(*n)).is_some();
    let there: Vec<u64> = (0..2_000).filter(is_there).collect();
    assert!(there.starts_with(&[0, 1, 2, 3, 4]), "{there:?}");
    assert!(there[5] > 1_700, "{there:?}");
    // What moved, with its place, was read once more: it goes when it is not read again.
    let status = cache.status();
    assert!(status.moved_bytes > 0 && 4 * status.moved_bytes <= status.appended_bytes);
    assert!(status.bytes <= status.most_bytes);
}

#[test]
fn a_value_with_new_stamps_moves_with_them() {
    let cache = opened(&SimFs::new());
    let mut hot = value(0, 3_000);
    for n in 1..1_000 {
        if n % 30 == 1 {
            hot.as_of_seq = n;
            assert!(cache.put(CacheSpace::Record, &key(0), &hot));
        }
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 400)));
        let found = cache.get(CacheSpace::Record, &key(0));
        assert_eq!(found.as_ref(), Some(&hot), "{n}");
    }
    assert!(cache.status().refreshed > 20);
}

#[test]
fn keys_are_few_to_a_file_and_files_are_few() {
    let limits = Limits {
        entries_max: 10,
        files_max: 5,
        ..limits()
    };
    let fs = SimFs::new();
    let cache = ValueCache::new(open_within(opening(fs.shared()), limits).unwrap(), false);
    for n in 0..200 {
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 10)));
        assert!(cache.status().files <= 5);
    }
    let is_there = |n: &u64| cache.get(CacheSpace::Record, &key(*n)).is_some();
    assert_eq!((0..200).filter(is_there).count(), 50);
}

#[test]
fn a_bound_that_was_lowered_holds_after_the_start() {
    let fs = SimFs::new();
    let cache = opened(&fs);
    for n in 0..500 {
        cache.put(CacheSpace::Record, &key(n), &value(n, 400));
    }
    drop(cache);
    let limits = Limits::with_files(2 * FILE_BYTES, FILE_BYTES);
    let cache = ValueCache::new(open_within(opening(fs.shared()), limits).unwrap(), false);
    assert!(fs.used() <= 2 * FILE_BYTES, "{}", fs.used());
    assert!(cache.get(CacheSpace::Record, &key(499)).is_some());
}

#[test]
fn without_room_on_disk_nothing_is_kept_and_nothing_is_left() {
    let fs = SimFs::new();
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let asked = Arc::clone(&room);
    let opening = super::Opening {
        room: Arc::new(move || asked.load(Ordering::Relaxed)),
        ..opening(fs.shared())
    };
    let limits = Limits {
        pause: Duration::ZERO,
        ..limits()
    };
    let cache = ValueCache::new(open_within(opening, limits).unwrap(), false);
    for n in 0..100 {
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 400)));
    }
    room.store(0, Ordering::Relaxed);
    let refused = (0..100).find(|n| !cache.put(CacheSpace::Record, &key(*n), &value(500 + n, 400)));
    // What was granted before is used up first.
    assert!(refused.is_some_and(|n| n < 10), "{refused:?}");
    assert_eq!(fs.used(), 0);
    assert!((0..100).all(|n| cache.get(CacheSpace::Record, &key(n)).is_none()));
    room.store(u64::MAX, Ordering::Relaxed);
    assert!(cache.put(CacheSpace::Record, &key(1), &value(1, 400)));
    assert!(cache.get(CacheSpace::Record, &key(1)).is_some());
    assert_eq!(cache.status().off, None);
}

#[test]
fn what_gives_way_is_the_oldest_and_the_cache_goes_on() {
    let fs = SimFs::new();
    let cache = opened(&fs);
    for n in 0..240 {
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 400)));
    }
    let before = fs.used();
    let gave = cache.give_way(1);
    assert!(gave > 0 && fs.used() == before - gave, "{gave}");
    assert!(cache.get(CacheSpace::Record, &key(239)).is_some());
    cache.give_way(u64::MAX);
    assert_eq!((fs.used(), cache.bytes()), (0, 0));
    for n in 0..100 {
        assert!(cache.put(CacheSpace::Record, &key(n), &value(n, 400)));
        assert!(cache.get(CacheSpace::Record, &key(n)).is_some());
    }
}

/// Whatever holds a file open keeps its bytes on disk, whether it has a name or not.
#[test]
fn a_file_that_gave_way_is_held_open_by_nobody() {
    let cache = opened(&SimFs::new());
    assert!(cache.put(CacheSpace::Record, &key(1), &value(1, 400)));
    let newest = cache.inner().files.snapshot().first().map(Arc::downgrade);
    assert!(cache.give_way(1) > 0);
    assert!(newest.unwrap().upgrade().is_none());
    assert!(cache.put(CacheSpace::Record, &key(2), &value(2, 400)));
    assert_eq!(cache.get(CacheSpace::Record, &key(1)), None);
    assert_eq!(cache.get(CacheSpace::Record, &key(2)), Some(value(2, 400)));
}

/// A store with a cache that takes `most_bytes`, filled.
fn filled(fs: &SimFs, options: Options, most_bytes: u64) -> Store {
    let options = Options {
        compact: false,
        commit_bytes: 32 << 10,
        cache: Some(CacheOptions { most_bytes }),
        ..options
    };
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), options).unwrap();
    let cache = store.cache().unwrap();
    for n in 0..most_bytes / 50_000 {
        assert!(cache.put(CacheSpace::Proof, &key(n), &random_value(n)));
    }
    // The upkeep may be about to remove a file.
    assert!(cache.bytes() > most_bytes / 2, "{}", cache.bytes());
    store
}

/// As of before the first event.
fn random_value(n: u64) -> CachedValue {
    CachedValue {
        as_of_seq: 0,
        ..value(3 * n + 1, 50_000)
    }
}

#[test]
fn the_cache_counts_for_the_limit_of_the_directory_and_gives_way_to_events() {
    let fs = SimFs::new();
    let options = Options {
        disk_limit: Some(8 << 20),
        ..Options::default()
    };
    let store = filled(&fs, options, 6 << 20);
    let mut writer = store.writer().unwrap();
    for n in 0..3_000_u64 {
        crate::power_cut_tests::apply(
            &mut writer,
            n + 1,
            crate::power_cut_tests::Step::Write {
                actor: n % 4,
                key: n,
                target: n % 3,
            },
        )
        .unwrap();
        if n % 100 == 0 {
            writer.commit().unwrap();
        }
        let cache = store.cache().unwrap();
        cache.put(CacheSpace::Proof, &key(n), &random_value(n));
        assert!(fs.used() <= 8 << 20, "{} at {n}", fs.used());
        assert_eq!(store.status().paused, None, "{n}");
    }
    let status = store.status();
    assert!(status.bytes.iter().any(|(kind, _)| *kind == "cache"));
}

#[test]
fn a_cache_that_was_not_asked_for_gives_way_to_events_too() {
    let fs = SimFs::new();
    drop(filled(&fs, Options::default(), 6 << 20));
    let options = Options {
        disk_limit: Some(20 << 20),
        compact: false,
        cache: None,
        ..Options::default()
    };
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), options).unwrap();
    assert!(store.cache().is_none());
    let before = fs.used();
    let mut writer = store.writer().unwrap();
    let step = crate::power_cut_tests::Step::Write {
        actor: 1,
        key: 1,
        target: 1,
    };
    crate::power_cut_tests::apply(&mut writer, 1, step).unwrap();
    assert_eq!(store.status().paused, None);
    assert!(fs.used() < before, "{} of {before}", fs.used());
}

#[test]
fn a_full_file_system_takes_the_cache_before_anything_pauses() {
    let fs = SimFs::new();
    let options = Options {
        disk_reserve: 1 << 20,
        ..Options::default()
    };
    let store = filled(&fs, options, 6 << 20);
    let mut writer = store.writer().unwrap();
    // Others fill the disk.
    fs.set_capacity(Some(fs.used() + (1 << 20)));
    let step = crate::power_cut_tests::Step::Write {
        actor: 1,
        key: 1,
        target: 1,
    };
    crate::power_cut_tests::apply(&mut writer, 1, step).unwrap();
    assert_eq!(store.status().paused, None);
    let cache = store.cache().unwrap();
    // A value that waited when room was made is written behind that.
    assert!(cache.bytes() < 11 << 19, "{}", cache.bytes());
    assert_eq!(cache.status().off, None);
}

#[test]
fn a_cache_too_small_is_refused_and_the_directory_stays_locked_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let options = |most_bytes| Options {
        cache: Some(CacheOptions { most_bytes }),
        ..Options::default()
    };
    let refused = Store::open(dir.path(), options(1 << 20)).err().unwrap();
    assert!(refused.to_string().contains("4.0 MiB"), "{refused}");
    let store = Store::open(dir.path(), options(4 << 20)).unwrap();
    let cache = store.cache().unwrap();
    assert!(cache.put(CacheSpace::Handle, "a.example", &value(0, 30)));
    drop(store);
    let locked = Store::open(dir.path(), options(4 << 20)).err().unwrap();
    assert!(matches!(locked, Error::Locked { .. }), "{locked}");
    drop(cache);
    // Neither a store without one nor offline reading touches it.
    drop(Store::open(dir.path(), Options::default()).unwrap());
    let store = Store::open(dir.path(), options(4 << 20)).unwrap();
    let cache = store.cache().unwrap();
    let found = cache.get(CacheSpace::Handle, "a.example");
    assert_eq!(found, Some(value(0, 30)));
    assert!(dir.path().join(cache_dir().file_name().unwrap()).is_dir());
    drop((store, cache));
    assert!(
        Store::open(dir.path(), options(0))
            .unwrap()
            .cache()
            .is_none()
    );
    let left = crate::io::OsFs.list(&dir.path().join("cache")).unwrap();
    assert_eq!(left, []);
}
