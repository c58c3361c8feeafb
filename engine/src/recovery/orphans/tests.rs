//! A directory is refused whose manifest lost its end, and a repair names its segments again; what a crash left is
//! removed.

use std::path::{Path, PathBuf};

use crate::io::fault::{SimFs, SplitMix};
use crate::offline::verify::verify_with_fs;
use crate::offline::{RepairOptions, RepairReport, backup_with_fs, repair_with_fs};
use crate::power_cut_tests::{Answers, answers, apply, script};
use crate::store::parse_segment_name;
use crate::{Options, SelectionEntry, Store, Writer};

pub(super) const MANIFEST: &str = "data/MANIFEST-00000001";

pub(super) fn open(fs: &SimFs, log_bytes_max: u64) -> crate::Result<Store> {
    let options = Options {
        compact: false,
        compact_fan_in: 3,
        log_bytes_max,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new("data"), options)
}

pub(super) fn segments(fs: &SimFs) -> Vec<PathBuf> {
    let mut paths = fs.paths();
    paths.retain(|path| path.starts_with("data/segments"));
    paths
}

pub(super) fn manifest(fs: &SimFs) -> Vec<u8> {
    fs.contents(Path::new(MANIFEST)).unwrap()
}

/// Applies so many further steps and seals.
pub(super) fn seal(writer: &mut Writer, place: &mut u64, steps: u64) {
    let script = script(&mut SplitMix::new(1));
    for _ in 0..steps {
        *place += 1;
        apply(writer, *place, script[*place as usize - 1]).unwrap();
    }
    writer.seal().unwrap();
}

/// Notes that all is taken.
pub(super) fn select_all(writer: &mut Writer) {
    let all = SelectionEntry {
        first_seq: 0,
        since_us: 0,
        only: Vec::new(),
        except: Vec::new(),
    };
    writer.begin_selections(vec![all]).unwrap();
}

/// What was selected last is not claimed to be known, and the report says so.
pub(super) fn selection_is_unknown(fs: &SimFs, report: &RepairReport) {
    let store = open(fs, u64::MAX).unwrap();
    let unknown: Vec<bool> = store
        .selections()
        .iter()
        .map(SelectionEntry::is_unknown)
        .collect();
    assert_eq!(unknown, [false, true]);
    let mut notes = report.notes.iter();
    assert!(notes.any(|note| note.contains("taken last")), "{report:?}");
}

/// Refused, with every file as it was.
pub(super) fn is_refused(fs: &SimFs) {
    // Masks are derived, and those of what is not named go.
    let files = || {
        let mut paths = fs.paths();
        paths.retain(|path| !path.starts_with("data/masks"));
        paths
    };
    let before = files();
    for _ in 0..2 {
        let error = open(fs, u64::MAX).err().unwrap().to_string();
        assert!(error.contains("orrery repair"), "{error}");
    }
    assert_eq!(files(), before);
}

pub(super) fn repair(fs: &SimFs, backup: Option<&str>) -> RepairReport {
    let options = RepairOptions {
        backup: backup.map(PathBuf::from),
        ..RepairOptions::default()
    };
    let dry = RepairOptions {
        dry_run: true,
        ..options.clone()
    };
    let before = fs.paths();
    let foreseen = repair_with_fs(&fs.shared(), Path::new("data"), &dry).unwrap();
    assert_eq!(fs.paths(), before);
    let report = repair_with_fs(&fs.shared(), Path::new("data"), &options).unwrap();
    assert_eq!(
        (&foreseen.manifest.is_some(), &foreseen.unnamed),
        (&report.manifest.is_some(), &report.unnamed)
    );
    let is_other = foreseen.manifest.is_some()
        || !(foreseen.adopted.is_empty() && foreseen.unnamed.is_empty());
    assert_eq!(
        (foreseen.is_cut_short, report.is_cut_short),
        (is_other, false)
    );
    assert!(!(is_other && foreseen.is_whole()), "{foreseen:?}");
    if report.manifest.is_none() {
        assert_eq!(foreseen.adopted, report.adopted);
    }
    report
}

/// Opens with the right answers, without losses, and goes on as the directory would have that never was damaged.
pub(super) fn is_whole(fs: &SimFs, place: u64, wanted: &Answers) {
    let store = open(fs, u64::MAX).unwrap();
    assert_eq!(&answers(&store), wanted);
    let status = store.status();
    assert_eq!((status.degraded.len(), status.gaps.len()), (0, 0));
    store.verify().unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = place;
    seal(&mut writer, &mut place, 5);
    drop((writer, store));
    let mut damages = Vec::new();
    verify_with_fs(&fs.shared(), Path::new("data"), false, &mut |damage| {
        damages.push(damage.to_string());
    })
    .unwrap();
    assert_eq!(damages, [""; 0]);
}

