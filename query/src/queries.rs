//! The entry points.

use crate::error::{Error, Result};
use crate::types::{
    Filter, ManyItem, ManyPage, ManyToMany, OtherCount, Page, Paging, RecordId, SourceTotals, Stats,
};
use crate::view::View;

/// Answers queries over views of one index.
pub struct Queries {
    cache_bytes: usize,
}

fn not_yet<T>() -> Result<T> {
    Err(Error::index(std::io::Error::other("not built in yet")))
}

#[allow(clippy::missing_errors_doc, unused_variables, missing_docs)]
impl Queries {
    #[must_use]
    pub fn new(cache_bytes: usize) -> Self {
        Self { cache_bytes }
    }
    pub fn count<V: View>(&self, view: &V, filter: &Filter) -> Result<u64> {
        not_yet()
    }
    pub fn count_distinct<V: View>(&self, view: &V, filter: &Filter) -> Result<u64> {
        not_yet()
    }
    pub fn records<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Page<RecordId>> {
        not_yet()
    }
    pub fn distinct_dids<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        paging: &Paging,
    ) -> Result<Page<String>> {
        not_yet()
    }
    pub fn all<V: View>(&self, view: &V, target: &str) -> Result<Vec<SourceTotals>> {
        not_yet()
    }
    pub fn all_counts<V: View>(
        &self,
        view: &V,
        target: &str,
    ) -> Result<Vec<(String, String, u64)>> {
        not_yet()
    }
    pub fn many_to_many<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<ManyPage<ManyItem>> {
        not_yet()
    }
    pub fn many_to_many_counts<V: View>(
        &self,
        view: &V,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<ManyPage<OtherCount>> {
        not_yet()
    }
    pub fn stats<V: View>(&self, view: &V) -> Result<Stats> {
        view.stats()
    }
}
