//! `orrery replay` and `orrery dump`: what is made anew out of a log, segments or a dump answers alike.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use crate::common::directory::{apply, copy, options};
use crate::common::{answers_of, assert_same, ingest, last_line, orrery, synthetic, targets, text};
use orrery_engine::offline::Directory;
use orrery_engine::offline::verify::verify;
use serde_json::Value;

fn assert_clean(data: &Path) {
    let mut damages = Vec::new();
    verify(data, false, &mut |damage| damages.push(damage.to_string())).unwrap();
    assert_eq!(damages, [""; 0], "{}", data.display());
}

fn replay(from: &Path, data: &Path, source: &str) -> Value {
    let output = orrery()
        .args(["replay", "--json", "--source", source, "--from"])
        .arg(from)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    last_line(&output)
}

fn dump(data: &Path, arguments: &[&str]) -> String {
    let output = orrery()
        .args(["dump", "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Seqs of links and whether they are dead, by the whole link.
fn links(data: &Path) -> BTreeSet<String> {
    dump(data, &["--what", "links"])
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_log_and_the_segments_replayed_answer_like_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(41, 8_000);
    apply(&data, &lines, options(1_300));
    let targets = targets(lines.lines());
    let (from_log, from_segments) = (dir.path().join("log"), dir.path().join("segments"));
    let report = replay(&data, &from_log, "log");
    assert_eq!(report["events"], 8_000);
    assert_eq!(report["last_seq"], 8_000);
    let report = replay(&data, &from_segments, "segments");
    assert_eq!(report["last_seq"], 8_000);
    assert_clean(&from_log);
    assert_clean(&from_segments);

    let original = dir.path().join("original");
    copy(&data, &original);
    let wanted = answers_of(&original, &targets);
    assert_same("the log", &wanted, &answers_of(&from_log, &targets));
    assert_same(
        "the segments",
        &wanted,
        &answers_of(&from_segments, &targets),
    );
    // Seqs are kept, and with them every client's cursor.
    let seqs = |data: &Path| {
        let directory = Directory::open(data).unwrap();
        let mut live = BTreeSet::new();
        let each = &mut |link: &orrery_engine::offline::Link<'_>| {
            if !link.dead {
                live.insert((link.seq, link.path.to_owned(), link.target.to_owned()));
            }
            Ok::<(), orrery_engine::Error>(())
        };
        directory
            .each_link(&orrery_engine::offline::Span::ALL, each)
            .unwrap();
        live
    };
    let sealed = Directory::open(&data).unwrap().state().sealed_through;
    let of_original: BTreeSet<_> = seqs(&from_log);
    let of_segments = seqs(&from_segments);
    assert!(of_segments.iter().all(|(seq, ..)| *seq <= sealed));
    assert!(of_segments.len() > 4_000);
    for link in of_original.iter().filter(|(seq, ..)| *seq <= sealed) {
        assert!(of_segments.contains(link), "{link:?}");
    }
    // Both take further events, and know the old ones.
    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, &lines).unwrap();
    for data in [&from_log, &from_segments] {
        let summary = ingest(data, &[file.to_str().unwrap()]);
        assert_eq!(summary["records"], 0, "{summary}");
    }
    assert_same("repeated", &wanted, &answers_of(&from_log, &targets));
    assert_same("repeated", &wanted, &answers_of(&from_segments, &targets));
}

#[test]
fn a_log_of_many_frames_is_replayed_in_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (data, made) = (dir.path().join("data"), dir.path().join("made"));
    apply(
        &data,
        &synthetic(46, 25_000),
        orrery_engine::Options::default(),
    );
    replay(&data, &made, "log");
    assert_clean(&made);
    assert!(Directory::open(&made).unwrap().log_files()[0].bytes > 1 << 20);
    let frames = orrery()
        .args(["inspect", "--json", "--log-frames", "--data"])
        .arg(&made)
        .output()
        .unwrap();
    assert!(text(&frames.stdout).lines().count() >= 3);
}

#[test]
fn a_trimmed_log_is_refused_and_its_segments_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(42, 6_000);
    let mut seal = options(1_000);
    seal.log_bytes_max = 200_000;
    apply(&data, &lines, seal);
    assert_clean(&data);
    let output = orrery()
        .args(["replay", "--from"])
        .arg(&data)
        .arg("--data")
        .arg(dir.path().join("log"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("begins at seq") && error.contains("segments"),
        "{error}"
    );
    let made = dir.path().join("segments");
    replay(&data, &made, "segments");
    assert_clean(&made);
    let targets = targets(lines.lines());
    let original = dir.path().join("original");
    copy(&data, &original);
    assert_same(
        "the segments",
        &answers_of(&original, &targets),
        &answers_of(&made, &targets),
    );

    // Not into something.
    for source in ["log", "segments"] {
        let output = orrery()
            .args(["replay", "--source", source, "--from"])
            .arg(&made)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn dumped_events_loaded_again_answer_alike() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(43, 5_000);
    apply(&data, &lines, options(900));
    let events = dump(&data, &["--what", "events"]);
    assert_eq!(events.lines().count(), 5_000);
    for (line, seq) in events.lines().zip(1u64..) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["seq"], seq);
    }
    let file = dir.path().join("dumped.jsonl");
    std::fs::write(&file, &events).unwrap();
    let again = dir.path().join("again");
    let summary = ingest(&again, &[file.to_str().unwrap()]);
    assert_eq!(summary["events"], 5_000);
    assert_eq!(summary["bad_lines"], serde_json::json!({}));
    let targets = targets(lines.lines());
    let original = dir.path().join("original");
    copy(&data, &original);
    assert_same(
        "a dump",
        &answers_of(&original, &targets),
        &answers_of(&again, &targets),
    );
}

#[test]
fn dumps_are_cut_by_seq_and_time_and_links_say_what_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(44, 4_000);
    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let summary = ingest(&data, &[file.to_str().unwrap()]);
    let part = dump(&data, &["--from-seq", "1000", "--to-seq", "1009"]);
    let seqs: Vec<u64> = part
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seqs, (1_000..1_010).collect::<Vec<_>>());
    let time = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["time_us"]
            .as_u64()
            .unwrap()
    };
    let (since, until) = (
        time(lines.lines().nth(500).unwrap()),
        time(lines.lines().nth(700).unwrap()),
    );
    let part = dump(
        &data,
        &["--since", &since.to_string(), "--until", &until.to_string()],
    );
    let wanted = lines
        .lines()
        .filter(|line| (since..=until).contains(&time(line)))
        .count();
    assert_eq!(part.lines().count(), wanted);

    let links: Vec<Value> = links(&data)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(links.len() as u64, summary["links"].as_u64().unwrap());
    let live = links
        .iter()
        .filter(|link| link["dead"] == false && link["hidden"] == false)
        .count();
    assert_eq!(live as u64, summary["links_live"].as_u64().unwrap());
    let part = dump(
        &data,
        &["--what", "links", "--from-seq", "100", "--to-seq", "200"],
    );
    assert!(part.lines().all(|line| {
        let link: Value = serde_json::from_str(line).unwrap();
        (100..=200).contains(&link["seq"].as_u64().unwrap())
    }));

    for what in ["events", "links"] {
        let mut child = orrery()
            .args(["dump", "--what", what, "--data"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "a closed pipe");
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn a_damaged_log_is_dumped_around_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    apply(&data, &synthetic(45, 4_000), options(1_500));
    let path = data.join("log/0000000000000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = orrery()
        .args(["dump", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("0000000000000001.log"));
    let lines = text(&output.stdout).lines().count();
    assert!((2_500..4_000).contains(&lines), "{lines}");
}
