//! What the writer does with an event: told from a repeat, its links read, into the log's open batch, and into the memtable.

use std::time::Duration;

use orrery_engine::event::{Body, Event};
use orrery_engine::{Applied, Options, Store, Writer};
use tempfile::TempDir;

use super::Size;
use crate::events::{decoded, lines};
use crate::harness::timing::Subject;
use crate::{Outcome, Result};

/// A store that seals and syncs only when told to, for so many events.
pub(super) fn idle_options(events: u64) -> Options {
    let mut options = Options::default();
    // What is looked up by number is made ready for all events at once: no more of them than can come.
    options.seal_events = u32::try_from(2 * events).unwrap_or(u32::MAX).max(262_144);
    options.seal_heap_bytes = usize::MAX;
    options.commit_interval = Duration::from_secs(3_600);
    options.compact = false;
    options
}

/// A new store. The writer goes before its directory.
pub(super) struct Fresh {
    pub(super) writer: Writer,
    pub(super) store: Store,
    _dir: TempDir,
}

impl Fresh {
    pub(super) fn new(events: &[Event<'_>]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), idle_options(events.len() as u64))?;
        Ok(Self {
            writer: store.writer()?,
            store,
            _dir: dir,
        })
    }

    pub(super) fn apply(&mut self, events: &[Event<'_>], is_repeat: bool) -> Outcome {
        for event in events {
            let applied = self.writer.apply(event)?;
            if matches!(applied, Applied::Repeat) != is_repeat {
                return Err(format!("an event was taken for {applied:?}").into());
            }
        }
        Ok(())
    }
}

struct Accept {
    events: Vec<Event<'static>>,
    fresh: Option<Fresh>,
}

impl Subject for Accept {
    fn ready(&mut self) -> Outcome {
        self.fresh = None;
        self.fresh = Some(Fresh::new(&self.events)?);
        Ok(())
    }

    fn round(&mut self) -> Result<u64> {
        let fresh = self.fresh.as_mut().ok_or("not made ready")?;
        fresh.apply(&self.events, false)?;
        Ok(self.events.len() as u64)
    }
}

pub(super) fn accept(size: Size) -> Result<Box<dyn Subject>> {
    Ok(Box::new(Accept {
        events: decoded(lines(size.seed, size.events)?)?,
        fresh: None,
    }))
}

struct Repeat {
    events: Vec<Event<'static>>,
    fresh: Fresh,
}

impl Subject for Repeat {
    fn round(&mut self) -> Result<u64> {
        self.fresh.apply(&self.events, true)?;
        Ok(self.events.len() as u64)
    }
}

pub(super) fn repeat(size: Size) -> Result<Box<dyn Subject>> {
    let mut events = decoded(lines(size.seed, size.events)?)?;
    // An identity may be told as often as its server likes: nothing of it is indexed, and none is a repeat.
    events.retain(|event| matches!(event.body, Body::Commit { .. }));
    let mut fresh = Fresh::new(&events)?;
    fresh.apply(&events, false)?;
    Ok(Box::new(Repeat { events, fresh }))
}
