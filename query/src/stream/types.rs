//! What the stream says: changes of single links, gathered by the event that made them.

use std::sync::Arc;

/// How many links of one record version a subscriber gets who did not ask for all.
pub const LINKS_PER_COMMIT: u32 = 100;

/// Changes are numbered from here on where all links of new versions were told, not only what became different: in
/// events that were told after survivors. Who resumes there still needs to be told so.
pub(crate) const INDEX_ALL: u32 = 1 << 30;

/// Survivors are numbered from here on. What an event said while the log had it was numbered otherwise: so it
/// shows in a cursor which of the two numbers it holds.
pub(crate) const INDEX_FIRST: u32 = 1 << 31;

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is there.
    Create,
    /// It is gone.
    Delete,
}

impl Operation {
    /// As parameters and frames write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }
}

/// Where a change comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It has just happened.
    Live,
    /// It happened before, or brings back what was there before.
    Replay,
    /// It was found by reading a repository.
    Backfill,
}

impl Origin {
    /// As parameters and frames write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Backfill => "backfill",
        }
    }
}

/// What took a link away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its record was deleted.
    Record,
    /// Its record was written anew without it.
    Update,
    /// Its account was deleted or hidden.
    Account,
}

impl Cause {
    /// As frames write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Update => "update",
            Self::Account => "account",
        }
    }
}

/// One link that one event made or undid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number among those of the event, which may leave some out; its cursor is `<seq>.<index>`. A step's rise.
    pub index: u32,
    /// Its place among the links of its record version: as in the record in [`Step::plain`], as the index
    /// orders them in [`Step::changes`].
    pub position: u32,
    /// What became of it.
    pub operation: Operation,
    /// Where the change comes from.
    pub origin: Origin,
    /// `collection:path`, the path without its first dot.
    pub source: Arc<str>,
    /// The at-uri of the record that holds it.
    pub source_record: Arc<str>,
    /// The revision that made or undid it, where one is known.
    pub source_rev: Option<Arc<str>>,
    /// What it leads to.
    pub subject: Arc<str>,
    /// What took it away; only for deletes.
    pub cause: Option<Cause>,
}

impl Change {
    /// Whether it is for subscribers too who did not ask for all links of a record. Deletes always are: which of the
    /// links of an older version were told is not known, and a delete too many is harmless, unlike one too few.
    #[must_use]
    pub const fn is_within_cap(&self) -> bool {
        matches!(self.operation, Operation::Delete) || self.position < LINKS_PER_COMMIT
    }

    /// The bytes that it takes in memory, about; what it shares with others included.
    pub(crate) fn bytes(&self) -> usize {
        let text = self.source_record.len() + self.subject.len() + self.source.len();
        size_of::<Self>() + text + self.source_rev.as_ref().map_or(0, |rev| rev.len())
    }
}

/// What one accepted event says to subscribers. Every event has at least one, also one that says nothing, so
/// that all know how far the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The event's place in the order of indexing.
    pub seq: u64,
    /// The event's time, microseconds since 1970.
    pub time_us: u64,
    /// A hash of account, collection and record key; 0 for events that are of no record.
    pub key: u64,
    /// For clients that use no new parameter: every link of the record's new version as a create, in the record's
    /// order, with repeats.
    pub plain: Vec<Change>,
    /// For all others: what became different.
    pub changes: Vec<Change>,
    /// Whether it is the last step of its event. Events of many changes, such as the deletion of an
    /// account, are several steps of one seq.
    pub is_last: bool,
    /// Whether its creates may be of links that were there before: what the event changed is not known.
    pub repeats: bool,
    /// Whether changes of the event are missing, because there were too many to keep them, or because they are lost.
    /// Whoever reads is told of it by [`Info::LinksMissing`] too.
    pub is_cut: bool,
}

impl Step {
    /// The step of an event that says nothing, to be filled.
    #[must_use]
    pub const fn empty(seq: u64, time_us: u64) -> Self {
        Self {
            seq,
            time_us,
            key: 0,
            plain: Vec::new(),
            changes: Vec::new(),
            is_last: true,
            repeats: false,
            is_cut: false,
        }
    }

    /// Whether it says nothing to anybody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.changes.is_empty()
    }
}

/// Something about the stream itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info {
    /// The place asked for is older than the log. What follows, up to its oldest event, is what is left of
    /// older events.
    OutdatedCursor {
        /// The time of the log's oldest event.
        time_us: u64,
    },
    /// Events that were accepted are lost, and so is what they said.
    EventsLost {
        /// The first of them.
        first_seq: u64,
        /// The last of them.
        last_seq: u64,
    },
    /// Of some of these events not all links could be told: there were too many to keep, or they are lost.
    LinksMissing {
        /// The first of them.
        first_seq: u64,
        /// The last of them.
        last_seq: u64,
    },
}
