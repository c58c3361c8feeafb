//! Real and synthetic captures of the wire, where the shared test data is present.
use crate::common::shared;
use orrery_jetstream::{Cursor, Decoder, Event, Kind, Operation, Position};

/// Each line parses, and re-reading it as plain JSON gives the same members.
fn check_lines(path: &str) -> Option<usize> {
    let text = std::fs::read_to_string(shared(path)?).unwrap();
    for line in text.lines() {
        let event = Event::parse(line).unwrap_or_else(|reason| panic!("{reason}: {line}"));
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["did"], event.did.as_ref());
        assert_eq!(json["time_us"], event.time_us);
        assert_eq!(
            json.get("cursor").and_then(|value| value.as_u64()),
            event.cursor
        );
        let position = Position {
            time_us: Some(event.time_us),
            seq: event.cursor,
        };
        assert_eq!(Position::of(line), position);
        match &event.kind {
            Kind::Commit(commit) => {
                let expected = &json["commit"];
                assert_eq!(expected["rev"], commit.rev.as_ref());
                assert_eq!(expected["collection"], commit.collection.as_ref());
                assert_eq!(expected["rkey"], commit.rkey.as_ref());
                let (name, record, cid) = match &commit.operation {
                    Operation::Create { record, cid } => ("create", Some(record), cid.as_deref()),
                    Operation::Update { record, cid } => ("update", Some(record), cid.as_deref()),
                    Operation::Delete => ("delete", None, None),
                };
                assert_eq!(expected["operation"], name);
                assert_eq!(expected.get("cid").and_then(|value| value.as_str()), cid);
                let record = record.map(|record| serde_json::from_str(record).unwrap());
                assert_eq!(expected.get("record").cloned(), record);
            }
            Kind::Identity(identity) => {
                assert_eq!(json["identity"]["seq"], identity.seq);
                assert_eq!(json["identity"]["time"], identity.time.as_ref());
                let handle = json["identity"]
                    .get("handle")
                    .and_then(|value| value.as_str());
                assert_eq!(handle, identity.handle.as_deref());
            }
            Kind::Account(account) => {
                assert_eq!(json["account"]["seq"], account.seq);
                assert_eq!(json["account"]["active"], account.active);
                let status = json["account"]
                    .get("status")
                    .and_then(|value| value.as_str());
                assert_eq!(status, account.status.as_deref());
            }
        }
    }
    Some(text.lines().count())
}

#[test]
fn real_events_of_2024_parse() {
    if let Some(count) = check_lines("jetstream/jsonbench-2024-11-21.part1.jsonl") {
        assert_eq!(count, 666);
    }
}

#[test]
fn real_events_of_2026_parse() {
    let path = "firehose/relay-frames-2026-07-04.part1.expected-jetstream-v1.jsonl";
    if let Some(count) = check_lines(path) {
        assert_eq!(count, 102);
    }
}

#[test]
fn derived_updates_and_deletes_parse() {
    if let Some(count) = check_lines("derived/daily-repo.part1.events.jsonl") {
        assert_eq!(count, 789);
    }
}

#[test]
fn every_kind_with_a_cursor_parses() {
    if let Some(count) = check_lines("jetstream-v2/synthetic-all-kinds.v1.jsonl") {
        assert_eq!(count, 8);
    }
}

#[test]
fn compressed_messages_of_another_encoder_unpack() {
    let frames = "jetstream-v2/synthetic-all-kinds.v1.zstd-frames.bin";
    let lines = "jetstream-v2/synthetic-all-kinds.v1.jsonl";
    let (Some(frames), Some(lines)) = (shared(frames), shared(lines)) else {
        return;
    };
    let frames = std::fs::read(frames).unwrap();
    let lines = std::fs::read_to_string(lines).unwrap();
    let mut decoder = Decoder::new(1 << 20).unwrap();
    let mut rest = frames.as_slice();
    let mut cursors = Vec::new();
    for line in lines.lines() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let text = decoder.unpack(&rest[4..4 + length]).unwrap();
        assert_eq!(text, line);
        cursors.push(Event::parse(text).unwrap().position());
        rest = &rest[4 + length..];
    }
    assert!(rest.is_empty());
    assert_eq!(cursors, [1, 2, 3, 4, 9, 10, 11, 14].map(Cursor::Seq));
}
