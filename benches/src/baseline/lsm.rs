//! The same links in an embedded LSM store, in the layout that comes to mind first: a key per link, sorted by target, source and
//! time, and a key per record with its links, to delete by. Its defaults, with its compression; no sketches, no log window, no
//! recognition of repeats beyond the record's own key.

use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use orrery_formats::event::{Body, Event, Operation};
use orrery_ingest::decode;
use orrery_links::Extractor;

use crate::events::Feed;
use crate::harness::arguments::Arguments;
use crate::harness::figures::Figures;
use crate::harness::percentile::median;
use crate::harness::process::Process;
use crate::hot_target::{self, LIKE, PATH, TARGET};
use crate::{Outcome, Result};

const EVENTS: u64 = 1_000_000;
/// Synced as often as the engine's log, in bytes.
const SYNC_BYTES: usize = 4 << 20;
const ROUNDS: usize = 11;

/// An index of links in an LSM store.
struct Index {
    db: Database,
    /// target, 0, source, 0, seq → record.
    back: Keyspace,
    /// record → the keys of its links in `back`.
    forward: Keyspace,
    extractor: Extractor,
    seq: u64,
    unsynced: usize,
    links: u64,
}

/// The beginning of the keys of all links to a target from a source.
fn prefix(target: &str, collection: &str, path: &str) -> Vec<u8> {
    let mut key = target.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(collection.as_bytes());
    key.push(b':');
    key.extend_from_slice(path.trim_start_matches('.').as_bytes());
    key.push(0);
    key
}

impl Index {
    fn open(dir: &Path) -> Result<Self> {
        let db = Database::builder(dir).open()?;
        let back = db.keyspace("back", KeyspaceCreateOptions::default)?;
        let forward = db.keyspace("forward", KeyspaceCreateOptions::default)?;
        Ok(Self {
            db,
            back,
            forward,
            extractor: Extractor::default(),
            seq: 0,
            unsynced: 0,
            links: 0,
        })
    }

