//! Accounts whose rows are kept from one of their events to the next: whatever dies, is sealed or merged in between, counts and
//! rows are those of the model.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{LIKE, Step, TARGETS, apply, below, model, seeds, target};
use crate::quarantine::tests::{self as set_aside, DIR};
use crate::snapshot::Totals;
use crate::{Options, Store};

const STEPS: u64 = 1_500;
/// So many accounts have all records.
const BUSY: u64 = 2;

fn steps(random: &mut SplitMix) -> Vec<Step> {
    let statuses = [
        None,
        Some("suspended"),
        Some("deactivated"),
        Some("deleted"),
    ];
    let mut step = || {
        let (actor, key) = (below(random, BUSY), below(random, 700));
        match below(random, 100) {
            0..4 => Step::Account {
                actor,
                // Deletions are rarer than the rest.
                status: statuses[(below(random, 13) / 4) as usize],
            },
            4..15 => Step::Delete { actor, key },
            _ => Step::Write {
                actor,
                key,
                target: below(random, TARGETS),
            },
        }
    };
    (0..STEPS).map(|_| step()).collect()
}

/// How many rows of each target are shown, which the counts of its lists agree with.
fn shown(store: &Store, what: &str) -> BTreeMap<u64, usize> {
    let snapshot = store.snapshot();
    let mut found = BTreeMap::new();
    for to in 0..TARGETS {
        let Some(key) = snapshot.target_key(&target(to)).unwrap() else {
            continue;
        };
        for part in snapshot.parts() {
            let Some(list) = part.list(&key, LIKE, ".subject").unwrap() else {
                continue;
            };
            let rows = list.iter_from(0).map(Result::unwrap);
            let shown = rows.filter(|row| !part.is_masked(*row).unwrap()).count();
            let counted = (list.len() - list.masked().unwrap()) as usize;
            assert_eq!(shown, counted, "{what}, target {to}");
            *found.entry(to).or_default() += shown;
        }
    }
    found.retain(|_, shown| *shown > 0);
    found
}

/// What the steps met.
#[derive(Debug, Default)]
struct Met {
    merges: u32,
    /// How often something was known of an account.
    known: u64,
    /// How often all of its rows in a merged segment were told by those known of the inputs, and how often a part of them.
    merged: [u64; 2],
}

/// Applies random steps, with merges, and compares with the model.
fn moved_as_in_the_model(seed: u64, bytes_max: Option<usize>, met: &mut Met) {
    let options = Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        ..Options::default()
    };
    let mut random = SplitMix::new(seed);
    let steps = steps(&mut random);
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap();
    let mut writer = store.writer().unwrap();
    if let Some(bytes_max) = bytes_max {
        writer.known_rows.account_bytes_max = bytes_max;
    }
    for (place, step) in (1..).zip(&steps) {
        apply(&mut writer, place, *step).unwrap();
        if matches!(step, Step::Account { .. }) || place == STEPS {
            let what = format!("seed {seed}, after {place} steps");
            let expected = model(&steps, place).into_iter();
            let expected = expected.map(|(to, rows)| (to, rows.len()));
            assert_eq!(shown(&store, &what), expected.collect(), "{what}");
        }
        if below(&mut random, 200) == 0 {
            writer.seal().unwrap();
            if below(&mut random, 3) == 0 && writer.merge_due().unwrap() {
                met.merges += 1;
                // Installed now, what was just sealed is known of no account; at the next seal, it is of most.
                if below(&mut random, 2) == 0 {
                    writer.tick().unwrap();
                }
            }
        }
    }
    met.known += writer.known_rows.found;
    let told = writer.merged_rows.told.get();
    met.merged = [met.merged[0] + told[0], met.merged[1] + told[1]];
    writer.close().unwrap();
    store.verify().unwrap();
}

#[test]
fn known_rows_of_accounts_are_moved_as_if_they_were_read_each_time() {
    let mut met = Met::default();
    for seed in 0..seeds(6) {
        moved_as_in_the_model(seed, None, &mut met);
    }
    let [whole, part] = met.merged;
    assert!(met.known > 100 && met.merges > 3, "{met:?}");
    assert!(whole > 3 && part > 0, "{met:?}");
}

#[test]
fn rows_that_are_known_of_some_segments_only_are_moved_with_the_others() {
    let mut met = Met::default();
    for seed in 0..seeds(4) {
        moved_as_in_the_model(seed, Some(600), &mut met);
    }
    assert!(met.known > 50 && met.merges > 0, "{met:?}");
}

/// An account with rows in two segments and the memtable, of which the first segment is set aside once they are known. Gives
/// what is told after each event behind that.
fn told_without_a_segment(forgets: bool) -> Vec<(BTreeMap<u64, usize>, Totals)> {
    const RECORDS: u64 = 20;
    let fs = SimFs::new();
    let store = set_aside::open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    let mut next = |writer: &mut Writer, step| {
        place += 1;
        apply(writer, place, step).unwrap();
        place
    };
    let status = |status| Step::Account { actor: 0, status };
    for part in 0..3 {
        for key in 0..RECORDS {
            let (actor, target) = (0, key % TARGETS);
            let key = 1 + part * RECORDS + key;
            next(&mut writer, Step::Write { actor, key, target });
        }
        if part < 2 {
            writer.seal().unwrap();
        }
    }
    next(&mut writer, status(Some("suspended")));
    next(&mut writer, status(None));
    assert!(writer.known_rows.found > 0, "both segments are known");
    let path = set_aside::segments(&fs).remove(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
    assert!(store.report_damage(&error.in_file(name).into()));
    writer.tick().unwrap();
    let mut told = Vec::new();
    for status in [
        Some("suspended"),
        None,
        Some("deactivated"),
        None,
        Some("deleted"),
    ]
    .map(status)
    {
        if forgets {
            writer.known_rows = KnownAccounts::default();
        }
        let what = format!("{:?}", next(&mut writer, status));
        told.push((shown(&store, &what), store.snapshot().totals()));
    }
    told
}

#[test]
fn rows_that_are_known_of_a_segment_are_moved_no_more_once_it_is_set_aside() {
    let told = told_without_a_segment(false);
    assert_eq!(told, told_without_a_segment(true));
    assert_eq!(told[0].0, BTreeMap::new());
    assert!(!told[1].0.is_empty() && told[1] == told[3]);
}
