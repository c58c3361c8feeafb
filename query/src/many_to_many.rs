//! Many-to-many: what else the records that link to a subject link to.
//!
//! Items are read off the linking records as they are walked. Counts need all of them first: they come
//! from a table that holds, for each other subject, the place of its first link instead of its string,
//! so that it takes a few bytes a subject; the strings of a page are read from the index by their places.

mod counting;
mod ordinals;
mod table;

use std::sync::Arc;

use crate::backlinks::{selections, subject_of};
use crate::cache::Cache;
use crate::cursor::{Cursor, Kind, Place};
use crate::distinct::ListState;
use crate::error::{Error, Result, known};
use crate::selection::{Narrow, Selection, rows_beyond};
use crate::types::{Filter, ManyItem, ManyPage, ManyToMany, OtherCount, Paging};
use crate::view::{Part, View};
pub(crate) use counting::OtherCounts;
use counting::{Counting, Excludes};
use table::{At, Count};

/// Linking records that are looked at in one go, at least, when items are walked.
const ROWS_STEP_MIN: usize = 128;

/// The other subjects that are wanted.
enum Others<K> {
    All,
    Some(Vec<K>),
}

impl<K> Others<K> {
    fn new<V: View<Key = K>>(view: &V, many: &ManyToMany) -> Result<Self> {
        let Some(subjects) = &many.other_subjects else {
            return Ok(Self::All);
        };
        let mut keys = Vec::new();
        for subject in subjects {
            let normalised = orrery_links::normalise_target(subject);
            keys.extend(view.target_key(subject)?);
            if let Some(normalised) = normalised
                && normalised != subject.as_str()
            {
                keys.extend(view.target_key(&normalised)?);
            }
        }
        Ok(Self::Some(keys))
    }

    /// Their ids in one part.
    fn ids<P: Part<Key = K>>(&self, part: &P) -> Result<Ids<P::TargetId>> {
        match self {
            Self::All => Ok(Ids::All),
            Self::Some(keys) => {
                let mut ids = Vec::new();
                for key in keys {
                    if let Some(id) = part.target_id(key)?
                        && !ids.contains(&id)
                    {
                        ids.push(id);
                    }
                }
                Ok(Ids::Some(ids))
            }
        }
    }

    /// Lets the selection walk their lists, where these are shorter than its own.
    fn drive<P: Part<Key = K>>(
        &self,
        selection: &mut Selection<'_, P>,
        filter: &Filter,
        many: &ManyToMany,
    ) -> Result<()> {
        if let Self::Some(keys) = self {
            let mut lists = Vec::new();
            for key in keys {
                lists.extend(
                    selection
                        .part
                        .list(key, &filter.collection, &many.path_to_other)?,
                );
            }
            selection.within_others(lists)?;
        }
        Ok(())
    }
}

/// The other subjects that are wanted, as ids in one part.
enum Ids<T> {
    All,
    Some(Vec<T>),
}

impl<T: Copy + Eq> Ids<T> {
    fn none(&self) -> bool {
        matches!(self, Self::Some(ids) if ids.is_empty())
    }

    fn want(&self, id: T) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(&id),
        }
    }
}

