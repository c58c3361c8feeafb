//! Readers of the link stream over a store: large accounts, cursors ahead of the store, joining a live stream.
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use orrery_engine::event::{Body, Encoding, Event, Operation as Written, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::stream::{Cause, Forms, Info, Operation, Origin, Read, Reader, Start, Step};
use tempfile::TempDir;

const START_US: u64 = 1_793_491_200_000_000;

struct World {
    directory: TempDir,
    options: Options,
    store: Store,
    writer: Writer,
    events: u64,
}

impl World {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(mut options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        options.compact = false;
        let store = Store::open(directory.path(), options.clone()).unwrap();
        let writer = store.writer().unwrap();
        Self {
            directory,
            options,
            store,
            writer,
            events: 0,
        }
    }

    /// Stops and starts, which takes from memory what the log does not have.
    fn reopen(self) -> Self {
        let Self {
            directory,
            options,
            store,
            writer,
            events,
        } = self;
        writer.close().unwrap();
        drop(store);
        let store = Store::open(directory.path(), options.clone()).unwrap();
        let writer = store.writer().unwrap();
        Self {
            directory,
            options,
            store,
            writer,
            events,
        }
    }

    fn apply(&mut self, did: &str, body: Body<'_>) {
        self.events += 1;
        let event = Event {
            time_us: START_US + self.events * 1_000_000,
            did,
            body,
        };
        self.writer.apply(&event).unwrap();
    }

    fn write(&mut self, did: &str, rkey: &str, targets: &[String]) {
        let record = serde_json::json!({ "a": targets }).to_string();
        let body = Body::Commit {
            rev: (START_US + self.events) << 10,
            collection: "c.d.e",
            rkey,
            operation: Written::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: record.as_bytes(),
            }),
        };
        self.apply(did, body);
    }

    fn account(&mut self, did: &str, active: bool, status: Option<&str>) {
        let seq = self.events + 1;
        self.apply(
            did,
            Body::Account {
                seq,
                active,
                status,
            },
        );
    }

    fn reader(&self, start: Start) -> Reader {
        Reader::open(&self.store, start, Forms::ALL).unwrap()
    }
}

fn read_all(reader: &mut Reader) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let read = reader.read(100, u64::MAX, &mut |step| {
            steps.push(step);
            ControlFlow::Continue(())
        });
        match read.unwrap() {
            Read::More => {}
            Read::CaughtUp => return steps,
            Read::Info(info) => panic!("{info:?}"),
        }
    }
}

/// The links of the steps of one event, each once.
fn links(steps: &[Step], seq: u64, operation: Operation) -> BTreeSet<(String, String)> {
    let steps = steps.iter().filter(|step| step.seq == seq);
    let mut links = BTreeSet::new();
    for change in steps.flat_map(|step| &step.changes) {
        assert_eq!(change.operation, operation);
        let link = (change.source_record.to_string(), change.subject.to_string());
        assert!(links.insert(link), "{change:?}");
    }
    links
}

