use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use orrery_formats::manifest::{Edit, WrittenOff};

use super::{Outcome, RepairOptions, RepairReport, repair_with_fs};
use crate::buckets::HOUR_MAX;
use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::manifest::Manifest;
use crate::offline::backup_with_fs;
use crate::offline::verify::verify_with_fs;
use crate::power_cut_tests::{LIKE, Step, answers, apply, model, script, seeds};
use crate::quarantine::tests::{ask, named, segments};
use crate::{Error, Options, Result, Store};

mod loaded_again;
mod lost_manifest;

const DIR: &str = "data";
const TO: &str = "backup";

fn options() -> Options {
    Options {
        compact: false,
        compact_fan_in: 2,
        ..Options::default()
    }
}

/// A log that is cut behind every seal.
fn without_window() -> Options {
    Options {
        log_bytes_max: 0,
        ..options()
    }
}

fn open(fs: &SimFs, options: Options) -> Result<Store> {
    Store::open_with_fs(fs.shared(), Path::new(DIR), options)
}

/// Applies the steps from `from` on, with a seal after each eleven, and some merges if `merges`; gives the store.
fn go(fs: &SimFs, options: Options, steps: &[Step], from: usize, merges: bool) -> Store {
    let store = open(fs, options).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(steps).skip(from) {
        match apply(&mut writer, place, *step) {
            Ok(()) => {}
            // The source would go on from here.
            Err(Error::LostAccounts { .. }) => break,
            Err(error) => panic!("step {place}: {error}"),
        }
        if place % 11 == 0 {
            writer.seal().unwrap();
            if merges && place % 3 != 0 && writer.merge_due().unwrap() {
                writer.tick().unwrap();
            }
        }
    }
    writer.close().unwrap();
    store
}

/// How many steps were applied.
fn applied(fs: &SimFs) -> usize {
    let store = open(fs, options()).unwrap();
    let cursor = store.status().durable_cursor;
    cursor.map_or(0, |cursor| usize::try_from(cursor.value).unwrap())
}

/// Sets segments aside, and says that none comes back, so that all events are applied without them.
fn write_off(fs: &SimFs) {
    drop(open(fs, options()).unwrap());
    let mut manifest = Manifest::open(fs.shared(), Path::new(DIR))
        .unwrap()
        .unwrap();
    let mut quarantine = manifest.state().quarantined.clone();
    for entry in &mut quarantine {
        entry.written_off = WrittenOff::Whole;
    }
    let edit = Edit {
        quarantine,
        ..Edit::default()
    };
    manifest.append(&edit).unwrap();
}

fn directory(seed: u64, options: Options, merges: bool) -> (SimFs, Vec<Step>) {
    let fs = SimFs::new();
    let steps = script(&mut SplitMix::new(seed));
    drop(go(&fs, options, &steps, 0, merges));
    (fs, steps)
}

