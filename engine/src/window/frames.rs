//! Decompressed frames of log files, those that were used last, within a bound of bytes. A reader that does not find
//! one here reads it by itself, without a lock, and holds it as long as it looks at it; two that look for one at a time both
//! do.

use std::collections::HashMap;
use std::sync::Arc;

use orrery_formats::bytes::Reader;
use orrery_formats::event::{self, Event};
use orrery_formats::frame::FrameHeader;
use orrery_formats::{Error as FormatError, Result as FormatResult};
use parking_lot::Mutex;

use crate::events::{MARK_EVENTS, Mark};

/// A kept frame counts as so many bytes at least, which bounds their number.
const FRAME_BYTES_MIN: usize = 4 << 10;

/// The events of a frame.
#[derive(Debug)]
pub(super) struct Frame {
    first_seq: u64,
    end: u64,
    bytes: Vec<u8>,
    /// Of each [`MARK_EVENTS`]th, from the first on.
    marks: Vec<Mark>,
}

impl Frame {
    /// A frame by its header and decompressed bytes, each event of which is looked at.
    pub(super) fn new(header: &FrameHeader, bytes: Vec<u8>) -> FormatResult<Self> {
        let mut marks = Vec::with_capacity(bytes.len() >> 11);
        let mut reader = Reader::new("frame events", &bytes);
        let mut previous_us = header.first_time_us;
        for place in 0..u64::from(header.event_count) {
            if place.is_multiple_of(MARK_EVENTS) {
                marks.push(Mark {
                    offset: reader.position() as usize,
                    previous_us,
                });
            }
            previous_us = event::decode(&mut reader, previous_us)?.time_us;
        }
        Ok(Self {
            first_seq: header.first_seq,
            end: header.last_seq().saturating_add(1),
            bytes,
            marks,
        })
    }

    pub(super) const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The event of that seq, if it is in this frame.
    pub(super) fn event(&self, seq: u64) -> FormatResult<Option<Event<'_>>> {
        if seq >= self.end {
            return Ok(None);
        }
        let Some(place) = seq.checked_sub(self.first_seq) else {
            return Ok(None);
        };
        let place = place / MARK_EVENTS;
        let mark = usize::try_from(place).ok();
        let Some(mark) = mark.and_then(|place| self.marks.get(place)) else {
            return Ok(None);
        };
        let bytes = self.bytes.get(mark.offset..).unwrap_or_default();
        let first_seq = self.first_seq.saturating_add(place * MARK_EVENTS);
        nth_event(bytes, mark.previous_us, seq - first_seq).map(Some)
    }

    fn heap_bytes(&self) -> usize {
        let bytes = self.bytes.capacity() + self.marks.capacity() * size_of::<Mark>();
        bytes.max(FRAME_BYTES_MIN)
    }
}

/// The event of that place among encoded ones.
pub(super) fn nth_event(
    bytes: &[u8],
    previous_us: u64,
    place: u64,
) -> Result<Event<'_>, FormatError> {
    let mut reader = Reader::new("frame events", bytes);
    let mut event = event::decode(&mut reader, previous_us)?;
    for _ in 0..place {
        event = event::decode(&mut reader, event.time_us)?;
    }
    Ok(event)
}

/// The first seq of a log file, and the offset of a frame in it.
pub(super) type FrameAt = (u64, u64);

struct Entry {
    /// None where it is damaged.
    frame: Option<Arc<Frame>>,
    /// When it was used last, by count of uses.
    used: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        let frame = self.frame.as_ref();
        frame.map_or(FRAME_BYTES_MIN, |frame| frame.heap_bytes())
    }
}

#[derive(Default)]
struct Kept {
    frames: HashMap<FrameAt, Entry>,
    bytes: usize,
    uses: u64,
}

/// See the module's description.
pub(super) struct FrameCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

impl FrameCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// The frame there, `Some(None)` where it is known to be damaged.
    pub(super) fn get(&self, at: FrameAt) -> Option<Option<Arc<Frame>>> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let used = kept.uses;
        let entry = kept.frames.get_mut(&at)?;
        entry.used = used;
        Some(entry.frame.clone())
    }

    /// Keeps a frame, none for one that is damaged, in the place of those that were not used for longest.
    pub(super) fn put(&self, at: FrameAt, frame: Option<Arc<Frame>>) {
        let mut entry = Entry { frame, used: 0 };
        let bytes = entry.bytes();
        if bytes > self.bytes_max {
            return;
        }
        // Given back to the allocator outside of the lock.
        let mut gone = Vec::new();
        let mut kept = self.kept.lock();
        kept.uses += 1;
        entry.used = kept.uses;
        kept.bytes += bytes;
        if let Some(old) = kept.frames.insert(at, entry) {
            kept.bytes -= old.bytes();
            gone.push(old);
        }
        while kept.bytes > self.bytes_max {
            let oldest = kept.frames.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(at, _)| *at) else {
                break;
            };
            let Some(old) = kept.frames.remove(&oldest) else {
                break;
            };
            kept.bytes -= old.bytes();
            gone.push(old);
        }
        drop(kept);
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}
