//! The entry points.

use crate::all;
use crate::backlinks;
use crate::cache::Cache;
use crate::distinct::{self, FirstLinks};
use crate::error::Result;
use crate::limits::{CACHE_BYTES_DEFAULT, KEPT_LINKS_MIN_DEFAULT};
use crate::many_to_many::{self, OtherCounts};
use crate::types::{
    Filter, ManyItem, ManyPage, ManyToMany, OtherCount, Page, Paging, RecordId, SourceTotals, Stats,
};
use crate::view::View;

/// Answers queries over views of one index, and keeps a bounded cache of what is costly to derive. All
/// views given to one value must be of the same index, at whatever time; share it between threads.
///
/// Every method fails with [`Error::Index`](crate::Error::Index) when the index cannot be read; those
/// that take a [`Paging`] also with [`Error::Limit`](crate::Error::Limit) and
/// [`Error::Cursor`](crate::Error::Cursor).
pub struct Queries {
    firsts: Cache<FirstLinks>,
    others: Cache<OtherCounts>,
}

impl Default for Queries {
    fn default() -> Self {
        Self::new(CACHE_BYTES_DEFAULT)
    }
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queries")
            .field("cache_bytes", &self.cache_bytes())
            .finish_non_exhaustive()
    }
}

impl Queries {
    /// With a cache of at most `cache_bytes`, three quarters of it for tables of linking accounts, one
    /// for many-to-many counts. With 0 nothing is kept.
    #[must_use]
    pub fn new(cache_bytes: usize) -> Self {
        Self::with_links_min(cache_bytes, KEPT_LINKS_MIN_DEFAULT)
    }

    /// The same, keeping the tables of lists of at least `links_min` links only.
    #[must_use]
    pub fn with_links_min(cache_bytes: usize, links_min: u64) -> Self {
        let others = cache_bytes / 4;
        Self {
            firsts: Cache::new(cache_bytes - others, links_min),
            others: Cache::new(others, links_min),
        }
    }

    /// About how much memory the cache takes now.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.firsts.bytes() + self.others.bytes()
    }

    /// How many records the filter selects. Takes a lookup in every part when only target and source are
    /// given; otherwise the rows of the accounts or of the parts that straddle a time are read.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn count<V: View>(&self, view: &V, filter: &Filter) -> Result<u64> {
        backlinks::count(view, filter)
    }

    /// How many accounts the selected links are by. Reads the list once; of long lists without further
    /// filters the outcome is kept and extended.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn count_distinct<V: View>(&self, view: &V, filter: &Filter) -> Result<u64> {
        distinct::count(&self.firsts, view, filter)
    }

    /// A page of the records that the filter selects, in the order of indexing, newest first. Costs a
    /// [`count`](Self::count) and the rows of the page, wherever it begins.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn records<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Page<RecordId>> {
        backlinks::records(view, filter, paging)
    }

    /// A page of the accounts that the selected links are by, newest first, each at its oldest selected
    /// link, so that new links never shift pages. Costs a [`count_distinct`](Self::count_distinct) and the
    /// page.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn distinct_dids<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Page<String>> {
        distinct::dids(&self.firsts, view, filter, paging)
    }

    /// Live records and their accounts for every source with a live link to `target`, sorted by collection
    /// and path.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn all<V: View>(&self, view: &V, target: &str) -> Result<Vec<SourceTotals>> {
        all::totals(&self.firsts, view, target)
    }

    /// Live records for every source with a live link to `target`, as (collection, path, records), sorted.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn all_counts<V: View>(
        &self,
        view: &V,
        target: &str,
    ) -> Result<Vec<(String, String, u64)>> {
        all::counts(view, target)
    }

    /// A page of pairs of a record that the filter selects and another subject that it links to, oldest
    /// record first, within a record in its order.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn many_to_many<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<ManyPage<ManyItem>> {
        many_to_many::items(view, filter, many, paging)
    }

    /// A page of the other subjects of the records that the filter selects, with their counts, in the order
    /// of their first links there. The first page reads all links of these records; the outcome
    /// is kept while their lists stay the same, unless a filter narrows them.
    ///
    /// # Errors
    /// See [`Queries`]; [`Error::TooLarge`](crate::Error::TooLarge) beyond the bounds of
    /// [`limits`](crate::limits).
    pub fn many_to_many_counts<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<ManyPage<OtherCount>> {
        many_to_many::counts(&self.others, view, filter, many, paging)
    }

    /// The counts of the front page.
    ///
    /// # Errors
    /// See [`Queries`].
    pub fn stats<V: View>(&self, view: &V) -> Result<Stats> {
        view.stats()
    }
}
