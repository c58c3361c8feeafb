//! What must hold of a directory after a fault.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::play::{BACKUP, DATA, Outcome, Script, durable, play};
use crate::Store;
use crate::io::fault::SimFs;
use crate::mask::files::MASKS;
use crate::offline::{backup_with_fs, restore_with_fs, verify};
use crate::power_cut_tests::answers;
use crate::store::SEGMENTS;

/// The store opens on `disk`, answers as its cursor says, and has lost nothing that was durable.
fn opens(disk: &SimFs, script: &Script, acknowledged: u64, what: &str) -> u64 {
    let store = script
        .open(disk)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let durable = is_right(&store, script, what);
    assert!(
        durable >= acknowledged,
        "{what}: {acknowledged} steps were durable, {durable} are left"
    );
    assert_eq!(store.status().poisoned, None, "{what}");
    assert!(store.status().gaps.is_empty(), "{what}");
    has_no_orphans(disk, &store, what);
    durable
}

fn is_right(store: &Store, script: &Script, what: &str) -> u64 {
    let durable = durable(store);
    assert_eq!(
        answers(store),
        script.model(durable),
        "{what}: after {durable} steps"
    );
    assert!(store.status().degraded.is_empty(), "{what}");
    store.verify().unwrap();
    durable
}

/// Each file of the directory is one that the store stands on.
fn has_no_orphans(disk: &SimFs, store: &Store, what: &str) {
    let generation = store.shared.generation();
    let mut known = BTreeSet::new();
    for sealed in &generation.segments {
        known.insert(Path::new(DATA).join(SEGMENTS).join(&*sealed.name));
        if let Some(file) = sealed.mask.file() {
            known.insert(Path::new(DATA).join(MASKS).join(file.name()));
        }
    }
    let mut manifests = 0;
    let mut logs = BTreeSet::new();
    let mut indexes = BTreeSet::new();
    for path in disk.paths() {
        let Ok(within) = path.strip_prefix(DATA) else {
            continue;
        };
        let name = within.to_str().unwrap_or_default();
        let stem = path.with_extension("");
        match path.extension().and_then(|kind| kind.to_str()) {
            Some("log") => drop(logs.insert(stem)),
            Some("keys") => drop(indexes.insert(stem)),
            _ if name.starts_with("MANIFEST-") => manifests += 1,
            _ if within.parent() == Some(Path::new("")) => assert_eq!(name, "LOCK", "{what}"),
            _ => assert!(known.contains(&path), "{what}: {name} is an orphan"),
        }
    }
    assert_eq!(manifests, 1, "{what}");
    let strays: Vec<&PathBuf> = indexes.difference(&logs).collect();
    assert!(strays.is_empty(), "{what}: {strays:?} have no log file");
}

/// `verify` finds nothing to tell.
fn is_sound(disk: &SimFs, what: &str) {
    let mut damages = Vec::new();
    let report = verify::verify_with_fs(&disk.shared(), Path::new(DATA), false, &mut |damage| {
        damages.push(damage.to_string());
    });
    let report = report.unwrap();
    assert!(damages.is_empty(), "{what}: {damages:?}");
    assert!(report.notes.is_empty(), "{what}: {:?}", report.notes);
}

/// The newest backup restores to what its cursor names.
pub(super) fn restores(disk: &SimFs, script: &Script, backed_up: u64, what: &str) {
    let made = restore_with_fs(&disk.shared(), Path::new(BACKUP), Path::new("new"));
    match made {
        Ok(_) => {
            let store = script
                .open_at(disk, "new")
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = is_right(&store, script, what);
            assert!(found >= backed_up, "{what}: {found} of {backed_up}");
        }
        Err(error) => assert_eq!(backed_up, 0, "{what}: {error}"),
    }
}

/// All of it, on a disk that a fault left.
pub(super) fn check(disk: &SimFs, script: &Script, outcome: &Outcome, seed: u64, what: &str) {
    let found = opens(disk, script, outcome.acknowledged, what);
    // What is told to be durable after a start is: even where the start found it in the page cache only.
    let cut = disk.crash(seed + 1);
    opens(&cut, script, found, &format!("{what}, and a power cut"));
    disk.set_capacity(None);
    is_sound(disk, what);
    restores(&disk.crash(seed + 2), script, outcome.backed_up, what);

    let ended = play(disk, script);
    assert!(!ended.is_stopped, "{what}: the script goes on");
    let after = disk.killed();
    opens(&after, script, script.steps.len() as u64, what);
    is_sound(&after, what);
    backup_with_fs(&after.shared(), Path::new(DATA), Path::new(BACKUP), false)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let left = after.paths();
    let temporary = left
        .iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "tmp"));
    assert_eq!(temporary, None, "{what}");
    restores(&after, script, script.steps.len() as u64, what);
}

/// The same after one more fault at a call of the recovery; each of three kinds. Gives how many.
pub(super) fn check_recovery(
    disk: &SimFs,
    script: &Script,
    outcome: &Outcome,
    call: u64,
    what: &str,
) -> u64 {
    let struck = |strike: &dyn Fn(&SimFs)| {
        let disk = disk.killed();
        strike(&disk);
        // It may succeed: not every call is needed.
        drop(script.open(&disk));
        disk
    };
    let stopped = struck(&|disk| disk.stop_at(call));
    let disks = [
        stopped.killed(),
        stopped.crash(call),
        struck(&|disk| disk.fail_call(call)).killed(),
    ];
    for (kind, disk) in disks.iter().enumerate() {
        check(disk, script, outcome, call, &format!("{what}, kind {kind}"));
    }
    disks.len() as u64
}
