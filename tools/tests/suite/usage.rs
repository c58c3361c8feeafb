//! What the program says of command lines, variables and directories that cannot be right.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::common::{Server, ingest, orrery, synthetic, text};
use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Options, SourceCursor, Store};
use rustix::process::Signal;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    orrery().args(arguments).output().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// So many segments of one event each, a hundred hours apart, and a durable event behind the last.
fn directory(data: &Path, segments: u64) {
    let mut options = Options::default();
    options.compact = false;
    options.log_age_max = Duration::MAX;
    let store = Store::open(data, options).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 0..=segments {
        let time_us = 1_700_000_000_000_000 + place * 360_000_000_000;
        let event = Event {
            time_us,
            did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
            body: Body::Commit {
                rev: time_us << 10,
                collection: "app.bsky.feed.like",
                rkey: &format!("k{place}"),
                operation: Operation::Create(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: br#"{"subject":"did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"}"#,
                }),
            },
        };
        writer.apply(&event).unwrap();
        writer.set_cursor(SourceCursor {
            kind: 1,
            endpoint: "wss://example.org".to_owned(),
            value: time_us,
        });
        if place < segments {
            writer.seal().unwrap();
        }
    }
    writer.commit().unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_with_2_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, said) in [
        (&["serve", "--data", data, "--log-size", "3"][..], "1MiB"),
        (
            &["serve", "--data", data, "--jetstream", "http://a.example"],
            "wss://",
        ),
        (
            &["synth", "--events", "1", "--hot-share", "2"],
            "--hot-share",
        ),
        (
            &["dump", "--data", data, "--from-seq", "2", "--to-seq", "1"],
            "--from-seq 2 is after --to-seq 1",
        ),
        (&["synth", "--events", "1", "--rate", "0"], "--rate"),
        (&["demo", "--rate", "0"], "--rate"),
        (&["demo", "--rate", "-1"], "--rate"),
        (&["inspect", "--data", data, "--top", "-1"], "--top"),
        (
            &[
                "serve",
                "--data",
                data,
                "--collections",
                "app.bsky.feed.like",
                "--exclude",
                "app.bsky.*",
            ],
            "nothing is selected",
        ),
        (&["serve", "--data", data, "--bind", "localhost"], "a port"),
    ] {
        let output = run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    for (arguments, said) in [
        (&["serve", "--data", data][..], "--jetstream"),
        (&["serve", "--data", data, "--jetstream", "nope"], "nope"),
    ] {
        let output = run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert!(!Path::new(data).exists());
    let empty = orrery()
        .env("ORRERY_BIND", "")
        .arg("demo")
        .output()
        .unwrap();
    assert_eq!(empty.status.code(), Some(2));
    assert!(text(&empty.stderr).contains("ORRERY_BIND"));
}

#[test]
fn variables_of_flags_take_the_usual_words_and_a_wrong_value_names_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("e");
    std::fs::write(&file, synthetic(1, 20)).unwrap();
    let with = |name: &str, value: &str, arguments: &[&str]| {
        orrery()
            .env(name, value)
            .args(["ingest", "--data"])
            .arg(dir.path().join("data"))
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap()
    };
    for (value, is_json) in [
        ("1", true),
        ("yes", true),
        ("on", true),
        ("true", true),
        ("0", false),
        ("no", false),
        ("off", false),
        ("false", false),
    ] {
        let output = with("ORRERY_JSON", value, &[]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{value}: {}", text(&output.stderr));
        assert_eq!(said.starts_with('{'), is_json, "{value}: {said}");
    }
    for (name, value, arguments, is_named) in [
        ("ORRERY_JSON", "maybe", &[][..], true),
        ("ORRERY_DISK_RESERVE", "much", &[], true),
        (
            "ORRERY_DISK_RESERVE",
            "1MiB",
            &["--disk-reserve", "much"],
            false,
        ),
        (
            "ORRERY_DISK_RESERVE",
            "1MiB",
            &["--disk-reserve=much"],
            false,
        ),
    ] {
        let output = with(name, value, arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.contains(name), is_named, "{said}");
    }
    let output = with("ORRERY_COLECTIONS", "a.b.c", &[]);
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.contains("ORRERY_COLECTIONS"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_server_says_that_it_answers_only_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let source = ["--jetstream", "ws://127.0.0.1:1/subscribe"];
    for (arguments, code) in [
        (
            &[
                "serve",
                "--data",
                data,
                "--bind",
                "127.0.0.1:0",
                "--metrics",
                &taken,
            ][..],
            1,
        ),
        (&["serve", "--data", data, "--bind", &taken], 1),
        (
            &["serve", "--data", "/proc/nowhere", "--bind", "localhost:0"],
            2,
        ),
    ] {
        let output = run(&[arguments, &source].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            !said.contains("answers on") && !said.contains("WARN"),
            "{said}"
        );
    }
}

/// The names of all files of a data directory, and when each was written last.
fn files(data: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut left = vec![data.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
            if path.is_dir() {
                left.push(path.clone());
            }
            found.push((path, changed));
        }
    }
    found.sort();
    found
}

#[test]
fn a_demo_refuses_a_directory_of_other_events() {
    let dir = tempfile::tempdir().unwrap();
    let (file, loaded, followed) = (
        dir.path().join("e"),
        dir.path().join("loaded"),
        dir.path().join("followed"),
    );
    std::fs::write(&file, synthetic(1, 50)).unwrap();
    ingest(&loaded, &[file.to_str().unwrap()]);
    directory(&followed, 1);
    for (data, holds) in [
        (&loaded, "events of files"),
        (&followed, "wss://example.org"),
    ] {
        let before = files(data);
        let name = data.to_str().unwrap();
        let output = run(&["demo", "--data", name, "--bind", "127.0.0.1:0"]);
        assert_eq!(files(data), before);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(holds) && said.contains("new directory"),
            "{said}"
        );
        assert!(!said.contains("--force-source"), "{said}");
    }
}

