//! A target with a million links, 5 % of them dead, in one segment and over at least 16: counts, pages, a
//! delete, distinct accounts, with what each call allocates.

use std::path::Path;
use std::time::{Duration, Instant};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_links::syntax::Tid;
use orrery_query::{Filter, Paging, Queries};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use crate::Outcome;

const LIKE: &str = "app.bsky.feed.like";
const TARGET: &str = "at://did:plc:hothothothothothothothot/app.bsky.feed.post/3mbd3542k2222";
/// Each link comes from another account out of so many.
const ACTORS: u64 = 700_000;
/// Deleted links that are timed.
const DELETES: u64 = 1_000;
const ROUNDS: usize = 51;

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

fn apply(writer: &mut Writer, n: u64, at: u64, record: Option<&[u8]>) -> Outcome {
    let (did, key) = link(n);
    let rev = (1_767_225_600_000_000 + at * 1_000) << 10;
    let rkey = Tid::from_u64(key)?.to_string();
    writer.apply(&Event {
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
    })?;
    Ok(())
}

/// A data directory with the hot target's links, 5 % dead, in segments of `seal_events` events.
fn build(dir: &Path, links: u64, seal_events: u32) -> Result<Store, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    options.seal_events = seal_events;
    options.seal_heap_bytes = 2 << 30;
    options.compact = false;
    let store = Store::open(dir, options)?;
    let mut writer = store.writer()?;
    let body = format!(
        r#"{{"$type":"{LIKE}","createdAt":"2026-01-01T00:00:00Z","subject":{{"cid":"bafyreib","uri":"{TARGET}"}}}}"#
    );
    for n in 0..links {
        apply(&mut writer, n, n, Some(body.as_bytes()))?;
        if n.is_multiple_of(4_096) {
            writer.tick()?;
        }
    }
    // Deletes come from all over the list.
    for (n, at) in (0..links).step_by(20).zip(links..) {
        apply(&mut writer, n, at, None)?;
    }
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

fn report(what: &str, measured: (Duration, usize)) {
    let (time, bytes) = measured;
    println!(
        "  {what:34} {:>10.1} us, {bytes:>8} B allocated",
        time.as_secs_f64() * 1e6
    );
}

pub(crate) fn run(links: u64) -> Outcome {
    let per_segment = u32::try_from(links / 17)?;
    for (name, seal_events) in [
        ("over many segments", per_segment),
        ("in one segment", u32::try_from(links * 2)?),
    ] {
        let dir = tempfile::tempdir()?;
        let store = build(dir.path(), links, seal_events)?;
        let snapshot = store.snapshot();
        println!(
            "{links} links {name} ({}), 5 % dead",
            store.status().segments
        );
        let queries = Queries::new(64 << 20);
        let filter = Filter::new(TARGET, LIKE, ".subject.uri");
        let total = queries.count(&snapshot, &filter)?;
        println!("  {total} live links");
        report("count", measure(|| queries.count(&snapshot, &filter)));
        let page = |cursor| Paging {
            limit: 100,
            cursor,
            ..Paging::default()
        };
        report(
            "page 1",
            measure(|| queries.records(&snapshot, &filter, &page(None))),
        );
        let mut paging = Paging {
            limit: 1_000,
            ..Paging::default()
        };
        // 4,999 pages of 100 before page 5,000, walked in pages of 1,000 and the rest in one of 900.
        let before_page = 499_900.min(total.saturating_sub(200));
        let mut left = before_page;
        while left > 0 {
            paging.limit = u32::try_from(left.min(1_000))?;
            let page = queries.records(&snapshot, &filter, &paging)?;
            left -= page.items.len() as u64;
            paging.cursor = page.cursor;
        }
        let deep = page(paging.cursor);
        report(
            "page 5,000",
            measure(|| queries.records(&snapshot, &filter, &deep)),
        );
        let start = Instant::now();
        let distinct = Queries::new(64 << 20).count_distinct(&snapshot, &filter)?;
        println!(
            "  distinct, cold {:>29.1} us ({distinct} accounts)",
            start.elapsed().as_secs_f64() * 1e6
        );
        report(
            "distinct, cached",
            measure(|| queries.count_distinct(&snapshot, &filter)),
        );
        let mut writer = store.writer()?;
        let start = Instant::now();
        for (n, at) in (1..links)
            .step_by((links / DELETES) as usize)
            .zip(2 * links..)
        {
            apply(&mut writer, n, at, None)?;
        }
        println!(
            "  one delete {:>33.1} us, amortised over {DELETES}",
            start.elapsed().as_secs_f64() * 1e6 / DELETES as f64
        );
        let after = queries.count(&store.snapshot(), &filter)?;
        println!("  {after} live links after");
    }
    Ok(())
}
