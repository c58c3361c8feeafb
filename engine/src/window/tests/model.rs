//! Records and accounts against a plain map of what was accepted.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::{Deed, apply, body_at, dir, key_parts, options, record};
use crate::io::fault::{SimFs, SplitMix};
use crate::power_cut_tests::{did, time_us};
use crate::{AccountState, AccountView, Applied, Options, Recorded, Store, Writer};
use orrery_formats::event::Encoding;

const ACTORS: u64 = 3;
const KEYS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// An event, whose clock may be ahead.
    Event {
        actor: u64,
        deed: Deed,
        is_ahead: bool,
    },
    /// An earlier event once more.
    Repeat(prop::sample::Index),
    Seal,
    Commit,
    /// Closed in order, and opened again.
    Reopen,
    /// Killed and opened again.
    Kill,
    /// The power cut, and opened again.
    PowerCut(u64),
    /// As [`Step::Reopen`], without the key indexes of the log.
    LoseIndexes,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..KEYS, any::<bool>(), any::<bool>()).prop_map(|(key, is_create, has_link)| {
        Deed::Write {
            key,
            is_create,
            has_link,
        }
    });
    let status = prop::sample::select(vec![
        None,
        Some("suspended"),
        Some("takendown"),
        Some("deleted"),
    ]);
    let deed = prop_oneof![
        12 => write,
        4 => (0..KEYS).prop_map(|key| Deed::Delete { key }),
        4 => status.prop_map(Deed::Account),
        1 => Just(Deed::Identity),
    ];
    let event =
        (0..ACTORS, deed, prop::bool::weighted(0.15)).prop_map(|(actor, deed, is_ahead)| {
            Step::Event {
                actor,
                deed,
                is_ahead,
            }
        });
    let step = prop_oneof![
        20 => event,
        3 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        3 => Just(Step::Seal),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => Just(Step::LoseIndexes),
    ];
    proptest::collection::vec(step, 1..80)
}

/// An event that was accepted.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    seq: u64,
    place: u64,
    actor: u64,
    deed: Deed,
    rev_us: u64,
}

#[derive(Default)]
struct Model {
    /// By seq, which is the place here less one.
    accepted: Vec<Accepted>,
    /// The newest event of each key, of each account, and its newest deletion.
    records: BTreeMap<(u64, u64), Accepted>,
    accounts: BTreeMap<u64, Accepted>,
    deletions: BTreeMap<u64, Accepted>,
}

impl Model {
    fn accept(&mut self, event: Accepted) {
        self.accepted.push(event);
        match event.deed {
            Deed::Write { key, .. } | Deed::Delete { key } => {
                self.records.insert((event.actor, key), event);
            }
            Deed::Account(status) => {
                self.accounts.insert(event.actor, event);
                if status == Some("deleted") {
                    self.deletions.insert(event.actor, event);
                }
            }
            Deed::Identity => {}
        }
    }

    /// Only the first events are left.
    fn forget_behind(&mut self, seq: u64) {
        let kept = std::mem::take(self).accepted;
        for event in kept.into_iter().filter(|event| event.seq <= seq) {
            self.accept(event);
        }
    }

    fn record(&self, actor: u64, key: u64, floor: u64) -> Recorded {
        let event = self.records.get(&(actor, key));
        let gone = self.deletions.get(&actor);
        let deletion = gone.map_or(0, |event| event.seq);
        let seq = event.map_or(0, |event| event.seq);
        if seq.max(deletion) < floor {
            return Recorded::Unknown { window_from: floor };
        }
        match event {
            Some(event) if event.seq > deletion => match event.deed {
                Deed::Write { has_link, .. } => Recorded::Found {
                    seq,
                    rev: event.rev_us << 10,
                    time_us: time_us(event.place),
                    cid: format!("cid{}", event.place),
                    encoding: Encoding::Json,
                    body: body_at(event.place, has_link).into_bytes(),
                },
                _ => Recorded::Deleted {
                    seq,
                    time_us: time_us(event.place),
                },
            },
            _ => Recorded::Deleted {
                seq: deletion,
                time_us: gone.map_or(0, |event| time_us(event.place)),
            },
        }
    }

    fn account(&self, actor: u64, floor: u64) -> AccountView {
        let is_seen = |event: &Accepted| event.actor == actor && event.deed != Deed::Identity;
        let event = self.accounts.get(&actor);
        let is_kept = event.is_some_and(|event| event.seq >= floor);
        let status = event.and_then(|event| match event.deed {
            Deed::Account(status) => status,
            _ => None,
        });
        let state = match status {
            None if !self.accepted.iter().any(is_seen) => AccountState::Unknown,
            None => AccountState::Active,
            Some("deleted") if is_kept => AccountState::Deleted,
            Some("deleted") => AccountState::Active,
            Some(status) => AccountState::Hidden {
                status: is_kept.then(|| status.to_owned()),
            },
        };
        let deletion = self.deletions.get(&actor).map(|event| event.seq);
        AccountView {
            state,
            purged_through: deletion.filter(|seq| *seq >= floor),
        }
    }

