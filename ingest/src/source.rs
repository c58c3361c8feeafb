//! The seam between the ways by which events come and what is done with them. A source gives events in
//! order, and after each batch the position up to which it gave them. What is above knows neither the wire
//! nor what a position counts: JSON over a websocket today, CBOR frames or repository exports the same way.

use std::sync::Arc;
use std::time::Duration;

use orrery_formats::event::Event;

use crate::error::Result;
use crate::reason::Reason;

/// What a cursor's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CursorKind {
    /// Jetstream v1, microseconds since 1970. Means about the same on every server.
    JetstreamTime = 1,
    /// Jetstream, a sequence number of one server.
    JetstreamSeq = 2,
}

impl CursorKind {
    /// The kind that is stored as this number.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::JetstreamTime),
            2 => Some(Self::JetstreamSeq),
            _ => None,
        }
    }
}

/// A position of a source, stored with what came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What `value` counts.
    pub kind: CursorKind,
    /// The server, as it was named.
    pub endpoint: Arc<str>,
    /// The position of the last event given.
    pub value: u64,
}

/// Where in its source an item stands: the line of a file from 1, or 0 where there are no lines.
pub type Place = u64;

/// One thing out of a source.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A checked event.
    Event(&'a Event<'a>),
    /// Something that should have been an event.
    Dropped(Reason),
    /// The source lacks what happened before that time, microseconds since 1970, though it was asked for it.
    Missing {
        /// From then on nothing is missing.
        since_us: u64,
    },
}

/// What one call of [`Source::next`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Items were given. The cursor is the position after the last of them; `None` where the source has no
    /// positions to store or none is known yet.
    Batch(Option<Cursor>),
    /// Nothing came in time.
    Idle,
    /// Nothing will come any more.
    End,
}

/// Gives events in order.
pub trait Source {
    /// Waits up to `wait` for items and gives each to `take`, a batch at a time. Never gives an item again
    /// by itself, but servers do: what takes them must not mind.
    ///
    /// # Errors
    ///
    /// What makes going on impossible; the errors of `take` are passed on at once. The items given before
    /// stay given.
    fn next(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(Place, Item<'_>) -> Result<()>,
    ) -> Result<Next>;

    /// What to call this source in a message.
    fn name(&self) -> &str;
}
