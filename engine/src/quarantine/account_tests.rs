//! Accounts whose DIDs stand in a segment that is set aside: none gets a second id before a repair said that the
//! segment is lost.

use std::path::Path;
use std::time::Duration;

use super::tests::{DIR, ask, named, open, segments, three_segments};
use crate::io::fault::SimFs;
use crate::offline::{RepairOptions, repair_with_fs};
use crate::power_cut_tests::{Step, apply, did, model};
use crate::{Error, Excluded, Store};

/// Cuts the oldest segment, which has all accounts, and gives its path and what it held.
fn damage_the_first(fs: &SimFs) -> (std::path::PathBuf, Vec<u8>) {
    let path = segments(fs).remove(0);
    let sound = fs.contents(&path).unwrap();
    fs.put(&path, &sound[..100]);
    (path, sound)
}

fn repair(fs: &SimFs) {
    repair_with_fs(&fs.shared(), Path::new(DIR), &RepairOptions::default()).unwrap();
}

/// Adds steps of accounts that are known from before.
fn more(mut steps: Vec<Step>) -> Vec<Step> {
    steps.extend((0..4).map(|actor| Step::Account {
        actor,
        status: Some("deleted"),
    }));
    steps.extend((0..4).map(|actor| Step::Write {
        actor,
        key: 1,
        target: 0,
    }));
    steps
}

fn is_lost(result: &crate::Result<()>) -> bool {
    matches!(result, Err(Error::LostAccounts { .. }))
}

fn check_paused(store: &Store) {
    let status = store.status();
    let paused = status.paused.expect("the status tells");
    assert!(paused.contains("orrery repair"), "{paused}");
    assert_eq!(status.poisoned, None);
    assert_eq!(store.snapshot().degraded().count(), 1);
    ask(store).unwrap();
}

#[test]
fn an_event_of_an_account_that_a_damaged_segment_may_hold_waits_and_is_applied_once_it_is_back() {
    for seed in 0..10 {
        let (fs, steps) = three_segments(seed);
        // Everything is sealed, so that nothing of the log is left to be applied.
        open(&fs).unwrap().writer().unwrap().seal().unwrap();
        let (path, sound) = damage_the_first(&fs);
        let all = more(steps.clone());
        let store = open(&fs).unwrap();
        let mut writer = store.writer().unwrap();
        let before = (store.snapshot().id(), store.snapshot().totals());
        for (place, step) in (1..).zip(&all).skip(steps.len()) {
            let applied = apply(&mut writer, place, *step);
            assert!(is_lost(&applied), "seed {seed}: {applied:?}");
            writer.tick().unwrap();
        }
        check_paused(&store);
        let after = (store.snapshot().id(), store.snapshot().totals());
        assert_eq!(before, after, "seed {seed}: nothing changed");
        writer.close().unwrap();
        drop(store);

        fs.put(&path, &sound);
        repair(&fs);
        let store = open(&fs).unwrap();
        let mut writer = store.writer().unwrap();
        for (place, step) in (1..).zip(&all).skip(steps.len()) {
            apply(&mut writer, place, *step).unwrap();
        }
        assert_eq!(store.status().paused, None);
        let right = named(model(&all, all.len() as u64));
        assert_eq!(ask(&store).unwrap(), right, "seed {seed}");
    }
}

#[test]
fn events_of_the_log_that_may_be_of_lost_accounts_are_not_sealed() {
    for seed in 0..10 {
        let (fs, steps) = three_segments(seed);
        let (path, sound) = damage_the_first(&fs);
        let files = segments(&fs).len();
        let store = open(&fs).unwrap();
        let mut writer = store.writer().unwrap();
        assert!(is_lost(&writer.seal()), "seed {seed}");
        check_paused(&store);
        writer.tick().unwrap();
        writer.close().unwrap();
        drop(store);
        assert_eq!(segments(&fs).len(), files, "seed {seed}");

        fs.put(&path, &sound);
        repair(&fs);
        let store = open(&fs).unwrap();
        let right = named(model(&steps, steps.len() as u64));
        assert_eq!(ask(&store).unwrap(), right, "seed {seed}");
    }
}

#[test]
fn a_link_to_an_account_that_a_damaged_segment_may_hold_waits_and_others_do_not() {
    let fs = SimFs::new();
    let write = |actor, key, target| Step::Write { actor, key, target };
    let mut writer = open(&fs).unwrap().writer().unwrap();
    for (place, step) in [(1, write(0, 1, 0)), (2, write(1, 1, 2))] {
        apply(&mut writer, place, step).unwrap();
        writer.seal().unwrap();
    }
    writer.close().unwrap();
    damage_the_first(&fs);
    let store = open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 3, write(1, 2, 2)).unwrap();
    for target in [0, 1] {
        assert!(is_lost(&apply(&mut writer, 4, write(1, 3, target))));
    }
    check_paused(&store);
    apply(&mut writer, 5, write(1, 4, 2)).unwrap();
    assert_eq!(store.status().paused, None, "an event was applied");
    writer.seal().unwrap();
}