#[test]
fn a_disk_limit_that_lets_nothing_be_written_is_refused_with_the_least_one() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("e"), dir.path().join("data"));
    std::fs::write(&file, "").unwrap();
    let output = orrery()
        .args(["ingest", "--disk-limit", "1MiB", "--data"])
        .args([&data, &file])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("the least is") && said.contains("MiB"),
        "{said}"
    );
}

#[test]
fn what_is_no_data_directory_is_said_once_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let output = run(&["compact", "--data", none.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!none.exists());
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["ingest", "--data", file, file]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(!said.contains("WARN"), "{said}");
}

#[test]
fn errors_between_two_directories_name_both_and_what_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    directory(&from, 2);
    // The first log file is gone, so the log cannot be replayed.
    let logs = names(&from.join("log"));
    let first = logs.iter().find(|name| name.ends_with(".log")).unwrap();
    std::fs::remove_file(from.join("log").join(first)).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let output = run(&["replay", "--from", from, "--data", to]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("replay {from} into {to}")), "{said}");
    assert_eq!(Path::new(to).exists(), said.contains("remove it"), "{said}");
    let output = run(&["restore", "--from", from, "--data", to]);
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("restore {from} into {to}")),
        "{said}"
    );
}

#[test]
fn a_backup_into_the_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data, 1);
    let before = names(&data);
    for to in [data.clone(), data.join("backup")] {
        let output = orrery()
            .args(["backup", "--data"])
            .arg(&data)
            .arg("--to")
            .arg(&to)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains("outside of it"), "{said}");
    }
    assert_eq!(names(&data), before);
}

