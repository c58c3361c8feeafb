//! A small index in plain vectors, a server over it on a real socket, and a client that speaks raw HTTP.
pub mod acme;
pub mod browser;
pub mod edge;
pub mod feed;
pub mod lexicon;
pub mod schema;
mod server;
mod stats;
pub mod tls;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orrery_query::{Filter, ManyItem, ManyToMany, OtherCount, RecordId, SourceTotals, Stats};
use orrery_server::{
    Answer, CollectionCounts, Counts, Effort, ExcludeAsked, ExcludeError, ExcludeList,
    ExcludeReport, Excluded, Fact, FactKind, Hours, Index, IndexError, LastEffort, Listing, Order,
    Paging, PrefixCounts, RecordsAndAccounts, RecordsAt, Room, SampleRecord, SamplesOf, Selection,
    SeriesOf, Status, Steps, Vitals,
};
use parking_lot::Mutex;

pub use server::{Response, Server, exchange};

pub const DAY: Duration = Duration::from_secs(86_400);

/// One link of a record.
#[derive(Clone)]
pub struct Link {
    pub did: &'static str,
    pub collection: &'static str,
    pub rkey: String,
    pub path: &'static str,
    pub target: &'static str,
    pub time_us: u64,
}

/// The index of the tests. Targets that begin with `test:` make it behave badly.
pub struct Model {
    pub links: Vec<Link>,
    pub status: Mutex<Status>,
    pub vitals: Mutex<Vitals>,
    pub degraded: Mutex<Vec<(u64, u64)>>,
    pub events: Vec<stats::Event>,
    /// Whether it tells counts at once, and how often it did.
    pub is_quick: AtomicBool,
    pub at_once: AtomicUsize,
    pub excluded: Mutex<Vec<Excluded>>,
}

pub const POST: &str = "at://did:plc:author/app.bsky.feed.post/1";
pub const HOSTILE: &str = "https://x.example/?<script>alert('1')</script>&\"";

impl Model {
    /// Five likes of a post by three accounts, list items, and a link with a hostile target.
    pub fn sample() -> Self {
        let mut links = Vec::new();
        for (i, did) in [
            "did:plc:a",
            "did:plc:b",
            "did:plc:a",
            "did:plc:c",
            "did:plc:b",
        ]
        .into_iter()
        .enumerate()
        {
            let time_us = 1_700_000_000_000_000 + i as u64 * 1_000_000;
            let link = |collection, rkey: String, path, target| Link {
                did,
                collection,
                rkey,
                path,
                target,
                time_us,
            };
            links.push(link(
                "app.bsky.feed.like",
                format!("like{i}"),
                ".subject.uri",
                POST,
            ));
            let list = [
                "at://did:plc:l/app.bsky.graph.list/x",
                "at://did:plc:l/app.bsky.graph.list/y",
            ][i % 2];
            links.push(link(
                "app.bsky.graph.listitem",
                format!("item{i}"),
                ".subject",
                "did:plc:m",
            ));
            links.push(link(
                "app.bsky.graph.listitem",
                format!("item{i}"),
                ".list",
                list,
            ));
        }
        links.push(Link {
            did: "did:plc:\"><img src=x>",
            collection: "app.<i>.post",
            rkey: "<b>".into(),
            path: ".<u>",
            target: HOSTILE,
            time_us: 1,
        });
        Self {
            links,
            status: Mutex::new(Status {
                indexed_through_us: Some(1_700_000_004_000_000),
                coverage_from_us: Some(1_700_000_000_000_000),
                source: Some("wss://jetstream.example/subscribe".into()),
                lag_us: Some(1_500_000),
                degraded: None,
                selection: Selection::default(),
            }),
            vitals: Mutex::new(vitals()),
            degraded: Mutex::default(),
            events: stats::sample(),
            is_quick: AtomicBool::new(false),
            at_once: AtomicUsize::new(0),
            excluded: Mutex::default(),
        }
    }

    fn answer<T>(&self, value: T) -> Answer<T> {
        let status = self.status.lock();
        Answer {
            value,
            indexed_through_us: status.indexed_through_us,
            coverage_from_us: status.coverage_from_us,
            degraded: self.degraded.lock().clone(),
        }
    }

