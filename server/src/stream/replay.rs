//! What one subscriber missed: read for it alone, in pieces, until it stands where the dispatcher stands, and joins there.
//! Each piece is read when the one before was sent, so that a slow subscriber costs no more than a piece.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_query::stream::{FilterIndex, Forms, Hold, Info, Origin, Read, Start, Step, write_info};

use super::closing::Closing;
use super::dispatcher::Dispatcher;
use super::feed::{Feed, StepReader};
use super::options::Form;
use super::subscriber::{
    Subscriber, Told, Wants, changes_for, is_behind, is_in_form, is_wanted, text_of,
};
use crate::index::IndexError;
use crate::time::now_us as wall_us;

/// Events of one read, and bytes and time of one piece.
const EVENTS: usize = 256;
const PIECE_BYTES: usize = 128 << 10;
const PIECE_TIME: Duration = Duration::from_millis(50);
/// Changes that wait to be put into a piece: beyond, nothing more is read.
const DUE_MAX: usize = 1_024;
/// What is held back for one replay, in links and bytes; beyond, the oldest leave early. Only what is wanted is held.
const HELD_LINKS: usize = 98_304;
const HELD_BYTES: usize = 16 << 20;
/// How far ahead of all events a place may be that was told before a crash.
const AHEAD_MAX: u64 = 65_536;
/// Pause of a replay that stands where the dispatcher stands, or nearly.
const PAUSE: Duration = Duration::from_millis(10);
/// Pause of a replay that the dispatcher has to tell others something before it may join.
pub(super) const PAUSE_LONG: Duration = Duration::from_millis(250);
/// The reader's only subscriber in the index of its filters.
const SELF: u64 = 0;

/// A piece of what was missed.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) frames: Vec<String>,
    bytes: usize,
    pub(super) then: Then,
}

/// What comes behind a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Then {
    /// The next one.
    #[default]
    More,
    /// The next one, after a while.
    Wait(Duration),
    /// What comes is told by the dispatcher.
    Joined,
}

/// One subscriber's way to the present.
pub(super) struct Replay {
    subscriber: Arc<Subscriber>,
    dispatcher: Arc<Dispatcher>,
    reader: Box<dyn StepReader>,
    hold: Option<Hold>,
    begun: Instant,
    /// Events from this one on have happened since the subscriber came.
    live_from: u64,
    /// What it was told last.
    told: Told,
    /// What the subscriber knows, or asked not to be told, lies below.
    join_from: u64,
    /// Below lies what left the hold before it left that of the dispatcher.
    early_below: u64,
    /// Once the dispatcher had told all below the first, it had read all below the second.
    cleared: Option<(u64, u64)>,
    is_joined: bool,
    /// Steps that are due, and how many changes they have.
    due: VecDeque<Step>,
    due_changes: usize,
    /// How many changes of the first of them are done with.
    done: usize,
    /// What is to be told once all events below were told.
    infos: VecDeque<(u64, Info)>,
    index: FilterIndex,
    /// What `index` was made of.
    wants: Option<Arc<Wants>>,
}

/// Where a subscriber begins that came when `live_from` was the next event; and the event that has to be there before: what
/// a crash took from the log comes again under the same seqs, and is not told again.
pub(super) fn place_of(start: Start, live_from: u64) -> (Start, u64) {
    let needed = behind(told_by(start));
    match told_by(start).0.checked_sub(live_from) {
        None => (start, 0),
        Some(ahead) if ahead <= AHEAD_MAX => (start, needed),
        Some(_) => (Start::Seq(live_from), 0),
    }
}

impl Replay {
    /// Begins at `start`, for a subscriber that came when `live_from` was the next event.
    pub(super) fn new(
        feed: &dyn Feed,
        subscriber: &Arc<Subscriber>,
        dispatcher: &Arc<Dispatcher>,
        start: Start,
        live_from: u64,
    ) -> Result<Self, Closing> {
        let forms = Forms {
            plain: subscriber.form == Form::Plain,
            changes: subscriber.form != Form::Plain,
        };
        let open = |start| feed.reader(start, forms).map_err(|error| failed(&error));
        let mut reader = open(start)?;
        if matches!(start, Start::Time(_)) && reader.next_seq() > live_from {
            // A time in the future is the present: not that of now, but that in which the subscriber came.
            reader = open(Start::Seq(live_from))?;
        }
        let join_from = behind(told_by(start)).max(reader.next_seq());
        Ok(Self {
            subscriber: Arc::clone(subscriber),
            dispatcher: Arc::clone(dispatcher),
            reader,
            hold: dispatcher.hold(HELD_LINKS, HELD_BYTES),
            begun: Instant::now(),
            live_from,
            told: (0, None),
            join_from,
            early_below: 0,
            cleared: None,
            is_joined: false,
            due: VecDeque::new(),
            due_changes: 0,
            done: 0,
            infos: VecDeque::new(),
            index: FilterIndex::default(),
            wants: None,
        })
    }

