use super::*;
use crate::error::{Error, Result};
use crate::io::Fs;
use crate::io::fault::{SimFs, SplitMix};
use crate::log::keys::{Kept, KeyHasher, KeyWindow, KeyWrite, Meaning, Within};
use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use orrery_formats::keys::fingerprint;
use std::path::Path;

const DIRECTORY: [u8; 16] = *b"orrery-directory";

fn dir() -> &'static Path {
    Path::new("/data/log")
}

fn all() -> Kept {
    Kept {
        complete: true,
        ..Kept::default()
    }
}

fn options() -> LogOptions {
    LogOptions::default()
}

fn cursor(value: u64) -> SourceCursor {
    SourceCursor {
        kind: 1,
        endpoint: "wss://a".to_owned(),
        value,
    }
}

/// Event number `n`, the same for ever: what was written under a seq can be told from the seq.
fn append(writer: &mut LogWriter, n: u64) -> Result<Appended> {
    let rkey = format!("key{n}");
    let mut random = SplitMix::new(n);
    let body: Vec<u8> = (0..random.below(400))
        .map(|_| random.next_u64() as u8)
        .collect();
    writer.append(&event(n, &rkey, &body))
}

fn event<'a>(n: u64, rkey: &'a str, body: &'a [u8]) -> Event<'a> {
    let record = Record {
        cid: "",
        encoding: Encoding::Json,
        body,
    };
    let operation = Operation::Create(record);
    let body = Body::Commit {
        rev: n * 10,
        collection: "a.b.c",
        rkey,
        operation,
    };
    Event {
        time_us: 1_000_000 + n,
        did: "did:web:a",
        body,
    }
}

fn is_event(n: u64, event: &Event<'_>) -> bool {
    let key = format!("key{n}");
    event.time_us == 1_000_000 + n
        && matches!(event.body, Body::Commit { rev, rkey, .. } if rev == n * 10 && rkey == key)
}

fn writer(fs: &SimFs, next_seq: u64) -> LogWriter {
    LogWriter::new(fs.shared(), dir(), DIRECTORY, next_seq, options()).unwrap()
}

/// Replays and checks that seqs come one by one from `from + 1`, each with the event it was given for.
fn replay(fs: &SimFs, from: u64) -> Result<(u64, Recovery)> {
    let mut last = from;
    let found = recover(fs, dir(), DIRECTORY, from, &mut |replayed| {
        assert_eq!(replayed.seq, last + 1, "no hole, none twice");
        assert!(
            is_event(replayed.seq, &replayed.event),
            "seq {}",
            replayed.seq
        );
        last = replayed.seq;
        Ok(())
    })?;
    assert_eq!(found.next_seq, last + 1);
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
    if last > from {
        assert_eq!(
            found.cursor,
            Some(cursor(last)),
            "the cursor stands behind the last event"
        );
    }
    Ok((last, found))
}

fn new_fs() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(dir()).unwrap();
    fs
}

/// Three frames in one closed file, and two in a last one.
fn two_files(fs: &SimFs) -> Vec<LogFile> {
    let mut writer = writer(fs, 1);
    let mut files = Vec::new();
    for n in 1..=20 {
        append(&mut writer, n).unwrap();
        if n % 4 == 0 {
            writer.commit(Some(&cursor(n))).unwrap();
        }
        if n == 12 || n == 20 {
            files.extend(writer.rotate(None).unwrap());
        }
    }
    files
}

#[test]
fn what_was_committed_is_replayed_from_any_seq() {
    let fs = new_fs();
    let files = two_files(&fs);
    for from in 0..=20 {
        let (last, found) = replay(&fs, from).unwrap();
        assert_eq!(last, 20);
        assert_eq!(found.files, files);
    }
    assert_eq!(
        replay(&fs, 30).unwrap().1.next_seq,
        31,
        "sealed further than the log reaches"
    );
}

