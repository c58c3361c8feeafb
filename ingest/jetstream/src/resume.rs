//! Where the next connection begins, so that nothing is lost between two of them.
//!
//! Owns the position of the last frame that was handed over and the rules for going back from it. Servers send the
//! event at a cursor again, and going back repeats some more, so delivery is at least once.
//!
//! * A sequence number is resumed only on the server that gave it; elsewhere the largest time seen is used.
//! * A connection that began live resumes at the moment it was opened, less a margin, if it dies before an event.
//! * Going back must not eat all headway when a server cuts every connection after a few events. From a time it is
//!   done only after a connection that brought a later time; from a sequence number it is limited to half of what the
//!   connection gained.
//! * A message that kills the connection is asked for again once, this time with a size limit that makes the server
//!   leave it out; if that does not help, the position moves on in doubling steps until something else comes.

use std::time::Duration;

use crate::cursor::{Cursor, TIME_CURSOR_MIN};
use crate::position::Position;

/// Times further ahead of this machine's clock are not believed, so that one bad event cannot move the position past
/// everything to come.
const AHEAD_US_MAX: u64 = 600_000_000;

/// First step over a message that kills the connection, when resuming at a time. Events are about 2 ms apart.
const TIME_STEP_US: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Resume {
    rewind_time_us: u64,
    rewind_seq: u64,
    /// Where the consumer asked to begin.
    start: Option<Cursor>,
    /// When the first connection without a cursor was opened, less the margin.
    opened_us: Option<u64>,
    /// Largest plausible time handed over.
    time_us: Option<u64>,
    /// Last sequence number handed over, and the endpoint it belongs to.
    seq: Option<(usize, u64)>,
    /// The position when the present connection began, to tell what it gained; where there was none, that of the
    /// connection's first frame.
    before: (Option<u64>, Option<(usize, u64)>),
    /// Whether the present connection brought the first position of all.
    is_first: bool,
    /// Whether the last connection brought a later time than was known.
    gained_time: bool,
    /// How many sequence numbers the last connection gained.
    gained_seq: u64,
    /// Whether the last connection ended in a way that leaves the server's numbering intact.
    orderly: bool,
    /// Connections in a row that one message killed without anything new before it.
    poisoned: u32,
}

/// What to ask of the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) cursor: Option<Cursor>,
    /// Whether to have the server leave out messages over our limit.
    pub(crate) limit_size: bool,
    /// Whether the cursor lies beyond the last known position.
    pub(crate) skips: bool,
}

impl Resume {
    pub(crate) fn new(start: Option<Cursor>, rewind_time: Duration, rewind_seq: u64) -> Self {
        Self {
            rewind_time_us: u64::try_from(rewind_time.as_micros()).unwrap_or(u64::MAX),
            rewind_seq,
            start,
            opened_us: None,
            time_us: None,
            seq: None,
            before: (None, None),
            is_first: false,
            gained_time: false,
            gained_seq: 0,
            orderly: true,
            poisoned: 0,
        }
    }

    /// The last known position.
    pub(crate) fn newest(&self) -> Position {
        Position {
            time_us: self.time_us,
            seq: self.seq.map(|(_, seq)| seq),
        }
    }

    /// Notes that a connection to `endpoint` was opened, by a request sent at `now_us`.
    pub(crate) fn opened(&mut self, now_us: u64) {
        self.before = (self.time_us, self.seq);
        self.is_first = false;
        if self.start.is_none() && self.opened_us.is_none() {
            self.opened_us = Some(now_us.saturating_sub(self.rewind_time_us));
        }
    }

    /// Notes a frame that is handed over.
    pub(crate) fn handed_over(&mut self, endpoint: usize, position: Position, now_us: u64) {
        if let Some(time_us) = position.time_us {
            // An older number would lead far back once the server stops giving them.
            self.seq = position.seq.map(|seq| (endpoint, seq));
            if time_us <= now_us.saturating_add(AHEAD_US_MAX) {
                self.time_us = Some(self.time_us.map_or(time_us, |newest| newest.max(time_us)));
            }
        } else if let Some(seq) = position.seq {
            self.seq = Some((endpoint, seq));
        }
        if self.before == (None, None) && (self.time_us, self.seq) != (None, None) {
            self.before = (self.time_us, self.seq);
            self.is_first = true;
        }
    }