/// Damages a file: a byte in the middle, the end, or all of it.
fn damage(fs: &SimFs, path: &Path, how: u64) {
    let mut bytes = fs.contents(path).unwrap();
    match how % 3 {
        0 => {
            let (start, end) = (bytes.len() / 3, bytes.len() * 2 / 3);
            bytes[start..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            fs.put(path, &bytes);
        }
        1 => fs.put(path, &bytes[..bytes.len() / 2]),
        _ => fs.unlink(path).unwrap(),
    }
}

fn run(fs: &SimFs, backup: bool) -> Result<RepairReport> {
    repair(fs, backup, false)
}

fn repair(fs: &SimFs, backup: bool, write_off: bool) -> Result<RepairReport> {
    let options = RepairOptions {
        backup: backup.then(|| PathBuf::from(TO)),
        write_off,
        store: options(),
        ..RepairOptions::default()
    };
    repair_with_fs(&fs.shared(), Path::new(DIR), &options)
}

fn outcomes(report: &RepairReport) -> Vec<Outcome> {
    let segments = report.segments.iter();
    segments.map(|segment| segment.outcome).collect()
}

fn damages(fs: &SimFs) -> Vec<String> {
    let mut found = Vec::new();
    verify_with_fs(&fs.shared(), Path::new(DIR), false, &mut |damage| {
        found.push(damage.to_string());
    })
    .unwrap();
    found
}

/// The disk after a power cut, without what a merge left behind, out of which a repair takes a damaged one back.
fn cut(fs: &SimFs) -> SimFs {
    let (after, named) = (fs.crash(1), segments(fs));
    for left in segments(&after) {
        if !named.contains(&left) {
            after.shared().unlink(&left).unwrap();
        }
    }
    after
}

/// Writes and deletions by the time buckets.
fn counted(store: &Store) -> (u64, u64) {
    let snapshot = store.snapshot();
    let buckets = snapshot.collection(LIKE).unwrap();
    let counts = buckets.counts(&(0..HOUR_MAX)).unwrap();
    (counts.creates + counts.updates, counts.deletes)
}

/// Those of `steps`.
fn wanted_counts(steps: &[Step]) -> (u64, u64) {
    let count = |is: &dyn Fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count() as u64;
    (
        count(&|step| matches!(step, Step::Write { .. })),
        count(&|step| matches!(step, Step::Delete { .. })),
    )
}

/// The directory is whole, answers for all of `steps`, and goes on.
fn assert_whole(fs: &SimFs, options: Options, steps: &[Step], what: &str) {
    assert_eq!(damages(fs), [""; 0], "{what}");
    let store = open(fs, options.clone()).unwrap();
    assert_eq!(store.status().degraded, [], "{what}");
    store.verify().unwrap();
    let len = steps.len() as u64;
    assert_eq!(answers(&store), model(steps, len), "{what}");
    assert_eq!(counted(&store), wanted_counts(steps), "{what}");
    drop(store);
    let mut more = steps.to_vec();
    more.extend(script(&mut SplitMix::new(len)));
    let store = go(fs, options, &more, steps.len(), true);
    let all = model(&more, more.len() as u64);
    assert_eq!(answers(&store), all, "{what}, and more");
    assert_eq!(counted(&store), wanted_counts(&more), "{what}, and more");
}

#[test]
fn a_damaged_segment_is_made_anew_from_the_log() {
    for seed in 0..seeds(4) {
        for merges in [false, true] {
            let (fs, steps) = directory(seed, options(), merges);
            for (at, path) in segments(&fs).iter().enumerate() {
                let fs = cut(&fs);
                damage(&fs, path, seed + at as u64);
                let what = format!("seed {seed}, merges {merges}, {}", path.display());
                let report = run(&fs, false).unwrap();
                assert_eq!(outcomes(&report), [Outcome::FromLog], "{what}");
                assert!(report.is_whole(), "{what}");
                assert_whole(&fs, options(), &steps, &what);
            }
        }
    }
}

#[test]
fn a_damaged_segment_comes_back_from_the_backup_where_the_log_is_gone() {
    for seed in 0..seeds(4) {
        let (fs, steps) = directory(seed, without_window(), true);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        for (at, path) in segments(&fs).iter().enumerate() {
            let fs = cut(&fs);
            let sound = fs.contents(path).unwrap();
            damage(&fs, path, seed + at as u64);
            let what = format!("seed {seed}, {}", path.display());
            // Half of them were found before.
            if seed % 2 == 0 {
                drop(open(&fs, without_window()).unwrap());
            }
            let report = run(&fs, true).unwrap();
            assert_eq!(outcomes(&report), [Outcome::FromBackup], "{what}");
            assert_eq!(fs.contents(path).unwrap(), sound, "{what}");
            assert_eq!(report.kept.len(), usize::from((seed + at as u64) % 3 != 2));
            for kept in &report.kept {
                fs.contents(&Path::new(DIR).join(kept)).unwrap();
            }
            assert_whole(&fs, without_window(), &steps, &what);
        }
    }
}

#[test]
fn without_log_and_backup_it_is_said_what_is_lost() {
    let mut lacking = 0;
    for seed in 0..seeds(2) {
        let (fs, steps) = directory(seed, without_window(), true);
        let right = named(model(&steps, steps.len() as u64));
        for (at, path) in segments(&fs).iter().enumerate() {
            let fs = cut(&fs);
            damage(&fs, path, seed + at as u64);
            let what = format!("seed {seed}, {}", path.display());
            for _ in 0..2 {
                let report = run(&fs, false).unwrap();
                let [lost] = &report.segments[..] else {
                    panic!("{what}: {:?}", report.segments);
                };
                assert_eq!(lost.outcome, Outcome::Lost, "{what}");
                assert!(!report.is_whole(), "{what}");
                assert!(path.ends_with(&lost.file), "{what}");
                assert!(lost.last_time_us > 0 && lost.first_seq > 0, "{what}");
                assert_eq!(lost.tried.len(), 2, "{what}: {:?}", lost.tried);
                let state = Manifest::read(&fs, Path::new(DIR)).unwrap().unwrap();
                assert_eq!(state.quarantined.len(), 1, "{what}");
                assert_eq!(state.quarantined[0].written_off, WrittenOff::No, "{what}");
                assert!(!lost.is_written_off, "{what}");
                let store = open(&fs, options()).unwrap();
                assert_eq!(store.status().degraded.len(), 1, "{what}");
                lacking += usize::from(ask(&store).unwrap() != right);
            }
        }
    }
    // A segment may hold nothing but what died since.
    assert!(lacking > 5, "{lacking}");
}

/// While a segment was set aside, events came in that it knew better: accounts that seem new, deletions of its
/// rows, states that it had.
#[test]
fn what_was_applied_without_a_segment_is_applied_again_with_it() {
    for seed in 0..seeds(4) {
        let (fs, mut steps) = directory(seed, options(), true);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        let len = steps.len();
        steps.extend(script(&mut SplitMix::new(seed + 1000)));
        for (at, path) in segments(&fs).iter().enumerate() {
            let what = format!("seed {seed}, {}", path.display());
            for (backup, sound) in [(false, false), (true, false), (false, true)] {
                let fs = fs.crash(1);
                let bytes = fs.contents(path).unwrap();
                damage(&fs, path, seed + at as u64);
                if at % 2 == 0 {
                    write_off(&fs);
                }
                drop(go(&fs, options(), &steps, len, true));
                let done = applied(&fs);
                assert!(done == steps.len() || at % 2 == 1, "{what}: {done}");
                if sound {
                    // The disk recovered.
                    fs.put(path, &bytes);
                }
                let report = run(&fs, backup).unwrap();
                assert!(report.is_whole(), "{what}: {:?}", report.segments);
                // What waited is applied then.
                drop(go(&fs, options(), &steps, done, false));
                assert_whole(&fs, options(), &steps, &what);
            }
        }
    }
}

#[test]
fn a_file_that_is_sound_again_is_read_again_only_where_nothing_was_applied_without_it() {
    let (fs, mut steps) = directory(3, without_window(), true);
    let path = segments(&fs).remove(0);
    let bytes = fs.contents(&path).unwrap();
    damage(&fs, &path, 0);
    write_off(&fs);
    let now = fs.crash(1);
    now.put(&path, &bytes);
    assert_eq!(outcomes(&run(&now, false).unwrap()), [Outcome::Sound]);
    assert_whole(&now, without_window(), &steps, "at once");
    let len = steps.len();
    steps.extend(script(&mut SplitMix::new(7)));
    drop(go(&fs, without_window(), &steps, len, true));
    fs.put(&path, &bytes);
    let report = run(&fs, false).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Lost]);
    let tried = report.segments[0].tried.join("; ");
    assert!(tried.contains("applied without it"), "{tried}");
    assert!(tried.contains("the log"), "{tried}");
}

