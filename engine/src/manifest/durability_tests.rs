//! Manifests that a process left which ended without a power cut, and the power cut behind them.

use super::*;
use crate::io::fault::{Image, Loss, SimFs};

fn dir() -> &'static Path {
    Path::new("/data")
}

fn create(fs: &SimFs) -> Manifest {
    fs.create_dir_all(dir()).unwrap();
    let directory = Directory {
        id: *b"orrery-directory",
        secret: [7; 32],
    };
    Manifest::create(fs.shared(), dir(), directory).unwrap()
}

fn sealed(through: u64) -> Edit {
    Edit {
        sealed_through: Some(through),
        ..Edit::default()
    }
}

fn through(fs: &SimFs) -> u64 {
    let state = Manifest::read(fs, dir()).unwrap().unwrap();
    state.sealed_through
}

/// A failed sync loses an edit on the disk while the page cache has it, and the next sync reports success.
#[test]
fn an_edit_whose_sync_failed_is_durable_once_it_was_believed() {
    let fs = SimFs::new();
    let mut manifest = create(&fs);
    manifest.append(&sealed(1)).unwrap();
    fs.fail_sync(fs.syncs());
    // Longer than what a disk writes at once, so that no other write brings all of it along.
    let gap = GapEntry {
        first_seq: 2,
        last_seq: None,
        file: "x".repeat(3_000),
        offset: 0,
    };
    let edit = Edit {
        gaps: vec![gap],
        ..sealed(2)
    };
    manifest.append(&edit).unwrap_err();
    drop(manifest);
    let believed = Manifest::open(fs.shared(), dir()).unwrap().unwrap();
    assert_eq!(believed.state().sealed_through, 2);
    for loss in Loss::ALL {
        assert_eq!(through(&fs.image().crash(loss)), 2, "{loss:?}");
    }
}

/// The images of a manifest that is written anew.
fn rewriting() -> Vec<Image> {
    let fs = SimFs::new();
    let mut manifest = create(&fs);
    let before = manifest.number;
    fs.record();
    for n in 1..20 {
        let gap = GapEntry {
            first_seq: n,
            last_seq: None,
            file: "x".repeat(200_000),
            offset: 0,
        };
        let edit = Edit {
            gaps: vec![gap],
            ..sealed(n)
        };
        manifest.append(&edit).unwrap();
        if manifest.number > before {
            return fs.images();
        }
    }
    panic!("the manifest was never written anew");
}

#[test]
fn a_new_manifest_has_a_durable_name_before_the_old_one_goes() {
    let images = rewriting();
    let mut opened = 0;
    for image in images.iter().rev().take(10) {
        let fs = image.resume();
        let known = through(&fs);
        fs.record();
        drop(Manifest::open(fs.shared(), dir()).unwrap());
        let images = fs.images();
        let last = images.len() - 1;
        for (at, image) in images.iter().enumerate() {
            for loss in Loss::ALL {
                let what = format!("image {at} of {last}, {loss:?}");
                let found = through(&image.crash(loss));
                assert!(found + 1 >= known, "{what}: {found} of {known}");
                assert!(at < last || found == known, "{what}: {found} of {known}");
                opened += 1;
            }
        }
    }
    assert!(opened > 100, "{opened}");
}

/// What is left of an edit that never counted does not stay behind those that do.
#[test]
fn after_opening_the_manifest_ends_with_its_last_edit() {
    let fs = SimFs::new();
    let mut manifest = create(&fs);
    manifest.append(&sealed(1)).unwrap();
    let path = manifest.path.clone();
    drop(manifest);
    let whole = fs.contents(&path).unwrap();
    let mut torn = whole.clone();
    torn.resize(whole.len() + 900, 0xaa);
    fs.put(&path, &torn);
    drop(Manifest::open(fs.shared(), dir()).unwrap());
    assert_eq!(fs.contents(&path).unwrap(), whole);
    let left = fs.image().crash(Loss::Everything);
    assert_eq!(left.contents(&path).unwrap(), whole);
}
