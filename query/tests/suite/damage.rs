//! Damage to every file of a data directory: a byte changed anywhere, or the file cut at any length. Whatever it
//! is, each answer is the right one, an error that names a file, or marked as degraded; nothing panics. The same
//! holds after more events, seals and merges on what is left.
//!
//! `cargo test` takes a sample of the places. Every byte of small files and each 97th of larger ones, and each
//! length, of all kinds of files or of one (`seg`, `mask`, `log`, `keys`, `manifest`), with the outcomes counted:
//!
//! ```text
//! ORRERY_DAMAGE=all TMPDIR=/dev/shm cargo test --release -p orrery-query --test suite damage -- --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a failure is to end the test, and a sweep tells its counts"
)]

mod sample;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use orrery_engine::{Store, Writer};
use sample::{Answers, EVENTS, Sample, Sound, ask, options, step};

/// Files up to this size have every byte changed.
const SMALL_BYTES: usize = 4096;
/// Of larger ones, one byte in so many.
const STRIDE: usize = 97;
/// Places in each kind of file that a run without the environment variable takes.
const SAMPLE: usize = 24;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Cut(usize),
}

/// What became of a damaged directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every answer as if nothing were wrong.
    Right,
    /// Every answer as of an earlier position, which the store names and goes on from.
    Earlier,
    /// Lost events are named, and asked for again from the source.
    Gap,
    /// The directory does not open, for a reason that is told.
    Refused,
    /// A query fails, and the next one is marked.
    FailedThenDegraded,
    /// Answers are marked from the start.
    Degraded,
}

type Counts = BTreeMap<(String, Outcome), u64>;

/// The kind of a file, by its path.
fn kind(path: &Path) -> String {
    let extension = path.extension().and_then(|kind| kind.to_str());
    extension.unwrap_or("manifest").to_owned()
}

fn sweep(make: fn(usize) -> Damage, name: &str) {
    let sample = sample::sample();
    let extent = std::env::var("ORRERY_DAMAGE").ok();
    let all = extent.is_some();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut counts = Counts::new();
    let mut failures = Vec::new();
    for (path, bytes) in &sample.files {
        let kinds = extent.as_deref().unwrap_or("all");
        if bytes.is_empty() || (kinds != "all" && kinds != kind(path)) {
            continue;
        }
        let files = sample
            .files
            .keys()
            .filter(|other| kind(other) == kind(path));
        let stride = match (all, bytes.len() <= SMALL_BYTES) {
            (true, true) => 1,
            (true, false) => STRIDE,
            (false, _) => (bytes.len() * files.count()).div_ceil(SAMPLE),
        };
        // The start of the sample depends on the file, so that not all have their header hit.
        let first = if all {
            0
        } else {
            path.as_os_str().len() * 31 % stride.min(bytes.len())
        };
        for at in (first..bytes.len()).step_by(stride) {
            let what = format!("{}: {:?}", path.display(), make(at));
            let tried = catch_unwind(AssertUnwindSafe(|| {
                let mut files = sample.files.clone();
                let file = files.get_mut(path).unwrap();
                match make(at) {
                    Damage::Flip(at) => file[at] ^= 1 << (at % 8),
                    Damage::Cut(at) => file.truncate(at),
                }
                sample::write(&dir, &files);
                outcome(&sample, &dir)
            }));
            match tried {
                Ok(outcome) => *counts.entry((kind(path), outcome)).or_default() += 1,
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    failures.push(format!("{what}: {}", text.unwrap_or_default()));
                }
            }
        }
    }
    let points: u64 = counts.values().sum();
    let bytes: usize = sample.files.values().map(Vec::len).sum();
    println!(
        "{name}: {points} points in {} files of {bytes} bytes, {} failures",
        sample.files.len(),
        failures.len()
    );
    for ((kind, outcome), count) in &counts {
        println!("  {kind:9} {outcome:?}: {count}");
    }
    failures.truncate(20);
    assert!(failures.is_empty(), "{failures:#?}");
}

/// An error that tells where the damage is.
fn names_a_file(error: &dyn std::error::Error) {
    let text = error.to_string();
    let parts = ["MANIFEST", "segments", "log", "masks", ".seg", ".keys"];
    assert!(
        parts.iter().any(|part| text.contains(part)) || text.contains("set aside"),
        "{text} names no file"
    );
}

fn outcome(sample: &Sample, dir: &Path) -> Outcome {
    let store = match Store::open(dir, options()) {
        Ok(store) => store,
        Err(error) => {
            names_a_file(&error);
            return Outcome::Refused;
        }
    };
    let status = store.status();
    let durable = status.durable_cursor.map_or(0, |cursor| cursor.value);
    let is_degraded = !status.degraded.is_empty();
    let has_gap = !status.gaps.is_empty();
    let failed = answer(&store, |found| {
        if !has_gap {
            check(found, &sample.answers[durable as usize]);
        }
    });
    let mut writer = store.writer().unwrap();
    if let Err(error) = go_on(&mut writer, durable) {
        names_a_file(&error);
    }
    answer(&store, |found| {
        // Events that come again take their places at the end.
        let mut wanted = sample.answers[EVENTS as usize].clone();
        if store.status().poisoned.is_none() && !has_gap {
            check(found, &wanted);
        } else if store.status().poisoned.is_none() {
            wanted.iter_mut().for_each(|items| items.sort_unstable());
            let mut found: Vec<_> = found.iter().flatten().cloned().collect();
            found.iter_mut().for_each(|items| items.sort_unstable());
            assert_eq!(found, wanted, "after the gap was filled");
        }
    });
    match (failed, is_degraded, has_gap) {
        (true, ..) => Outcome::FailedThenDegraded,
        (_, true, _) => Outcome::Degraded,
        (.., true) => Outcome::Gap,
        _ if durable < EVENTS => Outcome::Earlier,
        _ => Outcome::Right,
    }
}

/// Asks until no answer fails, as a server does; what is not marked is given to `check`. Tells whether one failed.
fn answer(store: &Store, check: impl Fn(&Answers)) -> bool {
    for attempt in 0.. {
        let snapshot = store.snapshot();
        let found = ask(&snapshot);
        if snapshot.degraded().next().is_none() {
            check(&found);
        }
        let mut errors = found.iter().filter_map(|answer| answer.as_ref().err());
        let Some(error) = errors.next() else {
            return attempt > 0;
        };
        names_a_file(error);
        let orrery_query::Error::Index(source) = error else {
            panic!("{error}");
        };
        let source = source.downcast_ref().unwrap();
        assert!(store.report_damage(source), "{error} leads to nothing");
        assert!(attempt < 5, "{error} again and again");
    }
    unreachable!()
}

fn check(found: &Answers, wanted: &Sound) {
    for (number, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        if let Ok(found) = found {
            assert_eq!(found, wanted, "question {number} is answered wrong");
        }
    }
}

/// Ingest as after any start, some of it again; then a seal and merges of all that is left.
fn go_on(writer: &mut Writer, durable: u64) -> orrery_engine::Result<()> {
    for place in durable.saturating_sub(30) + 1..=EVENTS {
        step(writer, place)?;
    }
    writer.seal()?;
    writer.merge_due()?;
    writer.tick()?;
    writer.compact_full(&mut |_, _| {}).map(drop)
}

#[test]
fn a_changed_byte_in_any_file_gives_no_wrong_answer() {
    sweep(Damage::Flip, "flips");
}

#[test]
fn a_file_that_is_cut_gives_no_wrong_answer() {
    sweep(Damage::Cut, "cuts");
}
