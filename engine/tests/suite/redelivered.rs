//! Events that come again after the log's window has lost them, or that were not selected when they came first:
//! what was applied moves nothing, and what was not is new.
use std::fs;
use std::path::PathBuf;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Options, Store, Writer};

const ALICE: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const BOB: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
const LIKE: &str = "app.test.like";
const FOLLOW: &str = "app.test.follow";
const SECOND: u64 = 1_000_000;
const START_US: u64 = 1_793_491_200_000_000;

/// An event of the second `at`.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(u64, &'static str, &'static str, &'static str, &'static str),
    Delete(u64, &'static str, &'static str, &'static str),
    Account(u64, &'static str, bool, Option<&'static str>),
}

use Step::{Account, Delete, Write};

const LINK: &str = r#"{"subject":"https://example.com/a"}"#;
const OTHER_LINK: &str = r#"{"subject":"https://example.com/b"}"#;
const NO_LINK: &str = r#"{"text":"none"}"#;

struct World {
    dir: tempfile::TempDir,
    options: Options,
    open: Option<(Store, Writer)>,
}

impl World {
    /// A store that keeps no more of the log than it must after each seal, or all of it.
    fn new(keeps_log: bool) -> Self {
        let mut options = Options::default();
        options.compact = false;
        options.disk_reserve = 0;
        if !keeps_log {
            options.log_bytes_max = 0;
        }
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
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
        let store = Store::open(self.dir.path(), self.options.clone()).unwrap();
        let writer = store.writer().unwrap();
        self.open = Some((store, writer));
    }

    fn writer(&mut self) -> &mut Writer {
        &mut self.open.as_mut().unwrap().1
    }

    fn live_links(&self) -> u64 {
        self.open.as_ref().unwrap().0.snapshot().totals().live_links
    }

