//! The exclude list under power cuts and failing calls, in backups and replays, and beside what the network says.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use orrery_formats::exclusions::ExclusionKind;

use super::{EXCLUSIONS, Exclusions, Why};
use crate::exclusions::Excluded;
use crate::io::fault::{SimFs, SplitMix};
use crate::offline::{
    backup_with_fs, replay_log_with_fs, replay_segments_with_fs, restore_with_fs,
};
use crate::power_cut_tests::{
    Answers, Step, answers, apply, below, did, model, open, script, seeds,
};
use crate::{Options, Store, Writer};

fn account(actor: u64) -> Excluded {
    Excluded::parse(&did(actor), false).unwrap()
}

/// What the answers must be after the first `len` steps while these accounts are excluded.
fn model_without(steps: &[Step], len: u64, excluded: &BTreeSet<u64>) -> Answers {
    let mut shown = model(steps, len);
    for links in shown.values_mut() {
        links.retain(|(actor, _)| !excluded.contains(actor));
    }
    shown.retain(|_, links| !links.is_empty());
    shown
}

fn listed(store: &Store) -> BTreeSet<u64> {
    let list = store.exclusions();
    (0..4)
        .filter(|actor| list.hides_account(&did(*actor)))
        .collect()
}

/// Puts one account on the list or takes it off.
fn change(store: &Store, writer: &mut Writer, actor: u64, excluded: bool) -> crate::Result<()> {
    let entries = [account(actor)];
    match excluded {
        true => store.exclude(&entries, Duration::ZERO)?,
        false => store.include(&entries, Duration::ZERO)?,
    };
    writer.apply_exclusions()
}

/// Runs the script from behind the durable cursor with changes of the list in between. Gives the steps that are durable
/// for certain, and which list is, with the change during which it failed.
fn run(
    store: &Store,
    steps: &[Step],
    random: &mut SplitMix,
) -> (u64, BTreeSet<u64>, Option<(u64, bool)>) {
    let mut list = listed(store);
    let mut writer = store.writer().unwrap();
    let mut durable = writer.durable_cursor().map_or(0, |cursor| cursor.value);
    for place in durable + 1..=steps.len() as u64 {
        let mut changing = None;
        let outcome =
            apply(&mut writer, place, steps[place as usize - 1]).and_then(|()| {
                match below(random, 14) {
                    0 => writer.seal(),
                    1..4 => writer.commit(),
                    4..7 => {
                        let (actor, excluded) = (below(random, 4), below(random, 2) == 0);
                        changing = Some((actor, excluded));
                        change(store, &mut writer, actor, excluded)
                    }
                    _ => Ok(()),
                }
            });
        if outcome.is_err() {
            return (durable, list, changing);
        }
        if let Some((actor, excluded)) = changing {
            match excluded {
                true => list.insert(actor),
                false => list.remove(&actor),
            };
            let expected = model_without(steps, place, &list);
            assert_eq!(answers(store), expected, "at once, after {place} steps");
        }
        durable = writer
            .durable_cursor()
            .map_or(0, |cursor| cursor.value)
            .max(durable);
    }
    if writer.close().is_ok() {
        durable = steps.len() as u64;
    }
    (durable, list, None)
}

#[test]
fn a_power_cut_at_any_call_leaves_the_list_before_or_after_and_answers_by_it() {
    for seed in 0..seeds(40) {
        let mut random = SplitMix::new(seed);
        let steps = script(&mut random);
        let mut fs = SimFs::new();
        for cut in 0..3 {
            fs.stop_at(fs.calls() + 1 + below(&mut random, 150));
            let ran = open(&fs, seed % 2 == 1).map(|store| run(&store, &steps, &mut random));
            fs = fs.crash(seed * 31 + cut);
            let what = format!("seed {seed}, cut {cut}");
            let store = open(&fs, seed % 2 == 1).unwrap_or_else(|error| panic!("{what}: {error}"));
            let durable = store
                .status()
                .durable_cursor
                .map_or(0, |cursor| cursor.value);
            let list = listed(&store);
            assert_eq!(
                answers(&store),
                model_without(&steps, durable, &list),
                "{what}"
            );
            if let Ok((acknowledged, mut before, changing)) = ran {
                assert!(durable >= acknowledged, "{what}");
                if list != before {
                    let (actor, excluded) = changing.unwrap_or_else(|| panic!("{what}: {list:?}"));
                    match excluded {
                        true => before.insert(actor),
                        false => before.remove(&actor),
                    };
                    assert_eq!(list, before, "{what}: nothing but the change under way");
                }
            }
        }
        // Without the list everything is as if it had never been.
        let store = open(&fs, seed % 2 == 1).unwrap();
        run(&store, &steps, &mut random);
        drop(store);
        let store = open(&fs, seed % 2 == 1).unwrap();
        let all: Vec<Excluded> = (0..4).map(account).collect();
        store.include(&all, Duration::ZERO).unwrap();
        let len = steps.len() as u64;
        assert_eq!(
            answers(&store),
            model(&steps, len),
            "seed {seed}, at the end"
        );
        store.verify().unwrap();
    }
}