#[test]
fn a_merged_segment_is_named_again_when_the_manifest_lost_the_edit_that_names_it() {
    // All segments are merged, or all but one.
    for newer in [0, 1] {
        let fs = SimFs::new();
        let store = open(&fs, u64::MAX).unwrap();
        let mut writer = store.writer().unwrap();
        select_all(&mut writer);
        let mut place = 0;
        for _ in 0..3 + newer {
            seal(&mut writer, &mut place, 10);
        }
        assert!(writer.merge_due().unwrap());
        let before = manifest(&fs);
        writer.tick().unwrap();
        let wanted = answers(&store);
        drop((writer, store));
        let merged = segments(&fs);
        assert_eq!(merged.len(), 1 + newer);

        fs.put(Path::new(MANIFEST), &before);
        if newer == 1 {
            let fs = fs.killed();
            for _ in 0..2 {
                let store = open(&fs, u64::MAX).unwrap();
                assert_eq!(store.status().degraded.len(), 3);
                assert_eq!(segments(&fs), merged);
            }
        }
        let report = repair(&fs, None);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.adopted.len(), 1);
        assert_eq!(segments(&fs), merged);
        selection_is_unknown(&fs, &report);
        is_whole(&fs, place, &wanted);
    }
}

#[test]
fn segments_are_named_again_that_neither_manifest_nor_log_has() {
    // The manifest ends behind each of its edits; what follows the last seal is in the log.
    for tail in [0, 7] {
        for kept in 0..4 {
            let fs = SimFs::new();
            let store = open(&fs, 0).unwrap();
            let mut writer = store.writer().unwrap();
            let mut place = 0;
            let mut before = vec![manifest(&fs)];
            for _ in 0..4 {
                seal(&mut writer, &mut place, 10);
                before.push(manifest(&fs));
            }
            let script = script(&mut SplitMix::new(1));
            for _ in 0..tail {
                place += 1;
                apply(&mut writer, place, script[place as usize - 1]).unwrap();
            }
            writer.commit().unwrap();
            let wanted = answers(&store);
            drop((writer, store));
            let sealed = segments(&fs);
            fs.put(Path::new(MANIFEST), &before[kept]);
            is_refused(&fs);
            let backup = backup_with_fs(&fs.shared(), Path::new("data"), Path::new("to"), false);
            assert!(backup.unwrap_err().to_string().contains("lost its end"));
            let report = repair(&fs, None);
            assert!(report.is_whole(), "{report:?}");
            assert_eq!(report.adopted.len(), 4 - kept);
            assert_eq!(segments(&fs), sealed);
            is_whole(&fs, place, &wanted);
        }
    }
}

#[test]
fn segments_behind_a_missing_one_stay_under_other_names_and_the_repair_says_so() {
    let fs = SimFs::new();
    let store = open(&fs, 0).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    select_all(&mut writer);
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    for _ in 0..3 {
        seal(&mut writer, &mut place, 10);
    }
    drop((writer, store));
    let sealed = segments(&fs);
    let seqs = |path: &Path| parse_segment_name(path.file_name()?.to_str()?);
    let (first_lost, ..) = seqs(&sealed[2]).unwrap();
    let (_, last_lost, _) = seqs(&sealed[3]).unwrap();
    // One is named again, or none.
    for missing in [&sealed[1..2], &sealed[2..3]] {
        let fs = fs.crash(1);
        fs.shared().unlink(&missing[0]).unwrap();
        fs.put(Path::new(MANIFEST), &before);
        is_refused(&fs);
        let report = repair(&fs, None);
        let named = usize::from(missing[0] == sealed[2]);
        assert_eq!(
            (report.adopted.len(), report.unnamed.len()),
            (named, 2 - named)
        );
        assert!(!report.is_whole());
        selection_is_unknown(&fs, &report);
        // What they held is told as lost, and its seqs are not given again.
        let [gap] = &report.gaps[..] else {
            panic!("{report:?}");
        };
        let first_lost = if named == 1 { first_lost } else { 11 };
        assert_eq!((gap.first_seq, gap.last_seq), (first_lost, Some(last_lost)));
        for more in 1..3 {
            let store = open(&fs, 0).unwrap();
            assert_eq!(store.gaps(), report.gaps);
            let mut writer = store.writer().unwrap();
            let mut place = place + more;
            seal(&mut writer, &mut place, 1);
            assert_eq!(store.snapshot().last_seq(), last_lost + more);
        }
    }
    fs.shared().unlink(&sealed[2]).unwrap();
    fs.put(Path::new(MANIFEST), &before);
    let report = repair(&fs, None);
    assert_eq!((report.adopted.len(), report.unnamed.len()), (1, 1));
    for _ in 0..3 {
        drop(open(&fs, 0).unwrap());
        let kept = segments(&fs);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(
            kept[2].display().to_string().ends_with(".damaged"),
            "{kept:?}"
        );
    }
}

