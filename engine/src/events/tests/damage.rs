//! Damage in the log: what is lost is told, and all else is read.

use orrery_formats::frame::FILE_HEADER_BYTES;

use super::{Owned, Stood, Undone, log_files, open, owned, read_all};
use crate::events::Progress;
use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::log::{FrameBuffer, LogReader};
use crate::power_cut_tests::{Step, apply};

/// Eighteen events in three files, of three frames with two events each; the first two files are sealed.
fn written(fs: &SimFs) -> Vec<Owned> {
    let store = open(fs);
    let mut writer = store.writer().unwrap();
    for place in 1..=18 {
        let (actor, key, target) = (0, place, place % 3);
        apply(
            &mut writer,
            place,
            Step::Write {
                actor,
                key: key % 5,
                target,
            },
        )
        .unwrap();
        if place % 2 == 0 {
            writer.commit().unwrap();
        }
        if place == 6 || place == 12 {
            writer.seal().unwrap();
        }
    }
    read_all(&mut store.events_from(1), &mut SplitMix::new(1))
}

/// The offsets of the frames of a log file.
fn frames(fs: &SimFs, path: &std::path::Path) -> Vec<usize> {
    let id = LogReader::directory_of(fs, path).unwrap().unwrap();
    let mut reader = LogReader::open(fs, path, id).unwrap();
    let mut buffer = FrameBuffer::new();
    let next = || reader.next_frame(&mut buffer).unwrap();
    std::iter::from_fn(next)
        .map(|offset| offset as usize)
        .collect()
}

/// Everything from `seq` on, and what was told of what is missing.
fn read_through(store: &crate::Store, seq: u64) -> (Vec<Owned>, Vec<Progress>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let mut reader = store.events_from(seq);
    loop {
        let progress = reader.read(1, &mut |accepted| found.push(owned(&accepted)));
        match progress.unwrap() {
            Progress::Read => {}
            Progress::CaughtUp => return (found, missing),
            progress => {
                missing.push(progress);
                if let Progress::Trimmed { first_kept } = progress {
                    reader.skip_to(first_kept);
                }
            }
        }
    }
}

fn lost(first_seq: u64, last_seq: u64) -> Progress {
    Progress::Lost {
        first_seq,
        last_seq,
    }
}

#[test]
fn a_damaged_frame_costs_its_own_events_wherever_it_stands_and_they_are_told() {
    let sound = SimFs::new();
    let all = written(&sound);
    assert_eq!(all.len(), 18);
    for (file, path) in (0..).zip(log_files(&sound)) {
        let frames = frames(&sound, &path);
        assert_eq!((frames.len(), frames[0]), (3, FILE_HEADER_BYTES));
        for (frame, offset) in (0..).zip(frames) {
            if (file, frame) == (2, 2) {
                // The last frame of all is a torn tail.
                continue;
            }
            // In the marker, in the head, and in the payload.
            for at in [0, 20, 60] {
                let fs = sound.killed();
                let mut bytes = fs.contents(&path).unwrap();
                bytes[offset + at] ^= 4;
                fs.put(&path, &bytes);
                let store = open(&fs);
                let first = file * 6 + frame * 2 + 1;
                let is_lost = |seq: u64| (first..first + 2).contains(&seq);
                let mut expected = all.clone();
                expected.retain(|(seq, ..)| !is_lost(*seq));
                let (found, missing) = read_through(&store, 1);
                assert_eq!(found, expected, "file {file}, frame {frame}, byte {at}");
                assert_eq!(missing, [lost(first, first + 1)]);
                // From within what is lost.
                let (found, missing) = read_through(&store, first + 1);
                let is_behind = |(seq, ..): &&Owned| *seq > first + 1;
                let behind: Vec<Owned> = all.iter().filter(is_behind).cloned().collect();
                assert_eq!(found, behind);
                assert_eq!(missing, [lost(first + 1, first + 1)]);
            }
        }
    }
}