    fn matching(&self, f: &Filter) -> Result<Vec<&Link>, IndexError> {
        match f.target.as_str() {
            "test:panic" => panic!("as the test asked"),
            "test:slow" => std::thread::sleep(Duration::from_millis(1500)),
            "test:fail" => {
                return Err(IndexError::Failed(Box::new(io::Error::other(
                    "secret path",
                ))));
            }
            "test:unavailable" => return Err(IndexError::Unavailable("still opening".into())),
            _ => {}
        }
        Ok(self
            .links
            .iter()
            .filter(|l| {
                l.target == f.target
                    && l.collection == f.collection
                    && l.path == f.path
                    && f.dids.as_ref().is_none_or(|d| d.iter().any(|d| d == l.did))
                    && f.since_us.is_none_or(|t| l.time_us >= t)
                    && f.until_us.is_none_or(|t| l.time_us < t)
            })
            .collect())
    }
}

/// An index that is well and has done something of each kind.
fn vitals() -> Vitals {
    let effort = |bytes| Effort {
        times: 3,
        took: Duration::from_secs(4),
        last: Some(LastEffort {
            ago: Duration::from_secs(90),
            took: Duration::from_millis(1_500),
            bytes,
        }),
    };
    Vitals {
        connected: Some(true),
        events: Some(12_345),
        links: Some(23_456),
        live_records: 11,
        live_links: 1_234_567,
        accounts: 1_234,
        disk: [("segments", 3 << 30), ("log", 2 << 30), ("manifest", 4_096)]
            .map(|(kind, bytes)| (kind.to_owned(), bytes))
            .to_vec(),
        room: Room {
            free_bytes: Some(40 << 30),
            limit_bytes: Some(64 << 30),
            reserve_bytes: 256 << 20,
            left_bytes: Some(39 << 30),
        },
        segments: 17,
        seals: effort(5 << 20),
        merges: effort(50 << 20),
        ..Vitals::default()
    }
}

fn id(link: &Link) -> RecordId {
    RecordId::new(link.did, link.collection, &link.rkey)
}

/// A page of a whole list; its cursor is the place in hex.
fn page<T>(mut all: Vec<T>, total: bool, paging: &Paging) -> Result<Listing<T>, IndexError> {
    if paging.reverse {
        all.reverse();
    }
    let start = match &paging.cursor {
        None => 0,
        Some(text) => usize::from_str_radix(text, 16)
            .map_err(|_| IndexError::BadRequest("parameter cursor: not a cursor".into()))?,
    };
    let count = all.len();
    let end = count.min(start + paging.limit as usize);
    Ok(Listing {
        total: total.then_some(count as u64),
        items: all.drain(start.min(end)..end).collect(),
        cursor: (end < count).then(|| format!("{end:04x}")),
    })
}

