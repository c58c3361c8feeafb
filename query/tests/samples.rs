//! Records of collections by example.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, SampleRecord, Snapshot, Store};
use orrery_query::limits::SAMPLE_COLLECTIONS_MAX;
use orrery_query::samples::{all_records, records};

const START_US: u64 = 1_793_491_200_000_000;

/// A store in which event number `n` wrote a record of the collection `collection(n)`.
fn snapshot(events: u64, collection: impl Fn(u64) -> String) -> (tempfile::TempDir, Snapshot) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.disk_reserve = 0;
    let store = Store::open(dir.path(), options).unwrap();
    let mut writer = store.writer().unwrap();
    for n in 0..events {
        let time_us = START_US + n;
        let (collection, rkey) = (collection(n), format!("k{n}"));
        let record = format!(r#"{{"n": {n}}}"#);
        let body = Body::Commit {
            rev: time_us << 10,
            collection: &collection,
            rkey: &rkey,
            operation: Operation::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: record.as_bytes(),
            }),
        };
        let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
        writer.apply(&Event { time_us, did, body }).unwrap();
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
