//! Readers of the link stream over a store: large accounts, cursors ahead of the store, joining a live stream.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;

use orrery_engine::event::{Body, Encoding, Event, Operation as Written, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::stream::{Cause, Forms, Operation, Origin, Read, Reader, Start, Step};
use tempfile::TempDir;

const START_US: u64 = 1_793_491_200_000_000;

struct World {
    _directory: TempDir,
    store: Store,
    writer: Writer,
    events: u64,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.compact = false;
        let store = Store::open(directory.path(), options).unwrap();
        let writer = store.writer().unwrap();
        Self {
            _directory: directory,
            store,
            writer,
            events: 0,
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
        Reader::open(&self.store, start, Forms::ALL, false).unwrap()
    }
}

fn read_all(reader: &mut Reader) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let read = reader.read(100, None, 0, &mut |step| steps.push(step));
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
    let mut live = Reader::live(&world.store, Forms::CHANGES, false).unwrap();
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
        // It may not go on where the others stand, who will see events that it has seen.
        assert_eq!(seqs(&read_all(reader)), [0; 0]);
        assert!(!reader.joins(next));
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
    assert!(near.joins(next + 3) && behind.joins(next + 3));
}

#[test]
fn a_cursor_within_an_event_does_not_join_before_it_got_the_rest() {
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
    // Those who are told of every event as it comes have not been told of this one.
    let read = reader.read(10, Some(last), 0, &mut |step| steps.push(step));
    assert_eq!((read.unwrap(), steps.len()), (Read::CaughtUp, 0));
    assert_eq!(reader.next_seq(), last);
    assert!(!reader.joins(last));
    reader
        .read(10, Some(last + 1), 0, &mut |step| steps.push(step))
        .unwrap();
    assert_eq!(steps[0].changes.len(), 1);
    assert_eq!(steps[0].changes[0].index, 1);
    assert!(reader.joins(last + 1));
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

#[test]
fn a_delayed_live_stream_begins_with_what_would_still_be_held() {
    let mut world = World::new();
    for i in 0..40 {
        world.write("did:plc:a", &format!("k{i}"), &["did:plc:x".to_owned()]);
    }
    let mut live = Reader::live(&world.store, Forms::ALL, true).unwrap();
    let steps = read_all(&mut live);
    // Events are a second apart: the 21 newest wait.
    assert!(steps.iter().all(|step| step.seq <= 19), "{steps:?}");
    assert_eq!(live.next_seq(), 20);
    let mut steps = Vec::new();
    live.read(10, None, 30_000_000, &mut |step| steps.push(step))
        .unwrap();
    assert_eq!(steps.len(), 21);
    assert_eq!(live.next_seq(), 41);
}
