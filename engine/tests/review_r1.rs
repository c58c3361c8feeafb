//! Findings of a review, each as a test that fails.
#![expect(clippy::unwrap_used, reason = "a failure is to end the test")]

use std::fs;
use std::path::{Path, PathBuf};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::offline;
use orrery_engine::{Applied, Options, Store, Writer};

const ALICE: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const BOB: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const LIKE: &str = "app.test.like";
const FOLLOW: &str = "app.test.follow";
const SECOND: u64 = 1_000_000;
const START_US: u64 = 1_793_491_200_000_000;
const LINK: &str = r#"{"subject":"https://example.com/a"}"#;
const NO_LINK: &str = r#"{"text":"none"}"#;

#[derive(Debug, Clone, Copy)]
enum Step {
    Write(u64, &'static str, &'static str, &'static str, &'static str),
    Delete(u64, &'static str, &'static str, &'static str),
    Account(u64, &'static str, bool, Option<&'static str>),
}
use Step::{Account, Delete, Write};

fn options() -> Options {
    let mut options = Options::default();
    options.compact = false;
    options.disk_reserve = 0;
    options
}

struct World {
    dir: PathBuf,
    _temp: tempfile::TempDir,
    options: Options,
    open: Option<(Store, Writer)>,
}

impl World {
    fn new(options: Options) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut world = Self {
            dir: temp.path().join("data"),
            _temp: temp,
            options,
            open: None,
        };
        world.restart();
        world
    }

    fn stop(&mut self) {
        if let Some((_, writer)) = &mut self.open {
            writer.commit().unwrap();
        }
        self.open = None;
    }

    fn restart(&mut self) {
        self.stop();
        let store = Store::open(&self.dir, self.options.clone()).unwrap();
        let writer = store.writer().unwrap();
        self.open = Some((store, writer));
    }

    fn writer(&mut self) -> &mut Writer {
        &mut self.open.as_mut().unwrap().1
    }

    fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().0
    }

    fn live_links(&self) -> u64 {
        self.store().snapshot().totals().live_links
    }

    fn seal(&mut self) {
        self.writer().seal().unwrap();
    }

    fn apply(&mut self, step: Step) -> Applied {
        let commit = |at: u64, did, collection, rkey, operation| {
            let time_us = START_US + at * SECOND;
            let body = Body::Commit {
                rev: time_us << 10,
                collection,
                rkey,
                operation,
            };
            Event { time_us, did, body }
        };
        let event = match step {
            Write(at, did, collection, rkey, record) => {
                let record = Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: record.as_bytes(),
                };
                commit(at, did, collection, rkey, Operation::Update(record))
            }
            Delete(at, did, collection, rkey) => {
                commit(at, did, collection, rkey, Operation::Delete)
            }
            Account(at, did, active, status) => Event {
                time_us: START_US + at * SECOND,
                did,
                body: Body::Account {
                    seq: at,
                    active,
                    status,
                },
            },
        };
        self.writer().apply(&event).unwrap()
    }

    fn all(&mut self, steps: &[Step]) {
        for step in steps {
            let applied = self.apply(*step);
            assert_ne!(applied, Applied::Repeat, "{step:?}");
        }
    }

    fn files(&self, below: &str, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join(below)).unwrap();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(suffix))
            .collect();
        files.sort();
        files
    }

    /// Cuts the segment at `place`, and gives what it held.
    fn cut(&mut self, place: usize) -> (PathBuf, Vec<u8>) {
        self.stop();
        let path = self.files("segments", ".seg").remove(place);
        let sound = fs::read(&path).unwrap();
        fs::write(&path, &sound[..100]).unwrap();
        (path, sound)
    }
}

fn log_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("log")).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// 1. The state of an actor stands in the segment that is set aside, so that its newest rev is an older one and every
/// repeat looks new, although the window knows the key.
#[test]
fn what_comes_again_while_a_segment_is_set_aside_changes_nothing_once_it_is_back() {
    let mut world = World::new(options());
    world.all(&[Write(1, ALICE, LIKE, "a", LINK)]);
    world.seal();
    let life = [
        Write(2, ALICE, LIKE, "x", LINK),
        Delete(3, ALICE, LIKE, "x"),
    ];
    world.all(&life);
    world.seal();
    let (path, sound) = world.cut(1);
    world.restart();
    assert_eq!(world.store().status().degraded.len(), 1);
    // The source goes back a little at each start; the process is killed after the first event.
    let first = world.apply(life[0]);
    world.stop();
    fs::write(&path, &sound).unwrap();
    world.restart();
    assert_eq!(world.store().status().degraded, []);
    // It goes on from its cursor, which is before the delete.
    let second = world.apply(life[1]);
    assert_eq!(
        (world.live_links(), first, second),
        (1, Applied::Repeat, Applied::Repeat),
        "a deleted record is back, and no answer is marked"
    );
}

/// 1b. The same of account events: a deletion from before the account came back kills what it wrote since, for good.
#[test]
fn a_deletion_that_comes_again_while_a_segment_is_set_aside_deletes_nothing_once_it_is_back() {
    let mut world = World::new(options());
    world.all(&[Write(1, ALICE, LIKE, "a", LINK)]);
    world.seal();
    let life = [
        Account(2, ALICE, false, Some("deleted")),
        Account(3, ALICE, true, None),
        Write(4, ALICE, LIKE, "b", LINK),
        Write(5, ALICE, LIKE, "c", LINK),
    ];
    world.all(&life);
    world.seal();
    assert_eq!(world.live_links(), 2);
    let (path, sound) = world.cut(1);
    world.restart();
    let first = world.apply(life[0]);
    world.stop();
    fs::write(&path, &sound).unwrap();
    world.restart();
    assert_eq!(world.store().status().degraded, []);
    // All of it comes again.
    for step in life {
        world.apply(step);
    }
    assert_eq!((world.live_links(), first), (2, Applied::Repeat));
}

