//! The program on a disk that is full, fails or is damaged: it says so, goes on answering, and loses nothing.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Server, ingest, orrery, synthetic, text};
use bytes::Bytes;
use orrery_synth::{Config, Handle, Options, Pace, Source};
use rustix::process::Signal;
use serde_json::Value;

const SEED: u64 = 31;

/// A synthetic server that gives so many events as fast as they are read.
fn stream(runtime: &tokio::runtime::Runtime, events: u64) -> Handle {
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new(Source::Generator(Options::finite(SEED, events)));
        config.pace = Pace::AsRead;
        config.dictionary = Some(Bytes::from_static(orrery_jetstream::DICTIONARY));
        orrery_synth::serve(listener, config).unwrap()
    })
}

fn health(server: &Server) -> Value {
    let (status, _, body) = server.get("/_health").unwrap();
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// Waits until the reason that health gives fits.
fn wait_for_reason(server: &Server, fits: impl Fn(Option<&str>) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let health = health(server);
        if fits(health["reason"].as_str()) {
            return health;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answers(server: &Server) {
    let (status, _, body) = server.get("/").unwrap();
    assert_eq!(status, 200, "{body}");
}

#[test]
fn after_a_failed_write_queries_go_on_and_the_end_is_not_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = stream(&runtime, 200_000);
    // Files may have 400 KiB: the log's first file runs into that, as it would into the end of a disk.
    let mut command = Command::new("bash");
    command
        .args(["-c", r#"trap "" XFSZ; ulimit -f 400; exec "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_orrery"));
    let arguments = [
        "serve",
        "--jetstream",
        &stream.url(),
        "--data",
        data.to_str().unwrap(),
    ];
    let mut server = Server::start_by(command, &arguments, &log);
    let health = wait_for_reason(&server, |reason| reason.is_some());
    assert_eq!(health["status"], "degraded");
    let reason = health["reason"].as_str().unwrap();
    assert!(
        reason.contains("write") && reason.contains("restart"),
        "{reason}"
    );
    std::thread::sleep(Duration::from_millis(300));
    answers(&server);
    assert!(
        !server.stop(Signal::TERM),
        "the failure shows in the exit code"
    );
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("Nothing new is indexed"), "{said}");

    // With the cause gone it opens as it was left.
    ingest(&data, &["/dev/null"]);
}

#[test]
fn ingest_of_a_file_ends_at_the_disk_limit_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("e.jsonl"), dir.path().join("data"));
    std::fs::write(&file, synthetic(SEED, 60_000)).unwrap();
    let file = file.to_str().unwrap();
    let output = orrery()
        .args(["ingest", "--disk-limit", "18MiB", "--data"])
        .arg(&data)
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("too full") && said.contains("raise the disk limit"),
        "{said}"
    );

    // Nothing is torn: with more room the same file is taken, and what is there already is recognised.
    let summary = ingest(&data, &[file]);
    assert!(summary["repeats"].as_u64().unwrap() > 1_000, "{summary}");
    let whole = ingest(&dir.path().join("whole"), &[file]);
    for count in ["records_live", "links_live", "actors"] {
        assert_eq!(summary[count], whole[count], "{count}");
    }
}

/// A file system of its own, unmounted at the end.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    /// `None` where this process may not mount, which it then says.
    fn mount(path: &'a Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: only root can mount a file system to fill");
        None
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn on_a_full_disk_ingest_pauses_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Tmpfs::mount(&disk, "96m") else {
        return;
    };
    let (data, log, filler) = (
        disk.join("data"),
        dir.path().join("log"),
        disk.join("filler"),
    );
    std::fs::write(&filler, vec![1; 90 << 20]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = stream(&runtime, 30_000);
    let arguments = [
        "serve",
        "--disk-reserve",
        "1MiB",
        "--jetstream",
        &stream.url(),
        "--data",
        data.to_str().unwrap(),
    ];
    let mut server = Server::start(&arguments, &log);
    let health = wait_for_reason(&server, |reason| reason.is_some());
    assert_eq!(health["status"], "degraded");
    let reason = health["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("paused: ") && reason.contains("free some space"),
        "{reason}"
    );
    answers(&server);
    assert!(server.stop(Signal::TERM), "a paused server ends well");

    let mut server = Server::start(&arguments, &log);
    wait_for_reason(&server, |reason| reason.is_some());
    std::fs::remove_file(&filler).unwrap();
    wait_for_reason(&server, |reason| reason.is_none());
    assert!(server.stop(Signal::TERM));
    let said = std::fs::read_to_string(&log).unwrap();
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        (lines("paused: "), lines("goes on after")),
        (1, 1),
        "{said}"
    );
}

#[test]
fn answers_without_a_damaged_segment_are_marked_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (seed, name) in [(SEED, "a"), (SEED + 1, "b")] {
        let file = dir.path().join(name);
        std::fs::write(&file, synthetic(seed, 3_000)).unwrap();
        ingest(&data, &[file.to_str().unwrap()]);
    }
    let mut segments: Vec<_> = std::fs::read_dir(data.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let [damaged, _] = &segments[..] else {
        panic!("{segments:?}");
    };
    // Where a query looks, and not where opening does.
    let mut bytes = std::fs::read(damaged).unwrap();
    let (start, end) = (bytes.len() / 3, bytes.len() * 2 / 3);
    bytes[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
    std::fs::write(damaged, bytes).unwrap();

    let log = dir.path().join("log");
    let data = data.to_str().unwrap();
    let all = "/links/all?target=did:plc:nobody";
    let mut server = Server::start(&["serve", "--data", data], &log);
    let (status, head, body) = server.get(all).unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("orrery-degraded: 1-"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let health = health(&server);
    assert_eq!(health["status"], "degraded");
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(
        health["reason"].as_str().unwrap().contains(name),
        "{health}"
    );
    assert!(server.stop(Signal::TERM));

    let server = Server::start(&["serve", "--strict", "--data", data], &log);
    let (status, _, body) = server.get(all).unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("IndexDegraded"), "{body}");
}