#[test]
fn a_failure_of_any_call_of_a_change_leaves_one_of_the_two_lists() {
    let steps = script(&mut SplitMix::new(7));
    for call in 1..seeds(150) {
        let fs = SimFs::new();
        fs.fail_call(call);
        if let Ok(store) = open(&fs, call % 2 == 1) {
            run(&store, &steps, &mut SplitMix::new(3));
        }
        let fs = fs.crash(call);
        let store = open(&fs, call % 2 == 1).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let durable = store
            .status()
            .durable_cursor
            .map_or(0, |cursor| cursor.value);
        let expected = model_without(&steps, durable, &listed(&store));
        assert_eq!(answers(&store), expected, "call {call}");
        assert_eq!(store.exclusions_pending(), 0, "call {call}");
    }
}

fn filled(fs: &SimFs, dir: &str, steps: &[Step]) -> (Store, Writer) {
    let options = Options {
        compact: false,
        ..Options::default()
    };
    let store = Store::open_with_fs(fs.shared(), Path::new(dir), options).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, *step).unwrap();
        if place % 30 == 0 {
            writer.seal().unwrap();
        }
    }
    (store, writer)
}

#[test]
fn the_network_does_not_bring_back_what_the_operator_excluded_and_the_other_way_round() {
    let writes = |key| Step::Write {
        actor: 1,
        key,
        target: 2,
    };
    let status = |status| Step::Account { actor: 1, status };
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &[writes(1)]);
    let mut steps = vec![writes(1)];
    let mut apply = |writer: &mut Writer, step| {
        steps.push(step);
        super::super::power_cut_tests::apply(writer, steps.len() as u64, step).unwrap();
        model(&steps, steps.len() as u64)
    };
    let nothing = Answers::new();
    change(&store, &mut writer, 1, true).unwrap();
    for step in [
        status(Some("suspended")),
        status(None),
        writes(2),
        status(Some("takendown")),
    ] {
        apply(&mut writer, step);
        assert_eq!(answers(&store), nothing, "{step:?}");
        assert_eq!(store.snapshot().totals().live_links, 0);
    }
    change(&store, &mut writer, 1, false).unwrap();
    assert_eq!(answers(&store), nothing, "the network still hides it");
    writer.seal().unwrap();
    let all = apply(&mut writer, status(None));
    assert_eq!(answers(&store), all);
    assert_eq!(store.snapshot().totals().live_links, 2);
    // A deletion of the account takes its records for good, excluded or not.
    change(&store, &mut writer, 1, true).unwrap();
    apply(&mut writer, status(Some("deleted")));
    let all = apply(&mut writer, writes(3));
    assert_eq!(answers(&store), nothing);
    change(&store, &mut writer, 1, false).unwrap();
    assert_eq!(answers(&store), all);
    assert_eq!(store.snapshot().totals().live_links, 1);
}

#[test]
fn backups_restores_and_replays_keep_the_list_and_what_is_behind_it() {
    let steps = script(&mut SplitMix::new(11));
    let len = steps.len() as u64;
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &steps);
    change(&store, &mut writer, 0, true).unwrap();
    let link = Excluded::parse("https://example.org/page", false).unwrap();
    let link = link.because("asked", 7).unwrap();
    store.exclude(&[link], Duration::ZERO).unwrap();
    writer.close().unwrap();
    let last_seq = store.snapshot().last_seq();
    drop(store);
    let shared = fs.shared();
    let path = Path::new;
    backup_with_fs(&shared, path("data"), path("backup"), false).unwrap();
    restore_with_fs(&shared, path("backup"), path("restored")).unwrap();
    let options = Options::default;
    replay_log_with_fs(&shared, path("data"), path("of-log"), options()).unwrap();
    replay_segments_with_fs(&shared, path("data"), path("of-segments"), options()).unwrap();
    for dir in ["restored", "of-log", "of-segments"] {
        let store = Store::open_with_fs(fs.shared(), path(dir), options()).unwrap();
        let mut expected = model_without(&steps, len, &BTreeSet::from([0]));
        expected.remove(&2);
        assert_eq!(answers(&store), expected, "{dir}");
        assert_eq!(store.snapshot().last_seq(), last_seq, "{dir}");
        let entries: Vec<Excluded> = store.exclusions().entries().collect();
        assert_eq!(entries.len(), 2, "{dir}");
        assert_eq!(
            (entries[1].time_us, &*entries[1].reason),
            (7, "asked"),
            "{dir}"
        );
        store.include(&entries, Duration::ZERO).unwrap();
        assert_eq!(answers(&store), model(&steps, len), "{dir}");
    }
}