    fn apply(&mut self, step: Step) -> Applied {
        let commit = |at: u64, did, collection, rkey, operation| {
            let time_us = START_US + at * SECOND;
            let rev = time_us << 10;
            let body = Body::Commit {
                rev,
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

    fn all_new(&mut self, steps: &[Step]) {
        for step in steps {
            let applied = self.apply(*step);
            assert!(
                matches!(applied, Applied::New { .. } | Applied::Unchanged { .. }),
                "{step:?} is {applied:?}"
            );
        }
    }

    fn all_repeats(&mut self, steps: &[Step]) {
        let before = self.live_links();
        for step in steps {
            assert_eq!(self.apply(*step), Applied::Repeat, "{step:?}");
            assert_eq!(self.live_links(), before, "after {step:?}");
        }
    }

    /// The files in that directory of the store, by name.
    fn files(&self, below: &str, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join(below)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = paths
            .filter(|path| path.to_str().unwrap().ends_with(suffix))
            .collect();
        files.sort();
        files
    }

    fn seal(&mut self) {
        self.writer().seal().unwrap();
    }

    fn compact(&mut self) {
        self.writer().compact_full(&mut |_, _| {}).unwrap();
    }
}

/// Each way in which an event leaves its key, with and without a row.
const LIFE: [Step; 14] = [
    Write(10, ALICE, LIKE, "deleted", LINK),
    Write(20, ALICE, LIKE, "changed", LINK),
    Write(30, ALICE, LIKE, "emptied", LINK),
    Write(40, ALICE, LIKE, "same", LINK),
    Write(50, ALICE, LIKE, "filled", NO_LINK),
    Write(60, ALICE, LIKE, "empty", NO_LINK),
    Delete(70, ALICE, LIKE, "never seen"),
    Delete(80, ALICE, LIKE, "deleted"),
    Write(90, ALICE, LIKE, "changed", OTHER_LINK),
    Write(100, ALICE, LIKE, "emptied", NO_LINK),
    Write(110, ALICE, LIKE, "same", LINK),
    Write(120, ALICE, LIKE, "filled", LINK),
    Write(130, ALICE, LIKE, "empty", NO_LINK),
    Write(140, ALICE, FOLLOW, "last", LINK),
];

#[test]
fn every_kind_of_event_is_known_again_without_its_log_and_its_rows() {
    for seals in 1..=LIFE.len() {
        let mut world = World::new(false);
        for steps in LIFE.chunks(LIFE.len().div_ceil(seals)) {
            world.all_new(steps);
            world.seal();
        }
        world.all_repeats(&LIFE);
        world.compact();
        world.all_repeats(&LIFE);
        world.restart();
        world.all_repeats(&LIFE);
        assert_eq!(world.live_links(), 4);
        // What comes later is new, whatever its key went through.
        for (at, rkey) in (200..).zip(["deleted", "same", "emptied", "never seen", "unheard of"]) {
            world.all_new(&[Write(at, ALICE, LIKE, rkey, OTHER_LINK)]);
        }
        assert_eq!(world.live_links(), 8);
    }
}

#[test]
fn account_events_are_known_again_after_a_restart_and_get_no_seq() {
    for keeps_log in [true, false] {
        for seals in [true, false] {
            let mut world = World::new(keeps_log);
            let steps = [
                Write(10, ALICE, LIKE, "one", LINK),
                Account(20, ALICE, false, Some("suspended")),
                Account(30, ALICE, true, None),
                Account(40, ALICE, false, Some("deleted")),
                Write(50, ALICE, LIKE, "two", LINK),
                // Of an account that never wrote anything.
                Account(60, BOB, false, Some("takendown")),
                Write(70, BOB, LIKE, "one", LINK),
            ];
            world.all_new(&steps);
            if seals {
                world.seal();
            }
            world.restart();
            let next_seq = |world: &World| world.open.as_ref().unwrap().0.next_seq();
            let before = next_seq(&world);
            world.all_repeats(&steps);
            assert_eq!(next_seq(&world), before);
            assert_eq!(world.live_links(), 1);
        }
    }
}

#[test]
fn an_event_in_the_memtable_is_known_again_though_the_window_lost_its_key() {
    let mut world = World::new(false);
    world.all_new(&[Write(5, ALICE, LIKE, "other", LINK)]);
    world.seal();
    world.all_new(&LIFE);
    world.all_repeats(&LIFE);
    world.restart();
    world.all_repeats(&LIFE);
}

#[test]
fn a_deleted_account_stays_deleted_when_its_events_come_again() {
    let mut life = vec![
        Write(1, BOB, LIKE, "kept", LINK),
        Write(2, BOB, LIKE, "deleted", LINK),
        Write(3, BOB, LIKE, "empty", NO_LINK),
        Delete(4, BOB, LIKE, "deleted"),
        Account(5, BOB, false, Some("deleted")),
        Write(6, ALICE, LIKE, "a", LINK),
    ];
    for seals in 1..=life.len() {
        let mut world = World::new(false);
        for steps in life.chunks(life.len().div_ceil(seals)) {
            world.all_new(steps);
            world.seal();
        }
        world.all_repeats(&life);
        world.compact();
        world.all_repeats(&life);
        world.restart();
        world.all_repeats(&life);
        assert_eq!(world.live_links(), 1);
    }
    // Who comes back counts again.
    life.extend([
        Account(7, BOB, true, None),
        Write(8, BOB, LIKE, "kept", LINK),
        Delete(9, BOB, LIKE, "empty"),
    ]);
    let mut world = World::new(false);
    for step in &life {
        world.all_new(&[*step]);
        world.seal();
    }
    world.compact();
    world.all_repeats(&life);
    assert_eq!(world.live_links(), 2);
}

/// The collections of likes are selected only when the same events are loaded again.
#[test]
fn events_selected_later_count_unless_their_account_was_deleted_behind_them() {
    let follows = [
        Write(1, ALICE, FOLLOW, "a", LINK),
        Account(8, BOB, false, Some("deleted")),
    ];
    let likes_of_bob = [
        Write(2, BOB, LIKE, "b", LINK),
        Write(3, BOB, LIKE, "c", LINK),
        Delete(4, BOB, LIKE, "c"),
    ];
    let likes_of_alice = [
        Write(5, ALICE, LIKE, "d", LINK),
        Write(6, ALICE, LIKE, "e", LINK),
        Delete(7, ALICE, LIKE, "e"),
    ];
    for keeps_log in [true, false] {
        for seals in [true, false] {
            let mut world = World::new(keeps_log);
            world.all_new(&follows);
            if seals {
                world.seal();
                world.compact();
            }
            world.all_repeats(&likes_of_bob);
            world.all_new(&likes_of_alice);
            assert_eq!(world.live_links(), 2);
            if seals {
                world.seal();
                world.compact();
            }
            for steps in [&follows[..], &likes_of_bob, &likes_of_alice] {
                world.all_repeats(steps);
            }
        }
    }
}

/// What the window holds at last is older than what it lost.
#[test]
fn a_later_file_loaded_first_is_known_again() {
    let later = [
        Write(5_000, ALICE, LIKE, "a", LINK),
        Write(5_001, ALICE, LIKE, "b", LINK),
        Delete(5_002, ALICE, LIKE, "a"),
    ];
    let earlier = [
        Write(10, ALICE, LIKE, "c", LINK),
        Write(11, BOB, LIKE, "d", LINK),
        Write(12, BOB, LIKE, "e", LINK),
    ];
    let mut world = World::new(false);
    for steps in [&later, &earlier] {
        world.all_new(steps);
        world.seal();
    }
    world.all_new(&[Write(13, BOB, LIKE, "f", LINK)]);
    world.compact();
    world.all_repeats(&later);
    world.all_repeats(&earlier);
    world.restart();
    world.all_repeats(&later);
    world.all_repeats(&earlier);
}

#[test]
fn events_of_a_log_file_that_was_damaged_later_are_known_again() {
    for damaged in 0..2 {
        let mut world = World::new(true);
        for steps in LIFE.chunks(LIFE.len() / 2) {
            world.all_new(steps);
            world.seal();
        }
        world.all_new(&[Write(200, ALICE, LIKE, "later", LINK)]);
        world.seal();
        world.stop();
        let log = world.files("log", ".log").remove(damaged);
        let mut bytes = fs::read(&log).unwrap();
        bytes[100] ^= 0x55;
        fs::write(&log, &bytes).unwrap();
        for keys in world.files("log", ".keys") {
            fs::remove_file(keys).unwrap();
        }
        for _ in 0..2 {
            world.restart();
            world.all_repeats(&LIFE);
        }
        world.all_new(&[Write(201, ALICE, LIKE, "deleted", LINK)]);
    }
}

/// Other accounts have newer events already, in the memtable or in segments.
#[test]
fn who_comes_back_after_a_deletion_that_was_loaded_late_counts_again() {
    for seals in [false, true] {
        let mut world = World::new(true);
        world.all_new(&[Write(100_000, ALICE, LIKE, "a", LINK)]);
        let life = [
            Write(1, BOB, LIKE, "b", LINK),
            Account(2, BOB, false, Some("deleted")),
            Account(3, BOB, true, None),
            Write(60, BOB, LIKE, "c", LINK),
        ];
        for step in &life {
            if seals {
                world.seal();
            }
            world.all_new(&[*step]);
        }
        world.all_repeats(&[life[0], life[3]]);
        assert_eq!(world.live_links(), 2);
    }
}

#[test]
fn a_deletion_stands_behind_all_that_its_account_wrote_though_times_are_out_of_order() {
    let late = [
        Write(70, BOB, LIKE, "b", LINK),
        Write(80, BOB, LIKE, "c", LINK),
        Delete(90, BOB, LIKE, "c"),
    ];
    for seals in [false, true] {
        for keeps in 1..=late.len() {
            let mut world = World::new(false);
            world.all_new(&late[..keeps]);
            if seals {
                world.seal();
            }
            world.all_new(&[Account(60, BOB, false, Some("deleted"))]);
            world.seal();
            world.compact();
            world.all_repeats(&late[..keeps]);
            assert_eq!(world.live_links(), 0);
        }
    }
}

/// A segment keeps of a key without a row only that there was an event within its time.
#[test]
fn an_event_out_of_order_of_a_key_without_a_row_is_new_only_behind_the_segment() {
    let mut world = World::new(false);
    world.all_new(&[
        Write(10, ALICE, LIKE, "empty", NO_LINK),
        Write(20, ALICE, LIKE, "row", LINK),
        Write(5_000, ALICE, FOLLOW, "last", LINK),
    ]);
    world.seal();
    world.all_new(&[Write(6_000, ALICE, FOLLOW, "more", LINK)]);
    // Newer than all of its key, in a file that is loaded late.
    world.all_repeats(&[Write(2_000, ALICE, LIKE, "empty", LINK)]);
    world.all_new(&[
        Write(2_000, ALICE, LIKE, "row", OTHER_LINK),
        Write(2_000, ALICE, LIKE, "unheard of", LINK),
        Write(5_500, ALICE, LIKE, "empty", LINK),
    ]);
}
