//! Synthetic events for every measurement: the generator of `orrery-synth`, seeded, and the way of its lines into a
//! store. The same seed gives the same events as `orrery synth` writes.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use orrery_engine::event::Event;
use orrery_engine::{Applied, Writer};
use orrery_ingest::decode;
use orrery_synth::{Generator, Options};

use crate::Result;

/// Events, one after another.
pub(crate) struct Feed {
    generator: Generator,
    line: Vec<u8>,
    /// Events so far.
    pub(crate) count: u64,
    /// Bytes of JSON so far.
    pub(crate) bytes: u64,
    /// The time of the last event.
    pub(crate) time_us: u64,
    /// Events that were no news, and such that could not be read.
    pub(crate) repeats: u64,
    pub(crate) bad: u64,
}

impl Feed {
    pub(crate) fn new(options: Options) -> Result<Self> {
        Ok(Self {
            generator: Generator::new(options)?,
            line: Vec::new(),
            count: 0,
            bytes: 0,
            time_us: 0,
            repeats: 0,
            bad: 0,
        })
    }

    /// Writes down the next event. False behind the last one.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(meta) = self.generator.next_into(&mut self.line) else {
            return false;
        };
        self.time_us = meta.time_us;
        self.count += 1;
        self.bytes += self.line.len() as u64;
        true
    }

    /// The event written down last, as JSON.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    pub(crate) fn generator(&self) -> &Generator {
        &self.generator
    }

    /// Applies the next event. False behind the last one.
    pub(crate) fn apply_next(&mut self, writer: &mut Writer) -> Result<bool> {
        if !self.advance() {
            return Ok(false);
        }
        let wire = orrery_jetstream::Event::parse_bytes(&self.line);
        let wire =
            wire.map_err(|malformed| format!("event {}: {}", self.count, malformed.reason()))?;
        match decode(&wire) {
            Ok(event) => match writer.apply(&event)? {
                Applied::Repeat => self.repeats += 1,
                Applied::BadRecord(_) => self.bad += 1,
                _ => {}
            },
            Err(_) => self.bad += 1,
        }
        Ok(true)
    }
}

/// So many events, as lines without their ends.
pub(crate) fn lines(seed: u64, events: u64) -> Result<Vec<Vec<u8>>> {
    let mut feed = Feed::new(Options::finite(seed, events))?;
    let mut lines = Vec::new();
    while feed.advance() {
        lines.push(feed.line().to_vec());
    }
    Ok(lines)
}

/// Events of those lines, decoded. They live as long as the process, which ends with its measurement.
pub(crate) fn decoded(lines: Vec<Vec<u8>>) -> Result<Vec<Event<'static>>> {
    let mut events = Vec::with_capacity(lines.len());
    for line in lines {
        let line: &'static [u8] = line.leak();
        let wire = orrery_jetstream::Event::parse_bytes(line);
        let wire: &'static _ = Box::leak(Box::new(wire.map_err(|malformed| malformed.reason())?));
        events.extend(decode(wire));
    }
    Ok(events)
}

/// Writes events into a file, one a line. Tells its bytes.
pub(crate) fn write_file(path: &Path, options: Options) -> Result<u64> {
    let mut feed = Feed::new(options)?;
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut bytes = 0;
    while feed.advance() {
        file.write_all(feed.line())?;
        file.write_all(b"\n")?;
        bytes += feed.line().len() as u64 + 1;
    }
    file.flush()?;
    Ok(bytes)
}

/// What an event likes.
pub(crate) fn liked_post(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    if !text.contains("\"app.bsky.feed.like\"") {
        return None;
    }
    let (_, rest) = text.split_once("\"uri\":\"")?;
    let (uri, _) = rest.split_once('"')?;
    Some(uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_the_same_lines_as_the_generator_gives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        let bytes = write_file(&path, Options::finite(5, 200)).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text.len() as u64, bytes);
        let lines = lines(5, 200).unwrap();
        assert_eq!(lines.len(), 200);
        assert_eq!(text.strip_suffix(b"\n").unwrap(), lines.join(&b'\n'));
        assert_eq!(decoded(lines).unwrap().len(), 200);
    }
}