#[test]
fn each_event_is_read_at_its_position() {
    let fs = new_fs();
    let mut writer = writer(&fs, 1);
    let mut positions = Vec::new();
    for n in 1..=30 {
        positions.push(append(&mut writer, n).unwrap());
        if n % 7 == 0 {
            writer.commit(None).unwrap();
        }
        if n % 14 == 0 {
            writer.rotate(None).unwrap();
        }
    }
    writer.commit(None).unwrap();
    let mut buffer = FrameBuffer::new();
    for Appended { seq, position } in positions {
        let path = dir().join(log_name(position.file));
        let reader = LogReader::open(&fs, &path, DIRECTORY).unwrap();
        let (found, event) = reader
            .read_event(position.frame, position.ordinal, &mut buffer)
            .unwrap();
        assert_eq!(found, seq);
        assert!(is_event(seq, &event));
        assert!(
            reader
                .read_event(position.frame, 1000, &mut FrameBuffer::new())
                .is_err()
        );
    }
}

#[test]
fn recovery_cuts_a_torn_tail_at_every_length() {
    let fs = new_fs();
    let files = two_files(&fs);
    let path = dir().join(log_name(13));
    let whole = fs.contents(&path).unwrap();
    let first_frame_end = {
        let mut reader = LogReader::open(&fs, &path, DIRECTORY).unwrap();
        reader.next_frame(&mut FrameBuffer::new()).unwrap();
        reader.offset() as usize
    };
    for length in 0..=whole.len() {
        let fs = fs.crash(0);
        fs.put(&path, &whole[..length]);
        let (last, found) = replay_prefix(&fs);
        let expected = match length {
            n if n == whole.len() => 20,
            n if n >= first_frame_end => 16,
            _ => 12,
        };
        assert_eq!(last, expected, "{length} bytes");
        assert_eq!(found.files[0], files[0]);
        assert_eq!(
            replay_prefix(&fs).1.cut_bytes,
            0,
            "a second recovery finds nothing to do"
        );
        // The log goes on where it was cut.
        let mut writer = writer(&fs, found.next_seq);
        append(&mut writer, found.next_seq).unwrap();
        writer.commit(Some(&cursor(found.next_seq))).unwrap();
        assert_eq!(replay_prefix(&fs).0, expected + 1);
    }
}

fn replay_prefix(fs: &SimFs) -> (u64, Recovery) {
    replay(fs, 0).unwrap()
}

#[test]
fn a_damaged_frame_is_a_named_gap_with_the_cursor_before_it() {
    let fs = new_fs();
    two_files(&fs);
    let path = dir().join(log_name(1));
    let whole = fs.contents(&path).unwrap();
    let mut reader = LogReader::open(&fs, &path, DIRECTORY).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut frames = Vec::new();
    while let Some(offset) = reader.next_frame(&mut buffer).unwrap() {
        frames.push(offset);
    }
    let damages = [
        (frames[0], 1, 4, None),
        (frames[1], 5, 8, Some(cursor(4))),
        (frames[2], 9, 12, Some(cursor(8))),
    ];
    for (frame, first_seq, last_seq, cursor_before) in damages {
        for byte in [0, 5, 20, 36, 46, 70] {
            let mut damaged = whole.clone();
            damaged[frame as usize + byte] ^= 0x40;
            fs.put(&path, &damaged);
            let mut seqs = Vec::new();
            let found = recover(&fs, dir(), DIRECTORY, 0, &mut |event| {
                assert!(is_event(event.seq, &event.event));
                seqs.push(event.seq);
                Ok(())
            })
            .unwrap();
            let expected: Vec<u64> = (1..=20)
                .filter(|seq| !(first_seq..=last_seq).contains(seq))
                .collect();
            assert_eq!(seqs, expected);
            let gap = Gap {
                file: log_name(1),
                offset: frame,
                first_seq,
                last_seq,
                cursor_before: cursor_before.clone(),
            };
            assert_eq!(found.gaps, [gap]);
            let sealed = recover(&fs, dir(), DIRECTORY, last_seq, &mut |_| Ok(())).unwrap();
            assert!(sealed.gaps.is_empty(), "what is sealed is not lost");
        }
    }
}

