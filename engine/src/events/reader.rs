//! A reader of events: at the tail in memory, or in the log files as long as it is behind that.

use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::bytes::Reader;
use orrery_formats::{effect, event};

use super::Accepted;
use super::files::{Files, Found};
use super::tail::View;
use crate::store::{LOG, Shared, Store};
use crate::{Error, Result};

/// The most bytes of a copied chunk's buffer that are kept for the next.
const COPY_BYTES_KEPT: usize = 256 << 10;

/// How far a reader came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// As many events as were asked for were given; there may be more.
    Read,
    /// There is no further event now.
    CaughtUp,
    /// The log begins behind the reader's position, which stays: events from there on are only in segments.
    Trimmed {
        /// The first seq that the log has.
        first_kept: u64,
    },
    /// Events are lost, by a gap or damage in the log. The position is behind them.
    Lost {
        /// The first that is lost.
        first_seq: u64,
        /// The last that is lost.
        last_seq: u64,
    },
}

/// A place within encoded events.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The seq of the event there.
    seq: u64,
    offset: usize,
    /// What its time is told from.
    previous_us: u64,
}

/// A frame of a log file, in the buffer of `Files`.
#[derive(Debug, Clone, Copy)]
struct Frame {
    place: Place,
    /// The seq behind its last.
    end: u64,
}

/// Reads accepted events in order of seq. Holds a frame of the log in memory while it is behind, and nothing but what
/// it reads while it keeps up; keeps the data directory locked, as a store does.
pub struct EventReader {
    shared: Arc<Shared>,
    next_seq: u64,
    files: Files,
    frame: Option<Frame>,
    /// The first seq of the chunk of the tail that was read last, and where in it.
    chunk: (u64, Place),
    copy: Vec<u8>,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader")
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The seq that the next accepted event gets. All below can be read, as far as the log has them, and snapshots that
    /// are taken from here on see them.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.shared.tail.next_seq()
    }

    /// The first seq that the log still has: events below are only in segments.
    #[must_use]
    pub fn log_floor(&self) -> u64 {
        self.shared.tail.log_floor()
    }

    /// A reader that stands before the event with that seq. Reads nothing yet.
    #[must_use]
    pub fn events_from(&self, seq: u64) -> EventReader {
        EventReader {
            shared: Arc::clone(&self.shared),
            next_seq: seq.max(1),
            files: Files::default(),
            frame: None,
            chunk: (0, Place::default()),
            copy: Vec::new(),
        }
    }
}

impl EventReader {
    /// The seq of the event that is read next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Goes on with the event of that seq.
    pub fn skip_to(&mut self, seq: u64) {
        if seq < self.next_seq {
            self.files.rewind();
            self.frame = None;
            self.chunk = (0, Place::default());
        }
        self.next_seq = seq.max(1);
    }

