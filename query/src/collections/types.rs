//! Questions about collections, and their answers.

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

impl Counts {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.creates == 0 && self.updates == 0 && self.deletes == 0
    }
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

/// What one series counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Series {
    /// One collection.
    Collection(String),
    /// Every collection below a prefix, which has no dot at its end; the accounts are those of their union.
    Prefix(String),
}

/// One page of a list of collections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePage<T> {
    /// The items.
    pub items: Vec<T>,
    /// The place of the last one; none exactly when this page is the last.
    pub cursor: Option<super::NameCursor>,
}

/// Which page of a list of collections is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePaging {
    /// The most items, at least one.
    pub limit: usize,
    /// The cursor of the page before.
    pub cursor: Option<super::NameCursor>,
}
