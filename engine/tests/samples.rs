//! Samples against a model of plain maps: at every moment, the newest live records of each collection, across
//! updates, deletes, account events, seals, merges and restarts.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is to end the test"
)]

use std::collections::BTreeMap;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Snapshot, Store, Writer};

const SECOND: u64 = 1_000_000;
const START_US: u64 = 1_793_491_200_000_000;
/// Newest records that are there at all times.
const SAMPLES: usize = 64;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn did(n: u64) -> String {
    let letter = char::from(b'a' + (n % 20) as u8);
    format!("did:plc:{}", letter.to_string().repeat(24))
}

/// (did, rkey) in a collection.
type Key = (String, String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    seq: u64,
    is_update: bool,
    body: String,
}

#[derive(Debug, Default, Clone)]
struct Model {
    live: BTreeMap<String, BTreeMap<Key, Known>>,
    hidden: BTreeMap<String, bool>,
    /// Seqs of creates and updates of each collection.
    writes: BTreeMap<String, Vec<u64>>,
}

impl Model {
    /// The records that are shown, newest first.
    fn shown(&self, collection: &str) -> Vec<(&Key, &Known)> {
        let of = self.live.get(collection);
        let mut shown: Vec<_> = of
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.hidden.get(&key.0).copied().unwrap_or(false))
            .collect();
        shown.sort_by_key(|(_, known)| std::cmp::Reverse(known.seq));
        shown
    }

    fn check(&self, snapshot: &Snapshot) {
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
        for name in snapshot.sample_collections(0).unwrap() {
            assert!(names.contains(&&name));
        }
    }
}

struct World {
    dir: tempfile::TempDir,
    options: Options,
    open: Option<(Store, Writer)>,
    model: Model,
    clock: u64,
}

impl World {
    fn new() -> Self {
        let mut options = Options::default();
        options.compact = false;
        options.compact_share = 1.0;
        options.compact_fan_in = 3;
        options.disk_reserve = 0;
        Self::with(options)
    }

    fn with(options: Options) -> Self {
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

    fn restart(&mut self) {
        if let Some((_, writer)) = &mut self.open {
            writer.commit().unwrap();
        }
        self.open = None;
        let store = Store::open(self.dir.path(), self.options.clone()).unwrap();
        let writer = store.writer().unwrap();
        self.open = Some((store, writer));
    }

    fn writer(&mut self) -> &mut Writer {
        &mut self.open.as_mut().unwrap().1
    }

    fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().0
    }

    fn snapshot(&self) -> Snapshot {
        self.store().snapshot()
    }

    fn sample_bytes(&self) -> u64 {
        let sizes = self.store().section_sizes().into_iter();
        let samples = sizes.filter(|(name, _)| name.contains("sample"));
        samples.map(|(_, bytes)| bytes).sum()
    }

