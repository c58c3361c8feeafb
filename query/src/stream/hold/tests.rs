use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::types::{Cause, Origin};
use super::*;

const DELAY: u64 = 10;

fn hold() -> Hold {
    Hold::new(DELAY, 1_000, 1 << 20)
}

fn change(index: u32, operation: Operation, record: &str, subject: &str) -> Change {
    Change {
        index,
        position: index,
        operation,
        origin: Origin::Live,
        source: "c.d.e:subject".into(),
        source_record: format!("at://did:plc:a/c.d.e/{record}").into(),
        source_rev: Some("3rev".into()),
        subject: subject.into(),
        cause: (operation == Operation::Delete).then_some(Cause::Record),
    }
}

/// A version of a record with these links, which were not there before.
fn version(seq: u64, time_us: u64, record: u64, subjects: &[&str]) -> Step {
    let links: Vec<Change> = (0..)
        .zip(subjects)
        .map(|(i, subject)| change(i, Operation::Create, &record.to_string(), subject))
        .collect();
    Step {
        key: record,
        plain: links.clone(),
        changes: links,
        ..Step::empty(seq, time_us)
    }
}

/// The end of a record that had these links.
fn end(seq: u64, time_us: u64, record: u64, subjects: &[&str]) -> Step {
    let mut step = version(seq, time_us, record, subjects);
    step.plain.clear();
    for change in &mut step.changes {
        change.operation = Operation::Delete;
        change.cause = Some(Cause::Record);
    }
    step
}

/// Long after all events.
const WALL: u64 = 1 << 40;

fn stage(hold: &mut Hold, step: Step, now_us: u64) {
    hold.stage(step, now_us, WALL);
}

fn released(hold: &mut Hold, now_us: u64) -> Vec<(u64, usize, usize)> {
    let mut out = Vec::new();
    hold.release(now_us, u64::MAX, &mut |step| {
        out.push((step.seq, step.plain.len(), step.changes.len()));
        Continue(())
    });
    out
}

#[test]
fn a_step_leaves_a_delay_after_it_came() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1"]), 1_000);
    assert_eq!(released(&mut hold, 1_009), []);
    assert_eq!((hold.released(), hold.staged()), (1, 2));
    assert_eq!(released(&mut hold, 1_010), [(1, 1, 1)]);
    assert_eq!((hold.released(), hold.staged(), hold.links()), (2, 2, 0));
}

#[test]
fn a_step_leaves_when_an_event_is_a_delay_younger() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1"]), 1_000);
    stage(&mut hold, Step::empty(2, 109), 1_000);
    assert_eq!(released(&mut hold, 1_000), []);
    stage(&mut hold, Step::empty(3, 110), 1_000);
    assert_eq!(released(&mut hold, 1_000), [(1, 1, 1)]);
    assert_eq!((hold.released(), hold.staged()), (4, 4));
}

#[test]
fn steps_leave_in_the_order_in_which_they_came_whatever_their_times() {
    let mut hold = hold();
    stage(&mut hold, version(1, 105, 7, &["s:1"]), 0);
    stage(&mut hold, version(2, 90, 8, &["s:2"]), 0);
    assert_eq!(released(&mut hold, 0), []);
    stage(&mut hold, Step::empty(3, 115), 0);
    assert_eq!(released(&mut hold, 0), [(1, 1, 1), (2, 1, 1)]);
}

#[test]
fn what_is_deleted_in_time_is_never_told() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1", "s:2"]), 0);
    stage(&mut hold, end(2, 109, 7, &["s:1", "s:2"]), 9);
    assert_eq!(released(&mut hold, 1_000), []);
    assert_eq!((hold.released(), hold.links()), (3, 0));
}

#[test]
fn a_delete_that_comes_too_late_is_told() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1"]), 0);
    // Its own time lets the create go, though nobody has asked for it yet.
    stage(&mut hold, end(2, 110, 7, &["s:1"]), 0);
    assert_eq!(released(&mut hold, 0), [(1, 1, 1)]);
    assert_eq!(released(&mut hold, 10), [(2, 0, 1)]);
}

