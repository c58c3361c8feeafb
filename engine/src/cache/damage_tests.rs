//! Changed bytes, cut files, files of others: never a wrong value.

use super::open::{open, open_within};
use super::testing::{cache_dir, key, limits, opened, opening, value};
use super::{CacheOptions, CacheSpace, CachedValue, ValueCache};
use crate::io::Fs;
use crate::io::fault::SimFs;

const KEYS: u64 = 6;

/// A closed file with the first values of all keys, one with the second ones and without the key 5, and one that is
/// not closed, with a third value of key 0 and new stamps of key 1.
fn filled() -> SimFs {
    let fs = SimFs::new();
    let cache = opened(&fs);
    let close = |cache: &ValueCache| {
        let inner = cache.inner();
        let newest = inner.files.snapshot()[0].clone();
        newest.change(|open| open.is_full = true);
        inner.keep_up();
        *inner.appender.lock() = super::Appender::new(None, newest.number + 1);
    };
    for version in 1..3 {
        for n in 0..KEYS {
            cache.put(CacheSpace::Record, &key(n), &of(n, version));
        }
        if version == 2 {
            cache.remove(CacheSpace::Record, &key(5));
        }
        close(&cache);
    }
    cache.put(CacheSpace::Record, &key(0), &of(0, 3));
    let mut again = of(1, 2);
    again.checked_us += 5;
    cache.put(CacheSpace::Record, &key(1), &again);
    drop(cache);
    assert_eq!(fs.list(&cache_dir()).unwrap().len(), 5);
    fs
}

fn of(n: u64, version: u64) -> CachedValue {
    value(n + 10 * version, 40 + 60 * (n % 2) as usize)
}

/// Whether the cache holds of each key the newest value or none; where `is_torn`, an older one.
fn holds_nothing_wrong(cache: &ValueCache, is_torn: bool, what: &str) -> usize {
    let mut found = 0;
    for n in 0..KEYS {
        let Some(value) = cache.get(CacheSpace::Record, &key(n)) else {
            continue;
        };
        let mut newest = match n {
            0 => of(0, 3),
            n => of(n, 2),
        };
        newest.checked_us += 5 * u64::from(n == 1);
        let is_newest = value == newest && n != 5;
        let is_old = is_torn && n < 2 && value == of(n, 2);
        assert!(is_newest || is_old, "{what}: key {n} has {value:?}");
        found += 1;
    }
    found
}

#[test]
fn a_change_of_any_byte_never_gives_a_wrong_value() {
    let sound = filled();
    assert_eq!(
        holds_nothing_wrong(&opened(&sound.killed()), false, "sound"),
        5
    );
    for file in sound.list(&cache_dir()).unwrap() {
        let path = cache_dir().join(&file.name);
        let bytes = sound.contents(&path).unwrap();
        // The one that is not closed is cut where it is damaged, as by a power cut.
        let is_torn = file.name == "0000000000000003.values";
        for at in 0..bytes.len() {
            let what = format!("{}, byte {at}", file.name);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let fs = sound.killed();
            fs.put(&path, &damaged);
            holds_nothing_wrong(&opened(&fs), is_torn, &what);
            let fs = sound.killed();
            fs.put(&path, &bytes[..at]);
            holds_nothing_wrong(&opened(&fs), is_torn, &what);
        }
    }
}

#[test]
fn damage_while_it_runs_is_counted_and_a_new_value_takes_its_place() {
    let fs = filled();
    let cache = opened(&fs);
    let values = cache_dir().join("0000000000000002.values");
    let len = fs.contents(&values).unwrap().len();
    let file = fs.open_rw(&values).unwrap();
    file.write_at(48, &vec![0xa5; len - 48]).unwrap();
    assert_eq!(cache.get(CacheSpace::Record, &key(3)), None);
    assert_eq!(cache.status().damaged, 1);
    assert!(cache.put(CacheSpace::Record, &key(3), &of(3, 4)));
    assert_eq!(cache.get(CacheSpace::Record, &key(3)), Some(of(3, 4)));
}

#[test]
fn a_file_that_is_missing_takes_the_older_ones_with_it() {
    for name in ["0000000000000002.values", "0000000000000002.index"] {
        let fs = filled();
        fs.shared().unlink(&cache_dir().join(name)).unwrap();
        let cache = opened(&fs);
        let found = holds_nothing_wrong(&cache, false, name);
        assert_eq!(found, if name.ends_with("values") { 1 } else { 5 });
    }
}

#[test]
fn files_of_another_directory_are_removed_and_what_is_left_over_too() {
    let fs = filled();
    fs.put(&cache_dir().join("0000000000000003.index.tmp"), b"half");
    fs.put(&cache_dir().join("notes.txt"), b"of somebody");
    let other = super::Opening {
        directory_id: [1; 16],
        ..opening(fs.shared())
    };
    let cache = ValueCache::new(open_within(other, limits()).unwrap(), false);
    assert_eq!(cache.status().files, 0);
    let left = fs.list(&cache_dir()).unwrap();
    let left: Vec<&str> = left.iter().map(|file| &*file.name).collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_newer_format_is_left_alone() {
    let newer = |bytes: &mut Vec<u8>| {
        bytes[8] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..40]).to_le_bytes();
        bytes[40..48].copy_from_slice(&checksum);
    };
    let fs = filled();
    let path = cache_dir().join("0000000000000002.values");
    let mut bytes = fs.contents(&path).unwrap();
    newer(&mut bytes);
    fs.put(&path, &bytes);
    fs.put(&cache_dir().join("0000000000000001.index.tmp"), b"half");
    let before = fs.paths();
    assert!(open(opening(fs.shared()), CacheOptions::default()).is_none());
    assert_eq!(fs.paths(), before);
}

#[test]
fn a_cache_of_no_bytes_is_removed_and_one_that_is_not_opened_is_not() {
    let fs = filled();
    fs.put(&cache_dir().join("notes.txt"), b"of somebody");
    assert!(open(opening(fs.shared()), CacheOptions { most_bytes: 0 }).is_none());
    let left = fs.list(&cache_dir()).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    // Where none ever was there is nothing to remove.
    let fs = SimFs::new();
    assert!(open(opening(fs.shared()), CacheOptions { most_bytes: 0 }).is_none());
    assert!(fs.paths().is_empty());
}
