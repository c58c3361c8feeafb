//! Turns operations into events, gives them to the engine and the model, and remembers what the model was after each.

use std::collections::BTreeMap;
use std::rc::Rc;

use orrery_engine::Options;

use super::check;
use super::follow::Followers;
use crate::model::compare::Dice;
use crate::model::event::{Body, Event, Operation, Outcome};
use crate::model::ops::{Action, Op, Standing};
use crate::model::real::Real;
use crate::model::run::record;
use crate::model::universe::{START_US, Universe};
use crate::model::view::System;
use crate::model::world::World;

/// What was accepted under one seq, and what was known then.
#[derive(Clone)]
pub struct Moment {
    pub event: Event,
    pub world: Rc<World>,
}

/// Everything that was accepted, by its seq.
#[derive(Default)]
pub struct Story {
    pub moments: BTreeMap<u64, Moment>,
    /// The seq at which the row of a place was written.
    pub rows: BTreeMap<u64, u64>,
}

impl Story {
    /// The model before the first event, or after the event of that seq.
    pub fn world(&self, seq: u64) -> Rc<World> {
        let known = self.moments.get(&seq);
        known.map_or_else(Rc::default, |moment| Rc::clone(&moment.world))
    }
}

pub struct Driver {
    universe: Universe,
    real: Real,
    world: Rc<World>,
    story: Story,
    /// None while the store is shut.
    followers: Option<Followers>,
    in_order: bool,
    count: u64,
    commits: u64,
    seqs: u64,
    last: Option<Event>,
    dice: Dice,
}

impl Driver {
    pub fn new(universe: Universe, options: Options, in_order: bool) -> Self {
        let real = Real::new(options);
        let followers = Some(Followers::new(real.store()));
        Self {
            universe,
            real,
            world: Rc::default(),
            story: Story::default(),
            followers,
            in_order,
            count: 0,
            commits: 0,
            seqs: 0,
            last: None,
            dice: Dice(7),
        }
    }

