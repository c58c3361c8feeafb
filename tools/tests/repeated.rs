//! Delivering events again changes no answer: not after, and not meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use common::{answers, answers_of, assert_same, ingest, synthetic, targets};
use orrery_engine::{Options, Store};
use orrery_ingest::decode;

const EVENTS: u64 = 20_000;

#[test]
fn a_file_loaded_twice_and_from_the_middle_gives_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let lines = synthetic(11, EVENTS);
    let targets = targets(lines.lines());
    let whole = dir.path().join("whole.jsonl");
    std::fs::write(&whole, &lines).unwrap();
    let middle = dir.path().join("middle.jsonl");
    let half: Vec<&str> = lines.lines().skip(EVENTS as usize / 2).collect();
    std::fs::write(&middle, half.join("\n")).unwrap();
    let data = dir.path().join("data");

    let first = ingest(&data, &[whole.to_str().unwrap()]);
    assert_eq!(first["repeats"], 0);
    let before = answers_of(&data, &targets);
    assert!(before.values().any(|pages| pages.lines().count() > 5));
    for file in [&whole, &middle] {
        let again = ingest(&data, &[file.to_str().unwrap()]);
        assert_eq!(again["records"], 0, "{file:?}");
        assert_eq!(again["links_live"], first["links_live"]);
        assert_same("after", &before, &answers_of(&data, &targets));
    }
}

#[test]
fn answers_stand_still_while_events_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let lines = synthetic(12, EVENTS);
    let targets = targets(lines.lines());
    let hottest = &targets[..100];
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut apply = |line: &str| {
        let wire = orrery_jetstream::Event::parse(line).unwrap();
        writer.apply(&decode(&wire).unwrap()).unwrap();
    };
    lines.lines().for_each(&mut apply);
    let before = answers(&store.snapshot(), hottest, 100);
    let middle = lines.lines().skip(EVENTS as usize / 2);
    for (place, line) in lines.lines().chain(middle).enumerate() {
        apply(line);
        if place % 997 == 0 {
            let now = answers(&store.snapshot(), hottest, 100);
            assert_same("meanwhile", &before, &now);
        }
    }
}
