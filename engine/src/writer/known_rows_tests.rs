//! Accounts whose rows are kept from one of their events to the next: whatever dies, is sealed or merged in between, counts and
//! rows are those of the model.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{LIKE, Step, TARGETS, apply, below, model, seeds, target};
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

#[test]
fn known_rows_of_accounts_are_moved_as_if_they_were_read_each_time() {
    let options = Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        ..Options::default()
    };
    let (mut known, mut merges) = (0, 0);
    for seed in 0..seeds(6) {
        let mut random = SplitMix::new(seed);
        let steps = steps(&mut random);
        let fs = SimFs::new();
        let store = Store::open_with_fs(fs.shared(), Path::new("data"), options.clone()).unwrap();
        let mut writer = store.writer().unwrap();
        for (place, step) in (1..).zip(&steps) {
            let before = writer.known_rows.found;
            apply(&mut writer, place, *step).unwrap();
            known += writer.known_rows.found - before;
            if matches!(step, Step::Account { .. }) || place == STEPS {
                let what = format!("seed {seed}, after {place} steps");
                let expected = model(&steps, place).into_iter();
                let expected = expected.map(|(to, rows)| (to, rows.len()));
                assert_eq!(shown(&store, &what), expected.collect(), "{what}");
            }
            if below(&mut random, 200) == 0 {
                writer.seal().unwrap();
                merges += u32::from(below(&mut random, 3) == 0 && writer.merge_due().unwrap());
            }
        }
        writer.close().unwrap();
        store.verify().unwrap();
    }
    assert!(known > 100 && merges > 3, "{known} known, {merges} merges");
}
