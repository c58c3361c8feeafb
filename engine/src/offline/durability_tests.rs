//! The worst power cut at every change that a backup or a restoration makes to the disk. See
//! `crate::durability_tests`.

use std::path::Path;

use super::{backup_with_fs, restore_with_fs};
use crate::io::fault::{Loss, SimFs, SplitMix};
use crate::power_cut_tests::{Answers, Step, answers, apply, model, script};
use crate::{Error, Options, Store};

const DATA: &str = "data";
const TO: &str = "backup";

fn open(fs: &SimFs, dir: &str) -> crate::Result<Store> {
    let options = Options {
        compact: false,
        compact_fan_in: 2,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new(dir), options)
}

fn back_up(fs: &SimFs) -> crate::Result<super::BackupReport> {
    backup_with_fs(&fs.shared(), Path::new(DATA), Path::new(TO), false)
}

fn restored(fs: &SimFs, dir: &str) -> crate::Result<Answers> {
    restore_with_fs(&fs.shared(), Path::new(TO), Path::new(dir))?;
    Ok(answers(&open(fs, dir)?))
}

/// Applies the steps of `places` and commits. Where `seals`, segments are made and merged on the way.
fn go(fs: &SimFs, steps: &[Step], places: std::ops::RangeInclusive<u64>, seals: bool) {
    let store = open(fs, DATA).unwrap();
    let mut writer = store.writer().unwrap();
    for place in places {
        apply(&mut writer, place, steps[place as usize - 1]).unwrap();
        if seals && place % 10 == 0 {
            writer.seal().unwrap();
            writer.merge_due().unwrap();
        }
    }
    writer.commit().unwrap();
}

/// A directory, its backup, and more in it than the backup has: a log file that grew, then, where `seals`, other
/// segments.
fn begin(steps: &[Step], seals: bool) -> SimFs {
    let fs = SimFs::new();
    let store = open(&fs, DATA).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..=35).zip(steps) {
        apply(&mut writer, place, *step).unwrap();
        if place == 15 || place == 30 {
            writer.seal().unwrap();
        }
    }
    writer.commit().unwrap();
    back_up(&fs).unwrap();
    for place in 36..=45 {
        apply(&mut writer, place, steps[place as usize - 1]).unwrap();
    }
    writer.commit().unwrap();
    drop((writer, store));
    if seals {
        go(&fs, steps, 46..=80, true);
    }
    fs
}

#[test]
fn the_worst_power_cut_at_any_change_of_a_backup_leaves_one_that_restores() {
    let steps = script(&mut SplitMix::new(21));
    let before = model(&steps, 35);
    for (seals, events) in [(false, 45), (true, 80)] {
        let after = model(&steps, events);
        assert_ne!(before, after);
        let fs = begin(&steps, seals);
        fs.record();
        let report = back_up(&fs).unwrap();
        assert_eq!(report.last_seq, events);
        let images = fs.images();
        let last = images.len() - 1;
        let mut outcomes = [0, 0];
        for (at, image) in images.iter().enumerate() {
            for loss in Loss::ALL {
                let what = format!("image {at} of {last}, {loss:?}");
                let fs = image.crash(loss);
                let found = restored(&fs, "new").unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(found == after || (found == before && at < last), "{what}");
                outcomes[usize::from(found == after)] += 1;
                back_up(&fs).unwrap_or_else(|error| panic!("{what}: {error}"));
                let again = fs.image().crash(loss);
                assert_eq!(restored(&again, "again").unwrap(), after, "{what}");
            }
        }
        assert!(outcomes.iter().all(|count| *count > 3), "{outcomes:?}");
    }
}

#[test]
fn the_worst_power_cut_at_any_change_of_a_restoration_leaves_it_refused_or_whole() {
    let steps = script(&mut SplitMix::new(22));
    let fs = begin(&steps, true);
    back_up(&fs).unwrap();
    let whole = model(&steps, 80);
    fs.record();
    restore_with_fs(&fs.shared(), Path::new(TO), Path::new("new")).unwrap();
    let images = fs.images();
    let last = images.len() - 1;
    let mut refused = 0;
    for (at, image) in images.iter().enumerate() {
        for loss in Loss::ALL {
            let what = format!("image {at} of {last}, {loss:?}");
            let store = match open(&image.crash(loss), "new") {
                Ok(store) => store,
                Err(Error::Inconsistent { what: why, .. }) if at < last => {
                    assert!(why.contains("no manifest"), "{what}: {why}");
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{what}: {error}"),
            };
            let found = answers(&store);
            assert!(found == whole || (found.is_empty() && at < last), "{what}");
            assert_eq!(store.status().degraded, [], "{what}");
            assert_eq!(store.status().gaps, [], "{what}");
        }
    }
    assert!(refused > 3, "{refused}");
}

/// The source lost its last frame in a crash and wrote another: the copy is no beginning of the file any more.
#[test]
fn a_log_file_that_was_written_anew_is_copied_whole() {
    let steps = script(&mut SplitMix::new(23));
    let fs = SimFs::new();
    let store = open(&fs, DATA).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 1..=10 {
        apply(&mut writer, place, steps[place as usize - 1]).unwrap();
    }
    writer.commit().unwrap();
    drop((writer, store));
    // The directory as it was: what comes next is lost in it, and not in the backup.
    let earlier = fs.image();
    go(&fs, &steps, 11..=20, false);
    back_up(&fs).unwrap();
    let lost = earlier.crash(Loss::Everything);
    for dir in ["", "segments", "log"] {
        let dir = Path::new(TO).join(dir);
        for entry in fs.shared().list(&dir).unwrap() {
            let path = dir.join(entry.name);
            lost.put(&path, &fs.contents(&path).unwrap());
        }
    }
    // Other events under the same seqs.
    let other = script(&mut SplitMix::new(24));
    let mut mixed = steps.clone();
    mixed.splice(10.., other[10..].iter().copied());
    go(&lost, &mixed, 11..=60, false);
    back_up(&lost).unwrap();
    assert_eq!(restored(&lost, "new").unwrap(), model(&mixed, 60));
}
