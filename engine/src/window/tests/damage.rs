//! Damage in the window: of what it may have hidden nothing is told, and all else is answered.

use std::path::Path;

use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::{FileBuilder, FileKind};
use orrery_formats::keys::{self, KeyEntry, KeysFile, VERSION};

use super::{Deed, apply, deleted_at, dir, files, open, options, record, seq_of, write};
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::log::{FrameBuffer, LogReader};
use crate::power_cut_tests::{did, time_us};
use crate::{AccountState, Applied, Options, Recorded, Store, Writer};

const KEYS: u64 = 18;

fn unknown(window_from: u64) -> Recorded {
    Recorded::Unknown { window_from }
}

/// Eighteen keys, key n with the event n + 1, in three files of three frames with two events each; the first two
/// files are sealed.
fn written(fs: &SimFs) -> (Store, Writer) {
    let store = open(fs);
    let mut writer = store.writer().unwrap();
    for key in 0..KEYS {
        apply(&mut writer, key + 1, 0, write(key), 0);
        if key % 2 == 1 {
            writer.commit().unwrap();
        }
        if key == 5 || key == 11 {
            writer.seal().unwrap();
        }
    }
    (store, writer)
}

/// The offsets of the frames of a log file.
fn frames(fs: &SimFs, path: &Path) -> Vec<usize> {
    let id = LogReader::directory_of(fs, path).unwrap().unwrap();
    let mut reader = LogReader::open(fs, path, id).unwrap();
    let mut buffer = FrameBuffer::new();
    let next = || reader.next_frame(&mut buffer).unwrap();
    std::iter::from_fn(next)
        .map(|offset| offset as usize)
        .collect()
}

fn damage(fs: &SimFs, path: &Path, at: usize) {
    let mut bytes = fs.contents(path).unwrap();
    bytes[at] ^= 0x10;
    fs.put(path, &bytes);
}

/// Key n is found as event n + 1, but those for which `expected` says otherwise.
fn check(store: &Store, what: &str, expected: impl Fn(u64) -> Option<Recorded>) {
    for key in 0..KEYS {
        let found = record(store, 0, key);
        match expected(key) {
            Some(expected) => assert_eq!(found, expected, "{what}: key {key}"),
            None => assert_eq!(seq_of(&found), Some(key + 1), "{what}: key {key}"),
        }
    }
}

#[test]
fn a_damaged_frame_costs_the_records_in_it_and_no_others() {
    let sound = SimFs::new();
    drop(written(&sound));
    for (file, path) in (0..).zip(files(&sound, "log")) {
        for (frame, at) in (0..).zip(frames(&sound, &path)) {
            let what = format!("frame {frame} of file {file}");
            let first = file * 6 + frame * 2;
            let fs = sound.killed();
            let store = open(&fs);
            damage(&fs, &path, at + 60);
            let last_seq = file * 6 + 6;
            // Known to the file's end: the index does not tell seqs.
            check(&store, &what, |key| {
                (first..first + 2)
                    .contains(&key)
                    .then(|| unknown(last_seq + 1))
            });
            // A second time, when the damage is known.
            assert_eq!(record(&store, 0, first), unknown(last_seq + 1));
            drop(store);
            for path in files(&fs, "keys") {
                fs.unlink(&path).unwrap();
            }
            // Indexes that are made without the frame tell nothing of what may have been before it.
            let store = open(&fs);
            let is_end = file == 2 && frame == 2;
            check(&store, &what, |key| {
                let lost = if is_end { first } else { first + 2 };
                (key < lost && !is_end || key >= lost && is_end).then(|| {
                    // A frame that is lost at the very end looks torn, and is cut off.
                    unknown(if is_end { 1 } else { lost + 1 })
                })
            });
        }
    }
}

#[test]
fn an_event_behind_a_loss_is_found_and_what_stood_before_is_not_told() {
    let fs = SimFs::new();
    drop(written(&fs));
    let path = files(&fs, "log").pop().unwrap();
    let at = frames(&fs, &path)[1];
    damage(&fs, &path, at + 60);
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    // Events 15 and 16 are lost.
    check(&store, "unsealed", |key| (key < 16).then(|| unknown(17)));
    assert_eq!(store.gaps().len(), 1);
    apply(&mut writer, 40, 0, Deed::Delete { key: 1 }, 0);
    assert_eq!(deleted_at(&record(&store, 0, 1)), Some(19));
    writer.commit().unwrap();
    drop((store, writer));
    let store = open(&fs);
    assert_eq!(deleted_at(&record(&store, 0, 1)), Some(19));
    assert_eq!(record(&store, 0, 2), unknown(17));
}

