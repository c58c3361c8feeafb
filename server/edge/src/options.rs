//! The settings of the edge cache.

use std::time::Duration;

/// The settings of the edge cache.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// The most bytes that whole answers take in memory.
    pub memory_bytes: u64,
    /// Whether data servers are asked. Without, only what is here already is told, however old.
    pub fetches: bool,
    /// For how long what a data server said is told while the stream is not there to say otherwise.
    pub unvouched: Duration,
    /// How many fetches of records and proofs are under way at most, one for each key.
    pub fetches_max: usize,
    /// How many look-ups on disk run at once.
    pub lookups_max: usize,
    /// How many wait for their turn.
    pub lookups_waiting_max: usize,
    /// Records to which so many links were seen of late are kept beyond the log window; 0: none for that reason.
    pub often_linked: u32,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            memory_bytes: 64 << 20,
            fetches: true,
            unvouched: Duration::from_secs(60),
            fetches_max: 1024,
            lookups_max: 2 * cores,
            lookups_waiting_max: 4096,
            often_linked: 16,
        }
    }
}
