//! Many-to-many: what else the records that link to a subject link to.
//!
//! Items are read off the linking records as they are walked. Counts need all of them first: they come
//! from a table that holds, for each other subject, the place of its first link instead of its string,
//! so that it takes 24 bytes a subject; the strings of a page are read from the index by their places.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::actor_set::IdHash;
use crate::backlinks::{selections, subject_of};
use crate::cache::Cache;
use crate::cursor::{Cursor, Kind, Place};
use crate::distinct::ListState;
use crate::error::{Error, Result, known};
use crate::limits::{OTHER_PAIRS_MAX, OTHER_SUBJECTS_MAX};
use crate::selection::{Narrow, Selection, rows_beyond};
use crate::types::{Filter, ManyItem, ManyPage, ManyToMany, OtherCount, Paging};
use crate::view::{Part, View};

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

/// What is counted of one other subject.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// Its first link, in the order of indexing.
    first: Place,
    total: u32,
    distinct: u32,
}

/// The counts of all other subjects, ordered by their first links.
#[derive(Debug)]
pub(crate) struct OtherCounts {
    epoch: u64,
    /// As of which list of excluded targets.
    excluded: u64,
    lists: Vec<ListState>,
    counts: Vec<Count>,
}

impl OtherCounts {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<ListState>() + self.counts.capacity() * size_of::<Count>()
    }
}

/// In the place of the ordinal of an other subject that is not told.
const EXCLUDED: u32 = u32::MAX;
const _: () = assert!(OTHER_SUBJECTS_MAX < EXCLUDED as usize);

/// Makes the table of counts.
struct Counting {
    counts: Vec<Count>,
    /// (ordinal of the other subject, account), duplicates among them.
    pairs: Vec<u64>,
    /// Length of `pairs` at which duplicates are looked for.
    pairs_full: usize,
    /// Hash of the string of an other subject → its ordinal.
    ordinals: HashMap<u128, u32>,
    /// Keeps writers of records from choosing strings whose hashes meet.
    seed: u64,
}

impl Counting {
    fn new() -> Self {
        Self {
            counts: Vec::new(),
            pairs: Vec::new(),
            pairs_full: 1 << 20,
            ordinals: HashMap::new(),
            seed: RandomState::new().hash_one(0u8),
        }
    }

    fn ordinal(&mut self, subject: &str, first: Place) -> Result<u32> {
        let hash = xxh3_128_with_seed(subject.as_bytes(), self.seed);
        if let Some(&ordinal) = self.ordinals.get(&hash) {
            return Ok(ordinal);
        }
        if self.counts.len() >= OTHER_SUBJECTS_MAX {
            return Err(Error::TooLarge {
                what: "other subjects",
                limit: OTHER_SUBJECTS_MAX,
            });
        }
        let ordinal = self.counts.len() as u32;
        self.ordinals.insert(hash, ordinal);
        self.counts.push(Count {
            first,
            total: 0,
            distinct: 0,
        });
        Ok(ordinal)
    }

    fn add(&mut self, ordinal: u32, actor: u32) -> Result<()> {
        if let Some(count) = self.counts.get_mut(ordinal as usize) {
            count.total = count.total.saturating_add(1);
        }
        if self.pairs.len() >= self.pairs_full {
            self.pairs.sort_unstable();
            self.pairs.dedup();
            if self.pairs.len() >= OTHER_PAIRS_MAX {
                return Err(Error::TooLarge {
                    what: "pairs of an account and an other subject",
                    limit: OTHER_PAIRS_MAX,
                });
            }
            self.pairs_full = (2 * self.pairs.len()).clamp(1 << 20, OTHER_PAIRS_MAX);
        }
        self.pairs.push(u64::from(ordinal) << 32 | u64::from(actor));
        Ok(())
    }

    fn part<P: Part>(
        &mut self,
        selection: &Selection<'_, P>,
        ids: &Ids<P::TargetId>,
        path: &str,
        is_excluded: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let part = selection.part;
        let mut ordinals: HashMap<P::TargetId, u32, IdHash> = HashMap::default();
        let mut actors = part.actor_reader()?;
        let mut read = part.target_reader(path)?;
        let mut targets = Vec::new();
        selection.each(&mut |row| {
            let actor = actors(row)?;
            read(row, &mut targets)?;
            for (link, &id) in (0..).zip(&targets) {
                if !ids.want(id) {
                    continue;
                }
                if let Some(&ordinal) = ordinals.get(&id) {
                    if ordinal != EXCLUDED {
                        self.add(ordinal, actor)?;
                    }
                    continue;
                }
                let place = Place {
                    seq: part.seq(row)?,
                    link,
                };
                if let Some(subject) = known(part.target_string(id))? {
                    if is_excluded(&subject) {
                        ordinals.insert(id, EXCLUDED);
                        continue;
                    }
                    let ordinal = self.ordinal(&subject, place)?;
                    ordinals.insert(id, ordinal);
                    self.add(ordinal, actor)?;
                }
            }
            Ok(())
        })
    }