#[test]
fn a_backup_without_a_missing_segment_says_so_and_restores_to_where_it_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, to, restored) = (path("data"), path("backup"), path("restored"));
    directory(Path::new(&data), 3);
    let segments = Path::new(&data).join("segments");
    let missing = &names(&segments)[1];
    std::fs::remove_file(segments.join(missing)).unwrap();
    for _ in 0..2 {
        let output = run(&["backup", "--data", &data, "--to", &to, "--json"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(missing) && said.contains("lacks"), "{said}");
        let summary = crate::common::last_line(&output);
        let incomplete = summary["incomplete"].as_array().unwrap();
        assert_eq!(incomplete.len(), 1, "{summary}");
        // Once the store knows of it, it is the same.
        Store::open(&data, Options::default()).unwrap();
    }
    let output = run(&["restore", "--from", &to, "--data", &restored]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let store = Store::open(&restored, Options::default()).unwrap();
    let degraded = store.status().degraded;
    assert_eq!(degraded.len(), 1);
    assert_eq!(&degraded[0].file, missing);
}

#[test]
fn a_start_where_nothing_is_wrong_tells_of_nothing_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data, 2);
    for is_damaged in [false, true] {
        if is_damaged {
            let log = data.join("log");
            let keys = names(&log).into_iter().find(|name| name.ends_with(".keys"));
            std::fs::write(log.join(keys.unwrap()), b"nothing").unwrap();
        }
        let output = run(&["--log", "info", "compact", "--data", data.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("anew"), is_damaged, "{said}");
    }
}

#[test]
fn compact_on_damage_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data, 3);
    let segments = data.join("segments");
    let missing = &names(&segments)[1];
    std::fs::remove_file(segments.join(missing)).unwrap();
    let output = run(&["compact", "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(missing));
}

#[test]
fn inspect_tells_what_stands_behind_the_last_seal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data, 0);
    let data = data.to_str().unwrap();
    let output = run(&["inspect", "--json", "--data", data]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["unsealed"]["events"], 1, "{summary}");
    assert_eq!(
        summary["unsealed"]["cursor"]["value"],
        1_700_000_000_000_000_u64
    );
    let shown = text(&run(&["inspect", "--data", data]).stdout);
    assert!(
        shown.contains("behind the seal") && shown.contains("1 event up to seq"),
        "{shown}"
    );
}

#[test]
fn compact_and_ingest_keep_the_log_window_that_a_server_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("e"));
    directory(&data, 3);
    let logs = || {
        let mut logs = names(&data.join("log"));
        logs.retain(|name| name.ends_with(".log"));
        logs
    };
    let before = logs();
    assert!(before.len() > 3, "{before:?}");
    let output = run(&["compact", "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("0 merges: "));
    assert!(
        before.iter().all(|log| logs().contains(log)),
        "{:?}",
        logs()
    );
    std::fs::write(&file, synthetic(1, 100)).unwrap();
    ingest(&data, &[file.to_str().unwrap()]);
    assert!(
        before.iter().all(|log| logs().contains(log)),
        "{:?}",
        logs()
    );
    // Bounds that are given hold.
    std::fs::write(&file, synthetic(2, 100)).unwrap();
    ingest(&data, &[file.to_str().unwrap(), "--log-age", "1h"]);
    assert!(!before.iter().all(|log| logs().contains(log)));
}

#[test]
fn a_server_without_a_source_merges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data, 12);
    // What waits in the log would be sealed at no time.
    let before = names(&data.join("segments"));
    let log = dir.path().join("log");
    let mut server = Server::start(&["serve", "--data", data.to_str().unwrap()], &log);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(names(&data.join("segments")), before);
    assert!(server.stop(Signal::TERM));
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("events.jsonl");
    std::fs::write(&out, "mine").unwrap();
    let synth =
        |out: &str, more: &[&str]| run(&[&["synth", "--events", "3", "--out", out], more].concat());
    let out = out.to_str().unwrap();
    let refused = synth(out, &[]);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(
        error.contains(out) && error.contains("is there already") && error.contains("--force"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(out).unwrap(), "mine");
    for (out, more) in [
        (out, &["--force"][..]),
        (&format!("{out}-new"), &[]),
        ("/dev/null", &[]),
    ] {
        let written = synth(out, more);
        assert!(written.status.success(), "{}", text(&written.stderr));
        if out != "/dev/null" {
            assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), 3);
        }
    }
}