#[test]
fn an_account_that_was_removed_while_a_backup_ran_is_shown_by_what_is_restored() {
    let steps = [Step::Write {
        actor: 1,
        key: 1,
        target: 2,
    }];
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &steps);
    change(&store, &mut writer, 1, true).unwrap();
    writer.seal().unwrap();
    let read = || super::read_file(&*fs.shared(), Path::new("data")).unwrap();
    let before = read();
    change(&store, &mut writer, 1, false).unwrap();
    let joined = super::joined(before, read(), Vec::new()).unwrap().unwrap();
    let entries = orrery_formats::exclusions::decode("e", joined).unwrap();
    assert_eq!(entries.len(), 1);
    assert!(entries[0].is_leaving && entries[0].kind == ExclusionKind::Account);
    assert_eq!(super::joined(None, None, Vec::new()).unwrap(), None);
}

#[test]
fn dids_never_seen_can_be_listed_and_a_damaged_list_keeps_the_directory_closed() {
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &[]);
    change(&store, &mut writer, 1, true).unwrap();
    assert_eq!(
        store.snapshot().coverage_from_us(),
        None,
        "it has no time of its own"
    );
    let write = Step::Write {
        actor: 1,
        key: 1,
        target: 2,
    };
    apply(&mut writer, 1, write).unwrap();
    assert_eq!(answers(&store), Answers::new());
    writer.close().unwrap();
    drop(store);
    let store = open(&fs, false).unwrap();
    assert_eq!(answers(&store), Answers::new());
    assert_eq!(
        store.snapshot().coverage_from_us(),
        Some(crate::power_cut_tests::time_us(1))
    );
    drop(store);
    let list = Path::new("data").join(EXCLUSIONS);
    let mut bytes = fs.contents(&list).unwrap();
    bytes[40] ^= 1;
    fs.put(&list, &bytes);
    let error = open(&fs, false).map(drop).unwrap_err().to_string();
    assert!(error.contains(EXCLUSIONS), "{error}");
}

#[test]
fn a_change_waits_for_room_and_is_made_when_there_is() {
    let steps = script(&mut SplitMix::new(5));
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &steps);
    writer.seal().unwrap();
    fs.set_capacity(Some(fs.used() + (200 << 10)));
    let error = change(&store, &mut writer, 0, true).unwrap_err();
    assert!(error.is_pause(), "{error}");
    assert!(store.exclusions().hides_account(&did(0)), "the list has it");
    assert_eq!(store.exclusions_pending(), 1);
    fs.set_capacity(None);
    writer.tick().unwrap();
    assert_eq!(store.exclusions_pending(), 0);
    let expected = model_without(&steps, steps.len() as u64, &BTreeSet::from([0]));
    assert_eq!(answers(&store), expected);
}

/// The writer looked at the list, and is about to strike off what it did, while the account is put on the list.
#[test]
fn an_account_that_is_excluded_while_the_writer_ends_with_the_list_before_stays_to_be_hidden() {
    let fs = SimFs::new();
    let (store, _writer) = filled(&fs, "data", &[]);
    let (list, shared, dir) = (&store.shared.exclusions, fs.shared(), Path::new("data"));
    let did: Box<str> = did(1).into();
    let mut pending = list.pending.lock();
    std::thread::scope(|scope| {
        let done = scope.spawn(|| list.done(&*shared, dir, &[(did.clone(), false)], false));
        // Long enough to come to the lock.
        std::thread::sleep(Duration::from_millis(50));
        let changed = list.replace(&*shared, dir, |old| {
            let mut new = old.clone();
            let why = Why {
                time_us: 1,
                reason: "".into(),
            };
            new.accounts.insert(did.clone(), why);
            Ok((Some(new), ()))
        });
        changed.unwrap();
        pending.insert(did.clone());
        drop(pending);
        done.join().unwrap().unwrap();
    });
    assert_eq!(list.pending(), [did]);
}

