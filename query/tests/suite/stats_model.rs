//! Time buckets through the engine and through plain maps: random events, seals, merges, restarts and redelivery.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Snapshot, Store, Writer, offline};
use orrery_query::stats::{
    self, ALL_TIME, Align, Counts, Hours, Order, SeriesOf, Steps, collections, of_collections,
    prefix, search, timeseries,
};

const HOUR_US: u64 = 3_600_000_000;
/// A Thursday's midnight, the start of a week.
const FIRST_HOUR: u32 = 2_800 * 168;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

const NAMES: [&str; 9] = [
    "com.ex.alpha",
    "com.ex.sub",
    "com.ex.sub.one",
    "com.ex.sub.two",
    "com.ex.sub-x.one",
    "com.ex",
    "com.exa.alpha",
    "org.feed.like",
    "org.feeds.post",
];

#[derive(Clone, Default)]
struct Model {
    /// (collection, hour) to creates, updates, deletes and accounts.
    hours: BTreeMap<(String, u32), ([u64; 3], BTreeSet<u64>)>,
}

impl Model {
    fn sum(&self, is_in: impl Fn(&str) -> bool, hours: &Hours) -> (Counts, usize) {
        let mut counts = [0; 3];
        let mut accounts = BTreeSet::<u64>::new();
        for ((name, hour), (events, by)) in &self.hours {
            if is_in(name) && hours.contains(hour) {
                (0..3).for_each(|i| counts[i] += events[i]);
                accounts.extend(by);
            }
        }
        let [creates, updates, deletes] = counts;
        let counts = Counts {
            creates,
            updates,
            deletes,
            dids_estimate: accounts.len() as u64,
        };
        (counts, accounts.len())
    }

    fn names(&self) -> BTreeSet<&str> {
        self.hours.keys().map(|(name, _)| name.as_str()).collect()
    }
}

/// Counts are exact; accounts too up to 128, and within 5 standard errors beyond.
fn assert_counts(found: &Counts, expected: &Counts, what: &str) {
    let events = |counts: &Counts| (counts.creates, counts.updates, counts.deletes);
    assert_eq!(events(found), events(expected), "{what}");
    if expected.dids_estimate <= 128 {
        assert_eq!(found.dids_estimate, expected.dids_estimate, "{what}");
    } else {
        let error = found.dids_estimate as f64 / expected.dids_estimate as f64 - 1.0;
        assert!(error.abs() < 5.0 * 0.0081, "{what}: {found:?} {expected:?}");
    }
}

fn check(view: &Snapshot, model: &Model, random: &mut Random) {
    let mut spans = vec![ALL_TIME, FIRST_HOUR..FIRST_HOUR, 0..FIRST_HOUR + 168];
    for _ in 0..4 {
        let start = FIRST_HOUR + random.below(900) as u32;
        spans.push(start..start + random.below(600) as u32);
    }
    for hours in &spans {
        let names = model.names();
        let found =
            of_collections(view, &names.iter().copied().collect::<Vec<_>>(), hours).unwrap();
        for (name, found) in names.iter().zip(&found) {
            let (expected, _) = model.sum(|other| other == *name, hours);
            assert_counts(found, &expected, &format!("{name} in {hours:?}"));
        }
        // The list by name, page by page, is that of the names.
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = collections(view, hours, None, after.as_ref(), 3).unwrap();
            listed.extend(page.collections);
            after = page.next.map(|place| place.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        let there: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !model.sum(|other| other == *name, hours).0.is_zero())
            .collect();
        assert_eq!(
            listed.iter().map(|item| &*item.nsid).collect::<Vec<_>>(),
            there
        );
        for order in [Order::RecordsCreated, Order::DidsEstimate] {
            let by = |counts: &Counts| match order {
                Order::RecordsCreated => counts.creates,
                Order::DidsEstimate => counts.dids_estimate,
            };
            let mut expected: Vec<_> = listed.iter().filter(|item| by(&item.counts) > 0).collect();
            expected.sort_by_key(|item| (std::cmp::Reverse(by(&item.counts)), item.nsid.clone()));
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = collections(view, hours, Some(order), after.as_ref(), 4).unwrap();
                found.extend(page.collections);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }
        check_prefix(view, model, hours);
    }
    let start = FIRST_HOUR + random.below(300) as u32;
    let hours = start..start + 400;
    for (step, align) in [
        (1, Align::Since),
        (24, Align::Utc),
        (168, Align::Utc),
        (31, Align::Since),
    ] {
        let steps = Steps::new(&hours, step, align).unwrap();
        let of = [
            SeriesOf::Collection(NAMES[2]),
            SeriesOf::Prefix("com.ex"),
            SeriesOf::Collection("no.such.thing"),
        ];
        let found = timeseries(view, &of, &steps).unwrap();
        let ends = steps.starts()[1..].iter().copied().chain([hours.end]);
        for (at, (start, end)) in steps.starts().iter().zip(ends).enumerate() {
            let (one, _) = model.sum(|name| name == NAMES[2], &(*start..end));
            assert_counts(&found[0][at], &one, "one collection");
            let (all, _) = model.sum(|name| name.starts_with("com.ex."), &(*start..end));
            assert_counts(&found[1][at], &all, "a prefix");
            assert_eq!(found[2][at], Counts::default());
        }
    }
}

