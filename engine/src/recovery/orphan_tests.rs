//! Segments that a manifest which lost its end does not name any more are kept where nothing else has their
//! events, and removed where a crash left them.

use std::path::{Path, PathBuf};

use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{answers, apply, script};
use crate::store::parse_segment_name;
use crate::{Options, Store, Writer};

const MANIFEST: &str = "data/MANIFEST-00000001";

fn open(fs: &SimFs, log_bytes_max: u64) -> crate::Result<Store> {
    let options = Options {
        compact: false,
        compact_fan_in: 3,
        log_bytes_max,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new("data"), options)
}

fn segments(fs: &SimFs) -> Vec<PathBuf> {
    let mut paths = fs.paths();
    paths.retain(|path| path.starts_with("data/segments"));
    paths
}

fn manifest(fs: &SimFs) -> Vec<u8> {
    fs.contents(Path::new(MANIFEST)).unwrap()
}

/// Applies so many further steps and seals.
fn seal(writer: &mut Writer, place: &mut u64, steps: u64) {
    let script = script(&mut SplitMix::new(1));
    for _ in 0..steps {
        *place += 1;
        apply(writer, *place, script[*place as usize - 1]).unwrap();
    }
    writer.seal().unwrap();
}

#[test]
fn a_merged_segment_stays_when_the_manifest_lost_the_edit_that_names_it() {
    // All segments are merged, or all but one.
    for newer in [0, 1] {
        let fs = SimFs::new();
        let store = open(&fs, u64::MAX).unwrap();
        let mut writer = store.writer().unwrap();
        let mut place = 0;
        for _ in 0..3 {
            seal(&mut writer, &mut place, 10);
        }
        for _ in 0..newer {
            seal(&mut writer, &mut place, 10);
        }
        assert!(writer.merge_due().unwrap());
        let before = manifest(&fs);
        writer.tick().unwrap();
        let wanted = answers(&store);
        drop((writer, store));
        let (whole, merged) = (manifest(&fs), segments(&fs));
        assert_eq!(merged.len(), 1 + newer);

        fs.put(Path::new(MANIFEST), &before);
        match open(&fs, u64::MAX) {
            Ok(store) => assert_eq!((store.status().degraded.len(), newer), (3, 1)),
            // None of the segments that the manifest names is there.
            Err(_) => assert_eq!(newer, 0),
        }
        assert_eq!(segments(&fs), merged);
        fs.put(Path::new(MANIFEST), &whole);
        assert_eq!(answers(&open(&fs, u64::MAX).unwrap()), wanted);
    }
}

#[test]
fn a_sealed_segment_stays_when_neither_manifest_nor_log_has_its_events() {
    let fs = SimFs::new();
    let store = open(&fs, 0).unwrap();
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    seal(&mut writer, &mut place, 10);
    let before = manifest(&fs);
    seal(&mut writer, &mut place, 10);
    let wanted = answers(&store);
    drop((writer, store));
    let (whole, sealed) = (manifest(&fs), segments(&fs));
    fs.put(Path::new(MANIFEST), &before);
    let store = open(&fs, 0).unwrap();
    assert_eq!(segments(&fs), sealed);
    // A new segment of the same events gets a name of its own.
    let mut writer = store.writer().unwrap();
    place = 10;
    seal(&mut writer, &mut place, 10);
    assert_eq!(segments(&fs).len(), 3);
    drop((writer, store));
    fs.put(Path::new(MANIFEST), &whole);
    assert_eq!(answers(&open(&fs, 0).unwrap()), wanted);
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