    /// Notes the end of a connection; returns whether it brought anything new.
    pub(crate) fn closed(&mut self, orderly: bool, poison: bool) -> bool {
        let (time_before, seq_before) = self.before;
        self.gained_time = match (time_before, self.time_us) {
            (Some(before), Some(now)) => self.is_first || now > before,
            (before, now) => before.is_none() && now.is_some(),
        };
        self.gained_seq = match (seq_before, self.seq) {
            (Some((old_endpoint, before)), Some((endpoint, now))) if old_endpoint == endpoint => {
                now.saturating_sub(before)
            }
            // Numbers of another server tell nothing about the gain; its time does.
            (_, Some(_)) if self.gained_time => u64::MAX,
            _ => 0,
        };
        let advanced = self.is_first || self.gained_time || self.gained_seq > 0;
        self.orderly = orderly;
        self.poisoned = match (poison, advanced) {
            (true, true) => 1,
            (true, false) => self.poisoned.saturating_add(1),
            // A failure of another kind says nothing about the message still ahead.
            (false, true) => 0,
            (false, false) => self.poisoned,
        };
        advanced
    }

    /// Whether another endpoint could take over: not while the only position is a sequence number of the first.
    pub(crate) fn is_portable(&self) -> bool {
        self.time_us.is_some() || !matches!(self.start, Some(Cursor::Seq(_)))
    }

    /// What to ask of the next connection, to `endpoint`.
    pub(crate) fn plan(&self, endpoint: usize) -> Plan {
        // A first failure may be met by the size limit; each further one moves the position on.
        let steps = self.poisoned.checked_sub(2).map_or(0, |doublings| {
            1u64.checked_shl(doublings).unwrap_or(1 << 62)
        });
        let cursor = match (self.seq, self.time_us) {
            // One past the message that follows the known position, then further.
            (Some((home, seq)), _) if home == endpoint && steps > 0 => {
                Some(Cursor::Seq(seq.saturating_add(1 + steps)))
            }
            (Some((home, seq)), _) if home == endpoint => Some(Cursor::Seq(self.back_seq(seq))),
            (_, Some(time_us)) if steps > 0 => Some(past(time_us, steps)),
            (_, Some(time_us)) => Some(Cursor::TimeUs(self.back_time(time_us))),
            _ => match self.start.or(self.opened_us.map(Cursor::TimeUs)) {
                Some(Cursor::Seq(seq)) if steps > 0 => Some(Cursor::Seq(seq.saturating_add(steps))),
                Some(Cursor::TimeUs(time_us)) if steps > 0 => Some(past(time_us, steps)),
                other => other,
            },
        };
        Plan {
            cursor: cursor.map(representable),
            limit_size: self.poisoned > 0,
            skips: steps > 0,
        }
    }

    fn back_seq(&self, seq: u64) -> u64 {
        let rewind = if self.orderly || self.poisoned > 0 {
            0
        } else {
            self.rewind_seq.min(self.gained_seq / 2)
        };
        let floor = match self.start {
            Some(Cursor::Seq(start)) => start.min(seq),
            _ => 0,
        };
        seq.saturating_sub(rewind).max(floor)
    }

    fn back_time(&self, time_us: u64) -> u64 {
        let rewind = if self.poisoned > 0 || !self.gained_time {
            0
        } else {
            self.rewind_time_us
        };
        let floor = match self.start {
            Some(Cursor::TimeUs(start)) => start.min(time_us),
            _ => self.opened_us.unwrap_or(0).min(time_us),
        };
        time_us.saturating_sub(rewind).max(floor)
    }
}

fn past(time_us: u64, steps: u64) -> Cursor {
    Cursor::TimeUs(time_us.saturating_add(steps.saturating_mul(TIME_STEP_US)))
}

/// Keeps a computed cursor on its own side of the split between the two kinds.
fn representable(cursor: Cursor) -> Cursor {
    match cursor {
        Cursor::TimeUs(time_us) => Cursor::TimeUs(time_us.max(TIME_CURSOR_MIN)),
        Cursor::Seq(seq) => Cursor::Seq(seq.min(TIME_CURSOR_MIN - 1)),
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
