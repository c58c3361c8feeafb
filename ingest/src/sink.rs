//! What takes the events. One implementation matters, the engine's writer; the trait keeps the pipeline
//! testable against others, and says what it relies on.

use orrery_formats::event::Event;

use crate::source::Cursor;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    New {
        /// Distinct links of the record, 0 for what is no record.
        links: u32,
    },
    /// A record newer than the indexed one, with the same links.
    Unchanged,
    /// It was known.
    Repeat,
    /// The record's body cannot be read, so the event counts for nothing.
    BadRecord,
}

/// Takes events in order.
pub trait Sink {
    /// What can go wrong. Every error ends the pipeline.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes an event. Events can come again.
    ///
    /// # Errors
    ///
    /// When no more events can be taken.
    fn apply(&mut self, event: &Event<'_>) -> Result<Outcome, Self::Error>;

    /// Notes the position of the last event taken; it becomes durable together with that event.
    fn set_cursor(&mut self, cursor: &Cursor);

    /// Makes durable what has waited long enough.
    ///
    /// # Errors
    ///
    /// When no more events can be taken.
    fn tick(&mut self) -> Result<(), Self::Error>;

    /// Makes everything durable.
    ///
    /// # Errors
    ///
    /// When no more events can be taken.
    fn commit(&mut self) -> Result<(), Self::Error>;
}
