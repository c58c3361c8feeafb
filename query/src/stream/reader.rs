//! All steps from a place on, without a gap or a repeat: what is left of events that the log no longer has, then the
//! log to its end.
//!
//! A replaying subscriber has a reader until that stands where those stand who are told of every event as it
//! comes; these share one reader.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use orrery_engine::{Accepted, EventReader, Progress, Snapshot, Store, TimePlace};

use super::start::Start;
use super::steps::{After, EachRow, Forms, Lookup, Made, Mark, StepMaker, Telling};
use super::survivors::{self, Survivors};
use super::types::{INDEX_ALL, INDEX_FIRST, Info, Origin, Step};
use crate::error::{Error, Result, known};

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
    /// How far the event is given at which a read was broken off.
    within: Option<(u64, Mark)>,
    /// Of events below, every link is told: survivors were looked for when these had happened already, so that a
    /// row that they replaced was not among them.
    tells_all_below: u64,
    /// Events from here on are live.
    live_from: u64,
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
        // A subject that cannot be named any more, since a segment is set aside, keeps its place.
        let mut links: Vec<(String, Option<String>)> = Vec::new();
        part.links(row, &mut |path, target| -> Result<()> {
            let target = known(part.target_string(target).map_err(Error::from))?;
            links.push((path.to_owned(), target));
            Ok(())
        })?;
        part.with_key(row, |collection, rkey| {
            let links = links.iter();
            let mut links = links.map(|(path, target)| (path.as_str(), target.as_deref()));
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

/// The events of which links are missing, of those that one read gave.
#[derive(Default)]
struct Cut(Option<(u64, u64)>);

impl Cut {
    fn note(&mut self, step: &Step) {
        if step.is_last && step.is_cut {
            let first_seq = self.0.map_or(step.seq, |(first_seq, _)| first_seq);
            self.0 = Some((first_seq, step.seq));
        }
    }

    fn info(&self) -> Option<Info> {
        let (first_seq, last_seq) = self.0?;
        Some(Info::LinksMissing {
            first_seq,
            last_seq,
        })
    }
}

impl Reader {
    /// A reader for a subscriber who begins at `start`. Events that are there already are told as replayed.
    ///
    /// # Errors
    /// When the index or the log cannot be read.
    pub fn open(store: &Store, start: Start, forms: Forms) -> Result<Self> {
        let next = store.next_seq();
        let mut reader = Self {
            store: Handle(store.clone()),
            events: store.events_from(next),
            maker: StepMaker::new(forms),
            survivors: None,
            after: None,
            within: None,
            tells_all_below: 0,
            live_from: next,
            infos: VecDeque::new(),
            position: next,
        };
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
            // Whoever was told so far after survivors may lack links of rows that were replaced meanwhile.
            if index >= INDEX_ALL {
                reader.tells_all_below = next;
            }
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

    /// All steps of events below were given.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.position
    }

    /// Of events below, this reader tells every link of a new version, also those that its record had before, as
    /// whoever reads may not have been told of these. Who is told of them in another way, by differences, misses links:
    /// a subscriber may go on where others stand only if those have still to be told of nothing below. It rises as
    /// long as survivors are read.
    #[must_use]
    pub const fn tells_all_below(&self) -> u64 {
        self.tells_all_below
    }

    /// Gives steps of up to `most` further events, of those with seqs below `before`. When `each` breaks it off, the next
    /// call goes on behind the step that it was given last, also where further steps of the event follow.
    ///
    /// # Errors
    /// When the index or the log cannot be read. What was given is not given again by the next call, which goes on
    /// where that is possible.
    pub fn read(
        &mut self,
        most: usize,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read> {
        if let Some(info) = self.infos.pop_front() {
            return Ok(Read::Info(info));
        }
        let mut cut = Cut::default();
        let read = if self.survivors.is_some() {
            self.read_survivors(most, &mut cut, each)
        } else {
            self.read_log(most, before, &mut cut, each)
        };
        self.infos.extend(cut.info());
        match read {
            Ok(Read::CaughtUp) if !self.infos.is_empty() => Ok(Read::More),
            read => read,
        }
    }

    fn read_survivors(
        &mut self,
        most: usize,
        cut: &mut Cut,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read> {
        let Some(survivors) = &mut self.survivors else {
            return Ok(Read::More);
        };
        let snapshot = self.store.0.snapshot();
        self.tells_all_below = snapshot.last_seq().saturating_add(1);
        let after = self.after;
        let is_done = survivors.read(&snapshot, most, &mut |mut step| {
            cut.note(&step);
            if let Some((_, index)) =
                after.filter(|(seq, index)| *seq == step.seq && *index >= INDEX_FIRST)
            {
                step.changes.retain(|change| change.index > index);
            }
            each(step)
        });
        self.position = survivors.next_seq();
        if is_done? {
            self.events.skip_to(self.position);
            self.survivors = None;
        }
        Ok(Read::More)
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
        before: u64,
        cut: &mut Cut,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read> {
        let room = before.saturating_sub(self.events.next_seq());
        let most = most.min(usize::try_from(room).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(Read::CaughtUp);
        }
        let mut rows = Rows {
            store: &self.store.0,
            snapshot: None,
            error: None,
        };
        let (maker, after) = (&mut self.maker, self.after);
        let (live_from, tells_all_below) = (self.live_from, self.tells_all_below);
        let mut within = self.within.take();
        // Where it is broken off: the seq to go on with.
        let mut broken_at = None;
        let progress = self.events.read(most, &mut |accepted: Accepted<'_>| {
            if broken_at.is_some() {
                return;
            }
            let seq = accepted.seq;
            let origin = if seq < live_from {
                Origin::Replay
            } else {
                Origin::Live
            };
            let after = after.filter(|(of, _)| *of == seq);
            let telling = Telling {
                origin,
                tells_all: seq < tells_all_below,
                after: after.map(|(_, index)| After::new(index)),
                mark: within
                    .take()
                    .filter(|(of, _)| *of == seq)
                    .map(|(_, mark)| mark),
            };
            let made = maker.make(&accepted, telling, &mut rows, &mut |step| {
                cut.note(&step);
                each(step)
            });
            match made {
                Made::All => {}
                Made::Stopped => broken_at = Some(seq.saturating_add(1)),
                Made::Within(mark) => {
                    within = Some((seq, mark));
                    broken_at = Some(seq);
                }
            }
        });
        let error = rows.error.take();
        self.within = within;
        if let Some(seq) = broken_at {
            // What was met behind it is met again.
            self.events.skip_to(seq);
            self.position = seq.max(self.position);
            return error.map_or(Ok(Read::More), Err);
        }
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
        self.position = self.events.next_seq().max(self.position);
        error.map_or(Ok(read), Err)
    }
}
