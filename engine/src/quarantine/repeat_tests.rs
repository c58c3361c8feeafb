//! Events that come again while a segment is set aside: none is accepted twice, so that the index is as it was once
//! the segment is back. What cannot be told waits.

use std::path::Path;

use super::tests::{DIR, ask, named, open, segments, three_segments};
use crate::io::fault::{SimFs, SplitMix};
use crate::offline::{RepairOptions, repair_with_fs};
use crate::power_cut_tests::{Step, apply, below, model};
use crate::{Error, Options, Store};

fn cut(fs: &SimFs, path: &Path) -> Vec<u8> {
    let sound = fs.contents(path).unwrap();
    fs.put(path, &sound[..100]);
    sound
}

/// Opens without a limit that keeps the log beyond what is not sealed.
fn open_without_window(fs: &SimFs) -> Store {
    let options = Options {
        compact: false,
        log_bytes_max: 0,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap()
}

fn is_lost(result: &crate::Result<()>) -> bool {
    matches!(result, Err(Error::LostEvents { .. }))
}

#[test]
fn whatever_comes_again_while_a_segment_is_set_aside_leaves_no_trace_once_it_is_back() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..60 {
        let (fs, steps) = three_segments(seed);
        let right = named(model(&steps, steps.len() as u64));
        let mut random = SplitMix::new(seed);
        for place in 0..3 {
            let fs = fs.crash(1);
            let path = segments(&fs).remove(place);
            let sound = cut(&fs, &path);
            let store = open(&fs).unwrap();
            let mut writer = store.writer().unwrap();
            let first = 1 + below(&mut random, steps.len() as u64);
            let last = first + below(&mut random, steps.len() as u64 - first + 1);
            for at in first..=last {
                match apply(&mut writer, at, steps[at as usize - 1]) {
                    Ok(()) => taken += 1,
                    Err(Error::LostAccounts { .. }) => refused += 1,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            writer.commit().unwrap();
            drop((writer, store));
            fs.put(&path, &sound);
            let store = open(&fs).unwrap();
            assert_eq!(store.status().degraded, []);
            assert_eq!(ask(&store).unwrap(), right, "seed {seed}, segment {place}");
            store.verify().unwrap();
        }
    }
    assert!(taken > refused && refused > 0, "{taken}, {refused}");
}

#[test]
fn what_the_log_does_not_reach_back_to_waits_until_the_segment_is_back() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..30 {
        let (fs, steps) = three_segments(seed);
        let mut writer = open_without_window(&fs).writer().unwrap();
        writer.seal().unwrap();
        writer.close().unwrap();
        let right = named(model(&steps, steps.len() as u64));
        for place in 1..4 {
            let fs = fs.crash(1);
            let path = segments(&fs).remove(place);
            let sound = cut(&fs, &path);
            let store = open_without_window(&fs);
            let mut writer = store.writer().unwrap();
            for (at, step) in (1..).zip(&steps) {
                match apply(&mut writer, at, *step) {
                    Ok(()) => {
                        taken += 1;
                        assert_eq!(store.status().paused, None);
                    }
                    Err(error @ (Error::LostEvents { .. } | Error::LostAccounts { .. })) => {
                        refused += u64::from(matches!(error, Error::LostEvents { .. }));
                        assert_eq!(store.status().paused, Some(error.to_string()));
                    }
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            writer.commit().unwrap();
            drop((writer, store));
            fs.put(&path, &sound);
            let store = open_without_window(&fs);
            assert_eq!(store.status().degraded, []);
            assert_eq!(ask(&store).unwrap(), right, "seed {seed}, segment {place}");
        }
    }
    assert!(taken > 0 && refused > 0, "{taken}, {refused}");
}

#[test]
fn events_as_they_happen_go_on_while_a_segment_is_set_aside_that_the_log_lacks() {
    let (fs, steps) = three_segments(1);
    let mut writer = open_without_window(&fs).writer().unwrap();
    writer.seal().unwrap();
    writer.close().unwrap();
    cut(&fs, &segments(&fs)[3]);
    let store = open_without_window(&fs);
    let mut writer = store.writer().unwrap();
    let (old, end) = (steps.len() as u64 - 1, steps.len() as u64);
    let write = |key| Step::Write {
        actor: 0,
        key,
        target: 2,
    };
    assert!(is_lost(&apply(&mut writer, old, write(30))));
    for key in 1..10 {
        apply(&mut writer, end + key, write(key)).unwrap();
    }
    let account = |status| Step::Account { actor: 0, status };
    assert!(is_lost(&apply(&mut writer, old, account(Some("deleted")))));
    apply(&mut writer, end + 20, account(Some("deleted"))).unwrap();
    assert_eq!(store.status().paused, None);
}

#[test]
fn what_a_deletion_makes_void_does_not_count_while_the_deletion_is_set_aside() {
    let fs = SimFs::new();
    let write = |key| Step::Write {
        actor: 0,
        key,
        target: 2,
    };
    let deleted = Step::Account {
        actor: 0,
        status: Some("deleted"),
    };
    let mut writer = open(&fs).unwrap().writer().unwrap();
    for (place, step) in [(1, write(1)), (10, deleted)] {
        apply(&mut writer, place, step).unwrap();
        writer.seal().unwrap();
    }
    writer.close().unwrap();
    let path = segments(&fs).remove(1);
    let sound = cut(&fs, &path);
    let mut writer = open(&fs).unwrap().writer().unwrap();
    // It was not selected when it came first.
    apply(&mut writer, 5, write(2)).unwrap();
    writer.close().unwrap();
    fs.put(&path, &sound);
    let store = open(&fs).unwrap();
    assert_eq!(store.status().degraded, []);
    assert!(ask(&store).unwrap().is_empty());
}

#[test]
fn what_a_repair_has_written_off_is_new_when_it_is_loaded_again() {
    let fs = SimFs::new();
    let write = |key, target| Step::Write {
        actor: 0,
        key,
        target,
    };
    let steps = [
        write(1, 2),
        write(2, 2),
        Step::Delete { actor: 0, key: 2 },
        write(3, 2),
    ];
    let mut writer = open_without_window(&fs).writer().unwrap();
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, step).unwrap();
        if place != 2 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    let mut right = ask(&open_without_window(&fs)).unwrap();
    cut(&fs, &segments(&fs)[1]);
    let options = RepairOptions {
        write_off: true,
        ..RepairOptions::default()
    };
    repair_with_fs(&fs.shared(), Path::new(DIR), &options).unwrap();
    let store = open_without_window(&fs);
    assert!(store.status().degraded[0].is_written_off);
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, step).unwrap();
    }
    let mut found = ask(&store).unwrap();
    for rows in right.values_mut().chain(found.values_mut()) {
        rows.sort();
    }
    assert_eq!(found, right);
}

