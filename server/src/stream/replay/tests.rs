use std::collections::BTreeMap;

use orrery_query::stream::{Cause, Change, Filters, Operation, Prepared};
use tokio::sync::Notify;

use super::super::options::Options;
use super::super::queue::{Limits, Memory, Queue};
use super::super::registry::Run;
use super::super::subscriber::Unlisted;
use super::*;
use crate::params::Params;

/// Events of so many links each, from seq 1 on, in steps of 1,000.
struct Events {
    links: BTreeMap<u64, u32>,
    next_seq: u64,
    tells_all_below: u64,
}

struct Reader {
    links: BTreeMap<u64, u32>,
    next: u64,
    /// The links of the event that were given.
    given: u32,
    tells_all_below: u64,
}

/// An event that makes links, which the next undoes.
const MADE: u64 = 1_000;

fn step(seq: u64, from: u32, to: u32, all: u32) -> Step {
    let change = |index| Change {
        index,
        position: index,
        operation: if seq == MADE {
            Operation::Create
        } else {
            Operation::Delete
        },
        origin: Origin::Live,
        source: "com.ex.like:subject".into(),
        source_record: format!("at://did:plc:a/com.ex.like/{index}").into(),
        source_rev: None,
        subject: format!(
            "did:plc:{}.{index}",
            if seq == MADE + 1 { MADE } else { seq }
        )
        .into(),
        cause: Some(Cause::Account),
    };
    Step {
        changes: (from..to).map(change).collect(),
        is_last: to == all,
        ..Step::empty(seq, 1)
    }
}

impl Feed for Events {
    fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn reader(&self, start: Start, _: Forms) -> Result<Box<dyn StepReader>, IndexError> {
        let next = match start {
            Start::Seq(seq) | Start::After { seq, .. } => seq,
            Start::Now | Start::Time(_) => self.next_seq,
        };
        Ok(Box::new(Reader {
            links: self.links.clone(),
            next,
            given: 0,
            tells_all_below: self.tells_all_below,
        }))
    }
}

impl StepReader for Reader {
    fn next_seq(&self) -> u64 {
        self.next
    }

    fn tells_all_below(&self) -> u64 {
        self.tells_all_below
    }