#[test]
fn a_damaged_key_index_costs_its_answers_until_the_writer_has_made_it_anew() {
    let fs = SimFs::new();
    let options = Options {
        tail_bytes: 0,
        ..options()
    };
    let open = || Store::open_with_fs(fs.shared(), dir(), options.clone()).unwrap();
    let store = open();
    let mut writer = store.writer().unwrap();
    // More than a chunk of the index.
    for key in 0..8_000 {
        apply(&mut writer, key + 1, 0, write(key), 0);
    }
    let hide = Deed::Account(Some("suspended"));
    apply(&mut writer, 8_001, 1, hide, 0);
    writer.seal().unwrap();
    apply(&mut writer, 8_002, 0, write(9_000), 0);
    writer.commit().unwrap();
    drop((store, writer));
    let path = files(&fs, "keys").remove(0);
    damage(&fs, &path, 80_000);
    let store = open();
    let answers = || -> Vec<Recorded> { (0..8_000).map(|key| record(&store, 0, key)).collect() };
    let mut lost = 0;
    for (key, found) in (0..).zip(answers()) {
        match seq_of(&found) {
            Some(seq) => assert_eq!(seq, key + 1),
            None => {
                lost += 1;
                assert_eq!(found, unknown(8_002));
            }
        }
    }
    assert!(lost > 100, "{lost}");
    assert_eq!(seq_of(&record(&store, 0, 9_000)), Some(8_002));
    // What is sealed is known without the index.
    let state = store.account(&did(1)).unwrap().state;
    assert!(matches!(state, AccountState::Hidden { .. }), "{state:?}");
    store.writer().unwrap().tick().unwrap();
    for (key, found) in (0..).zip(answers()) {
        assert_eq!(seq_of(&found), Some(key + 1));
    }
}

/// The writer does not need it, and goes on as it would have if nobody had asked.
#[test]
fn a_damaged_key_index_whose_log_file_cannot_be_read_does_not_stop_the_writer() {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    for key in 0..8_000 {
        apply(&mut writer, key + 1, 0, write(key), 0);
    }
    writer.seal().unwrap();
    drop((store, writer));
    damage(&fs, &files(&fs, "keys")[0], 80_000);
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    let is_lost = |key: &u64| record(&store, 0, *key) == unknown(8_001);
    let lost = (0..8_000).find(is_lost).unwrap();
    fs.unlink(&files(&fs, "log")[0]).unwrap();
    writer.tick().unwrap();
    // It is not tried again for each who asks.
    let before = fs.calls();
    assert!(is_lost(&lost));
    writer.tick().unwrap();
    assert_eq!(fs.calls(), before);
    // Revisions of the last second are not proved new by what a segment keeps of an account.
    apply(&mut writer, 8_001, 0, write(lost), 2_000_000);
    assert_eq!(seq_of(&record(&store, 0, lost)), Some(8_001));
    assert_eq!(store.status().poisoned, None);
}

/// The key index at `path` as `change` makes it.
fn rebuild(fs: &SimFs, path: &Path, change: impl FnOnce(&mut Vec<KeyEntry>)) {
    let bytes = fs.contents(path).unwrap();
    let index = KeysFile::open("keys".to_owned(), bytes).unwrap();
    let mut entries: Vec<_> = index.entries().collect::<Result<_, _>>().unwrap();
    change(&mut entries);
    fs.put(path, &keys::build(*index.header(), entries).unwrap());
}

#[test]
fn an_event_of_another_record_under_the_same_fingerprint_is_not_given() {
    let fs = SimFs::new();
    drop(written(&fs));
    // Each entry leads to the event of another one.
    rebuild(&fs, &files(&fs, "keys")[0], |entries| {
        let places: Vec<_> = entries
            .iter()
            .map(|entry| (entry.frame, entry.ordinal))
            .collect();
        for (entry, place) in entries.iter_mut().zip(places.iter().cycle().skip(1)) {
            (entry.frame, entry.ordinal) = *place;
        }
    });
    let store = open(&fs);
    check(&store, "swapped", |key| (key < 6).then(|| unknown(7)));
}

