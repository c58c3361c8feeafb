//! Settings of a store. The defaults suit a Raspberry Pi 4 that follows the whole network.

use std::time::Duration;

use crate::cache::CacheOptions;
use crate::mask::policy::Bounds;

/// How a store behaves. All fields have defaults that need no thought.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Events in the memtable at which it is sealed into a segment.
    pub seal_events: u32,
    /// Heap bytes of the memtable at which it is sealed early.
    pub seal_heap_bytes: usize,
    /// Longest time that accepted events stay unsynced.
    pub commit_interval: Duration,
    /// Bytes of accepted events, uncompressed, at which they are synced early.
    pub commit_bytes: usize,
    /// Largest size of the sealed part of the log.
    pub log_bytes_max: u64,
    /// Largest age of the sealed part of the log, by event time.
    pub log_age_max: Duration,
    /// Whether the sealed part of the log keeps at least as many bytes as it has when the store is opened,
    /// whatever the two bounds above, and the second does not hold: for those who only add to another one's log.
    pub log_keeps_bytes: bool,
    /// Whether segments are merged in the background.
    pub compact: bool,
    /// The share of the time, above 0 and up to 1, that the thread which merges works. It rests the
    /// remaining time, unless sealed segments gather faster than it merges them.
    pub compact_share: f64,
    /// How many neighbouring segments of one level are merged into one of the next; at least 2.
    pub compact_fan_in: usize,
    /// How long a merge that failed waits before it is tried again; longer with each further failure.
    pub(crate) merge_retry: Duration,
    /// About how many bytes of events that are durable are kept in memory for those who follow them.
    pub(crate) tail_bytes: usize,
    /// About how many bytes of frames of the log are kept decompressed for those who look records up in it. With 0 none
    /// are.
    pub frame_cache_bytes: usize,
    /// How much of masks is kept out of files while the store runs.
    pub(crate) mask_bounds: Bounds,
    /// The most bytes that samples take on disk: whole records, the newest of each collection. From three quarters of it
    /// on, the longest records give way first. With 0 none are taken.
    pub samples_limit: u64,
    /// The most bytes that the data directory takes; none: what the file system has. Where it runs short, the sealed
    /// part of the log gives way: all of it to events, and down to an eighth of this limit to merges.
    pub disk_limit: Option<u64>,
    /// Bytes of the file system to leave free.
    pub disk_reserve: u64,
    /// A cache of values fetched from elsewhere, in the data directory; with none its files, where there are some, stay,
    /// and nobody reads them. What it takes counts for the two bounds above, and it gives way before anything else does.
    pub cache: Option<CacheOptions>,
    /// Whether sealed files are mapped. Otherwise each is read onto the heap when it is opened: for drives
    /// whose errors are to be error messages and not signals, with memory for the whole index.
    pub map_files: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seal_events: 262_144,
            seal_heap_bytes: 192 << 20,
            commit_interval: Duration::from_secs(5),
            commit_bytes: 4 << 20,
            log_bytes_max: 2 << 30,
            log_age_max: Duration::from_secs(48 * 3_600),
            log_keeps_bytes: false,
            compact: true,
            compact_share: 0.5,
            compact_fan_in: 10,
            merge_retry: Duration::from_secs(60),
            tail_bytes: 8 << 20,
            frame_cache_bytes: 16 << 20,
            mask_bounds: Bounds::RUNNING,
            samples_limit: 256 << 20,
            disk_limit: None,
            disk_reserve: 256 << 20,
            cache: None,
            map_files: true,
        }
    }
}