    fn apply(&mut self, did: &str, body: Body<'_>) -> u64 {
        let time_us = START_US + self.clock * SECOND;
        match self.writer().apply(&Event { time_us, did, body }).unwrap() {
            Applied::New { seq, .. } | Applied::Unchanged { seq, .. } => seq,
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self, did: &str, collection: &str, rkey: &str, record: Option<&str>) {
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

    fn account(&mut self, did: &str, active: bool, status: Option<&str>) {
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

    fn merge(&mut self) {
        while self.writer().merge_due().unwrap() {
            self.writer().tick().unwrap();
        }
    }

    fn check(&self) {
        self.model.check(&self.snapshot());
    }
}

fn body(random: &mut Random, n: u64) -> String {
    let filler = "x".repeat(random.next(200) as usize);
    match random.next(3) {
        0 => format!(r#"{{"text":"{n}{filler}"}}"#),
        1 => format!(r#"{{"subject":"https://example.com/{}","n":{n}}}"#, n % 3),
        _ => format!(r#"{{"subject":"{}","text":"{filler}"}}"#, did(n)),
    }
}

#[test]
fn the_newest_live_records_are_there_whatever_happens() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut world = World::new();
        // Many keys, or few that are written again and again.
        let keys = [12, 400][seed as usize % 2];
        for step in 0..1500 {
            let collection = match random.next(10) {
                0 => "app.test.quiet",
                1..4 => "app.test.some",
                _ => "app.test.busy",
            };
            let author = did(random.next(12));
            let rkey = match random.next(2) {
                0 => format!("key-{}", random.next(keys)),
                _ => orrery_links::syntax::Tid::from_u64((START_US + random.next(keys)) << 10)
                    .unwrap()
                    .to_string(),
            };
            match random.next(100) {
                0..3 => {
                    let (active, status) = match random.next(4) {
                        0 => (false, Some("deleted")),
                        1 | 2 => (false, Some("suspended")),
                        _ => (true, None),
                    };
                    world.account(&author, active, status);
                }
                3..30 => world.commit(&author, collection, &rkey, None),
                _ => {
                    let body = body(&mut random, step);
                    world.commit(&author, collection, &rkey, Some(&body));
                }
            }
            match random.next(300) {
                0..3 => world.writer().seal().unwrap(),
                3..5 => world.merge(),
                5 => world.restart(),
                6 if random.next(3) == 0 => {
                    world.writer().compact_full(&mut |_, _| {}).unwrap();
                }
                _ => {}
            }
            if step % 25 == 0 {
                world.check();
            }
        }
        world.check();
        world.restart();
        world.check();
        world.writer().compact_full(&mut |_, _| {}).unwrap();
        world.check();
        world.store().verify().unwrap();
    }
}

#[test]
fn an_event_is_seen_whole_or_not_at_all() {
    let mut world = World::new();
    for record in [
        Some(r#"{"n":1}"#),
        Some(r#"{"n":2}"#),
        None,
        Some(r#"{"n":3}"#),
        None,
    ] {
        // What the next event ends is still there for whoever looks as of the one before.
        let (model, snapshot) = (world.model.clone(), world.snapshot());
        world.commit(&did(1), "app.test.a", "one", record);
        model.check(&snapshot);
        world.check();
    }
    world.writer().seal().unwrap();
    world.commit(&did(2), "app.test.a", "two", Some(r#"{"n":3}"#));
    world.writer().seal().unwrap();
    let sealed = (world.model.clone(), world.snapshot());
    world.account(&did(2), false, Some("suspended"));
    let hidden = (world.model.clone(), world.snapshot());
    world.account(&did(2), false, Some("deleted"));
    let deleted = (world.model.clone(), world.snapshot());
    for (model, snapshot) in [sealed, hidden, deleted] {
        model.check(&snapshot);
    }
}

#[test]
fn a_collection_seen_once_long_ago_still_shows_its_record() {
    let mut world = World::new();
    world.commit(&did(3), "app.test.quiet", "self", Some(r#"{"n":0}"#));
    for n in 0..2000 {
        let record = format!(r#"{{"subject":"https://example.com/{n}"}}"#);
        world.commit(&did(n), "app.test.busy", &format!("k{n}"), Some(&record));
        if n % 100 == 0 {
            world.writer().seal().unwrap();
            world.merge();
        }
    }
    let quiet = |world: &World| {
        world
            .snapshot()
            .sample_records("app.test.quiet", 42)
            .unwrap()
    };
    assert_eq!(quiet(&world).len(), 1);
    world.restart();
    world.writer().compact_full(&mut |_, _| {}).unwrap();
    assert_eq!(quiet(&world)[0].body, br#"{"n":0}"#);
    world.check();
    let since = START_US + 1000 * SECOND;
    let active = world.snapshot().sample_collections(since).unwrap();
    assert_eq!(active, ["app.test.busy"]);
    assert_eq!(world.snapshot().sample_collections(0).unwrap().len(), 2);
}

#[test]
fn samples_take_no_more_than_their_limit_and_quiet_collections_keep_theirs_longest() {
    for limit in [0, 3_000, 30_000] {
        let mut options = Options::default();
        options.compact = false;
        options.compact_fan_in = 4;
        options.disk_reserve = 0;
        options.samples_limit = limit;
        let mut world = World::with(options);
        let mut random = Random(limit);
        for n in 0..3000_u64 {
            // Does not compress.
            let noise: String = (0..40)
                .map(|_| format!("{:x}", random.next(1 << 32)))
                .collect();
            let record = format!(r#"{{"noise":"{noise}"}}"#);
            let collection = if n % 100 < 4 {
                format!("app.test.quiet{}", n % 100)
            } else {
                format!("app.test.busy{}", n % 7)
            };
            world.commit(&did(n), &collection, &format!("k{n}"), Some(&record));
            if n % 150 == 149 {
                world.writer().seal().unwrap();
                assert!(
                    world.sample_bytes() <= limit + 2_000,
                    "{}",
                    world.sample_bytes()
                );
                world.merge();
            }
        }
        assert!(
            world.sample_bytes() <= limit + 2_000,
            "{}",
            world.sample_bytes()
        );
        if limit == 0 {
            assert_eq!(world.snapshot().sample_collections(0).unwrap(), [""; 0]);
        }
        if limit > 10_000 {
            for n in 0..4 {
                let quiet = format!("app.test.quiet{n}");
                assert!(
                    !world
                        .snapshot()
                        .sample_records(&quiet, 1)
                        .unwrap()
                        .is_empty()
                );
            }
        }
    }
}

#[test]
fn a_very_long_record_is_no_sample_but_ends_the_one_before() {
    let mut world = World::new();
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    world.commit(&did(1), "app.test.a", "one", Some("{}"));
    world.commit(&did(1), "app.test.a", "two", Some("{}"));
    world.writer().seal().unwrap();
    world.commit(&did(1), "app.test.a", "one", Some(&long));
    let rkeys = |world: &World| -> Vec<String> {
        let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
        records.into_iter().map(|record| record.rkey).collect()
    };
    assert_eq!(rkeys(&world), ["two"]);
    world.writer().seal().unwrap();
    assert_eq!(rkeys(&world), ["two"]);
}

fn noise(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(&format!("{:016x}", random.next(u64::MAX)));
    }
    text
}

fn plain_options() -> Options {
    let mut options = Options::default();
    options.compact = false;
    options.compact_share = 1.0;
    options.compact_fan_in = 3;
    options.disk_reserve = 0;
    options
}

/// Review: some 170 long one-off records between two seals.
#[test]
fn long_one_off_records_take_no_samples_from_other_collections_of_the_memtable() {
    let mut world = World::new();
    for n in 0..20 {
        world.commit(
            &did(n),
            "app.test.good",
            &format!("k{n}"),
            Some(r#"{"n":0}"#),
        );
    }
    let text = "x".repeat(200_000);
    for n in 0..200 {
        let record = format!(r#"{{"text":"{text}"}}"#);
        world.commit(&did(n), &format!("zzz.junk.n{n}"), "self", Some(&record));
    }
    let good = |world: &World| {
        world
            .snapshot()
            .sample_records("app.test.good", 42)
            .unwrap()
            .len()
    };
    let before = good(&world);
    world.commit(&did(1), "app.test.good", "last", Some(r#"{"n":1}"#));
    let after = good(&world);
    world.writer().seal().unwrap();
    let sealed = good(&world);
    assert!(
        before > 0 && after > 0 && sealed > 0,
        "{before} {after} {sealed}"
    );
}

/// Review: the store is filled by one-off collections, once; no collection gets a sample after that, and merges drop
/// those of other quiet collections.
#[test]
fn a_store_full_of_one_off_records_still_takes_new_samples() {
    let mut options = plain_options();
    options.samples_limit = 1 << 20;
    let mut world = World::with(options);
    let mut random = Random(7);
    world.commit(&did(1), "app.test.month", "self", Some(r#"{"n":0}"#));
    let mut n = 0;
    for (count, bytes) in [(200, 60_000), (200, 6_000), (200, 1_000), (1_000, 60)] {
        for _ in 0..count {
            n += 1;
            let record = format!(r#"{{"text":"{}"}}"#, noise(&mut random, bytes));
            world.commit(&did(n), &format!("zzz.junk.n{n}"), "self", Some(&record));
            if n % 20 == 0 {
                world.writer().seal().unwrap();
                world.merge();
            }
        }
    }
    let junk = |world: &World| world.snapshot().sample_collections(0).unwrap().len();
    eprintln!(
        "junk collections {} bytes {}",
        junk(&world),
        world.sample_bytes()
    );
    let mut shown = Vec::new();
    for round in 0..30 {
        world.commit(
            &did(round),
            &format!("app.test.quiet{round}"),
            "self",
            Some(r#"{"n":0}"#),
        );
        for n in 0..50 {
            let record = format!(r#"{{"n":{n}, "text":"{}"}}"#, noise(&mut random, 1000));
            world.commit(
                &did(n),
                "app.test.busy",
                &format!("k{round}-{n}"),
                Some(&record),
            );
        }
        world.writer().seal().unwrap();
        world.merge();
        let of = |name: &str| world.snapshot().sample_records(name, 64).unwrap().len();
        shown.push((
            of("app.test.busy"),
            of(&format!("app.test.quiet{round}")),
            junk(&world),
            world.sample_bytes(),
        ));
    }
    eprintln!("{shown:?}");
    let quiet = (0..30).filter(|n| {
        !world
            .snapshot()
            .sample_records(&format!("app.test.quiet{n}"), 1)
            .unwrap()
            .is_empty()
    });
    let quiet = quiet.count();
    let (busy, ..) = *shown.last().unwrap();
    let month = world
        .snapshot()
        .sample_records("app.test.month", 1)
        .unwrap()
        .len();
    assert!(
        busy > 0 && quiet == 30 && month == 1,
        "busy {busy}, quiet {quiet} of 30, month {month}"
    );
}

/// Review: samples that are dead in newer segments count as if they were there.
#[test]
fn a_merge_keeps_a_live_sample_beside_dead_ones() {
    let mut world = World::new();
    world.commit(&did(1), "app.test.a", "quiet", Some(r#"{"n":0}"#));
    for n in 0..3 {
        world.commit(&did(2), "app.test.other", &format!("k{n}"), Some("{}"));
        world.writer().seal().unwrap();
    }
    for n in 0..64 {
        world.commit(
            &did(3),
            "app.test.a",
            &format!("spam{n}"),
            Some(r#"{"n":1}"#),
        );
    }
    world.writer().seal().unwrap();
    for n in 0..64 {
        world.commit(&did(3), "app.test.a", &format!("spam{n}"), None);
    }
    world.writer().seal().unwrap();
    let rkeys = |world: &World| -> Vec<String> {
        let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
        records.into_iter().map(|record| record.rkey).collect()
    };
    assert_eq!(rkeys(&world), ["quiet"]);
    world.merge();
    assert_eq!(rkeys(&world), ["quiet"]);
}

/// Review: a second create of a key whose first record had no links, too long to be a sample.
#[test]
fn a_second_create_ends_the_sample_of_a_record_without_links() {
    let mut world = World::new();
    world.commit(&did(1), "app.test.a", "one", Some(r#"{"n":0}"#));
    world.writer().seal().unwrap();
    // As after a gap: the delete was never seen.
    world.model.live.clear();
    let long = format!(
        r#"{{"subject":"https://example.com/","text":"{}"}}"#,
        "x".repeat(300_000)
    );
    world.commit(&did(1), "app.test.a", "one", Some(&long));
    let records = world.snapshot().sample_records("app.test.a", 9).unwrap();
    assert!(records.is_empty(), "{}", records.len());
}
