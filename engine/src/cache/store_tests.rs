//! The cache in a data directory, and the tools that look at one.

use std::path::Path;

use super::testing::{cache_dir, key, value};
use super::{CacheOptions, CacheSpace};
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::offline::verify::verify_with_fs;
use crate::offline::{Directory, RepairOptions, backup_with_fs, repair_with_fs, restore_with_fs};
use crate::power_cut_tests::{Step, apply};
use crate::{Options, Store};

const DATA: &str = "data";

fn options() -> Options {
    Options {
        cache: Some(CacheOptions {
            most_bytes: CacheOptions::LEAST,
        }),
        compact: false,
        ..Options::default()
    }
}

/// A directory with an event, and a cache of one closed file and one that is not.
fn directory() -> SimFs {
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap();
    let mut writer = store.writer().unwrap();
    let step = Step::Write {
        actor: 1,
        key: 1,
        target: 1,
    };
    apply(&mut writer, 1, step).unwrap();
    writer.seal().unwrap();
    let cache = store.cache().unwrap();
    for n in 0..30 {
        let mut value = value(3 * n + 1, 50_000);
        value.as_of_seq = 1;
        assert!(cache.put(CacheSpace::Proof, &key(n), &value));
    }
    drop((store, writer, cache));
    // What the upkeep was not done with is done at a start.
    let store = Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap();
    let cache = store.cache().unwrap();
    assert!((0..30).all(|n| cache.get(CacheSpace::Proof, &key(n)).is_some()));
    drop((store, cache));
    let names = fs.list(&cache_dir()).unwrap();
    let names: Vec<&str> = names.iter().map(|file| &*file.name).collect();
    let expected = [
        "0000000000000001.index",
        "0000000000000001.values",
        "0000000000000002.values",
    ];
    assert_eq!(names, expected);
    fs
}

fn verified(fs: &SimFs, quick: bool) -> (Vec<String>, Vec<String>) {
    let mut damages = Vec::new();
    let report = verify_with_fs(&fs.shared(), Path::new(DATA), quick, &mut |damage| {
        damages.push(damage.to_string());
    });
    (damages, report.unwrap().notes)
}

#[test]
fn verify_finds_every_change_and_no_start_fails_for_it() {
    let sound = directory();
    assert_eq!(verified(&sound, false), (Vec::new(), Vec::new()));
    for file in sound.list(&cache_dir()).unwrap() {
        let path = cache_dir().join(&file.name);
        let bytes = sound.contents(&path).unwrap();
        let step = bytes.len() / 12 + 1;
        let places = (0..bytes.len())
            .step_by(step)
            .chain([8, 41, bytes.len() - 1]);
        for (n, at) in places.enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            let fs = sound.killed();
            fs.put(&path, &damaged);
            let (damages, notes) = verified(&fs, n % 2 == 0);
            let told = if file.name.starts_with("0000000000000002") && at >= 48 {
                notes
            } else {
                damages
            };
            let what = format!("{}, byte {at}", file.name);
            assert_eq!(told.len(), 1, "{what}: {told:?}");
            assert!(
                told[0].starts_with(&format!("cache/{}", file.name)),
                "{told:?}"
            );
            drop(Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap());
            // Values that are closed are not read before they are asked for.
            if file.name != "0000000000000001.values" {
                assert_eq!(verified(&fs, false), (Vec::new(), Vec::new()), "{what}");
            }
        }
    }
}