#[test]
fn a_damaged_log_does_not_cost_what_an_interrupted_seal_left() {
    let fs = SimFs::new();
    let store = open(&fs, u64::MAX).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    let script = script(&mut SplitMix::new(1));
    for _ in 0..20 {
        place += 1;
        apply(&mut writer, place, script[place as usize - 1]).unwrap();
        writer.commit().unwrap();
    }
    writer.seal().unwrap();
    let wanted = answers(&store);
    drop((writer, store));
    fs.put(Path::new(MANIFEST), &before);
    let logs = fs.paths();
    let mut log = logs
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let log = log.next_back().unwrap();
    let mut bytes = fs.contents(log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.put(log, &bytes);
    is_refused(&fs);
    let report = repair(&fs, None);
    assert_eq!(report.adopted.len(), 1, "{report:?}");
    let store = open(&fs, u64::MAX).unwrap();
    assert_eq!(answers(&store), wanted);
}

#[test]
fn what_the_log_lost_is_told_by_status_repair_and_backup_until_it_is_accepted() {
    let fs = SimFs::new();
    let store = open(&fs, u64::MAX).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let script = script(&mut SplitMix::new(1));
    for _ in 0..20 {
        place += 1;
        apply(&mut writer, place, script[place as usize - 1]).unwrap();
        writer.commit().unwrap();
    }
    drop((writer, store));
    let logs = fs.paths();
    let mut logs = logs
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let log = logs.next_back().unwrap();
    let mut bytes = fs.contents(log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.put(log, &bytes);
    for _ in 0..2 {
        let store = open(&fs, u64::MAX).unwrap();
        assert_eq!((store.gaps().len(), store.status().gaps.len()), (1, 1));
    }
    let (from, to) = (Path::new("data"), Path::new("to"));
    let report = backup_with_fs(&fs.shared(), from, to, false).unwrap();
    assert_eq!(report.incomplete.len(), 1, "{report:?}");
    let mut options = RepairOptions::default();
    for dry_run in [true, false] {
        options.dry_run = dry_run;
        let report = repair_with_fs(&fs.shared(), from, &options).unwrap();
        assert!(!report.is_whole() && report.gaps.len() == 1, "{report:?}");
        assert!(report.logs.iter().all(|log| log.is_lost), "{report:?}");
    }
    options.accept_gaps = true;
    for _ in 0..2 {
        let report = repair_with_fs(&fs.shared(), from, &options).unwrap();
        assert!(report.gaps.is_empty());
    }
    assert_eq!(open(&fs, u64::MAX).unwrap().gaps(), []);
    let report = backup_with_fs(&fs.shared(), from, to, false).unwrap();
    assert_eq!(report.incomplete, [""; 0]);
    let report = repair_with_fs(&fs.shared(), from, &RepairOptions::default()).unwrap();
    assert!(report.is_whole(), "{report:?}");
}

#[test]
fn a_manifest_that_cannot_be_read_is_made_anew_from_an_older_one_or_a_backup() {
    for (how, backup) in [(0, false), (1, true), (2, true), (3, true)] {
        let fs = SimFs::new();
        let store = open(&fs, 0).unwrap();
        let mut writer = store.writer().unwrap();
        select_all(&mut writer);
        let mut place = 0;
        seal(&mut writer, &mut place, 10);
        backup_with_fs(&fs.shared(), Path::new("data"), Path::new("backup"), false).unwrap();
        for _ in 0..4 {
            seal(&mut writer, &mut place, 10);
        }
        if how == 3 {
            while writer.merge_due().unwrap() {
                writer.tick().unwrap();
            }
        }
        let wanted = answers(&store);
        drop((writer, store));
        let mut bytes = manifest(&fs);
        match how {
            0 => fs.put(Path::new("data/MANIFEST-00000009"), &[]),
            1 => fs.shared().unlink(Path::new(MANIFEST)).unwrap(),
            _ => {
                bytes[40] ^= 1;
                fs.put(Path::new(MANIFEST), &bytes);
            }
        }
        assert!(open(&fs, 0).is_err());
        if backup {
            let refused =
                repair_with_fs(&fs.shared(), Path::new("data"), &RepairOptions::default());
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("backup"), "{how}: {error}");
        }
        let report = repair(&fs, backup.then_some("backup"));
        assert!(
            report.is_whole() && report.manifest.is_some(),
            "{how}: {report:?}"
        );
        selection_is_unknown(&fs, &report);
        is_whole(&fs, place, &wanted);
    }
}

#[test]
fn a_sealed_segment_is_removed_when_the_log_has_its_events() {
    let fs = SimFs::new();
    let store = open(&fs, u64::MAX).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    seal(&mut writer, &mut place, 10);
    let wanted = answers(&store);
    drop((writer, store));
    fs.put(Path::new(MANIFEST), &before);
    assert_eq!(answers(&open(&fs, u64::MAX).unwrap()), wanted);
    assert_eq!(segments(&fs).len(), 1);
}

#[test]
fn names_of_segments_are_read_as_they_are_written_and_in_no_other_form() {
    let name = crate::store::segment_name(1, 0x2c, 10);
    assert_eq!(parse_segment_name(&name), Some((1, 0x2c, 10)));
    for name in [
        "",
        ".seg",
        "1-2c-a.seg",
        "0000000000000001-000000000000002c.seg",
        "0000000000000001-000000000000002c-A.seg",
        "0000000000000001-000000000000002c-a.seg.tmp",
        "0000000000000001-000000000000002c-a-b.seg",
    ] {
        assert_eq!(parse_segment_name(name), None, "{name}");
    }
}
