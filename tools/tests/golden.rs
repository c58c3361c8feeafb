//! Recorded answers of the services in use today, compared by the script that recorded them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Server, ingest, text};

#[test]
fn recorded_answers_do_not_differ() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not there, and golden.py needs it");
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let data = tempfile::tempdir().unwrap();
    let fixture = golden.join("fixture.jsonl");
    let summary = ingest(&data.path().join("index"), &[fixture.to_str().unwrap()]);
    assert_eq!(summary["events"], 395);
    assert_eq!(summary["bad_lines"], serde_json::json!({}));
    let log = data.path().join("server.log");
    let index = data.path().join("index");
    let server = Server::start(&["serve", "--data", index.to_str().unwrap()], &log);
    let output = Command::new("python3")
        .arg(golden.join("golden.py"))
        .arg("check")
        .arg(format!("http://{}", server.address))
        .arg(golden.join("backlinks.json"))
        .arg("-v")
        .output()
        .unwrap();
    let report = text(&output.stdout);
    assert!(
        output.status.success(),
        "{report}\n{}",
        text(&output.stderr)
    );
    assert!(report.contains("435 asked, 0 differ"), "{report}");
}
