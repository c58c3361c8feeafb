//! Readers that follow the store while it changes: that of a live stream, and subscribers who resume, or come from before
//! the log, and join it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use orrery_engine::Store;
use orrery_query::stream::{Change, Forms, Info, Operation, Read, Reader, Start, Step};

use super::check::{link, visible};
use super::driver::Story;
use crate::model::compare::Dice;

/// A change and the event that made it.
type Told = (u64, Change);

/// Everybody who follows.
pub struct Followers {
    stream: Stream,
}

/// A live stream with what it told and those who are to join it.
struct Stream {
    reader: Reader,
    told: Vec<Told>,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    /// `None` once it joined.
    reader: Option<Reader>,
    /// How much the stream had told at the change that it resumed behind; `None` for one who was told nothing and wants
    /// everything.
    from: Option<usize>,
    /// What it got by itself, and then how much the stream had told when it joined.
    told: Vec<Told>,
    joined: usize,
    infos: usize,
    /// Whether nothing had been told to it at the last of them.
    is_new: bool,
}

fn note(told: &mut Vec<Told>, step: Step) -> ControlFlow<()> {
    told.extend(step.changes.into_iter().map(|change| (step.seq, change)));
    ControlFlow::Continue(())
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

impl Stream {
    fn new(store: &Store) -> Self {
        let reader = Reader::open(store, Start::Now, Forms::CHANGES).unwrap();
        Self {
            reader: reader.live_from(0),
            told: Vec::new(),
            subscribers: Vec::new(),
        }
    }

    fn follow(&mut self, most: usize) {
        let told = &mut self.told;
        let read = self
            .reader
            .read(most, u64::MAX, &mut |step| note(told, step));
        assert!(!matches!(read.unwrap(), Read::Info(_)));
    }

    /// Somebody comes who has seen some of what was told, or nothing.
    fn subscribe(&mut self, store: &Store, floor: u64, dice: &mut Dice) {
        let from = dice.roll(self.told.len() + 1);
        let (start, from) = match from.checked_sub(1).map(|last| &self.told[last]) {
            Some((seq, _)) if *seq < floor => return,
            Some((seq, change)) if dice.roll(3) > 0 => {
                let (seq, index) = (*seq, change.index);
                (Start::After { seq, index }, Some(from))
            }
            _ => (Start::Seq(1), None),
        };
        self.subscribers.push(Subscriber {
            reader: Some(Reader::open(store, start, Forms::CHANGES).unwrap()),
            from,
            told: Vec::new(),
            joined: 0,
            infos: 0,
            is_new: false,
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
            let read = reader.read(most, position, &mut |step| note(told, step));
            match read.unwrap() {
                Read::More => {}
                Read::CaughtUp => {
                    if reader.next_seq() == position && reader.tells_all_below() <= position {
                        subscriber.reader = None;
                        subscriber.joined = all;
                    }
                }
                Read::Info(info) => {
                    assert!(matches!(info, Info::OutdatedCursor { .. }), "{info:?}");
                    subscriber.infos += 1;
                    subscriber.is_new = subscriber.told.is_empty();
                }
            }
            // If the log was trimmed meanwhile, what is told then is another matter: of what was told before, something may
            // be gone without a trace.
            subscriber.infos == 0 || subscriber.is_new
        });
    }

    /// Everybody joins, and got what was told since, without a gap or a repeat.
    fn end(&mut self, story: &Story) {
        while self.subscribers.iter().any(|s| s.reader.is_some()) {
            self.serve(10);
        }
        for subscriber in &self.subscribers {
            let mut got = subscriber.told.clone();
            got.extend_from_slice(&self.told[subscriber.joined..]);
            let Some(from) = subscriber.from else {
                let mut shown = BTreeSet::new();
                for (_, change) in &got {
                    match change.operation {
                        Operation::Create => _ = shown.insert(link(change)),
                        Operation::Delete => _ = shown.remove(&link(change)),
                    }
                }
                let world = story.world(self.reader.next_seq() - 1);
                assert_eq!(shown, visible(&world), "{got:?}");
                continue;
            };
            assert_eq!(
                bare(&got),
                bare(&self.told[from..]),
                "resumed behind {:?}",
                from.checked_sub(1).map(|last| &self.told[last]),
            );
        }
    }
}

impl Followers {
    pub fn new(store: &Store) -> Self {
        Self {
            stream: Stream::new(store),
        }
    }

    pub fn follow(&mut self, dice: &mut Dice) {
        if dice.roll(3) > 0 {
            self.stream.follow(1 + dice.roll(12));
        }
        self.stream.serve(1 + dice.roll(8));
    }

    pub fn subscribe(&mut self, store: &Store, dice: &mut Dice) {
        self.stream.subscribe(store, store.log_floor(), dice);
    }

    pub fn end(&mut self, story: &Story) {
        self.stream.follow(usize::MAX);
        self.stream.end(story);
    }
}
