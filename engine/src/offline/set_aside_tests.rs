//! Directories with segments that are set aside or gone, looked at from outside.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Directory, Span, backup_with_fs, replay_segments_with_fs};
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::{Error, Options, Store};

const DATA: &str = "data";

fn options() -> Options {
    Options {
        compact: false,
        ..Options::default()
    }
}

fn open(fs: &SimFs) -> Store {
    Store::open_with_fs(fs.shared(), Path::new(DATA), options()).unwrap()
}

/// One step and a segment each.
fn seal(fs: &SimFs, places: RangeInclusive<u64>, step: impl Fn(u64) -> Step) {
    let mut writer = open(fs).writer().unwrap();
    for place in places {
        apply(&mut writer, place, step(place)).unwrap();
        writer.seal().unwrap();
    }
    writer.close().unwrap();
}

const fn write(key: u64) -> Step {
    Step::Write {
        actor: 0,
        key,
        target: 2,
    }
}

fn segments(fs: &SimFs) -> Vec<std::path::PathBuf> {
    let dir = Path::new(DATA).join("segments");
    let entries = fs.list(&dir).unwrap();
    entries.iter().map(|entry| dir.join(&entry.name)).collect()
}

/// Of the segments of three writes and of a delete of the first one, that of `place` was cut, and something was
/// sealed without it; then its file came back.
fn back_too_late(place: usize) -> SimFs {
    let fs = SimFs::new();
    seal(&fs, 1..=3, write);
    seal(&fs, 4..=4, |_| Step::Delete { actor: 0, key: 1 });
    let path = segments(&fs).remove(place);
    let sound = fs.contents(&path).unwrap();
    fs.put(&path, &sound[..100]);
    seal(&fs, 5..=5, |_| Step::Delete { actor: 0, key: 2 });
    fs.put(&path, &sound);
    assert_eq!(open(&fs).status().degraded.len(), 1, "it stays set aside");
    fs
}

#[test]
fn a_replay_of_segments_is_refused_while_one_is_set_aside() {
    let fs = back_too_late(1);
    let (from, to) = (Path::new(DATA), Path::new("new"));
    let replayed = replay_segments_with_fs(&fs.shared(), from, to, options());
    let Err(error @ Error::Inconsistent { .. }) = replayed else {
        panic!("{replayed:?}");
    };
    let text = error.to_string();
    let file = segments(&fs).remove(1);
    let file = file.file_name().unwrap().to_str().unwrap();
    assert!(
        text.contains(file) && text.contains("run `orrery repair` first"),
        "{text}"
    );
    let made = fs.paths();
    assert!(
        made.iter().all(|path| path.starts_with(DATA)),
        "nothing was made: {made:?}"
    );
}

#[test]
fn what_a_segment_says_that_is_set_aside_is_passed_over_though_it_can_be_read() {
    let rows = |fs: &SimFs| {
        let directory = Directory::open_with_fs(fs.shared(), DATA).unwrap();
        let mut rows = Vec::new();
        directory
            .each_link::<Error>(&Span::ALL, &mut |link| {
                rows.push((link.seq, link.dead));
                Ok(())
            })
            .unwrap();
        let top = directory.top_targets(1).unwrap();
        assert_eq!(top[0].links, rows.len() as u64);
        rows
    };
    // The one of the second write: its row was never seen to be deleted.
    assert_eq!(rows(&back_too_late(1)), [(1, true), (3, false)]);
    // The one of the delete: answers go on without its kill.
    let rows = rows(&back_too_late(3));
    assert_eq!(rows, [(1, false), (2, true), (3, false)]);
}

#[test]
fn a_backup_of_a_directory_that_misses_many_segments_names_them() {
    let fs = SimFs::new();
    seal(&fs, 1..=13, write);
    for path in &segments(&fs)[1..12] {
        fs.unlink(path).unwrap();
    }
    let (from, to) = (Path::new(DATA), Path::new("backup"));
    let report = backup_with_fs(&fs.shared(), from, to, false).unwrap();
    assert_eq!(report.incomplete.len(), 11);
    assert_eq!(report.last_seq, 13);
}
