//! Power cuts and failing calls: never a value that a key did not have, and nothing is lost that was synced.

use std::collections::BTreeSet;
use std::path::Path;

use super::CacheSpace;
use super::testing::{Model, cache_dir, key, opened, synced, value};
use crate::io::Fs;
use crate::io::fault::{Loss, SimFs, SplitMix};
use crate::{CacheOptions, Options, Store};

#[test]
fn a_power_cut_takes_the_newest_values_and_leaves_what_was_closed() {
    let mut kept = 0;
    for seed in 0..60 {
        let mut random = SplitMix::new(seed);
        let (mut fs, mut model) = (SimFs::new(), Model::default());
        let mut cache = opened(&fs);
        for round in 0..6 {
            for _ in 0..20 + random.below(120) {
                model.step(&cache, &mut random);
            }
            let (durable, what) = (synced(&cache, &model), format!("seed {seed}, {round}"));
            kept += durable.len();
            fs = fs.crash(random.next_u64());
            cache = opened(&fs);
            model.look_after_crash(&cache, &durable, &what);
            // What is there now is what is known of each key from here on.
            for n in 0..super::testing::KEYS {
                match cache.get(CacheSpace::Record, &key(n)) {
                    Some(found) => drop(model.now.insert(n, found)),
                    None => drop(model.now.remove(&n)),
                }
            }
        }
    }
    assert!(kept > 1_000, "{kept}");
}

