//! What is set aside comes back by itself where that is safe; and damage that is met by several at once, or in the
//! midst of a merge, costs no more than its segment.

use std::path::Path;
use std::sync::Arc;

use super::tests::{DIR, ask, named, open, segments, three_segments};
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::part::FoundLists;
use crate::power_cut_tests::{LIKE, Step, apply, did, model, rkey, time_us};
use crate::{Error, Store};
use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use orrery_formats::segment::Segment;

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// An error of a query that met damage of a file.
fn met(path: &Path) -> Error {
    let error = orrery_formats::Error::corrupt("rows", 0, "a sound chunk", "another");
    error.in_file(&name(path)).into()
}

/// Changes a byte amid a file, and gives what it held.
fn damage(fs: &SimFs, path: &Path) -> Vec<u8> {
    let sound = fs.contents(path).unwrap();
    let mut bytes = sound.clone();
    bytes[sound.len() / 2] ^= 0x55;
    fs.put(path, &bytes);
    sound
}

#[test]
fn a_segment_whose_file_is_whole_again_is_read_again_at_the_next_start() {
    for seed in 0..10 {
        let (fs, steps) = three_segments(seed);
        let right = named(model(&steps, steps.len() as u64));
        for path in segments(&fs) {
            let fs = fs.crash(1);
            let sound = damage(&fs, &path);
            for _ in 0..2 {
                let store = open(&fs).unwrap();
                store.report_damage(&met(&path));
                assert_eq!(store.status().degraded.len(), 1, "seed {seed}");
                // Its masks are written down without the segment.
                store.writer().unwrap().close().unwrap();
            }
            fs.put(&path, &sound);
            for _ in 0..2 {
                let store = open(&fs).unwrap();
                assert_eq!(store.status().degraded, [], "seed {seed}");
                assert_eq!(ask(&store).unwrap(), right, "seed {seed}");
                store.verify().unwrap();
                store.writer().unwrap().close().unwrap();
            }
        }
    }
}

#[test]
fn a_segment_stays_set_aside_where_events_were_sealed_without_it() {
    let (fs, _) = three_segments(2);
    let path = segments(&fs).remove(1);
    let sound = damage(&fs, &path);
    let store = open(&fs).unwrap();
    store.report_damage(&met(&path));
    let mut writer = store.writer().unwrap();
    writer.tick().unwrap();
    writer.seal().unwrap();
    drop((writer, store));
    fs.put(&path, &sound);
    assert_eq!(open(&fs).unwrap().status().degraded.len(), 1);
}

#[test]
fn whoever_meets_damage_that_is_known_already_may_ask_again() {
    let (fs, _) = three_segments(1);
    let path = segments(&fs).remove(1);
    let store = open(&fs).unwrap();
    for _ in 0..3 {
        assert!(store.report_damage(&met(&path)));
        assert_eq!(store.snapshot().degraded().count(), 1);
    }
    let unknown = Path::new("segments/unknown.seg");
    assert!(!store.report_damage(&met(unknown)));
}

