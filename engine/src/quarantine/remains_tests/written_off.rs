//! Segments that are written off with or without their accounts, and the log applied again over one.

use super::*;

#[test]
fn a_segment_that_is_written_off_keeps_the_accounts_that_can_be_read() {
    let (fs, place) = directory(&[], options());
    let path = segments(&fs).remove(0);
    flip(&fs, &path, section("rows"));
    forget_log(&fs, 2);
    for turn in 0..2 {
        let report = run(&fs, true);
        let [segment] = &report.segments[..] else {
            panic!("{report:?}");
        };
        assert_eq!(segment.outcome, Outcome::Lost);
        assert!(segment.has_accounts && segment.is_written_off);
        let store = open(&fs).unwrap();
        let degraded = &store.status().degraded[0];
        assert!(degraded.is_written_off && !degraded.gave_up_accounts);
        check(&store, place + 1 + turn, true, "not repaired");
    }
    // Accounts that cannot be read any more wait until they are given up too, and then stay so.
    let damaged = fs.contents(&path).unwrap();
    fs.put(&path, &damaged[..100]);
    assert!(
        open(&fs)
            .unwrap()
            .snapshot()
            .generation
            .lost_accounts()
            .is_some()
    );
    let report = run(&fs, false);
    assert!(!report.segments[0].has_accounts && !report.segments[0].is_written_off);
    assert!(run(&fs, true).segments[0].is_written_off);
    fs.put(&path, &damaged);
    for write_off in [false, true] {
        let report = run(&fs, write_off);
        assert!(!report.segments[0].has_accounts && report.segments[0].is_written_off);
        let store = open(&fs).unwrap();
        let degraded = &store.status().degraded[0];
        assert!(degraded.gave_up_accounts && !degraded.has_accounts);
        assert!(store.snapshot().generation.lost_accounts().is_none());
    }
}

#[test]
fn an_event_that_a_segment_with_accounts_may_hold_waits_until_it_is_written_off() {
    let options = Options {
        log_bytes_max: 0,
        ..options()
    };
    let (fs, place) = directory(&[], options.clone());
    let mut writer = Store::open_with_fs(fs.shared(), Path::new(DIR), options)
        .unwrap()
        .writer()
        .unwrap();
    apply(&mut writer, place, Write(1, 99, 2)).unwrap();
    writer.seal().unwrap();
    writer.close().unwrap();
    let path = segments(&fs).remove(0);
    flip(&fs, &path, section("rows"));
    forget_log(&fs, 9);
    let old = |fs: &SimFs| {
        let store = open(fs).unwrap();
        let mut writer = store.writer().unwrap();
        let applied = apply(&mut writer, 1, Write(1, 98, 2));
        let actors = writer.generation.actors_end();
        (applied, actors, store.status().paused)
    };
    open(&fs).unwrap().report_damage(&met(&path));
    let (applied, actors, _) = old(&fs);
    assert!(
        matches!(applied, Err(Error::LostEvents { .. })),
        "{applied:?}"
    );
    run(&fs, false);
    let (applied, ..) = old(&fs);
    assert!(
        matches!(applied, Err(Error::LostEvents { .. })),
        "{applied:?}"
    );
    run(&fs, true);
    let (applied, actors_now, paused) = old(&fs);
    assert!(matches!(applied, Ok(Applied::New { .. })), "{applied:?}");
    assert_eq!((actors_now, paused), (actors, None), "it keeps its id");
}

#[test]
fn the_log_is_applied_again_with_the_accounts_of_a_damaged_file_and_not_without_them() {
    let (fs, place) = directory(&[], options());
    let twin_fs = fs.crash(1);
    let twin = open(&twin_fs).unwrap();
    let behind = twin.snapshot().generation.segments[0]
        .segment
        .info()
        .last_seq;
    let path = segments(&fs).remove(0);
    flip(&fs, &path, section("rows"));
    open(&fs).unwrap().report_damage(&met(&path));
    for store in [&twin, &open(&fs).unwrap()] {
        let mut writer = store.writer().unwrap();
        go_on(&mut writer, place, &more()).unwrap();
        writer.seal().unwrap();
        writer.close().unwrap();
    }
    forget_log(&fs, 2);
    let newest = segments(&fs).pop().unwrap();
    let bytes = fs.contents(&newest).unwrap();
    fs.put(&newest, &bytes[..bytes.len() / 2]);

    let damaged = fs.contents(&path).unwrap();
    fs.put(&path, &damaged[..100]);
    let written_off = fs.crash(1);
    let report = run(&written_off, true);
    assert_eq!(report.segments[1].outcome, Outcome::FromLog);
    assert!(report.segments[0].is_written_off);
    assert!(open(&written_off).unwrap().status().degraded[0].is_written_off);

    let without = fs.crash(1);
    let report = run(&without, false);
    let tried = report.segments[1].tried.join("; ");
    assert_eq!(report.segments[1].outcome, Outcome::Lost);
    assert!(tried.contains("another id"), "{tried}");

    fs.put(&path, &damaged);
    assert_eq!(repair(&fs), [Outcome::Lost, Outcome::FromLog]);
    let store = open(&fs).unwrap();
    assert_eq!(store.status().degraded.len(), 1);
    compare(&store, &twin, behind, "applied again");
}