#[test]
fn a_damaged_file_header_hides_no_event() {
    let fs = new_fs();
    two_files(&fs);
    for name in [log_name(1), log_name(13)] {
        let path = dir().join(name);
        let mut damaged = fs.contents(&path).unwrap();
        damaged[20] ^= 1;
        fs.put(&path, &damaged);
        LogReader::open(&fs, &path, DIRECTORY).unwrap_err();
        assert_eq!(replay(&fs, 0).unwrap().0, 20);
    }
}

#[test]
fn a_missing_file_is_a_gap() {
    let fs = new_fs();
    two_files(&fs);
    fs.unlink(&dir().join(log_name(1))).unwrap();
    let found = recover(&fs, dir(), DIRECTORY, 6, &mut |_| Ok(())).unwrap();
    assert_eq!((found.gaps[0].first_seq, found.gaps[0].last_seq), (7, 12));
}

#[test]
fn a_newer_version_is_refused_without_a_write() {
    let fs = new_fs();
    two_files(&fs);
    let path = dir().join(log_name(1));
    let mut newer = fs.contents(&path).unwrap();
    newer[8] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&newer[..40]);
    newer[40..48].copy_from_slice(&checksum.to_le_bytes());
    fs.put(&path, &newer);
    let torn = dir().join(log_name(13));
    let mut bytes = fs.contents(&torn).unwrap();
    bytes.extend_from_slice(b"torn");
    fs.put(&torn, &bytes);
    let error = recover(&fs, dir(), DIRECTORY, 0, &mut |_| Ok(())).unwrap_err();
    assert!(
        error.to_string().contains("version 2 is not supported"),
        "{error}"
    );
    assert_eq!(fs.contents(&torn).unwrap(), bytes);
}

/// A run of appends, commits, rotations, power cuts and restarts. After each restart the log must be a
/// prefix of what was appended, with everything that was committed.
fn crashing_run(seed: u64) {
    let mut random = SplitMix::new(seed);
    let mut fs = new_fs();
    let (mut next, mut committed) = (1, 0);
    for _ in 0..6 {
        let mut writer = writer(&fs, next);
        let until = fs.calls() + 5 + random.below(60) as u64;
        match random.below(3) {
            0 => fs.stop_at(until),
            1 => fs.fail_call(until),
            _ => fs.fail_sync(fs.syncs() + random.below(8) as u64),
        }
        for _ in 0..random.below(60) {
            let result = match random.below(10) {
                0..=6 => {
                    let n = writer.next_seq();
                    append(&mut writer, n).map(drop)
                }
                7 | 8 => writer.commit(Some(&cursor(writer.next_seq() - 1))),
                _ => writer
                    .rotate(Some(&cursor(writer.next_seq() - 1)))
                    .map(drop),
            };
            committed = committed.max(writer.durable_seq());
            match result {
                Ok(()) => assert!(writer.poisoned().is_none()),
                Err(_) => {
                    assert!(matches!(
                        append(&mut writer, 1),
                        Err(Error::Poisoned { .. })
                    ));
                    assert!(matches!(writer.commit(None), Err(Error::Poisoned { .. })));
                    break;
                }
            }
        }
        let appended = writer.next_seq() - 1;
        // Half of the restarts come without a power cut: the page cache is as it was. Recovery is itself
        // cut off at times.
        if random.below(2) == 0 || fs.calls() >= until {
            fs = fs.crash(random.next_u64());
        }
        fs.stop_at(fs.calls() + random.below(30) as u64);
        drop(recover(&fs, dir(), DIRECTORY, 0, &mut |_| Ok(())));
        fs = if random.below(2) == 0 {
            fs.crash(random.next_u64())
        } else {
            fs
        };
        fs.stop_at(u64::MAX);
        fs.fail_call(u64::MAX);
        fs.fail_sync(u64::MAX);
        let (last, found) = replay(&fs, 0).unwrap();
        assert!(
            last >= committed,
            "seed {seed}: {committed} committed, {last} found"
        );
        assert!(
            last <= appended,
            "seed {seed}: {appended} appended, {last} found"
        );
        // What recovery gave back counts as durable from here on.
        (next, committed) = (found.next_seq, last);
    }
}

