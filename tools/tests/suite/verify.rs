//! `orrery verify` finds every changed byte, and names file and section. 100 random changes by default;
//! `ORRERY_CHANGES=1000` for more.

use std::path::{Path, PathBuf};

use crate::common::directory::{Random, apply, copy, files, options};
use crate::common::{orrery, synthetic, text};
use orrery_engine::offline::verify::{Damage, Report, verify};
use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::{FileKind, HEADER_BYTES};
use orrery_formats::frame::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES};
use orrery_formats::{manifest, segment};
use serde_json::Value;

fn check(data: &Path, quick: bool) -> (Vec<Damage>, Report) {
    let mut damages = Vec::new();
    let report = verify(data, quick, &mut |damage| damages.push(damage.clone())).unwrap();
    assert_eq!(report.damages, damages.len() as u64);
    (damages, report)
}

/// A directory of several segments, closed log files with their indexes, and an unsealed tail.
fn directory(data: &Path) {
    let lines = synthetic(11, 6_000);
    apply(data, &lines, options(1_700));
}

/// The names that a change at `offset` of `file` may be told under.
fn sections_at(data: &Path, file: &Path, offset: u64) -> Vec<&'static str> {
    let bytes = std::fs::read(data.join(file)).unwrap();
    let name = file.to_str().unwrap();
    let sealed = |kind, name_of: &dyn Fn(u16) -> &'static str| {
        let file = SealedFile::open(String::new(), bytes.clone(), kind, 0..=u16::MAX).unwrap();
        if offset < HEADER_BYTES as u64 {
            return vec!["header"];
        }
        let ranges: Vec<_> = file
            .sections()
            .map(|(id, _)| (id, file.section_range(id).unwrap()))
            .collect();
        if let Some((id, _)) = ranges.iter().find(|(_, range)| range.contains(&offset)) {
            return vec![name_of(*id)];
        }
        let end = ranges.iter().map(|(_, range)| range.end).max().unwrap();
        if offset < end.next_multiple_of(8) {
            vec!["padding"]
        } else {
            vec!["trailer", "footer"]
        }
    };
    if name.ends_with(".seg") {
        sealed(FileKind::Segment, &segment::section_name)
    } else if name.ends_with(".keys") {
        let names = ["", "header", "directory", "entries", "frames", "far revs"];
        sealed(FileKind::KeyIndex, &|id| names[usize::from(id)])
    } else if name.starts_with("masks") {
        let names = ["", "header", "directory", "bits", "lists"];
        sealed(FileKind::Mask, &|id| names[usize::from(id)])
    } else if name.ends_with(".log") {
        let mut at = FILE_HEADER_BYTES;
        if offset < at as u64 {
            return vec!["log file header"];
        }
        loop {
            let number = |from: usize, len: usize| {
                let bytes = bytes[at + from..at + from + len].iter().rev();
                bytes.fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
            };
            let payload = at + FRAME_HEADER_BYTES + number(44, 2);
            let end = payload + number(36, 4);
            let next = end.next_multiple_of(8);
            if offset < payload as u64 {
                return vec!["frame header", "frame"];
            } else if offset < end as u64 {
                return vec!["frame payload"];
            } else if offset < next as u64 {
                return vec!["padding"];
            }
            at = next;
        }
    } else {
        assert!(name.starts_with("MANIFEST"), "{name}");
        if offset < manifest::FILE_HEADER_BYTES as u64 {
            vec!["manifest header"]
        } else {
            vec!["manifest edit"]
        }
    }
}

#[test]
fn every_random_change_of_a_byte_is_found_and_placed() {
    let changes: u64 = std::env::var("ORRERY_CHANGES").map_or(100, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data);
    let (damages, report) = check(&data, false);
    assert_eq!(damages, []);
    assert_eq!(report.notes, [""; 0]);

    let files: Vec<PathBuf> = files(&data)
        .into_iter()
        .filter(|file| std::fs::metadata(data.join(file)).unwrap().len() > 0)
        .collect();
    for kind in ["MANIFEST", ".seg", ".log", ".keys", ".mask"] {
        let is_there = files
            .iter()
            .any(|file| file.to_str().unwrap().contains(kind));
        assert!(is_there, "no {kind} among {files:?}");
    }
    let mut random = Random(2026);
    for change in 0..changes {
        let file = &files[random.below(files.len() as u64) as usize];
        let path = data.join(file);
        let sound = std::fs::read(&path).unwrap();
        let offset = random.below(sound.len() as u64);
        let wanted = sections_at(&data, file, offset);
        let mut changed = sound.clone();
        changed[offset as usize] ^= 1 + random.below(255) as u8;
        std::fs::write(&path, &changed).unwrap();
        let (damages, _) = check(&data, random.below(2) == 0);
        std::fs::write(&path, &sound).unwrap();
        let is_found = damages.iter().any(|damage| {
            Path::new(&damage.file) == file && wanted.contains(&damage.section.as_str())
        });
        let what = format!(
            "change {change}, byte {offset} of {}, {wanted:?}",
            file.display()
        );
        assert!(is_found, "{what}: {damages:#?}");
        for damage in &damages {
            assert_eq!(Path::new(&damage.file), file, "{what}: {damages:#?}");
        }
    }
    assert_eq!(check(&data, false).0, []);
}