#[test]
fn what_is_no_data_directory_does_not_become_one_by_a_look() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (empty, full) = (made("empty"), made("full"));
    std::fs::write(dir.path().join("full/notes.txt"), "mine").unwrap();
    for command in ["compact", "repair", "serve", "inspect", "verify"] {
        for data in [&empty, &full] {
            let before = names(Path::new(data));
            let output = run(&[command, "--data", data]);
            let error = text(&output.stderr);
            assert!(!output.status.success(), "{command} {data}: {error}");
            assert!(
                error.contains("data directory"),
                "{command} {data}: {error}"
            );
            assert!(!error.contains("damage"), "{command} {data}: {error}");
            assert_eq!(text(&output.stdout), "", "{command} {data}");
            assert_eq!(names(Path::new(data)), before, "{command}");
        }
    }
    for data in [&empty, &full] {
        for words in [
            &["inspect", "--data", data][..],
            &["repair", "--data", data],
            &["compact", "--data", data],
            &["exclude", "list", "--data", data],
            &["backup", "--data", data, "--to", &format!("{empty}-to")],
        ] {
            let error = text(&run(words).stderr);
            assert!(
                error.contains("this is not a data directory") && error.contains("MANIFEST-"),
                "{words:?}: {error}"
            );
            assert!(!error.contains("new directory"), "{words:?}: {error}");
            let named = error.matches(data.as_str()).count();
            let is_between_two = words[0] == "backup";
            assert_eq!(
                named,
                if is_between_two {
                    2 + usize::from(data == &empty)
                } else {
                    1
                },
                "{words:?}: {error}"
            );
        }
    }
    let output = run(&["serve", "--data", &full, "--jetstream", "ws://127.0.0.1:9"]);
    let error = text(&output.stderr);
    assert!(
        error.contains("notes.txt") && error.contains("name an empty or a new directory"),
        "{error}"
    );
    assert_eq!(error.matches(full.as_str()).count(), 1, "{error}");
    assert_eq!(names(Path::new(&full)), ["notes.txt"]);
}

#[test]
fn a_backup_is_told_apart_from_a_data_directory_and_can_be_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, to, file) = (path("data"), path("to"), path("file"));
    directory(Path::new(&data), 3);
    assert!(
        run(&["backup", "--data", &data, "--to", &to])
            .status
            .success()
    );
    let before = names(Path::new(&to));
    for command in ["serve", "compact", "repair", "inspect"] {
        let output = run(&[command, "--data", &to]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {error}");
        assert!(error.contains("this is a backup"), "{command}: {error}");
        assert!(!error.contains("remove"), "{command}: {error}");
        assert_eq!(names(Path::new(&to)), before, "{command}");
    }
    assert!(run(&["verify", "--data", &to]).status.success());
    std::fs::write(&file, "mine").unwrap();
    let output = run(&["restore", "--from", &to, "--data", &file]);
    let error = text(&output.stderr);
    assert!(
        !output.status.success() && !error.contains("remove"),
        "{error}"
    );
    let segment = &names(&Path::new(&to).join("segments"))[0];
    let segment_path = Path::new(&to).join("segments").join(segment);
    let mut bytes = std::fs::read(&segment_path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(segment_path, bytes).unwrap();
    let output = run(&["verify", "--data", &to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(segment.as_str()));
}

#[test]
fn a_shortened_or_damaged_manifest_costs_no_segment_and_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, to) = (path("data"), path("to"));
    directory(Path::new(&data), 5);
    // As a log window does that is shorter than the index.
    for name in names(&Path::new(&data).join("log")) {
        if !name.starts_with("0000000000000006") {
            std::fs::remove_file(Path::new(&data).join("log").join(name)).unwrap();
        }
    }
    assert!(
        run(&["backup", "--data", &data, "--to", &to])
            .status
            .success()
    );
    let manifest = Path::new(&data).join("MANIFEST-00000001");
    let whole = std::fs::read(&manifest).unwrap();
    let segments = names(&Path::new(&data).join("segments"));
    let mut flipped = whole.clone();
    flipped[60] ^= 1;
    for (bytes, arguments) in [
        (&whole[..300], &[][..]),
        (&flipped[..], &["--backup", to.as_str()][..]),
    ] {
        std::fs::write(&manifest, bytes).unwrap();
        for _ in 0..2 {
            let output = run(&["serve", "--data", &data]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains("orrery repair"), "{error}");
            assert_eq!(names(&Path::new(&data).join("segments")), segments);
        }
        let output = orrery()
            .args(["repair", "--data", &data])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let log = dir.path().join("log");
        let server = Server::start(&["serve", "--data", &data], &log);
        let url = "/links/count?target=did:plc:bbbbbbbbbbbbbbbbbbbbbbbb&collection=app.bsky.feed.like&path=.subject";
        let (status, head, body) = server.get(url).unwrap();
        assert_eq!(
            (status, head.contains("orrery-degraded")),
            (200, false),
            "{head}"
        );
        assert!(body.contains('6'), "{body}");
        drop(server);
        for name in names(Path::new(&data)) {
            if name.starts_with("MANIFEST-") {
                std::fs::remove_file(Path::new(&data).join(name)).unwrap();
            }
        }
    }
}