#[test]
fn a_change_whose_directory_cannot_be_synced_holds_and_is_durable_before_rows_are_hidden_for_it() {
    let steps = [Step::Write {
        actor: 1,
        key: 1,
        target: 2,
    }];
    // The writer's own attempt fails too, once or not at all.
    for (fails_again, seed) in (0..32).map(|n| (n % 2 == 1, n)) {
        let fs = SimFs::new();
        let (store, mut writer) = filled(&fs, "data", &steps);
        writer.commit().unwrap();
        // Counted from 0: the file, then its directory.
        fs.fail_sync(fs.syncs() + 1);
        let error = store.exclude(&[account(1)], Duration::ZERO).unwrap_err();
        assert!(
            error.to_string().contains("a power cut may undo"),
            "{error}"
        );
        assert_eq!(listed(&store), BTreeSet::from([1]));
        assert_eq!(store.exclusions_pending(), 1);
        if fails_again {
            fs.fail_sync(fs.syncs() + 1);
        }
        writer.apply_exclusions().unwrap();
        assert_eq!(answers(&store).is_empty(), !fails_again, "{seed}");
        // What is listed after a power cut is what is hidden.
        let after = fs.crash(seed);
        let (store_after, mut writer_after) = filled(&after, "data", &[]);
        writer_after.apply_exclusions().unwrap();
        assert_eq!(
            listed(&store_after).is_empty(),
            !answers(&store_after).is_empty(),
            "{seed}"
        );
        assert!(fails_again || !listed(&store_after).is_empty(), "{seed}");
        // Without one, the next attempt writes the list once more, and only if there is a need.
        let before = fs.syncs();
        let report = store.exclude(&[account(1)], Duration::ZERO).unwrap();
        assert_eq!((report.changed, report.unchanged), (0, 1));
        assert_eq!(fs.syncs() - before, if fails_again { 2 } else { 0 });
        writer.apply_exclusions().unwrap();
        assert_eq!(answers(&store), Answers::new());
    }
}

#[test]
fn rows_that_cannot_be_hidden_wait_and_the_change_of_the_list_holds() {
    let writes = Step::Write {
        actor: 1,
        key: 0,
        target: 0,
    };
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &[writes]);
    writer.commit().unwrap();
    store.give_back(writer);
    // Behind the list's file and its directory comes the log.
    fs.fail_sync(fs.syncs() + 2);
    let report = store.exclude(&[account(1)], Duration::ZERO).unwrap();
    assert_eq!((report.changed, report.pending), (1, 1));
    assert_eq!(listed(&store), BTreeSet::from([1]));
    drop(store);
    let (store, _writer) = filled(&fs, "data", &[]);
    assert_eq!(store.exclusions_pending(), 0);
    assert_eq!(answers(&store), Answers::new());
}

#[test]
fn a_removed_entry_that_cannot_be_dropped_is_left_to_the_next_start_and_not_tried_at_each_tick() {
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &[]);
    change(&store, &mut writer, 1, true).unwrap();
    store.include(&[account(1)], Duration::ZERO).unwrap();
    assert_eq!(store.exclusions_pending(), 1);
    let broken = SimFs::new();
    broken.stop_at(1);
    let looked_at = [(did(1).into(), false)];
    let list = &store.shared.exclusions;
    list.done(&*broken.shared(), Path::new("data"), &looked_at, false)
        .unwrap_err();
    assert_eq!(store.exclusions_pending(), 0);
    assert_eq!(list.current().leaving.len(), 1);
}

#[test]
fn an_account_that_no_list_names_and_the_index_hides_is_shown_by_its_removal_which_says_so() {
    let writes = |actor| Step::Write {
        actor,
        key: 0,
        target: 0,
    };
    let steps = [writes(1), writes(2)];
    let fs = SimFs::new();
    let (store, mut writer) = filled(&fs, "data", &steps);
    change(&store, &mut writer, 1, true).unwrap();
    writer.close().unwrap();
    drop(store);
    let empty = Exclusions::default().encode().unwrap();
    fs.put(&Path::new("data").join(EXCLUSIONS), &empty);
    let (store, writer) = filled(&fs, "data", &[]);
    assert!(listed(&store).is_empty());
    assert_eq!(
        answers(&store),
        model_without(&steps, 2, &BTreeSet::from([1]))
    );
    store.give_back(writer);
    let both = [account(1), account(2)];
    let report = store.include(&both, Duration::ZERO).unwrap();
    assert_eq!((report.changed, report.unchanged, report.shown), (0, 2, 1));
    assert_eq!(answers(&store), model(&steps, 2));
    // There is nothing left to show, and one that the list names is told as a change.
    assert_eq!(store.include(&both, Duration::ZERO).unwrap().shown, 0);
    store.exclude(&both, Duration::ZERO).unwrap();
    let report = store.include(&both, Duration::ZERO).unwrap();
    assert_eq!((report.changed, report.unchanged, report.shown), (2, 0, 0));
    assert!(store.shared.exclusions.unlisted.lock().is_empty());
}

#[test]
fn a_removal_that_begins_while_another_waits_for_the_same_account_takes_nothing_from_it() {
    let fs = SimFs::new();
    let (store, _writer) = filled(&fs, "data", &[]);
    let list = &store.shared.exclusions;
    let dids = [Box::from("did:plc:a")];
    list.watch_unlisted(&dids);
    list.note_shown("did:plc:a");
    list.watch_unlisted(&dids);
    assert_eq!(list.shown_again(&dids), 1);
}