    fn apply(&mut self, event: &Event<'_>) -> Outcome {
        self.seq += 1;
        match event.body {
            Body::Commit {
                collection,
                rkey,
                operation,
                ..
            } => {
                let record = format!("{}\0{collection}\0{rkey}", event.did);
                match operation {
                    Operation::Delete => self.replace(&record, collection, None)?,
                    Operation::Create(body) | Operation::Update(body) => {
                        self.replace(&record, collection, Some(body.body))?;
                    }
                }
            }
            Body::Account {
                status: Some("deleted"),
                ..
            } => {
                let mut records = Vec::new();
                for entry in self.forward.prefix(format!("{}\0", event.did)) {
                    records.push(entry.key()?.to_vec());
                }
                for record in records {
                    self.replace(std::str::from_utf8(&record)?, "", None)?;
                }
            }
            _ => {}
        }
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    /// Takes the links of a record away and puts those of its new version there.
    fn replace(&mut self, record: &str, collection: &str, body: Option<&[u8]>) -> Outcome {
        let mut batch = self.db.batch();
        if let Some(keys) = self.forward.get(record)? {
            let mut rest = &keys[..];
            while let Some((length, more)) = rest.split_first_chunk() {
                let length = u32::from_le_bytes(*length) as usize;
                let (key, more) = more.split_at_checked(length).ok_or("a cut list of keys")?;
                batch.remove(&self.back, key);
                self.links -= 1;
                rest = more;
            }
            batch.remove(&self.forward, record);
        }
        if let Some(body) = body {
            self.unsynced += body.len();
            let mut keys = Vec::new();
            let mut targets = Vec::new();
            for link in self.extractor.extract_json(body)?.links() {
                let mut key = prefix(link.target, collection, link.path);
                key.extend_from_slice(&self.seq.to_be_bytes());
                targets.push(key);
            }
            // A record counts once per path and target.
            targets.sort_unstable();
            targets.dedup();
            for key in targets {
                keys.extend_from_slice(&u32::try_from(key.len())?.to_le_bytes());
                keys.extend_from_slice(&key);
                batch.insert(&self.back, key, record);
                self.links += 1;
            }
            if !keys.is_empty() {
                batch.insert(&self.forward, record, keys);
            }
        }
        batch.commit()?;
        Ok(())
    }

    fn count(&self, prefix: &[u8]) -> u64 {
        self.back.prefix(prefix).count() as u64
    }

    /// Up to 100 records before `seq`, newest first, and the seq of the last.
    fn page(&self, prefix: &[u8], before: u64) -> Result<(Vec<String>, u64)> {
        let mut end = prefix.to_vec();
        end.extend_from_slice(&before.to_be_bytes());
        let mut last = before;
        let mut records = Vec::new();
        for entry in self.back.range(prefix.to_vec()..end).rev().take(100) {
            let (key, record) = entry.into_inner()?;
            last = key.last_chunk().map_or(0, |seq| u64::from_be_bytes(*seq));
            records.push(String::from_utf8(record.to_vec())?);
        }
        Ok((records, last))
    }

    /// Everything in its last place.
    fn compact(&self) -> Outcome {
        for keyspace in [&self.back, &self.forward] {
            keyspace.rotate_memtable_and_wait()?;
            keyspace.major_compact()?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.back.disk_space() + self.forward.disk_space()
    }
}

pub(crate) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let events = arguments.events.unwrap_or(EVENTS);
    ingest(arguments, figures, events)?;
    hot(figures, events)
}

/// The events of the stream.
fn ingest(arguments: &Arguments, figures: &mut Figures, events: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut index = Index::open(dir.path())?;
    let options = orrery_synth::Options::finite(arguments.seed(), events);
    // The generator's own time is measured by itself and taken off.
    let before = Process::Own.cpu_seconds();
    let mut scratch = Feed::new(options.clone())?;
    while scratch.advance() {}
    let generating = Process::Own.cpu_seconds() - before;
    let before = Process::Own.usage().unwrap_or_default();
    let mut feed = Feed::new(options)?;
    let mut peak_kib = 0;
    while feed.advance() {
        let wire = orrery_jetstream::Event::parse_bytes(feed.line());
        let wire = wire.map_err(|malformed| malformed.reason())?;
        if let Ok(event) = decode(&wire) {
            index.apply(&event)?;
        }
        if feed.count.is_multiple_of(4_096) {
            peak_kib = peak_kib.max(Process::Own.rss_anon_kib());
        }
    }
    index.db.persist(PersistMode::SyncAll)?;
    let cpu = Process::Own.cpu_seconds() - before.cpu_seconds - generating;
    figures.add("LSM: events per CPU second", events as f64 / cpu, "");
    figures.add(
        "LSM: peak RssAnon (generator included)",
        peak_kib as f64 / 1_024.0,
        "MiB",
    );
    index.compact()?;
    let after = Process::Own.usage().unwrap_or_default();
    let links = index.links.max(1) as f64;
    figures.add("LSM: live links", links, "");
    figures.add(
        "LSM: a live link, compacted",
        index.bytes() as f64 / links,
        "B",
    );
    let written = (after.write_bytes - before.write_bytes) as f64;
    figures.add("LSM: bytes written a link", written / links, "B");
    Ok(())
}

/// The target with many links, of which 5 % are deleted.
fn hot(figures: &mut Figures, links: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut index = Index::open(dir.path())?;
    hot_target::each_event(links, &mut |event| index.apply(event))?;
    index.compact()?;
    let prefix = prefix(TARGET, LIKE, PATH);
    let total = index.count(&prefix);
    if total != index.links {
        return Err(format!("{total} of {} links are found", index.links).into());
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let timed = |call: &mut dyn FnMut() -> Outcome| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            call()?;
            times.push(micros(start.elapsed()));
        }
        Ok(median(&times))
    };
    let count = timed(&mut || {
        std::hint::black_box(index.count(&prefix));
        Ok(())
    })?;
    figures.add(format!("LSM: count of {total} links"), count, "us");
    let first = timed(&mut || index.page(&prefix, u64::MAX).map(drop))?;
    figures.add("LSM: page 1", first, "us");
    let mut before = u64::MAX;
    for _ in 1..5_000.min(total / 100) {
        (_, before) = index.page(&prefix, before)?;
    }
    let deep = timed(&mut || index.page(&prefix, before).map(drop))?;
    figures.add("LSM: page 5,000", deep, "us");
    let start = Instant::now();
    let mut deletes = 0_u64;
    hot_target::each_delete(links, &mut |event| {
        deletes += 1;
        index.apply(event)
    })?;
    let each = micros(start.elapsed()) / deletes.max(1) as f64;
    figures.add("LSM: one delete, amortised", each, "us");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_until_their_record_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::open(dir.path()).unwrap();
        hot_target::each_event(1_000, &mut |event| index.apply(event)).unwrap();
        let prefix = prefix(TARGET, LIKE, PATH);
        assert_eq!((index.links, index.count(&prefix)), (950, 950));
        let (first, last) = index.page(&prefix, u64::MAX).unwrap();
        let (second, _) = index.page(&prefix, last).unwrap();
        assert_eq!((first.len(), second.len()), (100, 100));
        assert!(first.iter().all(|record| !second.contains(record)));
        index.compact().unwrap();
        assert_eq!(index.count(&prefix), 950);
    }
}
