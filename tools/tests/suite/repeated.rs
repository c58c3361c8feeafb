//! Delivering events again changes no answer: not after, and not meanwhile.

use crate::common::{answers, answers_of, assert_same, ingest, orrery, synthetic, targets};
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

/// Far more event time than the log's window holds, and no row of what was deleted.
#[test]
fn a_file_of_forty_days_loaded_again_after_a_full_compaction_moves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = orrery()
        .args([
            "synth", "--seed", "21", "--events", "20000", "--span", "40d",
        ])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        crate::common::text(&made.stderr)
    );
    let lines = crate::common::text(&made.stdout);
    let whole = dir.path().join("whole.jsonl");
    std::fs::write(&whole, &lines).unwrap();
    let middle = dir.path().join("middle.jsonl");
    let half: Vec<&str> = lines.lines().skip(EVENTS as usize / 2).collect();
    std::fs::write(&middle, half.join("\n")).unwrap();
    let data = dir.path().join("data");
    let compact = || {
        let mut command = orrery();
        command.args(["compact", "--full", "--data"]).arg(&data);
        assert!(command.output().unwrap().status.success());
    };

    let first = ingest(&data, &[whole.to_str().unwrap()]);
    assert_eq!(first["repeats"], 0);
    for file in [&whole, &middle, &whole] {
        compact();
        let again = ingest(&data, &[file.to_str().unwrap()]);
        assert_eq!(again["records"], 0, "{file:?}");
        assert_eq!(again["links_live"], first["links_live"]);
        assert_eq!(again["records_live"], first["records_live"]);
    }
}

/// An account that was deleted behind its likes does not get them back when likes are selected later.
#[test]
fn what_a_deleted_account_wrote_is_not_loaded_by_a_wider_selection() {
    let dir = tempfile::tempdir().unwrap();
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let like = serde_json::json!({
        "did": did, "time_us": 1_793_491_200_000_000_u64, "kind": "commit",
        "commit": {
            "rev": "3m4k2k2k2k2k2", "operation": "create", "collection": "app.bsky.feed.like",
            "rkey": "3m4k2k2k2k2k2", "cid": "bafyreib4",
            "record": {"$type": "app.bsky.feed.like", "subject": {"uri": "https://example.com/a"}},
        },
    });
    let deleted = serde_json::json!({
        "did": did, "time_us": 1_793_491_300_000_000_u64, "kind": "account",
        "account": {"active": false, "did": did, "seq": 9, "status": "deleted", "time": "2026-11-01T00:01:40Z"},
    });
    let file = dir.path().join("one.jsonl");
    std::fs::write(&file, format!("{like}\n{deleted}\n")).unwrap();
    let (data, file) = (dir.path().join("data"), file.to_str().unwrap());
    ingest(&data, &["--collections", "app.bsky.graph.*", file]);
    let wider = ingest(&data, &[file]);
    assert_eq!(wider["bad_lines"], serde_json::json!({}));
    assert_eq!(wider["repeats"], 2);
    assert_eq!(wider["links_live"], 0);
}
