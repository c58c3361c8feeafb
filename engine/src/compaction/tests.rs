//! Merges under a script: whatever changes between a merge and its installation, and whatever files of masks
//! are there at a restart, answers and counts are those of the model.

use std::path::Path;

use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::mask::files::MASKS;
use crate::power_cut_tests::{LIKE, Step, answers, apply, below, model, script, seeds, target};
use crate::{Options, Store};

const DIR: &str = "data";

fn options() -> Options {
    Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        ..Options::default()
    }
}

fn open(fs: &SimFs) -> Store {
    Store::open_with_fs(fs.shared(), Path::new(DIR), options()).unwrap()
}

fn remove_masks(fs: &SimFs) {
    let dir = Path::new(DIR).join(MASKS);
    for entry in fs.list(&dir).unwrap() {
        fs.unlink(&dir.join(entry.name)).unwrap();
    }
}

#[test]
fn merges_and_restarts_at_any_place_change_no_answer() {
    let mut merges = 0;
    for seed in 0..seeds(60) {
        let mut random = SplitMix::new(seed);
        let steps = script(&mut random);
        let fs = SimFs::new();
        let mut store = open(&fs);
        let mut writer = store.writer().unwrap();
        for (place, step) in (1..).zip(&steps) {
            apply(&mut writer, place, *step).unwrap();
            if below(&mut random, 6) == 0 {
                writer.seal().unwrap();
            }
            if below(&mut random, 6) == 0 && writer.merge_due().unwrap() {
                merges += 1;
            }
            if below(&mut random, 25) == 0 {
                writer.commit().unwrap();
                assert_eq!(answers(&store), model(&steps, place), "seed {seed}");
                drop((writer, store));
                if below(&mut random, 2) == 0 {
                    remove_masks(&fs);
                }
                store = open(&fs);
                assert_eq!(
                    answers(&store),
                    model(&steps, place),
                    "seed {seed}, after {place} steps and a restart"
                );
                writer = store.writer().unwrap();
            }
        }
        writer.close().unwrap();
        drop(store);
        remove_masks(&fs);
        let store = open(&fs);
        let whole = model(&steps, steps.len() as u64);
        assert_eq!(answers(&store), whole, "seed {seed}, at the end");
        store.verify().unwrap();
    }
    assert!(merges > 100, "{merges}");
}

/// Checks that the totals of the one list agree with its rows, in every part, and gives the shown ones.
fn shown(store: &Store, what: &str) -> u32 {
    let snapshot = store.snapshot();
    let key = snapshot.target_key(&target(2)).unwrap().unwrap();
    let mut sum = 0;
    for part in snapshot.parts() {
        let Some(list) = part.list(&key, LIKE, ".subject").unwrap() else {
            continue;
        };
        let rows = list.iter_from(0);
        let shown = rows.filter(|row| !part.is_masked(*row.as_ref().unwrap()).unwrap());
        let shown = shown.count() as u32;
        assert_eq!(shown, list.len() - list.masked().unwrap(), "{what}");
        sum += shown;
    }
    assert_eq!(snapshot.totals().live_links, u64::from(sum), "{what}");
    sum
}

/// A list that is long enough to have its masked links counted, through every place where they are moved.
#[test]
fn the_masked_links_of_a_long_list_are_counted_wherever_they_are_moved() {
    let fs = SimFs::new();
    let mut store = open(&fs);
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    let mut go = |writer: &mut crate::Writer, step| {
        place += 1;
        apply(writer, place, step).unwrap();
    };
    let account = |actor, status| Step::Account { actor, status };
    for key in 1..=200 {
        let actor = key % 4;
        go(
            &mut writer,
            Step::Write {
                actor,
                key,
                target: 2,
            },
        );
        if key == 100 {
            writer.seal().unwrap();
        }
    }
    let delete = |key| Step::Delete {
        actor: key % 4,
        key,
    };
    for key in (1..=200).step_by(10) {
        go(&mut writer, delete(key));
    }
    assert_eq!(shown(&store, "deletes in the memtable"), 180);
    writer.seal().unwrap();
    assert_eq!(shown(&store, "sealed"), 180);
    go(&mut writer, account(2, Some("suspended")));
    assert_eq!(shown(&store, "hidden in the memtable"), 130);
    writer.seal().unwrap();
    assert_eq!(shown(&store, "hidden and sealed"), 130);
    assert!(writer.merge_due().unwrap());
    // Behind the merge's back.
    for key in (3..=200).step_by(20) {
        go(&mut writer, delete(key));
    }
    go(&mut writer, account(0, Some("suspended")));
    let expected = shown(&store, "while a merge waits");
    writer.seal().unwrap();
    assert_eq!(shown(&store, "installed"), expected);
    writer.close().unwrap();
    drop(store);
    store = open(&fs);
    assert_eq!(shown(&store, "with files"), expected);
    drop(store);
    remove_masks(&fs);
    store = open(&fs);
    assert_eq!(shown(&store, "without files"), expected);
    let mut writer = store.writer().unwrap();
    go(&mut writer, account(2, None));
    let expected = shown(&store, "back");
    writer.compact_full(&mut |_, _| {}).unwrap();
    assert_eq!(shown(&store, "merged whole"), expected);
}

#[test]
fn a_full_compaction_that_fails_leaves_merges_in_the_background_on() {
    let fs = SimFs::new();
    let mut writer = open(&fs).writer().unwrap();
    for (place, step) in (1..).zip(script(&mut SplitMix::new(2))) {
        apply(&mut writer, place, step).unwrap();
        if place % 25 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    let mut failed = 0;
    for call in 1..30 {
        let fs = fs.crash(1);
        let store = Store::open_with_fs(fs.shared(), Path::new(DIR), Options::default()).unwrap();
        let mut writer = store.writer().unwrap();
        fs.fail_call(fs.calls() + call);
        let compacted = writer.compact_full(&mut |_, _| {});
        if compacted.is_ok() || writer.check().is_err() {
            continue;
        }
        failed += 1;
        let by_hand = writer.merge_due();
        assert!(
            matches!(by_hand, Err(crate::Error::Config(_))),
            "{by_hand:?}"
        );
    }
    assert!(failed > 3, "{failed}");
}