impl Index for Model {
    fn count(&self, filter: &Filter) -> Result<Answer<u64>, IndexError> {
        Ok(self.answer(self.matching(filter)?.len() as u64))
    }
    fn count_at_once(&self, target: &str, collection: &str, path: &str) -> Option<Answer<u64>> {
        if !self.is_quick.load(Ordering::Relaxed) {
            return None;
        }
        let answer = self.count(&Filter::new(target, collection, path)).ok()?;
        self.at_once.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
    fn count_distinct(&self, filter: &Filter) -> Result<Answer<u64>, IndexError> {
        let dids: BTreeSet<_> = self.matching(filter)?.iter().map(|l| l.did).collect();
        Ok(self.answer(dids.len() as u64))
    }
    fn counts(
        &self,
        filters: &[Filter],
        with_accounts: bool,
    ) -> Result<Answer<Vec<RecordsAndAccounts>>, IndexError> {
        let counts = filters.iter().map(|filter| {
            let accounts = with_accounts.then(|| self.count_distinct(filter));
            let accounts = accounts.transpose()?.map(|answer| answer.value);
            Ok((self.count(filter)?.value, accounts))
        });
        Ok(self.answer(counts.collect::<Result<_, IndexError>>()?))
    }
    fn first_pages(
        &self,
        filters: &[Filter],
        limit: u32,
    ) -> Result<Answer<Vec<Listing<RecordId>>>, IndexError> {
        let first = Paging {
            limit,
            cursor: None,
            reverse: false,
        };
        let pages = filters
            .iter()
            .map(|filter| Ok(self.records(filter, &first)?.value));
        Ok(self.answer(pages.collect::<Result<_, IndexError>>()?))
    }
    fn records(&self, f: &Filter, p: &Paging) -> Result<Answer<Listing<RecordId>>, IndexError> {
        let all = self.matching(f)?.into_iter().rev().map(id).collect();
        Ok(self.answer(page(all, true, p)?))
    }
    fn distinct_dids(&self, f: &Filter, p: &Paging) -> Result<Answer<Listing<String>>, IndexError> {
        let mut dids: Vec<String> = Vec::new();
        for link in self.matching(f)? {
            if !dids.iter().any(|d| d == link.did) {
                dids.push(link.did.into());
            }
        }
        dids.reverse();
        Ok(self.answer(page(dids, true, p)?))
    }
    fn all(&self, target: &str) -> Result<Answer<Vec<SourceTotals>>, IndexError> {
        let pairs: BTreeSet<_> = self
            .links
            .iter()
            .filter(|l| l.target == target)
            .map(|l| (l.collection, l.path))
            .collect();
        let mut totals = Vec::new();
        for (collection, path) in pairs {
            let filter = Filter::new(target, collection, path);
            totals.push(SourceTotals {
                collection: collection.into(),
                path: path.into(),
                records: self.count(&filter)?.value,
                distinct_dids: self.count_distinct(&filter)?.value,
            });
        }
        // A pair without live links, which the wire leaves out.
        totals.push(SourceTotals {
            collection: "app.gone".into(),
            path: ".x".into(),
            records: 0,
            distinct_dids: 0,
        });
        Ok(self.answer(totals))
    }
    fn all_counts(&self, target: &str) -> Result<Answer<Vec<RecordsAt>>, IndexError> {
        let is_broken = self.status.lock().source.as_deref() == Some("test:no-counts");
        if is_broken || target == "no account" {
            return Err(IndexError::Unavailable("no counts".into()));
        }
        let all = self.all(target)?.value;
        Ok(self.answer(
            all.into_iter()
                .map(|t| (t.collection, t.path, t.records))
                .collect(),
        ))
    }
    fn many_to_many(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<Answer<Listing<ManyItem>>, IndexError> {
        let mut items = Vec::new();
        for near in self.matching(filter)? {
            for far in self.links.iter().filter(|l| id(l) == id(near)) {
                let wanted = many.other_subjects.as_ref();
                if far.path == many.path_to_other
                    && wanted.is_none_or(|w| w.iter().any(|w| w == far.target))
                {
                    items.push(ManyItem {
                        record: id(near),
                        other_subject: far.target.into(),
                    });
                }
            }
        }
        Ok(self.answer(page(items, false, paging)?))
    }
    fn many_to_many_counts(
        &self,
        filter: &Filter,
        many: &ManyToMany,
        paging: &Paging,
    ) -> Result<Answer<Listing<OtherCount>>, IndexError> {
        let whole = Paging {
            limit: 1000,
            cursor: None,
            reverse: false,
        };
        let items = self.many_to_many(filter, many, &whole)?.value.items;
        let subjects: BTreeSet<_> = items.iter().map(|i| i.other_subject.clone()).collect();
        let counts = subjects
            .into_iter()
            .map(|subject| {
                let of = || items.iter().filter(|i| i.other_subject == subject);
                let dids: BTreeSet<_> = of().map(|i| i.record.did().to_owned()).collect();
                let (total, distinct) = (of().count() as u64, dids.len() as u64);
                OtherCount {
                    subject,
                    total,
                    distinct,
                }
            })
            .collect();
        Ok(self.answer(page(counts, false, paging)?))
    }
    fn stats(&self) -> Result<Answer<Stats>, IndexError> {
        Ok(self.answer(Stats {
            dids: 1234,
            targetables: 5,
            linking_records: 11,
            links: 16,
        }))
    }
    fn collections(
        &self,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError> {
        let all = stats::collections(&self.events, hours, order);
        Ok(self.answer(page(all, false, paging)?))
    }
    fn collection_counts(
        &self,
        collections: &[&str],
        hours: &Hours,
    ) -> Result<Answer<Vec<Counts>>, IndexError> {
        let counts = |nsid: &&str| stats::count(&self.events, hours, |name| name == *nsid);
        Ok(self.answer(collections.iter().map(counts).collect()))
    }
    fn prefix(
        &self,
        prefix: &str,
        hours: &Hours,
        order: Option<Order>,
        paging: &Paging,
    ) -> Result<Answer<PrefixCounts>, IndexError> {
        let (total, children) = stats::prefix(&self.events, prefix, hours, order);
        let children = page(children, false, paging)?;
        Ok(self.answer(PrefixCounts { total, children }))
    }
    fn timeseries(
        &self,
        series: &[SeriesOf<'_>],
        steps: &Steps,
    ) -> Result<Answer<Vec<Vec<Counts>>>, IndexError> {
        let starts = steps.starts();
        // No event of the model is behind the spans that the tests ask for.
        let ends = starts.iter().skip(1).copied().chain([u32::MAX]);
        let steps: Vec<Hours> = starts
            .iter()
            .copied()
            .zip(ends)
            .map(|(s, e)| s..e)
            .collect();
        let series = series.iter().map(|series| {
            let steps = steps.iter().map(|hours| {
                stats::count(&self.events, hours, |name| match series {
                    SeriesOf::Collection(nsid) => name == *nsid,
                    SeriesOf::Prefix(prefix) => name.starts_with(&format!("{prefix}.")),
                })
            });
            steps.collect()
        });
        Ok(self.answer(series.collect()))
    }
    fn search(
        &self,
        terms: &[&str],
        paging: &Paging,
    ) -> Result<Answer<Listing<CollectionCounts>>, IndexError> {
        if terms.contains(&"panic") {
            panic!("as the test asked");
        }
        let all = stats::search(&self.events, terms);
        Ok(self.answer(page(all, true, paging)?))
    }
    fn sample_records(
        &self,
        of: SamplesOf<'_>,
        limit: usize,
    ) -> Result<Answer<Vec<SampleRecord>>, IndexError> {
        let names = match of {
            SamplesOf::Collections(names) => names.to_vec(),
            SamplesOf::ActiveSince(_) => {
                vec!["app.bsky.feed.post".into(), "sh.tangled.feed.star".into()]
            }
        };
        let samples = names.iter().flat_map(|name| stats::samples(name, limit));
        Ok(self.answer(samples.collect()))
    }
    fn storage(&self) -> Vec<(String, u64)> {
        vec![("segments".into(), 4096)]
    }
    fn status(&self) -> Status {
        let status = self.status.lock().clone();
        assert_ne!(
            status.source.as_deref(),
            Some("test:panic"),
            "as the test asked"
        );
        status
    }
    fn vitals(&self) -> Vitals {
        self.vitals.lock().clone()
    }
    fn vitals_now(&self, seen: &Vitals) -> Vitals {
        Vitals {
            room: seen.room,
            ..self.vitals()
        }
    }
    fn excluded(&self) -> ExcludeList {
        ExcludeList {
            entries: self.excluded.lock().clone(),
            pending: 0,
        }
    }
    fn exclude(
        &self,
        asked: &[ExcludeAsked],
        excluded: bool,
    ) -> Result<ExcludeReport, ExcludeError> {
        let mut list = self.excluded.lock();
        let mut report = ExcludeReport::default();
        for asked in asked {
            if asked.value == "alice.example" {
                return Err(ExcludeError::Invalid(
                    "alice.example is a handle".to_owned(),
                ));
            }
            match &*asked.reason {
                "fails" => return Err(ExcludeError::Failed("the disk is gone".to_owned())),
                "may be undone" => {
                    return Err(ExcludeError::NotDurable(
                        "a power cut may undo it".to_owned(),
                    ));
                }
                _ => {}
            }
            let before = list.len();
            list.retain(|known| known.value != asked.value);
            let was_there = list.len() < before;
            report.changed += usize::from(was_there != excluded);
            report.unchanged += usize::from(was_there == excluded);
            // What waits is told with a reason.
            report.pending += usize::from(asked.reason == "waits");
            if excluded {
                list.push(Excluded {
                    kind: if asked.target { "target" } else { "account" },
                    value: asked.value.clone(),
                    time_us: 1_700_000_000_000_000,
                    reason: asked.reason.clone(),
                });
            }
        }
        report.waits = (report.pending > 0).then(|| "the disk is full".to_owned());
        Ok(report)
    }
    fn facts(&self) -> Vec<Fact> {
        vec![Fact {
            name: "orrery_links".into(),
            help: "Links.",
            kind: FactKind::Gauge,
            value: self.links.len() as f64,
        }]
    }
}