#[test]
fn several_damaged_segments_are_brought_back_together() {
    for seed in 0..seeds(3) {
        let (fs, steps) = directory(seed, options(), false);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        let paths = segments(&fs);
        for (backup, damaged) in [(false, 0..paths.len()), (true, 1..3), (false, 1..3)] {
            let fs = fs.crash(1);
            for path in &paths[damaged] {
                damage(&fs, path, seed);
            }
            let report = run(&fs, backup).unwrap();
            assert!(report.is_whole(), "seed {seed}: {:?}", report.segments);
            assert_whole(&fs, options(), &steps, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_log_of_other_accounts_is_not_used() {
    let (fs, _) = directory(4, options(), false);
    let paths = segments(&fs);
    // Another log with the same seqs; its events are of one account only.
    let other = SimFs::new();
    let steps = [Step::Write {
        actor: 1,
        key: 2,
        target: 2,
    }; 80];
    drop(go(&other, options(), &steps, 0, false));
    let id = |fs: &SimFs| {
        let look = Manifest::look(&*fs.shared(), Path::new(DIR));
        look.unwrap().unwrap().state.directory.id
    };
    let log = Path::new(DIR).join("log");
    for entry in fs.list(&log).unwrap() {
        if entry.name.ends_with(".keys") {
            fs.unlink(&log.join(&entry.name)).unwrap();
        }
    }
    for entry in other.list(&log).unwrap() {
        if entry.name.ends_with(".log") {
            let path = log.join(&entry.name);
            let (from, to) = (id(&other), id(&fs));
            let bytes = relabelled(&other.contents(&path).unwrap(), &path, from, to);
            fs.put(&path, &bytes);
        }
    }
    damage(&fs, &paths[0], 0);
    let report = run(&fs, false).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Lost]);
    let tried = report.segments[0].tried.join("; ");
    assert!(tried.contains("accounts, and the manifest says"), "{tried}");
    let names: Vec<PathBuf> = segments(&fs);
    assert_eq!(names, paths, "what was tried is removed");
}

/// The bytes of a log file as those of another directory.
fn relabelled(bytes: &[u8], path: &Path, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    use crate::log::{FrameBuffer, LogOptions, LogReader, LogWriter, parse_name};
    let name = path.file_name().unwrap().to_str().unwrap();
    let first = parse_name(name, "log").unwrap();
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("a")).unwrap();
    fs.create_dir_all(Path::new("b")).unwrap();
    fs.put(&Path::new("a").join(name), bytes);
    let mut reader = LogReader::open(&fs, &Path::new("a").join(name), from).unwrap();
    let mut writer = LogWriter::new(
        fs.shared(),
        Path::new("b"),
        to,
        first,
        LogOptions::default(),
    )
    .unwrap();
    let mut buffer = FrameBuffer::new();
    while reader.next_frame(&mut buffer).unwrap().is_some() {
        for event in buffer.events().into_iter().flatten() {
            writer.append(&event.unwrap().1).unwrap();
        }
    }
    writer.commit(None).unwrap();
    writer.rotate(None).unwrap();
    fs.contents(&Path::new("b").join(name)).unwrap()
}

fn contents(fs: &SimFs) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for dir in ["", "segments", "log", "masks"] {
        let dir = Path::new(DIR).join(dir);
        for entry in fs.list(&dir).unwrap() {
            let path = dir.join(entry.name);
            all.insert(path.clone(), fs.contents(&path).unwrap());
        }
    }
    all
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    for seed in 0..4 {
        let (fs, _) = directory(seed, options(), true);
        for path in segments(&fs) {
            let fs = fs.crash(1);
            damage(&fs, &path, 0);
            let before = contents(&fs);
            let dry = RepairOptions {
                dry_run: true,
                store: options(),
                ..RepairOptions::default()
            };
            let dry = repair_with_fs(&fs.shared(), Path::new(DIR), &dry).unwrap();
            assert_eq!(contents(&fs), before, "seed {seed}");
            assert_eq!(dry.segments, run(&fs, false).unwrap().segments);
        }
    }
}