/// 2. A replay of segments reads one that is set aside and that events were sealed without.
#[test]
fn a_replay_of_segments_says_what_it_does_not_know() {
    let mut world = World::new(options());
    world.all(&[Write(1, ALICE, LIKE, "a", LINK)]);
    world.seal();
    world.all(&[Write(2, ALICE, LIKE, "x", LINK)]);
    world.seal();
    let (path, sound) = world.cut(1);
    world.restart();
    world.all(&[Delete(5, ALICE, LIKE, "x")]);
    world.seal();
    world.stop();
    fs::write(&path, &sound).unwrap();
    world.restart();
    assert_eq!(
        world.store().status().degraded.len(),
        1,
        "it stays set aside"
    );
    world.stop();
    let to = world.dir.with_file_name("new");
    let Ok(_) = offline::replay_segments(&world.dir, &to, options()) else {
        return;
    };
    let store = Store::open(&to, options()).unwrap();
    let live = store.snapshot().totals().live_links;
    assert!(
        live == 1 || !store.status().degraded.is_empty(),
        "{live} links live in place of 1, and no answer is marked"
    );
}

/// 3. A key index made anew from a log file with damage lacks keys, and the window claims to know them.
#[test]
fn a_window_with_a_damaged_log_file_does_not_claim_to_know_its_keys() {
    let mut world = World::new(options());
    let life = [
        Write(1, ALICE, LIKE, "x", LINK),
        Delete(2, ALICE, LIKE, "x"),
    ];
    world.all(&life);
    world.seal();
    world.all(&[Write(3, ALICE, LIKE, "y", LINK)]);
    world.seal();
    world.stop();
    let log = world.files("log", ".log").remove(0);
    let mut bytes = fs::read(&log).unwrap();
    bytes[100] ^= 0x55;
    fs::write(&log, &bytes).unwrap();
    // Derived: may be removed at any time.
    for keys in world.files("log", ".keys") {
        fs::remove_file(keys).unwrap();
    }
    world.restart();
    assert_eq!(world.store().status().gaps, []);
    let applied = world.apply(life[0]);
    assert_eq!((applied, world.live_links()), (Applied::Repeat, 1));
}

/// 4. A deletion that comes with an older file reaches 10 minutes beyond itself.
#[test]
fn who_comes_back_after_a_deletion_counts_again_though_newer_events_of_others_are_indexed() {
    let mut world = World::new(options());
    world.all(&[Write(100_000, ALICE, LIKE, "a", LINK)]);
    world.all(&[
        Write(1, BOB, LIKE, "b", LINK),
        Account(2, BOB, false, Some("deleted")),
        Account(3, BOB, true, None),
    ]);
    let applied = world.apply(Write(60, BOB, LIKE, "c", LINK));
    assert_ne!(applied, Applied::Repeat);
    assert_eq!(world.live_links(), 2);
}

/// 5. An event that is newer than all of its key is taken for a repeat.
#[test]
fn an_event_newer_than_all_of_its_key_is_new_though_its_file_is_loaded_late() {
    let mut options = options();
    options.log_bytes_max = 0;
    let mut world = World::new(options);
    world.all(&[Write(1, ALICE, LIKE, "self", NO_LINK)]);
    world.all(&[Write(5_000, ALICE, FOLLOW, "f", LINK)]);
    world.seal();
    let applied = world.apply(Write(2_000, ALICE, LIKE, "self", LINK));
    assert_ne!(applied, Applied::Repeat);
    assert_eq!(world.live_links(), 2);
}

/// 6. Ten missing segments end a backup.
#[test]
fn a_backup_of_a_directory_that_misses_many_segments_names_them() {
    let mut world = World::new(options());
    for at in 1..=13 {
        world.all(&[Write(
            at,
            ALICE,
            LIKE,
            ["a", "b", "c"][at as usize % 3],
            LINK,
        )]);
        world.seal();
    }
    world.stop();
    for path in world.files("segments", ".seg").iter().skip(1).take(11) {
        fs::remove_file(path).unwrap();
    }
    let to = world.dir.with_file_name("backup");
    let report = offline::backup(&world.dir, &to, false).unwrap();
    assert_eq!(report.incomplete.len(), 11);
}

/// 7. The window keeps at most, not at least, what it had.
#[test]
fn who_only_adds_leaves_the_window_at_least_as_large_as_it_was() {
    let mut world = World::new(options());
    for at in 1..=2_000 {
        world.all(&[Write(
            at,
            ALICE,
            LIKE,
            Box::leak(format!("k{at}").into_boxed_str()),
            LINK,
        )]);
    }
    world.seal();
    world.stop();
    let before = log_bytes(&world.dir);
    world.options.log_keeps_bytes = true;
    world.options.log_bytes_max = before / 2;
    world.restart();
    world.all(&[Write(3_000, ALICE, LIKE, "z", LINK)]);
    world.seal();
    world.stop();
    let after = log_bytes(&world.dir);
    assert!(after >= before, "{after} bytes in place of {before}");
}