    /// The newest event that may have changed a record.
    fn changed(&self, actor: u64, key: u64) -> u64 {
        let record = self.records.get(&(actor, key)).map_or(0, |event| event.seq);
        record.max(self.accounts.get(&actor).map_or(0, |event| event.seq))
    }
}

/// All that the store tells is what the model says.
fn check(store: &Store, model: &Model, floor_at_open: u64) {
    let floor = store.log_floor();
    assert_eq!(store.changed_floor(), floor_at_open);
    for actor in 0..ACTORS {
        for key in 0..KEYS {
            let what = format!("account {actor}, key {key}, of {:?}", model.accepted.last());
            let found = record(store, actor, key);
            assert_eq!(found, model.record(actor, key, floor), "{what}");
            let (collection, rkey) = key_parts(key);
            let hash = store.record_hash(&did(actor), collection, &rkey);
            let changed = store.changed_through(hash);
            assert!(changed >= model.changed(actor, key), "{what}");
            assert!(
                changed >= floor_at_open && changed < store.next_seq(),
                "{what}"
            );
        }
        let found = store.account(&did(actor)).unwrap();
        assert_eq!(found, model.account(actor, floor), "account {actor}");
    }
}

struct Run {
    fs: SimFs,
    options: Options,
    store: Store,
    writer: Writer,
    model: Model,
    floor: u64,
}

impl Run {
    fn new(options: Options) -> Self {
        let fs = SimFs::new();
        let store = Store::open_with_fs(fs.shared(), dir(), options.clone()).unwrap();
        let writer = store.writer().unwrap();
        Self {
            fs,
            options,
            store,
            writer,
            model: Model::default(),
            floor: 0,
        }
    }

    fn open(self, fs: SimFs, durable_seq: u64) -> Self {
        let Self {
            options,
            store,
            writer,
            mut model,
            fs: _,
            floor: _,
        } = self;
        drop((writer, store));
        let store = Store::open_with_fs(fs.shared(), dir(), options.clone()).unwrap();
        let floor = store.next_seq() - 1;
        assert!(floor >= durable_seq);
        model.forget_behind(floor);
        assert_eq!(model.accepted.len() as u64, floor);
        let writer = store.writer().unwrap();
        Self {
            fs,
            options,
            store,
            writer,
            model,
            floor,
        }
    }

    fn event(&mut self, place: u64, actor: u64, deed: Deed, is_ahead: bool) {
        let ahead_us = if is_ahead { 3_600_000_000 } else { 0 };
        let seq = match apply(&mut self.writer, place, actor, deed, ahead_us) {
            Applied::New { seq, .. } | Applied::Unchanged { seq, .. } => seq,
            Applied::Repeat => return,
            Applied::BadRecord(why) => panic!("{why}"),
        };
        self.model.accept(Accepted {
            seq,
            place,
            actor,
            deed,
            rev_us: time_us(place) + ahead_us,
        });
    }
}

fn play(options: Options, steps: &[Step], random: &mut SplitMix) {
    let mut run = Run::new(options);
    let mut events: Vec<(u64, u64, Deed, bool)> = Vec::new();
    for (place, step) in (1..).zip(steps) {
        match step {
            Step::Event {
                actor,
                deed,
                is_ahead,
            } => {
                events.push((place, *actor, *deed, *is_ahead));
                run.event(place, *actor, *deed, *is_ahead);
            }
            Step::Repeat(_) if events.is_empty() => {}
            Step::Repeat(index) => {
                let (place, actor, deed, is_ahead) = *index.get(&events);
                run.event(place, actor, deed, is_ahead);
            }
            Step::Seal => run.writer.seal().unwrap(),
            Step::Commit => run.writer.commit().unwrap(),
            Step::Reopen | Step::LoseIndexes => {
                run.writer.commit().unwrap();
                let fs = run.fs.killed();
                if matches!(step, Step::LoseIndexes) {
                    for path in super::files(&fs, "keys") {
                        crate::io::Fs::unlink(&fs, &path).unwrap();
                    }
                }
                let durable = run.store.status().durable_seq;
                run = run.open(fs, durable);
            }
            Step::Kill => {
                let (fs, durable) = (run.fs.killed(), run.store.status().durable_seq);
                run = run.open(fs, durable);
            }
            Step::PowerCut(seed) => {
                let (fs, durable) = (run.fs.crash(*seed), run.store.status().durable_seq);
                run = run.open(fs, durable);
            }
        }
        if random.next_u64().is_multiple_of(2) {
            check(&run.store, &run.model, run.floor);
        }
    }
    check(&run.store, &run.model, run.floor);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn records_and_accounts_are_those_of_a_plain_map_through_seals_trims_and_crashes(
        steps in steps(),
        log_bytes_max in prop::sample::select(vec![0_u64, 1 << 11, 1 << 13, 1 << 30]),
        frame_cache_bytes in prop::sample::select(vec![0_usize, 8 << 10, 16 << 20]),
        seal_events in prop::sample::select(vec![5_u32, 1_000]),
        seed in any::<u64>(),
    ) {
        let options = Options { log_bytes_max, frame_cache_bytes, seal_events, ..options() };
        play(options, &steps, &mut SplitMix::new(seed));
    }
}