    /// Gives at most `most` events to `each`, in order. It reads files where it is behind what is kept in memory, and
    /// never waits for the writer.
    ///
    /// # Errors
    /// When the log cannot be read. The same call can be made again: what was given is not given again.
    pub fn read(&mut self, most: usize, each: &mut dyn FnMut(Accepted<'_>)) -> Result<Progress> {
        let mut left = most;
        while left > 0 {
            if let Some(lost) = self.read_frame(&mut left, each) {
                return Ok(lost);
            }
            if left == 0 {
                break;
            }
            let (chunk, place) = self.chunk;
            let tail = &self.shared.tail;
            match tail.view(self.next_seq, chunk, place.offset, &mut self.copy) {
                View::CaughtUp => {
                    self.files.close();
                    return Ok(Progress::CaughtUp);
                }
                View::Behind { first_seq } => {
                    if let Some(progress) = self.find(first_seq)? {
                        return Ok(progress);
                    }
                }
                View::Closed(closed) => {
                    self.files.close();
                    self.enter(closed.first_seq, closed.previous_us);
                    let from = self.chunk.1.offset;
                    let bytes = closed.bytes.get(from..).unwrap_or_default();
                    self.read_chunk(bytes, closed.end(), &mut left, each)?;
                }
                View::Open {
                    first_seq,
                    previous_us,
                    end,
                } => {
                    self.files.close();
                    self.enter(first_seq, previous_us);
                    let mut copy = std::mem::take(&mut self.copy);
                    let read = self.read_chunk(&copy, end, &mut left, each);
                    copy.clear();
                    copy.shrink_to(COPY_BYTES_KEPT);
                    self.copy = copy;
                    read?;
                }
            }
        }
        Ok(Progress::Read)
    }

    /// Looks for the frame with the next event, all below `end` being durable.
    fn find(&mut self, end: u64) -> Result<Option<Progress>> {
        let shared = &*self.shared;
        let dir = shared.dir.join(LOG);
        let id = shared.tail.directory_id();
        let first_seq = self.next_seq;
        Ok(
            match self.files.find(&*shared.fs, &dir, id, first_seq, end)? {
                Found::Frame => {
                    let header = self.files.buffer.header();
                    self.frame = header.map(|header| Frame {
                        place: Place {
                            seq: header.first_seq,
                            offset: 0,
                            previous_us: header.first_time_us,
                        },
                        end: header.last_seq().saturating_add(1),
                    });
                    None
                }
                Found::Trimmed { first_kept } => Some(Progress::Trimmed { first_kept }),
                Found::Lost { last_seq } => {
                    self.next_seq = last_seq.saturating_add(1);
                    Some(Progress::Lost {
                        first_seq,
                        last_seq,
                    })
                }
            },
        )
    }

    /// Reads on in the frame that was found last, if the next event is in it.
    fn read_frame(
        &mut self,
        left: &mut usize,
        each: &mut dyn FnMut(Accepted<'_>),
    ) -> Option<Progress> {
        let frame = self.frame.as_mut()?;
        if self.next_seq < frame.place.seq || self.next_seq >= frame.end {
            self.frame = None;
            return None;
        }
        let bytes = self.files.buffer.raw();
        let bytes = bytes.get(frame.place.offset..).unwrap_or_default();
        let next_seq = &mut self.next_seq;
        let read = read_events(bytes, &mut frame.place, frame.end, next_seq, left, each);
        let Err(error) = read else { return None };
        // The checksum held, and yet it does not decode.
        tracing::error!(%error, "the rest of a log frame cannot be read");
        let (first_seq, end) = (self.next_seq, frame.end);
        self.next_seq = end;
        self.frame = None;
        Some(Progress::Lost {
            first_seq,
            last_seq: end.saturating_sub(1),
        })
    }

    /// Stands at the begin of that chunk of the tail, unless it stands in it, which is never behind the next event.
    fn enter(&mut self, first_seq: u64, previous_us: u64) {
        if self.chunk.0 != first_seq {
            let place = Place {
                seq: first_seq,
                offset: 0,
                previous_us,
            };
            self.chunk = (first_seq, place);
        }
    }

    fn read_chunk(
        &mut self,
        bytes: &[u8],
        end: u64,
        left: &mut usize,
        each: &mut dyn FnMut(Accepted<'_>),
    ) -> Result<()> {
        let (place, next_seq) = (&mut self.chunk.1, &mut self.next_seq);
        read_events(bytes, place, end, next_seq, left, each).map_err(Error::from)
    }
}

/// Gives the events of `bytes`, which begin at `place`, from `next_seq` on and before `end`.
fn read_events(
    bytes: &[u8],
    place: &mut Place,
    end: u64,
    next_seq: &mut u64,
    left: &mut usize,
    each: &mut dyn FnMut(Accepted<'_>),
) -> Result<(), FormatError> {
    let from = place.offset;
    let mut reader = Reader::new("frame events", bytes);
    while *left > 0 && place.seq < end {
        let (event, found) = event::decode_with_effect(&mut reader, place.previous_us)?;
        let seq = place.seq;
        place.seq = seq.saturating_add(1);
        place.offset = from.saturating_add(reader.position() as usize);
        place.previous_us = event.time_us;
        if seq < *next_seq {
            continue;
        }
        let effect = found.map(|bytes| effect::decode(bytes, &event.body));
        let effect = effect.transpose().unwrap_or_else(|error| {
            // The event itself is sound, and what it undid is not known.
            tracing::error!(%error, seq, "the effect of an event cannot be read");
            None
        });
        *next_seq = place.seq;
        *left -= 1;
        each(Accepted {
            seq,
            event,
            effect: effect.unwrap_or_default(),
        });
    }
    Ok(())
}
