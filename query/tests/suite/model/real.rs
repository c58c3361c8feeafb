//! The real engine and the real queries as a system.

use std::sync::Arc;
use std::time::Duration;

use orrery_engine::event::{self as wire, Encoding, Record};
use orrery_engine::{Applied, Excluded, Options, Snapshot, SourceCursor, Store, Writer};
use orrery_query::{Cursor, Filter, KeptCounts, ManyToMany, Page, Paging, Queries, RecordId};
use tempfile::TempDir;

use super::event::{Body, Event, Key, Operation, Outcome};
use super::run::WalkPage;
use super::view::{Listing, Other, Question, SourceCounts, System, View};

/// The most pages a walk may take before it is taken for endless.
const PAGES_MAX: usize = 100_000;

/// A data directory of its own, open.
pub struct Real {
    directory: TempDir,
    options: Options,
    /// `None` only while restarting.
    open: Option<(Store, Writer)>,
    queries: Arc<Queries>,
    counts: Arc<KeptCounts>,
}

/// A snapshot with the queries that it is asked through.
pub struct RealView {
    snapshot: Snapshot,
    queries: Arc<Queries>,
    counts: Arc<KeptCounts>,
}

/// Settings that seal after `events` events and commit after a few hundred bytes, or only when told.
pub fn options(seal_events: u32, eager_commit: bool) -> Options {
    let mut options = Options::default();
    options.seal_events = seal_events;
    options.commit_interval = Duration::from_secs(3_600);
    // Merges are operations here.
    options.compact = false;
    options.compact_fan_in = 2;
    if eager_commit {
        options.commit_bytes = 300;
    }
    options
}

impl Real {
    pub fn new(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut real = Self {
            directory,
            options,
            open: None,
            queries: Arc::default(),
            counts: Arc::default(),
        };
        real.start();
        real
    }

    fn start(&mut self) {
        let store =
            Store::open(self.directory.path(), self.options.clone()).expect("the store opens");
        let writer = store.writer().expect("the writer is free");
        // A cache is of one run: seqs of events that were never durable are given again.
        self.queries = Arc::new(Queries::with_links_min(1 << 20, 1));
        self.counts = Arc::default();
        self.open = Some((store, writer));
    }

    fn writer(&mut self) -> &mut Writer {
        &mut self.open.as_mut().expect("open").1
    }

    /// Stops without making anything durable, and starts again. Tells the cursor found then.
    pub fn crash(&mut self) -> u64 {
        self.open = None;
        self.start();
        self.durable()
    }

    /// The durable position; 0 when there is none.
    pub fn durable(&mut self) -> u64 {
        self.writer()
            .durable_cursor()
            .map_or(0, |cursor| cursor.value)
    }

    /// Tells the position of the last applied event, and lets a commit that is due happen.
    pub fn at(&mut self, value: u64) {
        let cursor = SourceCursor {
            kind: 1,
            endpoint: "test".to_owned(),
            value,
        };
        self.writer().set_cursor(cursor);
        self.writer().tick().expect("a tick works");
    }

    /// The operator excludes an account or a target, or no longer.
    pub fn exclude(&mut self, entry: &Excluded, excluded: bool) {
        let (store, writer) = self.open.as_mut().expect("open");
        let entries = std::slice::from_ref(entry);
        let told = match excluded {
            true => store.exclude(entries, Duration::ZERO),
            false => store.include(entries, Duration::ZERO),
        };
        told.expect("the list is written");
        writer.apply_exclusions().expect("the rows are changed");
        assert_eq!(store.exclusions_pending(), 0);
    }

    /// The store. Whatever holds a clone of it must be gone before it is stopped.
    pub fn store(&self) -> &Store {
        &self.open.as_ref().expect("open").0
    }

    /// Sealed segments in use.
    pub fn segments(&self) -> usize {
        self.open.as_ref().expect("open").0.status().segments
    }

    /// Checks every checksum.
    pub fn verify(&self) {
        self.open
            .as_ref()
            .expect("open")
            .0
            .verify()
            .expect("every file is sound");
    }

    pub fn snapshot(&self) -> RealView {
        let snapshot = self.open.as_ref().expect("open").0.snapshot();
        RealView {
            snapshot,
            queries: Arc::clone(&self.queries),
            counts: Arc::clone(&self.counts),
        }
    }
}

