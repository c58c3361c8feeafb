//! What the stream tells from a place on, held against the model.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use orrery_engine::{Progress, Store};
use orrery_query::stream::{
    Cause, Change, Forms, Info, Operation, Origin, Read, Reader, Start, Step,
};

use super::driver::{Moment, Story};
use crate::model::compare::Dice;
use crate::model::event::{Body, Key, Operation as Written};
use crate::model::extract;
use crate::model::universe::tid;
use crate::model::world::{Row, World};

/// A link: record, source and subject.
pub type Link = (String, String, String);

fn uri(key: &Key) -> String {
    format!("at://{}/{}/{}", key.0, key.1, key.2)
}

fn source(collection: &str, path: &str) -> String {
    format!("{collection}:{}", &path[1..])
}

/// The links of a row in the order in which an index keeps them.
fn row_links(key: &Key, row: &Row) -> Vec<Link> {
    let mut links = row.links.clone();
    links.sort_by(|(a, _), (b, _)| a.cmp(b));
    links
        .into_iter()
        .map(|(path, target)| (uri(key), source(&key.1, &path), target))
        .collect()
}

pub fn visible(world: &World) -> BTreeSet<Link> {
    let rows = world.visible();
    rows.into_iter()
        .flat_map(|(key, row)| row_links(key, row))
        .collect()
}

pub fn link(change: &Change) -> Link {
    (
        change.source_record.to_string(),
        change.source.to_string(),
        change.subject.to_string(),
    )
}