#[test]
fn a_deletion_of_another_account_under_the_same_fingerprint_deletes_nothing() {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 1, 0, write(0), 0);
    apply(&mut writer, 2, 1, write(0), 0);
    apply(&mut writer, 3, 0, Deed::Account(Some("deleted")), 0);
    apply(&mut writer, 4, 1, Deed::Account(Some("deleted")), 0);
    assert_eq!(deleted_at(&record(&store, 0, 0)), Some(3));
    writer.seal().unwrap();
    drop((store, writer));
    rebuild(&fs, &files(&fs, "keys")[0], |entries| {
        let deletions = entries.iter_mut().filter(|entry| entry.rev < 5);
        let [one, other] = &mut deletions.collect::<Vec<_>>()[..] else {
            panic!("two deletions");
        };
        std::mem::swap(&mut one.ordinal, &mut other.ordinal);
    });
    let store = open(&fs);
    assert_eq!(record(&store, 0, 0), unknown(5));
    let view = store.account(&did(0)).unwrap();
    assert_eq!(
        (view.state, view.purged_through),
        (AccountState::Active, None)
    );
}

/// Under the number of an older version, and without account events, as the first was.
#[test]
fn a_key_index_of_an_older_version_is_made_anew() {
    for version in 1..VERSION {
        is_made_anew(version);
    }
}

fn is_made_anew(version: u16) {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 1, 0, write(0), 0);
    apply(&mut writer, 2, 0, Deed::Account(Some("deleted")), 0);
    writer.seal().unwrap();
    drop((store, writer));
    let path = &files(&fs, "keys")[0];
    let now = fs.contents(path).unwrap();
    rebuild(&fs, path, |entries| entries.retain(|entry| entry.rev > 5));
    let old = fs.contents(path).unwrap();
    let mut file = FileBuilder::new(FileKind::KeyIndex, version);
    let current = VERSION..=VERSION;
    let read = SealedFile::open("keys".to_owned(), old, FileKind::KeyIndex, current).unwrap();
    for (section, _) in read.sections() {
        let region = read.section(section).unwrap();
        let length = usize::try_from(region.len()).unwrap();
        file.section(section, region.get(0, length).unwrap());
    }
    fs.put(path, &file.finish());
    let mut damages = Vec::new();
    let mut each = |damage: &crate::offline::verify::Damage| damages.push(damage.to_string());
    let report =
        crate::offline::verify::verify_with_fs(&fs.shared(), dir(), false, &mut each).unwrap();
    assert_eq!(damages, Vec::<String>::new());
    assert!(
        report.notes.iter().any(|note| note.contains(".keys")),
        "{:?}",
        report.notes
    );
    let store = open(&fs);
    assert_eq!(deleted_at(&record(&store, 0, 0)), Some(2));
    assert_eq!(fs.contents(path).unwrap(), now);
}

#[test]
fn a_file_that_is_trimmed_under_a_reader_is_not_in_the_window() {
    let fs = SimFs::new();
    let options = Options {
        log_bytes_max: 0,
        frame_cache_bytes: 0,
        ..options()
    };
    let store = Store::open_with_fs(fs.shared(), dir(), options).unwrap();
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 1, 0, write(0), 0);
    writer.commit().unwrap();
    drop((store, writer));
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    let shared = &store.shared;
    let view = shared.window.keys().unwrap().view();
    assert_eq!(view.whole_from, 1);
    let key = (&*did(0), "app.bsky.feed.like", "key0");
    let mut looks = 0;
    let found = shared.window.look(|view| {
        looks += 1;
        if looks == 1 {
            writer.seal().unwrap();
            assert!(writer.journal.give_up_window(u64::MAX).unwrap());
        }
        shared.recorded(view, key)
    });
    assert_eq!(found.unwrap(), unknown(2));
    assert_eq!(looks, 2);
    // The file that is gone for another reason is told of.
    apply(&mut writer, 2, 0, write(0), 0);
    writer.seal().unwrap();
    let path = files(&fs, "log").pop().unwrap();
    fs.unlink(&path).unwrap();
    let error = store.record(key.0, key.1, key.2).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(path.file_name().unwrap().to_str().unwrap())
    );
}

