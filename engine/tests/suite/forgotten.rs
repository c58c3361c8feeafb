//! What only one account made is gone once the account is deleted and its segments are compacted: rows, keys,
//! forward links, targets, paths, collections and samples, from every section and file. The same for single records.
//!
//! Two stores live through the same events, but in one of them the records of the account in question hold no
//! link. Section by section their segments end the same, which is stronger than looking for what might be left;
//! that is looked for too. What stays of the account is its DID with the state that says it is deleted, and the
//! DIDs it linked to: accounts are numbered, and numbers stay. So do counts of events by collection and hour.
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_formats::chunks::SealedFile;
use orrery_formats::segment::{self, Sample, Segment, TargetRef};

/// Records of the account in question.
const RECORDS: u64 = 300;
/// Records of all others.
const OTHERS: u64 = 600;
const GHOST: &str = "did:plc:ghostghostghostghostghos";
const LIKE: &str = "app.test.like";
const SHARED: &str = "https://shared.example/page";
/// In everything that only the account in question made, and in nothing else.
const TOKENS: &[&str] = &["ghost"];
/// In everything that only its links hold.
const LINK_TOKENS: &[&str] = &["ghostpath", "ghost.example", "ghost.target"];

fn time_us(place: u64) -> u64 {
    1_793_491_200_000_000 + place * 1_000_000
}

fn other(n: u64) -> String {
    let letter = char::from(b'a' + (n % 20) as u8);
    format!("did:plc:{}", letter.to_string().repeat(24))
}

/// An account that only the one in question links to.
fn ghost_target(n: u64) -> String {
    let digits = [n / 64 % 8, n / 8 % 8, n % 8];
    let letters = digits.map(|digit| char::from(b'h' + digit as u8));
    format!("did:plc:{}{}", "z".repeat(21), String::from_iter(letters))
}

/// A sortable key of that moment.
fn tid(place: u64) -> String {
    let tid = orrery_links::syntax::Tid::from_u64(time_us(place) << 10);
    tid.unwrap().to_string()
}

/// The key of a record of the account in question: a word, a key of its time, or one of another time.
fn ghost_key(n: u64) -> String {
    match n % 3 {
        0 => format!("ghost-key-{n}"),
        1 => tid(n),
        _ => tid(n + 100_000_000),
    }
}

fn ghost_collection(n: u64) -> String {
    if n.is_multiple_of(5) {
        format!("app.ghost.made{}", n % 20)
    } else {
        LIKE.to_owned()
    }
}

fn ghost_record(n: u64) -> String {
    let target = match n % 6 {
        0 => format!("https://ghost.example/page/{n}"),
        1 => format!("at://{}/app.ghost.target/ghost-{n}", ghost_target(n)),
        2 => format!("at://{}/app.test.post/{}", other(n), tid(n + 200_000_000)),
        3 => ghost_target(n),
        4 => other(n),
        _ => SHARED.to_owned(),
    };
    // A long list of its own, a path of its own, and a link that all have.
    format!(
        r#"{{"subject":"{target}","ghostpath{}":"https://ghost.example/all","shared":"{SHARED}"}}"#,
        n % 7
    )
}

/// A store that lives through the history, in which the account in question links or not.
struct World {
    dir: tempfile::TempDir,
    store: Store,
    writer: Writer,
    links: bool,
    place: u64,
}

