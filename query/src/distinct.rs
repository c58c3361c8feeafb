//! Linking accounts: how many there are, and which, each at its oldest selected link.
//!
//! The answer is read from a table of first links, made by one walk over the list, oldest first: the set of the
//! accounts, and for each part which of its links are first ones, a bit a link. Tables of long,
//! unfiltered lists are kept, and hold as long as each part has the same list with the same masks;
//! events that don't concern the list change nothing. New links at the newest end extend a table in
//! time proportional to what is new, and where other changes touch the newest part alone, it alone is read again.

use std::sync::Arc;

use crate::actor_set::ActorSet;
use crate::backlinks::{selections, subject_of};
use crate::cache::Cache;
use crate::cursor::{Cursor, Kind, Place};
use crate::error::{Result, known};
use crate::places::Places;
use crate::selection::{Narrow, Selection, rows_beyond};
use crate::types::{Filter, Page, Paging};
use crate::view::{BLOCK, Part, View};

/// The state of the list of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListState {
    part: u64,
    len: u32,
    masked: u32,
}

impl ListState {
    pub(crate) fn of<P: Part>(selection: &Selection<'_, P>) -> Self {
        let (len, masked) = selection.list_state();
        Self {
            part: selection.part.id(),
            len,
            masked,
        }
    }

    /// The links of the list, dead and hidden ones included.
    pub(crate) fn links(&self) -> u64 {
        u64::from(self.len)
    }

    /// The state before the first row.
    const fn before_all(self) -> Self {
        Self { len: 0, ..self }
    }

    /// Whether a list of this state became `later` by nothing but new rows at its end.
    fn grew_into(&self, later: &Self) -> bool {
        self.part == later.part && self.masked == later.masked && self.len <= later.len
    }
}

/// The first links of one part: those by accounts that no older part has.
#[derive(Debug, Clone)]
struct PartFirsts {
    state: ListState,
    count: u64,
    places: Places,
}

/// The accounts behind a list, in the order of their first links.
#[derive(Debug, Default)]
pub(crate) struct FirstLinks {
    epoch: u64,
    parts: Vec<PartFirsts>,
    seen: ActorSet,
    /// The accounts of all parts but the last, which is the one that changes.
    seen_before: ActorSet,
    total: u64,
}

