//! Power cuts and failing calls: readable afterwards is what is durable, with the effects that it had.

use super::{Owned, open, read_all};
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{Step, apply, below, run, script, seeds};

/// The events of the first steps and their effects, as a store without any fault has them.
fn truth(steps: &[Step]) -> Vec<Owned> {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, *step).unwrap();
    }
    read_all(&mut store.events_from(1), &mut SplitMix::new(0))
}

#[test]
fn after_a_power_cut_just_the_durable_events_are_read_with_the_effects_that_they_had() {
    for seed in 0..seeds(60) {
        let mut random = SplitMix::new(seed);
        let steps = script(&mut random);
        let mut fs = SimFs::new();
        for cut in 0..4 {
            if cut % 2 == 0 {
                fs.stop_at(fs.calls() + 1 + below(&mut random, 120));
            } else {
                fs.fail_call(fs.calls() + 1 + below(&mut random, 120));
            }
            if let Ok(store) =
                crate::Store::open_with_fs(fs.shared(), super::dir(), super::options())
            {
                run(&store, &steps, &mut random);
            }
            fs = fs.crash(seed * 31 + cut);
            let store = open(&fs);
            let status = store.status();
            let durable = status.durable_cursor.map_or(0, |cursor| cursor.value);
            let expected = truth(&steps[..durable as usize]);
            let what = format!("seed {seed}, cut {cut}, after {durable} steps");
            assert_eq!(status.durable_seq, expected.len() as u64, "{what}");
            assert_eq!(store.next_seq(), status.durable_seq + 1, "{what}");
            let found = read_all(&mut store.events_from(1), &mut random);
            assert_eq!(found, expected, "{what}");
        }
        let store = open(&fs);
        let mut reader = store.events_from(1);
        run(&store, &steps, &mut random);
        let found = read_all(&mut reader, &mut random);
        assert_eq!(found, truth(&steps), "seed {seed}, at the end");
    }
}

/// What a failed commit loses was accepted and published all the same: whoever follows a running store has it.
#[test]
fn events_that_a_failed_commit_loses_are_still_read_from_memory() {
    let steps = script(&mut SplitMix::new(3));
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(&steps[..40]) {
        apply(&mut writer, place, *step).unwrap();
        if place == 20 {
            writer.commit().unwrap();
        }
    }
    fs.fail_sync(fs.syncs());
    writer.commit().unwrap_err();
    apply(&mut writer, 41, steps[40]).unwrap_err();
    let expected = truth(&steps[..40]);
    assert!(store.status().durable_seq < expected.len() as u64);
    let found = read_all(&mut store.events_from(1), &mut SplitMix::new(1));
    assert_eq!(found, expected);
}
