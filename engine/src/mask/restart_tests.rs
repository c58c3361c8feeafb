//! Masks over restarts: their files save time and decide nothing. Whatever became of them, the store opens with
//! the same masks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};

use super::files::{MASKS, mask_name};
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{answers, apply, below, model, open, run, script, seeds};
use crate::{Options, Store};

const STEPS: u64 = 80;

/// All that masks say: states of rows and masked links of lists, by segment.
type Contents = Vec<(Vec<u64>, Vec<u32>, u64, u64)>;

fn contents(store: &Store) -> Contents {
    let snapshot = store.snapshot();
    let segments = snapshot.generation.segments.iter();
    segments
        .map(|sealed| {
            let info = sealed.segment.info();
            let mask = &sealed.mask;
            let states = (0..info.rows).map(|row| mask.state(row).unwrap()).collect();
            let lists = (0..info.lists)
                .map(|list| mask.list(list).unwrap())
                .collect();
            (states, lists, mask.masked_rows(), mask.masked_links())
        })
        .collect()
}

fn masks(fs: &SimFs) -> Vec<PathBuf> {
    let dir = Path::new("data").join(MASKS);
    let listed = fs.shared().list(&dir).unwrap();
    listed.iter().map(|entry| dir.join(&entry.name)).collect()
}

/// A directory after a run of the script, without a writer.
fn directory(seed: u64) -> SimFs {
    let mut random = SplitMix::new(seed);
    let steps = script(&mut random);
    let fs = SimFs::new();
    let store = open(&fs, seed % 2 == 1).unwrap();
    run(&store, &steps, &mut random);
    assert_eq!(answers(&store), model(&steps, STEPS), "seed {seed}");
    drop(store);
    fs
}

/// What the masks are when no file helps.
fn without_files(fs: &SimFs, seed: u64) -> Contents {
    // On a copy: everything that decides is durable.
    let fs = fs.crash(seed);
    for path in masks(&fs) {
        fs.shared().unlink(&path).unwrap();
    }
    contents(&open(&fs, false).unwrap())
}

#[test]
fn a_restart_without_mask_files_gives_the_same_masks() {
    for seed in 0..seeds(60) {
        let fs = directory(seed);
        let expected = without_files(&fs, seed);
        let store = open(&fs, false).unwrap();
        assert_eq!(contents(&store), expected, "seed {seed}");
        drop(store);
        // Opening has left files for the next time.
        let files = masks(&fs).len();
        assert_eq!(files, expected.len(), "seed {seed}");
        assert_eq!(contents(&open(&fs, true).unwrap()), expected, "seed {seed}");
    }
}

