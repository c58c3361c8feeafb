//! Records deleted from all over a stream that lies in many segments: what one delete takes, and what is written for it.

use std::time::Instant;

use orrery_engine::event::{Body, Event, Operation};
use orrery_engine::{Applied, Options, Store};
use orrery_ingest::decode;

use super::directory::{MIB, of_status};
use crate::harness::arguments::Arguments;
use crate::harness::figures::Figures;
use crate::harness::percentile::Times;
use crate::harness::process::Process;
use crate::random::Random;
use crate::{Outcome, events};

const EVENTS: u64 = 500_000;
/// Segments in which they lie, about.
const SEGMENTS: u64 = 16;
/// Deletes that are timed, of all records.
const SHARE: u64 = 10;

/// A record that can be deleted.
struct Known {
    did: String,
    collection: String,
    rkey: String,
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let count = arguments.events.unwrap_or(EVENTS).max(1_000);
    let dir = tempfile::tempdir()?;
    let mut options = Options::default();
    options.seal_events = u32::try_from(count / SEGMENTS + 1)?;
    options.compact = false;
    let store = Store::open(dir.path(), options)?;
    let mut writer = store.writer()?;
    let mut stream = orrery_synth::Options::finite(arguments.seed(), count);
    // What is deleted is chosen here.
    stream.delete_percent = 0.0;
    stream.account_percent = 0.0;
    let mut feed = events::Feed::new(stream)?;
    let mut known = Vec::new();
    let mut number = 0_u64;
    while feed.apply_next(&mut writer)? {
        number += 1;
        if number.is_multiple_of(4_096) {
            writer.tick()?;
        }
        if number.is_multiple_of(SHARE) {
            let wire = orrery_jetstream::Event::parse_bytes(feed.line());
            let wire = wire.map_err(|malformed| malformed.reason())?;
            let event = decode(&wire).map_err(|reason| reason.name())?;
            if let Body::Commit {
                collection, rkey, ..
            } = event.body
            {
                known.push(Known {
                    did: event.did.to_owned(),
                    collection: collection.to_owned(),
                    rkey: rkey.to_owned(),
                });
            }
        }
    }
    writer.seal()?;
    let mut random = Random::new(arguments.seed());
    known.sort_by_cached_key(|_| random.next());
    let before = store.snapshot().totals();
    let usage = Process::Own.usage().unwrap_or_default();
    println!(
        "  {} records deleted out of {} in {} segments",
        known.len(),
        before.live_rows,
        store.status().segments
    );
    let mut times = Times::default();
    let mut time_us = feed.time_us;
    let started = Instant::now();
    for (number, key) in known.iter().enumerate() {
        time_us += 2_500;
        let event = Event {
            time_us,
            did: &key.did,
            body: Body::Commit {
                rev: time_us << 10,
                collection: &key.collection,
                rkey: &key.rkey,
                operation: Operation::Delete,
            },
        };
        let start = Instant::now();
        let applied = writer.apply(&event)?;
        times.add(start.elapsed());
        if !matches!(applied, Applied::New { .. }) {
            return Err(format!("a delete was taken for {applied:?}").into());
        }
        if number % 4_096 == 0 {
            writer.tick()?;
        }
    }
    let wall = started.elapsed().as_secs_f64();
    let after = Process::Own.usage().unwrap_or_default();
    let deletes = known.len().max(1) as f64;
    let [median, high, higher] =
        [0.5, 0.99, 0.999].map(|share| times.at(share).as_secs_f64() * 1e6);
    figures.add("one delete, amortised", wall * 1e6 / deletes, "us");
    figures.add("p50", median, "us");
    figures.add("p99", high, "us");
    figures.add("p99.9", higher, "us");
    let cpu = (after.cpu_seconds - usage.cpu_seconds).max(0.01);
    figures.add("deletes per CPU second", deletes / cpu, "");
    writer.seal()?;
    let left = store.snapshot().totals();
    figures.add(
        "records gone",
        (before.live_rows - left.live_rows) as f64,
        "",
    );
    let written = Process::Own.usage().unwrap_or_default().write_bytes - usage.write_bytes;
    figures.add(
        "bytes written for one, with the seal",
        written as f64 / deletes,
        "B",
    );
    figures.add("RssAnon", after.rss_anon_kib as f64 / 1_024.0, "MiB");
    of_status(figures, &store.status());
    let segments = |store: &Store| {
        let bytes = store.status().bytes;
        let segments = bytes.iter().filter(|(kind, _)| *kind == "segments");
        segments.map(|(_, bytes)| *bytes).sum::<u64>() as f64
    };
    let with_dead = segments(&store);
    writer.compact_full(&mut |_, _| {})?;
    let freed = with_dead - segments(&store);
    figures.add("given back by a full compaction", freed / MIB, "MiB");
    Ok(())
}