impl System for Real {
    fn apply(&mut self, event: &Event) -> Outcome {
        fn record(body: &str) -> Record<'_> {
            Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }
        }
        let body = match &event.body {
            Body::Identity { seq, handle } => wire::Body::Identity {
                seq: *seq,
                handle: handle.as_deref(),
            },
            Body::Account {
                seq,
                active,
                status,
            } => wire::Body::Account {
                seq: *seq,
                active: *active,
                status: status.as_deref(),
            },
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            } => wire::Body::Commit {
                rev: *rev,
                collection,
                rkey,
                operation: match operation {
                    Operation::Create(body) => wire::Operation::Create(record(body)),
                    Operation::Update(body) => wire::Operation::Update(record(body)),
                    Operation::Delete => wire::Operation::Delete,
                },
            },
        };
        let event = wire::Event {
            time_us: event.time_us,
            did: &event.did,
            body,
        };
        match self.writer().apply(&event).expect("the event is applied") {
            Applied::New {
                links, truncated, ..
            } => {
                assert!(!truncated, "no generated record is beyond a limit");
                Outcome::New { links }
            }
            Applied::Unchanged { .. } => Outcome::Unchanged,
            Applied::Repeat => Outcome::Repeat,
            other => panic!("no generated record is bad: {other:?}"),
        }
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(self.snapshot())
    }

    fn commit(&mut self) {
        self.writer().commit().expect("a commit works");
    }

    fn seal(&mut self) {
        self.writer().seal().expect("a seal works");
    }

    fn merge(&mut self) {
        self.writer().merge_due().expect("a merge works");
    }

    fn compact(&mut self) {
        let report = self.writer().compact_full(&mut |_, _| {});
        let report = report.expect("a compaction works");
        assert!(report.segments.1 <= 1, "{report:?}");
    }

    fn restart(&mut self) {
        self.commit();
        self.crash();
    }
}

fn filter(question: &Question) -> Filter {
    Filter {
        target: question.target.clone(),
        collection: question.collection.clone(),
        path: question.path.clone(),
        dids: question.dids.clone(),
        since_us: question.since_us,
        until_us: question.until_us,
    }
}

fn many(other: &Other) -> ManyToMany {
    ManyToMany {
        path_to_other: other.path.clone(),
        other_subjects: other.subjects.clone(),
    }
}

fn key(record: RecordId) -> Key {
    record.into_parts()
}

/// Follows cursors to the end. A cursor goes through its text, as it does on the wire.
fn pages<T>(
    mut page: impl FnMut(Option<Cursor>) -> (Option<u64>, Vec<T>, Option<Cursor>),
) -> Listing<T> {
    let mut listing = Listing {
        totals: Vec::new(),
        pages: Vec::new(),
    };
    let mut cursor = None;
    loop {
        let (total, items, next) = page(cursor);
        listing.totals.extend(total);
        listing.totals.dedup();
        listing.pages.push(items);
        assert!(listing.pages.len() < PAGES_MAX, "a walk that does not end");
        match next {
            None => return listing,
            Some(next) => {
                let text = next.to_string();
                assert!(
                    text.bytes()
                        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                    "not hex: {text}"
                );
                cursor = Some(text.parse().expect("a cursor that was given out"));
            }
        }
    }
}

impl RealView {
    /// One page of a list, as comparable values, with the cursor of the next.
    pub fn page(
        &self,
        walk: &super::run::Walk,
        cursor: Option<&str>,
    ) -> (WalkPage, Option<String>) {
        let paging = Paging {
            limit: walk.limit,
            cursor: cursor.map(|text| text.parse().expect("a cursor that was given out")),
            reverse: walk.reverse,
        };
        let asked = filter(&walk.question);
        let many = walk.other.as_ref().map(many);
        let (items, cursor) = match (&many, walk.grouped) {
            (None, false) => {
                let page = self
                    .queries
                    .records(&self.snapshot, &asked, &paging)
                    .expect("a page");
                (
                    page.items
                        .into_iter()
                        .map(|record| format!("{:?}", key(record)))
                        .collect(),
                    page.cursor,
                )
            }
            (None, true) => {
                let page = self
                    .queries
                    .distinct_dids(&self.snapshot, &asked, &paging)
                    .expect("a page");
                (page.items, page.cursor)
            }
            (Some(many), false) => {
                let page = self
                    .queries
                    .many_to_many(&self.snapshot, &asked, many, &paging)
                    .expect("a page");
                let items = page.items.into_iter();
                (
                    items
                        .map(|item| format!("{:?} {}", key(item.record), item.other_subject))
                        .collect(),
                    page.cursor,
                )
            }
            (Some(many), true) => {
                let page = self
                    .queries
                    .many_to_many_counts(&self.snapshot, &asked, many, &paging)
                    .expect("a page");
                (
                    page.items.into_iter().map(|count| count.subject).collect(),
                    page.cursor,
                )
            }
        };
        (items, cursor.map(|cursor| cursor.to_string()))
    }
}

