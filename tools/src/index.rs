//! The engine's store as what the server asks. Each answer stands on one snapshot, taken when the call
//! begins, and tells how far that snapshot reaches.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orrery_engine::{SelectionEntry, Snapshot, Store};
use orrery_ingest::Whole;
use orrery_query::samples;
use orrery_query::stats::{self, Place};
use orrery_query::{
    Cursor, Filter, KeptCounts, ManyItem, ManyPage, ManyToMany, OtherCount, Page, Queries,
    RecordId, SourceTotals, Stats,
};
use orrery_server::{
    Answer, CollectionCounts, Counts, ExcludeAsked, ExcludeError, ExcludeList, ExcludeReport,
    Excluded, Fact, Hours, Index, IndexError, Listing, Order, Paging, PrefixCounts,
    RecordsAndAccounts, SampleRecord, SamplesOf, SeriesOf, Status, Steps,
};
use parking_lot::RwLock;

use serde_json::value::RawValue;

use crate::health::{Health, now_us};
use crate::{facts, lost, vitals};

/// How long a change of the exclude list waits for the writer, which looks at it at least once a second.
const EXCLUDE_WAIT: Duration = Duration::from_secs(8);

/// Answers from a store.
pub(crate) struct StoreIndex {
    store: Store,
    queries: Queries,
    counts: KeptCounts,
    whole: RwLock<Selected>,
    /// Set once where a source is followed.
    health: OnceLock<Arc<Health>>,
}

/// What the directory has whole.
struct Selected {
    /// The store's selections that this follows from.
    from: Arc<[SelectionEntry]>,
    /// `None` where it is not known.
    whole: Option<Whole>,
}

impl Selected {
    fn of(from: Arc<[SelectionEntry]>) -> Self {
        let whole = Whole::of(&from);
        Self { from, whole }
    }
}

impl StoreIndex {
    /// Answers from `store`.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            whole: RwLock::new(Selected::of(store.selections())),
            store,
            queries: Queries::default(),
            counts: KeptCounts::default(),
            health: OnceLock::new(),
        }
    }

    /// Asks what the directory has whole. That changes when a source is followed, and where it turns out that a source
    /// does not reach back.
    fn with_whole<T>(&self, ask: impl FnOnce(Option<&Whole>) -> T) -> T {
        let now = self.store.selections();
        let known = self.whole.read();
        if Arc::ptr_eq(&known.from, &now) {
            return ask(known.whole.as_ref());
        }
        drop(known);
        let selected = Selected::of(now);
        let answer = ask(selected.whole.as_ref());
        *self.whole.write() = selected;
        answer
    }

    /// From when on the snapshot has all that is selected. A directory from before selections were remembered may
    /// lack anything.
    fn coverage_from_us(&self, snapshot: &Snapshot) -> Option<u64> {
        let since_us = self.with_whole(|whole| whole.map(|whole| whole.since_us))?;
        Some(snapshot.coverage_from_us()?.max(since_us))
    }

    /// Whether the present selection takes the collection.
    pub(crate) fn selects(&self, collection: &str) -> bool {
        self.with_whole(|whole| whole.is_some_and(|whole| whole.selection.takes(collection)))
    }

    /// Whether the source is connected and has brought nothing for so long.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        let health = self.health.get();
        health.is_some_and(|health| health.is_quiet_for(time))
    }

    /// Tells of the followed source from now on.
    pub(crate) fn set_health(&self, health: Arc<Health>) {
        // The first one stays; there is one source in the life of a process.
        let _ = self.health.set(health);
    }

    /// Runs `ask` on a snapshot. Damage that it meets is set aside, and it runs again on what is left.
    fn answer<T>(
        &self,
        ask: impl Fn(&Snapshot) -> orrery_query::Result<T>,
    ) -> Result<Answer<T>, IndexError> {
        self.answer_of(&stats::ALL_TIME, ask)
    }

    /// Asks for what events of `hours` led to: damage of other times doesn't touch it.
    fn answer_of<T>(
        &self,
        hours: &Hours,
        ask: impl Fn(&Snapshot) -> orrery_query::Result<T>,
    ) -> Result<Answer<T>, IndexError> {
        loop {
            let snapshot = self.store.snapshot();
            let value = match ask(&snapshot) {
                Err(error) if is_mended(&self.store, &error) => continue,
                value => value?,
            };
            return Ok(self.resting_on(&snapshot, hours, value));
        }
    }

    /// An answer with what it rests on.
    fn resting_on<T>(&self, snapshot: &Snapshot, hours: &Hours, value: T) -> Answer<T> {
        let degraded = snapshot.degraded_in(hours.clone());
        let degraded = degraded.map(|d| (d.first_seq, d.last_seq)).collect();
        Answer {
            value,
            indexed_through_us: snapshot.indexed_through_us(),
            coverage_from_us: self.coverage_from_us(snapshot),
            degraded: lost::with_gaps(degraded, &self.store.gaps()),
        }
    }
}

