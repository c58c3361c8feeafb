//! Accepted events with what each undid, for whoever follows them: in order of seq, from the newest in memory
//! (`tail.rs`) or from the log files (`files.rs`), without a seam between both (`reader.rs`), from a seq or a time on
//! (`seek.rs`). Nothing is waited for and nobody is told: readers come back.

mod files;
mod reader;
mod seek;
mod tail;
#[cfg(test)]
mod tests;

use orrery_formats::effect::Effect;
use orrery_formats::event::Event;

pub use reader::{EventReader, Progress};
pub use seek::TimePlace;
pub(crate) use tail::{MARK_EVENTS, Mark, Tail};

/// An event that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// Its seq.
    pub seq: u64,
    /// The event.
    pub event: Event<'a>,
    /// What it undid.
    pub effect: Effect<'a>,
}
