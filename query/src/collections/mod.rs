//! Lists of collections: by name or by count, below a prefix, by words in their names, step by step. What was
//! counted comes from a [`Tally`]; here is in which order it is told, and in which pages.

mod place;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

pub use place::NameCursor;
use place::{ListOf, Place};
pub use types::{Child, CollectionCounts, Counts, Hour, NamePage, NamePaging, Order, Series, Span};

use crate::error::Result;

/// What was counted in an index, at one moment.
pub trait Tally {
    /// The name of every collection with any event, in the order of bytes.
    ///
    /// # Errors
    /// The index cannot be read; so for the calls below.
    fn names(&self) -> Result<Vec<String>>;

    /// The events of a collection in a span, without its accounts: cheaper than [`counts`](Self::counts).
    fn events(&self, nsid: &str, span: Span) -> Result<Counts>;

    /// What was counted in these collections together: sums of events, the union of accounts.
    fn counts(&self, nsids: &[&str], span: Span) -> Result<Counts>;
}

/// The collections with any event in the span. By name it reads as many as it gives; else all of them.
///
/// # Errors
/// The index cannot be read, or the cursor is one of another list.
pub fn collections(
    tally: &impl Tally,
    span: Span,
    order: Order,
    paging: &NamePaging,
) -> Result<NamePage<CollectionCounts>> {
    let list = ListOf::Collections(order);
    let after = after(list, paging)?;
    let names = tally.names()?;
    let mut places = Vec::new();
    for name in &names {
        let nsids = [name.as_str()];
        let Some(value) = value(tally, &nsids, span, order)? else {
            continue;
        };
        let place = Place {
            value,
            name: name.clone(),
            is_group: false,
        };
        if after.is_none_or(|after| place > *after) {
            places.push(place);
        }
        if order == Order::Name && places.len() > paging.limit {
            break;
        }
    }
    page(list, places, paging.limit, |place| {
        Ok(CollectionCounts {
            counts: tally.counts(&[&place.name], span)?,
            nsid: place.name,
        })
    })
}

/// Everything below a prefix together, and one page of what stands directly below it.
///
/// # Errors
/// As [`collections`].
pub fn prefix(
    tally: &impl Tally,
    prefix: &str,
    span: Span,
    order: Order,
    paging: &NamePaging,
) -> Result<(Counts, NamePage<Child>)> {
    let list = ListOf::Children(order);
    let after = after(list, paging)?;
    let names = tally.names()?;
    let below = below(&names, prefix);
    let total = tally.counts(&below, span)?;
    // A name one segment longer than the prefix, and whether it stands for a group.
    let mut groups: BTreeMap<(&str, bool), Vec<&str>> = BTreeMap::new();
    for nsid in &below {
        let first = prefix.len() + 1;
        let dot = nsid.get(first..).and_then(|rest| rest.find('.'));
        let name = dot.and_then(|dot| nsid.get(..first + dot));
        groups
            .entry((name.unwrap_or(nsid), name.is_some()))
            .or_default()
            .push(nsid);
    }
    let mut places = Vec::new();
    for ((name, is_group), nsids) in &groups {
        let Some(value) = value(tally, nsids, span, order)? else {
            continue;
        };
        let place = Place {
            value,
            name: (*name).to_owned(),
            is_group: *is_group,
        };
        if after.is_none_or(|after| place > *after) {
            places.push(place);
        }
    }
    let page = page(list, places, paging.limit, |place| {
        let key = (place.name.as_str(), place.is_group);
        let nsids = groups.get(&key).map(Vec::as_slice).unwrap_or_default();
        let counts = tally.counts(nsids, span)?;
        Ok(if place.is_group {
            Child::Prefix {
                prefix: place.name,
                counts,
            }
        } else {
            Child::Collection(CollectionCounts {
                nsid: place.name,
                counts,
            })
        })
    })?;
    Ok((total, page))
}