impl FirstLinks {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes()
            + self.seen_before.heap_bytes()
            + self
                .parts
                .iter()
                .map(|part| size_of::<PartFirsts>() + part.places.heap_bytes())
                .sum::<usize>()
    }

    fn holds<P: Part>(&self, epoch: u64, selections: &[Selection<'_, P>]) -> bool {
        self.epoch == epoch
            && self.parts.len() == selections.len()
            && self.same(selections) == selections.len()
    }

    /// How many parts, from the oldest on, are as they were.
    fn same<P: Part>(&self, selections: &[Selection<'_, P>]) -> usize {
        let parts = self.parts.iter().zip(selections);
        parts
            .take_while(|(part, selection)| part.state == ListState::of(selection))
            .count()
    }

    /// What still holds of a table; its last part may have got more rows since.
    fn kept<P: Part>(&self, epoch: u64, selections: &[Selection<'_, P>]) -> Option<Self> {
        if self.epoch != epoch {
            return None;
        }
        let same = self.same(selections);
        let last = self.parts.last()?;
        if same + 1 < self.parts.len() {
            // The sets of accounts are not kept for each part.
            return None;
        }
        let now = selections.get(same).map(ListState::of);
        let stays = same == self.parts.len() || now.is_some_and(|now| last.state.grew_into(&now));
        if !stays && now.is_none() {
            // The part before is the last one now: without what was seen before it.
            return None;
        }
        let mut table = Self {
            epoch,
            parts: self.parts.clone(),
            seen: self.seen_before.copy(),
            seen_before: ActorSet::default(),
            total: self.total,
        };
        if stays {
            table.seen = self.seen.copy();
            table.seen_before = self.seen_before.copy();
        } else {
            table.parts.pop();
            table.total -= last.count;
        }
        Some(table)
    }

    /// The table of the lists as they are, keeping what holds of an older one.
    fn refreshed<P: Part>(
        old: Option<&Self>,
        epoch: u64,
        selections: &[Selection<'_, P>],
    ) -> Result<Self> {
        let links = selections
            .iter()
            .map(|selection| ListState::of(selection).links());
        let mut table = old
            .and_then(|old| old.kept(epoch, selections))
            .unwrap_or_else(|| Self {
                epoch,
                seen: ActorSet::for_up_to(links.sum()),
                ..Self::default()
            });
        if let Some(place) = table.parts.len().checked_sub(1)
            && let Some(selection) = selections.get(place)
        {
            table.extend_last(selection)?;
        }
        for (place, selection) in selections.iter().enumerate().skip(table.parts.len()) {
            if place + 1 == selections.len() {
                table.seen_before = table.seen.share();
            }
            table.parts.push(PartFirsts {
                state: ListState::of(selection).before_all(),
                count: 0,
                places: Places::default(),
            });
            if !table.add_by_accounts(selection)? {
                table.extend_last(selection)?;
            }
        }
        table
            .seen_before
            .settle(table.total - table.parts.last().map_or(0, |part| part.count));
        table.seen.settle(table.total);
        Ok(table)
    }

    /// Adds the first links of the last part, which has none yet, where they are found by the accounts of
    /// the filter.
    fn add_by_accounts<P: Part>(&mut self, selection: &Selection<'_, P>) -> Result<bool> {
        let (mut firsts, seen) = (Vec::new(), &self.seen);
        let by_accounts = selection.each_first_of_actors(
            &|actor| seen.contains(actor),
            &mut |place, actor| {
                firsts.push((place, actor));
            },
        )?;
        if let Some(part) = self.parts.last_mut()
            && by_accounts
        {
            for (_, actor) in &firsts {
                self.seen.insert(*actor);
            }
            part.state = ListState::of(selection);
            part.count = firsts.len() as u64;
            self.total += part.count;
            part.places = Places::of(firsts.into_iter().map(|(place, _)| place).collect());
        }
        Ok(by_accounts)
    }

    /// Adds what the last part got since.
    fn extend_last<P: Part>(&mut self, selection: &Selection<'_, P>) -> Result<()> {
        let Some(part) = self.parts.last_mut() else {
            return Ok(());
        };
        let state = ListState::of(selection);
        if part.state == state {
            return Ok(());
        }
        let mut read = selection.part.actor_blocks()?;
        let mut actors = [0; BLOCK];
        let before = part.count;
        selection.each_block(part.state.len, &mut |first, rows, selected| {
            if selected == 0 {
                return Ok(());
            }
            read(rows, &mut actors)?;
            let some = actors.get(..rows.len()).unwrap_or_default();
            let new = self.seen.insert_some(some, selected);
            part.count += u64::from(new.count_ones());
            part.places.add(first, new);
            Ok(())
        })?;
        part.state = state;
        self.total += part.count - before;
        Ok(())
    }
}

/// The table of what is selected, from the cache where it may be.
fn table<V: View>(
    cache: &Cache<FirstLinks>,
    view: &V,
    text: &str,
    filter: &Filter,
    narrow: &Narrow,
    selections: &[Selection<'_, V::Part<'_>>],
) -> Result<Arc<FirstLinks>> {
    let epoch = view.unmask_epoch();
    let links = selections
        .iter()
        .map(|selection| ListState::of(selection).links())
        .sum::<u64>();
    if !narrow.is_open() || links < cache.links_min() {
        return Ok(Arc::new(FirstLinks::refreshed(None, epoch, selections)?));
    }
    let name = format!("{text}\0{}\0{}", filter.collection, filter.path);
    let old = cache.get(&name);
    if let Some(table) = &old
        && table.holds(epoch, selections)
    {
        return Ok(Arc::clone(table));
    }
    let table = Arc::new(FirstLinks::refreshed(old.as_deref(), epoch, selections)?);
    cache.put(&name, Arc::clone(&table), table.heap_bytes());
    Ok(table)
}

/// How many accounts the selected links are by.
pub(crate) fn count<V: View>(cache: &Cache<FirstLinks>, view: &V, filter: &Filter) -> Result<u64> {
    let Some(subject) = subject_of(view, filter, None)? else {
        return Ok(0);
    };
    let narrow = Narrow::new(view, filter)?;
    count_of(cache, view, &subject.text, &subject.key, filter, &narrow)
}

/// The same for a target that is settled already.
pub(crate) fn count_of<V: View>(
    cache: &Cache<FirstLinks>,
    view: &V,
    text: &str,
    key: &V::Key,
    filter: &Filter,
    narrow: &Narrow,
) -> Result<u64> {
    let selections = selections(view, key, filter, narrow)?;
    Ok(table(cache, view, text, filter, narrow, &selections)?.total)
}

/// A page of the accounts that the selected links are by.
pub(crate) fn dids<V: View>(
    cache: &Cache<FirstLinks>,
    view: &V,
    filter: &Filter,
    paging: &Paging,
) -> Result<Page<String>> {
    let limit = paging.items_max()?;
    if let Some(cursor) = &paging.cursor {
        cursor.check(Kind::DistinctDids, paging.reverse)?;
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
    let selections = selections(view, &subject.key, filter, &narrow)?;
    let table = table(cache, view, &subject.text, filter, &narrow, &selections)?;
    page.total = table.total;
    let descending = !paging.reverse;
    let after_seq = paging.cursor.map(|cursor| cursor.place().seq);
    let mut last = None;
    let mut did_of = view.did_reader();
    let mut parts: Vec<_> = selections.iter().zip(&table.parts).collect();
    if descending {
        parts.reverse();
    }
    for (selection, PartFirsts { places, .. }) in parts {
        let part = selection.part;
        let within = rows_beyond(&part, after_seq, descending)?;
        for place in places.walk(selection.places(&within)?, descending) {
            let row = selection.row_at(place)?;
            let actor = part.actor(row)?;
            if page.items.len() == limit {
                page.cursor = last.map(|last| {
                    Cursor::new(Kind::DistinctDids, paging.reverse, subject.candidate, last)
                });
                return Ok(page);
            }
            let mut did = String::new();
            if known(did_of(actor, &mut did))?.is_none() {
                continue;
            }
            page.items.push(did);
            if page.items.len() == limit {
                last = Some(Place {
                    seq: part.seq(row)?,
                    link: 0,
                });
            }
        }
    }
    Ok(page)
}