/// Whether the error is about damage that newer snapshots leave out. Each piece of damage is new once.
pub(crate) fn is_mended(store: &Store, error: &orrery_query::Error) -> bool {
    let orrery_query::Error::Index(source) = error else {
        return false;
    };
    let source = source.downcast_ref::<orrery_engine::Error>();
    source.is_some_and(|error| store.report_damage(error))
}

fn paging(paging: &Paging) -> orrery_query::Result<orrery_query::Paging> {
    let cursor = paging.cursor.as_deref().map(str::parse::<Cursor>);
    Ok(orrery_query::Paging {
        limit: paging.limit,
        cursor: cursor.transpose()?,
        reverse: paging.reverse,
    })
}

fn listing<T>(page: Page<T>) -> Listing<T> {
    Listing {
        total: Some(page.total),
        items: page.items,
        cursor: page.cursor.map(|cursor| cursor.to_string()),
    }
}

fn many_listing<T>(page: ManyPage<T>) -> Listing<T> {
    Listing {
        total: None,
        items: page.items,
        cursor: page.cursor.map(|cursor| cursor.to_string()),
    }
}

impl Index for StoreIndex {
    fn count(&self, filter: &Filter) -> Result<Answer<u64>, IndexError> {
        self.answer(|snapshot| self.counts.count(snapshot, filter))
    }

    fn count_at_once(&self, target: &str, collection: &str, path: &str) -> Option<Answer<u64>> {
        let snapshot = self.store.snapshot();
        let count = self.counts.get(&snapshot, target, collection, path)?;
        Some(self.resting_on(&snapshot, &stats::ALL_TIME, count))
    }

    fn count_distinct(&self, filter: &Filter) -> Result<Answer<u64>, IndexError> {
        self.answer(|snapshot| self.queries.count_distinct(snapshot, filter))
    }

    fn counts(
        &self,
        filters: &[Filter],
        with_accounts: bool,
    ) -> Result<Answer<Vec<RecordsAndAccounts>>, IndexError> {
        self.answer(|snapshot| {
            let counts = filters.iter().map(|filter| {
                let records = self.queries.count(snapshot, filter)?;
                let accounts = with_accounts
                    .then(|| self.queries.count_distinct(snapshot, filter))
                    .transpose()?;
                Ok((records, accounts))
            });
            counts.collect()
        })
    }

    fn first_pages(
        &self,
        filters: &[Filter],
        limit: u32,
    ) -> Result<Answer<Vec<Listing<RecordId>>>, IndexError> {
        let page = orrery_query::Paging {
            limit,
            cursor: None,
            reverse: false,
        };
        self.answer(|snapshot| {
            let pages = filters
                .iter()
                .map(|filter| Ok(listing(self.queries.records(snapshot, filter, &page)?)));
            pages.collect()
        })
    }

    fn records(
        &self,
        filter: &Filter,
        page: &Paging,
    ) -> Result<Answer<Listing<RecordId>>, IndexError> {
        let page = paging(page)?;
        self.answer(|snapshot| Ok(listing(self.queries.records(snapshot, filter, &page)?)))
    }

    fn distinct_dids(
        &self,
        filter: &Filter,
        page: &Paging,
    ) -> Result<Answer<Listing<String>>, IndexError> {
        let page = paging(page)?;
        self.answer(|snapshot| {
            Ok(listing(
                self.queries.distinct_dids(snapshot, filter, &page)?,
            ))
        })
    }

