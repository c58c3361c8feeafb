//! What queries ask and what they answer, as plain values.

use crate::cursor::Cursor;
use crate::error::{Error, Result};
pub use crate::record_id::RecordId;

use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, PAGE_ITEMS_MIN};

/// Which links a query is about: those to one target from one source, possibly narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The target, as it was asked for. It is tried as given, then in its normalised form;
    /// `at://DID` stands for `DID` where it has no live link of its own in the source.
    pub target: String,
    /// The collection of the linking records.
    pub collection: String,
    /// The path of the link in its record, with the leading dot.
    pub path: String,
    /// Only links of these accounts. DIDs that the index does not know match nothing, so that a
    /// filter of unknown DIDs, or of none at all, gives an empty answer.
    pub dids: Option<Vec<String>>,
    /// Only links whose event happened at this time or later, in microseconds since 1970. Compared
    /// in whole milliseconds, rounded down, which is what the index keeps.
    pub since_us: Option<u64>,
    /// Only links whose event happened before this time, in microseconds since 1970; in whole
    /// milliseconds as [`since_us`](Self::since_us).
    pub until_us: Option<u64>,
}

impl Filter {
    /// All links to `target` from `collection` at `path` (with its leading dot).
    pub fn new(
        target: impl Into<String>,
        collection: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        Self {
            target: target.into(),
            collection: collection.into(),
            path: path.into(),
            ..Self::default()
        }
    }
}

/// Which piece of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// The most items to give, 1 to 1,000.
    pub limit: u32,
    /// Where the page before ended; none for the first.
    pub cursor: Option<Cursor>,
    /// Walks the list in the direction opposite to its usual one.
    pub reverse: bool,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            limit: PAGE_ITEMS_DEFAULT,
            cursor: None,
            reverse: false,
        }
    }
}

impl Paging {
    /// The limit as a length.
    pub(crate) fn items_max(&self) -> Result<usize> {
        if (PAGE_ITEMS_MIN..=PAGE_ITEMS_MAX).contains(&self.limit) {
            Ok(self.limit as usize)
        } else {
            Err(Error::Limit { found: self.limit })
        }
    }
}

/// One piece of a list, with the length of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// How many items all pages hold together, the filters applied.
    pub total: u64,
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page begins; `None` exactly when this page is the last.
    pub cursor: Option<Cursor>,
}

/// One piece of a list whose length is not counted: no answer of the wire tells it, and it would cost a
/// walk over everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManyPage<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page begins; `None` exactly when this page is the last.
    pub cursor: Option<Cursor>,
}

/// The links that one source has to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTotals {
    /// The collection of the linking records.
    pub collection: String,
    /// The path of the links, with the leading dot.
    pub path: String,
    /// Live linking records, each counted once.
    pub records: u64,
    /// The accounts whose records they are.
    pub distinct_dids: u64,
}

/// The far side of a many-to-many query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManyToMany {
    /// The path, in the linking records, of the other subject, with the leading dot.
    pub path_to_other: String,
    /// Only these other subjects, each tried as given and in its normalised form. Values that
    /// the index does not know match nothing.
    pub other_subjects: Option<Vec<String>>,
}

/// A linking record together with one other subject it links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManyItem {
    /// The linking record.
    pub record: RecordId,
    /// The other subject, as it is stored.
    pub other_subject: String,
}

/// How often an other subject is linked to by the linking records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherCount {
    /// The other subject, as it is stored.
    pub subject: String,
    /// Linking records that link to it, each counted once.
    pub total: u64,
    /// The accounts whose records they are.
    pub distinct: u64,
}

/// What the index holds, for the front page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Accounts that ever made a link.
    pub dids: u64,
    /// Distinct pairs of target and source. An estimate from above: a pair that several parts of the index
    /// hold is counted in each of them.
    pub targetables: u64,
    /// Live records that hold at least one link.
    pub linking_records: u64,
    /// Live links.
    pub links: u64,
}
