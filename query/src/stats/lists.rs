//! Lists of collections, and of what is below a prefix.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use orrery_engine::{BucketSum, DidsBounds, Snapshot};

use super::{Counts, Hours, Order, Place};
use crate::error::{CursorError, Result};

/// A collection with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionCounts {
    /// The collection.
    pub nsid: String,
    /// Its counts in the span.
    pub counts: Counts,
}

/// A page of collections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectionPage {
    /// The items.
    pub collections: Vec<CollectionCounts>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<Place>,
}

/// What stands one segment below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Whether it is a group: everything that goes on behind the name. A name can be both; then the collection
    /// comes first.
    pub is_group: bool,
    /// The NSID of the collection, or the prefix of the group.
    pub name: String,
    /// Its counts in the span; of a group those of all its collections, their accounts united.
    pub counts: Counts,
}

/// A page of children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChildPage {
    /// Everything below the prefix, whatever the page.
    pub total: Counts,
    /// The items.
    pub children: Vec<Child>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<Place>,
}

/// A page of matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPage {
    /// All matches there are.
    pub total: u64,
    /// The items, best first.
    pub matches: Vec<CollectionCounts>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<Place>,
}

fn wrong_list(found: &'static str, expected: &'static str) -> CursorError {
    CursorError::OtherList { found, expected }
}

/// Refuses a place of a list in another order.
fn check(after: Option<&Place>, is_ordered: bool) -> Result<()> {
    match after {
        Some(place) if place.value.is_some() && !is_ordered => {
            Err(wrong_list("an ordered list", "names").into())
        }
        Some(place) if place.value.is_none() && is_ordered => {
            Err(wrong_list("names", "an ordered list").into())
        }
        _ => Ok(()),
    }
}

/// A collection's place in an order: its value, then its name.
type Rank<'v> = (Reverse<u64>, &'v str);

/// The collections with events in `hours`: by name, or in an order. A walk through pages in an order gives each
/// collection once as long as nothing changes; by name, always. By name a page costs a page; in an order it costs
/// all collections.
///
/// # Errors
/// [`Error::Cursor`](crate::Error::Cursor) for a place of another list; otherwise when the index cannot be read.
pub fn collections(
    view: &Snapshot,
    hours: &Hours,
    order: Option<Order>,
    after: Option<&Place>,
    limit: usize,
) -> Result<CollectionPage> {
    check(after, order.is_some())?;
    let mut page = CollectionPage::default();
    let mut sum = BucketSum::default();
    let Some(order) = order else {
        let from = after.map_or(String::new(), |place| format!("{}\0", place.name));
        let mut all = view.collections_from(&from)?;
        while let Some(collection) = all.next_collection()? {
            sum.clear();
            collection.add_to(hours, &mut sum)?;
            if sum.is_empty() {
                continue;
            }
            if page.collections.len() == limit {
                page.next = page.collections.last().map(|last| Place {
                    value: None,
                    is_group: false,
                    name: last.nsid.clone(),
                });
                break;
            }
            page.collections.push(CollectionCounts {
                nsid: collection.name.to_owned(),
                counts: Counts::of(&sum)?,
            });
        }
        return Ok(page);
    };
    let mut ranked = first_of(view, hours, order, after, limit.saturating_add(1))?;
    ranked.sort_unstable_by_key(|(rank, _)| *rank);
    let is_more = ranked.len() > limit;
    ranked.truncate(limit);
    if is_more {
        page.next = ranked.last().map(|((Reverse(value), name), _)| Place {
            value: Some(*value),
            is_group: false,
            name: (*name).to_owned(),
        });
    }
    for ((_, name), counts) in ranked {
        let counts = match counts {
            Some(counts) => counts,
            None => counts_of(view, name, hours, &mut sum)?,
        };
        page.collections.push(CollectionCounts {
            nsid: name.to_owned(),
            counts,
        });
    }
    Ok(page)
}

fn counts_of<'v>(
    view: &'v Snapshot,
    name: &'v str,
    hours: &Hours,
    sum: &mut BucketSum<'v>,
) -> Result<Counts> {
    sum.clear();
    view.collection(name)?.add_to(hours, sum)?;
    Counts::of(sum)
}

/// At least the first `count` collections of an order behind a place, if there are so many, in no order, and their
/// counts where these had to be found. Accounts
/// are united only where the bounds of the buckets leave it open whether the collection is among them: of the
/// collection that may have the most, then the next, until none that is left can be (the threshold algorithm of
/// Fagin, Lotem and Naor, PODS 2001).
fn first_of<'v>(
    view: &'v Snapshot,
    hours: &Hours,
    order: Order,
    after: Option<&Place>,
    count: usize,
) -> Result<Vec<(Rank<'v>, Option<Counts>)>> {
    let place = after.map(|place| (Reverse(place.value.unwrap_or(0)), place.name.as_str()));
    let is_behind = |value, name| place.is_none_or(|place| place < (Reverse(value), name));
    let mut candidates: Vec<(DidsBounds, &str)> = Vec::new();
    let mut all = view.collections_from("")?;
    while let Some(collection) = all.next_collection()? {
        let bounds = match order {
            Order::RecordsCreated => DidsBounds::exactly(collection.counts(hours)?.creates),
            Order::DidsEstimate => collection.dids_bounds(hours)?,
        };
        // The lower the value, the further behind.
        if bounds.high > 0 && is_behind(bounds.low, collection.name) {
            candidates.push((bounds, collection.name));
        }
    }
    candidates.sort_unstable_by_key(|(bounds, _)| Reverse(bounds.high));
    let mut ranked = Vec::new();
    // The largest values so far, at most `count`, the least one first.
    let mut largest: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut sum = BucketSum::default();
    for (bounds, name) in candidates {
        let is_full = largest.len() == count;
        if is_full && largest.peek().is_none_or(|least| bounds.high < least.0) {
            break;
        }
        let counts = if bounds.low == bounds.high {
            None
        } else {
            Some(counts_of(view, name, hours, &mut sum)?)
        };
        let value = counts.map_or(bounds.low, |counts| counts.by(order));
        if value > 0 && is_behind(value, name) {
            ranked.push(((Reverse(value), name), counts));
            largest.push(Reverse(value));
            if is_full {
                largest.pop();
            }
        }
    }
    Ok(ranked)
}

