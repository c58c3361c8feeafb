//! A store, and a model of plain maps that knows what it must show.

use std::collections::BTreeMap;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Snapshot, Store, Writer};

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const START_US: u64 = 1_793_491_200_000_000;
/// Newest records that are there at all times.
const SAMPLES: usize = 64;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

pub(crate) fn did(n: u64) -> String {
    let letter = char::from(b'a' + (n % 20) as u8);
    format!("did:plc:{}", letter.to_string().repeat(24))
}

/// (did, rkey) in a collection.
pub(crate) type Key = (String, String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) seq: u64,
    pub(crate) is_update: bool,
    pub(crate) body: String,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Model {
    pub(crate) live: BTreeMap<String, BTreeMap<Key, Known>>,
    pub(crate) hidden: BTreeMap<String, bool>,
    /// Seqs of creates and updates of each collection.
    pub(crate) writes: BTreeMap<String, Vec<u64>>,
}

impl Model {
    /// The records that are shown, newest first.
    pub(crate) fn shown(&self, collection: &str) -> Vec<(&Key, &Known)> {
        let of = self.live.get(collection);
        let mut shown: Vec<_> = of
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.hidden.get(&key.0).copied().unwrap_or(false))
            .collect();
        shown.sort_by_key(|(_, known)| std::cmp::Reverse(known.seq));
        shown
    }

    pub(crate) fn check(&self, snapshot: &Snapshot) {
        for (collection, writes) in &self.writes {
            let shown = self.shown(collection);
            let found = snapshot.sample_records(collection, SAMPLES).unwrap();
            // Whatever is given is right, and in order.
            let mut places = Vec::new();
            for record in &found {
                assert_eq!(record.collection, *collection);
                let place = shown
                    .iter()
                    .position(|((did, rkey), _)| *did == record.did && *rkey == record.rkey);
                let place = place.unwrap_or_else(|| panic!("{record:?} is not shown"));
                let known = Known {
                    seq: record.seq,
                    is_update: record.is_update,
                    body: String::from_utf8(record.body.clone()).unwrap(),
                };
                assert_eq!(Some(&known), shown.get(place).map(|shown| shown.1));
                places.push(place);
            }
            assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
            // Whatever fewer than 64 writes of the collection came behind is given.
            let must = shown.iter().take(SAMPLES).take_while(|(_, known)| {
                writes
                    .iter()
                    .rev()
                    .take(SAMPLES)
                    .any(|seq| *seq == known.seq)
            });
            let must = must.count();
            assert!(
                places.iter().copied().take(must).eq(0..must),
                "{collection}: {must} of {places:?}"
            );
            let few = snapshot.sample_records(collection, 7).unwrap();
            assert!(found.starts_with(&few));
            assert_eq!(few.len(), found.len().min(7));
        }
        let names: Vec<&String> = self.writes.keys().collect();
        for name in snapshot.sample_collections(0, 100_000).unwrap() {
            assert!(names.contains(&&name));
        }
    }
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) open: Option<(Store, Writer)>,
    pub(crate) model: Model,
    pub(crate) clock: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut options = Options::default();
        options.compact = false;
        options.compact_share = 1.0;
        options.compact_fan_in = 3;
        options.disk_reserve = 0;
        Self::with(options)
    }

    pub(crate) fn with(options: Options) -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            options,
            open: None,
            model: Model::default(),
            clock: 0,
        };
        world.restart();
        world
    }

    pub(crate) fn restart(&mut self) {
        if let Some((_, writer)) = &mut self.open {
            writer.commit().unwrap();
        }
        self.open = None;
        let store = Store::open(self.dir.path(), self.options.clone()).unwrap();
        let writer = store.writer().unwrap();
        self.open = Some((store, writer));
    }

    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.open.as_mut().unwrap().1
    }

    pub(crate) fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().0
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store().snapshot()
    }

    pub(crate) fn sample_bytes(&self) -> u64 {
        let sizes = self.store().section_sizes().into_iter();
        let samples = sizes.filter(|(name, _)| name.contains("sample"));
        samples.map(|(_, bytes)| bytes).sum()
    }

    pub(crate) fn apply(&mut self, did: &str, body: Body<'_>) -> u64 {
        let time_us = START_US + self.clock * SECOND;
        match self.writer().apply(&Event { time_us, did, body }).unwrap() {
            Applied::New { seq, .. } | Applied::Unchanged { seq, .. } => seq,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn commit(&mut self, did: &str, collection: &str, rkey: &str, record: Option<&str>) {
        self.clock += 1;
        let rev = (START_US + self.clock * SECOND) << 10;
        let key = (did.to_owned(), rkey.to_owned());
        let records = self.model.live.entry(collection.to_owned()).or_default();
        let is_update = records.contains_key(&key);
        let operation = match record {
            Some(body) => {
                let record = Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: body.as_bytes(),
                };
                if is_update {
                    Operation::Update(record)
                } else {
                    Operation::Create(record)
                }
            }
            None => Operation::Delete,
        };
        let seq = self.apply(
            did,
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            },
        );
        let writes = self.model.writes.entry(collection.to_owned()).or_default();
        let records = self.model.live.entry(collection.to_owned()).or_default();
        match record {
            Some(body) => {
                writes.push(seq);
                let known = Known {
                    seq,
                    is_update,
                    body: body.to_owned(),
                };
                records.insert(key, known);
            }
            None => {
                records.remove(&key);
            }
        }
    }

    pub(crate) fn account(&mut self, did: &str, active: bool, status: Option<&str>) {
        self.clock += 1;
        let body = Body::Account {
            seq: self.clock,
            active,
            status,
        };
        self.apply(did, body);
        let is_deleted = status == Some("deleted");
        if is_deleted {
            for records in self.model.live.values_mut() {
                records.retain(|key, _| key.0 != did);
            }
        }
        self.model
            .hidden
            .insert(did.to_owned(), !active && !is_deleted);
    }

    pub(crate) fn merge(&mut self) {
        while self.writer().merge_due().unwrap() {
            self.writer().tick().unwrap();
        }
    }

    pub(crate) fn check(&self) {
        self.model.check(&self.snapshot());
    }
}
