//! `/status`: how the server is doing, for people and programs. Nothing in it names a path or an address.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Coverage;

/// How the server is doing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// `ok`, `catching-up`, `disconnected`, `paused`, `stopped` or `degraded`.
    pub status: &'static str,
    /// What is wrong or will be, and what to do; empty where there is nothing to do.
    pub advice: Vec<String>,
    /// The server's version.
    pub version: &'static str,
    /// When it began, microseconds since 1970.
    pub started_at: u64,
    /// How long ago that was.
    pub uptime_seconds: u64,
    /// The stream that is followed; none: it answers from what is there.
    pub source: Option<StatusSource>,
    /// What is indexed.
    pub coverage: Coverage,
    /// Events and links per second, where a stream is followed.
    pub rates: Option<StatusRates>,
    /// What the data takes on disk.
    pub disk: StatusDisk,
    /// What the index holds and does.
    pub index: StatusIndex,
    /// Records and identities of the network, where the server tells them.
    pub records: Option<StatusRecords>,
    /// The link stream.
    pub stream: StatusStream,
    /// What was asked since the start, by route, most asked first.
    pub requests: Vec<StatusRequests>,
    /// The process.
    pub process: StatusProcess,
    /// What was seen since the start; it is not kept over a restart.
    pub history: StatusHistory,
}

/// The followed stream.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusSource {
    /// Its host, or the short name that it is followed by; none where that is an address or a name of a private network.
    pub host: Option<String>,
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is not, microseconds since 1970; not there while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnected_since: Option<u64>,
    /// Seconds behind it.
    pub lag_seconds: Option<f64>,
    /// Malformed events that were dropped since the start.
    pub dropped: u64,
}

/// What comes from the source.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusRates {
    /// Events taken.
    pub events: StatusRate,
    /// Links of their records.
    pub links: StatusRate,
}

/// Per second, over three times; of a younger server since its start.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StatusRate {
    /// The last ten seconds.
    pub now: Option<f64>,
    /// The last hour.
    pub hour: Option<f64>,
    /// The last day.
    pub day: Option<f64>,
}

/// What the data takes on disk.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusDisk {
    /// Bytes by kind of file.
    pub bytes: BTreeMap<String, u64>,
    /// All of them.
    pub total_bytes: u64,
    /// The most that they may be, where there is a limit.
    pub limit_bytes: Option<u64>,
    /// What the file system has left.
    pub free_bytes: Option<u64>,
    /// What is to stay free on it.
    pub reserve_bytes: u64,
    /// What may still be written before limit or reserve are reached.
    pub left_bytes: Option<u64>,
    /// By how much it grows in a day, which may be below zero; none in the first hour.
    pub bytes_per_day: Option<f64>,
    /// Over how many seconds that was seen, a week at most.
    pub seen_seconds: Option<u32>,
    /// When nothing is left if it goes on so; none where it does not grow.
    pub days_until_full: Option<f64>,
}

/// What the index holds and does.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusIndex {
    /// Live links.
    pub live_links: u64,
    /// Live records with links.
    pub live_records: u64,
    /// Accounts seen.
    pub accounts: u64,
    /// Segments in use.
    pub segments: u64,
    /// Segments that are set aside as damaged.
    pub segments_set_aside: u64,
    /// Stretches of events that were lost.
    pub gaps: u64,
    /// Memory tables that became segments, since the start.
    pub seals: StatusEffort,
    /// Segments that were merged, since the start.
    pub merges: StatusEffort,
    /// Whether segments are being merged now.
    pub merging: bool,
}

/// Work of one kind since the start.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StatusEffort {
    /// How often it was done.
    pub times: u64,
    /// The last of it.
    pub last: Option<StatusLast>,
}

/// Work that was done.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StatusLast {
    /// How long ago it ended.
    pub seconds_ago: f64,
    /// How long it took.
    pub seconds: f64,
    /// Bytes of the segment that it made.
    pub bytes: u64,
}

/// Records that were looked for since the start, and what is kept of them.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StatusRecords {
    /// Found in memory.
    pub from_memory: u64,
    /// Found in the log of events.
    pub from_log: u64,
    /// Fetched before.
    pub from_disk: u64,
    /// Fetched from data servers.
    pub fetched: u64,
    /// Not there.
    pub absent: u64,
    /// Not found out.
    pub failed: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes on disk, where some may be kept there.
    pub disk_bytes: Option<u64>,
}

/// The link stream.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StatusStream {
    /// Subscribers that are told at once.
    pub instant: u64,
    /// Subscribers that are told after the delay.
    pub delayed: u64,
    /// Frames sent since the start.
    pub frames: u64,
    /// Subscriptions that ended since the start because they were read too slowly.
    pub too_slow: u64,
}

/// What was asked of a route.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StatusRequests {
    /// The route, or `other`.
    pub route: &'static str,
    /// Answered requests.
    pub requests: u64,
    /// Of them those with a status of 400 to 499.
    pub client_errors: u64,
    /// Of them those with a status of 500 and above.
    pub server_errors: u64,
    /// Seconds from request to answer, on average.
    pub mean_seconds: f64,
}

/// The process.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct StatusProcess {
    /// Memory in use, with what was read of mapped files.
    pub resident_bytes: Option<u64>,
    /// Of that what is no file's.
    pub anonymous_bytes: Option<u64>,
    /// Processor time since the start.
    pub cpu_seconds: Option<f64>,
    /// Open files and connections.
    pub open_files: Option<u64>,
    /// The most of them.
    pub open_files_max: Option<u64>,
}

/// What was seen over time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusHistory {
    /// The last hour, by minutes.
    pub hour: StatusSeries,
    /// The last day, by quarters of an hour.
    pub day: StatusSeries,
}

/// Points in time, oldest first; each list has one value for each.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct StatusSeries {
    /// Seconds before now.
    pub seconds_ago: Vec<u32>,
    /// Events per second since the point before; null at the first, and where no stream is followed.
    pub events_per_second: Vec<Option<f64>>,
    /// Links per second, likewise.
    pub links_per_second: Vec<Option<f64>>,
    /// The greatest lag since the point before.
    pub lag_seconds: Vec<Option<f64>>,
    /// Bytes on disk.
    pub disk_bytes: Vec<u64>,
}
