//! The seam between HTTP and the index. A call may block on the disk; the server runs each on its bounded
//! pool. Each call answers from one snapshot and says how far that snapshot reaches.
//!
//! Cursors cross the seam as the strings of the wire: only the index knows what they mean.

mod stats;
mod vitals;

use crate::operator::{ExcludeAsked, ExcludeError, ExcludeList, ExcludeReport};
use orrery_query::{Filter, ManyItem, ManyToMany, OtherCount, RecordId, SourceTotals, Stats};

pub use stats::{
    Child, CollectionCounts, Counts, Hours, Order, PrefixCounts, SampleRecord, SamplesOf, SeriesOf,
    Steps,
};
pub use vitals::{Effort, Foreign, LastEffort, Room, Vitals, Waits};

/// What the server needs of an index.
pub trait Index: Send + Sync + 'static {
    /// How many records the filter selects.
    ///
    /// # Errors
    /// As [`IndexError`] says; so for every call below.
    fn count(&self, filter: &Filter) -> Result<Answer<u64>, IndexError>;
    /// How many records link to a target from a collection and a path, its dot included, where that is known without waiting for
    /// anything. Must not block: an async worker calls it.
    fn count_at_once(&self, _target: &str, _collection: &str, _path: &str) -> Option<Answer<u64>> {
        None
    }
    /// How many accounts those records belong to.
    fn count_distinct(&self, filter: &Filter) -> Result<Answer<u64>, IndexError>;
    /// How many records each filter selects and, where asked, how many accounts they belong to: all from one snapshot.
    fn counts(
        &self,
        filters: &[Filter],
        with_accounts: bool,
    ) -> Result<Answer<Vec<RecordsAndAccounts>>, IndexError>;
    /// The first page of the records that each filter selects, newest first: all from one snapshot.
    fn first_pages(
        &self,
        filters: &[Filter],
        limit: u32,
    ) -> Result<Answer<Vec<Listing<RecordId>>>, IndexError>;
    /// The records, newest first, with their total.
    fn records(
        &self,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Answer<Listing<RecordId>>, IndexError>;
    /// Their accounts, each at its oldest record, newest first, with their total.
    fn distinct_dids(
        &self,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Answer<Listing<String>>, IndexError>;
    /// Counts by source of everything that links to a target.
    fn all(&self, target: &str) -> Result<Answer<Vec<SourceTotals>>, IndexError>;
    /// Records by (collection, path) of everything that links to a target.
    fn all_counts(&self, target: &str) -> Result<Answer<Vec<RecordsAt>>, IndexError>;
    /// The linking records with their other subjects, oldest first; the total is not known.
    fn many_to_many(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<Answer<Listing<ManyItem>>, IndexError>;
    /// The other subjects with how often each is linked to; the total is not known.
    fn many_to_many_counts(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<Answer<Listing<OtherCount>>, IndexError>;
    /// What the index holds.
    fn stats(&self) -> Result<Answer<Stats>, IndexError>;
    /// The collections with any event in these hours, by name or in an order; the total is not known.
    fn collections(
        &self,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError>;
    /// What was counted in each of these collections, in their order; zeros where one is unknown.
    fn collection_counts(
        &self,
        collections: &[&str],
        hours: &Hours,
    ) -> Result<Answer<Vec<Counts>>, IndexError>;
    /// What was counted below a prefix, by its children, of which the total number is not known.
    fn prefix(
        &self,
        prefix: &str,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<PrefixCounts>, IndexError>;
    /// For each series, what was counted in each step.
    fn timeseries(
        &self,
        series: &[SeriesOf<'_>],
        steps: &Steps,
    ) -> Result<Answer<Vec<Vec<Counts>>>, IndexError>;
    /// The collections whose NSID holds any of the terms, with the counts of all time, and their total: first
    /// those of which a term is a whole segment, then those of which a segment begins with one, then the others.
    fn search(
        &self,
        terms: &[&str],
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError>;
    /// The newest live records of each collection, at most `limit` of each, newest first over all. To be bounded in bytes:
    /// all of an answer is held in memory.
    fn sample_records(
        &self,
        of: SamplesOf<'_>,
        limit: usize,
    ) -> Result<Answer<Vec<SampleRecord>>, IndexError>;
    /// Bytes on disk by kind of file. Must not block.
    fn storage(&self) -> Vec<(String, u64)>;
    /// How the index and its source are. Must not block: health checks call it on an async worker.
    fn status(&self) -> Status;
    /// Which collections are indexed, as [`status`](Self::status) tells it. Every answer asks for it, so an index
    /// whose status takes some work should answer it directly.
    fn selection(&self) -> Selection {
        self.status().selection
    }
    /// How the index is doing, in numbers. May wait for the disk: it is asked every few seconds, on a thread of its own.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
    /// The same now, as far as it can be told without the disk; the rest is as it was `seen` last. Must not block.
    fn vitals_now(&self, seen: &Vitals) -> Vitals {
        seen.clone()
    }
    /// What is excluded from all answers. Must not block.
    fn excluded(&self) -> ExcludeList {
        ExcludeList::default()
    }
    /// Excludes entries, or no longer: durably, and from the next answer on, as far as it does not tell that some wait. It
    /// may block for some seconds.
    ///
    /// # Errors
    /// As [`ExcludeError`] says.
    fn exclude(&self, _: &[ExcludeAsked], _: bool) -> Result<ExcludeReport, ExcludeError> {
        Err(ExcludeError::Failed(
            "this index has no exclude list".to_owned(),
        ))
    }
    /// Numbers for the metrics page, beside those of the server. Must not block.
    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }
}

/// A collection, a path in its records with the leading dot, and how many records link from there.
pub type RecordsAt = (String, String, u64);

/// How many records there are and, where that was asked, how many accounts.
pub type RecordsAndAccounts = (u64, Option<u64>);

/// An answer and how far the snapshot behind it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// Time of the last applied event, microseconds since 1970.
    pub indexed_through_us: Option<u64>,
    /// Time from which on events are covered, microseconds since 1970.
    pub coverage_from_us: Option<u64>,
    /// First and last seqs of ranges that are left out since they are damaged.
    pub degraded: Vec<(u64, u64)>,
}

/// Which piece of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// The most items to give, 1 to 1,000.
    pub limit: u32,
    /// The cursor of the page before.
    pub cursor: Option<String>,
    /// Whether the list is walked in the direction opposite to its usual one.
    pub reverse: bool,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// How many items all pages hold together, where the list tells it.
    pub total: Option<u64>,
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page begins; none exactly when this page is the last.
    pub cursor: Option<String>,
}

/// Why the index has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The request cannot be answered as asked; the text names the parameter and tells the caller.
    #[error("{0}")]
    BadRequest(String),
    /// The index cannot answer now, though it may later.
    #[error("{0}")]
    Unavailable(String),
    /// The index failed. The source is logged and not told to the caller.
    #[error("the index failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<orrery_query::Error> for IndexError {
    fn from(error: orrery_query::Error) -> Self {
        if error.is_bad_request() {
            Self::BadRequest(error.to_string())
        } else {
            Self::Failed(Box::new(error))
        }
    }
}

/// How the index and its source are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Time of the last applied event, microseconds since 1970.
    pub indexed_through_us: Option<u64>,
    /// Time from which on events are covered, microseconds since 1970.
    pub coverage_from_us: Option<u64>,
    /// The stream that is followed; none: the index only answers from what is there.
    pub source: Option<String>,
    /// How far the index is behind its source, in microseconds; none while that is not known.
    pub lag_us: Option<u64>,
    /// What is wrong, if anything is: a damaged part that was taken out, a writer that stopped.
    pub degraded: Option<String>,
    /// Which collections are indexed.
    pub selection: Selection,
}

/// Which collections are indexed: NSIDs or `prefix.*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only these; empty: all.
    pub collections: Vec<String>,
    /// Not these, though they may be among the others.
    pub exclude: Vec<String>,
}

impl Selection {
    /// Whether every collection is indexed.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.collections.is_empty() && self.exclude.is_empty()
    }
}

/// One number of the metrics page.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its name, as Prometheus spells names, with labels where it has some (`a_total{kind="x"}`). Facts of one
    /// name follow each other.
    pub name: String,
    /// What it tells.
    pub help: &'static str,
    /// Whether it only rises.
    pub kind: FactKind,
    /// Its value.
    pub value: f64,
}

/// Whether a number only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// It only rises while the process lives.
    Counter,
    /// It rises and falls.
    Gauge,
}