#[test]
fn an_account_that_a_damaged_segment_may_hold_keeps_no_other_from_being_excluded() {
    let fs = SimFs::new();
    let write = |actor| Step::Write {
        actor,
        key: 1,
        target: 2,
    };
    let mut writer = open(&fs).unwrap().writer().unwrap();
    for actor in [0, 1] {
        apply(&mut writer, actor + 1, write(actor)).unwrap();
        writer.seal().unwrap();
    }
    writer.close().unwrap();
    damage_the_first(&fs);
    let store = open(&fs).unwrap();
    assert_eq!(ask(&store).unwrap()[&2].len(), 1);
    let exclude = |actor| {
        let entry = Excluded::parse(&did(actor), false).unwrap();
        store.exclude(&[entry], Duration::ZERO).unwrap().pending
    };
    assert_eq!(exclude(0), 1);
    assert_eq!(exclude(1), 0);
    assert_eq!(ask(&store).unwrap().get(&2), None);
    assert!(store.status().paused.is_some(), "why one waits");
    assert_eq!((exclude(0), exclude(3)), (1, 1));
    drop(store);
    let store = open(&fs).unwrap();
    assert_eq!(store.exclusions_pending(), 2);
    assert_eq!(ask(&store).unwrap().get(&2), None);
}

#[test]
fn an_excluded_account_stays_hidden_when_the_segment_that_says_so_is_found_damaged() {
    // Its state is of the segment before the last, of one long ago.
    for seals in [0, 6] {
        stays_hidden_after_damage(seals);
    }
}

fn stays_hidden_after_damage(seals: u64) {
    let fs = SimFs::new();
    let write = |actor, key| Step::Write {
        actor,
        key,
        target: 2,
    };
    let store = open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    // Its DID and its record are of the first segment, that it is excluded is of the second.
    apply(&mut writer, 1, write(0, 1)).unwrap();
    writer.seal().unwrap();
    let entry = Excluded::parse(&did(0), false).unwrap();
    store.exclude(&[entry], Duration::ZERO).unwrap();
    writer.tick().unwrap();
    apply(&mut writer, 2, write(1, 1)).unwrap();
    writer.seal().unwrap();
    for place in 3..3 + seals {
        apply(&mut writer, place, write(2, place)).unwrap();
        writer.seal().unwrap();
    }
    let path = segments(&fs).remove(1);
    let sound = fs.contents(&path).unwrap();
    fs.put(&path, &sound[..100]);
    let name = path.file_name().unwrap().to_str().unwrap();
    let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
    let last_seq = store.snapshot().last_seq();
    assert!(store.report_damage(&error.in_file(name).into()));
    writer.tick().unwrap();
    assert_eq!(store.exclusions_pending(), 0);
    let told_again = store.snapshot().last_seq() - last_seq;
    assert_eq!(told_again, 1, "after {seals} seals the log does not say it");
    apply(&mut writer, 9, write(0, 2)).unwrap();
    for (place, status) in [(10, Some("deactivated")), (11, None)] {
        apply(&mut writer, place, Step::Account { actor: 0, status }).unwrap();
    }
    let told = ask(&store).unwrap();
    let mut of_target = told.get(&2).into_iter().flatten();
    assert!(of_target.all(|(author, _)| *author == did(2)), "{told:?}");
}

#[test]
fn an_account_that_was_removed_from_the_exclude_list_is_shown_by_a_segment_that_comes_back() {
    let (fs, steps) = three_segments(1);
    let entries = [Excluded::parse(&did(0), false).unwrap()];
    let store = open(&fs).unwrap();
    store.exclude(&entries, Duration::ZERO).unwrap();
    let mut writer = store.writer().unwrap();
    writer.seal().unwrap();
    writer.compact_full(&mut |_, _| {}).unwrap();
    writer.close().unwrap();
    drop(store);
    let (path, sound) = damage_the_first(&fs);
    let store = open(&fs).unwrap();
    let report = store.include(&entries, Duration::ZERO).unwrap();
    assert_eq!((report.changed, report.pending), (1, 0));
    assert!(store.exclusions().is_empty());
    drop(store);
    fs.put(&path, &sound);
    repair(&fs);
    let store = open(&fs).unwrap();
    let right = named(model(&steps, steps.len() as u64));
    assert_eq!(ask(&store).unwrap(), right);
    drop(store);
    // With all segments there it is looked at no more.
    let list = fs.contents(&Path::new(DIR).join("EXCLUSIONS")).unwrap();
    let entries = orrery_formats::exclusions::decode("e", list).unwrap();
    assert_eq!(entries, []);
}

#[test]
fn events_go_on_once_a_repair_was_told_to_write_the_segment_off_and_not_before() {
    let (fs, steps) = three_segments(1);
    damage_the_first(&fs);
    // Without the log nothing brings the segment back.
    let dir = Path::new(DIR).join("log");
    open(&fs).unwrap().writer().unwrap().close().unwrap();
    for file in crate::io::Fs::list(&fs, &dir).unwrap() {
        crate::io::Fs::unlink(&fs, &dir.join(file.name)).unwrap();
    }
    // Nobody said that it is lost for good.
    repair(&fs);
    let store = open(&fs).unwrap();
    assert!(!store.status().degraded[0].is_written_off);
    let mut writer = store.writer().unwrap();
    let next = (steps.len() as u64 + 1, more(steps.clone())[steps.len()]);
    assert!(is_lost(&apply(&mut writer, next.0, next.1)));
    check_paused(&store);
    drop((writer, store));

    let write_off = RepairOptions {
        write_off: true,
        ..RepairOptions::default()
    };
    repair_with_fs(&fs.shared(), Path::new(DIR), &write_off).unwrap();
    let store = open(&fs).unwrap();
    assert!(store.status().degraded[0].is_written_off);
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(&more(steps.clone())).skip(steps.len()) {
        apply(&mut writer, place, *step).unwrap();
    }
    writer.seal().unwrap();
    assert_eq!(store.status().paused, None);
    assert_eq!(store.snapshot().degraded().count(), 1);
}
