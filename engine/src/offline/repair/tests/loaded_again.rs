//! What was written off, is loaded again, and then comes back: each event counts once.

use super::*;

/// A directory with a segment that is written off and whose events came again since, the first half of them or all, and
/// some more besides; with the path of the segment and what it held. The log has what came since: of what it has from
/// before, it would know that it came before.
fn loaded_again(seed: u64, place: usize, all: bool) -> (SimFs, Vec<Step>, PathBuf, Vec<u8>) {
    let (fs, mut steps) = directory(seed, without_window(), false);
    backup_with_fs(&fs.shared(), Path::new(DIR), Path::new(TO), false).unwrap();
    let path = segments(&fs).remove(place);
    let sound = fs.contents(&path).unwrap();
    damage(&fs, &path, 2);
    write_off(&fs);
    let len = steps.len();
    let store = open(&fs, options()).unwrap();
    let mut writer = store.writer().unwrap();
    let again = if all { 11 } else { 5 };
    for (at, step) in (1..).zip(&steps).skip(11 * place).take(again) {
        apply(&mut writer, at, *step).unwrap();
    }
    let loaded = store.snapshot().last_seq();
    // What no later event of its key stands behind counts as new.
    assert!(loaded > len as u64, "seed {seed}, segment {place}");
    steps.extend(&script(&mut SplitMix::new(seed + 5))[..7]);
    for (at, step) in (1..).zip(&steps).skip(len) {
        apply(&mut writer, at, *step).unwrap();
    }
    writer.close().unwrap();
    drop(store);
    (fs, steps, path, sound)
}

fn seal(fs: &SimFs) {
    let store = open(fs, options()).unwrap();
    let mut writer = store.writer().unwrap();
    writer.seal().unwrap();
    writer.close().unwrap();
}

#[test]
fn what_came_back_after_it_was_loaded_again_counts_once() {
    for seed in 0..seeds(4) {
        for (place, all) in [(5, true), (6, false), (6, true)] {
            for how in ["sound", "backup"] {
                let what = format!("seed {seed}, segment {place}, {how}");
                let (fs, steps, path, sound) = loaded_again(seed, place, all);
                seal(&fs);
                if how == "sound" {
                    fs.put(&path, &sound);
                }
                assert_eq!(open(&fs, options()).unwrap().status().degraded.len(), 1);
                let report = run(&fs, how == "backup").unwrap();
                assert!(report.is_whole(), "{what}: {:?}", report.segments);
                assert_whole(&fs, options(), &steps, &what);
            }
        }
    }
}

#[test]
fn what_was_loaded_again_is_sealed_before_its_segment_comes_back() {
    for how in ["sound", "backup"] {
        let (fs, steps, path, sound) = loaded_again(1, 6, true);
        if how == "sound" {
            fs.put(&path, &sound);
        }
        for _ in 0..2 {
            let store = open(&fs, options()).unwrap();
            assert_eq!(store.status().degraded.len(), 1, "{how}");
            drop(store);
            let report = run(&fs, how == "backup").unwrap();
            assert_eq!(outcomes(&report), [Outcome::Lost], "{how}");
            let tried = report.segments[0].tried.join("; ");
            assert!(tried.contains("count twice"), "{how}: {tried}");
        }
        seal(&fs);
        let report = run(&fs, how == "backup").unwrap();
        assert!(report.is_whole(), "{how}: {report:?}");
        assert_whole(&fs, options(), &steps, how);
    }
}
