//! How the cache is doing.

use std::sync::atomic::{AtomicU64, Ordering};

use orrery_formats::cache::Content;

/// What the cache holds, and has done since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStatus {
    /// The most bytes that it takes on disk.
    pub most_bytes: u64,
    /// Bytes on disk, with room for the index of the file being written.
    pub bytes: u64,
    /// Files of values.
    pub files: usize,
    /// Values that were asked for and there.
    pub hits: u64,
    /// Values that were asked for and not there.
    pub misses: u64,
    /// Values that were written.
    pub written: u64,
    /// Values that were there already and got new stamps.
    pub refreshed: u64,
    /// Keys whose value was to be taken away.
    pub removed: u64,
    /// Values that were not kept: too long, no room, or nothing is written any more.
    pub refused: u64,
    /// Bytes of entries appended, of moved ones too.
    pub appended_bytes: u64,
    /// Bytes of entries that moved out of the oldest file before it went, since they had been read.
    pub moved_bytes: u64,
    /// Files that went.
    pub evicted_files: u64,
    /// Reads that met damage.
    pub damaged: u64,
    /// Why nothing is written any more, where a write has failed.
    pub off: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    written: AtomicU64,
    refreshed: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) appended_bytes: AtomicU64,
    pub(super) moved_bytes: AtomicU64,
    pub(super) evicted_files: AtomicU64,
    pub(super) damaged: AtomicU64,
}

impl Counts {
    pub(super) fn asked(&self, is_hit: bool) {
        let count = if is_hit { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn put(&self, is_kept: bool, content: &Content<'_>) {
        let count = match content {
            _ if !is_kept => &self.refused,
            Content::Refreshed(_) => &self.refreshed,
            _ => &self.written,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self, of: CacheStatus) -> CacheStatus {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStatus {
            hits: count(&self.hits),
            misses: count(&self.misses),
            written: count(&self.written),
            refreshed: count(&self.refreshed),
            removed: count(&self.removed),
            refused: count(&self.refused),
            appended_bytes: count(&self.appended_bytes),
            moved_bytes: count(&self.moved_bytes),
            evicted_files: count(&self.evicted_files),
            damaged: count(&self.damaged),
            ..of
        }
    }
}