#[test]
fn a_file_that_is_gone_is_lost_in_the_middle_and_trimmed_at_the_begin() {
    let sound = SimFs::new();
    let all = written(&sound);
    let paths = log_files(&sound);
    let fs = sound.killed();
    fs.unlink(&paths[1]).unwrap();
    let store = open(&fs);
    let (found, missing) = read_through(&store, 1);
    assert_eq!(missing, [lost(7, 12)]);
    assert_eq!(found, [&all[..6], &all[12..]].concat());

    let fs = sound.killed();
    fs.unlink(&paths[0]).unwrap();
    let store = open(&fs);
    assert_eq!(store.log_floor(), 7);
    let (found, missing) = read_through(&store, 3);
    assert_eq!(missing, [Progress::Trimmed { first_kept: 7 }]);
    assert_eq!(found, all[6..]);
    drop(store);

    for path in &paths[..2] {
        let _ = fs.unlink(path);
    }
    fs.unlink(&paths[2]).unwrap();
    let store = open(&fs);
    let next = store.next_seq();
    let mut reader = store.events_from(3);
    let progress = reader
        .read(9, &mut |_| panic!("there is no event"))
        .unwrap();
    assert_eq!(progress, Progress::Trimmed { first_kept: next });
    assert_eq!(reader.next_seq(), 3);
}

