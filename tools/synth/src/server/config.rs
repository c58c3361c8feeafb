//! What a caller chooses about the server.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use crate::options::Options;

/// Where events come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A generated stream, made as it is needed.
    Generator(Options),
    /// These Jetstream v1 lines in this order, without line ends, `time_us` not falling.
    Lines(Vec<Bytes>),
}

impl Source {
    /// The non-empty lines of a file's or capture's text.
    pub fn from_text(text: &[u8]) -> Self {
        let lines = text
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Self::Lines(
            lines
                .filter(|line| !line.is_empty())
                .map(Bytes::copy_from_slice)
                .collect(),
        )
    }
}

/// How fast new events appear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the foremost client reads: an event appears when a client at the tip asks for
    /// it. A client without a cursor begins at the tip, so the first one gets everything. A
    /// cursor ahead of the tip moves a finite source with [`Stamp::AsGenerated`] on to it.
    AsRead,
    /// At this many a second, whether or not anyone listens.
    EventsPerSecond(f64),
}

/// What `time_us` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// What the source says.
    AsGenerated,
    /// The wall clock at the moment the event appears, so that a client's lag means something.
    WallClock,
}

/// Ways to misbehave on purpose, all drawn from one seed and the number of the connection.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The seed.
    pub seed: u64,
    /// Break each connection after so many events: drawn anew for each. Half of the
    /// breaks leave the beginning of a frame behind. There is no closing handshake.
    pub drop_after_events: Option<RangeInclusive<u64>>,
    /// Stop breaking connections after so many breaks.
    pub drops_max: Option<u64>,
    /// Answer this share, 0 to 1, of connections with 503.
    pub refuse_share: f64,
    /// Refuse at most so many connections.
    pub refusals_max: Option<u64>,
}

/// All choices. [`Config::new`] gives defaults; set the fields that differ.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events come from.
    pub source: Source,
    /// How fast they appear. Default [`Pace::AsRead`].
    pub pace: Pace,
    /// What `time_us` says. Default [`Stamp::AsGenerated`].
    pub stamp: Stamp,
    /// The zstd dictionary for `compress=true`; without one that is a 400.
    pub dictionary: Option<Bytes>,
    /// Bytes of lines kept for cursors, default 256 MiB. Older events are made again
    /// from the source where stamps are [`Stamp::AsGenerated`]; with
    /// [`Stamp::WallClock`] they are gone, and an older cursor is raised to the
    /// oldest event kept, silently, as Jetstream does.
    pub history_bytes_max: usize,
    /// Close with 1000 when a client has read the whole of a finite source. By default the
    /// connection stays open and quiet, as a live stream's would.
    pub close_at_end: bool,
    /// Time between pings, default 30 s.
    pub ping_interval: Duration,
    /// Ways to misbehave; none by default.
    pub faults: Faults,
}

impl Config {
    /// Serves `source` as it is, as fast as it is read, without compression or faults.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            pace: Pace::AsRead,
            stamp: Stamp::AsGenerated,
            dictionary: None,
            history_bytes_max: 256 << 20,
            close_at_end: false,
            ping_interval: Duration::from_secs(30),
            faults: Faults::default(),
        }
    }
}
