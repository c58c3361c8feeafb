//! The worst power cut at every change that a run makes to the disk: of what was not synced nothing is left, or
//! only the names, or only the contents. Unlike the power cuts by chance (`power_cut_tests`), these show a
//! sync that is missing without luck, those of derived files included.

use std::path::Path;

use orrery_formats::fault;

use crate::io::Fs;
use crate::io::fault::{Image, Loss, SimFs, SplitMix};
use crate::io::fs::{TEMPORARY_SUFFIX, write_sealed};
use crate::mask::files::MASKS;
use crate::mask::policy::Bounds;
use crate::power_cut_tests::{Step, answers, apply, model, run, script};
use crate::store::{LOG, SEGMENTS};
use crate::{Applied, Options, Result, SourceCursor, Store};

const DIR: &str = "data";

fn options() -> Options {
    Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        mask_bounds: Bounds {
            changes_min: 2,
            rows_per_change: 1,
            changes_sum: 5,
            behind_max: 30,
        },
        ..Options::default()
    }
}

fn open(fs: &SimFs, options: &Options) -> Result<Store> {
    Store::open_with_fs(fs.shared(), Path::new(DIR), options.clone())
}

fn durable(store: &Store) -> u64 {
    let cursor = store.status().durable_cursor;
    cursor.map_or(0, |cursor| cursor.value)
}

/// Runs the script with commits, seals and merges at fixed places while images are taken, and gives these, each
/// with the number of steps that were durable by then.
fn recorded(steps: &[Step], options: &Options) -> Vec<(u64, Image)> {
    let fs = SimFs::new();
    fs.record();
    let store = open(&fs, options).unwrap();
    let mut writer = store.writer().unwrap();
    let mut acknowledged = vec![(0, 0)];
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, *step).unwrap();
        if place % 4 == 0 {
            writer.commit().unwrap();
        }
        if place % 10 == 0 {
            writer.seal().unwrap();
            writer.merge_due().unwrap();
        }
        let cursor = writer.durable_cursor().map_or(0, |cursor| cursor.value);
        acknowledged.push((fs.calls(), cursor));
    }
    writer.close().unwrap();
    acknowledged.push((fs.calls(), steps.len() as u64));
    let images = fs.images().into_iter();
    images
        .map(|image| {
            let known = acknowledged.partition_point(|(calls, _)| *calls <= image.calls);
            (acknowledged[known - 1].1, image)
        })
        .collect()
}

