//! The bounds of the key window: which files may be trimmed, and which indexes may be believed.

use super::keys::{Kept, KeyHasher, KeyWindow, KeyWrite, Meaning};
use super::{LogFile, LogOptions, LogWriter, Replayed, SourceCursor, keys_name};
use crate::error::Result;
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::{Options, Store, Writer};
use orrery_formats::event::{Body, Event, Operation};
use std::path::Path;

const DIRECTORY: [u8; 16] = *b"orrery-directory";
const DIR: &str = "/data/log";

/// A log of one closed file with that many events, each in a frame of its own.
fn one_file(events: u64) -> (SimFs, LogFile) {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let options = LogOptions::default();
    let mut writer = LogWriter::new(fs.shared(), Path::new(DIR), DIRECTORY, 1, options).unwrap();
    for n in 1..=events {
        let rkey = format!("key{n}");
        let event = Event {
            time_us: 1_000_000 + n,
            did: "did:web:a",
            body: Body::Commit {
                rev: n,
                collection: "a.b.c",
                rkey: &rkey,
                operation: Operation::Delete,
            },
        };
        writer.append(&event).unwrap();
        writer.commit(None::<&SourceCursor>).unwrap();
    }
    let file = writer.rotate(None).unwrap().unwrap();
    (fs, file)
}

fn key(n: u64) -> KeyWrite {
    KeyWrite {
        actor: 1,
        hash: KeyHasher::new(b"secret").hash("a.b.c", &format!("key{n}")),
        rev: n,
    }
}

fn open(fs: &SimFs, file: &LogFile) -> KeyWindow {
    let mut key_of =
        |replayed: &Replayed<'_>| -> Result<_> { Ok(Meaning::Write(key(replayed.seq))) };
    let files = std::slice::from_ref(file);
    let dir = Path::new(DIR);
    let kept = Kept {
        complete: true,
        ..Kept::default()
    };
    KeyWindow::open(fs.shared(), dir, DIRECTORY, kept, files, &mut key_of).unwrap()
}

#[test]
fn a_file_stays_that_the_window_would_be_too_small_without() {
    let (fs, file) = one_file(10);
    let window = open(&fs, &file);
    let bytes = window.bytes();
    assert_eq!(window.plan_trim(bytes - 1, 1, 0, 10), None);
    assert_eq!(window.plan_trim(bytes - 1, 0, 0, 10), Some(11));
    assert_eq!(window.bytes_below(11), bytes);
    assert_eq!(window.bytes_below(10), 0);
}

#[test]
fn who_only_adds_leaves_the_log_at_least_as_large_as_it_was() {
    let (fs, dir) = (SimFs::new(), Path::new("data"));
    let mut options = Options {
        compact: false,
        ..Options::default()
    };
    let log_bytes = || -> u64 {
        let entries = fs.list(&dir.join("log")).unwrap();
        entries.iter().map(|entry| entry.bytes).sum()
    };
    let write = |writer: &mut Writer, place| {
        let step = Step::Write {
            actor: 0,
            key: place,
            target: 2,
        };
        apply(writer, place, step).unwrap();
    };
    let store = Store::open_with_fs(fs.shared(), dir, options.clone()).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 1..=1_000 {
        write(&mut writer, place);
    }
    writer.seal().unwrap();
    writer.close().unwrap();
    drop(store);
    let before = log_bytes();
    options.log_keeps_bytes = true;
    options.log_bytes_max = before / 2;
    let open = || {
        let store = Store::open_with_fs(fs.shared(), dir, options.clone()).unwrap();
        store.writer().unwrap()
    };
    let mut writer = open();
    write(&mut writer, 1_001);
    writer.seal().unwrap();
    let after = log_bytes();
    assert!(after >= before, "{after} bytes in place of {before}");
    // Once there is as much without it, the first file goes.
    for place in 1_002..=3_000 {
        write(&mut writer, place);
    }
    writer.seal().unwrap();
    assert!(log_bytes() >= before);
    assert!(fs.list(&dir.join("log")).unwrap()[0].name > crate::log::log_name(1));
}

#[test]
fn a_file_is_trimmed_when_its_last_event_is_sealed_and_not_before() {
    let (fs, file) = one_file(10);
    let window = open(&fs, &file);
    assert_eq!(window.plan_trim(0, 0, 0, 9), None);
    assert_eq!(window.plan_trim(0, 0, 0, 10), Some(11));
    assert_eq!(window.plan_trim(0, 0, u64::MAX, 9), None);
}

/// A crash can leave an index from before its log file got its last frames.
#[test]
fn a_key_index_of_a_shorter_log_file_is_made_anew() {
    let (short, file) = one_file(4);
    drop(open(&short, &file));
    let path = Path::new(DIR).join(keys_name(1));
    let stale = short.contents(&path).unwrap();
    let (fs, file) = one_file(6);
    fs.put(&path, &stale);
    let window = open(&fs, &file);
    for n in 1..=6 {
        let key = key(n);
        assert_eq!(window.last_rev(key.actor, key.hash).unwrap(), Some(n));
    }
}
