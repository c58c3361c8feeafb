//! The link stream without a segment that is set aside: subjects that stood in it cannot be named. All others are told,
//! and that some are missing.
use std::ops::ControlFlow;

use orrery_engine::event::{Body, Encoding, Event, Operation as Written, Record};
use orrery_engine::{Options, Store, Writer};
use orrery_query::stream::{Forms, Info, Operation, Read, Reader, Start, Step};

const START_US: u64 = 1_767_225_600_000_000;

fn apply(writer: &mut Writer, clock: u64, did: &str, body: Body<'_>) {
    let event = Event {
        time_us: START_US + clock * 1_000,
        did,
        body,
    };
    writer.apply(&event).unwrap();
}

fn write(writer: &mut Writer, clock: u64, did: &str, targets: &[String]) {
    let record = serde_json::json!({ "a": targets }).to_string();
    let body = Body::Commit {
        rev: (START_US + clock) << 10,
        collection: "c.d.e",
        rkey: &format!("k{clock}"),
        operation: Written::Create(Record {
            cid: "",
            encoding: Encoding::Json,
            body: record.as_bytes(),
        }),
    };
    apply(writer, clock, did, body);
}

fn read_all(store: &Store, start: Start) -> (Vec<Step>, Vec<Info>) {
    let mut reader = Reader::open(store, start, Forms::CHANGES).unwrap();
    let (mut steps, mut infos) = (Vec::new(), Vec::new());
    loop {
        let read = reader.read(10, u64::MAX, &mut |step| {
            steps.push(step);
            ControlFlow::Continue(())
        });
        match read.unwrap() {
            Read::More => {}
            Read::CaughtUp => return (steps, infos),
            Read::Info(info) => infos.push(info),
        }
    }
}

#[test]
fn links_that_cannot_be_named_are_left_out_and_it_is_told_that_they_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.compact = false;
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let mut writer = store.writer().unwrap();
    // Only the first segment knows this one's name.
    let lost = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".to_owned();
    write(&mut writer, 1, &lost, &["https://t.example/".to_owned()]);
    writer.seal().unwrap();
    // More links than an event keeps: those of the last records are looked up.
    let did = "did:plc:cccccccccccccccccccccccc";
    for clock in 2..102 {
        let mut targets: Vec<String> = (0..149).map(|i| format!("s:{clock}x{i}")).collect();
        targets.insert(7, lost.clone());
        write(&mut writer, clock, did, &targets);
    }
    writer.seal().unwrap();
    let body = Body::Account {
        seq: 1,
        active: false,
        status: Some("deleted"),
    };
    apply(&mut writer, 200, did, body);
    let deletion = store.next_seq() - 1;
    writer.close().unwrap();
    drop(store);

    let segments = std::fs::read_dir(dir.path().join("segments")).unwrap();
    let mut segments: Vec<_> = segments.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    std::fs::remove_file(&segments[0]).unwrap();
    let store = Store::open(dir.path(), options).unwrap();
    assert_eq!(store.snapshot().degraded().count(), 1);

    let (steps, infos) = read_all(&store, Start::Seq(deletion));
    let missing = Info::LinksMissing {
        first_seq: deletion,
        last_seq: deletion,
    };
    assert_eq!(infos, [missing]);
    let changes: Vec<_> = steps.iter().flat_map(|step| &step.changes).collect();
    let subjects = changes.iter().filter(|change| *change.subject != *lost);
    assert_eq!(subjects.count(), 100 * 149);
    assert!(changes.len() < 100 * 150);
    assert!(changes.iter().all(|c| c.operation == Operation::Delete));
    // Resumed within it, the same rest follows.
    for cut in [10_000, 14_000, changes.len() - 2] {
        let (seq, index) = (deletion, changes[cut].index);
        let (rest, _) = read_all(&store, Start::After { seq, index });
        let rest: Vec<_> = rest.iter().flat_map(|step| &step.changes).collect();
        assert_eq!(rest.len(), changes.len() - cut - 1);
        assert_eq!(rest[0].index, changes[cut + 1].index);
    }
}
