//! Merges, the log's window and the limit of the directory, which all three want the room below.

use std::path::Path;

use super::want::window_min;
use crate::disk::Room;
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::store::LOG;
use crate::{Error, Options, Store, Writer};

const DIR: &str = "data";

fn options(fan_in: usize, disk_limit: Option<u64>) -> Options {
    Options {
        compact: false,
        compact_fan_in: fan_in,
        compact_share: 1.0,
        commit_bytes: 4 << 10,
        disk_reserve: 0,
        disk_limit,
        ..Options::default()
    }
}

fn open(fs: &SimFs, options: Options) -> (Store, Writer) {
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

/// Bytes of the log and its key indexes.
fn log_bytes(fs: &SimFs) -> u64 {
    let entries = fs.list(&Path::new(DIR).join(LOG)).unwrap();
    entries.iter().map(|entry| entry.bytes).sum()
}

/// Rounds of records, each replaced by the next round; what lives is one round. Gives after how many rounds the
/// writer paused, how many merges were made, and the least that the log took once it was at its largest.
fn rounds(log_bytes_max: u64, limit: u64) -> (u64, u64, u64) {
    let fs = SimFs::new();
    let options = Options {
        log_bytes_max,
        ..options(8, Some(limit))
    };
    let (_store, mut writer) = open(&fs, options);
    let (mut place, mut merges) = (0, 0);
    // A tick is how a pause ends; whatever is due is merged before each.
    let mut settle = |writer: &mut Writer| {
        for _ in 0..8 {
            merges += u64::from(matches!(writer.merge_due(), Ok(true)));
            writer.tick().unwrap();
        }
        merges
    };
    let (mut log_max, mut log_min) = (0, 0);
    for round in 0..40 {
        for key in 0..4_000 {
            place += 1;
            let step = Step::Write {
                actor: 0,
                key,
                target: place % 3,
            };
            let mut applied = apply(&mut writer, place, step);
            if matches!(applied, Err(Error::DiskFull { .. })) {
                settle(&mut writer);
                applied = apply(&mut writer, place, step);
            }
            match applied {
                Ok(()) => {}
                Err(Error::DiskFull { .. }) => return (round, settle(&mut writer), log_min),
                Err(error) => panic!("{error}"),
            }
        }
        if writer.seal().is_ok() {
            settle(&mut writer);
        }
        let log = log_bytes(&fs);
        log_min = if log > log_max { log } else { log_min.min(log) };
        log_max = log_max.max(log);
    }
    (40, settle(&mut writer), log_min)
}

#[test]
fn merges_go_on_under_a_disk_limit_whatever_the_window_may_take_and_leave_an_eighth_to_it() {
    let limit = 2 << 20;
    let without = rounds(0, limit);
    assert_eq!(without.0, 40, "without a window all goes well: {without:?}");
    let with = rounds(2 << 30, limit);
    assert_eq!(with.0, 40, "{with:?}");
    let what = format!("rounds, merges and least log with one: {with:?}, without: {without:?}");
    assert!(with.1 >= 4, "{what}");
    assert!(with.2 >= window_min(limit), "{what}");
}

#[test]
fn a_merge_that_was_refused_comes_before_the_window_down_to_its_least_size_and_not_below() {
    let fs = SimFs::new();
    {
        let (_store, mut writer) = open(&fs, options(2, None));
        for place in 1..=16_000 {
            write(&mut writer, place);
            if place % 2_000 == 0 {
                writer.seal().unwrap();
            }
        }
        writer.close().unwrap();
    }
    let asked = {
        let copy = fs.killed();
        let (_store, mut writer) = open(&copy, options(2, None));
        write(&mut writer, 16_001);
        writer.shared.compaction.keeps_free() / 2
    };
    let limit = fs.used() + asked + 20_000;
    let (_store, mut writer) = open(&fs, options(2, Some(limit)));
    let shared = writer.shared.clone();
    let room = || Room::of(&*shared.fs, &shared.dir, &shared.options).bytes;
    write(&mut writer, 16_001);
    let whole = log_bytes(&fs);
    let refused = writer.merge_due();
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    assert_eq!(log_bytes(&fs), whole, "nothing is given up before a seal");
    writer.seal().unwrap();
    assert!(log_bytes(&fs) < whole, "the window gave way");
    assert!(writer.merge_due().unwrap(), "once is enough");
    // The merge waits, and the writer is short of a little.
    let before = log_bytes(&fs);
    writer.find_room(room() + 1).unwrap();
    let after = log_bytes(&fs);
    assert!(after < before && after >= window_min(limit));
    assert!(shared.compaction.waiting().is_some(), "it did not give way");
    // Short of more than the window has above its least size.
    let more = after - window_min(limit);
    writer.find_room(room() + more).unwrap();
    assert!(shared.compaction.waiting().is_none(), "it gave way");
}

fn write(writer: &mut Writer, place: u64) {
    let step = Step::Write {
        actor: place % 4,
        key: place,
        target: 2,
    };
    apply(writer, place, step).unwrap();
}
