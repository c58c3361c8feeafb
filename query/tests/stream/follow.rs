//! Readers that follow the store while it changes: those of the live streams, and subscribers who resume and join them.

use std::collections::BTreeSet;

use orrery_engine::Store;
use orrery_query::stream::{Change, Forms, Operation, Read, Reader, Start, Step};

use super::check::link;
use super::driver::Story;
use crate::model::compare::Dice;

/// A change and the event that made it.
type Told = (u64, Change);

/// Everybody who follows.
#[derive(Default)]
pub struct Followers {
    streams: Vec<Stream>,
}

/// A live stream, instant or delayed, with what it told and those who are to join it.
struct Stream {
    is_delayed: bool,
    reader: Reader,
    told: Vec<Told>,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    /// `None` once it joined.
    reader: Option<Reader>,
    /// How much the stream had told at the change that it resumed behind.
    from: usize,
    /// What it got by itself, and then how much the stream had told when it joined.
    told: Vec<Told>,
    joined: usize,
}

fn note(told: &mut Vec<Told>, step: Step) {
    told.extend(step.changes.into_iter().map(|change| (step.seq, change)));
}

/// What is compared: who replays says so.
fn bare(told: &[Told]) -> Vec<(u64, u32, String)> {
    let changes = told.iter();
    changes
        .map(|(seq, change)| {
            let what = format!(
                "{:?} {} {} {}",
                change.operation, change.source_record, change.source, change.subject
            );
            (*seq, change.index, what)
        })
        .collect()
}

/// Leaves out deletes that the stream did not tell, of links whose create it did not tell either: who resumes between
/// the two does not know that, and is told of the delete.
fn drop_needless_deletes(got: &mut Vec<Told>, stream: &[Told]) {
    let stream: BTreeSet<_> = bare(stream).into_iter().collect();
    let mut created = BTreeSet::new();
    got.retain(|told| {
        let is_told = stream.contains(&bare(std::slice::from_ref(told))[0]);
        if told.1.operation == Operation::Create {
            created.insert(link(&told.1));
            return true;
        }
        is_told || created.contains(&link(&told.1))
    });
}

impl Stream {
    fn new(store: &Store, is_delayed: bool) -> Self {
        let mut stream = Self {
            is_delayed,
            reader: Reader::live(store, Forms::CHANGES, is_delayed).unwrap(),
            told: Vec::new(),
            subscribers: Vec::new(),
        };
        // What is due already is nobody's.
        stream.follow(usize::MAX);
        stream.told.clear();
        stream
    }

    fn follow(&mut self, most: usize) {
        let told = &mut self.told;
        let read = self
            .reader
            .read(most, None, 0, &mut |step| note(told, step));
        assert!(!matches!(read.unwrap(), Read::Info(_)));
    }

    /// Somebody comes who has seen some of what was told.
    fn subscribe(&mut self, store: &Store, floor: u64, dice: &mut Dice) {
        let from = dice.roll(self.told.len() + 1);
        let Some((seq, change)) = from.checked_sub(1).map(|last| &self.told[last]) else {
            return;
        };
        if *seq < floor {
            return;
        }
        let start = Start::After {
            seq: *seq,
            index: change.index,
        };
        let reader = Reader::open(store, start, Forms::CHANGES, self.is_delayed).unwrap();
        self.subscribers.push(Subscriber {
            reader: Some(reader),
            from,
            told: Vec::new(),
            joined: 0,
        });
    }

    /// Lets subscribers read, and join where they stand where the stream stands.
    fn serve(&mut self, most: usize) {
        let position = self.reader.next_seq();
        let all = self.told.len();
        self.subscribers.retain_mut(|subscriber| {
            let Some(reader) = &mut subscriber.reader else {
                return true;
            };
            let told = &mut subscriber.told;
            let read = reader.read(most, Some(position), 0, &mut |step| {
                assert!(step.seq < position);
                note(told, step);
            });
            if reader.joins(position) {
                subscriber.reader = None;
                subscriber.joined = all;
            }
            // The log was trimmed meanwhile: what is told then is another matter.
            !matches!(read.unwrap(), Read::Info(_))
        });
    }

    /// Everybody joins, and got what was told since, without a gap or a repeat.
    fn end(&mut self) {
        while self.subscribers.iter().any(|s| s.reader.is_some()) {
            self.serve(10);
        }
        for subscriber in &self.subscribers {
            let mut got = subscriber.told.clone();
            got.extend_from_slice(&self.told[subscriber.joined..]);
            if self.is_delayed {
                drop_needless_deletes(&mut got, &self.told);
            }
            assert_eq!(
                bare(&got),
                bare(&self.told[subscriber.from..]),
                "resumed behind {:?} of a stream with delay {}",
                subscriber.from.checked_sub(1).map(|last| &self.told[last]),
                self.is_delayed
            );
        }
    }
}

impl Followers {
    pub fn new(store: &Store) -> Self {
        Self {
            streams: vec![Stream::new(store, false), Stream::new(store, true)],
        }
    }

    pub fn follow(&mut self, _store: &Store, dice: &mut Dice) {
        for stream in &mut self.streams {
            if dice.roll(3) > 0 {
                stream.follow(1 + dice.roll(12));
            }
            stream.serve(1 + dice.roll(8));
        }
    }

    pub fn subscribe(&mut self, store: &Store, _story: &Story, dice: &mut Dice) {
        for stream in &mut self.streams {
            stream.subscribe(store, store.log_floor(), dice);
        }
    }

    pub fn end(&mut self, _store: &Store) {
        for stream in &mut self.streams {
            stream.follow(usize::MAX);
            stream.end();
        }
    }
}
