//! What answers say they rest on, when what is selected changes from run to run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{Server, ingest, orrery, synthetic, text};
use orrery_engine::{Options, SelectionEntry, SourceCursor, Store};
use orrery_formats::event::{Body, Event};
use rustix::process::Signal;
use serde_json::{Value, json};

const FOLLOWS: &str = "app.bsky.graph.follow";
const LIKES: &str = "app.bsky.feed.like";

/// A synthetic source, ended when dropped.
struct Source(Child, String);

impl Source {
    fn start() -> Self {
        let mut child = orrery()
            .args(["synth", "--serve", "127.0.0.1:0", "--json"])
            .args(["--times", "now", "--rate", "1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self(child, said["url"].as_str().unwrap().to_owned())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves until it has a record of `collection`, and gives what the answers then rest on.
fn coverage(data: &Path, arguments: &[&str], collection: &str) -> Value {
    let log = data.with_extension("log");
    let data = ["serve", "--data", data.to_str().unwrap()];
    let mut server = Server::start(&[&data[..], arguments].concat(), &log);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let path = format!("/search?q={collection}");
        let (_, head, body) = server.get(&path).unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        if answer["matches"][0]["creates"].as_u64() > Some(0) {
            let from = answer["coverage"]["from"].as_u64();
            let header = format!("orrery-coverage-from: {}", from.unwrap_or_default());
            assert_eq!(from.is_some(), head.contains(&header), "{head}");
            assert!(server.stop(Signal::TERM));
            return answer["coverage"].clone();
        }
        assert!(Instant::now() < until, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run(arguments: &[&str]) {
    let output = orrery().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_was_selected_when_is_remembered_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let source = Source::start();
    let follow = ["--jetstream", &source.1];
    let only = |collection| [&follow[..], &["--collections", collection]].concat();

    let first = coverage(&data, &only(FOLLOWS), FOLLOWS);
    assert_eq!(first["collections"], json!([FOLLOWS]));
    // More is selected: all of it is there since the change only.
    let all = coverage(&data, &follow, LIKES);
    assert_eq!(all.get("collections"), None);
    assert!(
        all["from"].as_u64() >= first["through"].as_u64(),
        "{first} {all}"
    );
    let all = coverage(&data, &follow, LIKES);
    assert!(
        all["from"].as_u64() >= first["through"].as_u64(),
        "{first} {all}"
    );
    // Less is selected: that is there from the beginning on, which may have moved back with what a restart asks for again.
    let again = coverage(&data, &only(FOLLOWS), FOLLOWS);
    assert_eq!(again["collections"], json!([FOLLOWS]));
    assert!(
        again["from"].as_u64() <= first["from"].as_u64(),
        "{first} {again}"
    );
    // Without a source nothing is selected anew, whatever is said.
    let told = coverage(&data, &["--collections", LIKES], LIKES);
    assert_eq!(
        (&told["collections"], &told["from"]),
        (&again["collections"], &again["from"])
    );
    let said = std::fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(said.contains("without --jetstream"), "{said}");

    // Older events of a file without follows do not make follows older.
    let file = dir.path().join("e");
    std::fs::write(&file, synthetic(4, 500)).unwrap();
    ingest(&data, &[file.to_str().unwrap(), "--collections", LIKES]);
    let told = coverage(&data, &[], LIKES);
    assert_eq!(
        (&told["collections"], &told["from"]),
        (&again["collections"], &again["from"])
    );

    // Copies tell the same.
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = data.to_str().unwrap();
    run(&["backup", "--data", data, "--to", &path("backup")]);
    run(&[
        "restore",
        "--from",
        &path("backup"),
        "--data",
        &path("restored"),
    ]);
    run(&["replay", "--from", data, "--data", &path("by-log")]);
    run(&[
        "replay",
        "--source",
        "segments",
        "--from",
        data,
        "--data",
        &path("by-segments"),
    ]);
    for name in ["restored", "by-log", "by-segments"] {
        let copy = coverage(&dir.path().join(name), &[], LIKES);
        assert_eq!(copy, told, "{name}");
    }
}

/// A directory that followed `source` up to some hours ago, where it has one event, and the time of that.
fn stopped(data: &Path, source: &str, hours: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let time_us = now.as_micros() as u64 - hours * 3_600_000_000 - 1_000_000;
    let store = Store::open(data, Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let all = SelectionEntry {
        first_seq: 0,
        since_us: 0,
        only: Vec::new(),
        except: Vec::new(),
    };
    writer.begin_selections(vec![all]).unwrap();
    let body = Body::Identity {
        seq: 1,
        handle: None,
    };
    let did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    writer.apply(&Event { time_us, did, body }).unwrap();
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: source.to_owned(),
        value: time_us,
    });
    writer.close().unwrap();
    time_us
}

#[test]
fn coverage_begins_anew_where_the_source_does_not_reach_back_to_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    // It has what happens from now on.
    let source = Source::start();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let started_us = started.as_micros() as u64;
    for hours in [0, 8, 72] {
        let data = dir.path().join(hours.to_string());
        let left_us = stopped(&data, &source.1, hours);
        let follow = ["--jetstream", &source.1];
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let told = coverage(&data, &follow, LIKES);
            let from = told["from"].as_u64().unwrap();
            if hours == 0 {
                assert_eq!(from, left_us, "{told}");
                break;
            }
            // Whether the hours before had events is told by how dense the first thousand are.
            if from > left_us {
                // It had begun a little before.
                assert!(from + 60_000_000 > started_us, "{hours}: {told}");
                break;
            }
            assert!(hours < 36 && Instant::now() < until, "{hours}: {told}");
        }
    }
}

#[test]
fn a_directory_of_files_is_whole_from_where_its_last_selection_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("e"), dir.path().join("data"));
    std::fs::write(&file, synthetic(4, 2000)).unwrap();
    let file = file.to_str().unwrap();
    ingest(&data, &[file, "--collections", FOLLOWS]);
    let some = coverage(&data, &[], FOLLOWS);
    assert_eq!(some["collections"], json!([FOLLOWS]));
    ingest(&data, &[file]);
    let all = coverage(&data, &[], LIKES);
    assert_eq!(all.get("collections"), None);
    assert!(
        all["from"].as_u64() >= some["through"].as_u64(),
        "{some} {all}"
    );
}