/// A page of pairs of a linking record and an other subject.
pub(crate) fn items<V: View>(
    view: &V,
    filter: &Filter,
    many: &ManyToMany,
    paging: &Paging,
) -> Result<ManyPage<ManyItem>> {
    let limit = paging.items_max()?;
    if let Some(cursor) = &paging.cursor {
        cursor.check(Kind::ManyItems, paging.reverse)?;
    }
    let mut page = ManyPage {
        items: Vec::new(),
        cursor: None,
    };
    let Some(subject) = subject_of(view, filter, paging.cursor.as_ref())? else {
        return Ok(page);
    };
    let narrow = Narrow::new(view, filter)?;
    let others = Others::new(view, many)?;
    let mut selections = selections(view, &subject.key, filter, &narrow)?;
    let descending = paging.reverse;
    if descending {
        selections.reverse();
    }
    let after = paging.cursor.map(|cursor| cursor.place());
    // The record in which the page before ended may have more pairs.
    let after_seq = after.and_then(|place| {
        if descending {
            place.seq.checked_add(1)
        } else {
            place.seq.checked_sub(1)
        }
    });
    let mut last = None;
    let mut targets = Vec::new();
    let excludes = view.excluded_version() != 0;
    for mut selection in selections {
        let part = selection.part;
        let mut within = rows_beyond(&part, after_seq, descending)?;
        let ids = others.ids(&part)?;
        if within.is_empty() || ids.none() {
            continue;
        }
        others.drive(&mut selection, filter, many)?;
        loop {
            let want = (limit + 1 - page.items.len()).max(ROWS_STEP_MIN);
            let rows = selection.rows(within.clone(), descending, want)?;
            for &row in &rows {
                let seq = part.seq(row)?;
                targets.clear();
                part.targets_at(row, &many.path_to_other, &mut |id| {
                    targets.push(id);
                    Ok(())
                })?;
                let mut places: Vec<_> = (0u32..).zip(&targets).collect();
                if descending {
                    places.reverse();
                }
                for (link, &id) in places {
                    let place = Place { seq, link };
                    let given = after.is_some_and(|after| {
                        if descending {
                            place >= after
                        } else {
                            place <= after
                        }
                    });
                    if given || !ids.want(id) {
                        continue;
                    }
                    if excludes
                        && known(part.target_string(id))?
                            .is_some_and(|subject| view.is_excluded_target(&subject))
                    {
                        continue;
                    }
                    if page.items.len() == limit {
                        page.cursor = last.map(|last| {
                            Cursor::new(Kind::ManyItems, paging.reverse, subject.candidate, last)
                        });
                        return Ok(page);
                    }
                    if let (Some(record), Some(other_subject)) =
                        (known(part.record(row))?, known(part.target_string(id))?)
                    {
                        page.items.push(ManyItem {
                            record,
                            other_subject,
                        });
                    }
                    last = Some(place);
                }
            }
            match rows.last() {
                Some(&row) if rows.len() == want => {
                    if descending {
                        within.end = row;
                    } else {
                        within.start = row + 1;
                    }
                }
                _ => break,
            }
        }
    }
    Ok(page)
}

fn table<V: View>(
    cache: &Cache<OtherCounts>,
    view: &V,
    name: Option<String>,
    others: &Others<V::Key>,
    path: &str,
    selections: &[Selection<'_, V::Part<'_>>],
) -> Result<Arc<OtherCounts>> {
    let (epoch, excluded) = (view.unmask_epoch(), view.excluded_version());
    let is_excluded = |subject: &str| view.is_excluded_target(subject);
    let is_excluded: Excludes<'_> = (excluded != 0).then_some(&is_excluded);
    let lists: Vec<_> = selections.iter().map(ListState::of).collect();
    if let Some(name) = &name
        && let Some(table) = cache.get(name)
        && (table.epoch, table.excluded) == (epoch, excluded)
        && table.lists == lists
    {
        return Ok(table);
    }
    let links = lists.iter().map(ListState::links).sum::<u64>();
    let mut counting = Counting::new(links);
    for (number, selection) in (0..).zip(selections) {
        let ids = others.ids(&selection.part)?;
        if !ids.none() {
            counting.part(number, selection, &ids, path, is_excluded)?;
        }
    }
    let table = Arc::new(OtherCounts {
        epoch,
        excluded,
        lists,
        counts: counting.finish(),
    });
    if let Some(name) = name
        && links >= cache.links_min()
    {
        cache.put(&name, Arc::clone(&table), table.heap_bytes());
    }
    Ok(table)
}