#[test]
fn after_any_power_cut_the_log_is_a_prefix_with_all_that_was_committed() {
    let seeds = std::env::var("ORRERY_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300);
    for seed in 0..seeds {
        crashing_run(seed);
    }
}

#[test]
fn a_failing_call_at_any_point_poisons_the_writer_and_loses_nothing_committed() {
    let mut ends = false;
    let mut call = 0;
    while !ends {
        let fs = new_fs();
        let start = fs.calls();
        fs.fail_call(start + call);
        let mut writer = writer(&fs, 1);
        let mut failed = false;
        for n in 1..=24 {
            failed = failed || append(&mut writer, n).is_err();
            if n % 3 == 0 {
                failed = failed || writer.commit(Some(&cursor(n))).is_err();
            }
            if n % 9 == 0 {
                failed = failed || writer.rotate(None).is_err();
            }
        }
        ends = fs.calls() <= start + call;
        fs.fail_call(u64::MAX);
        let committed = writer.durable_seq();
        assert_eq!(committed == 24, !failed);
        for seed in 0..8 {
            assert!(
                replay(&fs.crash(seed), 0).unwrap().0 >= committed,
                "call {call}, seed {seed}"
            );
        }
        // Going on without a power cut, as a process does that opens its directory again.
        let (last, found) = replay(&fs, 0).unwrap();
        assert!(last >= committed);
        let mut writer = self::writer(&fs, found.next_seq);
        append(&mut writer, found.next_seq).unwrap();
        writer.commit(Some(&cursor(found.next_seq))).unwrap();
        for seed in 0..8 {
            assert_eq!(replay(&fs.crash(seed), 0).unwrap().0, found.next_seq);
        }
        call += 1;
    }
    assert!(call > 20, "{call} calls");
}

#[test]
fn a_commit_is_due_by_size_or_age() {
    let fs = new_fs();
    let options = LogOptions {
        commit_bytes: 4000,
        ..options()
    };
    let mut writer = LogWriter::new(fs.shared(), dir(), DIRECTORY, 1, options).unwrap();
    let now = std::time::Instant::now();
    assert!(
        !writer.should_commit(now + options.commit_interval * 2),
        "nothing to commit"
    );
    append(&mut writer, 1).unwrap();
    assert!(!writer.should_commit(now));
    assert!(writer.should_commit(now + options.commit_interval * 2));
    while writer.batch_bytes() < 4000 {
        let n = writer.next_seq();
        append(&mut writer, n).unwrap();
    }
    assert!(writer.should_commit(now));
    writer.commit(None).unwrap();
    assert!(!writer.should_commit(now));
}

fn key(hasher: &KeyHasher, n: u64) -> KeyWrite {
    KeyWrite {
        actor: (n % 5) as u32,
        hash: hasher.hash("a.b.c", &format!("key{n}")),
        rev: n * 10,
    }
}

/// Where the newest event of a key stands, in a closed file.
fn newest(window: &KeyWindow, key: &KeyWrite) -> Option<Position> {
    let view = window.shared().view();
    let mut files = view.newest_first([fingerprint(key.actor, key.hash)]);
    let place = files.find_map(|file| file.places.unwrap()[0])?;
    let Within::Ordinal(ordinal) = place.within else {
        panic!("in the file being written");
    };
    Some(Position {
        file: place.file,
        frame: place.frame,
        ordinal,
    })
}

fn key_of(hasher: KeyHasher) -> impl FnMut(&Replayed<'_>) -> Result<Meaning> {
    move |replayed| Ok(Meaning::Write(key(&hasher, replayed.seq)))
}

#[test]
fn the_window_knows_every_key_and_is_rebuilt_when_its_files_are_lost_or_damaged() {
    let fs = new_fs();
    let hasher = KeyHasher::new(b"secret");
    let mut never = |_: &Replayed<'_>| -> Result<Meaning> { panic!("nothing to rebuild") };
    let open = |files: &[LogFile], key_of: &mut keys::KeyOf<'_>| {
        KeyWindow::open(fs.shared(), dir(), DIRECTORY, all(), files, key_of).unwrap()
    };
    let mut window = open(&[], &mut never);
    let mut writer = writer(&fs, 1);
    let mut files = Vec::new();
    let mut positions = Vec::new();
    for n in 1..=40 {
        let appended = append(&mut writer, n).unwrap();
        window
            .insert(key(&hasher, n), appended.seq, appended.position)
            .unwrap();
        positions.push(appended.position);
        if n % 5 == 0 {
            writer.commit(Some(&cursor(n))).unwrap();
        }
        if n % 10 == 0 {
            let closed = writer.rotate(None).unwrap().unwrap();
            window.seal(&closed).unwrap();
            files.push(closed);
        }
    }
    let check = |window: &KeyWindow, from: u64| {
        for n in 1..=40 {
            let key = key(&hasher, n);
            let rev = window.last_rev(key.actor, key.hash).unwrap();
            let expected = (n >= from).then(|| (n * 10, positions[n as usize - 1]));
            let position = newest(window, &key);
            assert_eq!(rev.zip(position), expected, "key {n}");
            assert_eq!(window.last_rev(key.actor + 1, key.hash).unwrap(), None);
            for asked in [rev.unwrap_or(n * 10) - 1, n * 10, n * 10 + 1, 1, 400] {
                assert_eq!(
                    window.has_reached(key.actor, key.hash, asked).unwrap(),
                    rev >= Some(asked),
                    "key {n}, revision {asked}"
                );
            }
        }
    };
    check(&window, 1);
    assert_eq!(window.floor_time_us(), Some(1_000_001));
    assert!(window.complete());
    check(&open(&files, &mut never), 1);

    let path = dir().join(keys_name(11));
    let sound = fs.contents(&path).unwrap();
    fs.unlink(&path).unwrap();
    check(&open(&files, &mut key_of(hasher)), 1);
    assert_eq!(fs.contents(&path).unwrap(), sound, "rebuilt as it was");
    fs.put(&path, &sound[..sound.len() - 1]);
    check(&open(&files, &mut key_of(hasher)), 1);
    let mut damaged = sound.clone();
    damaged[200] ^= 1;
    fs.put(&path, &damaged);
    let mut window = open(&files, &mut key_of(hasher));
    check(&window, 1);
    assert_eq!(fs.contents(&path).unwrap(), sound);

    // A newer write to a key hides the older one.
    let again = Position {
        file: 41,
        frame: 48,
        ordinal: 0,
    };
    window
        .insert(
            KeyWrite {
                rev: 999,
                ..key(&hasher, 3)
            },
            41,
            again,
        )
        .unwrap();
    assert_eq!(window.last_rev(3, key(&hasher, 3).hash).unwrap(), Some(999));
    let reached = |rev| window.has_reached(3, key(&hasher, 3).hash, rev).unwrap();
    assert_eq!((reached(999), reached(1_000)), (true, false));

    assert_eq!(window.plan_trim(u64::MAX, 0, 0, 40), None);
    assert_eq!(
        window.plan_trim(0, 0, 0, 25),
        Some(21),
        "what is not sealed stays"
    );
    assert_eq!(
        window.plan_trim(u64::MAX, 0, 1_000_012, 40),
        Some(11),
        "by age"
    );
    let before = window.bytes();
    let freed = window.trim_below(21).unwrap();
    assert_eq!(window.bytes(), before - freed);
    assert!(!window.complete());
    assert_eq!(window.floor_time_us(), Some(1_000_021));
    let left = replay_from(&fs, 20);
    assert_eq!(left.files, files[2..]);
    check(&open(&left.files, &mut never), 21);
}