#[test]
fn an_update_replaces_what_plain_clients_get_and_takes_back_single_links() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1", "s:2", "s:3"]), 0);
    let mut update = version(2, 105, 7, &["s:1", "s:4"]);
    update.changes = vec![
        change(0, Operation::Delete, "7", "s:2"),
        change(1, Operation::Delete, "7", "s:3"),
        change(2, Operation::Create, "7", "s:4"),
    ];
    stage(&mut hold, update, 5);
    let mut out = Vec::new();
    hold.release(14, u64::MAX, &mut |step| {
        out.push(step);
        Continue(())
    });
    let subjects = |changes: &[Change]| -> Vec<(u32, String)> {
        let told = changes.iter();
        told.map(|change| (change.index, change.subject.to_string()))
            .collect()
    };
    assert_eq!(out.len(), 1);
    assert!(out[0].plain.is_empty());
    assert_eq!(subjects(&out[0].changes), [(0, "s:1".to_owned())]);
    hold.release(15, u64::MAX, &mut |step| {
        out.push(step);
        Continue(())
    });
    assert_eq!(
        subjects(&out[1].plain),
        [(0, "s:1".to_owned()), (1, "s:4".to_owned())]
    );
    // Its number stays, as it is part of its cursor.
    assert_eq!(subjects(&out[1].changes), [(2, "s:4".to_owned())]);
}

#[test]
fn a_link_that_goes_and_comes_back_in_time_is_told_as_both() {
    let mut hold = hold();
    stage(&mut hold, end(1, 100, 7, &["s:1"]), 0);
    stage(&mut hold, version(2, 101, 7, &["s:1"]), 1);
    assert_eq!(released(&mut hold, 50), [(1, 0, 1), (2, 1, 1)]);
}

#[test]
fn a_create_that_may_be_a_repeat_is_told_with_its_delete() {
    let mut hold = hold();
    stage(&mut hold, version(1, 100, 7, &["s:1"]), 0);
    let repeat = Step {
        repeats: true,
        ..version(2, 101, 7, &["s:1"])
    };
    stage(&mut hold, repeat, 0);
    stage(&mut hold, end(3, 102, 7, &["s:1"]), 0);
    assert_eq!(released(&mut hold, 50), [(1, 0, 1), (2, 0, 1), (3, 0, 1)]);
}

#[test]
fn what_does_not_fit_leaves_early() {
    let mut by_links = Hold::new(DELAY, 5, 1 << 20);
    let mut by_bytes = Hold::new(DELAY, 1_000, 2_000);
    for hold in [&mut by_links, &mut by_bytes] {
        for seq in 1..20 {
            stage(hold, version(seq, 100, seq, &["s:1"]), 0);
        }
        let left = released(hold, 0);
        let seqs: Vec<u64> = left.iter().map(|(seq, ..)| *seq).collect();
        assert!(seqs.len() > 10, "{seqs:?}");
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        assert!(hold.links() <= 10);
        let rest = released(hold, DELAY);
        assert_eq!(left.len() + rest.len(), 19);
    }
}

#[test]
fn nothing_leaves_from_the_bound_on() {
    let mut hold = hold();
    for seq in 1..4 {
        stage(&mut hold, version(seq, 100, seq, &["s:1"]), 0);
    }
    let mut seqs = Vec::new();
    hold.release(50, 2, &mut |step| {
        seqs.push(step.seq);
        Continue(())
    });
    assert_eq!((&seqs[..], hold.released()), (&[1][..], 2));
    stage(&mut hold, Step::empty(4, 200), 50);
    hold.release_all(3, &mut |step| {
        seqs.push(step.seq);
        Continue(())
    });
    assert_eq!((&seqs[..], hold.released()), (&[1, 2][..], 3));
    hold.release_all(u64::MAX, &mut |step| {
        seqs.push(step.seq);
        Continue(())
    });
    assert_eq!((&seqs[..], hold.released()), (&[1, 2, 3][..], 5));
}

