//! Damage between the end of a merge and its installation. Where an input was set aside, the merge is given up, as if there had been none; where what
//! it made is damaged, it is given up too, and its inputs stay.

use std::path::Path;
use std::sync::Arc;

use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::mask::Mask;
use crate::memtable::DEAD;
use crate::part::FoundLists;
use crate::power_cut_tests::{Step, apply};
use crate::quarantine::tests::ask;
use crate::recovery::open_segment;
use crate::snapshot::{Generation, Sealed};
use crate::store::SEGMENTS;
use crate::{Options, Store, Writer};

const DIR: &str = "data";
/// Of each of two segments.
const EVENTS: u64 = 20_000;

fn open(fs: &SimFs) -> Store {
    let options = Options {
        compact: false,
        compact_fan_in: 2,
        compact_share: 1.0,
        ..Options::default()
    };
    Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap()
}

/// The others leave no row, so that seqs of rows are no simple row of numbers.
const fn is_write(place: u64) -> bool {
    place * place % 11 < 5
}

const fn key(place: u64) -> u64 {
    place * 7_919 % 100_003
}

/// The rows of the first segment.
fn rows() -> usize {
    (1..=EVENTS).filter(|place| is_write(*place)).count()
}

/// Two segments, of which the first has all accounts, merged; what was made waits.
fn merged(fs: &SimFs) -> (Store, Writer) {
    let store = open(fs);
    let mut writer = store.writer().unwrap();
    for place in 1..=2 * EVENTS {
        // Keys in no order, which take more room: the segment is to have several chunks.
        let (actor, key, target) = (place % 4, key(place), 2);
        let step = if is_write(place) {
            Step::Write { actor, key, target }
        } else {
            Step::Delete { actor, key }
        };
        apply(&mut writer, place, step).unwrap();
        if place % EVENTS == 0 {
            writer.seal().unwrap();
        }
    }
    assert!(writer.merge_due().unwrap());
    assert_eq!(files(fs), 3);
    (store, writer)
}

fn files(fs: &SimFs) -> usize {
    fs.list(&Path::new(DIR).join(SEGMENTS)).unwrap().len()
}

/// `sealed` with one bit changed, so that it opens and the seq of its first row cannot be read.
fn damaged(fs: &SimFs, sealed: &Sealed) -> Sealed {
    let dir = Path::new(DIR);
    let path = dir.join(SEGMENTS).join(&*sealed.name);
    let sound = fs.contents(&path).unwrap();
    for place in (0..sound.len()).step_by(4 << 10) {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        fs.put(&path, &bytes);
        if let Ok(opened) = open_segment(fs, dir, &sealed.name, sealed.id, sealed.level)
            && opened.segment.seq(0).is_err()
        {
            return opened;
        }
    }
    panic!("no place is read first by a seq");
}

/// Puts `last` in the place of the last segment.
fn replace_last(writer: &mut Writer, last: Sealed) {
    let old = Arc::clone(&writer.generation);
    let mut segments = old.segments.clone();
    *segments.last_mut().unwrap() = last;
    let generation = Arc::new(Generation {
        number: old.number + 1,
        segments,
        memtable: Arc::clone(&old.memtable),
        dids: Arc::clone(&old.dids),
        counters: Arc::clone(&old.counters),
        hasher: old.hasher,
        found: FoundLists::default(),
    });
    writer.shared.publish(Arc::clone(&generation));
    writer.generation = generation;
}

/// What is left is the first segment: `shown` rows, marked, now and after a restart.
fn assert_is_set_aside(fs: &SimFs, store: Store, mut writer: Writer, shown: usize) {
    assert!(writer.shared.compaction.waiting().is_none());
    assert!(!writer.merge_due().unwrap(), "none goes across it");
    writer.tick().unwrap();
    let check = |store: &Store| {
        let degraded = store.status().degraded;
        assert_eq!(degraded.len(), 1);
        assert_eq!(degraded[0].first_seq, EVENTS + 1);
        assert_eq!(ask(store).unwrap()[&2].len(), shown);
    };
    check(&store);
    writer.close().unwrap();
    drop(store);
    check(&open(fs));
}

/// `sealed`, of which the first row died.
fn without_first_row(sealed: &Sealed) -> Sealed {
    let mut mask = Mask::clone(&sealed.mask);
    mask.move_row(&sealed.segment, 0, DEAD).unwrap();
    sealed.clone().with_mask(Arc::new(mask))
}

#[test]
fn damage_of_an_input_that_was_merged_before_goes_with_it() {
    let fs = SimFs::new();
    let (store, mut writer) = merged(&fs);
    let sound = writer.generation.segments.last().unwrap().clone();
    let mask = Arc::clone(&without_first_row(&sound).mask);
    let damaged = damaged(&fs, &sound);
    replace_last(&mut writer, damaged.with_mask(mask));
    writer.tick().unwrap();
    assert_eq!(files(&fs), 1, "the merged one");
    assert_eq!(store.status().degraded.len(), 0);
    let all = (1..=2 * EVENTS).filter(|place| is_write(*place)).count();
    assert_eq!(ask(&store).unwrap()[&2].len(), all - 1);
}

#[test]
fn a_merge_is_given_up_when_its_installation_meets_damage_of_what_it_made() {
    let fs = SimFs::new();
    let (store, mut writer) = merged(&fs);
    let all = ask(&store).unwrap();
    let mut made = writer.shared.compaction.take_to_install().unwrap();
    let mask = Arc::clone(&made.sealed.mask);
    made.sealed = damaged(&fs, &made.sealed).with_mask(mask);
    let mut segments = writer.generation.segments.clone();
    segments[0] = without_first_row(&segments[0]);
    assert_eq!(writer.install(made, &mut segments).unwrap().len(), 0);
    assert_eq!(segments.len(), 2);
    assert_eq!(files(&fs), 2, "what was merged is gone");
    writer.close().unwrap();
    drop(store);
    let store = open(&fs);
    assert_eq!(store.status().degraded.len(), 0);
    assert_eq!(ask(&store).unwrap(), all);
}

#[test]
fn a_merge_is_given_up_when_an_input_was_set_aside_meanwhile() {
    let fs = SimFs::new();
    let (store, mut writer) = merged(&fs);
    let sound = writer.generation.segments.last().unwrap().clone();
    let damaged = damaged(&fs, &sound);
    let error = damaged.segment.seq(0).unwrap_err().into();
    assert!(store.report_damage(&error));
    assert!(is_write(1));
    let step = Step::Delete {
        actor: 1,
        key: key(1),
    };
    apply(&mut writer, 2 * EVENTS + 1, step).unwrap();
    writer.seal().unwrap();
    assert_eq!(files(&fs), 3, "with that of the delete");
    assert_is_set_aside(&fs, store, writer, rows() - 1);
}