#[test]
fn the_worst_power_cut_at_any_change_loses_nothing_durable() {
    let steps = script(&mut SplitMix::new(11));
    let mut checked = 0;
    for (at, (acknowledged, image)) in recorded(&steps, &options()).iter().enumerate() {
        for loss in Loss::ALL {
            let what = format!("image {at} at call {}, {loss:?}", image.calls);
            let fs = image.crash(loss);
            let store = open(&fs, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let durable = durable(&store);
            assert!(
                durable >= *acknowledged,
                "{what}: {acknowledged} steps were durable, {durable} are left"
            );
            assert_eq!(store.status().gaps, [], "{what}");
            assert_eq!(answers(&store), model(&steps, durable), "{what}");
            // What opening repaired is durable itself.
            if at % 5 == 0 {
                drop(store);
                let store = open(&fs.image().crash(loss), &options()).unwrap();
                assert_eq!(answers(&store), model(&steps, durable), "{what}, again");
                run(&store, &steps, &mut SplitMix::new(at as u64));
                let whole = model(&steps, steps.len() as u64);
                assert_eq!(answers(&store), whole, "{what}, at the end");
            }
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn no_file_has_its_name_before_its_contents_are_durable() {
    let steps = script(&mut SplitMix::new(12));
    let root = Path::new(DIR);
    let mut seen = [0; 3];
    for (_, image) in recorded(&steps, &options()) {
        let kinds = [(SEGMENTS, ".seg"), (MASKS, ".mask"), (LOG, ".keys")];
        for ((dir, suffix), seen) in kinds.iter().zip(&mut seen) {
            let dir = root.join(dir);
            let is_sealed = |path: &&Path| path.to_string_lossy().ends_with(suffix);
            let unsynced = image.unsynced(&dir);
            let bad: Vec<_> = unsynced.iter().map(|path| &**path).collect();
            let bad: Vec<_> = bad.into_iter().filter(is_sealed).collect();
            assert!(bad.is_empty(), "call {}: {bad:?}", image.calls);
            *seen += image.unsettled(&dir).len();
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
}

#[test]
fn after_a_seal_every_name_is_durable() {
    let fs = SimFs::new();
    let store = open(&fs, &options()).unwrap();
    let mut writer = store.writer().unwrap();
    let root = Path::new(DIR);
    for (place, step) in (1..).zip(script(&mut SplitMix::new(13))) {
        apply(&mut writer, place, step).unwrap();
        if place % 8 == 0 {
            writer.seal().unwrap();
            writer.merge_due().unwrap();
            let image = fs.image();
            for dir in [SEGMENTS, MASKS, LOG] {
                let unsettled = image.unsettled(&root.join(dir));
                assert!(unsettled.is_empty(), "step {place}: {unsettled:?}");
            }
        }
    }
}

#[test]
fn a_sealed_file_is_whole_or_not_there_and_durable_once_written() {
    let dir = Path::new("d");
    let bytes = vec![7; 3_000];
    let fs = SimFs::new();
    fs.create_dir_all(dir).unwrap();
    fs.put(&dir.join(format!("file{TEMPORARY_SUFFIX}")), b"left over");
    fs.record();
    write_sealed(&fs, dir, "file", &bytes).unwrap();
    let images = fs.images();
    let last = images.len() - 1;
    for (at, image) in images.iter().enumerate() {
        for loss in Loss::ALL {
            let found = image.crash(loss).contents(&dir.join("file")).ok();
            let whole = found.as_ref() == Some(&bytes);
            assert!(
                whole || (found.is_none() && at < last),
                "image {at}, {loss:?}: {:?} bytes",
                found.map(|found| found.len())
            );
        }
    }
}

/// Writes one record twice, to other targets, and seals, with a log window of no bytes.
#[test]
fn a_repeat_from_before_the_window_is_known_whenever_the_power_is_cut_while_it_is_trimmed() {
    let options = Options {
        log_bytes_max: 0,
        ..options()
    };
    let write = |target| Step::Write {
        actor: 1,
        key: 2,
        target,
    };
    let steps = [write(0), write(1)];
    let fs = SimFs::new();
    let store = open(&fs, &options).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, step).unwrap();
    }
    fs.record();
    writer.seal().unwrap();
    let mut trimmed = 0;
    for image in fs.images() {
        for loss in Loss::ALL {
            let what = format!("call {}, {loss:?}", image.calls);
            let fs = image.crash(loss);
            let store = open(&fs, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
            let known = durable(&store);
            trimmed += u64::from(fs.list(&Path::new(DIR).join(LOG)).unwrap().is_empty());
            let mut writer = store.writer().unwrap();
            apply(&mut writer, 1, steps[0]).unwrap();
            let expected = if known == 2 { 2 } else { 1 };
            assert_eq!(answers(&store), model(&steps, expected), "{what}");
        }
    }
    assert!(trimmed > 3, "{trimmed}");
}

/// The position behind events that changed nothing has no place in the log; the manifest keeps it.
#[test]
fn a_position_without_events_outlives_a_restart_and_never_falls() {
    let fs = SimFs::new();
    let cursor = |value| SourceCursor {
        kind: 1,
        endpoint: "script".to_owned(),
        value,
    };
    let steps = script(&mut SplitMix::new(14));
    let mut writer = open(&fs, &options()).unwrap().writer().unwrap();
    for (place, step) in (1..4).zip(&steps) {
        apply(&mut writer, place, *step).unwrap();
    }
    writer.commit().unwrap();
    writer.set_cursor(cursor(10));
    writer.commit().unwrap();
    drop(writer);
    let store = open(&fs.crash(1), &options()).unwrap();
    assert_eq!(durable(&store), 10);
    let mut writer = store.writer().unwrap();
    writer.set_cursor(cursor(5));
    writer.commit().unwrap();
    assert_eq!(durable(&store), 10);
    assert_eq!(writer.durable_cursor(), Some(&cursor(10)));
}

/// A mask file says up to which seq it holds all effects. The next event has its effect in the next segment alone.
#[test]
fn the_first_event_behind_a_mask_file_is_applied_at_a_restart() {
    let options = Options {
        mask_bounds: Bounds::RUNNING,
        ..options()
    };
    let fs = SimFs::new();
    let mut writer = open(&fs, &options).unwrap().writer().unwrap();
    let write = |key| Step::Write {
        actor: 0,
        key,
        target: 0,
    };
    let steps = [
        write(1),
        write(2),
        write(3),
        Step::Delete { actor: 0, key: 2 },
    ];
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, step).unwrap();
        if place >= 3 {
            writer.seal().unwrap();
        }
    }
    drop(writer);
    let store = open(&fs, &options).unwrap();
    assert_eq!(answers(&store), model(&steps, 4));
}

/// A drive reports a failed sync once, and the next one as done.
#[test]
fn a_failed_sync_is_not_tried_again() {
    let steps = script(&mut SplitMix::new(15));
    for sync in 0.. {
        let fs = SimFs::new();
        let store = open(&fs, &options()).unwrap();
        let mut writer = store.writer().unwrap();
        let before = fs.syncs();
        fs.fail_sync(before + sync);
        let mut failed_at = None;
        let mut acknowledged = 0;
        for (place, step) in (1..).zip(&steps) {
            let done = apply(&mut writer, place, *step).and_then(|()| match place % 10 {
                0 => writer.seal(),
                3 | 6 => writer.commit(),
                _ => Ok(()),
            });
            if done.is_err() {
                failed_at.get_or_insert(place);
            } else if let Some(cursor) = writer.durable_cursor() {
                acknowledged = cursor.value;
            }
            if let Some(at) = failed_at {
                assert!(done.is_err(), "sync {sync}: step {place} after {at}");
            }
        }
        if fs.syncs() <= before + sync {
            assert!(sync > 20, "{sync} syncs");
            break;
        }
        assert!(failed_at.is_some(), "sync {sync} failed and nobody said so");
        drop(writer);
        let store = open(&fs.image().crash(Loss::Everything), &options()).unwrap();
        assert!(durable(&store) >= acknowledged, "sync {sync}");
        assert_eq!(
            answers(&store),
            model(&steps, durable(&store)),
            "sync {sync}"
        );
    }
}

/// A segment that a read error killed the last run over is set aside before the marker that tells of it goes.
#[test]
fn what_a_marker_led_to_is_durable_before_the_marker_goes() {
    let fs = SimFs::new();
    let mut writer = open(&fs, &options()).unwrap().writer().unwrap();
    for (place, step) in (1..).zip(script(&mut SplitMix::new(16))) {
        apply(&mut writer, place, step).unwrap();
        if place % 25 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    let dir = Path::new(DIR).join(SEGMENTS);
    let name = fs.list(&dir).unwrap()[0].name.clone();
    let mut bytes = fs.contents(&dir.join(&name)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.put(&dir.join(&name), &bytes);
    let mut marker = [0; fault::BYTES_MAX];
    let length = fault::encode(format!("{SEGMENTS}/{name}").as_bytes(), 0, &mut marker);
    fs.put(&Path::new(DIR).join(fault::FILE_NAME), &marker[..length]);
    fs.record();
    drop(open(&fs, &options()).unwrap());
    for image in fs.images() {
        for loss in Loss::ALL {
            let store = open(&image.crash(loss), &options()).unwrap();
            let degraded = store.status().degraded;
            assert_eq!(degraded.len(), 1, "call {}, {loss:?}", image.calls);
            assert_eq!(degraded[0].file, name);
        }
    }
}

/// A redelivered event is a repeat, whether its key was touched by it or later, before and after a seal.
#[test]
fn an_event_delivered_again_at_once_is_a_repeat() {
    let fs = SimFs::new();
    let store = open(&fs, &options()).unwrap();
    let mut writer = store.writer().unwrap();
    let record = |writer: &mut crate::Writer| {
        let body = br#"{"subject":"https://example.org/page"}"#;
        let did = crate::power_cut_tests::did(1);
        let rkey = crate::power_cut_tests::rkey(3);
        writer.apply(&crate::event::Event {
            time_us: 1_767_225_600_000_000,
            did: &did,
            body: crate::event::Body::Commit {
                rev: 1_767_225_600_000_000 << 10,
                collection: crate::power_cut_tests::LIKE,
                rkey: &rkey,
                operation: crate::event::Operation::Create(crate::event::Record {
                    cid: "",
                    encoding: crate::event::Encoding::Json,
                    body,
                }),
            },
        })
    };
    assert!(matches!(record(&mut writer).unwrap(), Applied::New { .. }));
    assert_eq!(record(&mut writer).unwrap(), Applied::Repeat);
    writer.seal().unwrap();
    assert_eq!(record(&mut writer).unwrap(), Applied::Repeat);
    drop((writer, store));
    let mut writer = open(&fs, &options()).unwrap().writer().unwrap();
    assert_eq!(record(&mut writer).unwrap(), Applied::Repeat);
}