#[test]
fn missing_cut_and_foreign_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    directory(&sound);
    let of = |suffix: &str| -> Vec<PathBuf> {
        let mut files = files(&sound);
        files.retain(|file| file.to_str().unwrap().ends_with(suffix));
        files
    };
    let (segments, logs, keys) = (of(".seg"), of(".log"), of(".keys"));
    assert!(segments.len() >= 3 && logs.len() >= 4 && keys.len() >= 3);

    type Harm<'a> = (&'a str, &'a Path, Box<dyn Fn(&Path) + 'a>);
    let cut = |file: &Path| {
        let len = std::fs::metadata(file).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(len - 9).unwrap();
    };
    let grow = |file: &Path| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(&[0; 8]).unwrap();
    };
    let remove = |file: &Path| std::fs::remove_file(file).unwrap();
    let last_log = logs.last().unwrap();
    let harms: Vec<Harm<'_>> = vec![
        ("a missing segment", &segments[1], Box::new(remove)),
        ("a cut segment", &segments[1], Box::new(cut)),
        (
            "an empty segment",
            &segments[0],
            Box::new(|file| std::fs::write(file, "").unwrap()),
        ),
        (
            "another segment's bytes",
            &segments[0],
            Box::new(|file| {
                std::fs::copy(sound.join(&segments[1]), file).unwrap();
            }),
        ),
        ("a cut closed log", &logs[1], Box::new(cut)),
        ("a cut log", last_log, Box::new(cut)),
        ("a grown log", last_log, Box::new(grow)),
        ("a cut index", &keys[0], Box::new(cut)),
        (
            "another log's index",
            &keys[0],
            Box::new(|file| {
                std::fs::copy(sound.join(&keys[1]), file).unwrap();
            }),
        ),
        (
            "a grown manifest",
            Path::new("MANIFEST-00000001"),
            Box::new(grow),
        ),
    ];
    for (what, file, harm) in harms {
        let data = dir.path().join("harmed");
        copy(&sound, &data);
        harm(&data.join(file));
        let (damages, _) = check(&data, false);
        let told = damages.iter().any(|damage| Path::new(&damage.file) == file);
        assert!(told, "{what}: {damages:#?}");
        std::fs::remove_dir_all(&data).unwrap();
    }

    let data = dir.path().join("harmed");
    copy(&sound, &data);
    std::fs::remove_file(data.join(&logs[1])).unwrap();
    let (damages, _) = check(&data, false);
    assert_eq!(damages.len(), 1, "{damages:#?}");
    assert_eq!(Path::new(&damages[0].file), logs[2], "a hole before it");

    // What is derived, or named by nothing, is no damage.
    std::fs::remove_dir_all(&data).unwrap();
    copy(&sound, &data);
    std::fs::remove_file(data.join(&keys[0])).unwrap();
    std::fs::write(data.join("segments/0000.seg.tmp"), "x").unwrap();
    let (damages, report) = check(&data, false);
    assert_eq!(damages, []);
    assert_eq!(report.notes.len(), 1, "{report:?}");
}

#[test]
fn the_command_prints_a_line_for_each_damage_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    directory(&data);
    let run = |arguments: &[&str]| {
        let output = orrery()
            .args(["verify", "--data"])
            .arg(&data)
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, out, _) = run(&[]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("no damage in "), "{out}");

    let segments: Vec<PathBuf> = files(&data)
        .into_iter()
        .filter(|file| file.to_str().unwrap().ends_with(".seg"))
        .collect();
    for file in &segments[..2] {
        let mut bytes = std::fs::read(data.join(file)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(data.join(file), bytes).unwrap();
    }
    let (code, out, err) = run(&[]);
    assert_eq!(code, Some(1), "{out}{err}");
    for (line, file) in out.lines().zip(&segments) {
        assert!(line.starts_with(file.to_str().unwrap()), "{line}");
        assert!(
            line.contains(": section ") && line.contains("offset"),
            "{line}"
        );
    }
    assert_eq!(out.lines().count(), 2, "{out}");
    let (code, out, _) = run(&["--json", "--quick"]);
    assert_eq!(code, Some(1));
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["file"], segments[0].to_str().unwrap());
    assert!(lines[0]["offset"].as_u64().unwrap() > 0);
    assert_eq!(lines[2]["damages"], 2);

    let output = orrery()
        .args(["verify", "--data"])
        .arg(dir.path().join("nowhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere"));
}
