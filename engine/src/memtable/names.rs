//! Strings of a memtable by small ids: each kept once, found by readers and the writer alike.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::concurrent::{Chunked, HashIndex};

/// Distinct strings in order of arrival.
pub(crate) struct Names {
    strings: Chunked<OnceLock<Box<str>>>,
    len: AtomicU32,
    bytes: AtomicU64,
    index: HashIndex,
    seed: u64,
}

impl Names {
    /// No strings yet, with room for about `expected` before the index grows.
    pub(crate) fn new(expected: u32, seed: u64) -> Self {
        Self {
            seed,
            strings: Chunked::default(),
            len: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            index: HashIndex::with_expected(expected),
        }
    }

    fn hash(&self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.seed)
    }

    /// The id of `name`, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.index.find(self.hash(name), |id| self.get(id) == name)
    }

    /// The id of `name`, given now if it has none. Writer only.
    pub(crate) fn intern(&self, name: &str) -> u32 {
        let hash = self.hash(name);
        if let Some(id) = self.index.find(hash, |id| self.get(id) == name) {
            return id;
        }
        let id = self.push(name);
        self.index.insert(hash, id);
        id
    }

    /// The id of `name`, whose hash is `hash`, if it was added with that hash.
    pub(crate) fn find_hashed(&self, hash: u64, name: &str) -> Option<u32> {
        self.index.find(hash, |id| self.get(id) == name)
    }

    /// Adds `name` under `hash`, by which it is not there yet. Writer only.
    pub(crate) fn push_hashed(&self, hash: u64, name: &str) -> u32 {
        let id = self.push(name);
        self.index.insert(hash, id);
        id
    }

    fn push(&self, name: &str) -> u32 {
        let id = self.len.load(Ordering::Relaxed);
        self.strings.at(id).get_or_init(|| name.into());
        self.bytes.fetch_add(name.len() as u64, Ordering::Relaxed);
        self.len.store(id + 1, Ordering::Release);
        id
    }

    /// The string of `id`, empty if no string has it.
    pub(crate) fn get(&self, id: u32) -> &str {
        self.strings.at(id).get().map_or("", |name| name)
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Bytes of all strings together.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.strings.heap_bytes()
            + self.index.heap_bytes()
            + self.bytes.load(Ordering::Relaxed) as usize
    }
}
