//! The sources of a memtable's links, by small ids: each a collection and a path.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Memtable, Names, hash_pair};

#[derive(Default)]
pub(super) struct SourceCell {
    collection: AtomicU32,
    path: AtomicU32,
}

impl Memtable {
    /// The collection and path of a source.
    pub(crate) fn source(&self, source: u32) -> (&str, &str) {
        let cell = self.sources.at(source);
        (
            self.collections
                .get(cell.collection.load(Ordering::Relaxed)),
            self.paths.get(cell.path.load(Ordering::Relaxed)),
        )
    }

    /// The ids of a source's collection and path.
    pub(crate) fn source_ids(&self, source: u32) -> (u32, u32) {
        let cell = self.sources.at(source);
        (
            cell.collection.load(Ordering::Relaxed),
            cell.path.load(Ordering::Relaxed),
        )
    }

    /// The paths, for ranking them at a seal.
    pub(crate) fn paths(&self) -> &Names {
        &self.paths
    }

    pub(crate) fn find_source(&self, collection: &str, path: &str) -> Option<u32> {
        let collection = self.collections.find(collection)?;
        self.find_source_ids(collection, self.paths.find(path)?)
    }

    fn find_source_ids(&self, collection: u32, path: u32) -> Option<u32> {
        self.source_index
            .find(hash_pair(collection, path), |source| {
                let cell = self.sources.at(source);
                cell.collection.load(Ordering::Relaxed) == collection
                    && cell.path.load(Ordering::Relaxed) == path
            })
    }
}

// Writing: one thread only.
impl Memtable {
    /// The id of the source, given now if it has none.
    pub(crate) fn intern_source(&self, collection: u32, path: &str) -> u32 {
        let path = self.paths.intern(path);
        if let Some(source) = self.find_source_ids(collection, path) {
            return source;
        }
        let source = self.source_count.load(Ordering::Relaxed);
        let cell = self.sources.at(source);
        cell.collection.store(collection, Ordering::Relaxed);
        cell.path.store(path, Ordering::Relaxed);
        self.source_index
            .insert(hash_pair(collection, path), source);
        self.source_count.store(source + 1, Ordering::Release);
        source
    }
}