    fn finish(mut self) -> Vec<Count> {
        // Accounts by other subject: first how many each has, then where the next one of each goes.
        let mut ends = vec![0u32; self.counts.len()];
        let subject = |pair: u64| (pair >> 32) as usize;
        for &pair in &self.pairs {
            if let Some(end) = ends.get_mut(subject(pair)) {
                *end += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            (*end, sum) = (sum, sum + *end);
        }
        let mut accounts = vec![0u32; self.pairs.len()];
        for &pair in &self.pairs {
            if let Some(end) = ends.get_mut(subject(pair))
                && let Some(account) = accounts.get_mut(*end as usize)
            {
                // The lower half is the account.
                *account = pair as u32;
                *end += 1;
            }
        }
        let mut start = 0;
        for (count, end) in self.counts.iter_mut().zip(ends) {
            let some = accounts.get_mut(start..end as usize).unwrap_or_default();
            start = end as usize;
            some.sort_unstable();
            // No slice is empty: every subject was found at some link.
            let steps = some.windows(2).filter(|two| two.first() != two.last());
            count.distinct = steps.count() as u32 + u32::from(!some.is_empty());
        }
        self.counts.shrink_to_fit();
        self.counts
    }
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
    let is_excluded = |subject: &str| excluded != 0 && view.is_excluded_target(subject);
    let lists: Vec<_> = selections.iter().map(ListState::of).collect();
    if let Some(name) = &name
        && let Some(table) = cache.get(name)
        && (table.epoch, table.excluded) == (epoch, excluded)
        && table.lists == lists
    {
        return Ok(table);
    }
    let mut counting = Counting::new();
    for selection in selections {
        let ids = others.ids(&selection.part)?;
        if !ids.none() {
            counting.part(selection, &ids, path, &is_excluded)?;
        }
    }
    let links = lists.iter().map(ListState::links).sum::<u64>();
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
    let after = paging.cursor.map(|cursor| cursor.place());
    let rest = match after {
        None => table.counts.as_slice(),
        Some(after) if paging.reverse => {
            let end = table.counts.partition_point(|count| count.first < after);
            table.counts.get(..end).unwrap_or_default()
        }
        Some(after) => {
            let start = table.counts.partition_point(|count| count.first <= after);
            table.counts.get(start..).unwrap_or_default()
        }
    };
    let some: Vec<&Count> = if paging.reverse {
        rest.iter().rev().take(limit).collect()
    } else {
        rest.iter().take(limit).collect()
    };
    for count in &some {
        page.items.push(OtherCount {
            subject: string_at(&selections, count.first, path)?,
            total: u64::from(count.total),
            distinct: u64::from(count.distinct),
        });
    }
    if rest.len() > limit {
        page.cursor = some.last().map(|count| {
            Cursor::new(
                Kind::ManyCounts,
                paging.reverse,
                subject.candidate,
                count.first,
            )
        });
    }
    Ok(page)
}

/// The string of the target of the link at a place.
fn string_at<P: Part>(selections: &[Selection<'_, P>], place: Place, path: &str) -> Result<String> {
    let i = selections.partition_point(|selection| selection.part.last_seq() < place.seq);
    let found = selections.get(i).map(|selection| {
        let part = selection.part;
        let row = part.lower_bound_seq(place.seq)?;
        let mut found = None;
        if row < part.rows() {
            let mut link = 0;
            part.targets_at(row, path, &mut |id| {
                if link == place.link {
                    found = Some(id);
                }
                link += 1;
                Ok(())
            })?;
        }
        found.map(|id| part.target_string(id)).transpose()
    });
    // The table was made from this very view, so a link that is gone means that the index
    // contradicts itself.
    found.transpose()?.flatten().ok_or_else(|| {
        Error::index(std::io::Error::other(format!(
            "no link {} at {path} in the record of seq {}",
            place.link, place.seq
        )))
    })
}