#[test]
fn files_that_are_damaged_or_of_something_else_are_removed_and_made_anew() {
    for seed in 0..seeds(60) {
        let fs = directory(seed);
        let expected = without_files(&fs, seed);
        let mut random = SplitMix::new(seed);
        let other = directory(seed + 1_000);
        for path in masks(&fs) {
            let mut bytes = fs.contents(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match below(&mut random, 6) {
                0 => {
                    let at = below(&mut random, bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << below(&mut random, 8);
                    fs.put(&path, &bytes);
                }
                1 => {
                    bytes.truncate(below(&mut random, bytes.len() as u64) as usize);
                    fs.put(&path, &bytes);
                }
                // Of another directory, under a name of this one.
                2 => {
                    if let Some(foreign) = masks(&other).first() {
                        let bytes = other.contents(foreign).unwrap();
                        fs.put(&path, &bytes);
                    }
                }
                // Of another segment, and of another time.
                3 => {
                    let id = below(&mut random, 9);
                    let dir = path.parent().unwrap();
                    let there = dir.join(mask_name(id, STEPS));
                    if fs.contents(&there).is_err() {
                        fs.put(&there, &bytes);
                    }
                }
                4 => fs.put(&path.with_file_name(format!("{name}.tmp")), b"half"),
                _ => fs.shared().unlink(&path).unwrap(),
            }
        }
        let store = open(&fs, false).unwrap();
        assert_eq!(contents(&store), expected, "seed {seed}");
        store.verify().unwrap();
        drop(store);
        assert_eq!(
            masks(&fs).len(),
            expected.len(),
            "seed {seed}: one for each"
        );
        assert_eq!(
            contents(&open(&fs, false).unwrap()),
            expected,
            "seed {seed}"
        );
    }
}

/// Fails each call of a seal in turn. Those that only make the file of a mask stop nothing.
#[test]
fn a_mask_file_that_cannot_be_written_is_tried_again_at_the_next_seal() {
    let steps = script(&mut SplitMix::new(3));
    let (first, second) = steps.split_at(40);
    let mut went_on = 0;
    for call in 0.. {
        let fs = SimFs::new();
        let store = open(&fs, true).unwrap();
        let mut writer = store.writer().unwrap();
        for (place, step) in (1..).zip(first) {
            apply(&mut writer, place, *step).unwrap();
        }
        let before = fs.calls();
        fs.fail_call(before + call);
        let sealed = writer.seal();
        let snapshot = store.snapshot();
        let has_file = |snapshot: &crate::Snapshot| {
            let mut segments = snapshot.generation.segments.iter();
            segments.all(|sealed| sealed.mask.file().is_some())
        };
        if sealed.is_ok() && !has_file(&snapshot) {
            went_on += 1;
            assert_eq!(store.status().poisoned, None, "call {call}");
            for (place, step) in (41..).zip(second) {
                apply(&mut writer, place, *step).unwrap();
            }
            writer.seal().unwrap();
            assert!(has_file(&store.snapshot()), "call {call}");
            assert_eq!(masks(&fs).len(), 2, "call {call}: nothing is left over");
            assert_eq!(answers(&store), model(&steps, STEPS), "call {call}");
        } else if sealed.is_err() {
            assert!(store.status().poisoned.is_some(), "call {call}");
        }
        if fs.calls() <= before + call {
            break;
        }
    }
    // Making way for it, creating, writing, renaming and mapping it.
    assert_eq!(went_on, 5);
}

/// Writes records `from..to` of one collection by some accounts, or deletes them.
fn write(store: &Store, from: u64, to: u64, delete: bool, clock: &mut u64) {
    let mut writer = store.writer().unwrap();
    for n in from..to {
        *clock += 1;
        let time_us = 1_767_225_600_000_000 + *clock * 1_000;
        let key = (1_767_225_600_000_000 + n * 1_000) << 10;
        let rkey = orrery_links::syntax::Tid::from_u64(key)
            .unwrap()
            .to_string();
        let base32 =
            |digit: u64| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[digit as usize % 32]);
        let account = n % 50_000;
        let digits = (0..24).map(|place| base32(account >> (place * 5 % 20)));
        let did = format!("did:plc:{}", digits.collect::<String>());
        let body = format!(
            r#"{{"subject":"at://did:plc:{}/app.bsky.feed.post/3mabc2222222a"}}"#,
            base32(n % 7).to_string().repeat(24)
        );
        let record = Record {
            cid: "",
            encoding: Encoding::Json,
            body: body.as_bytes(),
        };
        let operation = match delete {
            true => Operation::Delete,
            false => Operation::Create(record),
        };
        let event = Event {
            time_us,
            did: &did,
            body: Body::Commit {
                rev: time_us << 10,
                collection: "app.bsky.feed.like",
                rkey: &rkey,
                operation,
            },
        };
        writer.apply(&event).unwrap();
    }
    writer.seal().unwrap();
    store.give_back(writer);
}

#[test]
fn a_mask_is_written_anew_when_much_has_changed_and_its_old_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), Options::default()).unwrap();
    let listed = || {
        let entries = std::fs::read_dir(dir.path().join(MASKS)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut clock = 100_000;
    write(&open(), 0, 12_000, false, &mut clock);
    let first = listed();
    assert_eq!(first.len(), 1);
    // Few changes stay out of the file, and come back at a start.
    write(&open(), 0, 3_000, true, &mut clock);
    assert!(listed().contains(&first[0]));
    let store = open();
    assert_eq!(store.snapshot().totals().live_rows, 9_000);
    assert!(store.status().mask_heap_bytes > 0);
    assert_eq!(store.status().masks_written_bytes, 0);
    // More than 4,096.
    write(&store, 3_000, 5_000, true, &mut clock);
    assert!(!listed().contains(&first[0]), "{first:?}");
    let status = store.status();
    assert!(status.masks_written_bytes > 0);
    let on_disk = status.bytes.iter().find(|(kind, _)| *kind == "masks");
    let expected: u64 = listed()
        .iter()
        .map(|name| std::fs::metadata(dir.path().join(MASKS).join(name)).unwrap())
        .map(|file| file.len())
        .sum();
    assert_eq!(on_disk.unwrap().1, expected);
    let before = contents(&store);
    drop(store);
    assert_eq!(contents(&open()), before);
    std::fs::remove_dir_all(dir.path().join(MASKS)).unwrap();
    assert_eq!(contents(&open()), before);
}

#[test]
fn files_of_merged_segments_go_and_the_merged_segment_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), Options::default()).unwrap();
    let store = open();
    let mut clock = 100_000;
    write(&store, 0, 3_000, false, &mut clock);
    write(&store, 3_000, 6_000, false, &mut clock);
    write(&store, 2_000, 4_000, true, &mut clock);
    let mut writer = store.writer().unwrap();
    writer.compact_full(&mut |_, _| {}).unwrap();
    store.give_back(writer);
    assert_eq!(store.snapshot().totals().live_rows, 4_000);
    let before = contents(&store);
    let files = std::fs::read_dir(dir.path().join(MASKS)).unwrap().count();
    assert_eq!(files, before.len());
    drop(store);
    let store = open();
    assert_eq!(contents(&store), before);
    assert_eq!(store.status().masks_written_bytes, 0);
}

/// Run with `cargo test --release -p orrery-engine --lib -- --ignored --nocapture a_million_kills`.
#[test]
#[ignore = "prints times, asserts nothing about them"]
fn a_million_kills() {
    let dir = tempfile::tempdir().unwrap();
    let timed = |what: &str| -> Duration {
        let start = Instant::now();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let took = start.elapsed();
        let status = store.status();
        println!(
            "{what}: {took:?}, {} segments, {} B of masks, {} B of changes on the heap",
            status.segments,
            status
                .bytes
                .iter()
                .find(|(kind, _)| *kind == "masks")
                .unwrap()
                .1,
            status.mask_heap_bytes
        );
        took
    };
    let rows = 2_000_000;
    let mut clock = rows;
    let store = Store::open(dir.path(), Options::default()).unwrap();
    write(&store, 0, rows, false, &mut clock);
    write(&store, 0, rows / 2, true, &mut clock);
    drop(store);
    timed("with files of masks");
    let store = Store::open(dir.path(), Options::default()).unwrap();
    for n in 0..16 {
        write(
            &store,
            rows / 2 + n * 60_000,
            rows / 2 + n * 60_000 + 4_000,
            true,
            &mut clock,
        );
    }
    drop(store);
    timed("and 64,000 kills since");
    std::fs::remove_dir_all(dir.path().join(MASKS)).unwrap();
    timed("without");
}