/// Its length was told while a frame was written, which is whole by the time it is asked for.
#[test]
fn a_reader_that_opened_a_file_within_a_frame_reads_the_frame_once_it_is_whole() {
    let sound = SimFs::new();
    let all = written(&sound);
    let path = log_files(&sound).pop().unwrap();
    let offsets = frames(&sound, &path);
    let bytes = sound.contents(&path).unwrap();
    // The frames of the last file have seqs 13 and 14, 15 and 16, 17 and 18.
    for (frame, damaged) in [(1, None), (2, None), (1, Some(1)), (1, Some(2))] {
        let start = offsets[frame];
        let end = offsets.get(frame + 1).copied().unwrap_or(bytes.len());
        let mut bytes = bytes.clone();
        let mut lost_ones = Vec::new();
        if let Some(damaged) = damaged {
            bytes[offsets[damaged] + 60] ^= 4;
            lost_ones.push(lost(13 + damaged as u64 * 2, 14 + damaged as u64 * 2));
        }
        for cut in start..end {
            let what = format!("frame {frame} to byte {}, {damaged:?}", cut - start);
            let fs = sound.killed();
            let store = open(&fs);
            fs.put(&path, &bytes[..cut]);
            let mut reader = store.events_from(13);
            let mut found = Vec::new();
            let mut missing = Vec::new();
            let progress = reader
                .read(frame * 2, &mut |accepted| found.push(owned(&accepted)))
                .unwrap();
            assert_eq!(progress, Progress::Read, "{what}");
            let file = fs.open_rw(&path).unwrap();
            file.write_at(cut as u64, &bytes[cut..]).unwrap();
            loop {
                match reader.read(9, &mut |accepted| found.push(owned(&accepted))) {
                    Ok(Progress::CaughtUp) => break,
                    Ok(progress) => missing.push(progress),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
            assert_eq!(missing, lost_ones, "{what}");
            let mut expected = all[12..].to_vec();
            let is_lost = |seq: u64| damaged.is_some_and(|frame| (seq as usize - 13) / 2 == frame);
            expected.retain(|(seq, ..)| !is_lost(*seq));
            assert_eq!(found, expected, "{what}");
        }
    }
}

/// Files that are trimmed while a reader stands in them.
#[test]
fn a_reader_in_a_file_that_is_trimmed_reads_it_to_its_end() {
    let fs = SimFs::new();
    let all = written(&fs);
    let store = open(&fs);
    let mut reader = store.events_from(1);
    let mut found = Vec::new();
    reader
        .read(1, &mut |accepted| found.push(owned(&accepted)))
        .unwrap();
    for path in &log_files(&fs)[..2] {
        fs.unlink(path).unwrap();
    }
    let progress = reader
        .read(99, &mut |accepted| found.push(owned(&accepted)))
        .unwrap();
    assert_eq!(found, all[..6]);
    assert_eq!(progress, Progress::Trimmed { first_kept: 13 });
    reader.skip_to(13);
    let mut random = SplitMix::new(1);
    assert_eq!(read_all(&mut reader, &mut random), all[12..]);
}

#[test]
fn an_error_of_the_disk_is_told_and_the_same_events_can_be_asked_for_again() {
    let fs = SimFs::new();
    let all = written(&fs);
    let store = open(&fs);
    let mut reader = store.events_from(1);
    let mut random = SplitMix::new(1);
    for call in 0..4 {
        fs.fail_call(fs.calls() + call);
        let mut found = Vec::new();
        while let Ok(Progress::Read) = reader.read(1, &mut |accepted| found.push(owned(&accepted)))
        {
        }
        let next = reader.next_seq();
        assert_eq!(found, all[..next as usize - 1], "call {call}");
        found.extend(read_all(&mut reader, &mut random));
        assert_eq!(found, all, "call {call}");
        reader.skip_to(1);
    }
}

#[test]
fn what_stood_before_is_unknown_where_a_did_of_it_is_lost_and_the_event_is_applied() {
    let fs = SimFs::new();
    let write = |actor, key| Step::Write {
        actor,
        key,
        target: 0,
    };
    let mut writer = open(&fs).writer().unwrap();
    apply(&mut writer, 1, write(0, 1)).unwrap();
    writer.seal().unwrap();
    for key in 2..5 {
        apply(&mut writer, key, write(1, key)).unwrap();
    }
    writer.seal().unwrap();
    writer.close().unwrap();
    let is_segment = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "seg");
    let mut segments = fs.paths();
    segments.retain(is_segment);
    segments.sort();
    // The oldest, which alone has the DID that all link to.
    let sound = fs.contents(&segments[0]).unwrap();
    fs.put(&segments[0], &sound[..100]);
    let store = open(&fs);
    assert_eq!(store.status().degraded.len(), 1);
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 5, Step::Delete { actor: 1, key: 2 }).unwrap();
    let suspend = Step::Account {
        actor: 1,
        status: Some("suspended"),
    };
    apply(&mut writer, 6, suspend).unwrap();
    let found = read_all(&mut store.events_from(5), &mut SplitMix::new(1));
    let effects: Vec<Undone> = found.into_iter().map(|(.., undone)| undone).collect();
    let by_seq = Undone::Account {
        rows: Vec::new(),
        seqs: vec![3, 4],
        // The segment may have some too.
        is_cut: true,
    };
    assert_eq!(effects, [unknown(false), by_seq]);
    apply(&mut writer, 7, Step::Delete { actor: 1, key: 3 }).unwrap();
    let found = read_all(&mut store.events_from(7), &mut SplitMix::new(1));
    assert_eq!(
        found[0].2,
        unknown(true),
        "the account is hidden all the same"
    );
}

fn unknown(hidden: bool) -> Undone {
    Undone::Commit {
        hidden,
        before: Stood::Unknown,
    }
}

/// What the events from `first` on undid, of steps that are applied from there.
fn undone_by(store: &crate::Store, first: u64, steps: &[Step]) -> Vec<Undone> {
    let mut writer = store.writer().unwrap();
    for (place, step) in (first..).zip(steps) {
        apply(&mut writer, place, *step).unwrap();
    }
    let found = read_all(&mut store.events_from(first), &mut SplitMix::new(1));
    writer.close().unwrap();
    found.into_iter().map(|(.., undone)| undone).collect()
}

