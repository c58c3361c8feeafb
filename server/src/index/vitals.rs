//! How the index is doing, in numbers and closed sets: what the status page tells, and the metrics of the disk. Nothing in it names a
//! file, a path or an address.

use std::time::Duration;

/// How the index is doing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vitals {
    /// Whether the source is connected; none where none is followed.
    pub connected: Option<bool>,
    /// Since when it is not, in microseconds since 1970; none where it is.
    pub disconnected_since_us: Option<u64>,
    /// By what the source looks like something else than what is followed here.
    pub foreign: Option<Foreign>,
    /// Events taken from the source since the start.
    pub events: Option<u64>,
    /// Links of the records among them.
    pub links: Option<u64>,
    /// Events that were dropped as malformed.
    pub dropped: u64,
    /// Live records with links.
    pub live_records: u64,
    /// Live links.
    pub live_links: u64,
    /// Accounts seen.
    pub accounts: u64,
    /// Bytes on disk by kind of file.
    pub disk: Vec<(String, u64)>,
    /// The room on disk.
    pub room: Room,
    /// Why events wait.
    pub waits: Option<Waits>,
    /// Whether nothing more is indexed after a failed write.
    pub has_stopped: bool,
    /// Segments in use.
    pub segments: u64,
    /// Segments that are set aside as damaged.
    pub set_aside: u64,
    /// Stretches of events that were lost.
    pub gaps: u64,
    /// Memory tables that became segments.
    pub seals: Effort,
    /// Segments that became one.
    pub merges: Effort,
    /// Whether segments are being merged.
    pub is_merging: bool,
    /// Whether the last merge failed.
    pub merge_fails: bool,
}

/// What a source does that is no stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Messages came since the start, and none of them was an event.
    Messages,
    /// It answers with this HTTP status in place of a stream.
    Answer(u16),
}

/// The room on disk, and what bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// What the file system has left.
    pub free_bytes: Option<u64>,
    /// The most that the data may take.
    pub limit_bytes: Option<u64>,
    /// What is to stay free on the file system.
    pub reserve_bytes: u64,
    /// What may still be written.
    pub left_bytes: Option<u64>,
}

/// Why events wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// For room on disk.
    Room,
    /// For the repair of damaged segments.
    Repair,
}

/// Work of one kind since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// How often it was done.
    pub times: u64,
    /// How long all of it took.
    pub took: Duration,
    /// The last of it.
    pub last: Option<LastEffort>,
}

/// Work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastEffort {
    /// How long ago it ended.
    pub ago: Duration,
    /// How long it took.
    pub took: Duration,
    /// Bytes of what it made.
    pub bytes: u64,
}
