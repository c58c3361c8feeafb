//! Everything that links to one target, source by source.

use std::collections::BTreeMap;

use crate::cache::Cache;
use crate::distinct::{self, FirstLinks};
use crate::error::Result;
use crate::selection::Narrow;
use crate::target::candidates;
use crate::types::{Filter, SourceTotals};
use crate::view::{List, Part, View};

/// A target under one of its forms, with the live links of each source.
struct Sources<K> {
    text: String,
    key: K,
    records: BTreeMap<(String, String), u64>,
}

/// The sources of the first form of `target` that has any.
fn sources<V: View>(view: &V, target: &str) -> Result<Option<Sources<V::Key>>> {
    for text in candidates(target) {
        let Some(key) = view.target_key(&text)? else {
            continue;
        };
        let mut records = BTreeMap::new();
        for part in view.parts() {
            part.lists(&key, &mut |collection, path, list| {
                let live = u64::from(list.len().saturating_sub(list.masked()?));
                if live > 0 {
                    *records
                        .entry((collection.to_owned(), path.to_owned()))
                        .or_default() += live;
                }
                Ok(())
            })?;
        }
        if !records.is_empty() {
            return Ok(Some(Sources { text, key, records }));
        }
    }
    Ok(None)
}

/// Live linking records of every source, sorted by collection and path.
pub(crate) fn counts<V: View>(view: &V, target: &str) -> Result<Vec<(String, String, u64)>> {
    Ok(sources(view, target)?.map_or_else(Vec::new, |sources| {
        sources
            .records
            .into_iter()
            .map(|((collection, path), records)| (collection, path, records))
            .collect()
    }))
}

/// Live linking records and their accounts of every source, sorted by collection and path.
pub(crate) fn totals<V: View>(
    cache: &Cache<FirstLinks>,
    view: &V,
    target: &str,
) -> Result<Vec<SourceTotals>> {
    let Some(sources) = sources(view, target)? else {
        return Ok(Vec::new());
    };
    let narrow = Narrow::default();
    let mut totals = Vec::with_capacity(sources.records.len());
    for ((collection, path), records) in sources.records {
        let filter = Filter::new(&*sources.text, collection, path);
        let distinct_dids =
            distinct::count_of(cache, view, &sources.text, &sources.key, &filter, &narrow)?;
        totals.push(SourceTotals {
            collection: filter.collection,
            path: filter.path,
            records,
            distinct_dids,
        });
    }
    Ok(totals)
}