#[test]
fn an_account_of_more_links_than_an_event_keeps_goes_and_comes_back_whole() {
    let mut world = World::new();
    let did = "did:plc:many";
    let mut expected = BTreeSet::new();
    for record in 0..120 {
        let rkey = format!("k{record}");
        let targets: Vec<String> = (0..150).map(|i| format!("did:plc:t{record}x{i}")).collect();
        for target in &targets {
            expected.insert((format!("at://{did}/c.d.e/{rkey}"), target.clone()));
        }
        world.write(did, &rkey, &targets);
        if record == 60 {
            world.writer.seal().unwrap();
        }
    }
    let mut live = world.reader(Start::Now).live_from(0);
    world.account(did, false, Some("deactivated"));
    world.account(did, true, None);
    world.account(did, false, Some("deleted"));
    let seqs = world.store.next_seq() - 3;
    let steps = read_all(&mut live);
    assert_eq!(links(&steps, seqs, Operation::Delete), expected);
    assert_eq!(links(&steps, seqs + 1, Operation::Create), expected);
    assert_eq!(links(&steps, seqs + 2, Operation::Delete), expected);
    for step in &steps {
        assert!(step.changes.len() <= 1_024 && !step.is_cut);
        for change in &step.changes {
            let expected = match step.seq == seqs + 1 {
                true => (Origin::Replay, None),
                false => (Origin::Live, Some(Cause::Account)),
            };
            assert_eq!((change.origin, change.cause), expected);
        }
    }
    // Broken off behind each step, each follows once.
    let mut reader = world.reader(Start::Seq(seqs)).live_from(0);
    let mut broken: Vec<Step> = Vec::new();
    loop {
        let mut given = 0;
        let read = reader.read(100, u64::MAX, &mut |step| {
            given += 1;
            broken.push(step);
            ControlFlow::Break(())
        });
        if read.unwrap() == Read::CaughtUp {
            break;
        }
        assert!(broken.len() <= steps.len(), "it goes on forward");
        let last = broken.last().unwrap();
        assert_eq!(
            (given, reader.next_seq()),
            (1, last.seq + u64::from(last.is_last))
        );
    }
    assert_eq!(broken, steps);
    // Resumed within such an event, the rest of it follows.
    let all: Vec<(u64, u32)> = (steps.iter())
        .flat_map(|step| step.changes.iter().map(|change| (step.seq, change.index)))
        .collect();
    for cut in [0, 1_023, 1_024, 17_999, 18_000, 30_000] {
        let (seq, index) = all[cut];
        let rest = read_all(&mut world.reader(Start::After { seq, index }));
        let rest: Vec<(u64, u32)> = (rest.iter())
            .flat_map(|step| step.changes.iter().map(|change| (step.seq, change.index)))
            .collect();
        assert_eq!(rest, all[cut + 1..]);
    }
}

#[test]
fn a_cursor_a_little_ahead_is_waited_for_and_one_far_ahead_is_now() {
    let mut world = World::new();
    world.write("did:plc:a", "k1", &["did:plc:x".to_owned()]);
    let next = world.store.next_seq();
    let seqs = |steps: &[Step]| -> Vec<u64> { steps.iter().map(|step| step.seq).collect() };
    let mut near = world.reader(Start::Seq(next + 1));
    let mut behind = world.reader(Start::After {
        seq: next + 1,
        index: 0,
    });
    let mut far = world.reader(Start::Seq(next + 100_000));
    assert_eq!((near.next_seq(), far.next_seq()), (next + 1, next));
    for reader in [&mut near, &mut behind] {
        // It does not stand where the others stand, who will see events that it has seen.
        assert_eq!(seqs(&read_all(reader)), [0; 0]);
        assert_eq!(reader.next_seq(), next + 1);
    }
    for rkey in ["k2", "k3", "k4"] {
        world.write(
            "did:plc:a",
            rkey,
            &["did:plc:x".to_owned(), "did:plc:y".to_owned()],
        );
    }
    assert_eq!(seqs(&read_all(&mut near)), [next + 1, next + 2]);
    assert_eq!(seqs(&read_all(&mut far)), [next, next + 1, next + 2]);
    let steps = read_all(&mut behind);
    let changes: Vec<usize> = steps.iter().map(|step| step.changes.len()).collect();
    assert_eq!(
        (seqs(&steps), changes),
        (vec![next + 1, next + 2], vec![1, 2])
    );
    assert_eq!((near.next_seq(), behind.next_seq()), (next + 3, next + 3));
}

#[test]
fn a_cursor_within_an_event_stands_at_it_until_it_got_the_rest() {
    let mut world = World::new();
    for rkey in ["k1", "k2"] {
        world.write(
            "did:plc:a",
            rkey,
            &["did:plc:x".to_owned(), "did:plc:y".to_owned()],
        );
    }
    let last = world.store.next_seq() - 1;
    let mut reader = world.reader(Start::After {
        seq: last,
        index: 0,
    });
    let mut steps = Vec::new();
    let mut read = |before: u64| {
        let read = reader.read(10, before, &mut |step| {
            steps.push(step);
            ControlFlow::Continue(())
        });
        (read.unwrap(), reader.next_seq(), steps.clone())
    };
    // Those who are told of every event as it comes have not been told of this one.
    assert_eq!(read(last), (Read::CaughtUp, last, Vec::new()));
    let (_, next, steps) = read(last + 1);
    assert_eq!((next, steps.len()), (last + 1, 1));
    assert_eq!(steps[0].changes.len(), 1);
    assert_eq!(steps[0].changes[0].index, 1);
}

