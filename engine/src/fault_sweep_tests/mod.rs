//! Fault sweeps over everything that writes: ingest, seals, merges and their installation, full compaction, mask
//! files, backups beside the store, and recovery between all of them. A fault is placed at a call of the file
//! layer, for each kind of fault at each call in turn.
//!
//! After each fault the directory opens; its cursor names the events that its answers contain; nothing that was
//! durable is lost; `verify` finds nothing; no file is there that nothing needs; the newest backup restores; and
//! the script can be ended from there.
//!
//! `cargo test` takes a sample of the calls. Every call of the first `N` scripts, with the number of points told:
//!
//! ```text
//! ORRERY_FAULT_SEEDS=N cargo test --release -p orrery-engine --lib fault_sweep -- --nocapture
//! ```

mod beside;
mod check;
mod play;

use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::below;

use check::{check, check_recovery};
use play::{Outcome, Script, play};

/// The points of each kind in each script that a run without the environment variable takes.
const SAMPLE: u64 = 9;

/// A kind of fault, which strikes at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The process ends; what it has written stays.
    Kill,
    /// The power fails; what was not synced may be lost.
    PowerCut,
    /// The call fails, once; later the power fails.
    Failure,
    /// The call fails, once; the process ends, and the power fails after the next start.
    FailureAndKill,
    /// The sync fails, once. Counted in syncs.
    FailedSync,
    /// Others fill the disk, and the free space is told.
    Full,
    /// Others fill the disk, and nobody tells.
    FullUntold,
}

/// How many scripts are swept, and whether every call is taken.
fn extent() -> (u64, bool) {
    let seeds = std::env::var("ORRERY_FAULT_SEEDS");
    match seeds.ok().and_then(|seeds| seeds.parse().ok()) {
        Some(seeds) => (seeds, true),
        None => (2, false),
    }
}

/// The calls to strike at: all of them, or a sample.
fn points(count: u64, all: bool, random: &mut SplitMix) -> Vec<u64> {
    if all {
        (0..count).collect()
    } else {
        (0..SAMPLE).map(|_| below(random, count)).collect()
    }
}

/// Plays the script with one fault in it, and gives the disk as the next process finds it.
fn strike(script: &Script, fault: Fault, at: u64) -> (SimFs, Outcome) {
    let fs = SimFs::new();
    match fault {
        Fault::Kill | Fault::PowerCut => fs.stop_at(at),
        Fault::Failure | Fault::FailureAndKill => fs.fail_call(at),
        Fault::FailedSync => fs.fail_sync(at),
        Fault::Full => fs.fill_at(at, at % 3 * 500),
        Fault::FullUntold => {
            fs.hide_free_space();
            fs.fill_at(at, at % 5 * 37);
        }
    }
    let outcome = play(&fs, script);
    let after = match fault {
        Fault::Kill | Fault::FailureAndKill => fs.killed(),
        _ => fs.crash(at),
    };
    let is_made = after
        .paths()
        .iter()
        .any(|path| path.ends_with("data/MANIFEST-00000001"));
    if fault == Fault::FullUntold && is_made {
        // Nothing was freed yet: the directory opens and answers all the same.
        after.set_capacity(Some(after.used()));
    }
    (after, outcome)
}

fn sweep(fault: Fault) {
    let (seeds, all) = extent();
    let mut count = 0;
    let mut stopped = 0;
    for seed in 0..seeds {
        let script = Script::new(seed);
        let fs = SimFs::new();
        let whole = play(&fs, &script);
        assert!(!whole.is_stopped && whole.tally.is_rich(), "{whole:?}");
        let calls = match fault {
            Fault::FailedSync => fs.syncs(),
            _ => fs.calls(),
        };
        let mut random = SplitMix::new(seed + 1000 * fault as u64);
        for at in points(calls, all, &mut random) {
            let what = format!("script {seed}, {fault:?} at {at} of {calls}");
            let (after, outcome) = strike(&script, fault, at);
            stopped += u64::from(outcome.is_stopped);
            check(&after, &script, &outcome, at, &what);
            count += 1;
        }
    }
    println!("{fault:?}: {count} points, {stopped} stopped the writer, 0 wrong answers");
}

#[test]
fn a_process_that_ends_at_any_call_leaves_a_store_that_goes_on() {
    sweep(Fault::Kill);
}

#[test]
fn a_power_cut_at_any_call_leaves_a_store_that_goes_on() {
    sweep(Fault::PowerCut);
}

#[test]
fn a_failure_of_any_call_leaves_a_store_that_goes_on() {
    sweep(Fault::Failure);
}

#[test]
fn a_failure_of_any_call_and_a_restart_leave_a_store_that_goes_on() {
    sweep(Fault::FailureAndKill);
}

#[test]
fn a_failure_of_any_sync_leaves_a_store_that_goes_on() {
    sweep(Fault::FailedSync);
}

#[test]
fn a_full_disk_at_any_call_leaves_a_store_that_goes_on() {
    sweep(Fault::Full);
}

#[test]
fn an_untold_full_disk_at_any_call_leaves_a_store_that_goes_on() {
    sweep(Fault::FullUntold);
}

/// The second fault strikes while the directory is opened after the first.
#[test]
fn a_fault_at_any_call_of_a_recovery_leaves_a_store_that_goes_on() {
    let (seeds, all) = extent();
    let mut count = 0;
    for seed in 0..seeds {
        let script = Script::new(seed);
        let fs = SimFs::new();
        play(&fs, &script);
        let mut random = SplitMix::new(seed + 77);
        let places = if all { 24 } else { 2 };
        for _ in 0..places {
            let at = below(&mut random, fs.calls());
            let first = [Fault::Kill, Fault::PowerCut][below(&mut random, 2) as usize];
            let (after, outcome) = strike(&script, first, at);
            let probe = after.killed();
            drop(script.open(&probe));
            for call in points(probe.calls(), all, &mut random)
                .into_iter()
                .take(if all { usize::MAX } else { 5 })
            {
                let what = format!("script {seed}, {first:?} at {at}, then at {call} of recovery");
                count += check_recovery(&after, &script, &outcome, call, &what);
            }
        }
    }
    println!("recovery: {count} points, 0 wrong answers");
}