#[test]
fn damaged_masks_and_key_indexes_are_removed_and_made_anew() {
    let (fs, steps) = directory(5, options(), false);
    for within in ["masks", "log"] {
        let dir = Path::new(DIR).join(within);
        let files = fs.list(&dir).unwrap();
        let derived = files.iter().filter(|file| !file.name.ends_with(".log"));
        for file in derived.map(|file| dir.join(&file.name)) {
            let fs = fs.crash(1);
            let mut bytes = fs.contents(&file).unwrap();
            let place = bytes.len() / 2;
            bytes[place] ^= 1;
            fs.put(&file, &bytes);
            if damages(&fs).is_empty() {
                continue;
            }
            let report = run(&fs, false).unwrap();
            assert_eq!(report.derived.len(), 1, "{report:?}");
            assert!(report.is_whole());
            assert_whole(&fs, options(), &steps, &file.display().to_string());
        }
    }
}

#[test]
fn a_damaged_file_of_the_window_only_makes_it_shorter() {
    let (fs, steps) = directory(6, options(), false);
    let dir = Path::new(DIR).join("log");
    let files = fs.list(&dir).unwrap();
    let logs = files.iter().filter(|file| file.name.ends_with(".log"));
    let logs: Vec<PathBuf> = logs.map(|file| dir.join(&file.name)).collect();
    let (last, sealed) = logs.split_last().unwrap();
    assert!(sealed.len() > 3);
    for path in sealed {
        for how in 0..3 {
            let fs = fs.crash(1);
            damage(&fs, path, how);
            let what = format!("{}, {how}", path.display());
            let report = run(&fs, false).unwrap();
            assert!(report.is_whole(), "{what}: {report:?}");
            assert_eq!(report.logs.len(), 1, "{what}: {report:?}");
            assert_eq!(report.kept.len(), usize::from(how != 2), "{what}");
            assert_whole(&fs, options(), &steps, &what);
        }
    }
    // Events that are in no segment are the business of the next start, which asks the source again.
    let fs = fs.crash(1);
    let mut bytes = fs.contents(last).unwrap();
    let place = bytes.len() - 20;
    bytes[place] ^= 1;
    fs.put(last, &bytes);
    let before = fs.contents(last).unwrap();
    let report = run(&fs, false).unwrap();
    assert!(!report.notes.is_empty(), "{report:?}");
    assert_eq!(fs.contents(last).unwrap(), before);
}