/// A page of other subjects with their counts.
pub(crate) fn counts<V: View>(
    cache: &Cache<OtherCounts>,
    view: &V,
    filter: &Filter,
    many: &ManyToMany,
    paging: &Paging,
) -> Result<ManyPage<OtherCount>> {
    let limit = paging.items_max()?;
    if let Some(cursor) = &paging.cursor {
        cursor.check(Kind::ManyCounts, paging.reverse)?;
    }
    let mut page = ManyPage {
        items: Vec::new(),
        cursor: None,
    };
    let Some(subject) = subject_of(view, filter, paging.cursor.as_ref())? else {
        return Ok(page);
    };
    let narrow = Narrow::new(view, filter)?;
    let others = Others::new(view, many)?;
    let mut selections = selections(view, &subject.key, filter, &narrow)?;
    for selection in &mut selections {
        others.drive(selection, filter, many)?;
    }
    let name = (narrow.is_open() && matches!(others, Others::All)).then(|| {
        format!(
            "{}\0{}\0{}\0{}",
            subject.text, filter.collection, filter.path, many.path_to_other
        )
    });
    let path = &many.path_to_other;
    let table = table(cache, view, name, &others, path, &selections)?;
    let counts = &table.counts;
    let after = paging.cursor.map(|cursor| cursor.place());
    // The subjects that are left, of which a page takes those at one end.
    let left = match after {
        None => 0..counts.len(),
        Some(after) if paging.reverse => 0..counts.before(link_at(&selections, after)?),
        Some(after) => counts.before(link_behind(&selections, after)?)..counts.len(),
    };
    let items = left.len().min(limit);
    let some: Vec<Count> = if paging.reverse {
        let mut some = counts.range(left.end - items..left.end);
        some.reverse();
        some
    } else {
        counts.range(left.start..left.start + items)
    };
    for count in &some {
        page.items.push(OtherCount {
            subject: string_at(&selections, count.first, path)?,
            total: u64::from(count.total),
            distinct: u64::from(count.distinct),
        });
    }
    if left.len() > limit
        && let Some(last) = some.last()
    {
        let place = place_of(&selections, last.first)?;
        let cursor = Cursor::new(Kind::ManyCounts, paging.reverse, subject.candidate, place);
        page.cursor = Some(cursor);
    }
    Ok(page)
}

/// Where the link of a place stands, and whether its record is there: else the place of the first link behind it.
fn find_place<P: Part>(selections: &[Selection<'_, P>], place: Place) -> Result<(At, bool)> {
    let number = selections.partition_point(|selection| selection.part.last_seq() < place.seq);
    let Some(selection) = selections.get(number) else {
        return Ok((At::END, false));
    };
    let part = selection.part;
    let row = part.lower_bound_seq(place.seq)?;
    let is_there = row < part.rows() && part.seq(row)? == place.seq;
    let link = if is_there { place.link } else { 0 };
    Ok((At::new(number as u32, row, link), is_there))
}

/// Where the link of a place stands, or what comes behind it.
fn link_at<P: Part>(selections: &[Selection<'_, P>], place: Place) -> Result<At> {
    Ok(find_place(selections, place)?.0)
}

/// What comes directly behind the link of a place.
fn link_behind<P: Part>(selections: &[Selection<'_, P>], place: Place) -> Result<At> {
    let (at, is_there) = find_place(selections, place)?;
    Ok(if is_there { at.behind() } else { at })
}

/// The part of a link that was counted, out of the selections that it was counted of.
fn part_of<P: Part>(selections: &[Selection<'_, P>], at: At) -> Result<P> {
    let selection = selections.get(at.part() as usize);
    selection.map(|selection| selection.part).ok_or_else(|| {
        let why = format!("a link of part {} of {}", at.part(), selections.len());
        Error::index(std::io::Error::other(why))
    })
}

fn place_of<P: Part>(selections: &[Selection<'_, P>], at: At) -> Result<Place> {
    Ok(Place {
        seq: part_of(selections, at)?.seq(at.row())?,
        link: at.link(),
    })
}

/// The string of the target of a link that was counted.
fn string_at<P: Part>(selections: &[Selection<'_, P>], at: At, path: &str) -> Result<String> {
    let part = part_of(selections, at)?;
    let (mut found, mut link) = (None, 0);
    if at.row() < part.rows() {
        part.targets_at(at.row(), path, &mut |id| {
            if link == at.link() {
                found = Some(id);
            }
            link += 1;
            Ok(())
        })?;
    }
    // The table was made from this very view, so a link that is gone means that the index
    // contradicts itself.
    let found = found.map(|id| part.target_string(id)).transpose()?;
    found.ok_or_else(|| {
        Error::index(std::io::Error::other(format!(
            "no link {} at {path} in row {} of the part that begins with seq {}",
            at.link(),
            at.row(),
            part.first_seq(),
        )))
    })
}
