//! A target with a million links, 5 % of them dead, in one segment and over at least 16: counts, pages, a
//! delete, distinct accounts, with what each call allocates.

use std::path::Path;
use std::time::{Duration, Instant};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store};
use orrery_links::syntax::Tid;
use orrery_query::{Filter, Paging, Queries};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use crate::harness::figures::{Budget, Figures};
use crate::harness::percentile::Times;
use crate::{Outcome, Result};

pub(crate) const LIKE: &str = "app.bsky.feed.like";
/// Where likes link.
pub(crate) const PATH: &str = ".subject.uri";
pub(crate) const TARGET: &str =
    "at://did:plc:hothothothothothothothot/app.bsky.feed.post/3mbd3542k2222";
/// Each link comes from another account out of so many.
const ACTORS: u64 = 700_000;
/// Deleted links that are timed: one in a hundred. What is paid once for each memtable and each file is in it (tables that
/// are made anew behind a seal, chunks whose checksums are looked at at their first touch): a service pays that once in
/// 262,144 events, which with fewer deletes would be most of what is measured.
const DELETES: u64 = 10_000;
const ROUNDS: usize = 51;
/// Counts of accounts with nothing remembered.
const COLD_ROUNDS: usize = 5;

/// The n-th link: its author's DID and the record key.
fn link(n: u64) -> (String, u64) {
    const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // Weyl sequence through a 64-bit mix (Stafford's variant 13), so that authors come in no order.
    let mut x = (n % ACTORS).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let mut did = String::from("did:plc:");
    for i in 0..24_u64 {
        let digit = x.rotate_left((i * 5) as u32) & 31;
        did.push(char::from(*BASE32.get(digit as usize).unwrap_or(&b'a')));
    }
    // 1 ms apart, as in a burst.
    (did, (1_767_225_600_000_000 + n * 1_000) << 10 | (n & 31))
}

/// Calls `each` with the creation or the deletion of the n-th link, as the event number `at`.
fn with_event(
    n: u64,
    at: u64,
    record: Option<&[u8]>,
    each: &mut dyn FnMut(&Event<'_>) -> Outcome,
) -> Outcome {
    let (did, key) = link(n);
    let rev = (1_767_225_600_000_000 + at * 1_000) << 10;
    let rkey = Tid::from_u64(key)?.to_string();
    each(&Event {
        time_us: rev >> 10,
        did: &did,
        body: Body::Commit {
            rev,
            collection: LIKE,
            rkey: &rkey,
            operation: record.map_or(Operation::Delete, |body| {
                Operation::Create(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body,
                })
            }),
        },
    })
}

