//! What else the records link to that link to one target: a million records by many accounts, each with one of many
//! other subjects, in several segments. Counts of all other subjects, first and kept; a page of pairs.

use std::path::Path;
use std::time::Instant;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store};
use orrery_links::syntax::Tid;
use orrery_query::{Filter, ManyToMany, Paging, Queries};

use crate::Outcome;

const ITEM: &str = "app.bsky.graph.listitem";
const TARGET: &str = "at://did:plc:hothothothothothothothot/app.bsky.graph.list/3mbd3542k2222";
const ACTORS: u64 = 300_000;
const SEGMENTS: u64 = 4;
const ROUNDS: usize = 9;

/// The other subject of the n-th record, of so many.
fn other(n: u64, others: u64) -> String {
    // A Weyl sequence: in no order, each about as often.
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    format!(
        "at://did:web:other.example/app.bsky.feed.post/{}",
        n % others
    )
}

fn build(dir: &Path, links: u64, others: u64) -> Result<Store, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    options.seal_events = u32::try_from(links.div_ceil(SEGMENTS))?;
    options.seal_heap_bytes = 2 << 30;
    options.compact = false;
    let store = Store::open(dir, options)?;
    let mut writer = store.writer()?;
    for n in 0..links {
        let rev = (1_767_225_600_000_000 + n * 1_000) << 10;
        let body = format!(
            r#"{{"$type":"{ITEM}","list":"{TARGET}","subject":"{}"}}"#,
            other(n, others)
        );
        writer.apply(&Event {
            time_us: rev >> 10,
            did: &format!("did:web:u{}.example", n % ACTORS),
            body: Body::Commit {
                rev,
                collection: ITEM,
                rkey: &Tid::from_u64(rev | (n & 31))?.to_string(),
                operation: Operation::Create(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: body.as_bytes(),
                }),
            },
        })?;
        if n.is_multiple_of(4_096) {
            writer.tick()?;
        }
    }
    writer.seal()?;
    store.give_back(writer);
    Ok(store)
}

fn median(mut call: impl FnMut() -> Outcome) -> Result<f64, Box<dyn std::error::Error>> {
    call()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times
        .get(ROUNDS / 2)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6))
}

pub(crate) fn run(links: u64) -> Outcome {
    for others in [10_000.min(links), links] {
        let dir = tempfile::tempdir()?;
        let store = build(dir.path(), links, others)?;
        let snapshot = store.snapshot();
        let filter = Filter::new(TARGET, ITEM, ".list");
        let many = ManyToMany {
            path_to_other: ".subject".to_owned(),
            other_subjects: None,
        };
        let paging = Paging {
            limit: 100,
            ..Paging::default()
        };
        println!("{links} links to one target, some {others} other subjects");
        let made = median(|| {
            let queries = Queries::new(64 << 20);
            queries.many_to_many_counts(&snapshot, &filter, &many, &paging)?;
            Ok(())
        })?;
        println!("  page of counts, made from the index {made:>12.1} us");
        let queries = Queries::new(256 << 20);
        let kept = median(|| {
            queries.many_to_many_counts(&snapshot, &filter, &many, &paging)?;
            Ok(())
        })?;
        println!("  page of counts, kept {kept:>27.1} us");
        let pairs = median(|| {
            queries.many_to_many(&snapshot, &filter, &many, &paging)?;
            Ok(())
        })?;
        println!("  page of pairs {pairs:>34.1} us");
    }
    Ok(())
}