fn replay_from(fs: &SimFs, from: u64) -> Recovery {
    replay(fs, from).unwrap().1
}

#[test]
fn damage_behind_the_first_chunk_is_met_at_a_lookup_and_mended_by_a_rebuild() {
    let fs = new_fs();
    let hasher = KeyHasher::new(b"secret");
    let mut writer = writer(&fs, 1);
    for n in 1..=8000 {
        writer.append(&event(n, &format!("key{n}"), b"")).unwrap();
    }
    let closed = writer.rotate(None).unwrap().unwrap();
    let files = [closed];
    let open = || {
        let mut key_of = key_of(hasher);
        KeyWindow::open(fs.shared(), dir(), DIRECTORY, all(), &files, &mut key_of).unwrap()
    };
    drop(open());
    let path = dir().join(keys_name(1));
    let mut damaged = fs.contents(&path).unwrap();
    damaged[80_000] ^= 1;
    fs.put(&path, &damaged);
    let mut window = open();
    let revs = |window: &KeyWindow| -> Vec<_> {
        (1..=8000)
            .map(|n| window.last_rev(key(&hasher, n).actor, key(&hasher, n).hash))
            .collect()
    };
    let found = revs(&window);
    assert!(found.iter().any(Result::is_err));
    for (n, rev) in (1..).zip(&found) {
        assert!(rev.as_ref().is_err() || matches!(rev, Ok(Some(rev)) if *rev == n * 10));
    }
    assert_eq!(window.rebuild(&mut key_of(hasher)).unwrap(), 1);
    assert!(
        (1..)
            .zip(revs(&window))
            .all(|(n, rev)| rev.unwrap() == Some(n * 10))
    );
}