    fn all(&self, target: &str) -> Result<Answer<Vec<SourceTotals>>, IndexError> {
        self.answer(|snapshot| self.queries.all(snapshot, target))
    }

    fn all_counts(&self, target: &str) -> Result<Answer<Vec<(String, String, u64)>>, IndexError> {
        self.answer(|snapshot| self.queries.all_counts(snapshot, target))
    }

    fn many_to_many(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        page: &Paging,
    ) -> Result<Answer<Listing<ManyItem>>, IndexError> {
        let page = paging(page)?;
        self.answer(|snapshot| {
            let page = self.queries.many_to_many(snapshot, filter, many, &page)?;
            Ok(many_listing(page))
        })
    }

    fn many_to_many_counts(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        page: &Paging,
    ) -> Result<Answer<Listing<OtherCount>>, IndexError> {
        let page = paging(page)?;
        self.answer(|snapshot| {
            let page = self
                .queries
                .many_to_many_counts(snapshot, filter, many, &page)?;
            Ok(many_listing(page))
        })
    }

    fn stats(&self) -> Result<Answer<Stats>, IndexError> {
        self.answer(|snapshot| self.queries.stats(snapshot))
    }

    fn sample_records(
        &self,
        of: SamplesOf<'_>,
        limit: usize,
    ) -> Result<Answer<Vec<SampleRecord>>, IndexError> {
        self.answer(|snapshot| {
            let found = match of {
                SamplesOf::Collections(names) => samples::records(snapshot, names, limit)?,
                SamplesOf::ActiveSince(since_us) => {
                    samples::all_records(snapshot, since_us, limit)?
                }
            };
            // A body that is no JSON is of a source that this answer has no form for.
            Ok(found.into_iter().filter_map(shown).collect())
        })
    }

    fn storage(&self) -> Vec<(String, u64)> {
        let bytes = self.store.status().bytes;
        bytes
            .iter()
            .map(|(kind, bytes)| (kind.to_string(), *bytes))
            .collect()
    }

