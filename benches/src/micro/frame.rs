//! Events into a frame of the log and out of it again: encoding, compression, checksum.

use std::hint::black_box;

use orrery_engine::event::Event;
use orrery_formats::frame::{FRAME_HEADER_BYTES, FrameBuilder, FrameHeader};

use super::Size;
use crate::Result;
use crate::events::{decoded, lines};
use crate::harness::timing::Subject;

const SEED: u64 = 77;
/// A frame is closed at so many bytes, as the engine does by default.
const FRAME_BYTES: usize = 4 << 20;

/// Encodes `events` into frames, one behind another.
fn frames(builder: &mut FrameBuilder, events: &[Event<'_>], out: &mut Vec<u8>) -> Result<()> {
    let mut first_seq = 1;
    for event in events {
        builder.push(event)?;
        if builder.raw_bytes() >= FRAME_BYTES {
            let count = u64::from(builder.event_count());
            builder.finish(first_seq, None, SEED, out.len() as u64, out)?;
            first_seq += count;
        }
    }
    if builder.event_count() > 0 {
        builder.finish(first_seq, None, SEED, out.len() as u64, out)?;
    }
    Ok(())
}

struct Encode {
    events: Vec<Event<'static>>,
    builder: FrameBuilder,
    out: Vec<u8>,
}

impl Subject for Encode {
    fn round(&mut self) -> Result<u64> {
        self.out.clear();
        frames(&mut self.builder, &self.events, &mut self.out)?;
        black_box(&self.out);
        Ok(self.events.len() as u64)
    }
}

pub(super) fn encode(size: Size) -> Result<Box<dyn Subject>> {
    Ok(Box::new(Encode {
        events: decoded(lines(size.seed, size.events)?)?,
        builder: FrameBuilder::new()?,
        out: Vec::new(),
    }))
}

struct Decode {
    bytes: Vec<u8>,
    raw: Vec<u8>,
}

impl Subject for Decode {
    fn round(&mut self) -> Result<u64> {
        let mut count = 0;
        let mut offset = 0_usize;
        while let Some(frame) = self.bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let at = offset as u64;
            let start: &[u8; FRAME_HEADER_BYTES] =
                frame.first_chunk().ok_or("a frame without its header")?;
            let head = frame.get(..FrameHeader::head_bytes(start, at)?);
            let header = FrameHeader::decode(head.ok_or("a frame is cut")?, SEED, at)?;
            let begin = header.payload_start() as usize;
            let payload = frame.get(begin..begin + header.payload_bytes as usize);
            header.open(
                payload.ok_or("a frame is cut")?,
                SEED,
                at,
                Some(&mut self.raw),
            )?;
            for event in header.events(&self.raw) {
                let (_, event) = event?;
                black_box(event.time_us);
                count += 1;
            }
            offset += header.frame_bytes() as usize;
        }
        Ok(count)
    }
}

pub(super) fn decode(size: Size) -> Result<Box<dyn Subject>> {
    let events = decoded(lines(size.seed, size.events)?)?;
    let mut bytes = Vec::new();
    frames(&mut FrameBuilder::new()?, &events, &mut bytes)?;
    Ok(Box::new(Decode {
        bytes,
        raw: Vec::new(),
    }))
}
