//! Log files and their frames (`SPEC.md`, section 4). A log file is a header and a row of frames; a
//! frame is a header of its own, the source's cursor, and one compressed batch of events with
//! consecutive seqs. Nothing about a frame depends on the frame before it, so that reading can go on
//! behind a damaged one.
//!
//! The checksums of a frame are seeded with the checksum of the file's header plus the frame's offset.
//! A frame that stands in another file, another directory or at another place is therefore not a
//! valid frame there: a write that went astray, or a stale block, is seen.

use crate::bytes::{Reader, put_str, put_u16, put_u32, put_u64};
use crate::effect::Effect;
use crate::event::{self, Event};
use crate::file_header::Form;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
use zstd::zstd_safe::{CParameter, ParamSwitch, Strategy};

/// The version of log files that this code writes.
pub const VERSION: u16 = 1;
/// The oldest version that it reads.
pub const OLDEST_SUPPORTED: u16 = 1;
/// The first bytes of a log file. The high bit and the line ends show damage by a text-mode transfer.
pub const MAGIC: [u8; 8] = *b"\x89ORL\r\n\x1a\n";
/// Bytes of a log file's header.
pub const FILE_HEADER_BYTES: usize = 48;
/// Bytes of a frame's header, without the cursor behind it.
pub const FRAME_HEADER_BYTES: usize = 48;
/// The first bytes of a frame.
pub const MARKER: [u8; 4] = *b"\x8bFRM";
/// Frames begin at multiples of this, so that the next sound frame behind damage is found by looking
/// at every eighth byte.
pub const ALIGNMENT: usize = 8;
/// The most bytes of events in a frame, compressed or not.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// The most bytes of an encoded cursor.
pub const CURSOR_BYTES_MAX: usize = 4096;
/// The compression level of zstd: events arrive faster than higher levels compress on a small machine. What differs from
/// it is in [`compressor`].
pub const COMPRESSION_LEVEL: i32 = 2;
/// log2 of the bytes that zstd looks back: a whole frame of the usual size.
const COMPRESSION_WINDOW_LOG: u32 = 22;
/// log2 of the places that zstd remembers: twice as many as at its level. With four times as many frames are 2 % smaller, and the
/// search, which then misses the cache, takes a fifth longer.
const COMPRESSION_HASH_LOG: u32 = 17;
/// Bytes that zstd goes on by where it has found nothing, less one. Half of an event are names and checksums that never
/// come again: with this the search costs a tenth less, and frames are as large.
const COMPRESSION_STEP: u32 = 2;

/// A place in a source up to which its events are in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCursor {
    /// The kind of source and of its places: 0 a file; 1 Jetstream, by time in microseconds; 2 Jetstream, by
    /// the server's sequence number.
    pub kind: u8,
    /// Which source of that kind; a place in one means nothing in another.
    pub endpoint: String,
    /// The place, in the source's own measure.
    pub value: u64,
}

/// The header of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The seq of the first event in the file.
    pub first_seq: u64,
    /// The id of the data directory.
    pub directory_id: [u8; 16],
}

impl FileHeader {
    const FORM: Form = Form {
        magic: MAGIC,
        section: "log file header",
        kind: "log file",
        oldest: OLDEST_SUPPORTED,
        version: VERSION,
    };

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Self::FORM.encode(self.first_seq, &self.directory_id)
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or [`Error::Version`] for a sound header of a version not read here.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let read = Self::FORM.decode(bytes)?;
        Ok(Self {
            first_seq: read.number,
            directory_id: read.own,
        })
    }

    /// What the checksums of this file's frames are seeded with, before their offset is added. It
    /// follows from the file's name and the directory, so frames can be checked in a file whose header
    /// is damaged.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let bytes = self.encode();
        bytes.get(..FILE_HEADER_BYTES - 8).map_or(0, xxh3_64)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// The seq of its first event; the others follow without a gap.
    pub first_seq: u64,
    /// How many events it holds, at least one.
    pub event_count: u32,
    /// Bytes of the compressed events.
    pub payload_bytes: u32,
    /// Bytes of the events when decompressed.
    pub raw_bytes: u32,
    /// The time of its first event, microseconds.
    pub first_time_us: u64,
    /// The place in the source behind the last event, if the source has places.
    pub cursor: Option<SourceCursor>,
    payload_checksum: u64,
    head_bytes: usize,
}