    fn collections(
        &self,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError> {
        let (after, limit) = place(paging)?;
        self.answer_of(hours, |snapshot| {
            let page = stats::collections(snapshot, hours, order, after.as_ref(), limit)?;
            Ok(stats_listing(None, page.collections, page.next.as_ref()))
        })
    }

    fn collection_counts(
        &self,
        collections: &[&str],
        hours: &Hours,
    ) -> Result<Answer<Vec<Counts>>, IndexError> {
        self.answer_of(hours, |snapshot| {
            stats::of_collections(snapshot, collections, hours)
        })
    }

    fn prefix(
        &self,
        prefix: &str,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<PrefixCounts>, IndexError> {
        let (after, limit) = place(paging)?;
        self.answer_of(hours, |snapshot| {
            let page = stats::prefix(snapshot, prefix, hours, order, after.as_ref(), limit)?;
            Ok(PrefixCounts {
                total: page.total,
                children: stats_listing(None, page.children, page.next.as_ref()),
            })
        })
    }

    fn timeseries(
        &self,
        series: &[SeriesOf<'_>],
        steps: &Steps,
    ) -> Result<Answer<Vec<Vec<Counts>>>, IndexError> {
        self.answer_of(&steps.span(), |snapshot| {
            stats::timeseries(snapshot, series, steps)
        })
    }

    fn search(
        &self,
        terms: &[&str],
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError> {
        let (after, limit) = place(paging)?;
        self.answer(|snapshot| {
            let page = stats::search(snapshot, terms, after.as_ref(), limit)?;
            let total = Some(page.total);
            Ok(stats_listing(total, page.matches, page.next.as_ref()))
        })
    }

    fn status(&self) -> Status {
        let snapshot = self.store.snapshot();
        let indexed_through_us = snapshot.indexed_through_us();
        let store = self.store.status();
        let health = self.health.get();
        let reasons = [
            store.poisoned,
            store.paused.map(|why| format!("paused: {why}")),
        ];
        let lost = store.gaps.iter().map(lost::sentence);
        let damaged = store.degraded.iter().map(|degraded| {
            let accounts = match (degraded.has_accounts, degraded.is_written_off) {
                (true, false) => "its accounts can be read, and ingest goes on",
                (true, true) => "it is written off but for its accounts, which can be read, and ingest goes on",
                (false, true) if degraded.gave_up_accounts => "it is written off, and ingest goes on",
                (false, _) => "events of accounts that only it may know wait",
            };
            format!(
                "{} is set aside as damaged, with seq {} to {}: {}; {accounts}; to bring it back, stop and run `orrery \
                 repair`",
                degraded.file, degraded.first_seq, degraded.last_seq, degraded.why
            )
        });
        let reasons: Vec<String> = reasons
            .into_iter()
            .flatten()
            .chain(lost)
            .chain(damaged)
            .collect();
        let degraded = (!reasons.is_empty()).then(|| reasons.join("; "));
        Status {
            indexed_through_us,
            coverage_from_us: self.coverage_from_us(&snapshot),
            source: health.map(|health| health.source().to_owned()),
            lag_us: health.and_then(|health| health.lag_us(indexed_through_us)),
            degraded,
            selection: self.selection(),
        }
    }

    fn selection(&self) -> orrery_server::Selection {
        self.with_whole(|whole| {
            let selection = whole.map(|whole| &whole.selection);
            selection.map_or_else(orrery_server::Selection::default, |selection| {
                orrery_server::Selection {
                    collections: selection.only(),
                    exclude: selection.except(),
                }
            })
        })
    }

    fn excluded(&self) -> ExcludeList {
        let list = self.store.exclusions();
        let entries = list.entries().map(|entry| Excluded {
            kind: entry.kind.name(),
            value: entry.value,
            time_us: entry.time_us,
            reason: entry.reason,
        });
        ExcludeList {
            entries: entries.collect(),
            pending: self.store.exclusions_pending(),
        }
    }

    fn exclude(
        &self,
        asked: &[ExcludeAsked],
        excluded: bool,
    ) -> Result<ExcludeReport, ExcludeError> {
        let now_us = now_us();
        let mut entries = Vec::with_capacity(asked.len());
        for asked in asked {
            let entry = orrery_engine::Excluded::parse(&asked.value, asked.target)
                .and_then(|entry| entry.because(&asked.reason, now_us));
            entries.push(entry.map_err(ExcludeError::Invalid)?);
        }
        let report = match excluded {
            true => self.store.exclude(&entries, EXCLUDE_WAIT),
            false => self.store.include(&entries, EXCLUDE_WAIT),
        };
        let report = report.map_err(|error| match error {
            orrery_engine::Error::Config(message) => ExcludeError::Invalid(message),
            error if error.is_done_until_power_cut() => ExcludeError::NotDurable(error.to_string()),
            error => ExcludeError::Failed(error.to_string()),
        })?;
        let status = (report.pending > 0).then(|| self.store.status());
        Ok(ExcludeReport {
            changed: report.changed,
            unchanged: report.unchanged,
            pending: report.pending,
            shown: report.shown,
            waits: status.and_then(|status| status.poisoned.or(status.paused)),
        })
    }

    fn vitals(&self) -> orrery_server::Vitals {
        vitals::of(&self.store, self.health.get().map(|health| &**health))
    }

    fn vitals_now(&self, seen: &orrery_server::Vitals) -> orrery_server::Vitals {
        let health = self.health.get().map(|health| &**health);
        vitals::with_room(&self.store, health, seen.room)
    }

    fn facts(&self) -> Vec<Fact> {
        facts::of(&self.store, self.health.get().map(|health| &**health))
    }
}

/// Behind which place a page of collections begins, and its size.
fn place(paging: &Paging) -> orrery_query::Result<(Option<Place>, usize)> {
    let place = paging.cursor.as_deref().map(str::parse::<Place>);
    Ok((place.transpose()?, paging.limit as usize))
}

fn stats_listing<T>(total: Option<u64>, items: Vec<T>, next: Option<&Place>) -> Listing<T> {
    Listing {
        total,
        items,
        cursor: next.map(Place::to_string),
    }
}

/// A sample as the server gives it, its body unchanged.
fn shown(sample: orrery_engine::SampleRecord) -> Option<SampleRecord> {
    let body = String::from_utf8(sample.body).ok()?;
    Some(SampleRecord {
        did: sample.did,
        collection: sample.collection,
        rkey: sample.rkey,
        record: RawValue::from_string(body).ok()?,
        time_us: sample.time_us,
    })
}
