//! `orrery ingest` and `orrery synth` on the command line.

use std::io::Write;
use std::process::Stdio;

use crate::common::{ingest, last_line, orrery, synthetic, text};
use serde_json::json;

#[test]
fn plain_gzip_zstd_and_standard_input_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let lines = synthetic(3, 2000);
    let plain = dir.path().join("a.jsonl");
    std::fs::write(&plain, &lines).unwrap();
    let gz = dir.path().join("a.jsonl.gz");
    let file = std::fs::File::create(&gz).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let zst = dir.path().join("a.jsonl.zst");
    std::fs::write(&zst, zstd::encode_all(lines.as_bytes(), 1).unwrap()).unwrap();

    let mut summaries = Vec::new();
    for (place, file) in [&plain, &gz, &zst].into_iter().enumerate() {
        let data = dir.path().join(format!("data{place}"));
        summaries.push(ingest(&data, &[file.to_str().unwrap()]));
    }
    let mut child = orrery()
        .args(["ingest", "--json", "-", "--data"])
        .arg(dir.path().join("stdin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    summaries.push(last_line(&child.wait_with_output().unwrap()));

    for summary in &mut summaries {
        let members = summary.as_object_mut().unwrap();
        for name in ["seconds", "cpu_seconds"] {
            assert!(members.remove(name).unwrap().as_f64().unwrap() > 0.0);
        }
        assert!(
            members.remove("bytes").unwrap()["segments"]
                .as_u64()
                .unwrap()
                > 0
        );
        // Sketches of accounts take as many bytes as the directory's own secret makes of them.
        let written = members.remove("index_written").unwrap();
        assert!(written["seals"].as_u64().unwrap() > 0);
    }
    assert_eq!(summaries[0]["events"], 2000);
    assert_eq!(summaries[0]["bad_lines"], json!({}));
    assert!(summaries[0]["links"].as_u64().unwrap() > 1500);
    for summary in &summaries {
        assert_eq!(summary, &summaries[0]);
    }
}

#[test]
fn bad_lines_are_counted_by_reason_and_the_first_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mixed.jsonl");
    let good = synthetic(4, 3);
    let good: Vec<&str> = good.lines().collect();
    let bad_did = r#"{"did":"nobody","time_us":1786000000000000,"kind":"identity","identity":{"did":"nobody","seq":1,"time":"t"}}"#;
    let lines = [
        good[0], "{", "", "[]", "{", good[1], bad_did, "\u{feff}", good[2],
    ];
    std::fs::write(&file, lines.join("\r\n")).unwrap();
    let output = orrery()
        .args(["ingest", "--json", "--data"])
        .arg(dir.path().join("data"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success());
    let summary = last_line(&output);
    assert_eq!(
        summary["bad_lines"],
        json!({"bad_json": 3, "not_object": 1, "invalid_did": 1})
    );
    assert_eq!(summary["events"], 3);
    let log = text(&output.stderr);
    assert!(log.contains("line 2") && log.contains("bad_json"), "{log}");
    assert!(!log.contains("line 5"), "{log}");
}

#[test]
fn a_file_without_one_event_is_named_and_the_others_are_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good.jsonl", synthetic(8, 50).as_bytes());
    let random: Vec<u8> = (0..4096_u32).map(|n| (n * n % 251) as u8 | 1).collect();
    // Half of a pair of surrogates is no text.
    let refused = r#"{"did":"did:plc:xrwpozfl4tg6egopf5vcuhz2","time_us":1790086400000000,"kind":"commit","commit":{"rev":"3mw4fvzuk2222","operation":"create","collection":"a.b.c","rkey":"x","record":{"a":"\ud800"},"cid":"bafyreieebasw76jguelljjutgsinjcunlt3kdpqe43q45azvkq7b2bdwii"}}"#;
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("braces", b"{}"),
        ("words", b"not json\nnot json"),
        ("random", &random),
        ("refused", refused.as_bytes()),
    ] {
        let bad = write(name, bytes);
        let data = dir.path().join(format!("data-{name}"));
        if name == "empty" {
            ingest(&data, &[&bad]);
            continue;
        }
        let output = orrery()
            .args(["ingest", "--json", &bad, &good, "--data"])
            .arg(&data)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{name} is")), "{said}");
        assert_eq!(
            said.contains("is an event with a record that cannot be read"),
            name == "refused",
            "{said}"
        );
        assert!(!said.contains("good.jsonl is"), "{said}");
        assert_eq!(last_line(&output)["events"], 50);
        let again = ingest(&data, &[&good]);
        assert_eq!(again["repeats"], 50, "all of it was loaded");
    }
}

#[test]
fn a_cut_file_is_an_error_that_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cut.zst");
    let packed = zstd::encode_all(synthetic(5, 5000).as_bytes(), 1).unwrap();
    std::fs::write(&file, &packed[..packed.len() / 2]).unwrap();
    let output = orrery()
        .args(["ingest", "--data"])
        .arg(dir.path().join("data"))
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("cut.zst beyond line"), "{error}");
}

#[test]
fn selection_leaves_collections_out_and_bad_patterns_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.jsonl");
    std::fs::write(&file, synthetic(6, 2000)).unwrap();
    let file = file.to_str().unwrap();
    let arguments = [
        "--by-source",
        "--collections",
        "app.bsky.feed.*",
        "--exclude",
        "app.bsky.feed.like",
        file,
    ];
    let summary = ingest(&dir.path().join("data"), &arguments);
    assert!(summary["unselected"].as_u64().unwrap() > 1000);
    let sources = summary["links_by_source"].as_object().unwrap();
    assert!(sources.contains_key("app.bsky.feed.repost:subject.uri"));
    for source in sources.keys() {
        assert!(source.starts_with("app.bsky.feed."), "{source}");
        assert!(!source.starts_with("app.bsky.feed.like:"), "{source}");
    }
    let output = orrery()
        .args(["ingest", "--collections", "likes", file, "--data"])
        .arg(dir.path().join("other"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("\"likes\""));
}

#[test]
fn usage_errors_end_with_2_and_others_with_1() {
    for (arguments, code) in [
        (&["nonsense"][..], 2),
        (&["serve"], 2),
        (&["synth", "--events", "10", "--hot-share", "3"], 2),
        (
            &["ingest", "--data", "/proc/nowhere", "/nonexistent.jsonl"],
            1,
        ),
        (&["--log", "a=b=c", "synth", "--events", "1"], 2),
        (&["--log", "loud", "synth", "--events", "1"], 2),
    ] {
        let output = orrery().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_closed_pipe_ends_synth_in_silence() {
    let mut child = orrery()
        .args(["synth", "--events", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}