#[test]
fn what_the_log_lost_marks_answers_until_it_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    directory(Path::new(data), 2);
    let store = Store::open(data, Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 0..20_u64 {
        let time_us = 1_800_000_000_000_000 + place;
        let event = Event {
            time_us,
            did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
            body: Body::Commit {
                rev: time_us << 10,
                collection: "app.bsky.feed.like",
                rkey: &format!("m{place}"),
                operation: Operation::Create(Record {
                    cid: "",
                    encoding: Encoding::Json,
                    body: br#"{"subject":"did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"}"#,
                }),
            },
        };
        writer.apply(&event).unwrap();
        writer.commit().unwrap();
    }
    drop((writer, store));
    let last = names(&Path::new(data).join("log"));
    let last = last.iter().rfind(|name| name.ends_with(".log")).unwrap();
    let last = Path::new(data).join("log").join(last);
    let mut bytes = std::fs::read(&last).unwrap();
    // Behind the frames there may be room that was reserved.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end / 2] ^= 1;
    std::fs::write(&last, bytes).unwrap();
    let ask = |strict: bool| {
        let log = dir.path().join("log");
        let mut arguments = vec!["serve", "--data", data];
        arguments.extend(strict.then_some("--strict"));
        let server = Server::start(&arguments, &log);
        let url = "/links/count?target=did:plc:bbbbbbbbbbbbbbbbbbbbbbbb&collection=app.bsky.feed.like&path=.subject";
        let (status, head, _) = server.get(url).unwrap();
        let (_, _, health) = server.get("/_health").unwrap();
        (status, head, health)
    };
    for _ in 0..2 {
        let (status, head, health) = ask(false);
        assert_eq!(status, 200);
        assert!(
            head.contains("orrery-degraded: ") && head.contains("no-store"),
            "{head}"
        );
        assert!(health.contains("--accept-gaps"), "{health}");
        assert_eq!(ask(true).0, 503);
        let output = run(&["repair", "--data", data]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("--accept-gaps"));
    }
    let output = run(&["repair", "--accept-gaps", "--data", data]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let (status, head, health) = ask(true);
    assert_eq!(
        (status, head.contains("orrery-degraded")),
        (200, false),
        "{head}"
    );
    assert!(!health.contains("lost"), "{health}");
}

#[test]
fn help_tells_no_value_of_a_variable() {
    for words in [
        &["serve", "--help"][..],
        &["serve", "-h"],
        &["help", "serve"],
        &["config", "--help"],
        &["exclude", "--help"],
        &["--help"],
        &["help"],
    ] {
        let output = orrery()
            .args(words)
            .env(
                "ORRERY_JETSTREAM",
                "wss://h.example/subscribe?apikey=SECRET",
            )
            .env("ORRERY_PLC", "https://plc.example/SECRET")
            .env("ORRERY_LOG", "SECRET=info")
            .env("ORRERY_DATA", "/SECRET")
            .output()
            .unwrap();
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(told.contains("ORRERY_LOG"), "{words:?}: {told}");
        assert!(!told.contains("SECRET"), "{words:?}: {told}");
    }
}