impl FrameHeader {
    /// The bytes of the head (header and cursor) that begins with `start`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if no frame begins so.
    pub fn head_bytes(start: &[u8; FRAME_HEADER_BYTES], offset: u64) -> Result<usize> {
        let mut reader = Reader::at(SECTION, start, offset);
        check_marker(&mut reader)?;
        // Behind the marker: checksums, seq, time, count and two lengths.
        reader.bytes(40)?;
        let cursor_bytes = usize::from(reader.u16()?);
        if cursor_bytes > CURSOR_BYTES_MAX {
            return Err(reader.corrupt("the length of a cursor", cursor_bytes));
        }
        Ok(FRAME_HEADER_BYTES + cursor_bytes)
    }

    /// Reads a head, of which [`FrameHeader::head_bytes`] told the length, that stands at `offset` of a
    /// file with that [`FileHeader::seed`].
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(head: &[u8], seed: u64, offset: u64) -> Result<Self> {
        let mut reader = Reader::at(SECTION, head, offset);
        check_marker(&mut reader)?;
        let found = reader.u32()?;
        let expected = head
            .get(8..)
            .map_or(0, |rest| head_checksum(rest, seed, offset));
        if found != expected {
            return Err(Error::corrupt(
                SECTION,
                offset + 4,
                format!("checksum {expected:#x}"),
                format!("{found:#x}"),
            ));
        }
        let payload_checksum = reader.u64()?;
        let first_seq = reader.u64()?;
        let first_time_us = reader.u64()?;
        let event_count = reader.u32()?;
        let payload_bytes = reader.u32()?;
        let raw_bytes = reader.u32()?;
        let cursor_bytes = usize::from(reader.u16()?);
        reader.zeros(2)?;
        if reader.remaining() != cursor_bytes {
            return Err(reader.corrupt(
                format!("a cursor of {cursor_bytes} bytes"),
                reader.remaining(),
            ));
        }
        let limit = PAYLOAD_BYTES_MAX as u32;
        if payload_bytes > limit || raw_bytes > limit {
            return Err(reader.corrupt(
                format!("at most {limit} bytes"),
                payload_bytes.max(raw_bytes),
            ));
        }
        if event_count == 0
            || event_count > raw_bytes
            || first_seq == 0
            || first_seq.checked_add(u64::from(event_count)).is_none()
        {
            return Err(
                reader.corrupt("a range of seqs", format!("{event_count} from {first_seq}"))
            );
        }
        let cursor = if cursor_bytes == 0 {
            None
        } else {
            let kind = reader.u8()?;
            let value = reader.u64()?;
            let endpoint = reader.str()?.to_owned();
            Some(SourceCursor {
                kind,
                endpoint,
                value,
            })
        };
        reader.finish()?;
        Ok(Self {
            first_seq,
            event_count,
            payload_bytes,
            raw_bytes,
            first_time_us,
            cursor,
            payload_checksum,
            head_bytes: head.len(),
        })
    }

    /// The seq of the last event.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.event_count) - 1
    }

    /// Where the payload begins, from the frame's start.
    #[must_use]
    pub const fn payload_start(&self) -> u64 {
        self.head_bytes as u64
    }

    /// Bytes from this frame to the next: head, payload and padding.
    #[must_use]
    pub const fn frame_bytes(&self) -> u64 {
        (self.head_bytes + self.payload_bytes as usize).next_multiple_of(ALIGNMENT) as u64
    }

    /// Checks the payload of the frame at `offset`, and decompresses it into `raw` if one is given.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn open(
        &self,
        payload: &[u8],
        seed: u64,
        offset: u64,
        raw: Option<&mut Vec<u8>>,
    ) -> Result<()> {
        const SECTION: &str = "frame payload";
        let at = offset + self.payload_start();
        let found = xxh3_64_with_seed(payload, seed.wrapping_add(offset));
        if payload.len() != self.payload_bytes as usize || found != self.payload_checksum {
            let expected = format!(
                "{} bytes of checksum {:#x}",
                self.payload_bytes, self.payload_checksum
            );
            let found = format!("{} bytes of {found:#x}", payload.len());
            return Err(Error::corrupt(SECTION, at, expected, found));
        }
        let Some(raw) = raw else { return Ok(()) };
        raw.clear();
        // At most PAYLOAD_BYTES_MAX, checked when the header was read.
        raw.reserve(self.raw_bytes as usize);
        let decompressed = zstd::bulk::Decompressor::new()
            .and_then(|mut decompressor| decompressor.decompress_to_buffer(payload, raw))
            .map_err(|error| Error::corrupt(SECTION, at, "a zstd frame", error))?;
        if decompressed != self.raw_bytes as usize {
            return Err(Error::corrupt(
                SECTION,
                at,
                format!("{} bytes", self.raw_bytes),
                decompressed,
            ));
        }
        Ok(())
    }

    /// The events of a frame whose payload [`FrameHeader::open`] has decompressed.
    #[must_use]
    pub fn events<'a>(&self, raw: &'a [u8]) -> Events<'a> {
        Events {
            reader: Reader::new("frame events", raw),
            next_seq: self.first_seq,
            left: self.event_count,
            time_us: self.first_time_us,
        }
    }
}