    /// Reads the next piece. May block.
    pub(super) fn piece(&mut self) -> Result<Piece, Closing> {
        let mut piece = Piece::default();
        self.renew_filters()?;
        let begun = Instant::now();
        loop {
            self.tell(&mut piece);
            if piece.is_full() {
                return Ok(piece);
            }
            if self.is_joined {
                piece.then = Then::Joined;
                return Ok(piece);
            }
            if begun.elapsed() >= PIECE_TIME {
                return Ok(piece);
            }
            match self.read()? {
                Read::More => {}
                Read::Info(info) => {
                    let next = self.reader.next_seq();
                    let behind = self.hold.as_ref().map_or(next, Hold::staged);
                    self.infos.push_back((behind, info));
                }
                Read::CaughtUp if !self.due.is_empty() => {}
                Read::CaughtUp if !self.infos.is_empty() => {
                    // What comes before is held back.
                    piece.then = Then::Wait(PAUSE_LONG);
                    return Ok(piece);
                }
                Read::CaughtUp => {
                    if let Some(pause) = self.join()? {
                        piece.then = Then::Wait(pause);
                        return Ok(piece);
                    }
                }
            }
        }
    }

    /// Takes up what the subscriber wants now, if that has changed: it holds for what is read from here on.
    fn renew_filters(&mut self) -> Result<(), Closing> {
        let wants = self.subscriber.wants.lock().clone();
        let Some(wants) = wants else {
            return Ok(());
        };
        let is_known = |known: &Arc<Wants>| Arc::ptr_eq(known, &wants);
        if !self.wants.as_ref().is_some_and(is_known) {
            self.index
                .set_prepared(SELF, wants.filters.clone())
                .map_err(|_| Closing::filters_full())?;
            self.wants = Some(wants);
        }
        Ok(())
    }