fn check_prefix(view: &Snapshot, model: &Model, hours: &Hours) {
    let whole = prefix(view, "com.ex", hours, None, None, 100).unwrap();
    let (total, _) = model.sum(|name| name.starts_with("com.ex."), hours);
    assert_counts(&whole.total, &total, "total");
    let mut expected = BTreeSet::new();
    for name in model.names() {
        let Some(rest) = name.strip_prefix("com.ex.") else {
            continue;
        };
        if model.sum(|other| other == name, hours).0.is_zero() {
            continue;
        }
        let first = rest.split('.').next().unwrap();
        expected.insert((format!("com.ex.{first}"), rest.contains('.')));
    }
    let found: Vec<_> = whole
        .children
        .iter()
        .map(|child| (child.name.clone(), child.is_group))
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    for child in &whole.children {
        let below = format!("{}.", child.name);
        let (counts, _) = if child.is_group {
            model.sum(|name| name.starts_with(&below), hours)
        } else {
            model.sum(|name| name == child.name, hours)
        };
        assert_counts(&child.counts, &counts, &child.name);
    }
    for order in [None, Some(Order::DidsEstimate)] {
        let mut walked = Vec::new();
        let mut after = None;
        loop {
            let page = prefix(view, "com.ex", hours, order, after.as_ref(), 1).unwrap();
            assert_eq!(page.total, whole.total, "the total is not the page's");
            walked.extend(page.children);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut expected = whole.children.clone();
        if order.is_some() {
            expected.sort_by_key(|child| std::cmp::Reverse(child.counts.dids_estimate));
        }
        assert_eq!(walked, expected);
    }
}

struct Sent {
    time_us: u64,
    account: u64,
    rev: u64,
    name: &'static str,
    rkey: String,
    kind: u64,
}

fn apply(writer: &mut Writer, sent: &Sent) -> Applied {
    let did = format!("did:plc:{:0>24}", sent.account);
    let body = format!("{{\"subject\":\"did:plc:{:0>24}\"}}", sent.account % 7);
    let record = Record {
        cid: "",
        encoding: Encoding::Json,
        // Every third has no links: it counts all the same.
        body: if sent.rev.is_multiple_of(3) {
            b"{}"
        } else {
            body.as_bytes()
        },
    };
    let operation = match sent.kind {
        0 => Operation::Create(record),
        1 => Operation::Update(record),
        _ => Operation::Delete,
    };
    let event = Event {
        time_us: sent.time_us,
        did: &did,
        body: Body::Commit {
            rev: sent.rev,
            collection: sent.name,
            rkey: &sent.rkey,
            operation,
        },
    };
    writer.apply(&event).unwrap()
}

fn options() -> Options {
    let mut options = Options::default();
    options.seal_events = 700;
    options.commit_interval = Duration::from_secs(3_600);
    options.compact = false;
    // Six weeks of event time stay in the window, by which any repeat is known.
    options.log_age_max = Duration::MAX;
    options.log_bytes_max = u64::MAX;
    options
}

#[test]
fn buckets_are_those_of_plain_maps_through_seals_merges_restarts_and_redelivery() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let mut model = Model::default();
    let mut sent: Vec<Sent> = Vec::new();
    let mut store = Store::open(directory.path(), options()).unwrap();
    let mut writer = store.writer().unwrap();
    for number in 0..6_000u64 {
        // Time goes on by minutes, and sometimes back by hours.
        let minutes = number * 11 - random.below(number * 11 + 1).min(random.below(600));
        let time_us = u64::from(FIRST_HOUR) * HOUR_US + minutes * 60_000_000;
        let name = NAMES[random.below(NAMES.len() as u64).min(random.below(12)) as usize];
        let next = Sent {
            time_us,
            account: random.below(900),
            rev: (u64::from(FIRST_HOUR) * HOUR_US + number * 1_000) << 10,
            name,
            rkey: format!("k{}", random.below(50)),
            kind: random.below(3),
        };
        let applied = apply(&mut writer, &next);
        assert!(matches!(
            applied,
            Applied::New { .. } | Applied::Unchanged { .. }
        ));
        let hour = (time_us / HOUR_US) as u32;
        let (events, accounts) = model.hours.entry((name.to_owned(), hour)).or_default();
        events[next.kind as usize] += 1;
        accounts.insert(next.account);
        sent.push(next);
        match random.below(1_000) {
            0..=3 => {
                writer.commit().unwrap();
                drop((writer, store));
                store = Store::open(directory.path(), options()).unwrap();
                writer = store.writer().unwrap();
            }
            4..=7 => {
                let from = random.below(sent.len() as u64) as usize;
                for again in &sent[from..] {
                    assert_eq!(apply(&mut writer, again), Applied::Repeat);
                }
            }
            8 | 9 => check(&store.snapshot(), &model, &mut random),
            10 => {
                writer.compact_full(&mut |_, _| {}).unwrap();
                store.verify().unwrap();
            }
            _ => {}
        }
    }
    let before = store.snapshot();
    check(&before, &model, &mut random);
    writer.compact_full(&mut |_, _| {}).unwrap();
    store.verify().unwrap();
    let everything = || {
        let hours = Steps::new(&(FIRST_HOUR..FIRST_HOUR + 1_200), 1, Align::Since).unwrap();
        let of: Vec<SeriesOf<'_>> = NAMES.into_iter().map(SeriesOf::Collection).collect();
        (of, hours)
    };
    let (of, hours) = everything();
    let expected = timeseries(&before, &of, &hours).unwrap();
    assert_eq!(
        timeseries(&store.snapshot(), &of, &hours).unwrap(),
        expected
    );
    drop((before, writer, store));

    for from_segments in [false, true] {
        let to = tempfile::tempdir().unwrap();
        let to = to.path().join("new");
        if from_segments {
            offline::replay_segments(directory.path(), &to, options()).unwrap();
        } else {
            offline::replay_log(directory.path(), &to, options()).unwrap();
        }
        let store = Store::open(&to, options()).unwrap();
        let found = timeseries(&store.snapshot(), &of, &hours).unwrap();
        assert_eq!(found, expected, "from segments: {from_segments}");
    }
}