#[test]
fn what_a_power_cut_leaves_of_a_new_file_is_no_damage() {
    let sound = directory();
    for left in [&b""[..], &[0; 30], &[0; 48], &[0; 4096]] {
        let fs = sound.killed();
        fs.put(&cache_dir().join("0000000000000003.values"), left);
        let (damages, notes) = verified(&fs, false);
        assert_eq!(damages, Vec::<String>::new(), "{} bytes", left.len());
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}

#[test]
fn an_index_of_other_values_is_damage() {
    let fs = directory();
    let values = cache_dir().join("0000000000000001.values");
    let index = orrery_formats::cache::index::CacheIndex::open(
        String::new(),
        fs.contents(&cache_dir().join("0000000000000001.index"))
            .unwrap(),
    );
    let index = index.unwrap();
    let places = index.entries().map(|entry| entry.unwrap().place);
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(|place| place.unit);
    let last = places.last().unwrap();
    // Without its last entry.
    let mut bytes = fs.contents(&values).unwrap();
    bytes.truncate(last.offset() as usize);
    fs.put(&values, &bytes);
    let (damages, _) = verified(&fs, false);
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(
        damages[0].contains("length and last checksum"),
        "{damages:?}"
    );
}

#[test]
fn backups_leave_it_out_and_a_restored_directory_begins_without_one() {
    let fs = directory();
    let (data, to) = (Path::new(DATA), Path::new("backup"));
    backup_with_fs(&fs.shared(), data, to, false).unwrap();
    assert!(
        fs.paths()
            .iter()
            .all(|path| !path.starts_with("backup/cache"))
    );
    let sizes = Directory::open_with_fs(fs.shared(), data).unwrap().sizes();
    assert!(sizes.cache > 1_500_000, "{}", sizes.cache);
    fs.create_dir_all(Path::new("new/cache")).unwrap();
    fs.put(
        Path::new("new/cache/0000000000000001.values"),
        b"of another",
    );
    let refused = restore_with_fs(&fs.shared(), to, Path::new("new")).unwrap_err();
    assert!(refused.to_string().contains("is not empty"), "{refused}");
    restore_with_fs(&fs.shared(), to, Path::new("other")).unwrap();
    let store = Store::open_with_fs(fs.shared(), Path::new("other"), options()).unwrap();
    assert_eq!(store.cache().unwrap().status().files, 0);
}

#[test]
fn a_repair_removes_what_is_damaged_and_the_next_start_what_it_would_have_told_of() {
    let fs = directory();
    for name in ["0000000000000001.index", "0000000000000001.values"] {
        let path = cache_dir().join(name);
        let mut bytes = fs.contents(&path).unwrap();
        bytes[100] ^= 1;
        fs.put(&path, &bytes);
        let report =
            repair_with_fs(&fs.shared(), Path::new(DATA), &RepairOptions::default()).unwrap();
        assert_eq!(report.derived, [format!("cache/{name}")]);
        let store = Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap();
        let cache = store.cache().unwrap();
        assert!(cache.get(CacheSpace::Proof, &key(29)).is_some());
        let is_there = cache.get(CacheSpace::Proof, &key(0)).is_some();
        assert_eq!(is_there, name.ends_with("index"));
    }
}

#[test]
fn a_read_error_in_an_index_of_the_cache_costs_the_index() {
    let fs = directory();
    let marker = b"orrery fault 1\ncache/0000000000000001.index\n10\n";
    for call in 0..200 {
        let fs = fs.killed();
        fs.put(&Path::new(DATA).join("FAULT"), marker);
        let before = fs.calls();
        fs.fail_call(before + call);
        // Whatever fails, the next start goes on.
        drop(Store::open_with_fs(fs.shared(), Path::new(DATA), options()));
        fs.fail_call(u64::MAX);
        let store = Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap();
        assert_eq!(store.status().segments, 1);
        assert!(store.status().degraded.is_empty());
        let cache = store.cache().unwrap();
        assert!(cache.get(CacheSpace::Proof, &key(0)).is_some(), "{call}");
    }
    // In a directory that has none, too.
    let fs = SimFs::new();
    let without = Options::default();
    drop(Store::open_with_fs(fs.shared(), Path::new(DATA), without.clone()).unwrap());
    fs.put(&Path::new(DATA).join("FAULT"), marker);
    drop(Store::open_with_fs(fs.shared(), Path::new(DATA), without).unwrap());
}

#[test]
fn a_store_without_the_cache_cuts_off_what_the_log_has_lost() {
    let fs = directory();
    let open = |options| Store::open_with_fs(fs.shared(), Path::new(DATA), options).unwrap();
    let store = open(options());
    let mut lost = value(7, 100);
    lost.as_of_seq = 2;
    assert!(
        store
            .cache()
            .unwrap()
            .put(CacheSpace::Record, "lost", &lost)
    );
    drop(store);
    let store = open(Options {
        cache: None,
        ..options()
    });
    let mut writer = store.writer().unwrap();
    let step = Step::Write {
        actor: 2,
        key: 2,
        target: 2,
    };
    apply(&mut writer, 2, step).unwrap();
    writer.commit().unwrap();
    assert!(store.status().durable_seq >= 2);
    drop((store, writer));
    let cache = open(options()).cache().unwrap();
    assert_eq!(cache.get(CacheSpace::Record, "lost"), None);
    assert!(cache.get(CacheSpace::Proof, &key(29)).is_some());
}
