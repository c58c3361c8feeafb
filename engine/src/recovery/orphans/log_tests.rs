//! Segments that a manifest has lost and whose events the log still has, and a log that holds more than a memtable.

use std::path::{Path, PathBuf};

use super::tests::*;
use crate::io::fault::{SimFs, SplitMix};
use crate::manifest::Manifest;
use crate::offline::{RepairOptions, backup_with_fs, repair_with_fs};
use crate::power_cut_tests::{answers, apply, model, script};
use crate::{Options, Store};

const DIR: &str = "data";

/// The newest log file.
fn last_log(fs: &SimFs) -> PathBuf {
    let mut paths = fs.paths();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "log"));
    paths.pop().unwrap()
}

/// Changes a byte amid a file.
fn damage(fs: &SimFs, path: &Path) {
    let mut bytes = fs.contents(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.put(path, &bytes);
}

#[test]
fn segments_that_a_manifest_has_lost_are_named_again_though_the_log_has_their_events() {
    for (tail, kept) in [(0, 0), (0, 2), (7, 0), (7, 2), (7, 3)] {
        for backup in [false, true] {
            let fs = SimFs::new();
            let store = open(&fs, u64::MAX).unwrap();
            let mut writer = store.writer().unwrap();
            select_all(&mut writer);
            let mut place = 0;
            let mut before = manifest(&fs);
            for done in 0..4 {
                if done == kept {
                    before = manifest(&fs);
                    let (from, to) = (Path::new(DIR), Path::new("backup"));
                    backup_with_fs(&fs.shared(), from, to, false).unwrap();
                }
                seal(&mut writer, &mut place, 10);
            }
            let script = script(&mut SplitMix::new(1));
            for _ in 0..tail {
                place += 1;
                apply(&mut writer, place, script[place as usize - 1]).unwrap();
            }
            writer.commit().unwrap();
            let wanted = answers(&store);
            drop((writer, store));
            let sealed = segments(&fs);
            let what = format!("{tail} behind the last seal, {kept} named, backup {backup}");
            if backup {
                fs.put(Path::new(MANIFEST), b"no manifest");
                assert!(open(&fs, u64::MAX).is_err(), "{what}");
            } else {
                fs.put(Path::new(MANIFEST), &before);
                is_refused(&fs);
            }
            let report = repair(&fs, backup.then_some("backup"));
            assert!(report.is_whole(), "{what}: {report:?}");
            assert_eq!(report.adopted.len(), 4 - kept, "{what}");
            assert_eq!(segments(&fs), sealed, "{what}");
            selection_is_unknown(&fs, &report);
            is_whole(&fs, place, &wanted);
        }
    }
}

#[test]
fn what_the_log_has_is_no_loss_where_lost_segments_do_not_fit_to_each_other() {
    let fs = SimFs::new();
    let store = open(&fs, u64::MAX).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    for _ in 0..3 {
        seal(&mut writer, &mut place, 10);
    }
    let wanted = answers(&store);
    drop((writer, store));
    let sealed = segments(&fs);
    fs.shared().unlink(&sealed[1]).unwrap();
    fs.put(Path::new(MANIFEST), &before);
    is_refused(&fs);
    let options = RepairOptions::default();
    let report = repair_with_fs(&fs.shared(), Path::new(DIR), &options).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let counts = (
        report.adopted.len(),
        report.unnamed.len(),
        report.kept.len(),
    );
    assert_eq!(counts, (0, 0, 2));
    is_whole(&fs, place, &wanted);
}

#[test]
fn losses_of_the_log_that_the_manifest_forgot_are_found_again_with_its_segments() {
    let fs = SimFs::new();
    let script = script(&mut SplitMix::new(1));
    let mut place = 0;
    let mut before = Vec::new();
    for round in 0..2 {
        let store = open(&fs, u64::MAX).unwrap();
        let mut writer = store.writer().unwrap();
        if round == 0 {
            seal(&mut writer, &mut place, 10);
            before = manifest(&fs);
        }
        for _ in 0..20 {
            place += 1;
            apply(&mut writer, place, script[place as usize - 1]).unwrap();
            writer.commit().unwrap();
        }
        if round == 0 {
            drop((writer, store));
            damage(&fs, &last_log(&fs));
        } else {
            writer.seal().unwrap();
        }
    }
    let store = open(&fs, u64::MAX).unwrap();
    let (wanted, gaps) = (answers(&store), store.gaps());
    assert_eq!(gaps.len(), 1);
    drop(store);
    fs.put(Path::new(MANIFEST), &before);
    is_refused(&fs);
    let report = repair(&fs, None);
    assert_eq!(report.adopted.len(), 2, "{report:?}");
    assert_eq!(report.gaps, gaps);
    let store = open(&fs, u64::MAX).unwrap();
    assert_eq!((store.gaps(), answers(&store)), (gaps, wanted));
}

#[test]
fn a_leftover_of_a_seal_that_reaches_beyond_the_log_is_named_again() {
    let fs = SimFs::new();
    let store = open(&fs, u64::MAX).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    let script = script(&mut SplitMix::new(1));
    for _ in 0..10 {
        place += 1;
        apply(&mut writer, place, script[place as usize - 1]).unwrap();
        writer.commit().unwrap();
    }
    writer.seal().unwrap();
    let wanted = answers(&store);
    drop((writer, store));
    fs.put(Path::new(MANIFEST), &before);
    let log = last_log(&fs);
    let bytes = fs.contents(&log).unwrap();
    fs.put(&log, &bytes[..bytes.len() - 20]);
    is_refused(&fs);
    let report = repair(&fs, None);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.adopted.len(), 1);
    assert_eq!(answers(&open(&fs, u64::MAX).unwrap()), wanted);
}

