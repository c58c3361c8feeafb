//! A disk that is full: the writer pauses before anything changed and goes on when there is room. Where
//! others fill the disk under its hands it stops for good, and nothing that was durable is lost.

use std::path::Path;

use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{Step, answers, apply, below, model, script, seeds};
use crate::{DiskLimit, Error, Options, Store};

/// Small batches and no reserve, so that little room is enough.
fn options() -> Options {
    Options {
        commit_bytes: 4 << 10,
        disk_reserve: 0,
        seal_events: 20,
        ..Options::default()
    }
}

fn open(fs: &SimFs) -> crate::Result<Store> {
    Store::open_with_fs(fs.shared(), Path::new("data"), options())
}

/// What became of a run.
#[derive(Debug, Default)]
struct Run {
    pauses: u64,
    /// Steps that are durable for certain.
    acknowledged: u64,
    /// Whether the writer stopped for good.
    stopped: bool,
}

/// Runs the script from behind the durable cursor; each time that the writer pauses, `make_room` is called
/// and the same step tried again.
fn run(store: &Store, steps: &[Step], random: &mut SplitMix, make_room: &mut dyn FnMut()) -> Run {
    let mut writer = store.writer().unwrap();
    let start = writer.durable_cursor().map_or(0, |cursor| cursor.value);
    let mut run = Run {
        acknowledged: start,
        ..Run::default()
    };
    let mut place = start + 1;
    while place <= steps.len() as u64 {
        let before = store.snapshot().last_seq();
        let action = below(random, 12);
        let outcome = match apply(&mut writer, place, steps[place as usize - 1]) {
            Ok(()) => {
                place += 1;
                match action {
                    0 => writer.seal(),
                    1..4 => writer.commit(),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                if matches!(error, Error::DiskFull { .. }) {
                    assert_eq!(store.snapshot().last_seq(), before, "nothing changed");
                }
                Err(error)
            }
        };
        match outcome {
            Ok(()) => {}
            Err(Error::DiskFull { need, free, .. }) => {
                assert!(need > free);
                assert!(store.status().paused.is_some());
                assert_eq!(store.status().poisoned, None);
                run.pauses += 1;
                make_room();
            }
            Err(_) => {
                run.stopped = true;
                return run;
            }
        }
        if let Some(cursor) = writer.durable_cursor() {
            run.acknowledged = run.acknowledged.max(cursor.value);
        }
    }
    match writer.commit() {
        Ok(()) => run.acknowledged = steps.len() as u64,
        Err(Error::DiskFull { .. }) => {}
        Err(_) => run.stopped = true,
    }
    store.give_back(writer);
    run
}

fn check_what_is_left(fs: &SimFs, steps: &[Step], acknowledged: u64, what: &str) {
    let store = open(fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let durable = store.status().durable_cursor;
    let durable = durable.map_or(0, |cursor| cursor.value);
    assert!(
        durable >= acknowledged,
        "{what}: {durable} of {acknowledged}"
    );
    // A seal makes the event that led to it durable with the cursor before it; the source sends that event
    // again.
    let found = answers(&store);
    let behind = model(steps, (durable + 1).min(steps.len() as u64));
    if found != behind {
        assert_eq!(found, model(steps, durable), "{what}");
    }
    store.verify().unwrap();
}

fn finish(fs: &SimFs, steps: &[Step], what: &str) {
    let store = open(fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let run = run(&store, steps, &mut SplitMix::new(1), &mut || {});
    assert!(!run.stopped && run.pauses == 0, "{what}: {run:?}");
    assert_eq!(answers(&store), model(steps, steps.len() as u64), "{what}");
}

/// Nobody else writes: whatever the size of the disk, the writer never runs into its end, and gets through
/// the script by pausing whenever a little more room is needed.
#[test]
fn on_a_small_disk_the_writer_pauses_and_resumes_and_never_stops() {
    let mut pauses = 0;
    for seed in 0..seeds(60) {
        let mut random = SplitMix::new(seed);
        let steps = script(&mut random);
        let fs = SimFs::new();
        drop(open(&fs).unwrap());
        let mut capacity = fs.used() + below(&mut random, 400_000);
        fs.set_capacity(Some(capacity));
        let store = open(&fs).unwrap();
        let run = run(&store, &steps, &mut random, &mut || {
            capacity += 10_000;
            fs.set_capacity(Some(capacity));
        });
        assert!(!run.stopped, "seed {seed}: {:?}", store.status().poisoned);
        pauses += run.pauses;
        assert_eq!(answers(&store), model(&steps, steps.len() as u64));
        drop(store);
        check_what_is_left(&fs, &steps, run.acknowledged, &format!("seed {seed}"));
    }
    assert!(pauses > 100, "{pauses}");
}

/// Others fill the disk at some call, to the last byte or nearly. Mostly the writer sees it in time.
#[test]
fn a_disk_that_others_fill_at_any_call_costs_nothing_that_was_durable() {
    let steps = script(&mut SplitMix::new(11));
    let (mut paused, mut stopped) = (0, 0);
    for call in 1..seeds(500) {
        let fs = SimFs::new();
        fs.fill_at(call, call % 3 * 70_000);
        let what = format!("call {call}");
        let room = fs.clone();
        let outcome = match open(&fs) {
            Ok(store) => run(&store, &steps, &mut SplitMix::new(11), &mut || {
                room.set_capacity(None);
            }),
            Err(_) => Run::default(),
        };
        paused += u64::from(outcome.pauses > 0);
        stopped += u64::from(outcome.stopped);
        let after = fs.crash(call);
        check_what_is_left(&after, &steps, outcome.acknowledged, &what);
        finish(&after, &steps, &what);
    }
    assert!(
        paused > 20 && stopped > 20,
        "{paused} paused, {stopped} stopped"
    );
}

/// The file system tells of room that is not there, so that writes fail at every place where they can. With
/// the disk still full the directory opens again and answers; freed, it goes on.
#[test]
fn a_full_disk_that_nobody_told_of_costs_nothing_that_was_durable() {
    let steps = script(&mut SplitMix::new(12));
    let mut stopped = 0;
    for call in 1..seeds(500) {
        let fs = SimFs::new();
        fs.hide_free_space();
        fs.fill_at(call, call % 5 * 37);
        let what = format!("call {call}");
        let outcome = match open(&fs) {
            Ok(store) => {
                let run = run(&store, &steps, &mut SplitMix::new(12), &mut || {});
                if run.stopped {
                    let why = store.status().poisoned.unwrap();
                    assert!(why.contains("free some space"), "{what}: {why}");
                    assert!(answers(&store).len() <= 3, "queries go on");
                }
                run
            }
            // Nothing was there yet.
            Err(_) => continue,
        };
        stopped += u64::from(outcome.stopped);
        let after = fs.crash(call);
        after.set_capacity(Some(after.used()));
        check_what_is_left(&after, &steps, outcome.acknowledged, &what);
        after.set_capacity(None);
        finish(&after, &steps, &what);
    }
    assert!(stopped > 100, "{stopped}");
}

#[test]
fn the_directory_stays_below_its_limit_and_the_log_window_gives_way_first() {
    let fs = SimFs::new();
    let limit = 300_000;
    let options = Options {
        disk_limit: Some(limit),
        ..options()
    };
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), options).unwrap();
    let mut writer = store.writer().unwrap();
    let mut random = SplitMix::new(3);
    let mut place = 0;
    let mut full = None;
    while full.is_none() {
        for step in script(&mut random) {
            full = apply(&mut writer, place + 1, step).err();
            if full.is_some() {
                break;
            }
            place += 1;
        }
        assert!(fs.used() <= limit, "{} after {place} events", fs.used());
        assert_eq!(store.status().poisoned, None);
    }
    let full = full.unwrap();
    let Error::DiskFull { limit: what, .. } = full else {
        panic!("{full}");
    };
    assert_eq!(what, DiskLimit::Directory(limit));
    let logs = fs.shared().list(Path::new("data/log")).unwrap();
    assert!(
        logs.len() <= 3,
        "only what is not sealed is left of the log: {logs:?}"
    );
    assert!(store.status().segments > 5);
    drop(store);
    drop(writer);

    // With a higher limit it goes on.
    let mut writer = open(&fs).unwrap().writer().unwrap();
    apply(&mut writer, place + 1, script(&mut random)[0]).unwrap();
}

#[test]
fn a_paused_writer_goes_on_by_itself_once_there_is_room() {
    let steps = script(&mut SplitMix::new(5));
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 1, steps[0]).unwrap();
    fs.set_capacity(Some(fs.used() + 1_000));
    writer.seal().unwrap_err();
    assert_eq!(store.status().waits_for, Some(crate::WaitsFor::Room));
    let why = store.status().paused.unwrap();
    assert!(why.contains("free some space"), "{why}");
    writer.tick().unwrap();
    assert!(store.status().paused.is_some());
    fs.set_capacity(None);
    writer.tick().unwrap();
    assert_eq!(store.status().paused, None);
}
