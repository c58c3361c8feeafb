//! Directories whose segments are of a version that this build does not read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use orrery_formats::Error as FormatError;
use orrery_formats::manifest::{VERSION as MANIFEST_VERSION, encode_edit, encode_header};
use orrery_formats::segment::VERSION;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::io::fault::SimFs;
use crate::manifest::Manifest;
use crate::offline::verify::verify_with_fs;
use crate::offline::{RepairOptions, repair_with_fs, replay_segments_with_fs};
use crate::quarantine::tests::{DIR, open, segments, three_segments};
use crate::store::segment_name;
use crate::{Error, Options};

/// The bytes of a sealed file as those of a sound one of that version.
pub(crate) fn of_version(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    bytes[10..12].copy_from_slice(&version.to_le_bytes());
    let trailer = bytes.len() - 24;
    let footer_len = u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().unwrap());
    let checksum_at = trailer + 8;
    let mut hash = Xxh3::new();
    hash.update(&bytes[..32]);
    hash.update(&bytes[bytes.len() - footer_len as usize..checksum_at]);
    bytes[checksum_at..checksum_at + 8].copy_from_slice(&hash.digest().to_le_bytes());
    bytes
}

/// Whether a file is named as one of another version.
fn names(error: &Error, path: &Path) -> bool {
    matches!(error, Error::Format(FormatError::Version { file, .. }) if path.ends_with(file))
}

/// A start is refused by the name of a segment, and changes nothing.
fn refuses_to_start(fs: &SimFs, segment: &Path) {
    let before = contents(fs);
    let error = open(fs).map(drop).unwrap_err();
    assert!(names(&error, segment), "{error}");
    assert!(contents(fs) == before, "a start changed something");
}

fn contents(fs: &SimFs) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs.paths().into_iter();
    paths
        .filter_map(|path| Some((path.clone(), fs.contents(&path).ok()?)))
        .collect()
}

#[test]
fn segments_of_another_version_are_refused_by_name_and_nothing_is_changed_by_starts_or_repairs() {
    for version in [VERSION - 1, VERSION + 1] {
        let (fs, _) = three_segments(1);
        let path = segments(&fs).remove(1);
        let bytes = fs.contents(&path).unwrap();
        assert_eq!(
            of_version(bytes.clone(), VERSION),
            bytes,
            "the checksum is made right"
        );
        fs.put(&path, &of_version(bytes.clone(), version));
        let before = contents(&fs);
        let is_refused = |error: &Error| {
            matches!(error, Error::Format(FormatError::Version { found, .. }) if *found == version)
                && names(error, &path)
        };
        let error = open(&fs).map(drop).unwrap_err();
        assert!(is_refused(&error), "{error}");
        assert_eq!(contents(&fs), before, "a start, version {version}");
        for write_off in [false, true] {
            let options = RepairOptions {
                write_off,
                ..RepairOptions::default()
            };
            let error = repair_with_fs(&fs.shared(), Path::new(DIR), &options).unwrap_err();
            assert!(is_refused(&error), "{error}");
            assert_eq!(contents(&fs), before, "a repair, version {version}");
        }
        let checked = verify_with_fs(&fs.shared(), Path::new(DIR), false, &mut |damage| {
            panic!("{damage} is told, version {version}");
        });
        let error = checked.map(drop).unwrap_err();
        assert!(is_refused(&error), "{error}");
        // The build that reads it goes on.
        fs.put(&path, &bytes);
        open(&fs).unwrap();
    }
}

#[test]
fn segments_of_another_version_are_refused_where_they_are_set_aside_too() {
    let (fs, _) = three_segments(1);
    let path = segments(&fs).remove(1);
    let bytes = fs.contents(&path).unwrap();
    fs.put(&path, &bytes[..100]);
    let degraded = open(&fs).unwrap().status().degraded.len();
    assert_eq!(degraded, 1);
    // As it comes back from an older backup.
    fs.put(&path, &of_version(bytes.clone(), VERSION - 1));
    refuses_to_start(&fs, &path);
    fs.put(&path, &bytes);
    assert!(open(&fs).unwrap().status().degraded.is_empty());
}

#[test]
fn a_replay_of_segments_of_another_version_names_it_and_begins_nothing() {
    let (fs, _) = three_segments(1);
    let path = segments(&fs).remove(1);
    let bytes = fs.contents(&path).unwrap();
    fs.put(&path, &of_version(bytes, VERSION - 1));
    let before = contents(&fs);
    let (from, to) = (Path::new(DIR), Path::new("to"));
    let replayed = replay_segments_with_fs(&fs.shared(), from, to, Options::default());
    let error = replayed.map(drop).unwrap_err();
    assert!(names(&error, &path), "{error}");
    assert!(contents(&fs) == before, "something was written");
}

#[test]
fn a_repair_refuses_segments_of_another_version_that_no_manifest_names_and_changes_nothing() {
    let (fs, _) = three_segments(1);
    let path = segments(&fs).remove(1);
    let bytes = fs.contents(&path).unwrap();
    let unnamed = path.with_file_name(segment_name(1, 1, 99));
    fs.put(&unnamed, &of_version(bytes, VERSION - 1));
    let before = contents(&fs);
    let error = repair_with_fs(&fs.shared(), Path::new(DIR), &RepairOptions::default());
    let error = error.map(drop).unwrap_err();
    assert!(names(&error, &unnamed), "{error}");
    assert!(contents(&fs) == before, "a repair changed something");
}

/// Writes the manifest as version 1 did, where nothing was selected: its edits end before the list of selections.
fn make_manifest_of_version_1(fs: &SimFs) {
    let dir = Path::new(DIR);
    let look = Manifest::look(fs, dir).unwrap().unwrap();
    assert_eq!(look.state.selections, []);
    let mut bytes = encode_header(look.number);
    bytes[8..10].copy_from_slice(&1_u16.to_le_bytes());
    let sum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    let start = bytes.len();
    let mut edit = bytes.clone();
    encode_edit(&look.state.as_first(), look.number, start as u64, &mut edit).unwrap();
    let len = u32::from_le_bytes(edit[start..start + 4].try_into().unwrap()) - 8;
    let body = &edit[start + 16..][..len as usize];
    let sum = xxh3_64_with_seed(body, look.number.rotate_left(32) ^ start as u64);
    bytes.extend_from_slice(&u64::from(len).to_le_bytes());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    fs.put(&dir.join(&look.name), &bytes);
}

#[test]
fn a_manifest_of_an_older_version_is_not_written_anew_where_a_segment_is_refused() {
    let (fs, _) = three_segments(1);
    make_manifest_of_version_1(&fs);
    let path = segments(&fs).remove(1);
    let bytes = fs.contents(&path).unwrap();
    fs.put(&path, &of_version(bytes.clone(), VERSION + 1));
    refuses_to_start(&fs, &path);
    fs.put(&path, &bytes);
    open(&fs).unwrap();
    let look = Manifest::look(&fs, Path::new(DIR)).unwrap().unwrap();
    assert_eq!(look.version, MANIFEST_VERSION);
}
