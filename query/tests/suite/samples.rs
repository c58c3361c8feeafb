//! Records of collections by example.

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, SampleRecord, Snapshot, Store, Writer};
use orrery_query::limits::{SAMPLE_BYTES_MAX, SAMPLE_COLLECTIONS_MAX};
use orrery_query::samples::{all_records, records};

const START_US: u64 = 1_793_491_200_000_000;

const DID: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

fn open() -> (tempfile::TempDir, Store, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.disk_reserve = 0;
    let store = Store::open(dir.path(), options).unwrap();
    let writer = store.writer().unwrap();
    (dir, store, writer)
}

/// Event number `n`: writes a record, or deletes it.
fn write(writer: &mut Writer, n: u64, collection: &str, rkey: &str, record: Option<&str>) {
    let time_us = START_US + n;
    let record = record.map(|record| Record {
        cid: "",
        encoding: Encoding::Json,
        body: record.as_bytes(),
    });
    let body = Body::Commit {
        rev: time_us << 10,
        collection,
        rkey,
        operation: record.map_or(Operation::Delete, Operation::Create),
    };
    let did = DID;
    writer.apply(&Event { time_us, did, body }).unwrap();
}

/// A store in which event number `n` wrote a record of the collection `collection(n)`.
fn snapshot(events: u64, collection: impl Fn(u64) -> String) -> (tempfile::TempDir, Snapshot) {
    let (dir, store, mut writer) = open();
    for n in 0..events {
        let record = format!(r#"{{"n": {n}}}"#);
        write(
            &mut writer,
            n,
            &collection(n),
            &format!("k{n}"),
            Some(&record),
        );
        if n == events / 2 {
            writer.seal().unwrap();
        }
    }
    (dir, store.snapshot())
}

fn numbers(records: &[SampleRecord]) -> Vec<u64> {
    let number = |record: &SampleRecord| record.rkey[1..].parse().unwrap();
    records.iter().map(number).collect()
}

#[test]
fn records_of_several_collections_are_newest_first_over_all_and_bounded_for_each() {
    let (_dir, snapshot) = snapshot(60, |n| format!("a.b.c{}", n % 3));
    let found = records(&snapshot, &["a.b.c0", "a.b.c2", "a.b.c0", "a.b.absent"], 4).unwrap();
    assert_eq!(numbers(&found), [59, 57, 56, 54, 53, 51, 50, 48]);
    assert_eq!(found[0].body, br#"{"n": 59}"#);
    let found = records(&snapshot, &["a.b.c1"], 42).unwrap();
    assert_eq!(found.len(), 20);
    assert_eq!(records(&snapshot, &[] as &[&str], 42).unwrap(), []);
    assert_eq!(records(&snapshot, &["a.b.c1"], 0).unwrap(), []);
}

#[test]
fn all_collections_are_those_active_since_a_time_in_order_up_to_a_bound() {
    let last = SAMPLE_COLLECTIONS_MAX as u64 + 50;
    let (_dir, snapshot) = snapshot(last, |n| format!("a.b.c{n:04}"));
    let found = all_records(&snapshot, 0, 12).unwrap();
    let expected: Vec<u64> = (0..SAMPLE_COLLECTIONS_MAX as u64).rev().collect();
    assert_eq!(numbers(&found), expected);
    let found = all_records(&snapshot, START_US + 200, 12).unwrap();
    let expected: Vec<u64> = (200..last).rev().collect();
    assert_eq!(numbers(&found), expected);
}

#[test]
fn an_answer_of_sample_records_is_bounded_in_bytes() {
    let (_dir, store, mut writer) = open();
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    let mut n = 0;
    for collection in ["a.b.c0", "a.b.c1", "a.b.c2", "a.b.short"] {
        for _ in 0..64 {
            n += 1;
            let record = if collection == "a.b.short" {
                "{}"
            } else {
                &long
            };
            write(&mut writer, n, collection, &format!("k{n}"), Some(record));
        }
        writer.seal().unwrap();
    }
    let found = all_records(&store.snapshot(), 0, 64).unwrap();
    let bytes: usize = found.iter().map(|record| record.body.len()).sum();
    assert!(bytes <= SAMPLE_BYTES_MAX, "{bytes}");
    let count = |collection: &str| {
        let of = found
            .iter()
            .filter(|record| record.collection == collection);
        of.count()
    };
    assert_eq!(count("a.b.short"), 64);
    // No more of any collection than of the others, and as much as there is room for.
    for collection in ["a.b.c0", "a.b.c1", "a.b.c2"] {
        assert!((27..=28).contains(&count(collection)), "{collection}");
    }
    assert!(found.is_sorted_by(|a, b| a.seq > b.seq));
    // What is asked for alone, or less of each, is there.
    assert_eq!(
        records(&store.snapshot(), &["a.b.c1"], 64).unwrap().len(),
        64
    );
    assert_eq!(all_records(&store.snapshot(), 0, 12).unwrap().len(), 48);
}

#[test]
fn collections_whose_records_are_all_gone_take_no_place_of_others() {
    let (_dir, store, mut writer) = open();
    let names = SAMPLE_COLLECTIONS_MAX as u64 + 200;
    for n in 0..names {
        write(&mut writer, n, &format!("a.b.c{n}"), "self", Some("{}"));
    }
    writer.seal().unwrap();
    for n in 0..names {
        write(&mut writer, names + n, &format!("a.b.c{n}"), "self", None);
    }
    write(&mut writer, 2 * names, "b.c.d", "k7", Some("{}"));
    let found = all_records(&store.snapshot(), 0, 12).unwrap();
    assert_eq!(numbers(&found), [7]);
}