/// The log files of the directory, oldest first.
fn logs(fs: &SimFs) -> Vec<std::path::PathBuf> {
    let dir = Path::new(DIR).join("log");
    let entries = crate::io::Fs::list(fs, &dir).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    let logs = names.filter(|name| name.ends_with(".log"));
    logs.map(|name| dir.join(name)).collect()
}

#[test]
fn a_closed_log_file_that_cannot_be_read_makes_older_events_wait_and_stops_nothing_else() {
    let deleted = Step::Account {
        actor: 0,
        status: Some("deleted"),
    };
    let write = Step::Write {
        actor: 0,
        key: 30,
        target: 2,
    };
    let fs = SimFs::new();
    let mut writer = open(&fs).unwrap().writer().unwrap();
    for place in [1, 2, 10, 11, 20, 21] {
        let step = Step::Write {
            actor: place % 2,
            key: place,
            target: 2,
        };
        apply(&mut writer, place, step).unwrap();
        if place % 10 == 1 && place > 1 || place == 2 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    cut(&fs, &segments(&fs)[1]);
    for step in [deleted, write] {
        let fs = fs.crash(1);
        let store = open(&fs).unwrap();
        let mut writer = store.writer().unwrap();
        // Gone after the start has seen it.
        crate::io::Fs::unlink(&fs, &logs(&fs)[1]).unwrap();
        for _ in 0..2 {
            let applied = apply(&mut writer, 10, step);
            assert!(is_lost(&applied), "{applied:?}");
            assert_eq!(store.status().poisoned, None);
        }
        apply(&mut writer, 30, step).unwrap();
        assert_eq!(store.status().paused, None);
        writer.seal().unwrap();
    }
}
