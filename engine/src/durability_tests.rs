//! The worst power cut at every change that a run makes to the disk: of what was not synced nothing is left, or
//! only the names, or only the contents. Unlike the power cuts by chance (`power_cut_tests`), these show a
//! sync that is missing without luck, those of derived files included.

use std::path::Path;

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use orrery_formats::fault;

use crate::io::Fs;
use crate::io::fault::{Image, Loss, SimFs, SplitMix};
use crate::io::fs::{TEMPORARY_SUFFIX, write_sealed};
use crate::manifest::Manifest;
use crate::mask::files::MASKS;
use crate::mask::policy::Bounds;
use crate::power_cut_tests::{LIKE, Step, answers, apply, did, model, rkey, run, script};
use crate::store::{LOG, SEGMENTS};
use crate::{Applied, Error, Options, Result, SourceCursor, Store, Writer};

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
            ..Bounds::RUNNING
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
        // Installs what was merged, where the next seal would have done it.
        if place % 20 == 0 {
            writer.tick().unwrap();
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
            let paths = unsynced.iter().map(|path| &**path);
            let bad: Vec<_> = paths.filter(is_sealed).collect();
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

/// Changes one byte of the body of a sealed file, and the checksums with it.
fn change_behind_checksums(file: &mut [u8], at: usize) {
    use orrery_formats::envelope::{CHUNK_BYTES, HEADER_BYTES, SECTION_ENTRY_BYTES, TRAILER_BYTES};
    use xxhash_rust::xxh3::{Xxh3, xxh3_64};

    file[at] ^= 1;
    let trailer = file.len() - TRAILER_BYTES;
    let number = |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let sections = number(file, trailer) as usize;
    let footer = file.len() - number(file, trailer + 8) as usize;
    let chunk = at / CHUNK_BYTES;
    let end = footer.min((chunk + 1) * CHUNK_BYTES);
    let sum = xxh3_64(&file[chunk * CHUNK_BYTES..end]).to_le_bytes();
    let place = footer + sections * SECTION_ENTRY_BYTES + chunk * 8;
    file[place..place + 8].copy_from_slice(&sum);
    let mut whole = Xxh3::new();
    whole.update(&file[..HEADER_BYTES]);
    whole.update(&file[footer..trailer + 16]);
    file[trailer + 16..trailer + 24].copy_from_slice(&whole.digest().to_le_bytes());
}

/// A segment that a read error killed the last run over is set aside before the marker that tells of it goes. Its
/// damage is one that only the checksum in the manifest shows.
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
    let sound = fs.contents(&dir.join(&name)).unwrap();
    let is_unseen = |at: &usize| {
        let mut bytes = sound.clone();
        change_behind_checksums(&mut bytes, *at);
        fs.put(&dir.join(&name), &bytes);
        let copy = fs.image().crash(Loss::Everything);
        open(&copy, &options()).is_ok_and(|store| store.status().degraded.is_empty())
    };
    let mut places = (40..sound.len() / 2).step_by(7);
    places
        .find(is_unseen)
        .expect("a change that opening does not see");
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

/// What a query tells of is remembered, also where nothing else would find it again.
#[test]
fn damage_that_was_reported_outlives_a_restart() {
    let fs = SimFs::new();
    let store = open(&fs, &options()).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(script(&mut SplitMix::new(17))) {
        apply(&mut writer, place, step).unwrap();
        if place % 25 == 0 {
            writer.seal().unwrap();
        }
    }
    let name = fs.list(&Path::new(DIR).join(SEGMENTS)).unwrap()[1]
        .name
        .clone();
    let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
    assert!(store.report_damage(&error.in_file(&name).into()));
    writer.tick().unwrap();
    drop((writer, store));
    let fs = fs.image().crash(Loss::Everything);
    let state = Manifest::read(&fs, Path::new(DIR)).unwrap().unwrap();
    let [known] = &state.quarantined[..] else {
        panic!("{:?}", state.quarantined);
    };
    assert!(known.why.contains(&name), "{}", known.why);
}

/// Others fill the disk between an event and its commit: nothing is written, and it is done when there is room.
#[test]
fn a_commit_waits_for_room_instead_of_failing_for_good() {
    let options = Options {
        disk_reserve: 0,
        ..options()
    };
    let steps = script(&mut SplitMix::new(18));
    let fs = SimFs::new();
    let store = open(&fs, &options).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..=10).zip(&steps) {
        apply(&mut writer, place, *step).unwrap();
    }
    fs.set_capacity(Some(fs.used() + 100));
    let refused = writer.commit();
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    assert_eq!(store.status().poisoned, None);
    assert_eq!(durable(&store), 0);
    fs.set_capacity(None);
    writer.commit().unwrap();
    assert_eq!(durable(&store), 10);
}