/// Seq and subject of all that is told from a place on, with the cursor, and whether the log had that place.
fn told_from(world: &World, start: Start) -> (Vec<(Start, String)>, bool) {
    let mut reader = world.reader(start);
    let (mut told, mut is_in_log) = (Vec::new(), true);
    loop {
        let read = reader.read(1, u64::MAX, &mut |step| {
            for change in step.changes {
                let (seq, index) = (step.seq, change.index);
                told.push((Start::After { seq, index }, change.subject.to_string()));
            }
            ControlFlow::Continue(())
        });
        match read.unwrap() {
            Read::More => {}
            Read::CaughtUp => return (told, is_in_log),
            Read::Info(info) => {
                assert!(matches!(info, Info::OutdatedCursor { .. }), "{info:?}");
                is_in_log = false;
            }
        }
    }
}

#[test]
fn who_came_from_before_the_log_is_told_all_links_of_updates_also_after_a_break() {
    let mut options = Options::default();
    options.log_bytes_max = 0;
    let mut world = World::with(options);
    let links = |of: &[&str]| of.iter().map(|link| (*link).to_owned()).collect::<Vec<_>>();
    world.write("did:plc:a", "k1", &links(&["did:plc:x"]));
    for i in 0..8 {
        world.write("did:plc:b", &format!("k{i}"), &[]);
        world.writer.seal().unwrap();
    }
    let mut world = world.reopen();
    assert!(world.store.log_floor() > 1);
    world.write("did:plc:c", "k1", &links(&["did:plc:z"]));
    // The row that it replaces is no survivor any more.
    world.write("did:plc:a", "k1", &links(&["did:plc:x", "did:plc:y"]));
    let (all, is_in_log) = told_from(&world, Start::Seq(1));
    let subjects: Vec<&str> = all.iter().map(|(_, subject)| &**subject).collect();
    assert!(!is_in_log);
    assert_eq!(subjects, ["did:plc:z", "did:plc:x", "did:plc:y"]);
    // Who told the others no more than what lies before the update will tell only what became different.
    let update = world.store.next_seq() - 1;
    let mut others = world.reader(Start::Seq(update));
    let differences = read_all(&mut others);
    assert_eq!(differences[0].changes.len(), 1);
    // So there one who lacks the rest cannot go on with them, but behind it.
    let mut reader = world.reader(Start::Seq(1));
    for (before, joins) in [(update, false), (update + 1, true)] {
        while reader
            .read(10, before, &mut |_| ControlFlow::Continue(()))
            .unwrap()
            != Read::CaughtUp
        {}
        assert_eq!(reader.next_seq(), before);
        assert_eq!(reader.tells_all_below() <= before, joins);
    }
    for (place, (cursor, _)) in all.iter().enumerate() {
        let (rest, is_in_log) = told_from(&world, *cursor);
        assert!(is_in_log);
        assert_eq!(rest, all[place + 1..], "{cursor}");
    }
}

#[test]
fn what_was_there_at_the_start_is_replayed_and_what_comes_later_is_live() {
    let mut world = World::new();
    world.write("did:plc:a", "k1", &["did:plc:x".to_owned()]);
    let mut reader = world.reader(Start::Seq(1));
    world.write("did:plc:a", "k2", &["did:plc:x".to_owned()]);
    let steps = read_all(&mut reader);
    let origins: Vec<Origin> = steps.iter().map(|step| step.changes[0].origin).collect();
    assert_eq!(origins, [Origin::Replay, Origin::Live]);
}
