//! What takes the events. One implementation matters, the engine's writer; the trait keeps the pipeline
//! testable against others, and says what it relies on.

use orrery_engine::{Applied, SourceCursor, Writer};
use orrery_formats::event::Event;

use crate::coverage::{begin_anew, begin_following};
use crate::error::Error;
use crate::select::Selection;
use crate::source::{Cursor, CursorKind};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    New {
        /// Distinct links of the record, 0 for what is no record.
        links: u32,
    },
    /// A record newer than the indexed one, with the same links.
    Unchanged {
        /// As in [`New`](Self::New).
        links: u32,
    },
    /// It was known.
    Repeat,
    /// The record's body cannot be read, so the event counts for nothing.
    BadRecord,
}

/// Takes events in order.
pub trait Sink {
    /// What can go wrong. Every error ends the pipeline, unless it [passes](Self::passes).
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether an error of [`apply`](Self::apply) or [`commit`](Self::commit) changed nothing and may pass, so
    /// that the same call can be made again later.
    fn passes(error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Notes which collections are taken from the source from here on, before its first event.
    ///
    /// # Errors
    ///
    /// When that cannot be remembered.
    fn begin(&mut self, selection: &Selection) -> Result<(), Self::Error> {
        let _ = selection;
        Ok(())
    }

    /// Notes that the source lacks events from before `since_us`, which it was asked for.
    ///
    /// # Errors
    ///
    /// When that cannot be remembered.
    fn begin_anew(&mut self, selection: &Selection, since_us: u64) -> Result<(), Self::Error> {
        let _ = (selection, since_us);
        Ok(())
    }

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

    /// Makes everything durable and ends. What it writes besides only makes the next start faster.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    fn close(mut self) -> Result<(), Self::Error>
    where
        Self: Sized,
    {
        self.commit()
    }
}

impl Sink for Writer {
    type Error = orrery_engine::Error;

    fn passes(error: &Self::Error) -> bool {
        error.is_pause()
    }

    fn begin(&mut self, selection: &Selection) -> Result<(), Self::Error> {
        begin_following(self, selection)
    }

    fn begin_anew(&mut self, selection: &Selection, since_us: u64) -> Result<(), Self::Error> {
        begin_anew(self, selection, since_us)
    }

    fn apply(&mut self, event: &Event<'_>) -> Result<Outcome, Self::Error> {
        Ok(match Writer::apply(self, event)? {
            Applied::New { links, .. } => Outcome::New { links },
            Applied::Unchanged { links, .. } => Outcome::Unchanged { links },
            Applied::BadRecord(problem) => {
                tracing::debug!(did = event.did, problem, "unreadable record");
                Outcome::BadRecord
            }
            // `Repeat`; whatever else the engine may tell one day changed nothing that is counted here.
            _ => Outcome::Repeat,
        })
    }

    fn set_cursor(&mut self, cursor: &Cursor) {
        Writer::set_cursor(self, cursor.into());
    }

    fn tick(&mut self) -> Result<(), Self::Error> {
        Writer::tick(self)
    }

    fn commit(&mut self) -> Result<(), Self::Error> {
        Writer::commit(self)
    }

    fn close(self) -> Result<(), Self::Error> {
        Writer::close(self)
    }
}

impl From<&Cursor> for SourceCursor {
    fn from(cursor: &Cursor) -> Self {
        Self {
            kind: cursor.kind as u8,
            endpoint: cursor.endpoint.to_string(),
            value: cursor.value,
        }
    }
}

impl TryFrom<&SourceCursor> for Cursor {
    type Error = Error;

    /// Reads a stored position.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCursor`] for a kind that this build does not know.
    fn try_from(stored: &SourceCursor) -> Result<Self, Error> {
        let kind = CursorKind::from_u8(stored.kind).ok_or_else(|| Error::UnknownCursor {
            endpoint: orrery_jetstream::without_secrets(&stored.endpoint),
            kind: stored.kind,
        })?;
        Ok(Self {
            kind,
            endpoint: stored.endpoint.as_str().into(),
            value: stored.value,
        })
    }
}
