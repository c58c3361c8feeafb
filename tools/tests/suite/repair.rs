//! `orrery repair`: segments that are damaged, cut or gone come back from the log or a backup, and answer as before; what
//! does not come back is named.

use std::path::{Path, PathBuf};

use crate::common::directory::{apply, copy, files, options, try_apply};
use crate::common::{answers_of, assert_same, ingest, last_line, orrery, synthetic, targets, text};
use orrery_engine::Store;
use orrery_engine::offline::verify::verify;
use serde_json::Value;

fn repair(data: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = orrery()
        .args(["repair", "--json", "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    assert!(code < 2, "{}", text(&output.stderr));
    (code, last_line(&output))
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let files = files(&data.join("segments")).into_iter();
    files.map(|file| data.join("segments").join(file)).collect()
}

fn damage(path: &Path, how: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let half = bytes.len() / 2;
    match how % 3 {
        0 => bytes[half] ^= 0x10,
        1 => bytes.truncate(half),
        _ => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

fn assert_clean(data: &Path) {
    let mut damages = Vec::new();
    verify(data, false, &mut |damage| damages.push(damage.to_string())).unwrap();
    assert_eq!(damages, [""; 0], "{}", data.display());
}

#[test]
fn segments_come_back_from_log_or_backup_and_answer_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let lines = synthetic(23, 9_000);
    apply(&data, &lines, options(1_400));
    let targets = targets(lines.lines());
    let backup = dir.path().join("backup");
    let made = orrery()
        .args(["backup", "--data"])
        .arg(&data)
        .arg("--to")
        .arg(&backup)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let backup = backup.to_str().unwrap();
    let original = dir.path().join("original");
    copy(&data, &original);
    let wanted = answers_of(&original, &targets);

    let count = segments(&data).len();
    assert!(count > 3, "{count}");
    for (at, outcome) in [(1, "log"), (0, "log"), (count - 1, "backup"), (2, "backup")] {
        let broken = dir.path().join(format!("broken-{at}"));
        copy(&data, &broken);
        damage(&segments(&broken)[at], at);
        let arguments: &[&str] = if outcome == "backup" {
            &["--backup", backup]
        } else {
            &[]
        };
        let (code, dry) = repair(&broken, &[arguments, &["--dry-run"]].concat());
        assert_eq!(code, 1, "there is damage, though it can be repaired: {dry}");
        let (code, report) = repair(&broken, arguments);
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["whole"], true);
        assert_eq!(report["segments"].as_array().unwrap().len(), 1, "{report}");
        assert_eq!(report["segments"][0]["outcome"], outcome, "{report}");
        assert_clean(&broken);
        assert_same(outcome, &wanted, &answers_of(&broken, &targets));
        let (code, report) = repair(&broken, &["--dry-run"]);
        assert_eq!((code, &report["segments"]), (0, &Value::Array(Vec::new())));
    }
}

/// Events that come while a segment is set aside seem to be of new accounts, and miss the rows that they delete.
#[test]
fn a_repair_after_a_degraded_run_answers_as_if_nothing_had_been_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let lines = synthetic(29, 8_000);
    let (half, rest) = {
        let at = lines.match_indices('\n').nth(4_999).unwrap().0 + 1;
        lines.split_at(at)
    };
    let targets = targets(lines.lines());
    let [whole, broken] = ["whole", "broken"].map(|name| dir.path().join(name));
    apply(&whole, &lines, options(1_100));
    apply(&broken, half, options(1_100));
    damage(&segments(&broken)[1], 1);
    // Events of accounts that the damaged segment may hold wait.
    let waits = try_apply(&broken, rest, options(1_100)).unwrap_err();
    assert!(waits.to_string().contains("orrery repair"), "{waits}");
    let degraded = Store::open(&broken, options(1_100)).unwrap().status();
    assert_eq!(degraded.degraded.len(), 1);
    let (code, report) = repair(&broken, &[]);
    assert_eq!(code, 0, "{report}");
    apply(&broken, rest, options(1_100));
    assert_clean(&broken);
    assert_same(
        "repaired",
        &answers_of(&whole, &targets),
        &answers_of(&broken, &targets),
    );
}

#[test]
fn what_stays_lost_is_named_by_file_seqs_and_times_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut options = options(1_000);
    options.log_bytes_max = 0;
    apply(&data, &synthetic(31, 5_500), options);
    let path = segments(&data).remove(1);
    damage(&path, 0);
    let before = files(&data);
    let (code, dry) = repair(&data, &["--dry-run"]);
    assert_eq!((code, &dry["dry_run"]), (1, &Value::Bool(true)));
    assert_eq!(files(&data), before);

    let (code, report) = repair(&data, &[]);
    assert_eq!(
        (code, &report["whole"]),
        (1, &Value::Bool(false)),
        "{report}"
    );
    let lost = &report["segments"][0];
    assert_eq!(lost["outcome"], "lost");
    assert!(path.ends_with(lost["file"].as_str().unwrap()), "{lost}");
    assert_eq!(
        (&lost["first_seq"], &lost["last_seq"]),
        (&1001.into(), &2000.into())
    );
    assert!(
        lost["first_time"].as_str().unwrap().ends_with('Z'),
        "{lost}"
    );
    assert_eq!(dry["segments"], report["segments"]);
    assert_eq!(lost["written_off"], false);

    let output = orrery()
        .args(["repair", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(told.contains("seq 1,001 to 2,000, 20"), "{told}");
    assert!(told.contains("not brought back"), "{told}");
    assert!(told.contains("--backup"), "{told}");
    let failed = text(&output.stderr).to_owned();
    assert!(failed.contains("is repaired: 1 segment"), "{failed}");
    let status = Store::open(&data, crate::common::directory::options(1_000))
        .unwrap()
        .status();
    assert_eq!(status.degraded.len(), 1, "it opens, and says so");
    assert!(!status.degraded[0].is_written_off);

    // It stays lost where that is said.
    damage(&path, 1);
    let (code, report) = repair(&data, &["--write-off"]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["segments"][0]["written_off"], true, "{report}");
    let status = Store::open(&data, crate::common::directory::options(1_000))
        .unwrap()
        .status();
    assert!(status.degraded[0].is_written_off);
}

#[test]
fn a_directory_or_backup_that_is_not_there_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for data in [&nowhere, &dir.path().to_owned()] {
        let output = orrery()
            .args(["repair", "--data"])
            .arg(data)
            .arg("--backup")
            .arg(&nowhere)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    assert!(!nowhere.exists());
}

#[test]
fn a_damaged_exclude_list_is_told_and_no_repair_puts_another_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let [file, data] = ["e", "data"].map(|name| dir.path().join(name));
    std::fs::write(&file, synthetic(3, 300)).unwrap();
    ingest(&data, &[file.to_str().unwrap()]);
    let run = |arguments: &[&str]| {
        let output = orrery().args(arguments).arg("--data").arg(&data).output();
        let output = output.unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code(), said)
    };
    assert_eq!(
        run(&["exclude", "add", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"]).0,
        Some(0)
    );
    assert!(run(&["repair", "--dry-run"]).1.contains("no damage"));
    let list = data.join("EXCLUSIONS");
    damage(&list, 0);
    let damaged = std::fs::read(&list).unwrap();
    for (words, verdict) in [
        (&["repair", "--dry-run"][..], "the exclude list of"),
        (&["repair"], "is repaired: the exclude list"),
    ] {
        let (code, said) = run(words);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("EXCLUSIONS: the exclude list is damaged"),
            "{said}"
        );
        assert!(
            said.contains(verdict) && !said.contains("no damage"),
            "{said}"
        );
        assert!(!said.contains("note: EXCLUSIONS"), "{said}");
    }
    let (_, report) = repair(&data, &["--dry-run"]);
    assert!(
        report["exclusions"].is_string() && report["whole"] == false,
        "{report}"
    );
    assert_eq!(std::fs::read(&list).unwrap(), damaged);
}

#[test]
fn a_dry_run_ends_with_1_where_only_the_manifest_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let [file, data, backup] = ["e", "data", "backup"].map(|name| dir.path().join(name));
    std::fs::write(&file, synthetic(3, 300)).unwrap();
    ingest(&data, &[file.to_str().unwrap()]);
    let made = orrery()
        .args(["backup", "--data"])
        .arg(&data)
        .arg("--to")
        .arg(&backup)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let arguments = ["--backup", backup.to_str().unwrap()];
    assert_eq!(repair(&data, &arguments).0, 0);
    let names = files(&data);
    let manifest = names
        .iter()
        .find(|name| name.to_string_lossy().starts_with("MANIFEST-"));
    let manifest = data.join(manifest.unwrap());
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let (code, report) = repair(&data, &[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(
        (code, &report["whole"]),
        (1, &Value::Bool(false)),
        "{report}"
    );
    let (code, report) = repair(&data, &arguments);
    assert_eq!(
        (code, &report["whole"]),
        (0, &Value::Bool(true)),
        "{report}"
    );
    assert_eq!(repair(&data, &["--dry-run"]).0, 0);
}
