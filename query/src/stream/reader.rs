//! All steps from a place on, without a gap or a repeat: what is left of events that the log no longer has, then the
//! log to its end. With a delay, they go through a [`Hold`] of the reader's own.
//!
//! A replaying subscriber has a reader until that [stands](Reader::joins) where those stand who are told of every
//! event as it comes; these share one reader.

use std::collections::VecDeque;

use orrery_engine::{Accepted, EventReader, Progress, Snapshot, Store, TimePlace};

use super::hold::{DELAY_US, Hold};
use super::start::Start;
use super::steps::{EachRow, Forms, Lookup, StepMaker};
use super::survivors::{self, INDEX_FIRST, Survivors};
use super::types::{Info, Origin, Step};
use crate::error::{Error, Result};

/// A place so far ahead of the newest event at most is waited for: a crash may have lost events that were told, and
/// their seqs are given again.
const AHEAD_MAX: u64 = 65_536;

/// How far a reader came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// There may be more.
    More,
    /// There is nothing more now.
    CaughtUp,
    /// This is to be told before what comes next.
    Info(Info),
}

/// Reads steps in order. It reads files, and is not for threads that must not wait.
#[derive(Debug)]
pub struct Reader {
    store: Handle,
    events: EventReader,
    maker: StepMaker,
    survivors: Option<Survivors>,
    /// Up to this change, all were given before.
    after: Option<(u64, u32)>,
    /// Of events below, every link is told: survivors were looked for when these had happened already, so that a
    /// row that they replaced was not among them.
    tells_all_below: u64,
    /// Events from here on are live.
    live_from: u64,
    hold: Option<Hold>,
    infos: VecDeque<Info>,
    /// All steps of events below were given.
    position: u64,
}

/// A store, which has nothing to show.
struct Handle(Store);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// Rows of the newest state of the index, which is looked at when the first is asked for.
struct Rows<'a> {
    store: &'a Store,
    snapshot: Option<Snapshot>,
    error: Option<Error>,
}

impl Rows<'_> {
    fn find(&mut self, seq: u64, found: EachRow<'_>) -> Result<bool> {
        let snapshot = self.snapshot.get_or_insert_with(|| self.store.snapshot());
        let Some((part, row)) = snapshot.find_row(seq)? else {
            return Ok(false);
        };
        let mut links: Vec<(String, String)> = Vec::new();
        part.links(row, &mut |path, target| -> Result<()> {
            links.push((path.to_owned(), part.target_string(target)?));
            Ok(())
        })?;
        part.with_key(row, |collection, rkey| {
            let links = links.iter();
            let mut links = links.map(|(path, target)| (path.as_str(), target.as_str()));
            found(collection, rkey, &mut links);
        })?;
        Ok(true)
    }
}

impl Lookup for Rows<'_> {
    fn row(&mut self, seq: u64, found: EachRow<'_>) -> bool {
        self.find(seq, found).unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            false
        })
    }
}

impl Reader {
    /// A reader for a subscriber who begins at `start`. Events that are there already are told as replayed.
    ///
    /// # Errors
    /// When the index or the log cannot be read.
    pub fn open(store: &Store, start: Start, forms: Forms, is_delayed: bool) -> Result<Self> {
        let next = store.next_seq();
        let mut reader = Self::new(store, next, forms, is_delayed);
        reader.live_from = next;
        let is_near = |seq: u64| seq <= next.saturating_add(AHEAD_MAX);
        let seq = match start {
            Start::Seq(seq) | Start::After { seq, .. } if is_near(seq) => seq.max(1),
            Start::Now | Start::Seq(_) | Start::After { .. } => next,
            Start::Time(time_us) => match store.seek_time(time_us)? {
                TimePlace::Log { seq } | TimePlace::Future { seq } => seq,
                TimePlace::Before {
                    first_seq,
                    time_us: log_us,
                } => {
                    let seq = survivors::seq_at(&store.snapshot(), time_us)?.min(first_seq);
                    if seq < first_seq {
                        reader.survivors = Some(Survivors::new(seq, first_seq));
                    }
                    reader
                        .infos
                        .push_back(Info::OutdatedCursor { time_us: log_us });
                    seq
                }
            },
        };
        if let Start::After { seq, index } = start
            && is_near(seq)
        {
            reader.after = Some((seq, index));
        }
        reader.events.skip_to(seq);
        reader.position = seq;
        Ok(reader)
    }

    /// Has events from this one on told as live.
    #[must_use]
    pub const fn live_from(mut self, seq: u64) -> Self {
        self.live_from = seq;
        self
    }