const EVENTS: u64 = 60;
const MEMTABLE: u32 = 8;

/// A directory with so many events in the log, each in a frame of its own, and none sealed. The log has two files.
fn unsealed() -> SimFs {
    let fs = SimFs::new();
    let script = script(&mut SplitMix::new(3));
    for places in [0..24, 24..EVENTS] {
        let store = open(&fs, u64::MAX).unwrap();
        let mut writer = store.writer().unwrap();
        for place in places {
            apply(&mut writer, place + 1, script[place as usize]).unwrap();
            writer.commit().unwrap();
        }
    }
    fs
}

fn open_small(fs: &SimFs) -> crate::Result<Store> {
    let options = Options {
        compact: false,
        seal_events: MEMTABLE,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new(DIR), options)
}

#[test]
fn a_start_seals_each_memtable_that_the_log_fills() {
    let fs = unsealed();
    let store = open_small(&fs).unwrap();
    drop(store);
    let state = Manifest::read(&fs, Path::new(DIR)).unwrap().unwrap();
    let entries = state.segments.iter();
    let lengths: Vec<u64> = entries
        .map(|entry| entry.last_seq - entry.first_seq + 1)
        .collect();
    // One waits for the second frame of a file.
    assert_eq!(lengths, [8, 8, 9, 8, 8, 8, 8]);
}

#[test]
fn a_power_cut_while_a_start_seals_what_the_log_fills_loses_nothing() {
    let script = script(&mut SplitMix::new(3));
    let whole = unsealed();
    let lossy = unsealed();
    damage(&lossy, &last_log(&lossy));
    let (told, left, before_loss) = {
        let fs = lossy.crash(1);
        let store = open_small(&fs).unwrap();
        let cursor = store.status().durable_cursor.unwrap();
        (store.gaps(), answers(&store), cursor.value)
    };
    assert_eq!(told.len(), 1);
    assert_eq!(
        before_loss,
        told[0].first_seq - 1,
        "the source is asked again"
    );
    let right = model(&script, EVENTS);
    for (fs, gaps, wanted, cursor) in [
        (&whole, &Vec::new(), &right, EVENTS),
        (&lossy, &told, &left, before_loss),
    ] {
        let mut cuts = 0;
        for call in 1.. {
            let disk = fs.crash(call);
            let stop = disk.calls() + call;
            disk.stop_at(stop);
            drop(open_small(&disk));
            let is_done = disk.calls() < stop;
            let disk = disk.crash(call * 7);
            let what = format!("call {call}, {} losses", gaps.len());
            // Amid the log that is replayed, or not: what is left is told from segments that were lost.
            for _ in 0..2 {
                let store = open_small(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(&answers(&store), wanted, "{what}");
                assert_eq!(&store.gaps(), gaps, "{what}");
                let found = store.status().durable_cursor.unwrap();
                assert_eq!(found.value, cursor, "{what}");
            }
            let state = Manifest::read(&disk, Path::new(DIR)).unwrap().unwrap();
            assert!(state.segments.len() > 5, "{what}");
            cuts += 1;
            if is_done {
                break;
            }
        }
        assert!(cuts > 20, "{cuts}");
    }
}
