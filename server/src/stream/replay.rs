//! What one subscriber missed: read for it alone, in pieces, until it stands where the dispatcher stands, and joins there.
//! Each piece is read when the one before was sent, so that a slow subscriber costs no more than a piece.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_query::stream::{
    FilterIndex, Filters, Forms, Hold, Info, Origin, Read, Start, Step, write_info,
};

use super::closing::Closing;
use super::dispatcher::Dispatcher;
use super::feed::{Feed, StepReader};
use super::options::Form;
use super::subscriber::{Subscriber, Told, changes_for, is_behind, is_wanted, text_of};
use crate::index::IndexError;
use crate::time::now_us as wall_us;

/// Events of one read, and bytes and time of one piece.
const EVENTS: usize = 256;
const PIECE_BYTES: usize = 256 << 10;
const PIECE_TIME: Duration = Duration::from_millis(50);
/// How far ahead of all events a place may be that was told before a crash.
const AHEAD_MAX: u64 = 65_536;
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
    /// The next one, once there is something new.
    Wait,
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
    told: Told,
    /// What the subscriber knows lies below.
    join_from: u64,
    is_joined: bool,
    /// Steps that are due.
    due: VecDeque<Step>,
    /// How many changes of the first of them are done with.
    done: usize,
    index: FilterIndex,
    /// What `index` was made of.
    filters: Option<Arc<Filters>>,
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
        let known = told_by(start);
        let (start, told) = match known.0.checked_sub(live_from) {
            // The reader leaves out what is known.
            None => (start, (0, None)),
            // What a crash took from the log comes again under the same seqs.
            Some(ahead) if ahead <= AHEAD_MAX => (Start::Now, known),
            Some(_) => (Start::Now, (0, None)),
        };
        let forms = Forms {
            plain: subscriber.form == Form::Plain,
            changes: subscriber.form != Form::Plain,
        };
        let reader = feed.reader(start, forms).map_err(|error| failed(&error))?;
        let known = known.0.saturating_add(u64::from(known.1.is_some()));
        let join_from = match start {
            Start::Now => told.0.saturating_add(u64::from(told.1.is_some())),
            _ => known.max(reader.next_seq()),
        };
        Ok(Self {
            subscriber: Arc::clone(subscriber),
            dispatcher: Arc::clone(dispatcher),
            reader,
            hold: dispatcher.hold(),
            begun: Instant::now(),
            live_from,
            told,
            join_from,
            is_joined: false,
            due: VecDeque::new(),
            done: 0,
            index: FilterIndex::default(),
            filters: None,
        })
    }

    /// Reads the next piece. May block.
    pub(super) fn piece(&mut self) -> Result<Piece, Closing> {
        let mut piece = Piece::default();
        self.renew_filters()?;
        let begun = Instant::now();
        loop {
            self.tell(&mut piece);
            if piece.is_full() || begun.elapsed() >= PIECE_TIME {
                return Ok(piece);
            }
            if self.is_joined {
                piece.then = Then::Joined;
                return Ok(piece);
            }
            match self.read()? {
                Read::More => {}
                Read::Info(info) => {
                    self.tell(&mut piece);
                    piece.inform(&info);
                }
                Read::CaughtUp if self.join()? => {}
                Read::CaughtUp if self.due.is_empty() => {
                    piece.then = Then::Wait;
                    return Ok(piece);
                }
                Read::CaughtUp => {}
            }
        }
    }

    /// Takes up what the subscriber wants now, if that has changed.
    fn renew_filters(&mut self) -> Result<(), Closing> {
        let filters = self.subscriber.filters.lock().clone();
        let Some(filters) = filters else {
            return Ok(());
        };
        let is_known = |known: &Arc<Filters>| Arc::ptr_eq(known, &filters);
        if !self.filters.as_ref().is_some_and(is_known) {
            self.index
                .set(SELF, &filters)
                .map_err(|_| Closing::filters_full())?;
            self.filters = Some(filters);
        }
        Ok(())
    }

    /// Reads on, but not beyond the dispatcher.
    fn read(&mut self) -> Result<Read, Closing> {
        let Some(run) = self.dispatcher.place() else {
            return Ok(Read::CaughtUp);
        };
        let before = if self.hold.is_some() {
            run.read
        } else {
            run.told
        };
        let now_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let Self {
            reader, hold, due, ..
        } = self;
        let read = reader.read(EVENTS, before, &mut |step| {
            match hold {
                Some(hold) => hold.stage(step, now_us, wall_us()),
                None => due.push_back(step),
            }
            ControlFlow::Continue(())
        });
        if let Some(hold) = hold {
            hold.release(now_us, u64::MAX, &mut |step| {
                due.push_back(step);
                ControlFlow::Continue(())
            });
        }
        read.map_err(|error| failed(&error))
    }

    /// Joins the dispatcher if it stands exactly here. What is still held of what the dispatcher has told is due then.
    fn join(&mut self) -> Result<bool, Closing> {
        if !self.due.is_empty() {
            return Ok(false);
        }
        let next = self.reader.next_seq();
        let Self {
            hold,
            due,
            told,
            join_from,
            ..
        } = self;
        self.is_joined = self.dispatcher.join_at(&self.subscriber, |run| {
            let place = if hold.is_some() { run.read } else { run.told };
            // Where the dispatcher holds what the subscriber was told before, a delete of that would be lost in its hold.
            let is_here =
                place == next && !run.is_within && (hold.is_none() || run.told >= *join_from);
            if let Some(hold) = hold.as_mut().filter(|_| is_here) {
                hold.release_all(run.told, &mut |step| {
                    due.push_back(step);
                    ControlFlow::Continue(())
                });
            }
            is_here.then_some(*told)
        })?;
        Ok(self.is_joined)
    }

    /// Moves what is due into the piece, until that is full.
    fn tell(&mut self, piece: &mut Piece) {
        let form = self.subscriber.form;
        while let Some(step) = self.due.front() {
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
                let mut is_matched = false;
                if is_wanted(form, &change) {
                    self.index
                        .lookup(&change.subject, &change.source, |_| is_matched = true);
                }
                if is_matched {
                    piece.push(text_of(form, step, &change));
                }
            }
            self.done = 0;
            self.due.pop_front();
        }
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

fn failed(error: &IndexError) -> Closing {
    tracing::error!(%error, "a replay of the link stream failed");
    Closing::failed()
}
