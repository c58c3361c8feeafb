//! Merges, the room that they take in passing, and the writer beside them: the writer and its log window come
//! first, and what a merge gives back ends a pause.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use orrery_formats::segment::Workspace;
use orrery_formats::sink::Sink;
use parking_lot::Mutex;

use super::hooked_fs::HookedFs;
use super::workspace::{FileWorkspace, Pace, ROOM_BYTES, RoomWatch, Stopped};
use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::store::{LOG, SCRATCH, SEGMENTS};
use crate::{DiskLimit, Error, Options, Store, Writer};

const DIR: &str = "data";

fn options() -> Options {
    Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        commit_bytes: 4 << 10,
        disk_reserve: 0,
        ..Options::default()
    }
}

fn open(fs: &SimFs, options: Options) -> (Store, Writer) {
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

fn write(writer: &mut Writer, place: u64) -> crate::Result<()> {
    let step = Step::Write {
        actor: place % 4,
        key: place,
        target: 2,
    };
    apply(writer, place, step)
}

/// Two sealed segments of 200 rows each, which are due to be merged, and the log files of both.
fn two_segments(fs: &SimFs) {
    let (_store, mut writer) = open(fs, options());
    for place in 1..=400 {
        write(&mut writer, place).unwrap();
        if place % 200 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
}

fn names(fs: &SimFs, below: &str) -> Vec<String> {
    let entries = fs.shared().list(&Path::new(DIR).join(below)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

/// What the writer asks for with its next event, and what two segments take, in a copy of the directory.
fn needs(fs: &SimFs) -> (u64, u64) {
    let fs = fs.killed();
    let (store, mut writer) = open(&fs, options());
    write(&mut writer, 401).unwrap();
    let kept = writer.shared.compaction.keeps_free();
    let bytes = store.status().bytes;
    let segments = bytes.iter().find(|(kind, _)| *kind == "segments");
    (kept / 2, segments.unwrap().1)
}

#[test]
fn merges_by_hand_are_refused_while_merges_run_in_the_background() {
    let fs = SimFs::new();
    let options = Options {
        compact: true,
        ..options()
    };
    let (_store, mut writer) = open(&fs, options);
    assert!(matches!(writer.merge_due(), Err(Error::Config(_))));
}

#[test]
fn a_merge_waits_rather_than_take_what_the_writer_needs() {
    let fs = SimFs::new();
    two_segments(&fs);
    let (writer_needs, inputs) = needs(&fs);
    // Room for the writer's next step and for the merge, but not for the log until the next seal.
    let limited = Options {
        disk_limit: Some(fs.used() + writer_needs + 2 * inputs + 10_000),
        ..options()
    };
    let (_store, mut writer) = open(&fs, limited);
    let logs = names(&fs, LOG);
    write(&mut writer, 401).unwrap();
    let refused = writer.merge_due();
    assert!(
        matches!(
            refused,
            Err(Error::DiskFull {
                limit: DiskLimit::Directory(_),
                ..
            })
        ),
        "{refused:?}"
    );
    write(&mut writer, 402).unwrap();
    assert!(logs.iter().all(|log| names(&fs, LOG).contains(log)));
    assert!(names(&fs, SCRATCH).is_empty());
    assert_eq!(names(&fs, SEGMENTS).len(), 2, "nothing of it is left");
}

#[test]
fn a_merge_that_waits_to_be_installed_gives_way_before_the_log_window_does() {
    let fs = SimFs::new();
    two_segments(&fs);
    let (writer_needs, inputs) = needs(&fs);
    let limited = Options {
        disk_limit: Some(fs.used() + writer_needs + inputs / 4),
        ..options()
    };
    let (_store, mut writer) = open(&fs, limited);
    let logs = names(&fs, LOG);
    // Before the first event the writer has asked for nothing.
    assert!(writer.merge_due().unwrap());
    assert_eq!(names(&fs, SEGMENTS).len(), 3);
    write(&mut writer, 401).unwrap();
    assert!(
        logs.iter().all(|log| names(&fs, LOG).contains(log)),
        "the window is whole"
    );
    assert_eq!(names(&fs, SEGMENTS).len(), 2, "the merged segment gave way");
    // It is made again.
    writer.shared.compaction.keep_free(0);
    assert!(writer.merge_due().unwrap());
}

#[test]
fn a_running_merge_looks_at_the_room_as_it_writes_and_leaves_nothing_behind_when_it_gives_up() {
    let fs = SimFs::new();
    let dir = Path::new(SCRATCH);
    fs.shared().create_dir_all(dir).unwrap();
    let (looks, is_asked, never) = (Cell::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let look = || {
        looks.set(looks.get() + 1);
        if looks.get() < 4 {
            return Ok(());
        }
        Err(Error::DiskFull {
            need: 2,
            free: 1,
            limit: DiskLimit::Reserve(0),
        })
    };
    let watch = RoomWatch {
        look: &look,
        is_asked: &is_asked,
    };
    let pace = Pace::new(1.0, &|| true, &never);
    let mut workspace = FileWorkspace::new(fs.shared(), dir, pace, watch);
    let mut scratch = workspace.scratch().unwrap();
    scratch.write(&[1; 300_000]).unwrap();
    workspace.progress(1).unwrap();
    assert_eq!(looks.get(), 1, "at once");
    workspace.progress(ROOM_BYTES - 1).unwrap();
    assert_eq!(looks.get(), 1, "and then as it writes");
    workspace.progress(1).unwrap();
    assert_eq!(looks.get(), 2);
    is_asked.store(true, Ordering::Relaxed);
    workspace.progress(1).unwrap();
    assert_eq!(looks.get(), 3, "and when the writer asks");
    let stopped = workspace.progress(1);
    assert!(matches!(
        stopped,
        Err(Stopped::Failed(Error::DiskFull { .. }))
    ));
    drop((scratch, workspace));
    assert!(fs.paths().is_empty(), "{:?}", fs.paths());
}

#[test]
fn a_seal_installs_what_was_merged_and_that_ends_a_pause() {
    let fs = SimFs::new();
    two_segments(&fs);
    let options = Options {
        // What events ask for is far more than what a seal does.
        commit_bytes: 64 << 10,
        ..options()
    };
    let (store, mut writer) = open(&fs, options);
    write(&mut writer, 401).unwrap();
    assert!(writer.merge_due().unwrap());
    let seal = writer.seal_need();
    fs.set_capacity(Some(fs.used() + seal + 100_000));
    writer.granted_bytes = 0;
    let full = write(&mut writer, 402);
    assert!(matches!(full, Err(Error::DiskFull { .. })), "{full:?}");
    assert!(store.status().paused.is_some());
    let events = writer.events;
    writer.tick().unwrap();
    assert_eq!((events, writer.events), (1, 0), "it was sealed");
    assert_eq!(store.status().segments, 2, "the merged one and the new one");
    assert_eq!(names(&fs, SEGMENTS).len(), 2, "their inputs are gone");
}

#[test]
fn closing_installs_a_merge_that_waits() {
    let fs = SimFs::new();
    two_segments(&fs);
    let (store, mut writer) = open(&fs, options());
    assert!(writer.merge_due().unwrap());
    assert_eq!(store.status().segments, 2);
    writer.close().unwrap();
    assert_eq!(store.status().segments, 1);
    drop(store);
    let (store, _writer) = open(&fs, options());
    assert_eq!(store.status().segments, 1);
}

#[test]
fn a_running_merge_keeps_no_memtable_in_memory() {
    let fs = SimFs::new();
    two_segments(&fs);
    let (reached, is_reached) = mpsc::channel();
    let (go_on, opened) = mpsc::channel();
    // The first merge waits before it creates its file.
    let gate = Mutex::new(Some((reached, opened)));
    let gated = HookedFs::shared(fs.shared(), move |path| {
        if path.starts_with(Path::new(DIR).join(SEGMENTS)) {
            let passes = gate.lock().take();
            if let Some((reached, opened)) = passes {
                let _ = reached.send(());
                let _: Result<(), _> = opened.recv();
            }
        }
        Ok(())
    });
    let background = Options {
        compact: true,
        ..options()
    };
    let store = Store::open_with_fs(gated, Path::new(DIR), background).unwrap();
    let mut writer = store.writer().unwrap();
    is_reached.recv_timeout(Duration::from_secs(60)).unwrap();
    write(&mut writer, 401).unwrap();
    let memtable = Arc::downgrade(&writer.generation.memtable);
    writer.seal().unwrap();
    assert!(store.status().compaction.is_running);
    let is_gone = memtable.upgrade().is_none();
    drop(go_on);
    assert!(is_gone);
}