#[test]
fn what_a_segment_that_is_set_aside_may_have_is_not_told_to_be_nothing() {
    let fs = SimFs::new();
    let write = |actor, key| Step::Write {
        actor,
        key,
        target: 0,
    };
    let account = |status| Step::Account { actor: 1, status };
    let mut writer = open(&fs).writer().unwrap();
    // The accounts stand in the first segment, and in the second, which is damaged, only rows.
    for (place, (actor, key)) in (1..).zip([(0, 1), (1, 1), (0, 2), (1, 2), (1, 3)]) {
        apply(&mut writer, place, write(actor, key)).unwrap();
        if place == 2 || place == 5 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    let steps = [
        write(0, 2),
        write(0, 1),
        Step::Delete { actor: 1, key: 3 },
        write(2, 1),
        account(None),
        account(Some("suspended")),
        write(1, 4),
        account(None),
        account(Some("deleted")),
    ];
    let at = |key: u64| {
        let links = vec![(".subject".to_owned(), crate::power_cut_tests::target(0))];
        let (collection, rkey) = (
            crate::power_cut_tests::LIKE,
            crate::power_cut_tests::rkey(key),
        );
        (collection.to_owned(), rkey, links)
    };
    let commit = |before| Undone::Commit {
        hidden: false,
        before,
    };
    let rows = |keys: &[u64], is_cut| Undone::Account {
        rows: keys.iter().map(|key| at(*key)).collect(),
        seqs: Vec::new(),
        is_cut,
    };

    let sound = undone_by(&open(&fs.killed()), 6, &steps);
    let expected = [
        commit(Stood::Same),
        commit(Stood::Same),
        commit(Stood::Links(at(3).2)),
        commit(Stood::Nothing),
        rows(&[], false),
        rows(&[1, 2], false),
        Undone::Commit {
            hidden: true,
            before: Stood::Nothing,
        },
        rows(&[1, 2, 4], false),
        rows(&[1, 2, 4], false),
    ];
    assert_eq!(sound, expected);

    let mut segments = fs.paths();
    segments.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.sort();
    let whole = fs.contents(&segments[1]).unwrap();
    // All of the file is lost, or a query met damage among its rows.
    for gives_accounts in [false, true] {
        let fs = fs.killed();
        if !gives_accounts {
            fs.put(&segments[1], &whole[..100]);
        }
        let store = open(&fs);
        if gives_accounts {
            let name = segments[1].file_name().unwrap().to_str().unwrap();
            let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
            store.shared.report_damage(&error.in_file(name).into());
        }
        let found = undone_by(&store, 6, &steps);
        let [degraded] = &store.status().degraded[..] else {
            panic!("{:?}", store.status().degraded);
        };
        assert_eq!(degraded.has_accounts, gives_accounts);
        let expected = [
            unknown(false),
            commit(Stood::Same),
            unknown(false),
            // An account that is not among those that the segment still gives is new.
            if gives_accounts {
                commit(Stood::Nothing)
            } else {
                unknown(false)
            },
            // The segment may have told that it was hidden.
            rows(&[], !gives_accounts),
            rows(&[1], true),
            unknown(true),
            rows(&[1, 4], true),
            rows(&[1, 4], true),
        ];
        assert_eq!(found, expected, "{gives_accounts}");
    }
}

#[test]
fn a_reader_that_goes_back_or_forward_among_files_reads_what_is_there() {
    let fs = SimFs::new();
    let all = written(&fs);
    let store = open(&fs);
    let mut random = SplitMix::new(1);
    let mut reader = store.events_from(1);
    for (read, to) in [(5, 2), (9, 1), (1, 10), (4, 12), (2, 11), (3, 18), (1, 3)] {
        let progress = reader.read(read, &mut |_| {}).unwrap();
        assert_eq!(progress, Progress::Read);
        reader.skip_to(to);
    }
    assert_eq!(read_all(&mut reader, &mut random), all[2..]);
}