    fn read(
        &mut self,
        most: usize,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Read, IndexError> {
        for _ in 0..most {
            let all = match self.links.get(&self.next) {
                Some(all) if self.next < before => *all,
                _ => return Ok(Read::CaughtUp),
            };
            loop {
                let to = all.min(self.given + 1_000);
                let flow = each(step(self.next, self.given, to, all));
                self.given = to;
                if to == all {
                    self.next += 1;
                    self.given = 0;
                }
                if flow.is_break() {
                    return Ok(Read::More);
                }
                if to == all {
                    break;
                }
            }
        }
        Ok(Read::More)
    }
}

fn events(links: &[u32]) -> Arc<Events> {
    Arc::new(Events {
        links: (1..).zip(links.iter().copied()).collect(),
        next_seq: links.len() as u64 + 1,
        tells_all_below: 0,
    })
}

/// A dispatcher that stands there.
fn dispatcher(
    feed: &Arc<Events>,
    delay: Option<Duration>,
    read: u64,
    told: u64,
) -> Arc<Dispatcher> {
    let dispatcher = Dispatcher::new(feed.clone(), delay, Arc::default(), 1);
    let dispatcher = Arc::new(dispatcher);
    stand(&dispatcher, read, told);
    dispatcher
}

fn stand(dispatcher: &Dispatcher, read: u64, told: u64) {
    dispatcher.registry.lock().run = Some(Run {
        read,
        told,
        is_within: false,
    });
}

fn subscriber(subject: &str) -> Arc<Subscriber> {
    let query = "cursor=1&allLinks=true&wantedOperations=create&wantedOperations=delete";
    let options = Options::parse(&Params::parse(query).unwrap()).unwrap();
    let limits = Limits {
        frames_max: 10,
        age_max: Duration::from_secs(30),
    };
    let filters = Filters {
        prefixes: vec![subject.to_owned()],
        ..Filters::default()
    };
    let wants = Wants::new(
        Prepared::new(&filters).unwrap(),
        &Arc::<Unlisted>::default(),
    );
    Arc::new(Subscriber {
        id: 0,
        form: options.form,
        queue: Queue::new(limits, &Arc::<Memory>::default()),
        wants: parking_lot::Mutex::new(Some(Arc::new(wants.unwrap()))),
        hello: Notify::new(),
    })
}

fn replay(feed: &Arc<Events>, dispatcher: &Arc<Dispatcher>, subject: &str, start: Start) -> Replay {
    let live_from = feed.next_seq;
    Replay::new(&**feed, &subscriber(subject), dispatcher, start, live_from).unwrap()
}

const DELAY: Option<Duration> = Some(Duration::from_secs(100_000));

#[test]
fn a_large_event_is_told_in_pieces_and_no_more_of_it_is_held() {
    let feed = events(&[1, 200_000, 1]);
    for delay in [None, DELAY] {
        let dispatcher = dispatcher(&feed, delay, 4, 4);
        let mut replay = replay(&feed, &dispatcher, "did:plc:", Start::Seq(1));
        let mut frames = 0;
        loop {
            let piece = replay.piece().unwrap();
            frames += piece.frames.len();
            assert!(piece.bytes < 2 * PIECE_BYTES, "{}", piece.bytes);
            let most = if replay.is_joined {
                HELD_LINKS
            } else {
                DUE_MAX
            };
            assert!(replay.due_changes <= most + 1_000, "{}", replay.due_changes);
            let held = replay.hold.as_ref().map_or(0, Hold::links);
            assert!(held <= HELD_LINKS + 1_000, "{held}");
            match piece.then {
                Then::Joined => break,
                Then::More => {}
                // What left early of a hold that was full was told, and the dispatcher has told it.
                Then::Wait(_) => panic!("waits"),
            }
        }
        assert_eq!(frames, 200_002, "{delay:?}");
        assert_eq!(replay.told, (3, Some(0)));
    }
}

#[test]
fn what_the_filters_reject_is_not_held() {
    let feed = events(&[50_000, 3]);
    for delay in [None, DELAY] {
        // It holds back all.
        let dispatcher = dispatcher(&feed, delay, 3, 1);
        let mut replay = replay(&feed, &dispatcher, "did:plc:2.", Start::Seq(1));
        stand(&dispatcher, 3, if delay.is_some() { 1 } else { 3 });
        replay.renew_filters().unwrap();
        while replay.read().unwrap() != Read::CaughtUp {
            let held = replay.hold.as_ref().map_or(0, Hold::links);
            assert!(held + replay.due_changes <= 3, "{delay:?}");
            if replay.due_changes == 3 {
                break;
            }
        }
        let held = replay.hold.as_ref().map_or(0, Hold::links);
        assert_eq!(held + replay.due_changes, 3, "{delay:?}");
    }
}

#[test]
fn where_all_was_told_it_joins_only_once_the_dispatcher_has_told_as_much() {
    let feed = Arc::new(Events {
        links: (1..8).map(|seq| (seq, 1)).collect(),
        next_seq: 8,
        tells_all_below: 5,
    });
    let dispatcher = dispatcher(&feed, DELAY, 6, 4);
    let mut replay = replay(&feed, &dispatcher, "did:plc:", Start::Seq(1));
    let wait = Then::Wait(PAUSE_LONG);
    assert_eq!(replay.piece().unwrap().then, wait);
    // It may have held event 4 when it read a delete of that, as event 5 or 6: these are to be told here.
    stand(&dispatcher, 7, 5);
    assert_eq!(replay.piece().unwrap().then, wait);
    stand(&dispatcher, 8, 6);
    assert_eq!(replay.piece().unwrap().then, wait);
    stand(&dispatcher, 8, 7);
    let piece = replay.piece().unwrap();
    assert_eq!((piece.frames.len(), piece.then), (6, Then::Joined));

    let dispatcher = self::dispatcher(&feed, None, 8, 4);
    let mut replay = self::replay(&feed, &dispatcher, "did:plc:", Start::Seq(1));
    assert_eq!(replay.piece().unwrap().then, wait);
    stand(&dispatcher, 8, 5);
    assert_eq!(replay.piece().unwrap().then, Then::Joined);
}

#[test]
fn nothing_is_left_out_between_the_coming_of_a_subscriber_and_its_reader() {
    let feed = events(&[1; 9]);
    let dispatcher = dispatcher(&feed, None, 10, 10);
    // It came when event 5 was the next.
    for start in [
        Start::Seq(5),
        Start::Seq(1 << 40),
        Start::After {
            seq: 1 << 40,
            index: 0,
        },
        Start::Time(u64::MAX),
    ] {
        let (start, needed) = place_of(start, 5);
        assert!(needed <= 5);
        let subscriber = subscriber("did:plc:");
        let mut replay = Replay::new(&*feed, &subscriber, &dispatcher, start, 5).unwrap();
        let piece = replay.piece().unwrap();
        assert_eq!(
            (piece.frames.len(), piece.then),
            (5, Then::Joined),
            "{start}"
        );
    }
    // What a crash took is waited for.
    assert_eq!(place_of(Start::Seq(7), 5), (Start::Seq(7), 7));
    let after = Start::After { seq: 7, index: 2 };
    assert_eq!(place_of(after, 5), (after, 8));
    assert_eq!(place_of(Start::Seq(4), 5), (Start::Seq(4), 0));
}

#[test]
fn what_was_undone_in_the_hold_of_the_dispatcher_is_undone_here_however_late_it_is_read() {
    let feed = Arc::new(Events {
        links: [(MADE, 1), (MADE + 1, 1)].into(),
        next_seq: MADE,
        tells_all_below: 0,
    });
    let delay = Some(Duration::from_millis(20));
    let dispatcher = dispatcher(&feed, delay, MADE + 1, MADE);
    let mut replay = replay(&feed, &dispatcher, "did:plc:", Start::Seq(MADE));
    let piece = replay.piece().unwrap();
    assert_eq!(piece.frames.len(), 0);
    std::thread::sleep(Duration::from_millis(40));
    // It has read the delete, and what that undoes has left its hold untold.
    stand(&dispatcher, MADE + 2, MADE + 1);
    let piece = replay.piece().unwrap();
    assert_eq!((piece.frames, piece.then), (Vec::new(), Then::Joined));
}