/// Costs on this machine; run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "prints costs, asserts nothing"]
fn costs() {
    let directory = tempfile::tempdir().unwrap();
    let fs = crate::io::OsFs::shared();
    let hasher = KeyHasher::new(b"secret");
    let mut writer = LogWriter::new(fs.clone(), directory.path(), DIRECTORY, 1, options()).unwrap();
    let count = 256_000_u64;
    let body = br#"{"$type":"app.bsky.feed.like","createdAt":"2024-09-09T19:46:02.102Z","subject":{"cid":"bafyreidc6sydkkbchcyg62v77wbhzvb2mvytlmsychqgwf2xojjtirmzj4","uri":"at://did:plc:wa7b35aakoll7hugkrjtf3xf/app.bsky.feed.post/3l3pte3p2e325"}}"#;
    let start = std::time::Instant::now();
    for n in 0..count {
        let rkey = format!("3l3qo2{n:07}");
        writer.append(&event(n, &rkey, body)).unwrap();
        if writer.batch_bytes() >= 4 << 20 {
            writer.commit(None).unwrap();
        }
    }
    let closed = writer.rotate(None).unwrap().unwrap();
    println!(
        "log: {:?} an event, {} bytes",
        start.elapsed() / count as u32,
        closed.bytes
    );
    let mut none = |_: &Replayed<'_>| -> Result<Meaning> { Ok(Meaning::Nothing) };
    let mut window = KeyWindow::open(
        fs.clone(),
        directory.path(),
        DIRECTORY,
        all(),
        &[],
        &mut none,
    )
    .unwrap();
    let keys: Vec<String> = (0..count).map(|n| format!("3l3qo2{n:07}")).collect();
    let start = std::time::Instant::now();
    for (n, rkey) in (0..).zip(&keys) {
        let hash = hasher.hash("app.bsky.feed.like", rkey);
        let position = Position {
            file: 1,
            frame: 48,
            ordinal: n,
        };
        window
            .insert(
                KeyWrite {
                    actor: n,
                    hash,
                    rev: 1,
                },
                1 + u64::from(n),
                position,
            )
            .unwrap();
    }
    println!("hash and insert: {:?}", start.elapsed() / count as u32);
    let start = std::time::Instant::now();
    window.seal(&closed).unwrap();
    println!("seal of {count} keys: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    for (n, rkey) in (0..).zip(&keys) {
        let hash = hasher.hash("app.bsky.feed.like", rkey);
        assert!(window.last_rev(n, hash).unwrap().is_some());
    }
    println!(
        "hash and find in a sealed index: {:?}",
        start.elapsed() / count as u32
    );
    let start = std::time::Instant::now();
    let mut seen = 0;
    recover(fs.as_ref(), directory.path(), DIRECTORY, 0, &mut |_| {
        seen += 1;
        Ok(())
    })
    .unwrap();
    println!("recover {seen} events: {:?}", start.elapsed());
}