const SECTION: &str = "frame header";

fn check_marker(reader: &mut Reader<'_>) -> Result<()> {
    let start = reader.clone();
    let marker: [u8; 4] = reader.array()?;
    if marker == MARKER {
        return Ok(());
    }
    Err(start.corrupt("the marker of a frame", format!("{marker:02x?}")))
}

/// The low half of the XXH3 of everything in a head behind the checksum itself.
fn head_checksum(rest: &[u8], seed: u64, offset: u64) -> u32 {
    xxh3_64_with_seed(rest, seed.wrapping_add(offset)) as u32
}

/// The events of one frame with their seqs, in order. Ends after the first damaged one.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    reader: Reader<'a>,
    next_seq: u64,
    left: u32,
    time_us: u64,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<(u64, Event<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_with_effect()?;
        Some(next.map(|(seq, event, _)| (seq, event)))
    }
}

impl<'a> Events<'a> {
    /// As [`next`](Iterator::next), with the bytes of the event's effect, where the log has them, which
    /// [`effect::decode`](crate::effect::decode) reads.
    #[allow(
        clippy::type_complexity,
        reason = "the item of the iterator and one more member"
    )]
    pub fn next_with_effect(&mut self) -> Option<Result<(u64, Event<'a>, Option<&'a [u8]>)>> {
        if self.left == 0 {
            if self.reader.is_empty() {
                return None;
            }
            let error = self.reader.corrupt("the end of the frame", "more bytes");
            self.reader = Reader::new("frame events", &[]);
            return Some(Err(error));
        }
        let seq = self.next_seq;
        match event::decode_with_effect(&mut self.reader, self.time_us) {
            Ok((event, effect)) => {
                self.next_seq += 1;
                self.left -= 1;
                self.time_us = event.time_us;
                Some(Ok((seq, event, effect)))
            }
            Err(error) => {
                self.left = 0;
                self.reader = Reader::new("frame events", &[]);
                Some(Err(error))
            }
        }
    }
}

/// The compressor of frames. Any reader of zstd reads what it makes.
fn compressor() -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
    // Small frames would be compressed by another one, for which the rest was not measured.
    compressor.set_parameter(CParameter::Strategy(Strategy::ZSTD_fast))?;
    compressor.set_parameter(CParameter::WindowLog(COMPRESSION_WINDOW_LOG))?;
    compressor.set_parameter(CParameter::HashLog(COMPRESSION_HASH_LOG))?;
    compressor.set_parameter(CParameter::TargetLength(COMPRESSION_STEP))?;
    // With a longer step zstd would not compress what it has found no match for: names are half as long compressed.
    compressor.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))?;
    Ok(compressor)
}

/// Collects events into the next frame. Its buffers are kept from frame to frame, so adding an event
/// allocates nothing once they have grown.
pub struct FrameBuilder {
    raw: Vec<u8>,
    compressed: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
    event_count: u32,
    first_time_us: u64,
    last_time_us: u64,
    /// Where the last event begins.
    last_start: usize,
    /// What the time of the last event is told from.
    last_previous_us: u64,
}

impl std::fmt::Debug for FrameBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameBuilder")
            .field("raw_bytes", &self.raw.len())
            .field("event_count", &self.event_count)
            .finish_non_exhaustive()
    }
}

impl FrameBuilder {
    /// An empty frame.
    ///
    /// # Errors
    /// The compressor's, if its memory cannot be had.
    pub fn new() -> std::io::Result<Self> {
        Self::with_room(0)
    }