    /// Reads on, but not beyond the dispatcher, until enough is due.
    fn read(&mut self) -> Result<Read, Closing> {
        let Some(run) = self.dispatcher.place() else {
            return Ok(Read::CaughtUp);
        };
        let now_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.release(0, run.told);
        if !self.due.is_empty() {
            return Ok(Read::More);
        }
        let before = if self.hold.is_some() {
            run.read
        } else {
            run.told
        };
        let form = self.subscriber.form;
        let Self {
            reader,
            hold,
            due,
            due_changes,
            index,
            ..
        } = self;
        let read = reader.read(EVENTS, before, &mut |mut step| {
            // What the filters reject is not kept. Whether a delete undoes a create does not depend on that: they match alike.
            let is_delayed = hold.is_some();
            let changes = match form {
                Form::Plain => &mut step.plain,
                Form::Extended(_) => &mut step.changes,
            };
            changes.retain(|change| {
                let mut is_matched = false;
                if is_delayed || is_in_form(form, change) {
                    index.lookup(&change.subject, &change.source, |_| is_matched = true);
                }
                is_matched
            });
            match hold {
                Some(hold) => {
                    hold.stage(step, now_us, wall_us());
                    if hold.is_full() {
                        return ControlFlow::Break(());
                    }
                }
                None if step.changes.is_empty() && step.plain.is_empty() => {}
                None => put(due, due_changes, step),
            }
            if *due_changes >= DUE_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        // A time since arrival counts only once all is here that the dispatcher had: what was undone there is undone here.
        let now_us = match read {
            Ok(Read::CaughtUp) => now_us,
            _ => 0,
        };
        self.release(now_us, run.told);
        read.map_err(|error| failed(&error))
    }

    /// Makes due what has waited long enough, until enough is due. The dispatcher has told all below `told`.
    fn release(&mut self, now_us: u64, told: u64) {
        let Self {
            hold,
            due,
            due_changes,
            early_below,
            ..
        } = self;
        if let Some(hold) = hold
            && *due_changes < DUE_MAX
        {
            hold.release(now_us, u64::MAX, &mut |step| {
                if step.seq >= told {
                    *early_below = step.seq.saturating_add(1);
                }
                put(due, due_changes, step);
                if *due_changes >= DUE_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
    }

    /// Joins the dispatcher if it stands exactly here. What is still held of what the dispatcher has told is due then. Gives how
    /// long to wait if it does not.
    fn join(&mut self) -> Result<Option<Duration>, Closing> {
        let next = self.reader.next_seq();
        // What the dispatcher tells is what became different, which does not do where this reader tells all. And below lies what
        // was told here and may be held there: a delete of that would be lost in the dispatcher's hold, as one that undoes a
        // create of which nobody was told.
        let mut least = self.reader.tells_all_below();
        if self.hold.is_some() {
            least = least.max(self.join_from).max(self.early_below);
        }
        let Self {
            hold,
            due,
            due_changes,
            told,
            cleared,
            ..
        } = self;
        let mut pause = PAUSE;
        self.is_joined = self.dispatcher.join_at(&self.subscriber, |run| {
            let place = if hold.is_some() { run.read } else { run.told };
            if run.told < least {
                *cleared = None;
                pause = PAUSE_LONG;
                return None;
            }
            if hold.is_some() {
                // Deletes that were lost there were read before: they must be told here.
                if cleared.is_none_or(|(of, _)| of != least) {
                    *cleared = Some((least, run.read));
                }
                if cleared.is_some_and(|(_, read)| run.told < read) {
                    pause = PAUSE_LONG;
                    return None;
                }
            }
            if place != next || run.is_within {
                return None;
            }
            if let Some(mut hold) = hold.take() {
                hold.release_all(run.told, &mut |step| {
                    put(due, due_changes, step);
                    ControlFlow::Continue(())
                });
            }
            Some(*told)
        })?;
        Ok((!self.is_joined).then_some(pause))
    }

    /// Moves what is due into the piece, until that is full.
    fn tell(&mut self, piece: &mut Piece) {
        let form = self.subscriber.form;
        while let Some(step) = self.due.front() {
            inform_below(&mut self.infos, step.seq, piece);
            for change in changes_for(form, step).iter().skip(self.done) {
                if piece.is_full() {
                    return;
                }
                self.done += 1;
                if !is_behind(self.told, step.seq, change.index) {
                    continue;
                }
                self.told = (step.seq, Some(change.index));
                let mut change = Cow::Borrowed(change);
                if change.origin == Origin::Live && step.seq < self.live_from {
                    change.to_mut().origin = Origin::Replay;
                }
                let feed = &self.dispatcher.feed;
                let is_withheld = feed.is_withheld(&change.source_record, &change.subject);
                let mut is_matched = false;
                if !is_withheld && is_wanted(form, &change) {
                    self.index
                        .lookup(&change.subject, &change.source, |_| is_matched = true);
                }
                if is_matched {
                    piece.push(text_of(form, step, &change));
                }
            }
            self.done = 0;
            self.due_changes -= changes_of(step);
            self.due.pop_front();
        }
        let left = self.hold.as_ref().map_or(u64::MAX, Hold::released);
        inform_below(&mut self.infos, left, piece);
    }
}

fn put(due: &mut VecDeque<Step>, due_changes: &mut usize, step: Step) {
    *due_changes += changes_of(&step);
    due.push_back(step);
}

fn changes_of(step: &Step) -> usize {
    step.plain.len() + step.changes.len()
}

fn inform_below(infos: &mut VecDeque<(u64, Info)>, seq: u64, piece: &mut Piece) {
    while let Some((_, info)) = infos.front().filter(|(behind, _)| *behind <= seq) {
        piece.inform(info);
        infos.pop_front();
    }
}

impl Piece {
    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.frames.push(text);
    }

    fn inform(&mut self, info: &Info) {
        let mut text = String::new();
        write_info(&mut text, info);
        self.push(text);
    }

    fn is_full(&self) -> bool {
        self.bytes >= PIECE_BYTES
    }
}

/// What a subscriber who begins there was told before.
fn told_by(start: Start) -> Told {
    match start {
        Start::Now | Start::Time(_) => (0, None),
        Start::Seq(seq) => (seq, None),
        Start::After { seq, index } => (seq, Some(index)),
    }
}

/// The first event of which nothing was told yet.
fn behind(told: Told) -> u64 {
    told.0.saturating_add(u64::from(told.1.is_some()))
}

fn failed(error: &IndexError) -> Closing {
    tracing::error!(%error, "a replay of the link stream failed");
    Closing::failed()
}

#[cfg(test)]
mod tests;
