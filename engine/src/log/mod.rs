//! The log: accepted events, durable before anything else is. Each file holds one range of seqs, and
//! is closed when its events are sealed into a segment; closed files stay as a window of recent
//! events. `writer` appends and commits, `reader` reads one file, `recovery` replays what the index
//! does not hold yet and repairs the tail, `closed` reads closed files and finds what they lack, `keys` recognises
//! redelivered events. The bytes are those of
//! `formats/SPEC.md`, sections 4 and 5.

mod closed;
pub mod keys;
mod reader;
mod recovery;
mod writer;

#[cfg(test)]
mod missing_tests;
#[cfg(test)]
mod tail_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trim_tests;

pub(crate) use closed::{is_known_loss, read_closed};
pub use reader::{FrameBuffer, LogReader};
pub(crate) use recovery::recover_telling;
pub use recovery::{Gap, Recovery, Replayed, recover, scan};
pub use writer::{Appended, LogOptions, LogWriter};

pub use orrery_formats::frame::SourceCursor;

/// Where an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The first seq of its file, which names the file.
    pub file: u64,
    /// Offset of its frame in the file.
    pub frame: u64,
    /// Its place in the frame, from 0.
    pub ordinal: u32,
}

/// A closed log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The first seq of its range, which names it.
    pub first_seq: u64,
    /// The last seq of its range.
    pub last_seq: u64,
    /// Its length.
    pub bytes: u64,
    /// The time of its first event, microseconds; `None` where its first frame is damaged.
    pub first_time_us: Option<u64>,
}

/// The name of the log file whose first event has that seq.
#[must_use]
pub fn log_name(first_seq: u64) -> String {
    format!("{first_seq:016x}.log")
}

/// The name of its key index.
#[must_use]
pub fn keys_name(first_seq: u64) -> String {
    format!("{first_seq:016x}.keys")
}

/// The first seq in the name of a file of the log with that extension.
pub(crate) fn parse_name(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let canonical = digits.len() == 16
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if canonical {
        u64::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}