#[test]
fn the_writer_goes_on_where_a_query_met_the_same_damage_first() {
    let (fs, steps) = three_segments(1);
    let store = open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    let error = met(&segments(&fs)[1]);
    assert!(store.report_damage(&error));
    assert!(writer.leave_out(&error).unwrap());
    assert!(!writer.leave_out(&error).unwrap(), "once is enough");
    let step = Step::Write {
        actor: 0,
        key: 1,
        target: 2,
    };
    match apply(&mut writer, steps.len() as u64 + 1, step) {
        Ok(()) | Err(Error::LostAccounts { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// So many that links take chunks of their own.
const ROWS: u64 = 30_000;

/// Writes a record with many links.
fn write_many(writer: &mut crate::Writer, place: u64) {
    let links = (0..12).map(|n| format!("\"https://example.org/{}\"", place * 31 % 61 + n));
    let body = format!("{{\"subject\":[{}]}}", links.collect::<Vec<_>>().join(","));
    let record = Record {
        cid: "",
        encoding: Encoding::Json,
        body: body.as_bytes(),
    };
    let time_us = time_us(place);
    let applied = writer.apply(&Event {
        time_us,
        did: &did(0),
        body: Body::Commit {
            rev: time_us << 10,
            collection: LIKE,
            rkey: &rkey(place),
            operation: Operation::Create(record),
        },
    });
    assert!(matches!(applied, Ok(crate::Applied::New { links: 12, .. })));
}

/// A store with a segment that has all accounts and one behind it, and events since that changed rows of the latter.
fn changed_since_a_seal() -> (SimFs, Store, crate::Writer) {
    let fs = SimFs::new();
    let store = open(&fs).unwrap();
    let mut writer = store.writer().unwrap();
    let write = |key, target| Step::Write {
        actor: 0,
        key,
        target,
    };
    for target in 0..3 {
        apply(&mut writer, target + 1, write(0, target)).unwrap();
    }
    writer.seal().unwrap();
    for place in 11..=ROWS {
        write_many(&mut writer, place);
    }
    writer.seal().unwrap();
    for key in 11..=18 {
        let step = Step::Delete { actor: 0, key };
        apply(&mut writer, ROWS + key, step).unwrap();
    }
    (fs, store, writer)
}

/// Whether links of the first rows cannot be read.
fn has_unreadable_links(segment: &Segment) -> bool {
    let links = segment.links(0);
    links
        .and_then(|mut links| links.try_for_each(|link| link.map(drop)))
        .is_err()
}

/// Whether rows can be found and not be moved, since that reads their links and how long their lists are.
fn has_rows_without_links(segment: &Segment) -> bool {
    let moves = |row| segment.each_list(row, &mut |_, _, _| ());
    let key = rkey(ROWS);
    let mut found = None;
    let finds = segment.find_rows(0, LIKE, &key, &mut |row| found = Some(row));
    let walks = segment
        .actor_rows(0)
        .and_then(|mut rows| rows.try_for_each(|row| row.map(drop)));
    finds.is_ok() && walks.is_ok() && found.is_some_and(|row| moves(row).is_err())
}

/// The segment at `place`, opened from bytes that are damaged where nothing is read at opening.
fn unreadable(
    fs: &SimFs,
    store: &Store,
    place: usize,
    is_wanted: fn(&Segment) -> bool,
) -> crate::snapshot::Sealed {
    let path = &segments(fs)[place];
    let sound = fs.contents(path).unwrap();
    let sealed = store.shared.generation().segments[place].clone();
    // A byte that is first looked at when masks are moved.
    for at in (0..sound.len()).step_by(16 << 10) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        fs.put(path, &bytes);
        let opened = crate::recovery::open_segment(fs, Path::new(DIR), &name(path), sealed.id, 0);
        fs.put(path, &sound);
        if let Ok(opened) = opened
            && is_wanted(&opened.segment)
        {
            return crate::snapshot::Sealed {
                mask: Arc::clone(&sealed.mask),
                ..opened
            };
        }
    }
    panic!("no byte does that");
}

/// Lets the writer stand on its last segment with damage that nobody has met yet.
fn make_unreadable(
    fs: &SimFs,
    store: &Store,
    writer: &mut crate::Writer,
    is_wanted: fn(&Segment) -> bool,
) {
    // The segment before it has the account, so that events go on.
    let place = 1;
    let mut segments_now = writer.generation.segments.clone();
    segments_now[place] = unreadable(fs, store, place, is_wanted);
    let old = &writer.generation;
    writer.generation = Arc::new(crate::snapshot::Generation {
        number: old.number,
        segments: segments_now,
        memtable: Arc::clone(&old.memtable),
        dids: Arc::clone(&old.dids),
        counters: Arc::clone(&old.counters),
        hasher: old.hasher,
        found: FoundLists::default(),
    });
}

#[test]
fn damage_that_an_event_meets_in_a_row_that_it_changes_sets_that_segment_aside() {
    let write = Step::Write {
        actor: 0,
        key: ROWS,
        target: 1,
    };
    let deleted = Step::Account {
        actor: 0,
        status: Some("deleted"),
    };
    let hidden = Step::Account {
        actor: 0,
        status: Some("suspended"),
    };
    for step in [
        write,
        Step::Delete {
            actor: 0,
            key: ROWS,
        },
        deleted,
        hidden,
    ] {
        let (fs, store, mut writer) = changed_since_a_seal();
        make_unreadable(&fs, &store, &mut writer, has_rows_without_links);
        apply(&mut writer, 2 * ROWS, step).unwrap();
        writer.seal().unwrap();
        let status = store.status();
        assert_eq!(status.poisoned, None, "{step:?}");
        assert_eq!(status.degraded.len(), 1, "{step:?}");
    }
}

#[test]
fn a_seal_meets_no_damage_of_an_older_segment_whose_rows_it_masks() {
    let (fs, store, mut writer) = changed_since_a_seal();
    make_unreadable(&fs, &store, &mut writer, has_unreadable_links);
    writer.seal().unwrap();
    writer.tick().unwrap();
    let status = store.status();
    assert_eq!(status.poisoned, None);
    assert_eq!((status.segments, status.degraded.len()), (3, 0));
    assert_eq!(fs.list(&Path::new(DIR).join("segments")).unwrap().len(), 3);
}
