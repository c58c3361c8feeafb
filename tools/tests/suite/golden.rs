//! Recorded answers of the services in use today, compared by the script that recorded them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Server, ingest, text};

/// An index with the events of the recording, answering.
struct Recorded {
    server: Server,
    _data: tempfile::TempDir,
}

impl Recorded {
    /// Indexes the lines of the recording that `keep` gives. None where the script of the recording cannot run.
    fn start(keep: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("skipped: python3 is not there, and golden.py needs it");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let index = data.path().join("index");
        let lines = fs::read_to_string(golden("fixture.jsonl")).unwrap();
        let kept: Vec<String> = lines.lines().filter_map(keep).collect();
        let fixture = data.path().join("fixture.jsonl");
        fs::write(&fixture, kept.join("\n")).unwrap();
        let summary = ingest(&index, &[fixture.to_str().unwrap()]);
        assert_eq!(summary["events"], kept.len());
        assert_eq!(summary["bad_lines"], serde_json::json!({}));
        let log = data.path().join("server.log");
        let server = Server::start(&["serve", "--data", index.to_str().unwrap()], &log);
        Some(Self {
            server,
            _data: data,
        })
    }

    /// Compares the answers with a recording. Gives whether none differ, and what the script says.
    fn check(&self, recording: &str) -> (bool, String) {
        let output = Command::new("python3")
            .arg(golden("golden.py"))
            .arg("check")
            .arg(format!("http://{}", self.server.address))
            .arg(golden(recording))
            .arg("-v")
            .output()
            .unwrap();
        let report = text(&output.stdout) + &text(&output.stderr);
        (output.status.success(), report)
    }
}

fn golden(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    directory.join(name)
}

#[test]
fn recorded_answers_do_not_differ() {
    let Some(recorded) = Recorded::start(|line| Some(line.to_owned())) else {
        return;
    };
    let (agrees, report) = recorded.check("backlinks.json");
    assert!(agrees, "{report}");
    assert!(report.contains("435 asked, 0 differ"), "{report}");
}

/// 2026-09-22T15:00:00Z, 18:00:00Z.
const AT_15_US: u64 = 1_790_089_200_000_000;
const AT_18_US: u64 = 1_790_100_000_000_000;

/// An event as the recorded service counted it. It drops what has a CID that is none, which is most of this made-up
/// stream. Its last batch, of two events after six o'clock, was not counted yet. And it counts a whole batch at its last
/// event's time: one batch began 25 s before three o'clock.
fn counted(line: &str) -> Option<String> {
    let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
    let time_us = event["time_us"].as_u64().unwrap();
    let cid = event["commit"]["cid"].as_str();
    if time_us > AT_18_US || cid.is_some_and(|cid| !is_cid(cid)) {
        return None;
    }
    if (AT_15_US - 25_000_000..AT_15_US).contains(&time_us) {
        event["time_us"] = AT_15_US.into();
    }
    Some(event.to_string())
}

/// Whether this is a CID in base32 of version 1, of DAG-CBOR, with a SHA-256 of 32 bytes and no bits behind it.
fn is_cid(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('b') else {
        return false;
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return false,
        };
        bits = bits << 5 & 0xffff | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    bytes.len() == 36 && bytes.starts_with(&[0x01, 0x71, 0x12, 0x20]) && bits == 0
}

/// Answers about collections that differ, by their route and a part of their query. The recorded lists in an order are
/// approximate: of each bucket only the best collections were counted, so that figures lack what other buckets hold.
const STATS_THAT_DIFFER: [(&str, &str); 2] = [
    ("/collections", "\"order\": \"records-created\", \"since\""),
    ("/collections", "\"order\": \"dids-estimate\""),
];

#[test]
fn recorded_answers_about_collections_differ_only_where_they_should() {
    let Some(recorded) = Recorded::start(counted) else {
        return;
    };
    let (_, report) = recorded.check("stats.json");
    let differ = report.lines().filter(|line| line.starts_with("DIFFERS"));
    let mut unexplained: Vec<&str> = differ.collect();
    for (path, query) in STATS_THAT_DIFFER {
        let start = format!("DIFFERS {path} ");
        let found = unexplained
            .iter()
            .position(|line| line.starts_with(&start) && line.contains(query));
        let place = found.unwrap_or_else(|| panic!("{path} {query} does not differ:\n{report}"));
        unexplained.remove(place);
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}\n{report}");
    let total = format!("41 asked, {} differ", STATS_THAT_DIFFER.len());
    assert!(report.contains(&total), "{report}");
}
