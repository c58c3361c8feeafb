//! A read error in a mapped file kills the process by SIGBUS; the next open knows which file it was. The
//! error is made by truncating a file under its mapping, in a child process: this test, run again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is to end the test")]

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::io::mmap::{catch_faults, give_back_freed_memory};
use orrery_engine::{Options, Store};

const SIGBUS: i32 = 7;
const LIKE: &str = "app.bsky.feed.like";
const POST: &str = "at://did:plc:cccccccccccccccccccccccc/app.bsky.feed.post/3mabc2222222a";

/// Tells the child what to do, and where.
const TASK: &str = "ORRERY_TEST_TASK";
const DIR: &str = "ORRERY_TEST_DIR";

fn run_child(task: &str, dir: &Path) -> (ExitStatus, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(TASK, task)
        .env(DIR, dir)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, stderr)
}

/// Not a test but the child's work; does nothing when run by itself.
#[test]
fn child() {
    let (Ok(task), Ok(dir)) = (std::env::var(TASK), std::env::var(DIR)) else {
        return;
    };
    let dir = PathBuf::from(dir);
    catch_faults(&dir).unwrap();
    let store = Store::open(&dir, Options::default()).unwrap();
    match task.as_str() {
        "segment" => {
            truncate(&segments(&dir)[1]);
            links(&store);
        }
        "elsewhere" => {
            // A mapping of a file that is not in the data directory.
            let other = tempfile::NamedTempFile::new().unwrap();
            other.as_file().set_len(8192).unwrap();
            let map = orrery_engine::io::OsFs::shared().map(other.path()).unwrap();
            truncate(other.path());
            assert_eq!(map[5000], 0);
        }
        "sent" => {
            let status = Command::new("kill")
                .args(["-BUS", &std::process::id().to_string()])
                .status();
            assert!(status.unwrap().success());
        }
        _ => panic!("no such task"),
    }
}

fn truncate(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("segments")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The links to one post, counted by reading every row's author.
fn links(store: &Store) -> usize {
    let snapshot = store.snapshot();
    let Some(key) = snapshot.target_key(POST).unwrap() else {
        return 0;
    };
    let mut count = 0;
    for part in snapshot.parts() {
        if let Some(list) = part.list(&key, LIKE, ".subject.uri").unwrap() {
            for row in list.iter_from(0) {
                snapshot.did(part.actor(row.unwrap()).unwrap()).unwrap();
                count += 1;
            }
        }
    }
    count
}

/// A store of three segments with 100 links each, by accounts of their own.
fn three_segments(dir: &Path) {
    let store = Store::open(dir, Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    let body = format!(r#"{{"subject":{{"uri":"{POST}"}}}}"#);
    for part in 0..3_u64 {
        for n in 0..100 {
            let time_us = 1_767_225_600_000_000 + (part * 100 + n) * 1_000;
            let letters = ["a", "b", "c"].get(part as usize).unwrap().repeat(22);
            let did = format!("did:plc:{letters}{}{}", digit(n / 10), digit(n % 10));
            let applied = writer.apply(&Event {
                time_us,
                did: &did,
                body: Body::Commit {
                    rev: time_us << 10,
                    collection: LIKE,
                    rkey: "self",
                    operation: Operation::Create(Record {
                        cid: "",
                        encoding: Encoding::Json,
                        body: body.as_bytes(),
                    }),
                },
            });
            applied.unwrap();
        }
        writer.seal().unwrap();
    }
    assert_eq!(links(&store), 300);
}

fn digit(n: u64) -> char {
    char::from(b'a' + n as u8)
}

#[test]
fn a_read_error_kills_the_process_and_leaves_the_name_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    let path = &segments(dir.path())[1];
    let (status, stderr) = run_child("segment", dir.path());
    assert_eq!(status.signal(), Some(SIGBUS), "{status} {stderr}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        stderr.contains(&format!("finds out which: segments/{name}")),
        "{stderr}"
    );
    let marker = fs::read_to_string(dir.path().join("FAULT")).unwrap();
    assert!(
        marker.starts_with(&format!("orrery fault 1\nsegments/{name}\n")),
        "{marker}"
    );

    // The damage is still there: the segment is set aside, now and from then on, and the others answer.
    for _ in 0..2 {
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let [degraded] = &store.status().degraded[..] else {
            panic!("{:?}", store.status());
        };
        assert_eq!(degraded.file, name);
        assert_eq!((degraded.first_seq, degraded.last_seq), (101, 200));
        assert!(degraded.why.contains("0 bytes"), "{}", degraded.why);
        assert_eq!(links(&store), 200);
        assert!(!dir.path().join("FAULT").exists());
    }
    assert_eq!(fs::read(path).unwrap(), [0; 0], "the file is kept");
}

#[test]
fn after_a_passing_read_error_everything_is_read_and_served() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    let name = segments(dir.path())[1].clone();
    let name = name.file_name().unwrap().to_str().unwrap();
    let marker = format!("orrery fault 1\nsegments/{name}\n4096\n");
    fs::write(dir.path().join("FAULT"), marker).unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(store.status().degraded, []);
    assert_eq!(links(&store), 300);
    assert!(!dir.path().join("FAULT").exists());
}

#[test]
fn a_marker_without_a_name_has_every_segment_read() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    let path = &segments(dir.path())[2];
    let mut bytes = fs::read(path).unwrap();
    // The middle of the file is not looked at when it is opened.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::write(dir.path().join("FAULT"), "orrery fau").unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let degraded = store.status().degraded;
    assert_eq!(degraded.len(), 1);
    let why = &degraded[0].why;
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(why.contains(name) && why.contains("checksum"), "{why}");
}

#[test]
fn a_signal_from_elsewhere_is_passed_on_and_leaves_no_marker() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    let (status, stderr) = run_child("elsewhere", dir.path());
    assert_eq!(status.signal(), Some(SIGBUS), "{status} {stderr}");
    assert!(!stderr.contains("orrery:"), "{stderr}");
    // A signal that someone sends goes to the handler of the standard library, whatever that does.
    run_child("sent", dir.path());
    assert!(!dir.path().join("FAULT").exists());
}

#[test]
fn a_store_can_be_read_without_mappings() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    let mut options = Options::default();
    options.map_files = false;
    let store = Store::open(dir.path(), options).unwrap();
    // A file that goes away under a mapping would be a signal; here it was read before.
    truncate(&segments(dir.path())[0]);
    assert_eq!(links(&store), 300);
}

/// Here, since it holds for the whole process: tests that open hundreds of stores would take and give back the same memory each time.
#[test]
fn the_allocator_takes_the_bounds() {
    assert!(give_back_freed_memory());
}