    /// The reader of those who are told of every event as it comes. With a delay it begins at events that are as old,
    /// so that those are held back which would be if it had always been there.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn live(store: &Store, forms: Forms, is_delayed: bool) -> Result<Self> {
        let mut seq = store.next_seq();
        if is_delayed && let Some(last_us) = store.snapshot().indexed_through_us() {
            seq = match store.seek_time(last_us.saturating_sub(DELAY_US))? {
                TimePlace::Log { seq }
                | TimePlace::Future { seq }
                | TimePlace::Before { first_seq: seq, .. } => seq,
            };
        }
        Ok(Self::new(store, seq, forms, is_delayed))
    }

    fn new(store: &Store, seq: u64, forms: Forms, is_delayed: bool) -> Self {
        Self {
            store: Handle(store.clone()),
            events: store.events_from(seq),
            maker: StepMaker::new(forms),
            survivors: None,
            after: None,
            tells_all_below: 0,
            live_from: 0,
            hold: is_delayed.then(Hold::default),
            infos: VecDeque::new(),
            position: seq,
        }
    }

    /// All steps of events below were given.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.position
    }

    /// Whether a subscriber who got all of this reader may go on with the steps of events from `position` on.
    #[must_use]
    pub fn joins(&self, position: u64) -> bool {
        self.position == position
            && self.survivors.is_none()
            && self.infos.is_empty()
            && self.after.is_none_or(|(seq, _)| seq < position)
    }

    /// Gives steps of up to `most` further events, or as many as have waited long enough. Steps of an event that is
    /// `before` that seq only, where it is set: it is the place that the live stream of the same delay has reached, and
    /// what is behind that needs to wait no more. `now_us` is the time since any moment, and never goes back.
    ///
    /// # Errors
    /// When the index or the log cannot be read. What was given is not given again by the next call, which goes on
    /// where that is possible.
    pub fn read(
        &mut self,
        most: usize,
        before: Option<u64>,
        now_us: u64,
        each: &mut dyn FnMut(Step),
    ) -> Result<Read> {
        if let Some(info) = self.infos.pop_front() {
            return Ok(Read::Info(info));
        }
        if let Some(survivors) = &mut self.survivors {
            let snapshot = self.store.0.snapshot();
            self.tells_all_below = snapshot.last_seq().saturating_add(1);
            let after = self.after;
            let is_done = survivors.read(&snapshot, most, &mut |mut step| {
                if let Some((_, index)) =
                    after.filter(|(seq, index)| *seq == step.seq && *index >= INDEX_FIRST)
                {
                    step.changes.retain(|change| change.index > index);
                }
                each(step);
            })?;
            self.position = survivors.next_seq();
            if is_done {
                self.events.skip_to(self.position);
                self.survivors = None;
            }
            return Ok(Read::More);
        }
        self.read_log(most, before, now_us, each)
    }

    /// The time of the event that can be read first from `seq` on; that of the newest event where there is none.
    fn time_of(&self, seq: u64) -> Result<u64> {
        let store = &self.store.0;
        let mut time_us = None;
        let mut first = store.events_from(seq);
        first.read(1, &mut |accepted| time_us = Some(accepted.event.time_us))?;
        let time_us = time_us.or_else(|| store.snapshot().indexed_through_us());
        Ok(time_us.unwrap_or_default())
    }

    fn read_log(
        &mut self,
        most: usize,
        before: Option<u64>,
        now_us: u64,
        each: &mut dyn FnMut(Step),
    ) -> Result<Read> {
        let mut most = most;
        if let (Some(before), None) = (before, &self.hold) {
            let room = before.saturating_sub(self.events.next_seq());
            most = most.min(usize::try_from(room).unwrap_or(usize::MAX));
            if most == 0 {
                return Ok(Read::CaughtUp);
            }
        }
        let mut rows = Rows {
            store: &self.store.0,
            snapshot: None,
            error: None,
        };
        let (maker, hold, after) = (&mut self.maker, &mut self.hold, self.after);
        let (live_from, tells_all_below) = (self.live_from, self.tells_all_below);
        let progress = self.events.read(most, &mut |accepted: Accepted<'_>| {
            let origin = if accepted.seq < live_from {
                Origin::Replay
            } else {
                Origin::Live
            };
            let tells_all = accepted.seq < tells_all_below;
            maker.make(&accepted, origin, tells_all, &mut rows, &mut |mut step| {
                if let Some((_, index)) = after.filter(|(seq, _)| *seq == step.seq) {
                    step.plain.clear();
                    // Survivors of the event were numbered otherwise: which links they were cannot be told.
                    if index < INDEX_FIRST {
                        step.changes.retain(|change| change.index > index);
                    }
                }
                match hold {
                    Some(hold) => hold.stage(step, now_us),
                    None => each(step),
                }
            });
        });
        let error = rows.error.take();
        let read = match progress? {
            Progress::Read => Read::More,
            Progress::CaughtUp => Read::CaughtUp,
            Progress::Lost {
                first_seq,
                last_seq,
            } => {
                self.infos.push_back(Info::EventsLost {
                    first_seq,
                    last_seq,
                });
                Read::More
            }
            Progress::Trimmed { first_kept } => {
                let first = self.events.next_seq();
                self.survivors = Some(Survivors::new(first, first_kept));
                let time_us = self.time_of(first_kept)?;
                self.infos.push_back(Info::OutdatedCursor { time_us });
                Read::More
            }
        };
        let mut place = self.events.next_seq();
        if let Some(hold) = &mut self.hold {
            match before {
                // Whatever undoes one of them is held by now, as far as it has not been told either.
                Some(before) if read == Read::CaughtUp => hold.release_all(before, each),
                Some(before) => hold.release(0, before, each),
                None => hold.release(now_us, u64::MAX, each),
            }
            // Survivors of later events come behind all that waits.
            if self.survivors.is_some() {
                hold.release_all(before.unwrap_or(u64::MAX), each);
            }
            place = hold.oldest().unwrap_or(place);
        }
        self.position = place.min(before.unwrap_or(u64::MAX)).max(self.position);
        match error {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }
}