#[test]
fn search_ranks_segments_first_and_pages_with_a_total() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    let mut writer = store.writer().unwrap();
    for (number, name) in (1..).zip([
        "a.feed.x",
        "b.refeed.x",
        "c.feeds.x",
        "d.other.feed",
        "e.none.x",
    ]) {
        let next = Sent {
            time_us: u64::from(FIRST_HOUR) * HOUR_US,
            account: number,
            rev: number << 40,
            name,
            rkey: "self".to_owned(),
            kind: 0,
        };
        apply(&mut writer, &next);
    }
    let view = store.snapshot();
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = search(&view, &["feed"], after.as_ref(), 1).unwrap();
        assert_eq!(page.total, 4);
        names.extend(page.matches.into_iter().map(|item| item.nsid));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        names,
        ["a.feed.x", "d.other.feed", "c.feeds.x", "b.refeed.x"]
    );
    assert_eq!(search(&view, &[""], None, 2).unwrap().total, 5);
}

#[test]
fn steps_align_to_the_span_or_to_utc() {
    let monday = FIRST_HOUR - 72;
    let starts =
        |hours: Hours, step, align| Steps::new(&hours, step, align).unwrap().starts().to_vec();
    assert_eq!(starts(10..40, 24, Align::Since), [10, 34]);
    assert_eq!(starts(10..60, 24, Align::Utc), [10, 24, 48]);
    assert_eq!(
        starts(monday..monday + 200, 168, Align::Utc),
        [monday, monday + 168]
    );
    assert_eq!(
        starts(monday - 5..monday + 1, 168, Align::Utc),
        [monday - 5, monday]
    );
    assert_eq!(starts(5..5, 1, Align::Since), [0_u32; 0]);
    assert!(Steps::new(&(0..10_000), 1, Align::Since).is_ok());
    assert!(Steps::new(&(0..10_001), 1, Align::Since).is_err());
}

#[test]
fn places_are_read_as_they_were_written_and_nothing_else_is() {
    for text in ["c~com.ex.sub", "g~com.ex", "c12~a.b", "g0~a.b"] {
        assert_eq!(text.parse::<stats::Place>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "YQ",
        "c~",
        "x~a",
        "c01~a",
        "c~a b",
        "c99999999999999999999~a",
    ] {
        assert!(text.parse::<stats::Place>().is_err(), "{text}");
    }
}
