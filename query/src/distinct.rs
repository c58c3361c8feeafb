//! Linking accounts: how many there are, and which, each at its oldest selected link.
//!
//! The answer is read from a table of first links, made by one walk over the list, oldest first. Tables of long,
//! unfiltered lists are kept, and hold as long as each part has the same list with the same masks;
//! events that don't concern the list change nothing. New links at the newest end extend a table in
//! time proportional to what is new.

use std::sync::Arc;

use crate::actor_set::ActorSet;
use crate::backlinks::{selections, subject_of};
use crate::cache::Cache;
use crate::cursor::{Cursor, Kind, Place};
use crate::error::{Result, known};
use crate::selection::{Narrow, Selection, rows_beyond};
use crate::types::{Filter, Page, Paging};
use crate::view::{Part, View};

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

    /// Whether a list of this state became `later` by nothing but new rows at its end.
    fn grew_into(&self, later: &Self) -> bool {
        self.part == later.part && self.masked == later.masked && self.len <= later.len
    }
}

/// The first links of one part: accounts that no older part has, each with its first row.
#[derive(Debug, Clone)]
struct PartFirsts {
    state: ListState,
    /// (row, account), ascending.
    firsts: Arc<Vec<(u32, u32)>>,
}

/// The accounts behind a list, in the order of their first links.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstLinks {
    epoch: u64,
    parts: Vec<PartFirsts>,
    seen: ActorSet,
    total: u64,
}

impl FirstLinks {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes()
            + self
                .parts
                .iter()
                .map(|part| 64 + 8 * part.firsts.capacity())
                .sum::<usize>()
    }

    fn holds<P: Part>(&self, epoch: u64, selections: &[Selection<'_, P>]) -> bool {
        self.epoch == epoch
            && self.parts.len() == selections.len()
            && self
                .parts
                .iter()
                .zip(selections)
                .all(|(part, selection)| part.state == ListState::of(selection))
    }

    /// The table of the lists as they are, keeping what holds of an older one.
    fn refreshed<P: Part>(
        old: Option<&Self>,
        epoch: u64,
        selections: &[Selection<'_, P>],
    ) -> Result<Self> {
        let mut table = Self::default();
        if let Some(old) = old
            && old.epoch == epoch
        {
            let same = old
                .parts
                .iter()
                .zip(selections)
                .take_while(|(part, selection)| part.state == ListState::of(selection))
                .count();
            let grew =
                old.parts.len() == same + 1
                    && old.parts.last().zip(selections.get(same)).is_some_and(
                        |(part, selection)| part.state.grew_into(&ListState::of(selection)),
                    );
            if same == old.parts.len() || grew {
                table = old.clone();
            } else {
                table.parts = old.parts.iter().take(same).cloned().collect();
                for part in &table.parts {
                    for &(_, actor) in part.firsts.iter() {
                        table.seen.insert(actor);
                    }
                    table.total += part.firsts.len() as u64;
                }
            }
            if grew && let Some(selection) = selections.get(same) {
                table.extend_last(selection)?;
            }
        }
        table.epoch = epoch;
        for selection in selections.iter().skip(table.parts.len()) {
            table.add(selection)?;
        }
        Ok(table)
    }

    /// Adds the first links of the next part.
    fn add<P: Part>(&mut self, selection: &Selection<'_, P>) -> Result<()> {
        let mut firsts = Vec::new();
        let seen = &self.seen;
        let by_actors =
            selection.each_first_of_actors(&|actor| seen.contains(actor), &mut |row, actor| {
                firsts.push((row, actor));
            })?;
        if by_actors {
            firsts.sort_unstable();
            for &(_, actor) in &firsts {
                self.seen.insert(actor);
            }
        } else {
            let mut actors = selection.part.actor_reader()?;
            selection.each(&mut |row| {
                let actor = actors(row)?;
                if self.seen.insert(actor) {
                    firsts.push((row, actor));
                }
                Ok(())
            })?;
        }
        firsts.shrink_to_fit();
        self.total += firsts.len() as u64;
        self.parts.push(PartFirsts {
            state: ListState::of(selection),
            firsts: Arc::new(firsts),
        });
        Ok(())
    }

    /// Adds what the last part got since.
    fn extend_last<P: Part>(&mut self, selection: &Selection<'_, P>) -> Result<()> {
        let Some(last) = self.parts.last_mut() else {
            return Ok(());
        };
        let mut actors = selection.part.actor_reader()?;
        let mut new = Vec::new();
        selection.each_from(last.state.len, &mut |row| {
            let actor = actors(row)?;
            if self.seen.insert(actor) {
                new.push((row, actor));
            }
            Ok(())
        })?;
        last.state = ListState::of(selection);
        self.total += new.len() as u64;
        if !new.is_empty() {
            Arc::make_mut(&mut last.firsts).append(&mut new);
        }
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
    let mut parts: Vec<_> = selections.iter().zip(&table.parts).collect();
    if descending {
        parts.reverse();
    }
    for (selection, PartFirsts { firsts, .. }) in parts {
        let part = selection.part;
        let within = rows_beyond(&part, after_seq, descending)?;
        let start = firsts.partition_point(|&(row, _)| row < within.start);
        let end = firsts.partition_point(|&(row, _)| row < within.end);
        let mut some = firsts.get(start..end).unwrap_or_default().iter();
        while let Some(&(row, actor)) = if descending {
            some.next_back()
        } else {
            some.next()
        } {
            if page.items.len() == limit {
                page.cursor = last.map(|last| {
                    Cursor::new(Kind::DistinctDids, paging.reverse, subject.candidate, last)
                });
                return Ok(page);
            }
            let Some(did) = known(view.did(actor))? else {
                continue;
            };
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
