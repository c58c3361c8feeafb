//! The seam to the events: where steps come from, live or replayed. Calls of a reader may block on the disk, and never run
//! on the async workers.

use std::ops::ControlFlow;

use orrery_query::stream::{Forms, Read, Start, Step};

use crate::index::IndexError;

/// What the stream needs of a store.
pub trait Feed: Send + Sync + 'static {
    /// The seq that the next event gets. Must not block.
    fn next_seq(&self) -> u64;
    /// Whether a link is not to be told, by the at-uri of its record and what it leads to: either is excluded. Asked just
    /// before each is told, so that it holds at once. Must not block.
    fn is_withheld(&self, _record: &str, _subject: &str) -> bool {
        false
    }
    /// A reader of what lies behind a place. Steps have the forms that are wanted. May block.
    ///
    /// # Errors
    /// As [`IndexError`] says.
    fn reader(&self, start: Start, forms: Forms) -> Result<Box<dyn StepReader>, IndexError>;
}

/// Reads steps in seq order. Steps of one seq are one event.
pub trait StepReader: Send {
    /// The seq of the next event that it reads: all below was given.
    fn next_seq(&self) -> u64;
    /// Of events below, every link is told, not only what became different: who goes on where others stand misses links
    /// if those still have to be told of such an event.
    fn tells_all_below(&self) -> u64;
    /// Gives the steps of at most `most_events` events with seqs below `before`. When `each` breaks it off, the next call
    /// goes on behind the step that was given last.
    ///
    /// # Errors
    /// As [`IndexError`] says. What was given was given: the next call goes on behind it.
    fn read(
        &mut self,
        most_events: usize,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read, IndexError>;
}
