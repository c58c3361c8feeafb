//! A key window over a log that lacks frames or files: it says from where on it knows all keys.

use super::keys::{Kept, KeyHasher, KeyWindow, KeyWrite, Meaning};
use super::{LogFile, LogOptions, LogWriter, Replayed, keys_name, log_name, recover};
use crate::error::Result;
use crate::io::Fs;
use crate::io::fault::SimFs;
use orrery_formats::event::{Body, Event, Operation};
use orrery_formats::manifest::GapEntry;
use std::path::{Path, PathBuf};

const DIRECTORY: [u8; 16] = *b"orrery-directory";
const DIR: &str = "/data/log";
/// Files of the log, and events in each, of which each has a frame.
const FILES: u64 = 4;
const EVENTS: u64 = 10;
const END: u64 = FILES * EVENTS;

fn log() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let options = LogOptions::default();
    let mut writer = LogWriter::new(fs.shared(), Path::new(DIR), DIRECTORY, 1, options).unwrap();
    for n in 1..=END {
        let event = Event {
            time_us: 1_000_000 + n,
            did: "did:web:a",
            body: Body::Commit {
                rev: n,
                collection: "a.b.c",
                rkey: &format!("key{n}"),
                operation: Operation::Delete,
            },
        };
        writer.append(&event).unwrap();
        writer.commit(None).unwrap();
        if n % EVENTS == 0 {
            writer.rotate(None).unwrap().unwrap();
        }
    }
    fs
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn key(n: u64) -> KeyWrite {
    KeyWrite {
        actor: 1,
        hash: KeyHasher::new(b"secret").hash("a.b.c", &format!("key{n}")),
        rev: n,
    }
}

/// Opens the window of what is there, as a start of the store does where all is sealed.
fn open(fs: &SimFs, floor: u64, losses: Vec<GapEntry>) -> KeyWindow {
    let found = recover(fs, Path::new(DIR), DIRECTORY, END, &mut |_| Ok(())).unwrap();
    let files: Vec<LogFile> = found.files;
    let kept = Kept {
        complete: floor == 0,
        floor,
        next_seq: found.next_seq,
        losses,
    };
    let mut key_of =
        |replayed: &Replayed<'_>| -> Result<_> { Ok(Meaning::Write(key(replayed.seq))) };
    let dir = Path::new(DIR);
    KeyWindow::open(fs.shared(), dir, DIRECTORY, kept, &files, &mut key_of).unwrap()
}

/// Checks twice that the window knows what it says it does.
fn check(fs: &SimFs, floor: u64, known_from: u64) {
    for _ in 0..2 {
        let window = open(fs, floor, Vec::new());
        assert_eq!(window.known_from(), known_from);
        for n in known_from.max(floor).max(1)..=END {
            let key = key(n);
            assert_eq!(window.last_rev(key.actor, key.hash).unwrap(), Some(n));
        }
    }
}

#[test]
fn a_whole_log_is_known_from_its_floor_on() {
    check(&log(), 0, 0);
    let fs = log();
    fs.unlink(&path(&log_name(1))).unwrap();
    check(&fs, 11, 0);
    check(&fs, 0, 11);
    check(&fs, 5, 11);
}

#[test]
fn no_key_up_to_a_damaged_frame_is_claimed() {
    for (file, frame) in [(1, 0), (1, 3), (11, 3), (11, 9), (31, 5)] {
        let fs = log();
        drop(open(&fs, 0, Vec::new()));
        let log = path(&log_name(file));
        let mut bytes = fs.contents(&log).unwrap();
        let frame_bytes = (bytes.len() - 48) / EVENTS as usize;
        bytes[48 + frame * frame_bytes + frame_bytes / 2] ^= 0x55;
        fs.put(&log, &bytes);
        // An index from before the damage has all keys.
        check(&fs, 0, 0);
        fs.unlink(&path(&keys_name(file))).unwrap();
        check(&fs, 0, file + frame as u64 + 1);
    }
}

#[test]
fn no_key_up_to_a_missing_file_is_claimed() {
    for file in [1, 11, 21, 31] {
        let fs = log();
        drop(open(&fs, 0, Vec::new()));
        fs.unlink(&path(&log_name(file))).unwrap();
        check(&fs, 0, file + EVENTS);
    }
    let fs = log();
    for file in [1, 11, 21, 31] {
        fs.unlink(&path(&log_name(file))).unwrap();
    }
    check(&fs, 0, END + 1);
}

#[test]
fn what_was_lost_before_it_was_sealed_is_not_missing() {
    let fs = log();
    fs.unlink(&path(&log_name(11))).unwrap();
    let gap = GapEntry {
        first_seq: 11,
        last_seq: Some(20),
        file: log_name(11),
        offset: 0,
    };
    assert_eq!(open(&fs, 0, vec![gap]).known_from(), 0);
    assert!(fs.contents(&path(&keys_name(1))).is_ok());
}
