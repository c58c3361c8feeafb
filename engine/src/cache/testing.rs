//! Caches in a simulated file system, and what they should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::limits::Limits;
use super::open::open_within;
use super::{CacheSpace, CachedValue, Inner, Opening, ValueCache, files};
use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::store::CACHE;

pub(super) const DIR: &str = "data";
pub(super) const DIRECTORY_ID: [u8; 16] = *b"orrery-directory";
/// Values are at most 4,056 bytes.
pub(super) const FILE_BYTES: u64 = 32 << 10;
pub(super) const MOST_BYTES: u64 = 4 * FILE_BYTES;

pub(super) fn limits() -> Limits {
    Limits::with_files(MOST_BYTES, FILE_BYTES)
}

pub(super) fn opening(fs: Arc<dyn Fs>) -> Opening {
    Opening {
        fs,
        dir: PathBuf::from(DIR),
        directory_id: DIRECTORY_ID,
        secret: [7; 32],
        last_seq: u64::MAX,
        room: Arc::new(|| u64::MAX),
        lock: None,
    }
}

/// A cache whose writers do the upkeep.
pub(super) fn opened(fs: &SimFs) -> ValueCache {
    ValueCache::new(open_within(opening(fs.shared()), limits()).unwrap(), false)
}

pub(super) fn cache_dir() -> PathBuf {
    Path::new(DIR).join(CACHE)
}

pub(super) fn key(n: u64) -> String {
    format!("at://did:plc:{n:a>24}/app.bsky.feed.post/3k{n}")
}

/// A value that no other number has, some of which are compressed.
pub(super) fn value(n: u64, len: usize) -> CachedValue {
    let mut random = SplitMix::new(n);
    let mut bytes = format!("{n}:").into_bytes();
    while bytes.len() < len {
        match n % 3 {
            0 => bytes.extend_from_slice(b"the same over and over "),
            _ => bytes.extend_from_slice(&random.next_u64().to_le_bytes()),
        }
    }
    CachedValue {
        as_of_seq: n,
        checked_us: 1_000 + n,
        bytes,
    }
}

impl ValueCache {
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// What the cache should hold, and held at any time.
#[derive(Debug, Default, Clone)]
pub(super) struct Model {
    pub(super) now: BTreeMap<u64, CachedValue>,
    /// By key, the numbers of values that it had.
    pub(super) ever: BTreeMap<u64, Vec<CachedValue>>,
    /// By key, when it was written last, in bytes appended before.
    pub(super) at: BTreeMap<u64, u64>,
    count: u64,
}

pub(super) const KEYS: u64 = 24;

impl Model {
    /// Does a random thing to both and looks at a random key.
    pub(super) fn step(&mut self, cache: &ValueCache, random: &mut SplitMix) {
        let n = random.next_u64() % KEYS;
        let space = CacheSpace::Record;
        self.count += 1;
        match random.below(10) {
            0 => {
                cache.remove(space, &key(n));
                self.now.remove(&n);
                self.at.remove(&n);
            }
            1 | 2 if self.now.contains_key(&n) => {
                let mut value = self.now[&n].clone();
                value.checked_us += 1_000_000;
                self.put(cache, n, value);
            }
            3 if self.count.is_multiple_of(7) => {
                let long = value(self.count, limits().value_bytes_max + 1);
                assert!(!cache.put(space, &key(n), &long));
                self.now.remove(&n);
                self.at.remove(&n);
            }
            _ => {
                let len = [0, 20, 300, 1_500, 4_000][random.below(5)];
                self.put(cache, n, value(self.count, len));
            }
        }
        self.look(cache, random.next_u64() % KEYS);
    }

    fn put(&mut self, cache: &ValueCache, n: u64, value: CachedValue) {
        let appended = cache.status().appended_bytes;
        if cache.put(CacheSpace::Record, &key(n), &value) {
            self.at.insert(n, appended);
            self.now.insert(n, value.clone());
        } else {
            self.now.remove(&n);
            self.at.remove(&n);
        }
        // Also of one that was not kept: what a failed write left behind may be whole.
        self.ever.entry(n).or_default().push(value);
    }

    /// The value of a key is what it should be, or absent. Gives whether it is there.
    pub(super) fn look(&self, cache: &ValueCache, n: u64) -> bool {
        let found = cache.get(CacheSpace::Record, &key(n));
        assert!(
            found.is_none() || found.as_ref() == self.now.get(&n),
            "key {n}: {found:?} instead of {:?}",
            self.now.get(&n)
        );
        found.is_some()
    }

    pub(super) fn look_at_all(&self, cache: &ValueCache) -> usize {
        (0..KEYS).filter(|n| self.look(cache, *n)).count()
    }

    /// What a crash left: any value that a key ever had, whole; of the keys `synced` that of now.
    pub(super) fn look_after_crash(&self, cache: &ValueCache, synced: &BTreeSet<u64>, what: &str) {
        for n in 0..KEYS {
            let found = cache.get(CacheSpace::Record, &key(n));
            if synced.contains(&n) {
                assert_eq!(found.as_ref(), self.now.get(&n), "{what}: key {n}");
            } else if let Some(found) = found {
                let ever = self.ever.get(&n);
                assert!(
                    ever.is_some_and(|ever| ever.contains(&found)),
                    "{what}: key {n} has {found:?}"
                );
            }
        }
    }
}

/// The keys whose newest entry stands in a closed file, and gives what it should.
pub(super) fn synced(cache: &ValueCache, model: &Model) -> BTreeSet<u64> {
    let inner = cache.inner();
    let list = inner.files.snapshot();
    let is_closed = |n: &u64| {
        let fingerprint = inner.hasher.of(0, key(*n).as_bytes());
        let found = files::find(&list, fingerprint).unwrap();
        found.is_some_and(|(file, _)| file.unclosed().is_none())
            && cache.get(CacheSpace::Record, &key(*n)).as_ref() == model.now.get(n)
    };
    (0..KEYS).filter(is_closed).collect()
}