/// Reads until there is nothing more, and breaks off at every so many steps, where that is not 0.
pub fn read_all(reader: &mut Reader, most: usize, breaks_at: usize) -> (Vec<Step>, Vec<Info>) {
    let (mut steps, mut infos) = (Vec::new(), Vec::new());
    loop {
        let read = reader.read(most, u64::MAX, &mut |step| {
            steps.push(step);
            match breaks_at > 0 && steps.len() % breaks_at == 0 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match read.expect("the stream can be read") {
            Read::More => {}
            Read::CaughtUp => return (steps, infos),
            Read::Info(info) => infos.push(info),
        }
    }
}

/// Every change with its cursor, and those of the plain form.
fn told(steps: &[Step]) -> Vec<(u64, &Change)> {
    let changes = steps
        .iter()
        .flat_map(|step| step.changes.iter().map(|change| (step.seq, change)));
    changes.collect()
}

/// The first event from there on that can be read, in memory or in the log.
fn first_readable(store: &Store, seq: u64) -> u64 {
    match store.events_from(seq).read(1, &mut |_| {}).unwrap() {
        Progress::Trimmed { first_kept } => first_kept,
        Progress::Read | Progress::CaughtUp => seq,
        Progress::Lost { .. } => panic!("nothing is lost"),
    }
}

pub fn everything(store: &Store, story: &Story, dice: &mut Dice) {
    let most = 1 + dice.roll(40);
    let (floor, next) = (first_readable(store, 1), store.next_seq());
    let start = Start::Seq(floor);
    let mut reader = Reader::open(store, start, Forms::ALL).unwrap();
    let (steps, infos) = read_all(&mut reader, most, 0);
    assert_eq!((infos.len(), reader.next_seq()), (0, next));
    in_the_log(story, &steps, floor..next);
    for _ in 0..3 {
        resumed_in_the_log(store, &steps, floor..next, dice);
        by_time(store, story, &steps, floor, dice);
    }
    if floor > 1 {
        let from = 1 + dice.roll(floor as usize - 1) as u64;
        for from in [1, from] {
            from_before_the_log(store, story, from..floor, dice);
        }
    }
}

/// Event by event: what is told is what became different, and makes what is to be seen.
fn in_the_log(story: &Story, steps: &[Step], seqs: std::ops::Range<u64>) {
    let mut shown = visible(&story.world(seqs.start - 1));
    let mut steps = steps.iter().peekable();
    for seq in seqs {
        let moment = &story.moments[&seq];
        let mut numbers = 0;
        loop {
            let step = steps.next().expect("a step for every event");
            assert_eq!((step.seq, step.time_us), (seq, moment.event.time_us));
            assert!(!step.repeats && !step.is_cut, "{step:?}");
            plain_is_the_version(moment, step);
            for change in &step.changes {
                assert!(change.index >= numbers, "{change:?} of {seq}");
                numbers = change.index + 1;
                says_why(moment, change);
                let fits = match change.operation {
                    Operation::Create => shown.insert(link(change)),
                    Operation::Delete => shown.remove(&link(change)),
                };
                assert!(fits, "told twice, or never there: {change:?} of {seq}");
            }
            if step.is_last {
                break;
            }
        }
        assert_eq!(shown, visible(&moment.world), "after {seq}");
    }
    assert_eq!(steps.next(), None);
}

/// The links of the new version, whatever was there before, in the order of the record.
fn plain_is_the_version(moment: &Moment, step: &Step) {
    let did = &moment.event.did;
    let mut expected = Vec::new();
    if let Body::Commit {
        rev,
        collection,
        rkey,
        operation: Written::Create(record) | Written::Update(record),
    } = &moment.event.body
    {
        let key = (did.clone(), collection.clone(), rkey.clone());
        for (index, (path, target)) in (0..).zip(extract::occurrences(record)) {
            expected.push(Change {
                index,
                position: index,
                operation: Operation::Create,
                origin: Origin::Replay,
                source: source(collection, &path).into(),
                source_record: uri(&key).into(),
                source_rev: Some(tid(*rev >> 10, *rev).into()),
                subject: target.into(),
                cause: None,
            });
        }
    }
    assert_eq!(step.plain, expected);
}

fn says_why(moment: &Moment, change: &Change) {
    let (rev, cause) = match &moment.event.body {
        Body::Commit { rev, operation, .. } => {
            let rev = Some(tid(*rev >> 10, *rev));
            match operation {
                Written::Delete => (rev, Cause::Record),
                Written::Create(_) | Written::Update(_) => (rev, Cause::Update),
            }
        }
        Body::Account { .. } => (None, Cause::Account),
        Body::Identity { .. } => panic!("{change:?}"),
    };
    assert_eq!(change.source_rev.as_deref(), rev.as_deref());
    let is_delete = change.operation == Operation::Delete;
    assert_eq!(change.cause, is_delete.then_some(cause));
    assert_eq!(change.origin, Origin::Replay);
}

/// Resumed behind any change, the rest is told, and nothing else.
fn resumed_in_the_log(store: &Store, steps: &[Step], seqs: std::ops::Range<u64>, dice: &mut Dice) {
    let all = told(steps);
    let most = 1 + dice.roll(20);
    let cut = dice.roll(all.len() + 1);
    let (rest, start) = match cut.checked_sub(1).map(|last| all[last]) {
        Some((seq, change)) => (
            &all[cut..],
            Start::After {
                seq,
                index: change.index,
            },
        ),
        None => (&all[..], Start::Seq(seqs.start)),
    };
    // As a client has it.
    let start: Start = start.to_string().parse().unwrap();
    let mut reader = Reader::open(store, start, Forms::CHANGES).unwrap();
    let (steps, infos) = read_all(&mut reader, most, dice.roll(4));
    assert_eq!((told(&steps), infos.len()), (rest.to_vec(), 0), "{start}");
    assert_eq!((reader.next_seq(), reader.tells_all_below()), (seqs.end, 0));
    // Behind whole events.
    let length = (seqs.end - seqs.start) as usize;
    let seq = seqs.start + dice.roll(length + 2) as u64;
    let mut reader = Reader::open(store, Start::Seq(seq), Forms::CHANGES).unwrap();
    let (steps, _) = read_all(&mut reader, most, 0);
    let rest: Vec<_> = all.into_iter().filter(|(of, _)| *of >= seq).collect();
    assert_eq!(told(&steps), rest, "from {seq}");
}

/// From a time on: the first event that is not older, and all behind it.
fn by_time(store: &Store, story: &Story, steps: &[Step], floor: u64, dice: &mut Dice) {
    if story.moments.is_empty() {
        return;
    }
    let moments: Vec<(&u64, &Moment)> = story.moments.range(floor..).collect();
    let Some((_, moment)) = moments.get(dice.roll(moments.len().max(1))) else {
        return;
    };
    let time_us = moment.event.time_us;
    let mut not_older = moments.iter().filter(|(_, m)| m.event.time_us >= time_us);
    let first = **not_older.next().map(|(seq, _)| seq).unwrap();
    if store.log_floor() > 1 && first <= store.log_floor() {
        // There may be older ones, which files do not have.
        return;
    }
    let mut reader = Reader::open(store, Start::Time(time_us), Forms::CHANGES).unwrap();
    let (found, infos) = read_all(&mut reader, 50, 0);
    let rest: Vec<_> = told(steps)
        .into_iter()
        .filter(|(of, _)| *of >= first)
        .collect();
    assert_eq!((told(&found), infos.len()), (rest, 0), "from {time_us}");
}

/// What the index still has of older events, then the log: one stream, which makes what is to be seen.
fn from_before_the_log(
    store: &Store,
    story: &Story,
    std::ops::Range {
        start: from,
        end: floor,
    }: std::ops::Range<u64>,
    dice: &mut Dice,
) {
    let next = store.next_seq();
    let most = 1 + dice.roll(20);
    let mut reader = Reader::open(store, Start::Seq(from), Forms::CHANGES).unwrap();
    let (steps, infos) = read_all(&mut reader, most, 0);
    let time_us = story.moments.get(&floor).map(|moment| moment.event.time_us);
    match infos[..] {
        [Info::OutdatedCursor { time_us: told_us }] => {
            assert!(time_us.is_none_or(|time_us| told_us == time_us));
        }
        _ => panic!("{infos:?}"),
    }
    assert_eq!((reader.next_seq(), reader.tells_all_below()), (next, next));
    let world = story.world(next - 1);
    let survivors: Vec<(u64, Link)> = world
        .visible()
        .into_iter()
        .map(|(key, row)| (story.rows[&row.place], key, row))
        .filter(|(seq, ..)| (from..floor).contains(seq))
        .flat_map(|(seq, key, row)| row_links(key, row).into_iter().map(move |l| (seq, l)))
        .collect();
    let all = told(&steps);
    let found: Vec<(u64, Link)> = all
        .iter()
        .filter(|(seq, _)| *seq < floor)
        .map(|(seq, change)| {
            assert_eq!(
                (change.operation, change.origin, &change.source_rev),
                (Operation::Create, Origin::Replay, &None)
            );
            (*seq, link(change))
        })
        .collect();
    assert_eq!(found, survivors, "from {from}, the log from {floor}");
    if from == 1 {
        let mut shown = BTreeSet::new();
        for step in &steps {
            for change in &step.changes {
                match change.operation {
                    // What was there before a survivor's time may be gone without a trace.
                    Operation::Delete => _ = shown.remove(&link(change)),
                    Operation::Create => {
                        let is_new = shown.insert(link(change));
                        assert!(is_new || may_repeat(step, floor), "{change:?}");
                    }
                }
            }
        }
        assert_eq!(shown, visible(&world));
    }
    // Resumed behind any change of it, be it of a survivor or of an event in the log, the rest is told.
    for _ in 0..4 {
        if all.is_empty() {
            break;
        }
        let last = dice.roll(all.len());
        let (seq, change) = all[last];
        let index = change.index;
        let start: Start = Start::After { seq, index }.to_string().parse().unwrap();
        let mut reader = Reader::open(store, start, Forms::CHANGES).unwrap();
        let (steps, infos) = read_all(&mut reader, most, dice.roll(3));
        let infos = (infos.len(), usize::from(seq < floor));
        assert_eq!(told(&steps), all[last + 1..], "{start}");
        assert_eq!(infos.0, infos.1, "{start}");
    }
}

/// An update of a row that may have been from before the log tells all links; and accounts that come back bring rows
/// that were told as survivors already.
fn may_repeat(step: &Step, floor: u64) -> bool {
    let is_account = step
        .changes
        .iter()
        .any(|change| change.source_rev.is_none());
    step.seq >= floor && (step.repeats || is_account)
}
