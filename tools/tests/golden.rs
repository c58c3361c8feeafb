//! Recorded answers of the services in use today, compared by the script that recorded them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Server, ingest, text};

/// An index with the events of the recording, answering.
struct Recorded {
    server: Server,
    _data: tempfile::TempDir,
}

impl Recorded {
    /// None where the script of the recording cannot run.
    fn start() -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("skipped: python3 is not there, and golden.py needs it");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let index = data.path().join("index");
        let fixture = golden("fixture.jsonl");
        let summary = ingest(&index, &[fixture.to_str().unwrap()]);
        assert_eq!(summary["events"], 395);
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
    let Some(recorded) = Recorded::start() else {
        return;
    };
    let (agrees, report) = recorded.check("backlinks.json");
    assert!(agrees, "{report}");
    assert!(report.contains("435 asked, 0 differ"), "{report}");
}

/// Answers about collections that differ, by their route and a part of their query. The recorded lists in an order are
/// approximate: of each bucket only the best collections were counted, so that figures lack what others hold. Samples of
/// records are not served.
const STATS_THAT_DIFFER: [(&str, &str); 9] = [
    ("/collections", "\"order\": \"records-created\", \"since\""),
    ("/collections", "\"order\": \"dids-estimate\""),
    ("/records", "app.bsky.actor.profile"),
    ("/records", "app.bsky.feed.like"),
    ("/records", "app.bsky.feed.post"),
    ("/records", "app.bsky.feed.repost"),
    ("/records", "app.bsky.graph.follow"),
    ("/records", "app.bsky.graph.listitem"),
    ("/records", "{\"collection\": \"x\"}"),
];

#[test]
fn recorded_answers_about_collections_differ_only_where_they_should() {
    let Some(recorded) = Recorded::start() else {
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