/// Calls `each` with the events that make the target hot: its links, and deletes of 5 % of them.
pub(crate) fn each_event(links: u64, each: &mut dyn FnMut(&Event<'_>) -> Outcome) -> Outcome {
    let body = format!(
        r#"{{"$type":"{LIKE}","createdAt":"2026-01-01T00:00:00Z","subject":{{"cid":"bafyreib","uri":"{TARGET}"}}}}"#
    );
    for n in 0..links {
        with_event(n, n, Some(body.as_bytes()), each)?;
    }
    // Deletes come from all over the list.
    for (n, at) in (0..links).step_by(20).zip(links..) {
        with_event(n, at, None, each)?;
    }
    Ok(())
}

/// Calls `each` with deletes of [`DELETES`] more of the links, from all over the list.
pub(crate) fn each_delete(links: u64, each: &mut dyn FnMut(&Event<'_>) -> Outcome) -> Outcome {
    let places = (1..links).step_by((links / DELETES).max(1) as usize);
    for (n, at) in places.zip(2 * links..).take(DELETES as usize) {
        with_event(n, at, None, each)?;
    }
    Ok(())
}

/// A data directory with the hot target's links, 5 % dead, in segments of `seal_events` events.
pub(crate) fn build(dir: &Path, links: u64, seal_events: u32) -> Result<Store> {
    let mut options = Options::default();
    options.seal_events = seal_events;
    options.seal_heap_bytes = 2 << 30;
    options.compact = false;
    let store = Store::open(dir, options)?;
    let mut writer = store.writer()?;
    let mut count = 0_u64;
    each_event(links, &mut |event| {
        writer.apply(event)?;
        count += 1;
        if count.is_multiple_of(4_096) {
            writer.tick()?;
        }
        Ok(())
    })?;
    writer.seal()?;
    store.give_back(writer);
    Ok(store)
}

/// The median time of a call and the bytes it allocates, the first call left out.
fn measure<T>(mut call: impl FnMut() -> T) -> (Duration, usize) {
    drop(call());
    let region = Region::new(&INSTRUMENTED_SYSTEM);
    drop(call());
    let bytes = region.change().bytes_allocated;
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            drop(call());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times.get(ROUNDS / 2).copied().unwrap_or_default(), bytes)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn report(figures: &mut Figures, what: &str, measured: (Duration, usize), budget: Budget) {
    let (time, bytes) = measured;
    let note = format!("{bytes} B allocated");
    figures.noted(what, micros(time), "us", budget, note);
}

pub(crate) fn run(links: u64, figures: &mut Figures) -> Outcome {
    let per_segment = u32::try_from(links / 17)?;
    let in_one = u32::try_from(links * 2)?;
    for (name, seal_events) in [("many segments", per_segment), ("one segment", in_one)] {
        let dir = tempfile::tempdir()?;
        let store = build(dir.path(), links, seal_events)?;
        let segments = store.status().segments;
        println!("  {links} links in {name} ({segments}), 5 % dead");
        read(&store, figures, name)?;
        delete(&store, figures, name, links)?;
    }
    Ok(())
}

/// Questions to the target as it was built.
fn read(store: &Store, figures: &mut Figures, name: &str) -> Outcome {
    const PAGE: Budget = Budget::at_most(200.0, 50.0);
    let snapshot = store.snapshot();
    let queries = Queries::new(64 << 20);
    let filter = Filter::new(TARGET, LIKE, PATH);
    let total = queries.count(&snapshot, &filter)?;
    let measured = measure(|| queries.count(&snapshot, &filter));
    report(figures, &format!("count, {name}"), measured, PAGE);
    let page = |cursor| Paging {
        limit: 100,
        cursor,
        ..Paging::default()
    };
    let first = measure(|| queries.records(&snapshot, &filter, &page(None)));
    report(figures, &format!("page 1, {name}"), first, PAGE);
    let mut paging = Paging {
        limit: 1_000,
        ..Paging::default()
    };
    // 4,999 pages of 100 before page 5,000, walked in pages of 1,000 and the rest in one of 900.
    let mut left = 499_900.min(total.saturating_sub(200));
    while left > 0 {
        paging.limit = u32::try_from(left.min(1_000))?;
        let page = queries.records(&snapshot, &filter, &paging)?;
        left -= page.items.len() as u64;
        paging.cursor = page.cursor;
    }
    let deep = page(paging.cursor);
    let deep = measure(|| queries.records(&snapshot, &filter, &deep));
    report(figures, &format!("page 5,000, {name}"), deep, PAGE);
    let ratio = micros(deep.0) / micros(first.0).max(0.001);
    let twice = Budget::AtMost {
        must: 2.0,
        aim: None,
    };
    figures.judged(format!("page 5,000, of page 1, {name}"), ratio, "x", twice);
    let mut colds = Times::default();
    let mut distinct = 0;
    for _ in 0..COLD_ROUNDS {
        let queries = Queries::new(64 << 20);
        let start = Instant::now();
        distinct = queries.count_distinct(&snapshot, &filter)?;
        colds.add(start.elapsed());
    }
    figures.noted(
        format!("distinct accounts, cold, {name}"),
        micros(colds.at(0.5)) / 1e3,
        "ms",
        Budget::at_most(50.0, 10.0),
        format!("{distinct} accounts of {total} links"),
    );
    let cached = measure(|| queries.count_distinct(&snapshot, &filter));
    let budget = Budget::AtMost {
        must: 200.0,
        aim: None,
    };
    report(
        figures,
        &format!("distinct accounts, cached, {name}"),
        cached,
        budget,
    );
    Ok(())
}

/// Links of it deleted one by one, from all over the list.
fn delete(store: &Store, figures: &mut Figures, name: &str, links: u64) -> Outcome {
    let mut writer = store.writer()?;
    let start = Instant::now();
    each_delete(links, &mut |event| {
        writer.apply(event)?;
        Ok(())
    })?;
    figures.judged(
        format!("one delete, amortised over {DELETES}, {name}"),
        micros(start.elapsed()) / DELETES as f64,
        "us",
        Budget::at_most(20.0, 5.0),
    );
    Ok(())
}
