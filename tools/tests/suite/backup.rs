//! `orrery backup` and `orrery restore`: consistent beside a running server, incremental, and whatever ends
//! one before its time, the backup before still restores.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::common::directory::{apply, copy, files, options};
use crate::common::{
    Server, answers_of, assert_same, ingest, last_line, orrery, synthetic, targets, text,
};
use bytes::Bytes;
use orrery_engine::offline::verify::verify;
use orrery_synth::{Config, Options, Pace, Source};
use rustix::process::Signal;
use serde_json::Value;

fn run(command: &str, arguments: &[(&str, &Path)]) -> Output {
    let mut run = orrery();
    run.args([command, "--json"]);
    for (name, path) in arguments {
        run.arg(name).arg(path);
    }
    run.output().unwrap()
}

fn backup(data: &Path, to: &Path) -> Value {
    let output = run("backup", &[("--data", data), ("--to", to)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    last_line(&output)
}

fn restore(from: &Path, data: &Path) -> Value {
    let output = run("restore", &[("--from", from), ("--data", data)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    last_line(&output)
}

fn assert_clean(data: &Path) {
    let mut damages = Vec::new();
    verify(data, false, &mut |damage| damages.push(damage.to_string())).unwrap();
    assert_eq!(damages, [""; 0], "{}", data.display());
}

#[test]
fn a_restored_backup_answers_alike_and_a_second_one_copies_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let lines = synthetic(31, 9_000);
    let all: Vec<&str> = lines.lines().collect();
    let targets = targets(lines.lines());
    let mut seal = options(1_500);
    seal.compact = false;
    apply(&data, &all[..5_000].join("\n"), seal.clone());
    let first = backup(&data, &to);
    assert_eq!(first["number"], 1);
    assert_eq!(first["files_skipped"], 0);
    assert_eq!(first["last_seq"], 5_000);
    assert_eq!(first["sealed_through"], 4_500);
    let then = answers_of(&copied(&data, dir.path(), "then"), &targets);

    // Nothing new: nothing is copied.
    let again = backup(&data, &to);
    assert_eq!(again["files_copied"], 0, "{again}");
    assert_eq!(again["files_skipped"], first["files_copied"]);
    let restored = dir.path().join("restored-1");
    restore(&to, &restored);
    assert_clean(&restored);
    assert_same("the first", &then, &answers_of(&restored, &targets));

    let old: Vec<PathBuf> = files(&to);
    apply(&data, &all[5_000..].join("\n"), seal);
    let second = backup(&data, &to);
    let grown = second["bytes_copied"].as_u64().unwrap();
    assert!(grown < first["bytes_copied"].as_u64().unwrap(), "{second}");
    assert_eq!(second["notes"], serde_json::json!([]));
    for file in old
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "seg"))
    {
        assert!(to.join(file).exists(), "{} is still needed", file.display());
    }
    let restored = dir.path().join("restored-2");
    let report = restore(&to, &restored);
    assert_eq!(report["number"], 3);
    assert_clean(&restored);
    let now = answers_of(&copied(&data, dir.path(), "now"), &targets);
    assert_same("the second", &now, &answers_of(&restored, &targets));

    // A restored directory goes on: the same events again change nothing.
    let file = dir.path().join("all.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let summary = ingest(&restored, &[file.to_str().unwrap()]);
    assert_eq!(summary["records"], 0, "{summary}");
}

/// A copy of a directory, to be opened without changing the original.
fn copied(data: &Path, dir: &Path, name: &str) -> PathBuf {
    let to = dir.join(name);
    copy(data, &to);
    to
}

#[test]
fn what_an_interruption_leaves_neither_counts_nor_is_copied_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let lines = synthetic(32, 6_000);
    let all: Vec<&str> = lines.lines().collect();
    let targets = targets(lines.lines());
    apply(&data, &all[..3_000].join("\n"), options(1_000));
    backup(&data, &to);
    let then = answers_of(&copied(&data, dir.path(), "then"), &targets);
    let before = copied(&to, dir.path(), "before");
    apply(&data, &all[3_000..].join("\n"), options(1_000));
    backup(&data, &to);

    // As if it had ended before its catalog: the new files are there, and a half one, and the old catalog.
    std::fs::remove_file(to.join("BACKUP-00000002")).unwrap();
    std::fs::copy(before.join("BACKUP-00000001"), to.join("BACKUP-00000001")).unwrap();
    for file in files(&before) {
        if !to.join(&file).exists() {
            std::fs::copy(before.join(&file), to.join(&file)).unwrap();
        }
    }
    std::fs::write(to.join("segments/half.seg.tmp"), "half").unwrap();
    std::fs::write(to.join("BACKUP-00000002.tmp"), "half").unwrap();
    let restored = dir.path().join("restored");
    assert_eq!(restore(&to, &restored)["number"], 1);
    assert_clean(&restored);
    assert_same("interrupted", &then, &answers_of(&restored, &targets));

    let next = backup(&data, &to);
    assert!(
        next["notes"][0].as_str().unwrap().contains("interrupted"),
        "{next}"
    );
    assert_eq!(next["number"], 2);
    let segments_copied = next["bytes_copied"].as_u64().unwrap();
    assert!(
        segments_copied < 200_000,
        "whole files are taken over: {next}"
    );
    assert!(!to.join("segments/half.seg.tmp").exists());
    let restored = dir.path().join("restored-2");
    restore(&to, &restored);
    let now = answers_of(&copied(&data, dir.path(), "now"), &targets);
    assert_same("completed", &now, &answers_of(&restored, &targets));
}

#[test]
fn damage_is_named_and_never_backed_up_or_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    apply(&data, &synthetic(33, 4_000), options(1_000));
    let segment = files(&data)
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let name = segment.file_name().unwrap().to_str().unwrap();
    flip(&data.join(&segment));
    let output = run("backup", &[("--data", &data), ("--to", &to)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(name),
        "{}",
        text(&output.stderr)
    );
    let output = run(
        "restore",
        &[("--from", &to), ("--data", &dir.path().join("none"))],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no backup"),
        "{}",
        text(&output.stderr)
    );

    flip(&data.join(&segment));
    backup(&data, &to);
    flip(&to.join(&segment));
    let half = dir.path().join("half");
    let output = run("restore", &[("--from", &to), ("--data", &half)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(name),
        "{}",
        text(&output.stderr)
    );
    // What it left is neither a directory to serve nor an empty one.
    let output = run("restore", &[("--from", &to), ("--data", &half)]);
    assert!(
        text(&output.stderr).contains("not empty"),
        "{}",
        text(&output.stderr)
    );
    let output = orrery()
        .args(["serve", "--data"])
        .arg(&half)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no manifest"),
        "{}",
        text(&output.stderr)
    );

    // The damaged copy is found and replaced when asked for.
    let output = orrery()
        .args(["backup", "--recheck", "--json", "--data"])
        .arg(&data)
        .arg("--to")
        .arg(&to)
        .output()
        .unwrap();
    assert_eq!(
        last_line(&output)["files_copied"],
        1,
        "{}",
        text(&output.stderr)
    );
    restore(&to, &dir.path().join("whole"));
}

#[test]
fn a_backup_into_a_wrong_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    apply(&data, &synthetic(34, 1_000), options(400));
    apply(&other, &synthetic(35, 1_000), options(400));
    let to = dir.path().join("backup");
    backup(&data, &to);
    for (from, to, why) in [
        (&other, &to, "another data directory"),
        (&data, &other, "MANIFEST-"),
        (&data, &data, "lies in the data directory"),
    ] {
        let output = run("backup", &[("--data", from), ("--to", to)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(why),
            "{}",
            text(&output.stderr)
        );
    }
    // One that is refused leaves nothing there.
    let (full, file) = (dir.path().join("full"), dir.path().join("full/a-file"));
    std::fs::create_dir(&full).unwrap();
    std::fs::write(file, "").unwrap();
    let output = run("backup", &[("--data", &data), ("--to", &full)]);
    let error = text(&output.stderr);
    assert!(error.contains("it holds a-file; name"), "{error}");
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1);
    let output = run("restore", &[("--from", &to), ("--data", &other)]);
    assert!(
        text(&output.stderr).contains("not empty"),
        "{}",
        text(&output.stderr)
    );
    assert_clean(&data);
    assert_clean(&other);
}