/// Collections one segment below `prefix`, and groups of what is further below, with events in `hours`: by name, or
/// in an order. `prefix` has no trailing dot; it is no child of its own. Costs everything below the prefix.
///
/// # Errors
/// As [`collections`].
pub fn prefix(
    view: &Snapshot,
    prefix: &str,
    hours: &Hours,
    order: Option<Order>,
    after: Option<&Place>,
    limit: usize,
) -> Result<ChildPage> {
    check(after, order.is_some())?;
    let below = format!("{prefix}.");
    let mut total = BucketSum::default();
    let mut sum = BucketSum::default();
    let mut group = BucketSum::default();
    let mut found: BTreeMap<(String, bool), Counts> = BTreeMap::new();
    let mut open: Option<String> = None;
    let mut all = view.collections_from(&below)?;
    loop {
        let collection = all
            .next_collection()?
            .filter(|next| next.name.starts_with(&below));
        // What belongs to a group stands together.
        let name = collection.as_ref().map_or("", |collection| collection.name);
        let segment = name
            .get(below.len()..)
            .and_then(|rest| rest.split_once('.'));
        let of_group = segment.map(|(segment, _)| format!("{below}{segment}"));
        if open != of_group {
            if let Some(ended) = open.take()
                && !group.is_empty()
            {
                found.insert((ended, true), Counts::of(&group)?);
            }
            group.clear();
            open.clone_from(&of_group);
        }
        let Some(collection) = collection else {
            break;
        };
        sum.clear();
        collection.add_to(hours, &mut sum)?;
        if sum.is_empty() {
            continue;
        }
        total.unite(&sum)?;
        if of_group.is_some() {
            group.unite(&sum)?;
        } else {
            found.insert((collection.name.to_owned(), false), Counts::of(&sum)?);
        }
    }
    let mut page = ChildPage {
        total: Counts::of(&total)?,
        ..ChildPage::default()
    };
    let value = |counts: &Counts| order.map(|order| counts.by(order));
    let mut ranked: Vec<_> = found
        .into_iter()
        .map(|((name, is_group), counts)| (Reverse(value(&counts)), name, is_group, counts))
        .filter(|(Reverse(value), ..)| *value != Some(0))
        .filter(|(value, name, is_group, _)| {
            after.is_none_or(|place| {
                (Reverse(place.value), &place.name, place.is_group) < (*value, name, *is_group)
            })
        })
        .collect();
    ranked.sort_unstable_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let is_more = ranked.len() > limit;
    ranked.truncate(limit);
    if is_more {
        page.next = ranked
            .last()
            .map(|(Reverse(value), name, is_group, _)| Place {
                value: *value,
                is_group: *is_group,
                name: name.clone(),
            });
    }
    page.children = ranked
        .into_iter()
        .map(|(_, name, is_group, counts)| Child {
            is_group,
            name,
            counts,
        })
        .collect();
    Ok(page)
}

/// How well a name matches: 0 where a term is one of its segments, 1 where a segment begins with one, 2 where it
/// contains one.
fn rank(name: &str, terms: &[&str]) -> Option<u64> {
    let of = |term: &&str| {
        if name.split('.').any(|segment| segment == *term) {
            Some(0)
        } else if name.split('.').any(|segment| segment.starts_with(*term)) {
            Some(1)
        } else {
            name.contains(*term).then_some(2)
        }
    };
    terms.iter().filter_map(of).min()
}

/// The collections whose names contain any of `terms`, with all-time counts: those with a term as a segment first,
/// then those with a segment that begins with one, then the others; each by name. An empty term is in every name.
/// Costs a look at all names.
///
/// # Errors
/// As [`collections`].
pub fn search(
    view: &Snapshot,
    terms: &[&str],
    after: Option<&Place>,
    limit: usize,
) -> Result<SearchPage> {
    check(after, true)?;
    let mut ranked: Vec<(u64, &str)> = Vec::new();
    let mut page = SearchPage::default();
    let mut all = view.collections_from("")?;
    while let Some(collection) = all.next_collection()? {
        let Some(rank) = rank(collection.name, terms) else {
            continue;
        };
        page.total += 1;
        let key = (rank, collection.name);
        if after.is_none_or(|place| (place.value.unwrap_or(0), place.name.as_str()) < key) {
            ranked.push(key);
        }
    }
    ranked.sort_unstable();
    let is_more = ranked.len() > limit;
    ranked.truncate(limit);
    if is_more {
        page.next = ranked.last().map(|(rank, name)| Place {
            value: Some(*rank),
            is_group: false,
            name: (*name).to_owned(),
        });
    }
    let mut sum = BucketSum::default();
    for (_, name) in ranked {
        sum.clear();
        view.collection(name)?.add_to(&super::ALL_TIME, &mut sum)?;
        page.matches.push(CollectionCounts {
            nsid: name.to_owned(),
            counts: Counts::of(&sum)?,
        });
    }
    Ok(page)
}