    /// An empty frame with room for so many bytes of events before its buffer grows.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_room(bytes: usize) -> std::io::Result<Self> {
        Ok(Self {
            raw: Vec::with_capacity(bytes),
            compressed: Vec::new(),
            compressor: compressor()?,
            event_count: 0,
            first_time_us: 0,
            last_time_us: 0,
            last_start: 0,
            last_previous_us: 0,
        })
    }

    /// Adds an event without an effect, and tells its ordinal in the frame.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the event is, or if the frame is full; nothing is added then.
    pub fn push(&mut self, event: &Event<'_>) -> Result<u32> {
        self.push_with_effect(event, &Effect::Unknown)
    }

    /// Adds an event with its effect, and tells its ordinal in the frame.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_with_effect(&mut self, event: &Event<'_>, effect: &Effect<'_>) -> Result<u32> {
        let ordinal = self.event_count;
        let before = self.raw.len();
        if before > PAYLOAD_BYTES_MAX - event::EVENT_BYTES_MAX - (1 << 20) || ordinal == u32::MAX {
            return Err(Error::TooLarge {
                what: "the size of an open log frame",
                found: before as u64,
                limit: (PAYLOAD_BYTES_MAX - event::EVENT_BYTES_MAX - (1 << 20)) as u64,
            });
        }
        let previous = if ordinal == 0 {
            event.time_us
        } else {
            self.last_time_us
        };
        event::encode_with_effect(event, effect, previous, &mut self.raw)?;
        self.last_start = before;
        self.last_previous_us = previous;
        if ordinal == 0 {
            self.first_time_us = event.time_us;
        }
        self.last_time_us = event.time_us;
        self.event_count += 1;
        Ok(ordinal)
    }

    /// Bytes of the events so far, not compressed.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// The encoded bytes of the event added last, with its effect, and the time from which they tell its time; no bytes
    /// in an empty frame.
    #[must_use]
    pub fn last_event(&self) -> (&[u8], u64) {
        let bytes = self.raw.get(self.last_start..).unwrap_or_default();
        (bytes, self.last_previous_us)
    }

    /// Number of events so far.
    #[must_use]
    pub const fn event_count(&self) -> u32 {
        self.event_count
    }

    /// The time of the first event.
    #[must_use]
    pub const fn first_time_us(&self) -> u64 {
        self.first_time_us
    }

    /// Appends the frame to `out` as it stands at `offset` of a file with that seed, `first_seq` being
    /// the seq of its first event, and begins an empty one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a cursor over [`CURSOR_BYTES_MAX`] or a frame without events; the
    /// compressor's own, as damage, which only a lack of memory can cause.
    pub fn finish(
        &mut self,
        first_seq: u64,
        cursor: Option<&SourceCursor>,
        seed: u64,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.event_count == 0 || first_seq == 0 {
            return Err(Error::corrupt(SECTION, offset, "an event to write", "none"));
        }
        let mut cursor_bytes = Vec::new();
        if let Some(cursor) = cursor {
            cursor_bytes.push(cursor.kind);
            put_u64(&mut cursor_bytes, cursor.value);
            put_str(&mut cursor_bytes, &cursor.endpoint);
        }
        if cursor_bytes.len() > CURSOR_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the size of a source cursor",
                found: cursor_bytes.len() as u64,
                limit: CURSOR_BYTES_MAX as u64,
            });
        }
        self.compressed.clear();
        // Frames are of about one size: twice as much room would stay unused.
        self.compressed
            .reserve_exact(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor
            .compress_to_buffer(&self.raw, &mut self.compressed)
            .map_err(|error| Error::corrupt("frame payload", offset, "room to compress", error))?;
        if self.compressed.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the size of a compressed log frame",
                found: self.compressed.len() as u64,
                limit: PAYLOAD_BYTES_MAX as u64,
            });
        }
        let start = out.len();
        out.extend_from_slice(&MARKER);
        put_u32(out, 0);
        put_u64(
            out,
            xxh3_64_with_seed(&self.compressed, seed.wrapping_add(offset)),
        );
        put_u64(out, first_seq);
        put_u64(out, self.first_time_us);
        put_u32(out, self.event_count);
        put_u32(out, self.compressed.len() as u32);
        put_u32(out, self.raw.len() as u32);
        put_u16(out, cursor_bytes.len() as u16);
        put_u16(out, 0);
        out.extend_from_slice(&cursor_bytes);
        let checksum = out
            .get(start + 8..)
            .map_or(0, |rest| head_checksum(rest, seed, offset));
        if let Some(place) = out.get_mut(start + 4..start + 8) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        out.extend_from_slice(&self.compressed);
        out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
        self.clear();
        Ok(())
    }

    /// Drops the events of the open frame.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.event_count = 0;
        self.first_time_us = 0;
        self.last_time_us = 0;
        self.last_start = 0;
        self.last_previous_us = 0;
    }
}

#[cfg(test)]
mod tests;
