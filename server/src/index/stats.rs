//! Questions about collections over spans of hours, and their answers, as they cross the seam.

use super::Listing;

/// Hours since 1970.
pub type Hour = u32;

/// Which events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All that were ever applied.
    AllTime,
    /// Those of the hours from `since`, or from the first one, up to `until`, which is not among them. Empty where
    /// `until` is not later.
    Hours {
        /// The first hour; none: the first known.
        since: Option<Hour>,
        /// The hour after the last.
        until: Hour,
    },
}

/// In which order a list is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// By name, in the order of its bytes.
    Name,
    /// By creates, most first, then by name. Leaves out what has none.
    RecordsCreated,
    /// By the estimate of accounts, most first, then by name.
    DidsEstimate,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that created a record.
    pub creates: u64,
    /// Events that changed one.
    pub updates: u64,
    /// Events that deleted one.
    pub deletes: u64,
    /// Accounts of those events: exact to 128, above with a standard error of 0.81 %.
    pub dids_estimate: u64,
}

/// A collection with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionCounts {
    /// The collection.
    pub nsid: String,
    /// What was counted.
    pub counts: Counts,
}

/// What stands directly below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// A collection one segment below.
    Collection(CollectionCounts),
    /// Everything below a longer prefix.
    Prefix {
        /// That prefix, one segment longer, without a dot at its end.
        prefix: String,
        /// What was counted in all its collections; the accounts are those of their union.
        counts: Counts,
    },
}

/// A prefix with what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixCounts {
    /// Everything below, whatever page is asked for.
    pub total: Counts,
    /// One page of children. Of a name that is both, the collection comes first.
    pub children: Listing<Child>,
}

/// What one series counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Series {
    /// One collection.
    Collection(String),
    /// Every collection below a prefix, which has no dot at its end; the accounts are those of their union.
    Prefix(String),
}