#[test]
fn every_instant_of_a_roll_over_may_be_the_last() {
    let fs = SimFs::new();
    let (mut random, mut model) = (SplitMix::new(5), Model::default());
    let cache = opened(&fs);
    let mut checked = 0;
    for _ in 0..400 {
        let (before, durable) = (model.clone(), synced(&cache, &model));
        fs.record();
        model.step(&cache, &mut random);
        let images = fs.images();
        if images.len() < 4 {
            continue;
        }
        // A key of this step may have either value.
        let changed = (0..super::testing::KEYS).filter(|n| before.now.get(n) != model.now.get(n));
        let changed: BTreeSet<u64> = changed.collect();
        let durable = durable.difference(&changed).copied().collect();
        let still: BTreeSet<u64> = synced(&cache, &model);
        let durable: BTreeSet<u64> = still.intersection(&durable).copied().collect();
        for image in &images {
            for loss in Loss::ALL {
                let what = format!("call {}, {loss:?}", image.calls);
                model.look_after_crash(&opened(&image.crash(loss)), &durable, &what);
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn a_call_that_fails_switches_the_writing_off_and_never_gives_a_wrong_value() {
    let script = |fs: &SimFs| {
        let (mut random, mut model) = (SplitMix::new(9), Model::default());
        let cache = opened(fs);
        for _ in 0..150 {
            model.step(&cache, &mut random);
        }
        (cache, model)
    };
    let calls = {
        let fs = SimFs::new();
        drop(script(&fs));
        fs.calls()
    };
    let start = {
        let fs = SimFs::new();
        drop(opened(&fs));
        fs.calls()
    };
    let (mut off, mut full) = (0, 0);
    for call in (start..calls).step_by(3) {
        for is_full in [false, true] {
            let fs = SimFs::new();
            if is_full {
                fs.fill_at(call, 100);
            } else {
                fs.fail_call(call);
            }
            let (cache, model) = script(&fs);
            let is_off = cache.status().off.is_some();
            *(if is_full { &mut full } else { &mut off }) += usize::from(is_off);
            model.look_at_all(&cache);
            // Reads go on, and the next start writes again.
            drop(cache);
            fs.set_capacity(None);
            let cache = opened(&fs);
            let what = format!("call {call}, full: {is_full}");
            model.look_after_crash(&cache, &BTreeSet::new(), &what);
            assert!(
                cache.put(CacheSpace::Record, &key(1), &value(1, 10)),
                "{what}"
            );
        }
    }
    assert!(off > 20 && full > 20, "{off} and {full}");
}

#[test]
fn no_start_fails_for_the_cache() {
    let dir = Path::new("data");
    let with = Options {
        cache: Some(CacheOptions::default()),
        compact: false,
        ..Options::default()
    };
    let begun = SimFs::new();
    let store = Store::open_with_fs(begun.shared(), dir, with.clone()).unwrap();
    let put = store.cache().unwrap();
    assert!(put.put(CacheSpace::Handle, "a.example", &value(0, 100)));
    drop((store, put));
    let without = Options {
        cache: None,
        ..with.clone()
    };
    let calls = |fs: &SimFs, options: &Options| {
        let fs = fs.killed();
        drop(Store::open_with_fs(fs.shared(), dir, options.clone()).unwrap());
        fs.calls()
    };
    let bare = begun.killed();
    for file in bare.list(&cache_dir()).unwrap() {
        bare.unlink(&cache_dir().join(file.name)).unwrap();
    }
    let range = calls(&bare, &without)..calls(&begun, &with);
    assert!(range.end - range.start > 5, "{range:?}");
    for call in range {
        let fs = begun.killed();
        fs.fail_call(call);
        let store = Store::open_with_fs(fs.shared(), dir, with.clone()).unwrap();
        // What passes costs nothing.
        let cache = store.cache().unwrap();
        let found = cache.get(CacheSpace::Handle, "a.example");
        assert_eq!(found, Some(value(0, 100)), "call {call}");
    }
}

#[test]
fn what_the_log_has_lost_is_not_known_any_more() {
    let fs = SimFs::new();
    let cache = opened(&fs);
    for n in 0..100 {
        cache.put(CacheSpace::Record, &key(n), &value(n, 500));
    }
    drop(cache);
    assert!(fs.list(&cache_dir()).unwrap().len() > 2, "a file is closed");
    for last_seq in [99, 98, 60, 30, 0] {
        let opening = super::Opening {
            last_seq,
            ..super::testing::opening(fs.shared())
        };
        let inner = super::open::open_within(opening, super::testing::limits()).unwrap();
        let cache = super::ValueCache::new(inner, false);
        let known = |n: u64| cache.get(CacheSpace::Record, &key(n)).is_some();
        assert!((last_seq + 1..100).all(|n| !known(n)), "{last_seq}");
        assert!(known(last_seq), "{last_seq}");
        drop(cache);
        // The next power cut does not bring it back.
        for loss in Loss::ALL {
            fs.record();
            let images = fs.images();
            let image = images.last().unwrap().crash(loss);
            let cache = opened(&image);
            let known = |n: u64| cache.get(CacheSpace::Record, &key(n)).is_some();
            assert!(
                (last_seq + 1..100).all(|n| !known(n)),
                "{last_seq}, {loss:?}"
            );
        }
    }
}

#[test]
fn a_full_disk_costs_what_an_index_cannot_be_made_for_and_not_the_cache() {
    let fs = SimFs::new();
    let cache = opened(&fs);
    for n in 0..200 {
        cache.put(CacheSpace::Record, &key(n), &value(n, 500));
    }
    drop(cache);
    // As a crash leaves it while a full file is closed.
    let index = cache_dir().join("0000000000000002.index");
    fs.unlink(&index).unwrap();
    fs.set_capacity(Some(fs.used()));
    let cache = opened(&fs);
    let known = |n: u64| cache.get(CacheSpace::Record, &key(n)).is_some();
    assert!(known(199) && !known(0));
    assert_eq!(cache.status().off, None);
    assert!(cache.give_way(1) > 0);
}

#[test]
fn what_a_start_removes_does_not_come_back() {
    let fs = SimFs::new();
    let cache = opened(&fs);
    for n in 0..100 {
        cache.put(CacheSpace::Record, &key(n), &value(n, 500));
    }
    drop(cache);
    fs.sync_dir(&cache_dir()).unwrap();
    let left = |fs: &SimFs| {
        let files = fs.list(&cache_dir()).unwrap().into_iter();
        files.map(|file| file.name).collect::<Vec<_>>()
    };
    let emptied = fs.killed();
    let off = CacheOptions { most_bytes: 0 };
    assert!(super::open(super::testing::opening(emptied.shared()), off).is_none());
    // The newest misses its header, so that nothing is known to be newer than the others.
    let torn = fs.killed();
    let newest = left(&torn).pop().unwrap();
    torn.put(&cache_dir().join(&newest), b"torn");
    drop(opened(&torn));
    for fs in [emptied, torn] {
        let now = left(&fs);
        assert!(!now.contains(&newest), "{now:?}");
        for loss in Loss::ALL {
            fs.record();
            let image = fs.images().pop().unwrap();
            assert_eq!(left(&image.crash(loss)), now, "{loss:?}");
        }
    }
}

/// A seq that the log has lost is given again. Who could not cut it off this time must not believe it the next.
#[test]
fn a_cache_that_could_not_be_opened_does_not_tell_later_what_the_log_has_lost() {
    let dir = Path::new("data");
    let with = Options {
        cache: Some(CacheOptions::default()),
        compact: false,
        ..Options::default()
    };
    let without = Options {
        cache: None,
        ..with.clone()
    };
    let open = |fs: &SimFs, options: &Options| {
        Store::open_with_fs(fs.shared(), dir, options.clone()).unwrap()
    };
    let begun = SimFs::new();
    let store = open(&begun, &with);
    assert!(
        store
            .cache()
            .unwrap()
            .put(CacheSpace::Record, "lost", &value(1, 100))
    );
    drop(store);
    for options in [&with, &without] {
        let calls = begun.killed();
        drop(open(&calls, options));
        for call in 0..calls.calls() {
            let fs = begun.killed();
            fs.fail_call(call);
            let Ok(store) = Store::open_with_fs(fs.shared(), dir, options.clone()) else {
                continue;
            };
            let mut writer = store.writer().unwrap();
            let step = crate::power_cut_tests::Step::Write {
                actor: 1,
                key: 1,
                target: 1,
            };
            if crate::power_cut_tests::apply(&mut writer, 1, step).is_err()
                || writer.commit().is_err()
            {
                continue;
            }
            drop((store, writer));
            let cache = open(&fs, &with).cache().unwrap();
            assert_eq!(cache.get(CacheSpace::Record, "lost"), None, "call {call}");
        }
    }
}