fn told<T>(page: Page<T>) -> (Option<u64>, Vec<T>, Option<Cursor>) {
    (Some(page.total), page.items, page.cursor)
}

impl View for RealView {
    fn count(&self, question: &Question) -> u64 {
        let filter = filter(question);
        let count = self
            .queries
            .count(&self.snapshot, &filter)
            .expect("a count");
        // Kept from an older snapshot, or by the next line.
        let is_open = filter == Filter::new(&*filter.target, &*filter.collection, &*filter.path);
        let at_once = || {
            let (target, collection, path) = (&filter.target, &filter.collection, &filter.path);
            let kept = || self.counts.get(&self.snapshot, target, collection, path);
            is_open.then(kept).flatten()
        };
        let told = at_once();
        assert!(
            told.is_none_or(|told| told == count),
            "{told:?}, not {count}: {filter:?}"
        );
        let kept = self.counts.count(&self.snapshot, &filter);
        assert_eq!(kept.expect("a count"), count);
        let told = at_once();
        assert!(
            told.is_none_or(|told| told == count),
            "{told:?}, not {count}: {filter:?}"
        );
        count
    }

    fn count_distinct(&self, question: &Question) -> u64 {
        self.queries
            .count_distinct(&self.snapshot, &filter(question))
            .expect("a count")
    }

    fn records(&self, question: &Question, reverse: bool, limit: u32) -> Listing<Key> {
        let filter = filter(question);
        let listing = pages(|cursor| {
            let paging = Paging {
                limit,
                cursor,
                reverse,
            };
            told(
                self.queries
                    .records(&self.snapshot, &filter, &paging)
                    .expect("a page"),
            )
        });
        Listing {
            totals: listing.totals,
            pages: listing
                .pages
                .into_iter()
                .map(|page| page.into_iter().map(key).collect())
                .collect(),
        }
    }

    fn distinct_dids(&self, question: &Question, reverse: bool, limit: u32) -> Listing<String> {
        let filter = filter(question);
        pages(|cursor| {
            let paging = Paging {
                limit,
                cursor,
                reverse,
            };
            told(
                self.queries
                    .distinct_dids(&self.snapshot, &filter, &paging)
                    .expect("a page"),
            )
        })
    }

    fn all(&self, target: &str) -> Vec<SourceCounts> {
        let all = self.queries.all(&self.snapshot, target).expect("an answer");
        all.into_iter()
            .map(|s| (s.collection, s.path, s.records, s.distinct_dids))
            .collect()
    }

    fn all_counts(&self, target: &str) -> Vec<(String, String, u64)> {
        self.queries
            .all_counts(&self.snapshot, target)
            .expect("an answer")
    }

    fn many(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(Key, String)> {
        let (filter, many) = (filter(question), many(other));
        pages(|cursor| {
            let paging = Paging {
                limit,
                cursor,
                reverse,
            };
            let page = self
                .queries
                .many_to_many(&self.snapshot, &filter, &many, &paging)
                .expect("a page");
            let items = page
                .items
                .into_iter()
                .map(|item| (key(item.record), item.other_subject))
                .collect();
            (None, items, page.cursor)
        })
    }

    fn many_counts(
        &self,
        question: &Question,
        other: &Other,
        reverse: bool,
        limit: u32,
    ) -> Listing<(String, u64, u64)> {
        let (filter, many) = (filter(question), many(other));
        pages(|cursor| {
            let paging = Paging {
                limit,
                cursor,
                reverse,
            };
            let page = self
                .queries
                .many_to_many_counts(&self.snapshot, &filter, &many, &paging)
                .expect("a page");
            let items = page
                .items
                .into_iter()
                .map(|count| (count.subject, count.total, count.distinct))
                .collect();
            (None, items, page.cursor)
        })
    }

    fn totals(&self) -> (u64, u64) {
        let totals = self.snapshot.totals();
        (totals.live_rows, totals.live_links)
    }
}
