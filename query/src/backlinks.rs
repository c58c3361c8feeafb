//! Linking records: how many there are, and which.

use crate::cursor::{Cursor, Kind, Place};
use crate::error::{Result, known};
use crate::selection::{Narrow, Selection, rows_beyond};
use crate::target::{Subject, resolve};
use crate::types::{Filter, Page, Paging, RecordId};
use crate::view::{Part, View};

/// The form of the filter's target that the walk is about.
pub(crate) fn subject_of<V: View>(
    view: &V,
    filter: &Filter,
    cursor: Option<&Cursor>,
) -> Result<Option<Subject<V::Key>>> {
    resolve(
        view,
        &filter.target,
        &filter.collection,
        &filter.path,
        cursor.map(Cursor::candidate),
    )
}

/// What the filter selects, part by part, oldest first.
pub(crate) fn selections<'v, 'n, V: View>(
    view: &'v V,
    key: &V::Key,
    filter: &Filter,
    narrow: &'n Narrow,
) -> Result<Vec<Selection<'n, V::Part<'v>>>> {
    let lists = view.lists(key, &filter.collection, &filter.path)?;
    let mut selections = Vec::with_capacity(lists.len());
    for listed in lists {
        selections.extend(Selection::of(listed, narrow)?);
    }
    Ok(selections)
}

/// How many records the filter selects.
pub(crate) fn count<V: View>(view: &V, filter: &Filter) -> Result<u64> {
    let Some(subject) = subject_of(view, filter, None)? else {
        return Ok(0);
    };
    let narrow = Narrow::new(view, filter)?;
    let mut total = 0;
    for listed in view.lists(&subject.key, &filter.collection, &filter.path)? {
        if let Some(selection) = Selection::of(listed, &narrow)? {
            total += selection.count()?;
        }
    }
    Ok(total)
}

/// A page of the records that the filter selects.
pub(crate) fn records<V: View>(
    view: &V,
    filter: &Filter,
    paging: &Paging,
) -> Result<Page<RecordId>> {
    let limit = paging.items_max()?;
    if let Some(cursor) = &paging.cursor {
        cursor.check(Kind::Records, paging.reverse)?;
    }
    let mut page = Page {
        total: 0,
        items: Vec::new(),
        cursor: None,
    };
    let Some(subject) = subject_of(view, filter, paging.cursor.as_ref())? else {
        return Ok(page);
    };
    let narrow = Narrow::new(view, filter)?;
    let mut selections = selections(view, &subject.key, filter, &narrow)?;
    for selection in &selections {
        page.total += selection.count()?;
    }
    page.items.reserve(limit.min(page.total as usize));
    let descending = !paging.reverse;
    if descending {
        selections.reverse();
    }
    let after_seq = paging.cursor.map(|cursor| cursor.place().seq);
    let mut last = None;
    let mut dids = view.did_reader();
    for selection in &selections {
        let part = selection.part;
        let mut within = rows_beyond(&part, after_seq, descending)?;
        loop {
            // One more than fits tells whether the page is the last.
            let want = limit + 1 - page.items.len();
            let rows = selection.rows(within.clone(), descending, want)?;
            if rows.is_empty() {
                break;
            }
            let mut record = part.record_reader(&mut dids)?;
            for &row in &rows {
                if page.items.len() == limit {
                    page.cursor = last.map(|last| {
                        Cursor::new(Kind::Records, paging.reverse, subject.candidate, last)
                    });
                    return Ok(page);
                }
                let Some(record) = known(record(row))? else {
                    continue;
                };
                page.items.push(record);
                if page.items.len() == limit {
                    last = Some(Place {
                        seq: part.seq(row)?,
                        link: 0,
                    });
                }
            }
            match rows.last() {
                // Some of them cannot be named.
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
