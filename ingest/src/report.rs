//! What a pipeline did: plain numbers, and links by source where somebody asks for them.

use std::collections::{BTreeMap, HashSet};

use orrery_formats::event::{Body, Encoding, Event, Operation};
use orrery_links::Extractor;

use crate::reason::Drops;
use crate::sink::Outcome;

/// What became of the events of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items read: events and what was dropped.
    pub items: u64,
    /// Events that were handed to the index.
    pub events: u64,
    /// Commits of collections that are not selected.
    pub unselected: u64,
    /// Events that were known already.
    pub repeats: u64,
    /// Accepted creates and updates.
    pub records: u64,
    /// Accepted updates that changed no link.
    pub unchanged: u64,
    /// Links of accepted records, each once per record, source and target.
    pub links: u64,
    /// What was dropped, by reason.
    pub drops: Drops,
    /// Time of the last event, microseconds since 1970.
    pub last_time_us: Option<u64>,
}

impl Tally {
    /// Counts an event that the index took.
    pub(crate) fn count(&mut self, event: &Event<'_>, outcome: Outcome) {
        self.last_time_us = Some(event.time_us);
        let is_record = record_of(event).is_some();
        match outcome {
            Outcome::New { links } => {
                self.events += 1;
                self.records += u64::from(is_record);
                self.links += u64::from(links);
            }
            Outcome::Unchanged { links } => {
                self.events += 1;
                self.records += u64::from(is_record);
                self.links += u64::from(links);
                self.unchanged += 1;
            }
            Outcome::Repeat => {
                self.events += 1;
                self.repeats += 1;
            }
            Outcome::BadRecord => {}
        }
    }

    /// Adds what another pipeline did after this one.
    pub fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.events += other.events;
        self.unselected += other.unselected;
        self.repeats += other.repeats;
        self.records += other.records;
        self.unchanged += other.unchanged;
        self.links += other.links;
        self.drops.add_all(&other.drops);
        self.last_time_us = other.last_time_us.or(self.last_time_us);
    }
}

fn record_of<'a>(event: &Event<'a>) -> Option<(&'a str, Encoding, &'a [u8])> {
    match event.body {
        Body::Commit {
            collection,
            operation: Operation::Create(record) | Operation::Update(record),
            ..
        } => Some((collection, record.encoding, record.body)),
        _ => None,
    }
}

/// Counts the links of accepted records by source, `collection:path`. This reads each record once more, so
/// it is for reports that ask for it.
#[derive(Debug, Default)]
pub struct LinkCounts {
    extractor: Extractor,
    counts: BTreeMap<String, u64>,
}

impl LinkCounts {
    /// Counts the links of an event that the index accepted.
    pub(crate) fn count(&mut self, event: &Event<'_>) {
        let Some((collection, Encoding::Json, body)) = record_of(event) else {
            return;
        };
        let Ok(extraction) = self.extractor.extract_json(body) else {
            return;
        };
        let mut seen = HashSet::new();
        for link in extraction.links() {
            if seen.insert((link.path, link.target)) {
                let path = link.path.strip_prefix('.').unwrap_or(link.path);
                *self
                    .counts
                    .entry(format!("{collection}:{path}"))
                    .or_default() += 1;
            }
        }
    }

    /// Links by source, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts
            .iter()
            .map(|(source, &count)| (source.as_str(), count))
    }
}
