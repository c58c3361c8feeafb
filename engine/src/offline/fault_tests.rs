//! Power cuts under backups and restorations: whatever call is the last, the backup before or the new one
//! restores, and a half restored directory is never taken for a whole one.

use std::path::Path;

use super::{backup_with_fs, restore_with_fs};
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{Answers, answers, open, run, script};
use crate::{Error, Options, Store};

const DATA: &str = "data";
const TO: &str = "backup";

/// The answers of a directory, opened as a server would.
fn answers_at(fs: &SimFs, dir: &str) -> crate::Result<Answers> {
    let store = Store::open_with_fs(fs.shared(), Path::new(dir), Options::default())?;
    Ok(answers(&store))
}

fn restored(fs: &SimFs) -> crate::Result<Answers> {
    restore_with_fs(&fs.shared(), Path::new(TO), Path::new("new"))?;
    answers_at(fs, "new")
}

/// A directory with a backup, and more in it than the backup has; and the answers of either.
fn begin(seed: u64) -> (SimFs, Answers, Answers) {
    let fs = SimFs::new();
    let mut random = SplitMix::new(seed);
    let steps = script(&mut random);
    let half = steps.len() / 2;
    let go = |steps| {
        let store = open(&fs, false).unwrap();
        run(&store, steps, &mut SplitMix::new(seed + 1));
        answers(&store)
    };
    let before = go(&steps[..half]);
    backup_with_fs(&fs.shared(), Path::new(DATA), Path::new(TO), false).unwrap();
    let after = go(&steps);
    assert_ne!(before, after, "seed {seed}");
    (fs, before, after)
}

#[test]
fn a_power_cut_at_any_call_of_a_backup_leaves_one_that_restores() {
    for seed in 1..4 {
        let (fs, before, after) = begin(seed);
        let mut call = 0;
        let mut outcomes = [0, 0];
        loop {
            call += 1;
            let disk = fs.crash(call);
            disk.stop_at(disk.calls() + call);
            let made = backup_with_fs(&disk.shared(), Path::new(DATA), Path::new(TO), false);
            let is_done = disk.calls() < call;
            let disk = disk.crash(call * 7);
            let found =
                restored(&disk).unwrap_or_else(|error| panic!("seed {seed}, call {call}: {error}"));
            if made.is_ok() {
                assert_eq!(found, after, "seed {seed}, call {call}");
            }
            assert!(
                found == before || found == after,
                "seed {seed}, call {call}"
            );
            outcomes[usize::from(found == after)] += 1;
            // A further backup completes what was begun.
            backup_with_fs(&disk.shared(), Path::new(DATA), Path::new(TO), false).unwrap();
            let again = disk.crash(call);
            restore_with_fs(&again.shared(), Path::new(TO), Path::new("again")).unwrap();
            assert_eq!(
                answers_at(&again, "again").unwrap(),
                after,
                "seed {seed}, call {call}"
            );
            if is_done && made.is_ok() {
                break;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 3), "{outcomes:?}");
    }
}

#[test]
fn a_failure_of_any_call_of_a_backup_leaves_the_one_before() {
    let (fs, before, after) = begin(5);
    for call in 1..200 {
        let disk = fs.crash(call);
        disk.fail_call(disk.calls() + call);
        let made = backup_with_fs(&disk.shared(), Path::new(DATA), Path::new(TO), false);
        let found = restored(&disk.crash(call)).unwrap();
        match made {
            Ok(_) => assert_eq!(found, after, "call {call}"),
            Err(_) => assert!(found == before || found == after, "call {call}"),
        }
    }
}

#[test]
fn a_half_restored_directory_is_refused_or_whole() {
    let (fs, before, _) = begin(6);
    let mut refused = 0;
    for call in 1..120 {
        let disk = fs.crash(call);
        disk.stop_at(disk.calls() + call);
        let made = restore_with_fs(&disk.shared(), Path::new(TO), Path::new("new"));
        let disk = disk.crash(call * 3);
        match answers_at(&disk, "new") {
            Ok(found) if found.is_empty() => assert!(made.is_err(), "call {call}"),
            Ok(found) => assert_eq!(found, before, "call {call}"),
            Err(Error::Inconsistent { what, .. }) => {
                assert!(what.contains("no manifest"), "call {call}: {what}");
                assert!(made.is_err(), "call {call}");
                refused += 1;
            }
            Err(error) => panic!("call {call}: {error}"),
        }
    }
    assert!(refused > 5, "{refused}");
}