/// The calls of a sweep: some by default, every one where `ORRERY_SEEDS` asks for a long run.
fn calls(seed: u64) -> impl Iterator<Item = u64> {
    let step = if seeds(1) > 1 { 1 } else { 4 };
    (1 + seed % step as u64..).step_by(step)
}

#[test]
fn a_power_cut_at_any_call_of_a_repair_leaves_a_directory_that_opens() {
    for (seed, backup, degraded_run) in [(1, false, false), (2, true, false), (3, true, true)] {
        let (fs, mut steps) = directory(seed, options(), seed == 3);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        let paths = segments(&fs);
        damage(&fs, &paths[1], 0);
        if degraded_run {
            let len = steps.len();
            steps.extend(script(&mut SplitMix::new(seed)));
            drop(go(&fs, options(), &steps, len, false));
        }
        let right = model(&steps, steps.len() as u64);
        let mut outcomes = [0, 0];
        for call in calls(seed) {
            let what = format!("seed {seed}, call {call}");
            let disk = fs.crash(call);
            disk.stop_at(disk.calls() + call);
            let done = run(&disk, backup);
            let is_done = disk.calls() < call;
            let disk = disk.crash(call * 7);
            let opened = disk.crash(call);
            let store = open(&opened, options()).unwrap_or_else(|e| panic!("{what}: {e}"));
            let is_whole = store.status().degraded.is_empty();
            if is_whole {
                assert_eq!(answers(&store), right, "{what}");
            } else {
                ask(&store).unwrap();
                assert!(done.is_err(), "{what}");
            }
            outcomes[usize::from(is_whole)] += 1;
            drop(store);
            // Once more, on what the cut left, opened or not.
            if call % 3 == 0 {
                for disk in [disk, opened] {
                    let report = run(&disk, backup).unwrap();
                    assert!(report.is_whole(), "{what}: {report:?}");
                    let store = open(&disk, options()).unwrap();
                    assert_eq!(store.status().degraded, [], "{what}");
                    assert_eq!(answers(&store), right, "{what}");
                }
            }
            if is_done && done.is_ok() {
                break;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    }
}

#[test]
fn another_directorys_backup_and_an_open_store_are_refused() {
    let (fs, _) = directory(1, options(), false);
    let store = open(&fs, options()).unwrap();
    assert!(matches!(run(&fs, false), Err(Error::Locked { .. })));
    drop(store);
    let text = run(&fs, true).unwrap_err().to_string();
    assert!(text.contains("holds no backup"), "{text}");
    let (other, _) = directory(1, options(), false);
    backup_with_fs(&other.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    let root = Path::new(TO);
    fs.create_dir_all(root).unwrap();
    for entry in other.list(root).unwrap() {
        fs.put(
            &root.join(&entry.name),
            &other.contents(&root.join(&entry.name)).unwrap(),
        );
    }
    let text = run(&fs, true).unwrap_err().to_string();
    assert!(text.contains("another data directory"), "{text}");
}

#[test]
fn a_failure_of_any_call_of_a_repair_leaves_a_directory_that_opens_and_can_be_repaired() {
    for (seed, backup) in [(1, false), (2, true)] {
        let (fs, steps) = directory(seed, options(), false);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        damage(&fs, &segments(&fs)[1], 0);
        let right = model(&steps, steps.len() as u64);
        for call in calls(seed) {
            let what = format!("seed {seed}, call {call}");
            let disk = fs.crash(call);
            let failing = disk.calls() + call;
            disk.fail_call(failing);
            let done = run(&disk, backup);
            if disk.calls() <= failing {
                assert!(done.unwrap().is_whole(), "{what}");
                break;
            }
            // Once more by the same system, then the power goes.
            let again = run(&disk, backup).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(again.is_whole(), "{what}: {again:?}");
            let disk = disk.crash(call * 7);
            let store = open(&disk, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(store.status().degraded, [], "{what}, {done:?}");
            assert_eq!(answers(&store), right, "{what}");
        }
    }
}

#[test]
fn what_one_repair_cannot_bring_back_a_later_one_with_a_backup_does() {
    for seed in 0..seeds(3) {
        let (fs, mut steps) = directory(seed, options(), false);
        backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
        let paths = segments(&fs);
        for path in [&paths[1], &paths[4]] {
            damage(&fs, path, 0);
        }
        // The log does not hold the older one any more.
        let log = Path::new(DIR).join("log");
        let files = fs.list(&log).unwrap();
        for file in files
            .iter()
            .filter(|file| file.name.ends_with(".log"))
            .take(3)
        {
            fs.unlink(&log.join(&file.name)).unwrap();
        }
        let report = repair(&fs, false, true).unwrap();
        assert_eq!(outcomes(&report), [Outcome::Lost, Outcome::Lost]);
        assert!(report.segments.iter().all(|lost| lost.is_written_off));
        let tried = report.segments[1].tried.join("; ");
        assert!(tried.contains("other ids"), "{tried}");

        let len = steps.len();
        steps.extend(script(&mut SplitMix::new(seed + 9)));
        drop(go(&fs, options(), &steps, len, true));
        let report = run(&fs, true).unwrap();
        let wanted = [Outcome::FromBackup, Outcome::FromBackup];
        assert_eq!(outcomes(&report), wanted, "seed {seed}: {report:?}");
        assert_whole(&fs, options(), &steps, &format!("seed {seed}"));
    }
}

#[test]
fn of_two_damaged_segments_the_one_in_the_backup_comes_back() {
    let (fs, steps) = directory(8, without_window(), false);
    backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    let paths = segments(&fs);
    for path in [&paths[1], &paths[4]] {
        damage(&fs, path, 0);
    }
    let copy = Path::new(TO)
        .join("segments")
        .join(paths[1].file_name().unwrap());
    damage(&fs, &copy, 0);
    let report = run(&fs, true).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Lost, Outcome::FromBackup]);
    let tried = report.segments[0].tried.join("; ");
    assert!(tried.contains("copy is damaged"), "{tried}");
    let store = open(&fs, without_window()).unwrap();
    assert_eq!(store.status().degraded.len(), 1);
    let right = named(model(&steps, steps.len() as u64));
    assert_ne!(ask(&store).unwrap(), right);
}
