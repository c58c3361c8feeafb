use super::*;
use crate::io::fault::SimFs;

fn dir() -> &'static Path {
    Path::new("/data")
}

fn directory() -> Directory {
    Directory {
        id: *b"orrery-directory",
        secret: [7; 32],
    }
}

fn seal(n: u64) -> Edit {
    let segment = SegmentEntry {
        id: n,
        first_seq: n,
        last_seq: n,
        bytes: 1,
        checksum: n,
        first_time_us: 0,
        last_time_us: 0,
        actors_end: 0,
        level: 0,
    };
    Edit {
        add: vec![segment],
        sealed_through: Some(n),
        ..Edit::default()
    }
}

/// An edit that makes the manifest long.
fn long(n: u64) -> Edit {
    let gap = GapEntry {
        first_seq: n,
        last_seq: None,
        file: "x".repeat(200_000),
        offset: 0,
    };
    Edit {
        gaps: vec![gap],
        ..seal(n)
    }
}

fn new_fs() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(dir()).unwrap();
    fs
}

fn open(fs: &SimFs) -> Manifest {
    Manifest::open(fs.shared(), dir()).unwrap().unwrap()
}

#[test]
fn edits_are_there_after_opening_again() {
    let fs = new_fs();
    assert!(Manifest::open(fs.shared(), dir()).unwrap().is_none());
    let mut manifest = Manifest::create(fs.shared(), dir(), directory()).unwrap();
    Manifest::create(fs.shared(), dir(), directory()).unwrap_err();
    for n in 1..=5 {
        manifest.append(&seal(n)).unwrap();
    }
    manifest.append(&seal(2)).unwrap_err();
    manifest.append(&seal(6)).unwrap();
    assert_eq!(open(&fs).state(), manifest.state());
    assert_eq!(manifest.state().segments.len(), 6);
    assert_eq!(
        Manifest::read(&fs, dir()).unwrap().as_ref(),
        Some(manifest.state())
    );
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let fs = new_fs();
    let mut manifest = Manifest::create(fs.shared(), dir(), directory()).unwrap();
    let path = dir().join(name(1));
    let mut ends = vec![fs.contents(&path).unwrap().len()];
    for n in 1..=3 {
        manifest.append(&seal(n)).unwrap();
        ends.push(fs.contents(&path).unwrap().len());
    }
    let whole = fs.contents(&path).unwrap();
    for length in ends[0]..=whole.len() {
        let fs = fs.crash(0);
        fs.put(&path, &whole[..length]);
        let expected = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        let mut manifest = open(&fs);
        assert_eq!(manifest.state().sealed_through, expected, "{length} bytes");
        manifest.append(&seal(expected + 1)).unwrap();
        assert_eq!(open(&fs).state().sealed_through, expected + 1);
    }
    for length in 0..ends[0] {
        fs.put(&path, &whole[..length]);
        let error = Manifest::open(fs.shared(), dir()).unwrap_err();
        assert!(error.to_string().contains("MANIFEST-00000001"), "{error}");
    }
}

#[test]
fn damage_before_a_sound_edit_is_an_error_and_not_a_torn_tail() {
    let fs = new_fs();
    let mut manifest = Manifest::create(fs.shared(), dir(), directory()).unwrap();
    let path = dir().join(name(1));
    let first = fs.contents(&path).unwrap().len();
    for n in 1..=3 {
        manifest.append(&seal(n)).unwrap();
    }
    let mut damaged = fs.contents(&path).unwrap();
    damaged[first + 20] ^= 1;
    fs.put(&path, &damaged);
    assert!(matches!(
        Manifest::open(fs.shared(), dir()),
        Err(Error::Format(_))
    ));
    assert_eq!(
        fs.contents(&path).unwrap(),
        damaged,
        "and nothing is written"
    );
}

#[test]
fn a_long_manifest_is_rewritten_and_the_old_one_removed() {
    let fs = new_fs();
    let mut manifest = Manifest::create(fs.shared(), dir(), directory()).unwrap();
    for n in 1..=30 {
        manifest.append(&long(n)).unwrap();
    }
    let files = fs.list(dir()).unwrap();
    assert_eq!(files.len(), 1);
    assert_ne!(files[0].name, name(1));
    assert_eq!(open(&fs).state(), manifest.state());
}

/// Every call of a run with two rewrites fails once, and is once the last before a power cut.
#[test]
fn whatever_call_is_the_last_each_appended_edit_is_kept() {
    for stops in [true, false] {
        let mut call = 0;
        loop {
            let fs = new_fs();
            let mut manifest = Manifest::create(fs.shared(), dir(), directory()).unwrap();
            let at = fs.calls() + call;
            if stops {
                fs.stop_at(at)
            } else {
                fs.fail_call(at)
            }
            let mut kept = 0;
            for n in 1..=7 {
                if manifest.append(&long(n)).is_err() {
                    assert!(matches!(
                        manifest.append(&seal(99)),
                        Err(Error::Poisoned { .. })
                    ));
                    break;
                }
                kept = n;
            }
            let ends = fs.calls() <= at;
            if !stops {
                fs.fail_call(u64::MAX);
            }
            for seed in 0..6 {
                let found = open(&fs.crash(seed)).state().sealed_through;
                assert!(
                    found == kept || found == kept + 1,
                    "call {call}: {kept} kept, {found} found"
                );
            }
            if !stops {
                let found = open(&fs).state().sealed_through;
                open(&fs).append(&seal(found + 1)).unwrap();
                for seed in 0..6 {
                    assert_eq!(open(&fs.crash(seed)).state().sealed_through, found + 1);
                }
            }
            if ends {
                assert!(call > 15, "{call} calls");
                break;
            }
            call += 1;
        }
    }
}

#[test]
fn a_manifest_of_version_1_is_written_anew_before_anything_is_added() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/testdata/manifest-v1");
    let fs = new_fs();
    let write = |number: u64| {
        let bytes = std::fs::read(&golden).unwrap();
        write_sealed(&fs, dir(), &name(number), &bytes).unwrap();
    };
    write(3);
    let looked = Manifest::read(&fs, dir()).unwrap().unwrap();
    let mut manifest = open(&fs);
    assert_eq!(manifest.state(), &looked);
    assert_eq!(manifest.state().sealed_through, 260);
    assert_eq!(manifest.state().selections, []);
    assert_eq!(newest(&fs, dir()).unwrap(), Some(4));
    let selection = SelectionEntry {
        first_seq: 261,
        since_us: 7,
        only: vec!["a.b.*".to_owned()],
        except: Vec::new(),
    };
    manifest
        .append(&Edit {
            selections: vec![selection.clone()],
            ..Edit::default()
        })
        .unwrap();
    drop(manifest);
    assert_eq!(open(&fs).state().selections, [selection]);
}