    pub fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
        }
        self.check(1);
        self.end_followers();
    }

    fn check(&mut self, seed: u64) {
        check::everything(self.real.store(), &self.story, &mut Dice(seed));
    }

    /// Some events are seconds apart, so that the delay lets some go and holds some back.
    fn step_us(&self) -> u64 {
        if self.in_order { 45_000_000 } else { 2_600_000 }
    }

    fn deliver(&mut self, event: &Event) {
        let places = self.world.places();
        let expected = Rc::make_mut(&mut self.world).apply(event);
        let found = self.real.apply(event);
        assert_eq!(
            found == Outcome::Repeat,
            expected == Outcome::Repeat,
            "{event:?} is {found:?} to the engine, {expected:?} to the model"
        );
        if expected != Outcome::Repeat {
            let seq = self.real.store().next_seq() - 1;
            for place in places + 1..=self.world.places() {
                self.story.rows.insert(place, seq);
            }
            let moment = Moment {
                event: event.clone(),
                world: Rc::clone(&self.world),
            };
            self.story.moments.insert(seq, moment);
        }
        self.real.at(self.count);
        if self.dice.roll(3) == 0
            && let Some(followers) = &mut self.followers
        {
            followers.follow(&mut self.dice);
        }
    }

    fn fresh(&mut self, did: usize, body: Body) {
        let did = self.universe.dids[did % self.universe.dids.len()].clone();
        // Mostly rising times, now and then one that went back.
        let back = match self.count % 7 {
            3 if !self.in_order => self.count.min(5),
            _ => 0,
        };
        let event = Event {
            time_us: START_US + self.step_us() * (self.count - back) + 2_000,
            did,
            body,
        };
        self.count += 1;
        self.deliver(&event);
        self.last = Some(event);
    }

    fn commit(&mut self, did: usize, key: usize, action: &Action, late: bool) {
        let late = late && !self.in_order;
        self.commits += u64::from(!late);
        let commits = self.commits - if late { self.commits.min(3) } else { 0 };
        let rev_us = START_US + commits * self.step_us() + u64::from(late);
        let keys = self.universe.keys();
        let (collection, rkey) = keys[key % keys.len()];
        let targets = &self.universe.targets;
        let body = Body::Commit {
            rev: rev_us << 10 | 17,
            collection: collection.to_owned(),
            rkey: rkey.to_owned(),
            operation: match action {
                Action::Create(recipe) => Operation::Create(record(recipe, targets)),
                Action::Update(recipe) => Operation::Update(record(recipe, targets)),
                Action::Delete => Operation::Delete,
            },
        };
        self.fresh(did, body);
    }

    fn account(&mut self, did: usize, standing: Standing, behind: u64) {
        let (active, status) = match standing {
            Standing::Active => (true, None),
            Standing::ActiveWithStatus => (true, Some("deleted")),
            Standing::Deactivated => (false, Some("deactivated")),
            Standing::TakenDown => (false, Some("takendown")),
            Standing::Suspended => (false, Some("suspended")),
            Standing::Unheard => (false, Some("hibernating")),
            Standing::Inactive => (false, None),
            Standing::Deleted => (false, Some("deleted")),
        };
        let body = Body::Account {
            seq: self.seqs.saturating_sub(behind).max(1),
            active,
            status: status.map(str::to_owned),
        };
        self.fresh(did, body);
    }

    /// Readers keep the directory locked.
    fn end_followers(&mut self) {
        if let Some(mut followers) = self.followers.take() {
            followers.end(&self.story);
        }
    }

    /// Stops, and forgets what was not durable, as the source does not deliver it again.
    fn stop(&mut self, keeps_all: bool) {
        self.end_followers();
        if keeps_all {
            self.real.restart();
        } else {
            self.real.crash();
        }
        let next_seq = self.real.store().next_seq();
        self.story.moments.split_off(&next_seq);
        self.story.rows.retain(|_, seq| *seq < next_seq);
        self.world = self.story.world(next_seq - 1);
        self.followers = Some(Followers::new(self.real.store()));
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Commit { did, writes } => {
                for (key, action) in writes {
                    self.commit(*did, *key, action, false);
                }
            }
            Op::LateCommit { did, key, action } => self.commit(*did, *key, action, true),
            Op::Account { did, standing } => {
                self.seqs += 1;
                self.account(*did, *standing, 0);
            }
            Op::StaleAccount {
                did,
                standing,
                behind,
            } => self.account(*did, *standing, *behind),
            Op::Identity { did } => {
                self.seqs += 1;
                let body = Body::Identity {
                    seq: self.seqs,
                    handle: None,
                };
                self.fresh(*did, body);
            }
            Op::Repeat => {
                let is_commit = |event: &Event| !matches!(event.body, Body::Identity { .. });
                if let Some(last) = self.last.clone().filter(is_commit) {
                    self.deliver(&last);
                }
            }
            // What is excluded is left out behind the reader, where it would be told.
            Op::Exclusion { .. } => {}
            Op::Commitment => self.real.commit(),
            Op::Seal => self.real.seal(),
            Op::Merge => self.real.merge(),
            Op::Compact => self.real.compact(),
            Op::Restart => self.stop(true),
            Op::Crash => self.stop(false),
            Op::Check { seed } => self.check(*seed),
            Op::Hold => {
                if let Some(followers) = &mut self.followers {
                    followers.subscribe(self.real.store(), &mut self.dice);
                }
            }
            Op::Walk { between, .. } => {
                for op in between.iter().flatten() {
                    self.step(op);
                }
            }
            // What comes again is a repeat, which has no seq. In their place there are more starts, which take all from
            // memory that the log does not have.
            Op::Rewind { .. } | Op::RewindAll if self.in_order => {
                self.real.seal();
                self.stop(true);
            }
            Op::Rewind { .. } | Op::RewindAll => {}
        }
    }
}
