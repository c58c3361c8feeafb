//! Manifests that are damaged, or lost their end: whose backup helps, what is named again, and what is not.

use std::sync::Arc;

use super::*;
use crate::SelectionEntry;
use crate::io::{Entry, File, LockGuard, Mapped};
use crate::store::{parse_segment_name, segment_name};

const MANIFEST: &str = "data/MANIFEST-00000001";

fn manifest(fs: &SimFs) -> Vec<u8> {
    fs.contents(Path::new(MANIFEST)).unwrap()
}

/// Puts what `from` has as the backup where `to` looks for one.
fn give_backup(from: &SimFs, to: &SimFs) {
    backup_with_fs(&from.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    for path in from.paths() {
        if path.starts_with(TO) {
            to.create_dir_all(path.parent().unwrap()).unwrap();
            to.put(&path, &from.contents(&path).unwrap());
        }
    }
}

fn is_refused(fs: &SimFs, wanted: &str) {
    let before = contents(fs);
    let error = run(fs, true).unwrap_err().to_string();
    assert!(error.contains(wanted), "{error}");
    let mut after = contents(fs);
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(before, after);
}

#[test]
fn a_backup_of_another_directory_or_history_is_no_manifest() {
    let (other, _) = directory(2, options(), false);
    for (log, sealed) in [(true, true), (true, false), (false, true)] {
        let (fs, _) = directory(1, options(), false);
        give_backup(&other, &fs);
        for path in fs.paths() {
            let goes = (path.starts_with("data/log") && !log)
                || (path.starts_with("data/segments") && !sealed);
            if goes {
                fs.unlink(&path).unwrap();
            }
        }
        fs.put(Path::new(MANIFEST), b"no manifest");
        is_refused(&fs, "another data directory");
    }
}

#[test]
fn a_backup_of_a_directory_that_went_apart_is_no_manifest() {
    let (fs, steps) = directory(1, options(), false);
    let fork = fs.crash(1);
    let go_on = |fs: &SimFs, seed| {
        let mut all = steps.clone();
        all.extend(script(&mut SplitMix::new(seed)));
        drop(go(fs, options(), &all, steps.len(), false));
    };
    go_on(&fs, 100);
    go_on(&fork, 101);
    let same = fs.crash(1);
    give_backup(&fork, &fs);
    fs.put(Path::new(MANIFEST), b"no manifest");
    is_refused(&fs, "another history");
    // A damaged segment says nothing about the history.
    give_backup(&same, &same);
    damage(&same, &segments(&same)[0], 0);
    same.put(Path::new(MANIFEST), b"no manifest");
    assert!(run(&same, true).unwrap().manifest.is_some());
}

/// A directory without a window whose manifest ends behind two seals, and where it ended.
fn shortened(seed: u64) -> (SimFs, u64) {
    let fs = SimFs::new();
    let steps = script(&mut SplitMix::new(seed));
    drop(go(&fs, without_window(), &steps[..22], 0, false));
    let before = manifest(&fs);
    let state = Manifest::read(&fs, Path::new(DIR)).unwrap().unwrap();
    drop(go(&fs, without_window(), &steps, 22, false));
    backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    fs.put(Path::new(MANIFEST), &before);
    (fs, state.sealed_through)
}

#[test]
fn a_damaged_segment_does_not_keep_lost_ones_from_being_named_again() {
    for backup in [false, true] {
        let (fs, sealed_through) = shortened(1);
        damage(&fs, &segments(&fs)[0], 0);
        let report = run(&fs, backup).unwrap();
        assert!(report.adopted.len() > 1, "{report:?}");
        // It may have been set aside by what the manifest lost.
        assert_eq!(outcomes(&report), [Outcome::Lost]);
        let state = Manifest::read(&fs, Path::new(DIR)).unwrap().unwrap();
        assert_eq!(state.quarantined[0].applied_through, sealed_through);
        let store = open(&fs, without_window()).unwrap();
        assert_eq!(store.status().degraded.len(), 1);
    }
}

#[test]
fn a_named_segment_that_opens_and_is_another_does_not_end_the_repair() {
    let (fs, _) = shortened(1);
    let paths = segments(&fs);
    fs.put(&paths[0], &fs.contents(&paths[1]).unwrap());
    let report = run(&fs, false).unwrap();
    assert!(report.adopted.len() > 1, "{report:?}");
    assert_eq!(outcomes(&report), [Outcome::Lost]);
    let store = open(&fs, without_window()).unwrap();
    assert_eq!(store.status().degraded.len(), 1);
}

#[test]
fn a_failure_while_a_manifest_is_made_anew_leaves_the_older_one_or_the_new() {
    let (fs, steps) = directory(1, options(), false);
    let all = SelectionEntry {
        first_seq: 0,
        since_us: 0,
        only: Vec::new(),
        except: Vec::new(),
    };
    let store = open(&fs, options()).unwrap();
    store.writer().unwrap().begin_selections(vec![all]).unwrap();
    drop(store);
    fs.put(Path::new("data/MANIFEST-00000002"), b"no manifest");
    for call in 1.. {
        let disk = fs.crash(1);
        let failing = disk.calls() + call;
        disk.stop_at(failing);
        let done = run(&disk, false);
        let is_done = disk.calls() < failing;
        let disk = disk.crash(call);
        let what = format!("call {call}");
        // What was selected last may be lost, and no start takes the last that is known for that.
        if let Ok(store) = open(&disk.crash(call), options()) {
            let selections = store.selections();
            assert!(selections.last().unwrap().is_unknown(), "{what}");
        }
        run(&disk, false).unwrap_or_else(|error| panic!("{what}: {error}"));
        let store = open(&disk, options()).unwrap();
        let right = model(&steps, steps.len() as u64);
        assert_eq!(answers(&store), right, "{what}");
        if is_done {
            assert!(done.unwrap().manifest.is_some());
            break;
        }
    }
}

#[test]
fn what_an_interrupted_seal_behind_a_loss_left_is_not_named() {
    let fs = SimFs::new();
    let steps = script(&mut SplitMix::new(1));
    drop(go(&fs, options(), &steps[..11], 0, false));
    let sealed = segments(&fs).remove(0);
    let before = manifest(&fs);
    let store = open(&fs, options()).unwrap();
    let mut writer = store.writer().unwrap();
    for (place, step) in (1..).zip(&steps).skip(11).take(20) {
        apply(&mut writer, place, *step).unwrap();
        writer.commit().unwrap();
    }
    drop((writer, store));
    let mut logs = fs.paths();
    logs.retain(|path| path.extension().is_some_and(|kind| kind == "log"));
    let log = logs.pop().unwrap();
    let mut bytes = fs.contents(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.put(&log, &bytes);
    let gaps = open(&fs, options()).unwrap().gaps();
    assert_eq!(gaps.len(), 1);
    // The edits of that seal never came, and a merge left another file of the segment before.
    fs.put(Path::new(MANIFEST), &before);
    let name = sealed.file_name().unwrap().to_str().unwrap();
    let (first_seq, last_seq, _) = parse_segment_name(name).unwrap();
    let merged = sealed.with_file_name(segment_name(first_seq, last_seq, 99));
    fs.put(&merged, &fs.contents(&sealed).unwrap());
    fs.unlink(&sealed).unwrap();
    assert_eq!(segments(&fs).len(), 2);
    let report = run(&fs, false).unwrap();
    assert_eq!(report.adopted.len(), 1, "{report:?}");
    let store = open(&fs, options()).unwrap();
    assert_eq!(store.gaps(), gaps);
    let cursor = store.status().durable_cursor.unwrap();
    assert!(cursor.value < 31, "{cursor:?}");
}

/// Does not give the bytes of one file, as a disk with a bad block.
#[derive(Debug)]
struct BadBlock {
    fs: SimFs,
    path: PathBuf,
}

impl Fs for BadBlock {
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        self.fs.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.fs.create(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        if path == self.path {
            return Err(rustix::io::Errno::IO.into());
        }
        self.fs.open(path)
    }
    fn open_rw(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.fs.open_rw(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.fs.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> std::io::Result<()> {
        self.fs.unlink(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<Entry>> {
        self.fs.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.fs.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Option<Box<dyn LockGuard>>> {
        self.fs.lock(path)
    }
    fn map(&self, path: &Path) -> std::io::Result<Mapped> {
        self.fs.map(path)
    }
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        self.fs.free_bytes(dir)
    }
}

#[test]
fn a_manifest_that_the_disk_does_not_give_is_made_anew_from_a_backup() {
    let (fs, steps) = directory(1, options(), false);
    backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    let disk: Arc<dyn Fs> = Arc::new(BadBlock {
        fs: fs.clone(),
        path: PathBuf::from(MANIFEST),
    });
    let options = RepairOptions {
        backup: Some(PathBuf::from(TO)),
        ..RepairOptions::default()
    };
    let report = repair_with_fs(&disk, Path::new(DIR), &options).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.kept, ["MANIFEST-00000001.damaged"]);
    assert_whole(&fs, super::options(), &steps, "a bad block");
}

#[test]
fn a_damaged_segment_in_whose_place_another_is_named_is_kept() {
    let fs = SimFs::new();
    let steps = script(&mut SplitMix::new(1));
    let store = go(&fs, without_window(), &steps[..22], 0, false);
    let before = manifest(&fs);
    let parts = segments(&fs);
    let sound = fs.contents(&parts[0]).unwrap();
    drop(store);
    let store = open(&fs, without_window()).unwrap();
    let mut writer = store.writer().unwrap();
    assert!(writer.merge_due().unwrap());
    writer.tick().unwrap();
    writer.close().unwrap();
    drop(store);
    let merged = segments(&fs);
    assert_eq!(merged.len(), 1);
    fs.put(Path::new(MANIFEST), &before);
    // One of its parts is there and damaged, the other is gone.
    fs.put(&parts[0], &sound[..sound.len() / 2]);
    let report = run(&fs, false).unwrap();
    assert_eq!(report.adopted.len(), 1, "{report:?}");
    assert_eq!(report.kept.len(), 1, "{report:?}");
    let kept = Path::new(DIR).join(&report.kept[0]);
    assert_eq!(fs.contents(&kept).unwrap(), sound[..sound.len() / 2]);
    assert_eq!(answers(&open(&fs, options()).unwrap()), model(&steps, 22));
}
