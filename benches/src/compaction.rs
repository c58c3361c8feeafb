//! Queries at a fixed rate while events come in at the network's bursts, once without compaction and once with
//! merges running all the time: what a merge in the background costs the people who ask.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_engine::{Options, Store};
use orrery_query::{Filter, Paging, Queries};

use crate::events::{Feed, liked_post};
use crate::harness::percentile::Times;
use crate::{Outcome, Result};

/// Events in the directory before the clock starts.
const EVENTS_BEFORE: u64 = 1_500_000;
/// Seals often, so that there is always something to merge.
const SEAL_EVENTS: u32 = 32_768;
/// 2,400 links a second, at 1.2 links an event.
const EVENTS_PER_SECOND: u64 = 2_000;
const QUERIES_PER_SECOND: u64 = 250;
/// Rounds of both kinds, in turn.
const ROUNDS: usize = 3;

fn options(compact: bool) -> Options {
    let mut options = Options::default();
    options.seal_events = SEAL_EVENTS;
    options.compact = compact;
    options
}

/// What to ask: the likes of each of the posts.
fn filters_of(posts: &[String]) -> Vec<Filter> {
    let filter = |uri: &String| Filter::new(uri.as_str(), "app.bsky.feed.like", ".subject.uri");
    posts.iter().map(filter).collect()
}

struct Measured {
    latencies: Times,
    merges: u64,
    merged_bytes: u64,
    segments: usize,
    late: u64,
}

/// One round on a copy of `from`.
fn round(from: &Path, compact: bool, seconds: u64, filters: &[Filter]) -> Result<Measured> {
    let dir = tempfile::tempdir()?;
    copy(from, dir.path())?;
    let store = Store::open(dir.path(), options(compact))?;
    let mut writer = store.writer()?;
    let done = AtomicBool::new(false);
    let mut feed = Feed::new(orrery_synth::Options::finite(77, u64::MAX >> 8))?;
    let (latencies, late) = std::thread::scope(|scope| {
        let fed = scope.spawn(|| -> std::result::Result<u64, String> {
            let start = Instant::now();
            let mut count = 0_u64;
            let mut late = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let due = start.elapsed().as_micros() as u64 * EVENTS_PER_SECOND / 1_000_000;
                late = late.max(due.saturating_sub(count));
                while count < due {
                    feed.apply_next(&mut writer)
                        .map_err(|error| error.to_string())?;
                    count += 1;
                }
                writer.tick().map_err(|error| error.to_string())?;
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(late)
        });
        let queries = Queries::new(64 << 20);
        let start = Instant::now();
        let mut latencies = Times::default();
        for number in 0..seconds * QUERIES_PER_SECOND {
            // Open loop: a slow answer delays the next question, and that counts.
            let due = Duration::from_micros(number * 1_000_000 / QUERIES_PER_SECOND);
            if let Some(wait) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(wait);
            }
            let Some(filter) = filters.get(number as usize * 7919 % filters.len().max(1)) else {
                break;
            };
            let snapshot = store.snapshot();
            let asked = match number % 4 {
                0 => queries.count_distinct(&snapshot, filter).map(drop),
                1 => queries.count(&snapshot, filter).map(drop),
                _ => queries
                    .records(
                        &snapshot,
                        filter,
                        &Paging {
                            limit: 100,
                            ..Paging::default()
                        },
                    )
                    .map(drop),
            };
            if let Err(error) = asked {
                done.store(true, Ordering::Relaxed);
                return Err(error.to_string());
            }
            latencies.add(start.elapsed().saturating_sub(due));
        }
        done.store(true, Ordering::Relaxed);
        let late = fed
            .join()
            .map_err(|_| "the feeding thread ended by a bug".to_owned())??;
        Ok((latencies, late))
    })?;
    let status = store.status();
    Ok(Measured {
        latencies,
        merges: status.compaction.merges,
        merged_bytes: status.compaction.bytes_written,
        segments: status.segments,
        late,
    })
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let path = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&path)?;
            copy(&entry.path(), &path)?;
        } else {
            std::fs::copy(entry.path(), path)?;
        }
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn run(seconds: u64) -> Outcome {
    let prepared = tempfile::tempdir()?;
    let mut subjects = Vec::new();
    {
        let store = Store::open(prepared.path(), options(false))?;
        let mut writer = store.writer()?;
        let mut feed = Feed::new(orrery_synth::Options::finite(1, EVENTS_BEFORE))?;
        for number in 0..EVENTS_BEFORE {
            feed.apply_next(&mut writer)?;
            if number % 251 == 0 {
                subjects.extend(liked_post(feed.line()));
            }
            if number % 4_096 == 0 {
                writer.tick()?;
            }
        }
        writer.seal()?;
        println!(
            "{EVENTS_BEFORE} events in {} segments before",
            store.status().segments
        );
    }
    let filters = filters_of(&subjects);
    println!(
        "{QUERIES_PER_SECOND} queries a second over {} targets, {EVENTS_PER_SECOND} events a second, {seconds} s a round",
        filters.len()
    );
    let mut all = [Times::default(), Times::default()];
    for _ in 0..ROUNDS {
        for (compact, latencies) in [false, true].into_iter().zip(&mut all) {
            let mut measured = round(prepared.path(), compact, seconds, &filters)?;
            println!(
                "  {} p50 {:>8.1} us, p99 {:>8.1} us; {} merges, {} bytes, {} segments after; feed at most {} events late",
                if compact { "compacting" } else { "resting   " },
                micros(measured.latencies.at(0.5)),
                micros(measured.latencies.at(0.99)),
                measured.merges,
                measured.merged_bytes,
                measured.segments,
                measured.late,
            );
            latencies.extend(measured.latencies);
        }
    }
    let [mut resting, mut compacting] = all;
    for share in [0.5, 0.99, 0.999] {
        let (without, with) = (micros(resting.at(share)), micros(compacting.at(share)));
        println!(
            "  p{:<5} without {without:>8.1} us, with {with:>8.1} us: {:.2} x",
            share * 100.0,
            with / without.max(0.1)
        );
    }
    Ok(())
}