impl World {
    fn new(links: bool, fan_in: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.compact = false;
        options.compact_share = 1.0;
        options.compact_fan_in = fan_in;
        options.disk_reserve = 0;
        // The log's window is trimmed as far as it can be.
        options.log_bytes_max = 0;
        let store = Store::open(dir.path(), options).unwrap();
        let writer = store.writer().unwrap();
        let mut world = Self {
            dir,
            store,
            writer,
            links,
            place: 0,
        };
        // All accounts get their numbers first, so that they have the same in both stores.
        world.account(GHOST, true, None);
        for n in 0..20 {
            world.commit(
                &other(n),
                LIKE,
                "first",
                Some(r#"{"shared":"did:plc:none"}"#),
            );
        }
        for n in 0..512 {
            let record = format!(r#"{{"subject":"{}"}}"#, ghost_target(n));
            world.commit(&other(0), LIKE, "first", Some(&record));
        }
        world.commit(&other(0), LIKE, "first", Some("{}"));
        world
    }

    fn apply(&mut self, did: &str, body: Body<'_>) {
        let time_us = time_us(self.place);
        let applied = self.writer.apply(&Event { time_us, did, body });
        applied.unwrap();
        self.place += 1;
    }

    fn commit(&mut self, did: &str, collection: &str, rkey: &str, record: Option<&str>) {
        let operation = match record {
            Some(record) => Operation::Update(Record {
                cid: "",
                encoding: Encoding::Json,
                body: record.as_bytes(),
            }),
            None => Operation::Delete,
        };
        let body = Body::Commit {
            rev: time_us(self.place) << 10,
            collection,
            rkey,
            operation,
        };
        self.apply(did, body);
    }

    fn account(&mut self, did: &str, active: bool, status: Option<&str>) {
        let seq = self.place + 1;
        self.apply(
            did,
            Body::Account {
                seq,
                active,
                status,
            },
        );
    }

    /// Writes records of all, with `seals` seals between them.
    fn write(&mut self, seals: u64) {
        for n in 0..OTHERS {
            let record = format!(
                r#"{{"subject":"{}","shared":"{SHARED}"}}"#,
                other(n * 7 + 1)
            );
            self.commit(&other(n), LIKE, &format!("key-{n}"), Some(&record));
            if n.is_multiple_of(OTHERS / RECORDS) {
                let n = n * RECORDS / OTHERS;
                let record = ghost_record(n);
                let record = if self.links { &record } else { "{}" };
                self.commit(GHOST, &ghost_collection(n), &ghost_key(n), Some(record));
            }
            if (n + 1).is_multiple_of(OTHERS / seals) {
                self.writer.seal().unwrap();
            }
        }
    }

    /// Something new of others, so that there is something to seal.
    fn pass_time(&mut self) {
        let key = format!("later-{}", self.place);
        let record = format!(r#"{{"shared":"{SHARED}"}}"#);
        self.commit(&other(1), LIKE, &key, Some(&record));
        self.writer.seal().unwrap();
    }

    fn segments(&self) -> Vec<Segment> {
        let dir = self.dir.path().join("segments");
        let mut names: Vec<String> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let open = |name: &String| {
            let bytes = fs::read(dir.join(name)).unwrap();
            let versions = segment::VERSION..=segment::VERSION;
            let file = SealedFile::open(name.clone(), bytes, segment::KIND, versions).unwrap();
            Segment::open(file).unwrap()
        };
        names.iter().map(open).collect()
    }

    fn compact_full(&mut self) {
        self.writer.compact_full(&mut |_, _| {}).unwrap();
        // Behind it, the log's window begins after all that was deleted.
        self.pass_time();
    }

    /// Names of files that hold a token as it is written, without those of `but`. That a collection was written to is
    /// counted for ever, so its name stays where the counts are.
    fn files_with(&self, tokens: &[&str], but: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_none_or(|kind| kind != "seg")
                    && holds(&fs::read(&path).unwrap(), tokens)
                {
                    found.push(name_of(&path));
                }
            }
        }
        for segment in self.segments() {
            let file = segment.file();
            let sections = file.sections();
            let counted = |id: &u16| segment::section_name(*id) == "collections of buckets";
            let mut others = sections.map(|(id, _)| id).filter(|id| !counted(id));
            if others.any(|id| holds(file.section(id).unwrap().all().unwrap(), tokens)) {
                found.push(file.name().to_owned());
            }
        }
        found.retain(|name| but.is_empty() || !name.ends_with(but));
        found
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn holds(bytes: &[u8], tokens: &[&str]) -> bool {
    let has = |token: &&str| bytes.windows(token.len()).any(|w| w == token.as_bytes());
    tokens.iter().any(has)
}

/// Every text that can be read out of a segment's tables, but for DIDs.
fn texts(segment: &Segment) -> BTreeSet<String> {
    let info = *segment.info();
    let mut texts = BTreeSet::new();
    for row in 0..info.rows {
        texts.insert(segment.collection(row).unwrap().to_owned());
        texts.insert(segment.rkey(row).unwrap().text().to_string());
        for link in segment.links(row).unwrap() {
            texts.insert(segment.path(link.unwrap().path).unwrap().to_owned());
        }
    }
    for path in 0.. {
        let Ok(path) = segment.path(path) else { break };
        texts.insert(path.to_owned());
    }
    for collection in segment.sample_collections().unwrap() {
        let collection = collection.unwrap().name;
        texts.insert(collection.to_owned());
        let mut each = |sample: Sample<'_>| {
            texts.insert(sample.rkey.to_owned());
            texts.insert(String::from_utf8(sample.body.to_owned()).unwrap());
            ControlFlow::Continue(())
        };
        segment.samples(collection, &mut each).unwrap();
    }
    for target in 0..info.targets {
        match segment.target(target).unwrap() {
            TargetRef::Did(actor) => texts.insert(format!("actor {actor}")),
            TargetRef::Record {
                actor,
                collection,
                rkey,
            } => {
                texts.insert(collection.to_owned());
                texts.insert(rkey.text().to_string());
                texts.insert(format!("record of {actor}"))
            }
            TargetRef::Other(text) => texts.insert(text.to_owned()),
        };
        for list in segment.lists_of(target).unwrap() {
            let list = list.unwrap();
            texts.insert(list.collection.to_owned());
            texts.insert(list.path.to_owned());
        }
    }
    texts
}

/// Nothing of the account in question is in `world`, but for hashes of `keys_left` keys of single records that
/// were deleted or emptied; everything else is as in `silent`.
fn assert_forgotten(world: &World, silent: &World, keys_left: usize, tokens: &[&str]) {
    let (found, wanted) = (world.segments(), silent.segments());
    assert_eq!(found.len(), wanted.len());
    let ghost = world.store.snapshot().actor(GHOST).unwrap().unwrap();
    let mut in_filters = 0;
    let mut passed = BTreeSet::new();
    for (found, wanted) in found.iter().zip(&wanted) {
        let texts = texts(found);
        assert!(texts.contains(SHARED), "what others share stays");
        let left: Vec<_> = texts
            .iter()
            .filter(|text| holds(text.as_bytes(), tokens))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(found.actor_rows(ghost).unwrap().count(), 0);
        let keys = found.passed_keys().unwrap().map(Result::unwrap);
        passed.extend(keys.filter(|key| key.actor == ghost));
        for n in 0..RECORDS {
            let (collection, key) = (ghost_collection(n), ghost_key(n));
            found
                .find_rows(ghost, &collection, &key, &mut |row| panic!("row {row}"))
                .unwrap();
            // Of keys from times that the segment has, the filter knows nothing.
            if n % 3 != 1 {
                in_filters += u64::from(found.may_hold_key(ghost, &collection, &key).unwrap());
            }
        }
        let mut infos = [*found.info(), *wanted.info()];
        infos.iter_mut().for_each(|info| info.did_seed = 0);
        assert_eq!(infos[0], infos[1]);
        for (id, _) in wanted.file().sections() {
            let name = segment::section_name(id);
            // The first four depend on the directory's secret, and counts of events never go down.
            if !matches!(
                name,
                "meta"
                    | "DID index"
                    | "passed keys"
                    | "directory of passed keys"
                    | "collections of buckets"
                    | "bucket directory"
                    | "buckets"
            ) {
                let bytes =
                    |segment: &Segment| segment.file().section(id).unwrap().all().unwrap().to_vec();
                assert_eq!(bytes(found), bytes(wanted), "section {name}");
            }
        }
    }
    assert_eq!(passed.len(), keys_left, "of the keys left without a row");
    // By chance, one key in 256 for each segment.
    let asked = found.len() as u64 * RECORDS * 2 / 3;
    assert!(
        in_filters * 256 < asked * 6 + 1024,
        "{in_filters} of {asked}"
    );
    assert_eq!(world.files_with(tokens, ""), Vec::<String>::new());
    let masks = |world: &World| {
        let files = fs::read_dir(world.dir.path().join("masks")).unwrap();
        files.count()
    };
    assert_eq!(masks(world), masks(silent));
    assert_eq!(
        fs::read_dir(world.dir.path().join("scratch"))
            .unwrap()
            .count(),
        0
    );
    world.store.verify().unwrap();
}

/// Runs the same in both stores and compares them.
fn forgets(fan_in: usize, keys_left: u64, live: impl Fn(&mut World)) {
    forgets_all_with(TOKENS, fan_in, keys_left, live);
}

fn forgets_all_with(tokens: &[&str], fan_in: usize, keys_left: u64, live: impl Fn(&mut World)) {
    let mut worlds = [true, false].map(|links| World::new(links, fan_in));
    worlds.iter_mut().for_each(live);
    let [world, silent] = &worlds;
    assert_forgotten(world, silent, keys_left as usize, tokens);
}

/// What is looked for afterwards is there before.
fn assert_remembered(world: &World) {
    if world.links {
        assert!(
            !world.files_with(TOKENS, ".log").is_empty(),
            "in clear text"
        );
        let texts: BTreeSet<String> = world.segments().iter().flat_map(texts).collect();
        for text in [
            "ghost-key-0",
            "app.ghost.made0",
            ".ghostpath1",
            "https://ghost.example/all",
            "ghost-1",
            "app.ghost.target",
        ] {
            assert!(texts.contains(text), "{text}");
        }
        let in_bodies = |text: &String| text.contains(r#","ghostpath"#);
        assert!(texts.iter().any(in_bodies), "samples of the account");
    }
}

#[test]
fn a_full_compaction_forgets_a_deleted_account() {
    forgets(10, 0, |world| {
        world.write(4);
        assert_remembered(world);
        world.account(GHOST, false, Some("deleted"));
        world.compact_full();
    });
}

#[test]
fn a_full_compaction_forgets_an_account_deleted_after_merges_and_a_restriction() {
    forgets(2, 0, |world| {
        world.write(4);
        world.account(GHOST, false, Some("suspended"));
        world.pass_time();
        while world.writer.merge_due().unwrap() {
            world.writer.tick().unwrap();
        }
        assert_remembered(world);
        world.account(GHOST, false, Some("deleted"));
        world.compact_full();
    });
}

#[test]
fn a_full_compaction_forgets_deleted_records() {
    forgets(10, RECORDS, |world| {
        world.write(3);
        assert_remembered(world);
        for n in 0..RECORDS {
            world.commit(GHOST, &ghost_collection(n), &ghost_key(n), None);
        }
        world.compact_full();
    });
}

#[test]
fn a_full_compaction_forgets_what_records_linked_to_before_they_changed() {
    // The records are still there: they are samples of their collections, without links.
    forgets_all_with(LINK_TOKENS, 10, RECORDS, |world| {
        world.write(3);
        for n in 0..RECORDS {
            world.commit(GHOST, &ghost_collection(n), &ghost_key(n), Some("{}"));
        }
        world.compact_full();
    });
}

#[test]
fn a_segment_never_holds_what_was_deleted_and_merged_away_in_the_background() {
    forgets(3, 0, |world| {
        // Two segments with rows of the account, a third with its deletion: one merge.
        world.write(2);
        assert_remembered(world);
        world.account(GHOST, false, Some("deleted"));
        world.pass_time();
        assert!(world.writer.merge_due().unwrap());
        world.writer.tick().unwrap();
        assert_eq!(world.segments().len(), 1);
        world.pass_time();
    });
}

#[test]
fn background_merges_forget_an_account_after_enough_seals() {
    forgets(3, 0, |world| {
        world.write(6);
        while world.writer.merge_due().unwrap() {
            world.writer.tick().unwrap();
        }
        assert_remembered(world);
        world.account(GHOST, false, Some("deleted"));
        // Three more of the lowest level, three of the next.
        for _ in 0..3 {
            world.pass_time();
            while world.writer.merge_due().unwrap() {
                world.writer.tick().unwrap();
            }
        }
        world.pass_time();
    });
}
