//! The events that exist so far: pulls them from the source, stamps them, and keeps
//! the newest for clients to read by position. One lock guards it; no I/O and no
//! await happens under it.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;

use super::config::{Config, Pace, Source, Stamp};
use crate::error::Error;
use crate::generator::Generator;
use crate::ident::number;

/// Events given at a time; bounds how long the lock is held.
pub(crate) const BATCH: usize = 256;

/// Events looked through between two chances for other tasks to run.
const SCAN: usize = 2048;

/// An event as it goes out.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) time_us: u64,
    pub(crate) line: Bytes,
}

/// A source being read from its start.
#[derive(Debug)]
enum Tape {
    Generator(Box<Generator>),
    Lines { entries: Vec<Entry>, next: usize },
}

impl Tape {
    fn open(source: &Source) -> Result<Self, Error> {
        match source {
            Source::Generator(options) => {
                Ok(Self::Generator(Box::new(Generator::new(options.clone())?)))
            }
            Source::Lines(lines) => {
                let mut entries = Vec::with_capacity(lines.len());
                let mut last_us = 0;
                for (i, line) in lines.iter().enumerate() {
                    let entry = entry(line).and_then(|entry| {
                        let falls = entry.time_us < last_us;
                        last_us = entry.time_us;
                        if falls {
                            Err("time_us is less than that of the line before".to_owned())
                        } else {
                            Ok(entry)
                        }
                    });
                    entries.push(entry.map_err(|reason| Error::Line {
                        line_number: i + 1,
                        reason,
                    })?);
                }
                Ok(Self::Lines { entries, next: 0 })
            }
        }
    }

    fn is_finite(&self) -> bool {
        match self {
            Self::Generator(generator) => generator.options().events.is_some(),
            Self::Lines { .. } => true,
        }
    }
}

impl Iterator for Tape {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        match self {
            Self::Generator(generator) => {
                let mut line = Vec::with_capacity(768);
                let meta = generator.next_into(&mut line)?;
                Some(Entry {
                    time_us: meta.time_us,
                    line: line.into(),
                })
            }
            Self::Lines { entries, next } => {
                let entry = entries.get(*next)?.clone();
                *next += 1;
                Some(entry)
            }
        }
    }
}

fn entry(line: &Bytes) -> Result<Entry, String> {
    #[derive(Deserialize)]
    struct Head {
        time_us: u64,
    }
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Entry {
        time_us: head.time_us,
        line: line.clone(),
    })
}

/// The line with its first `"time_us"` replaced. A quote inside a JSON string is
/// escaped, so no text before it can look like the member.
fn restamp(entry: &Entry, time_us: u64) -> Entry {
    const MEMBER: &[u8] = b"\"time_us\":";
    let line = &entry.line;
    let Some(at) = line
        .windows(MEMBER.len())
        .position(|window| window == MEMBER)
    else {
        return entry.clone();
    };
    let (head, tail) = line.split_at(at + MEMBER.len());
    let digits = tail
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b' ')
        .count();
    let mut out = Vec::with_capacity(line.len() + 4);
    out.extend_from_slice(head);
    number(time_us, &mut out);
    out.extend_from_slice(tail.get(digits..).unwrap_or_default());
    Entry {
        time_us,
        line: out.into(),
    }
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

#[derive(Debug)]
struct State {
    tape: Tape,
    kept: VecDeque<Entry>,
    kept_bytes: usize,
    /// Position of the oldest event kept.
    first: u64,
    last_us: u64,
    ended: bool,
}

impl State {
    fn tip(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

/// What a client finds at its position.
#[derive(Debug)]
pub(crate) enum Found {
    Events(Vec<Entry>),
    /// Nothing yet.
    Tip,
    /// Nothing ever again.
    End,
    /// The events there were dropped and cannot be made again.
    Gone,
}

/// A client's way to events that are no longer kept: a tape of its own, read from
/// the start of the source.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    tape: Option<Tape>,
    /// Position of `pending`, or without one of the tape's next event.
    position: u64,
    /// Taken off the tape and not given yet.
    pending: Option<Entry>,
}

impl Replay {
    fn next(&mut self) -> Option<Entry> {
        let entry = self
            .pending
            .take()
            .or_else(|| self.tape.as_mut().and_then(Iterator::next))?;
        self.position += 1;
        Some(entry)
    }