#[test]
fn what_was_let_go_counts_until_it_is_released() {
    let mut by_links = Hold::new(DELAY, 5, 1 << 20);
    let mut by_bytes = Hold::new(DELAY, 1_000, 4_000);
    for hold in [&mut by_links, &mut by_bytes] {
        let mut seq = 0;
        while !hold.is_full() {
            seq += 1;
            assert!(seq < 20);
            stage(hold, version(seq, 100, seq, &["s:1"]), 0);
        }
        assert!(hold.links() > 5);
        // One that leaves makes room for another.
        let mut seqs = Vec::new();
        hold.release(0, u64::MAX, &mut |step| {
            seqs.push(step.seq);
            Break(())
        });
        assert_eq!(seqs, [1]);
        assert!(!hold.is_full());
        // All let go at once by a later time are as many as before.
        let links = hold.links();
        stage(hold, Step::empty(seq + 1, 200), 0);
        assert_eq!(hold.links(), links);
        stage(hold, version(seq + 2, 200, 99, &["s:1"]), 0);
        assert!(hold.is_full());
    }
}

#[test]
fn a_release_that_is_broken_off_goes_on_behind_the_step_that_was_given_last() {
    let mut hold = hold();
    for seq in 1..7 {
        stage(&mut hold, version(seq, 100, seq, &["s:1"]), 0);
    }
    let mut seqs = Vec::new();
    for rest in [2, 3] {
        hold.release(DELAY, u64::MAX, &mut |step| {
            seqs.push(step.seq);
            Break(())
        });
        assert_eq!(hold.released(), rest);
    }
    for rest in [4, 5, 5] {
        hold.release_all(5, &mut |step| {
            seqs.push(step.seq);
            Break(())
        });
        assert_eq!(hold.released(), rest);
    }
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(released(&mut hold, DELAY), [(5, 1, 1), (6, 1, 1)]);
}

#[test]
fn an_event_from_the_future_does_not_end_the_delay_of_others() {
    let mut hold = hold();
    let staged = [
        (1, 100, 100),
        // Its time is long after the present.
        (2, 1 << 50, 101),
        (3, 102, 102),
    ];
    for (seq, time_us, wall_us) in staged {
        hold.stage(version(seq, time_us, seq, &["s:1"]), 0, wall_us);
    }
    hold.stage(end(4, 103, 2, &["s:1"]), 0, 103);
    hold.stage(end(5, 104, 3, &["s:1"]), 0, 104);
    assert_eq!(released(&mut hold, 0), []);
    // Nor does it wait longer than others in a replay.
    hold.stage(version(6, 1 << 50, 6, &["s:1"]), 0, 105);
    hold.stage(Step::empty(7, 114), 0, 200);
    assert_eq!(released(&mut hold, 0), [(1, 1, 1), (6, 1, 1)]);
}

/// The same by looking at everything: all steps that ever came, and what became of them.
#[derive(Default)]
struct Model {
    steps: Vec<(Step, u64, bool)>,
    newest_us: u64,
}

impl Model {
    fn leave(&mut self, due: impl Fn(&Step, u64) -> bool) {
        for (step, arrived_us, left) in &mut self.steps {
            if !*left {
                if !due(step, *arrived_us) {
                    return;
                }
                *left = true;
            }
        }
    }

    fn stage(&mut self, mut step: Step, now_us: u64) {
        self.newest_us = self.newest_us.max(step.time_us);
        let newest_us = self.newest_us;
        self.leave(|step, _| newest_us.saturating_sub(step.time_us) >= DELAY);
        for (old, _, left) in &mut self.steps {
            if !*left && old.key == step.key && step.key != 0 {
                old.plain.clear();
            }
        }
        let mut told = Vec::new();
        for change in step.changes {
            let same = |old: &Change| {
                old.operation == Operation::Create
                    && old.source_record == change.source_record
                    && old.subject == change.subject
            };
            let held = self
                .steps
                .iter_mut()
                .filter(|(_, _, left)| !left)
                .find(|(old, ..)| old.changes.iter().any(same));
            match held {
                Some((old, ..)) if change.operation == Operation::Delete => {
                    old.changes.retain(|old| !same(old));
                }
                _ => told.push(change),
            }
        }
        step.changes = told;
        // What says nothing makes nothing else wait.
        let left = step.is_empty();
        self.steps.push((step, now_us, left));
    }

