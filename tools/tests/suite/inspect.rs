//! `orrery inspect` and `orrery synth --serve`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::directory::{apply, files, options};
use crate::common::{Server, ingest, orrery, synthetic, targets, text};
use orrery_engine::io::OsFs;
use orrery_engine::lock::DirLock;
use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::FileBuilder;
use orrery_formats::segment;
use rustix::process::Signal;
use serde_json::Value;

fn inspect(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = orrery()
        .args(["inspect", "--json", "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_summary_agrees_with_ingest_and_takes_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, synthetic(51, 20_000)).unwrap();
    let ingested = ingest(&data, &[file.to_str().unwrap()]);
    let _lock = DirLock::acquire(&OsFs, &data).unwrap();
    let summary = &inspect(&data, &[])[0];
    assert_eq!(summary["live_links"], ingested["links_live"]);
    assert_eq!(summary["live_records"], ingested["records_live"]);
    assert_eq!(summary["actors"], ingested["actors"]);
    assert_eq!(summary["sealed_through"], ingested["events"]);
    let segments = summary["segments"].as_array().unwrap();
    let rows: u64 = segments.iter().map(|s| s["rows"].as_u64().unwrap()).sum();
    assert!(rows >= ingested["records_live"].as_u64().unwrap());
    // The figures follow from the sections and sizes beside them.
    let bytes = &summary["bytes"];
    let about = |what: &str| -> u64 {
        let sections = summary["sections"].as_array().unwrap().iter();
        let sections = sections.filter(|section| section["about"] == what);
        sections
            .map(|section| section["bytes"].as_u64().unwrap())
            .sum()
    };
    let (actors, samples) = (about("actors"), about("samples"));
    assert!(samples > 0);
    let of = |name: &str| bytes[name].as_u64().unwrap();
    let links = of("manifest") + of("segments") + of("masks") - actors - samples;
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 0.001;
    let live = summary["live_links"].as_f64().unwrap();
    assert!(near(&summary["bytes_per_link"], links as f64 / live));
    let count = summary["actors"].as_f64().unwrap();
    assert!(near(&summary["bytes_per_actor"], actors as f64 / count));

    let output = orrery()
        .args(["inspect", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let page = text(&output.stdout);
    for wanted in [
        "sealed through",
        "20,000",
        "bytes a link",
        "did:plc",
        ".seg",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
}

#[test]
fn targets_accounts_and_frames_are_shown_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(52, 9_000);
    let mut seal = options(1_500);
    seal.compact = false;
    apply(&data, &lines, seal);
    // Per source, links of one record to one target count once.
    let mut wanted: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for (target, _, _, links) in targets(lines.lines()) {
        *wanted.entry(target).or_default() += links;
    }
    let top = inspect(&data, &["--top", "25"]);
    assert_eq!(top.len(), 25);
    let mut before = u64::MAX;
    for row in &top {
        let (target, links) = (
            row["target"].as_str().unwrap(),
            row["links"].as_u64().unwrap(),
        );
        assert_eq!(links, wanted[target], "{target}");
        assert!(links <= before);
        before = links;
    }
    assert_eq!(before, {
        let mut counts: Vec<u64> = wanted.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts[24]
    });
    let hottest = top[0]["target"].as_str().unwrap();
    let lists = inspect(&data, &["--target", hottest]);
    let rows: u64 = lists
        .iter()
        .map(|list| list["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, wanted[hottest]);
    assert!(lists[0]["source"].as_str().unwrap().contains(':'));
    assert!(inspect(&data, &["--target", "https://nowhere.example/"]).is_empty());

    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let did = first["did"].as_str().unwrap();
    let shown = inspect(&data, &["--actor", did]);
    assert_eq!(shown[0]["did"], did);
    assert_eq!(shown[1]["rkey"], first["commit"]["rkey"]);
    assert_eq!(shown[1]["seq"], 1);
    let frames = inspect(&data, &["--log-frames"]);
    let events: u64 = frames
        .iter()
        .map(|frame| frame["events"].as_u64().unwrap())
        .sum();
    assert_eq!(events, 9_000);
    assert_eq!(frames[0]["first_seq"], 1);
}

#[test]
fn a_damaged_segment_is_named_and_the_others_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    apply(&data, &synthetic(53, 4_000), options(1_000));
    let segment = files(&data)
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    std::fs::write(data.join(&segment), "nothing").unwrap();
    let summary = &inspect(&data, &[])[0];
    let segments = summary["segments"].as_array().unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(
        segments
            .iter()
            .any(|s| s["name"] == name && s["error"].is_string())
    );
    assert!(segments.iter().any(|s| s["rows"].is_u64()));
    inspect(&data, &["--top", "3"]);

    let output = orrery()
        .args(["inspect", "--data"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not a data directory"));
}

/// Writes a segment as one of another version.
fn as_version(path: &Path, version: u16) {
    let bytes = std::fs::read(path).unwrap();
    let versions = segment::VERSION..=segment::VERSION;
    let file = SealedFile::open("a".to_owned(), bytes, segment::KIND, versions).unwrap();
    let mut written = FileBuilder::new(segment::KIND, version);
    for (id, _) in file.sections() {
        written.section(id, file.section(id).unwrap().all().unwrap());
    }
    std::fs::write(path, written.finish()).unwrap();
}

#[test]
fn what_an_answer_lacks_of_segments_of_another_version_is_told_and_a_replay_refuses_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    apply(&data, &synthetic(55, 3_000), options(1_000));
    let segment = files(&data)
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let version = segment::VERSION - 1;
    as_version(&data.join(&segment), version);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = orrery()
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    for view in [
        ["--top", "3"],
        ["--target", "https://nowhere.example/"],
        ["--actor", "did:plc:nobody"],
    ] {
        let (code, told) = said(&[&["inspect"], &view[..]].concat());
        assert_eq!(code, Some(0), "{told}");
        let lacks = format!("the answer lacks segment {name}");
        let version = format!("version {version} is not supported");
        assert!(told.contains(&lacks) && told.contains(&version), "{told}");
        assert_eq!(told.matches(name).count(), 1, "{told}");
    }
    let (code, told) = said(&["dump", "--what", "links"]);
    assert_eq!(code, Some(1), "{told}");
    let lacks = format!("what was written lacks {name} of {}", data.display());
    assert!(told.contains(&lacks) && !told.contains("damaged"), "{told}");
    // What would read it says which file it is and what to do, before it changes anything.
    let served = ["serve", "--bind", "127.0.0.1:0"];
    let refused = [&["compact"][..], &["verify"], &served];
    for (code, told) in refused.map(said) {
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains(name) && told.contains("Nothing was changed: go on with"),
            "{told}"
        );
    }
    let new = dir.path().join("new");
    let output = orrery()
        .args(["replay", "--source", "segments", "--from"])
        .arg(&data)
        .arg("--data")
        .arg(&new)
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for wanted in [
        name,
        &format!("version {version} is not supported"),
        "go on with the build that wrote it",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(!told.contains("damaged"), "{told}");
    assert!(!new.exists());
}

#[test]
fn a_served_stream_is_the_written_one_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = orrery()
        .args([
            "synth",
            "--serve",
            "127.0.0.1:0",
            "--json",
            "--events",
            "6000",
        ])
        .args(["--seed", "54", "--rate", "750"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let url = said["url"].as_str().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(
        &[
            "serve",
            "--jetstream",
            url,
            "--data",
            data.to_str().unwrap(),
        ],
        &dir.path().join("log"),
    );
    line.clear();
    out.read_line(&mut line).unwrap();
    let sent: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(sent["events_produced"], 6_000);
    assert!(child.wait().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.get("/readyz").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.stop(Signal::TERM));
    // The server joined after some events had passed; every commit that came since is there, once.
    let commits = |lines: &str| -> Vec<(String, u64)> {
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["kind"] == "commit")
            .map(|event| {
                let did = event["did"].as_str().unwrap().to_owned();
                (did, event["time_us"].as_u64().unwrap())
            })
            .collect()
    };
    let written = orrery()
        .args(["synth", "--events", "6000", "--seed", "54", "--rate", "750"])
        .output()
        .unwrap();
    let dumped = orrery()
        .args(["dump", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let (written, got) = (
        commits(&text(&written.stdout)),
        commits(&text(&dumped.stdout)),
    );
    assert!(got.len() > 1_500, "{} of {sent}", got.len());
    assert!(written.ends_with(&got));
}

#[test]
fn whoever_names_a_handle_is_told_that_a_did_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    apply(&data, &synthetic(55, 300), options(1_000));
    for (view, named, hint) in [
        (
            "--actor",
            "alice.example.com",
            "resolveHandle?handle=alice.example.com",
        ),
        (
            "--actor",
            "@alice.example.com",
            "alice.example.com is a handle",
        ),
        ("--actor", "word", "word is no DID"),
        ("--actor", "did:plc:nobody", ""),
        (
            "--target",
            "alice.example.com",
            "alice.example.com is a handle",
        ),
        ("--target", "https://nowhere.example/", ""),
    ] {
        let output = orrery()
            .args(["inspect", view, named, "--data"])
            .arg(&data)
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains(hint), "{view} {named}: {told}");
        assert_eq!(
            told.lines().count(),
            if hint.is_empty() { 1 } else { 2 },
            "{told}"
        );
    }
}