    /// Moves on to the first event that fits.
    async fn seek(&mut self, fits: impl Fn(u64, &Entry) -> bool) {
        loop {
            for _ in 0..SCAN {
                match self.next() {
                    Some(entry) if !fits(self.position - 1, &entry) => {}
                    found => {
                        self.position -= u64::from(found.is_some());
                        self.pending = found;
                        return;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// All events so far, shared by all clients.
#[derive(Debug)]
pub(crate) struct Feed {
    state: Mutex<State>,
    /// Opened again for replays.
    source: Source,
    is_finite: bool,
    pace: Pace,
    stamp: Stamp,
    history_bytes_max: usize,
    tip: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let tape = Tape::open(&config.source)?;
        let state = State {
            tape,
            kept: VecDeque::new(),
            kept_bytes: 0,
            first: 0,
            last_us: 0,
            ended: false,
        };
        Ok(Self {
            is_finite: state.tape.is_finite(),
            state: Mutex::new(state),
            source: config.source.clone(),
            pace: config.pace,
            stamp: config.stamp,
            history_bytes_max: config.history_bytes_max,
            tip: watch::Sender::new(0),
        })
    }

    /// Announces each new tip.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    /// Events that appeared so far.
    pub(crate) fn produced(&self) -> u64 {
        self.state.lock().tip()
    }

    /// Lets up to `count` more events appear. False once the source has ended.
    pub(crate) fn produce(&self, count: usize) -> bool {
        let mut state = self.state.lock();
        self.produce_locked(&mut state, count);
        !state.ended
    }

    fn produce_locked(&self, state: &mut State, count: usize) {
        for _ in 0..count {
            let Some(mut entry) = state.tape.next() else {
                state.ended = true;
                break;
            };
            if self.stamp == Stamp::WallClock {
                entry = restamp(&entry, now_us().max(state.last_us));
            }
            state.last_us = entry.time_us;
            state.kept_bytes += entry.line.len();
            state.kept.push_back(entry);
            while state.kept_bytes > self.history_bytes_max && state.kept.len() > BATCH {
                if let Some(oldest) = state.kept.pop_front() {
                    state.kept_bytes -= oldest.line.len();
                    state.first += 1;
                }
            }
        }
        self.tip.send_replace(state.tip());
    }

    fn can_replay(&self) -> bool {
        self.stamp == Stamp::AsGenerated
    }

    /// The position of the first event at or after `cursor`, microseconds; the tip
    /// without a cursor. A cursor beyond the tip is the tip, except where events
    /// appear as they are read and keep their own times: then the stream moves on
    /// to the cursor (of a finite source; an endless one might never get there).
    pub(crate) async fn position(&self, cursor: Option<u64>, replay: &mut Replay) -> u64 {
        let Some(cursor) = cursor else {
            return self.produced();
        };
        let may_move = self.pace == Pace::AsRead && self.can_replay() && self.is_finite;
        loop {
            {
                let mut state = self.state.lock();
                let oldest_us = state.kept.front().map(|entry| entry.time_us);
                if state.first > 0 && oldest_us.is_none_or(|oldest_us| cursor <= oldest_us) {
                    if self.can_replay() {
                        break;
                    }
                    return state.first;
                }
                if cursor <= state.last_us || state.ended || !may_move {
                    let before = state.kept.partition_point(|entry| entry.time_us < cursor);
                    return state.first + before as u64;
                }
                self.produce_locked(&mut state, SCAN);
            }
            tokio::task::yield_now().await;
        }
        self.rewind(replay);
        replay.seek(|_, entry| entry.time_us >= cursor).await;
        replay.position
    }

    fn rewind(&self, replay: &mut Replay) {
        // The source was opened once with the same options, so this cannot fail; were
        // it to, the replay would be empty and the client be told that its place is gone.
        *replay = Replay {
            tape: Tape::open(&self.source).ok(),
            ..Replay::default()
        };
    }

    /// The events at `position`, at most [`BATCH`].
    pub(crate) async fn read(&self, position: u64, replay: &mut Replay) -> Found {
        {
            let mut state = self.state.lock();
            if position >= state.tip() && self.pace == Pace::AsRead && !state.ended {
                self.produce_locked(&mut state, BATCH);
            }
            if position >= state.first {
                let skip = usize::try_from(position - state.first).unwrap_or(usize::MAX);
                let events: Vec<Entry> =
                    state.kept.iter().skip(skip).take(BATCH).cloned().collect();
                // What is kept again serves this client from now on.
                *replay = Replay::default();
                return match (events.is_empty(), state.ended) {
                    (false, _) => Found::Events(events),
                    (true, true) => Found::End,
                    (true, false) => Found::Tip,
                };
            }
        }
        if !self.can_replay() {
            return Found::Gone;
        }
        if replay.tape.is_none() || replay.position > position {
            self.rewind(replay);
        }
        replay.seek(|at, _| at >= position).await;
        let events: Vec<Entry> = std::iter::from_fn(|| replay.next()).take(BATCH).collect();
        if events.is_empty() {
            Found::Gone
        } else {
            Found::Events(events)
        }
    }
}