    fn told(&self) -> Vec<Step> {
        let left = self.steps.iter().filter(|(.., left)| *left);
        left.map(|(step, ..)| step.clone())
            .filter(|step| !step.is_empty())
            .collect()
    }
}

/// What happens to one of a few records: its links from now on, none for a delete; how far its time is from
/// that of the one before; how much later it comes; whether releases are asked for.
type Happening = (u64, Vec<usize>, i64, u64, bool);

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = (
        1..5_u64,
        vec(0..4_usize, 0..4),
        -3..6_i64,
        0..6_u64,
        any::<bool>(),
    );
    vec(one, 1..80)
}

proptest! {
    #[test]
    fn what_leaves_is_what_looking_at_everything_says(happenings in happenings()) {
        const SUBJECTS: [&str; 4] = ["s:0", "s:1", "s:2", "s:3"];
        let (mut hold, mut model) = (hold(), Model::default());
        let mut visible: std::collections::BTreeMap<u64, Vec<&str>> = Default::default();
        let (mut now_us, mut time_us) = (0, 1_000_i64);
        let mut told: Vec<Step> = Vec::new();
        for (seq, (record, links, step_us, pause_us, asks)) in (1..).zip(happenings) {
            now_us += pause_us;
            time_us += step_us;
            let mut new: Vec<&str> = links.iter().map(|i| SUBJECTS[*i]).collect();
            let plain = version(seq, 0, record, &new).plain;
            new.sort_unstable();
            new.dedup();
            let old = visible.insert(record, new.clone()).unwrap_or_default();
            let gone = old.iter().filter(|link| !new.contains(link)).map(|link| (Operation::Delete, link));
            let come = new.iter().filter(|link| !old.contains(link)).map(|link| (Operation::Create, link));
            let changes = (0..).zip(gone.chain(come)).map(|(i, (operation, link))| {
                change(i, operation, &record.to_string(), link)
            });
            let step = Step {
                key: record,
                plain,
                changes: changes.collect(),
                ..Step::empty(seq, time_us.cast_unsigned())
            };
            model.stage(step.clone(), now_us);
            stage(&mut hold, step, now_us);
            if asks {
                model.leave(|_, arrived_us| now_us - arrived_us >= DELAY);
                hold.release(now_us, u64::MAX, &mut |step| { told.push(step); Continue(()) });
                prop_assert_eq!(&told, &model.told());
            }
            prop_assert_eq!(hold.staged(), seq + 1);
        }
        model.leave(|_, _| true);
        hold.release(u64::MAX, u64::MAX, &mut |step| { told.push(step); Continue(()) });
        prop_assert_eq!(&told, &model.told());
        prop_assert_eq!(hold.released(), hold.staged());
        prop_assert_eq!(hold.links(), 0);
        prop_assert!(hold.creates.is_empty() && hold.versions.is_empty());
        prop_assert_eq!(hold.held_size, Size::default());
        prop_assert_eq!(hold.ready_size, Size::default());
        // What was told makes the same links visible, and tells nothing twice.
        let mut shown: std::collections::BTreeSet<(Arc<str>, Arc<str>)> = Default::default();
        for change in told.iter().flat_map(|step| &step.changes) {
            let link = (Arc::clone(&change.source_record), Arc::clone(&change.subject));
            let fits = match change.operation {
                Operation::Create => shown.insert(link),
                Operation::Delete => shown.remove(&link),
            };
            prop_assert!(fits, "{change:?}");
        }
        let truth: usize = visible.values().map(Vec::len).sum();
        prop_assert_eq!(shown.len(), truth);
    }
}
