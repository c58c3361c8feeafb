//! From the text of an event to its links, in parts and as a whole, beside the least that parsing JSON costs.

use std::hint::black_box;

use orrery_engine::event::{Body, Event, Operation};
use orrery_ingest::decode;
use orrery_links::Extractor;

use super::Size;
use crate::Result;
use crate::baseline::parse;
use crate::events::{decoded, lines};
use crate::harness::timing::Subject;

/// Does one thing to each of some lines.
struct EachLine<F> {
    lines: Vec<Vec<u8>>,
    each: F,
}

impl<F: FnMut(&[u8]) -> Result<u64>> Subject for EachLine<F> {
    fn round(&mut self) -> Result<u64> {
        let mut sum = 0;
        for line in &self.lines {
            sum += (self.each)(line)?;
        }
        black_box(sum);
        Ok(self.lines.len() as u64)
    }
}

fn each_line(
    size: Size,
    each: impl FnMut(&[u8]) -> Result<u64> + 'static,
) -> Result<Box<dyn Subject>> {
    let lines = lines(size.seed, size.events)?;
    Ok(Box::new(EachLine { lines, each }))
}

/// The text of the record that an event brings.
fn record<'a>(event: &Event<'a>) -> Option<&'a [u8]> {
    match event.body {
        Body::Commit {
            operation: Operation::Create(record) | Operation::Update(record),
            ..
        } => Some(record.body),
        _ => None,
    }
}

/// The bytes of all links of a record.
fn linked(extractor: &mut Extractor, record: &[u8]) -> Result<u64> {
    let extraction = extractor.extract_json(record)?;
    let links = extraction.links();
    Ok(links
        .map(|link| (link.path.len() + link.target.len()) as u64)
        .sum())
}

pub(super) fn links(size: Size) -> Result<Box<dyn Subject>> {
    let mut extractor = Extractor::default();
    each_line(size, move |line| {
        let wire = orrery_jetstream::Event::parse_bytes(line);
        let wire = wire.map_err(|malformed| malformed.reason())?;
        let event = decode(&wire).map_err(|reason| reason.name())?;
        match record(&event) {
            Some(record) => linked(&mut extractor, record),
            None => Ok(0),
        }
    })
}

pub(super) fn event(size: Size) -> Result<Box<dyn Subject>> {
    each_line(size, |line| {
        let wire = orrery_jetstream::Event::parse_bytes(line);
        let wire = wire.map_err(|malformed| malformed.reason())?;
        let event = decode(&wire).map_err(|reason| reason.name())?;
        Ok(event.time_us)
    })
}

pub(super) fn raw(size: Size) -> Result<Box<dyn Subject>> {
    each_line(size, |line| Ok(parse::raw(line)?))
}

pub(super) fn value(size: Size) -> Result<Box<dyn Subject>> {
    each_line(size, |line| Ok(parse::value(line)?))
}

/// Reads the links of records that are cut out already.
struct Extract {
    records: Vec<&'static [u8]>,
    extractor: Extractor,
}

impl Subject for Extract {
    fn round(&mut self) -> Result<u64> {
        let mut sum = 0;
        for record in &self.records {
            sum += linked(&mut self.extractor, record)?;
        }
        black_box(sum);
        Ok(self.records.len() as u64)
    }
}

pub(super) fn extract(size: Size) -> Result<Box<dyn Subject>> {
    let events = decoded(lines(size.seed, size.events)?)?;
    Ok(Box::new(Extract {
        records: events.iter().filter_map(record).collect(),
        extractor: Extractor::default(),
    }))
}
