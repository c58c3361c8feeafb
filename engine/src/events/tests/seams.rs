//! Readers that follow a writer which commits, seals and trims, across the seams between memory and files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{key_of, log_files};
use crate::events::Progress;
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{Step, apply, below, rkey, time_us};
use crate::{Options, Store};

const EVENTS: u64 = 12_000;

/// The key of an event; each has its place for its time.
fn step(place: u64) -> Step {
    let (actor, key) = (place % 4, place % 11);
    if place.is_multiple_of(7) {
        return Step::Delete { actor, key };
    }
    let target = place % 3;
    Step::Write { actor, key, target }
}

fn options() -> Options {
    Options {
        tail_bytes: 16 << 10,
        seal_events: 700,
        log_bytes_max: 90 << 10,
        commit_bytes: 8 << 10,
        ..Options::default()
    }
}

/// What a reader met.
#[derive(Debug, Default)]
struct Met {
    events: u64,
    trims: u64,
    /// Reads by which it came to the end.
    ends: u64,
}

/// Follows until the last event; each seq comes once, in order, less what was trimmed.
fn follow(store: &Store, from: u64, pace: u64, is_written: &AtomicBool) -> Met {
    let mut random = SplitMix::new(from + pace);
    let mut reader = store.events_from(from);
    let mut expected = from;
    let mut met = Met::default();
    loop {
        let was_written = is_written.load(Ordering::Acquire);
        let most = 1 + below(&mut random, 300) as usize;
        let mut last = 0;
        let progress = reader.read(most, &mut |accepted| {
            let seq = accepted.seq;
            assert_eq!(seq, expected);
            // Every step of the script is new, so that its place is its seq.
            assert_eq!(accepted.event.time_us, time_us(seq));
            let (_, key) = key_of(&accepted).unwrap();
            assert_eq!(key, rkey(seq % 11));
            assert!(matches!(
                accepted.effect,
                crate::effect::Effect::Commit { .. }
            ));
            expected += 1;
            last = seq;
            met.events += 1;
        });
        assert!(
            store.snapshot().last_seq() >= last,
            "a snapshot sees what was read before it was taken"
        );
        match progress.unwrap() {
            Progress::Read => {}
            Progress::CaughtUp => {
                met.ends += 1;
                if was_written {
                    assert_eq!(expected, EVENTS + 1);
                    return met;
                }
            }
            Progress::Trimmed { first_kept } => {
                assert!(first_kept > expected, "{first_kept} {expected}");
                expected = first_kept;
                met.trims += 1;
                reader.skip_to(first_kept);
            }
            lost => panic!("{lost:?}"),
        }
        if pace > 0 {
            std::thread::sleep(Duration::from_micros(below(&mut random, pace)));
        }
    }
}

#[test]
fn readers_of_any_pace_get_each_event_once_while_the_log_is_written_sealed_and_trimmed() {
    let fs = SimFs::new();
    let store = Store::open_with_fs(fs.shared(), super::dir(), options()).unwrap();
    let is_written = AtomicBool::new(false);
    let met = std::thread::scope(|scope| {
        let readers = [(1, 0), (1, 300), (1, 20_000), (5_000, 1_000)];
        let readers = readers.map(|(from, pace)| {
            let (store, is_written) = (&store, &is_written);
            scope.spawn(move || follow(store, from, pace, is_written))
        });
        let mut writer = store.writer().unwrap();
        let mut random = SplitMix::new(5);
        for place in 1..=EVENTS {
            apply(&mut writer, place, step(place)).unwrap();
            if below(&mut random, 40) == 0 {
                writer.commit().unwrap();
            }
            if below(&mut random, 100) == 0 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        is_written.store(true, Ordering::Release);
        readers.map(|reader| reader.join().unwrap())
    });
    println!("{met:?}");
    assert!(store.log_floor() > 1, "the log was trimmed");
    assert!(log_files(&fs).len() > 1);
    assert!(met.iter().any(|met| met.ends > 10), "some kept up");
    // Whoever comes late reads what is left: files, then memory.
    let late = follow(&store, 1, 0, &is_written);
    assert_eq!(late.trims, 1);
    assert_eq!(late.events, EVENTS + 1 - store.log_floor());
}

#[test]
fn what_is_not_durable_is_kept_in_memory_however_much_it_is() {
    let fs = SimFs::new();
    let options = Options {
        commit_bytes: 64 << 20,
        ..super::options()
    };
    let store = Store::open_with_fs(fs.shared(), super::dir(), options).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 1..=1_000 {
        apply(&mut writer, place, step(place)).unwrap();
    }
    assert!(log_files(&fs).is_empty());
    let calls = fs.calls();
    let mut reader = store.events_from(1);
    let mut count = 0;
    let progress = reader.read(usize::MAX, &mut |_| count += 1).unwrap();
    assert_eq!((progress, count), (Progress::CaughtUp, 1_000));
    assert_eq!(fs.calls(), calls, "no file is read");
    writer.commit().unwrap();
    let calls = fs.calls();
    reader.skip_to(1);
    assert_eq!(reader.read(1, &mut |_| {}).unwrap(), Progress::Read);
    assert!(
        fs.calls() > calls,
        "durable events beyond the limit are only in files"
    );
}

#[test]
fn a_position_before_the_first_event_and_behind_the_last_is_no_error() {
    let fs = SimFs::new();
    let store = super::open(&fs);
    assert_eq!((store.next_seq(), store.log_floor()), (1, 1));
    let mut reader = store.events_from(0);
    fn none(accepted: crate::Accepted<'_>) {
        panic!("{accepted:?}");
    }
    assert_eq!(reader.read(9, &mut none).unwrap(), Progress::CaughtUp);
    let mut ahead = store.events_from(3);
    let mut writer = store.writer().unwrap();
    for place in 1..=4 {
        assert_eq!(ahead.next_seq(), 3.max(place));
        apply(&mut writer, place, step(place)).unwrap();
        let mut seqs = Vec::new();
        let progress = ahead.read(9, &mut |accepted| seqs.push(accepted.seq));
        assert_eq!(progress.unwrap(), Progress::CaughtUp);
        assert_eq!(seqs, if place < 3 { vec![] } else { vec![place] });
    }
    assert_eq!(reader.read(0, &mut none).unwrap(), Progress::Read);
}