/// A redelivered event is a repeat, whether it was the last of its key or not, before and after a seal and a restart.
#[test]
fn an_event_delivered_again_is_a_repeat() {
    let fs = SimFs::new();
    let store = open(&fs, &options()).unwrap();
    let mut writer = store.writer().unwrap();
    let deliver = |writer: &mut Writer, nth: u64| {
        let time_us = 1_767_225_600_000_000 + nth * 1_000;
        let body = format!(r#"{{"subject":"https://example.org/{nth}"}}"#);
        let (did, rkey) = (did(1), rkey(3));
        let record = Record {
            cid: "",
            encoding: Encoding::Json,
            body: body.as_bytes(),
        };
        let event = Event {
            time_us,
            did: &did,
            body: Body::Commit {
                rev: time_us << 10,
                collection: LIKE,
                rkey: &rkey,
                operation: Operation::Update(record),
            },
        };
        writer.apply(&event).unwrap()
    };
    for nth in 1..=3 {
        assert!(matches!(deliver(&mut writer, nth), Applied::New { .. }));
        for again in 1..=nth {
            assert_eq!(
                deliver(&mut writer, again),
                Applied::Repeat,
                "{again} of {nth}"
            );
        }
    }
    writer.seal().unwrap();
    for again in 1..=3 {
        assert_eq!(
            deliver(&mut writer, again),
            Applied::Repeat,
            "{again}, sealed"
        );
    }
    drop((writer, store));
    let mut writer = open(&fs, &options()).unwrap().writer().unwrap();
    for again in 1..=3 {
        assert_eq!(
            deliver(&mut writer, again),
            Applied::Repeat,
            "{again}, restarted"
        );
    }
}

/// A directory whose log has a damaged frame that no start has met.
fn with_a_damaged_frame() -> SimFs {
    let fs = SimFs::new();
    let mut writer = open(&fs, &options()).unwrap().writer().unwrap();
    for (place, step) in (1..).zip(script(&mut SplitMix::new(3)).into_iter().take(30)) {
        apply(&mut writer, place, step).unwrap();
        writer.commit().unwrap();
    }
    writer.close().unwrap();
    let is_log = |path: &std::path::PathBuf| path.extension().is_some_and(|is| is == "log");
    let log = fs.paths().into_iter().find(is_log).unwrap();
    let mut bytes = fs.contents(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs.put(&log, &bytes);
    fs
}

/// A loss that a start finds is named by the seal of what stands behind it. From then on nothing finds it again, so
/// whatever ends the process between any two of its calls, the next start knows of it.
#[test]
fn a_loss_of_the_log_is_known_at_every_point_of_the_seal_behind_it() {
    let fs = with_a_damaged_frame();
    fs.record();
    drop(open(&fs, &options()).unwrap().writer().unwrap());
    let images = fs.images();
    for (at, image) in images.iter().enumerate() {
        let ends = [image.resume(), image.crash(Loss::Everything)];
        for (how, fs) in ends.iter().enumerate() {
            let store = open(fs, &options()).unwrap();
            let what = format!("image {at} of {}, {how}", images.len());
            assert_eq!(store.status().gaps.len(), 1, "{what}");
        }
    }
    assert!(images.len() > 10, "{}", images.len());
}

#[test]
fn a_replay_of_the_log_keeps_which_losses_are_accepted() {
    for accepts in [false, true] {
        let fs = with_a_damaged_frame();
        drop(open(&fs, &options()).unwrap());
        if accepts {
            let manifest = Manifest::open(fs.shared(), Path::new(DIR)).unwrap();
            manifest.unwrap().accept_gaps().unwrap();
        }
        let to = Path::new("to");
        crate::offline::replay_log_with_fs(&fs.shared(), Path::new(DIR), to, options()).unwrap();
        let told = |dir| {
            let store = Store::open_with_fs(fs.shared(), dir, options()).unwrap();
            store.status().gaps.len()
        };
        let right = usize::from(!accepts);
        assert_eq!([told(Path::new(DIR)), told(to)], [right, right]);
        let manifest = Manifest::read(&fs, to).unwrap().unwrap();
        assert_eq!(manifest.gaps.len(), 1, "it is known all the same");
    }
}
