//! The reading side: dictionary, posting lists in place, tombstones, and the answers that are made of them.

use std::hint::black_box;

use orrery_engine::{Snapshot, Store};
use orrery_query::{Filter, Paging, Queries};
use tempfile::TempDir;

use super::Size;
use super::accept::idle_options;
use crate::Result;
use crate::events::{Feed, liked_post};
use crate::harness::timing::Subject;
use crate::hot_target::{self, LIKE, PATH, TARGET};
use crate::random::Random;

/// A snapshot, and what it stands on.
struct Sealed {
    snapshot: Snapshot,
    _store: Store,
    _dir: TempDir,
}

/// Does one thing to a snapshot, many times.
struct Reading<F> {
    sealed: Sealed,
    read: F,
}

impl<F: FnMut(&Snapshot) -> Result<u64>> Subject for Reading<F> {
    fn round(&mut self) -> Result<u64> {
        (self.read)(&self.sealed.snapshot)
    }
}

/// The links of one target, 5 % dead, in one segment.
fn hot(size: Size) -> Result<Sealed> {
    let dir = tempfile::tempdir()?;
    let store = hot_target::build(dir.path(), size.events, u32::try_from(2 * size.events)?)?;
    Ok(Sealed {
        snapshot: store.snapshot(),
        _store: store,
        _dir: dir,
    })
}

fn reading(
    sealed: Sealed,
    read: impl FnMut(&Snapshot) -> Result<u64> + 'static,
) -> Result<Box<dyn Subject>> {
    Ok(Box::new(Reading { sealed, read }))
}

/// Liked posts of a sealed stream, each once, and the stream's store.
fn liked(size: Size) -> Result<(Sealed, Vec<String>)> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), idle_options(size.events))?;
    let mut writer = store.writer()?;
    let mut feed = Feed::new(orrery_synth::Options::finite(size.seed, size.events))?;
    let mut targets = Vec::new();
    while feed.apply_next(&mut writer)? {
        targets.extend(liked_post(feed.line()));
    }
    writer.seal()?;
    store.give_back(writer);
    targets.sort_unstable();
    targets.dedup();
    // In no order, as questions come.
    let mut random = Random::new(size.seed);
    targets.sort_by_cached_key(|_| random.next());
    let sealed = Sealed {
        snapshot: store.snapshot(),
        _store: store,
        _dir: dir,
    };
    Ok((sealed, targets))
}

fn look_up(sealed: Sealed, targets: &[String], is_there: bool) -> Result<Box<dyn Subject>> {
    let mut keys = Vec::new();
    for target in targets {
        keys.extend(sealed.snapshot.target_key(target)?);
    }
    reading(sealed, move |snapshot| {
        let mut found = 0;
        for part in snapshot.parts() {
            for key in &keys {
                found += u64::from(part.list(key, LIKE, PATH)?.is_some());
            }
        }
        let expected = if is_there { keys.len() as u64 } else { 0 };
        if found != expected {
            return Err(format!("{found} of {expected} targets were found").into());
        }
        Ok(keys.len() as u64)
    })
}

pub(super) fn dictionary(size: Size) -> Result<Box<dyn Subject>> {
    let (sealed, targets) = liked(size)?;
    look_up(sealed, &targets, true)
}

/// Keys next to those that are there.
pub(super) fn absent(size: Size) -> Result<Box<dyn Subject>> {
    let (sealed, mut targets) = liked(size)?;
    targets.iter_mut().for_each(|target| target.push('2'));
    look_up(sealed, &targets, false)
}

/// Calls `each` with the one long list.
fn with_list(
    size: Size,
    mut each: impl FnMut(orrery_engine::Part<'_>, orrery_engine::List<'_>) -> Result<u64> + 'static,
) -> Result<Box<dyn Subject>> {
    reading(hot(size)?, move |snapshot| {
        let key = snapshot.target_key(TARGET)?.ok_or("no target")?;
        let mut ops = 0;
        for part in snapshot.parts() {
            if let Some(list) = part.list(&key, LIKE, PATH)? {
                ops += each(part, list)?;
            }
        }
        Ok(ops)
    })
}

pub(super) fn read(size: Size) -> Result<Box<dyn Subject>> {
    with_list(size, |_, list| {
        let mut sum = 0;
        for row in list.iter_from(0) {
            sum += u64::from(row?);
        }
        black_box(sum);
        Ok(u64::from(list.len()))
    })
}

pub(super) fn seek(size: Size) -> Result<Box<dyn Subject>> {
    with_list(size, move |part, list| {
        let mut random = Random::new(size.seed);
        for _ in 0..1_000 {
            let row = random.below(u64::from(part.rows())) as u32;
            black_box(list.lower_bound(row)?);
        }
        Ok(1_000)
    })
}

pub(super) fn masked(size: Size) -> Result<Box<dyn Subject>> {
    with_list(size, |part, list| {
        let mut is_masked = part.mask_reader();
        let mut dead = 0;
        for row in list.iter_from(0) {
            dead += u32::from(is_masked(row?)?);
        }
        if dead != list.masked()? {
            return Err("the list keeps another count of its dead rows".into());
        }
        Ok(u64::from(list.len()))
    })
}

fn filter() -> Filter {
    Filter::new(TARGET, LIKE, PATH)
}

pub(super) fn count(size: Size) -> Result<Box<dyn Subject>> {
    let (queries, filter) = (Queries::new(1 << 20), filter());
    reading(hot(size)?, move |snapshot| {
        for _ in 0..1_000 {
            black_box(queries.count(snapshot, &filter)?);
        }
        Ok(1_000)
    })
}

pub(super) fn page(size: Size) -> Result<Box<dyn Subject>> {
    let (queries, filter) = (Queries::new(1 << 20), filter());
    let paging = Paging {
        limit: 100,
        ..Paging::default()
    };
    reading(hot(size)?, move |snapshot| {
        for _ in 0..100 {
            black_box(queries.records(snapshot, &filter, &paging)?);
        }
        Ok(100)
    })
}

pub(super) fn distinct(size: Size) -> Result<Box<dyn Subject>> {
    let filter = filter();
    reading(hot(size)?, move |snapshot| {
        // Nothing is remembered from round to round.
        black_box(Queries::new(64 << 20).count_distinct(snapshot, &filter)?);
        Ok(size.events)
    })
}
