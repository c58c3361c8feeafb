//! Where in the log a time is. Events come in order of time but for a little: heads of frames tell near where, and
//! the events from a minute before there on are looked at one by one.

use orrery_formats::frame::FILE_HEADER_BYTES;

use super::files::first_seqs;
use super::reader::Progress;
use crate::log::{FrameBuffer, LogReader, log_name};
use crate::store::{LOG, Store};
use crate::{Error, Result};

/// An event that stands so much before its time, among older ones, is found.
const OUT_OF_ORDER_US: u64 = 60_000_000;
/// Events read at a time.
const EVENTS: usize = 1_024;

/// Where a time is among the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePlace {
    /// In the log.
    Log {
        /// The first event of that time or a later one.
        seq: u64,
    },
    /// The log begins at that time or later, and there were events before: from the time up to the log's first event they
    /// are only in segments.
    Before {
        /// The first event that the log has.
        first_seq: u64,
        /// Its time.
        time_us: u64,
    },
    /// No event is of that time or later.
    Future {
        /// The next event.
        seq: u64,
    },
}

impl Store {
    /// Where a replay from the time `time_us` on, itself included, begins: at the first event in the log that is not older.
    /// Events that are out of order by more than a minute may be missed by it, or make it begin early.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn seek_time(&self, time_us: u64) -> Result<TimePlace> {
        let next_seq = self.next_seq();
        let last_us = self.snapshot().indexed_through_us();
        let Some(last_us) = last_us.filter(|last_us| *last_us >= time_us) else {
            return Ok(TimePlace::Future { seq: next_seq });
        };
        let start = self.frame_before(time_us.saturating_sub(OUT_OF_ORDER_US), time_us)?;
        let mut is_whole = start.is_none();
        let mut reader = self.events_from(start.unwrap_or_else(|| self.log_floor()));
        let mut first = None;
        let mut found = None;
        while found.is_none() {
            let progress = reader.read(EVENTS, &mut |accepted| {
                let place = (accepted.seq, accepted.event.time_us);
                first.get_or_insert(place);
                if place.1 >= time_us {
                    found.get_or_insert(place.0);
                }
            })?;
            match progress {
                Progress::Read | Progress::Lost { .. } => {}
                Progress::CaughtUp => break,
                Progress::Trimmed { first_kept } => {
                    is_whole = true;
                    first = None;
                    reader.skip_to(first_kept);
                }
            }
        }
        Ok(match (found, first) {
            (Some(seq), Some((first_seq, time_us))) if is_whole && seq == first_seq && seq > 1 => {
                TimePlace::Before { first_seq, time_us }
            }
            (Some(seq), _) => TimePlace::Log { seq },
            (None, None) => TimePlace::Before {
                first_seq: reader.next_seq(),
                time_us: last_us,
            },
            (None, Some(_)) => TimePlace::Future {
                seq: reader.next_seq(),
            },
        })
    }

    /// The first seq of the last frame that begins before the time `before_us`, none behind it up to `time_us` beginning
    /// so; `None` where the log begins later.
    fn frame_before(&self, before_us: u64, time_us: u64) -> Result<Option<u64>> {
        let shared = &*self.shared;
        let dir = shared.dir.join(LOG);
        let id = shared.tail.directory_id();
        let mut buffer = FrameBuffer::new();
        // The newest file first, so that one wrong time far back leads nobody there.
        for first in first_seqs(&*shared.fs, &dir)?.into_iter().rev() {
            let path = dir.join(log_name(first));
            let mut reader = match LogReader::open_damaged(&*shared.fs, &path, id) {
                Ok((reader, _)) => reader,
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            reader.seek(FILE_HEADER_BYTES as u64);
            let mut found = None;
            while reader.offset() < reader.file_bytes() {
                let offset = reader.offset();
                match reader.read_head(offset, &mut buffer) {
                    Ok(()) => {}
                    Err(Error::Format(_)) => match reader.next_sound(offset, &mut buffer)? {
                        Some(next) => {
                            reader.seek(next);
                            continue;
                        }
                        None => break,
                    },
                    Err(error) => return Err(error),
                }
                let Some(header) = buffer.header() else { break };
                if header.first_time_us < before_us {
                    found = Some(header.first_seq);
                } else if header.first_time_us >= time_us || found.is_none() {
                    break;
                }
                reader.seek(offset.saturating_add(header.frame_bytes()));
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