#[test]
fn backups_and_looks_beside_a_server_that_ingests_are_whole() {
    let events = 120_000;
    let lines = synthetic(36, events);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(Source::Generator(Options::finite(36, events)));
        config.pace = Pace::AsRead;
        config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
        orrery_synth::serve(listener, config).unwrap()
    });
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let url = stream.url();
    let arguments = [
        "serve",
        "--jetstream",
        &url,
        "--data",
        data.to_str().unwrap(),
    ];
    let mut server = Server::start(&arguments, &dir.path().join("log"));
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut seqs = Vec::new();
    let mut restored = 0;
    while seqs.last().copied().unwrap_or(0) < events && Instant::now() < deadline {
        let report = backup(&data, &to);
        let seq = report["last_seq"].as_u64().unwrap();
        assert!(
            seqs.last().is_none_or(|last| *last <= seq),
            "{seqs:?}, {seq}"
        );
        if seqs.last() != Some(&seq) && restored < 3 {
            restored += 1;
            let at = dir.path().join(format!("restored-{restored}"));
            restore(&to, &at);
            assert_clean(&at);
            let prefix: Vec<&str> = lines.lines().take(seq as usize).collect();
            let targets = targets(prefix.iter().copied().take(3_000));
            let alone = dir.path().join(format!("alone-{restored}"));
            apply(
                &alone,
                &prefix.join("\n"),
                orrery_engine::Options::default(),
            );
            let wanted = answers_of(&alone, &targets);
            assert_same("as of the cursor", &wanted, &answers_of(&at, &targets));
        }
        seqs.push(seq);
        for command in [
            &["inspect", "--json"][..],
            &["verify"],
            &["inspect", "--top", "5"],
        ] {
            let output = orrery()
                .args(command)
                .arg("--data")
                .arg(&data)
                .output()
                .unwrap();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success(), "{command:?}: {out}{err}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(seqs.last(), Some(&events), "{seqs:?}");
    assert!(restored > 0);
    // A second writer is refused by name.
    let output = orrery()
        .args(["ingest", "/dev/null", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("LOCK is locked"),
        "{}",
        text(&output.stderr)
    );
    assert!(server.stop(Signal::TERM));
    runtime.block_on(stream.stop());
}

#[test]
fn seals_merges_and_trims_meanwhile_harm_no_look_and_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let lines = synthetic(37, 40_000);
    let mut busy = options(500);
    busy.compact_fan_in = 3;
    busy.compact_share = 1.0;
    busy.log_bytes_max = 400_000;
    let first: Vec<&str> = lines.lines().take(1_000).collect();
    apply(&data, &first.join("\n"), busy.clone());
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut rounds = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in lines.lines().collect::<Vec<_>>().chunks(4_000) {
                apply(&data, &part.join("\n"), busy.clone());
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            rounds += 1;
            assert_clean(&data);
            let report = orrery_engine::offline::backup(&data, &to, false).unwrap();
            assert_eq!(report.notes, [""; 0]);
            let at = dir.path().join(format!("restored-{rounds}"));
            orrery_engine::offline::restore(&to, &at).unwrap();
            assert_clean(&at);
            let seq = orrery_engine::Store::open(&at, orrery_engine::Options::default())
                .unwrap()
                .snapshot()
                .last_seq();
            assert_eq!(seq, report.last_seq);
            std::fs::remove_dir_all(&at).unwrap();
        }
    });
    assert!(rounds > 2, "{rounds}");
    let targets = targets(lines.lines());
    backup(&data, &to);
    let at = dir.path().join("restored");
    restore(&to, &at);
    assert_clean(&at);
    let now = answers_of(&copied(&data, dir.path(), "now"), &targets);
    assert_same("at the end", &now, &answers_of(&at, &targets));
    // Files of replaced segments and of the trimmed log do not gather.
    let segments = |dir: &Path| {
        let mut files = files(dir);
        files.retain(|file| file.extension().is_some_and(|e| e == "seg" || e == "log"));
        files.len()
    };
    assert_eq!(segments(&to), segments(&data));
}