/// The collections whose names hold any of the terms, or all where there are none, with the counts of all time: first
/// those of which most terms are whole segments, then those that hold most terms, then by name.
///
/// # Errors
/// As [`collections`].
pub fn search(
    tally: &impl Tally,
    terms: &[String],
    paging: &NamePaging,
) -> Result<NamePage<CollectionCounts>> {
    let after = after(ListOf::Matches, paging)?;
    let mut places = Vec::new();
    for name in tally.names()? {
        let held = terms.iter().filter(|term| name.contains(term.as_str()));
        let held = held.count() as u64;
        let is_whole = |term: &&String| name.split('.').any(|segment| segment == *term);
        let whole = terms.iter().filter(is_whole).count() as u64;
        let place = Place {
            // What is whole is held as well, so there are never more of those.
            value: whole << 32 | held,
            name,
            is_group: false,
        };
        if (held > 0 || terms.is_empty()) && after.is_none_or(|after| place > *after) {
            places.push(place);
        }
    }
    page(ListOf::Matches, places, paging.limit, |place| {
        Ok(CollectionCounts {
            counts: tally.counts(&[&place.name], Span::AllTime)?,
            nsid: place.name,
        })
    })
}

/// For each series, what was counted between each two neighbours of `edges`, which rise.
///
/// # Errors
/// The index cannot be read.
pub fn timeseries(
    tally: &impl Tally,
    series: &[Series],
    edges: &[Hour],
) -> Result<Vec<Vec<Counts>>> {
    let has_prefix = series
        .iter()
        .any(|series| matches!(series, Series::Prefix(_)));
    let names = if has_prefix {
        tally.names()?
    } else {
        Vec::new()
    };
    let steps = |nsids: &[&str]| -> Result<Vec<Counts>> {
        let spans = edges.iter().zip(edges.iter().skip(1));
        spans
            .map(|(since, until)| {
                let span = Span::Hours {
                    since: Some(*since),
                    until: *until,
                };
                tally.counts(nsids, span)
            })
            .collect()
    };
    series
        .iter()
        .map(|series| match series {
            Series::Collection(nsid) => steps(&[nsid]),
            Series::Prefix(prefix) => steps(&below(&names, prefix)),
        })
        .collect()
}

fn after(list: ListOf, paging: &NamePaging) -> Result<Option<&Place>> {
    let cursor = paging.cursor.as_ref();
    Ok(cursor.map(|cursor| cursor.place(list)).transpose()?)
}

/// The names below a prefix: neither itself nor those that only share its letters.
fn below<'a>(names: &'a [String], prefix: &str) -> Vec<&'a str> {
    let is_below = |name: &&str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    // Names that begin with the prefix stand together, those that go on with another character than a dot among them.
    let start = names.partition_point(|name| name.as_str() < prefix);
    let candidates = names.iter().skip(start).map(String::as_str);
    candidates
        .take_while(|name| name.starts_with(prefix))
        .filter(is_below)
        .collect()
}

/// By what these collections together are ordered. None: they are not in the list.
fn value(tally: &impl Tally, nsids: &[&str], span: Span, order: Order) -> Result<Option<u64>> {
    match order {
        Order::Name => {
            for nsid in nsids {
                if !tally.events(nsid, span)?.is_zero() {
                    return Ok(Some(0));
                }
            }
            Ok(None)
        }
        Order::RecordsCreated => {
            let mut creates = 0u64;
            for nsid in nsids {
                creates = creates.saturating_add(tally.events(nsid, span)?.creates);
            }
            Ok((creates > 0).then_some(creates))
        }
        Order::DidsEstimate => {
            let counts = tally.counts(nsids, span)?;
            Ok((!counts.is_zero()).then_some(counts.dids_estimate))
        }
    }
}

/// The first places in their order, each made an item.
fn page<T>(
    list: ListOf,
    mut places: Vec<Place>,
    limit: usize,
    item: impl FnMut(Place) -> Result<T>,
) -> Result<NamePage<T>> {
    places.sort_unstable();
    let has_more = places.len() > limit;
    places.truncate(limit);
    let last = places.last().filter(|_| has_more);
    let cursor = last.map(|last| NameCursor::new(list, last.clone()));
    let items = places.into_iter().map(item).collect::<Result<_>>()?;
    Ok(NamePage { items, cursor })
}