#[test]
fn an_account_that_a_lost_segment_may_have_had_is_not_taken_for_one_without_events() {
    let fs = SimFs::new();
    let (store, mut writer) = written(&fs);
    apply(&mut writer, 30, 1, write(0), 0);
    writer.seal().unwrap();
    assert_eq!(record(&store, 2, 0), unknown(1));
    let next_seq = store.next_seq();
    drop((store, writer));
    let mut segments: Vec<_> = fs.paths();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    for segment in segments {
        let length = fs.contents(&segment).unwrap().len();
        fs.put(&segment, &vec![0; length]);
    }
    let store = open(&fs);
    assert!(!store.status().degraded.is_empty());
    for actor in 0..3 {
        assert_eq!(
            record(&store, actor, 0),
            unknown(next_seq),
            "account {actor}"
        );
    }
}

#[test]
fn a_key_index_that_is_made_without_a_lost_account_is_made_again_when_that_is_back() {
    let fs = SimFs::new();
    let (store, mut writer) = written(&fs);
    writer.seal().unwrap();
    drop((store, writer));
    let mut segments = fs.paths();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let home = segments.first().unwrap();
    let sound = fs.contents(home).unwrap();
    fs.put(home, &vec![0; sound.len()]);
    for path in files(&fs, "keys") {
        fs.unlink(&path).unwrap();
    }
    let store = open(&fs);
    check(&store, "lost", |_| Some(unknown(19)));
    // Whatever becomes of the segment, its accounts' events are not found by these indexes.
    let whole_from = |store: &Store| store.shared.window.keys().unwrap().view().whole_from;
    assert_eq!(whole_from(&store), 19);
    assert_eq!(files(&fs, "keys").len(), 0, "they are not kept");
    drop(store);
    fs.put(home, &sound);
    let store = open(&fs);
    assert_eq!(store.status().degraded, []);
    assert_eq!(whole_from(&store), 1);
    check(&store, "back", |_| None);
}

#[test]
fn records_without_a_link_and_of_a_clock_ahead_are_told_by_what_was_applied_last() {
    let fs = SimFs::new();
    let store = open(&fs);
    let mut writer = store.writer().unwrap();
    let hour_us = 3_600_000_000;
    let new = |applied: Applied| matches!(applied, Applied::New { .. });
    assert!(new(apply(&mut writer, 1, 0, write(1), hour_us)));
    assert!(new(apply(&mut writer, 2, 0, write(1), 0)));
    let by_last = |store: &Store| match record(store, 0, 1) {
        Recorded::Found { seq: 2, rev, .. } => assert_eq!(rev, time_us(2) << 10),
        found => panic!("{found:?}"),
    };
    by_last(&store);
    writer.seal().unwrap();
    by_last(&store);
    // Its revision is still the highest that was applied.
    assert_eq!(apply(&mut writer, 1, 0, write(1), hour_us), Applied::Repeat);
    drop((store, writer));
    by_last(&open(&fs));
    for path in files(&fs, "keys") {
        fs.unlink(&path).unwrap();
    }
    let store = open(&fs);
    by_last(&store);
    let mut writer = store.writer().unwrap();
    assert_eq!(apply(&mut writer, 1, 0, write(1), hour_us), Applied::Repeat);
}

#[test]
fn what_a_failed_commit_loses_is_still_told_as_long_as_the_store_is_open() {
    let fs = SimFs::new();
    let (store, mut writer) = written(&fs);
    apply(&mut writer, 40, 0, Deed::Delete { key: 17 }, 0);
    fs.fail_sync(fs.syncs());
    writer.commit().unwrap_err();
    assert_eq!(deleted_at(&record(&store, 0, 17)), Some(19));
    drop((store, writer));
    let store = open(&fs.crash(1));
    let found = record(&store, 0, 17);
    assert!(seq_of(&found) == Some(18) || deleted_at(&found) == Some(19));
}
