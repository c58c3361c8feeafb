//! The driver: turns operations into events, gives them to the engine and to the model, and compares.

use std::collections::BTreeSet;
use std::rc::Rc;

use orrery_engine::Excluded;
use serde_json::{Map, Value, json};

use super::compare::{self, Dice};
use super::event::{Body, Event, Operation, Outcome};
use super::ops::{Action, Excludable, Op, Recipe, Standing, WalkKind};
use super::real::{Real, RealView};
use super::universe::{PATHS, START_US, Universe};
use super::view::{Other, Question, System};
use super::world::World;

/// The items of one page, each in a comparable form.
pub type WalkPage = Vec<String>;

/// A list that is walked while the world changes.
#[derive(Debug, Clone)]
pub struct Walk {
    pub question: Question,
    pub other: Option<Other>,
    /// Accounts in place of records; counts in place of pairs.
    pub grouped: bool,
    pub reverse: bool,
    pub limit: u32,
}

impl Walk {
    /// The items of the list as the model has them, each with what must not change for it to stand
    /// unchanged: its place.
    fn items(&self, world: &World) -> BTreeSet<(String, u64)> {
        match (&self.other, self.grouped) {
            (None, false) => world
                .matching(&self.question)
                .into_iter()
                .map(|(key, row)| (format!("{key:?}"), row.place))
                .collect(),
            (None, true) => world.authors(&self.question).into_iter().collect(),
            (Some(other), false) => world
                .pairs(&self.question, other)
                .into_iter()
                .map(|(key, place, subject)| (format!("{key:?} {subject}"), place))
                .collect(),
            (Some(other), true) => {
                // The place of a count is that of its oldest pair.
                let mut first = BTreeSet::new();
                let mut seen = BTreeSet::new();
                for (_, place, subject) in world.pairs(&self.question, other) {
                    if seen.insert(subject.clone()) {
                        first.insert((subject, place));
                    }
                }
                first
            }
        }
    }
}

/// The engine and the model side by side, and everything that was ever delivered.
pub struct Driver {
    pub universe: Universe,
    pub real: Real,
    pub world: Rc<World>,
    history: Vec<Event>,
    held: Vec<(RealView, Rc<World>)>,
    dice: Dice,
    /// Whether events come in the order of their times and of their accounts' revisions, with much time
    /// between them.
    in_order: bool,
    commits: u64,
    seqs: u64,
    /// Whether the cursor stood behind the newest event since the last commit by command.
    rewound: bool,
    /// Position of the event at which the engine last sealed of itself. Such a seal comes before the driver
    /// can tell the event's position, so the event is durable while the cursor still stands before it.
    sealed_at: usize,
}

/// Builds the record that a recipe describes.
pub fn record(recipe: &Recipe, targets: &[String]) -> String {
    let target = |number: &usize| Value::String(targets[number % targets.len()].clone());
    let mut members = Map::new();
    members.insert("$type".to_owned(), json!("app.test.record"));
    members.insert("createdAt".to_owned(), json!("2026-11-01T00:00:00Z"));
    members.insert("text".to_owned(), json!("see https://not.example for more"));
    if let Some(number) = &recipe.subject {
        members.insert("subject".to_owned(), target(number));
    }
    if let Some(number) = &recipe.via {
        members.insert(
            "via".to_owned(),
            json!({"uri": target(number), "cid": "bafyreib4"}),
        );
    }
    if !recipe.items.is_empty() {
        members.insert(
            "items".to_owned(),
            recipe.items.iter().map(target).collect(),
        );
    }
    if !recipe.facets.is_empty() {
        let features: Vec<Value> = recipe
            .facets
            .iter()
            .map(|number| json!({"uri": target(number)}))
            .collect();
        let facet = json!({"$type": "app.test.richtext#link", "index": {"byteStart": 0}, "features": features});
        members.insert("facets".to_owned(), json!([facet]));
    }
    Value::Object(members).to_string()
}

impl Driver {
    pub fn new(universe: Universe, real: Real) -> Self {
        Self {
            universe,
            real,
            world: Rc::default(),
            history: Vec::new(),
            held: Vec::new(),
            dice: Dice(7),
            in_order: false,
            commits: 0,
            seqs: 0,
            rewound: false,
            sealed_at: usize::MAX,
        }
    }

    /// Events in order, 45 seconds apart: what there must be for repeats from before the log's window to be
    /// told exactly.
    pub fn in_order(mut self) -> Self {
        self.in_order = true;
        self
    }

    fn step_us(&self) -> u64 {
        if self.in_order { 45_000_000 } else { 4_000 }
    }

    /// Runs operations, and compares everything at the end.
    pub fn run(&mut self, ops: &[Op]) {
        for (number, op) in ops.iter().enumerate() {
            self.step(&format!("operation {number}"), op);
        }
        self.check_held("at the end");
        self.compare_all("at the end", 1);
    }

    pub fn through_us(&self) -> u64 {
        START_US + self.step_us() * self.history.len() as u64
    }

    pub fn compare_all(&self, context: &str, seed: u64) {
        let mut dice = Dice(seed);
        compare::everything(
            context,
            &self.real.snapshot(),
            &*self.world,
            self.through_us(),
            &self.universe,
            &mut dice,
        );
    }

    fn glance(&mut self, context: &str) {
        compare::glance(
            context,
            &self.real.snapshot(),
            &*self.world,
            self.through_us(),
            &self.universe,
            &mut self.dice,
        );
    }

    fn check_held(&mut self, context: &str) {
        let through_us = self.through_us();
        for (view, world) in &self.held {
            // The totals of held views have a test of their own.
            let mut dice = Dice(3);
            compare::lists(
                &format!("{context}, a view held"),
                view,
                &**world,
                through_us,
                &self.universe,
                &mut dice,
            );
        }
        self.held.clear();
    }

    /// Delivers an event to both, and demands that both see in it the same.
    fn deliver(&mut self, context: &str, event: &Event) {
        let expected = Rc::make_mut(&mut self.world).apply(event);
        let segments = self.real.segments();
        let found = self.real.apply(event);
        if self.real.segments() != segments {
            self.sealed_at = self.history.len();
        }
        let agree = match (found, expected) {
            // Identity events have no effect, whatever is said of them.
            _ if matches!(event.body, Body::Identity { .. }) => true,
            // A record without links that replaces one without is either.
            (Outcome::Unchanged, Outcome::New { links: 0 }) => true,
            _ => found == expected,
        };
        assert!(
            agree,
            "{context}: {event:?} is {found:?} to the engine, {expected:?} to the model"
        );
    }

    /// A new event: delivered, and remembered for rewinds.
    fn fresh(&mut self, context: &str, did: usize, body: Body) {
        let did = self.universe.dids[did % self.universe.dids.len()].clone();
        // Mostly rising times, now and then one that went back.
        let count = self.history.len() as u64;
        let back = if count % 7 == 3 && !self.in_order {
            count.min(5)
        } else {
            0
        };
        let event = Event {
            time_us: START_US + self.step_us() * (count - back) + 2_000,
            did,
            body,
        };
        self.deliver(context, &event);
        self.history.push(event);
        self.real.at(self.history.len() as u64);
    }

    /// The revision of a new commit. Two accounts have clocks that are far off.
    fn rev(&mut self, did: usize, late: bool) -> u64 {
        self.commits += 1;
        let years_us = 365 * 86_400_000_000_i64;
        let clock_us = match did % self.universe.dids.len() {
            2 => START_US.cast_signed() + 2 * years_us,
            4 => START_US.cast_signed() - 5 * years_us,
            _ => START_US.cast_signed(),
        };
        let late = late && !self.in_order;
        let behind = if late { 3 } else { 0 };
        let time_us = clock_us.cast_unsigned()
            + (self.commits - behind.min(self.commits)) * self.step_us()
            + u64::from(late);
        time_us << 10 | 17
    }

    fn commit_body(&self, rev: u64, key: usize, action: &Action) -> Body {
        let keys = self.universe.keys();
        let (collection, rkey) = keys[key % keys.len()];
        let targets = &self.universe.targets;
        Body::Commit {
            rev,
            collection: collection.to_owned(),
            rkey: rkey.to_owned(),
            operation: match action {
                Action::Create(recipe) => Operation::Create(record(recipe, targets)),
                Action::Update(recipe) => Operation::Update(record(recipe, targets)),
                Action::Delete => Operation::Delete,
            },
        }
    }

    fn account_body(seq: u64, standing: Standing) -> Body {
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
        Body::Account {
            seq,
            active,
            status: status.map(str::to_owned),
        }
    }

    /// Delivers again from position `from`, comparing after every event; nothing may change.
    fn rewind(&mut self, context: &str, from: usize, interleave: Option<usize>) {
        let through = self.history.len();
        self.rewound |= from < through;
        for position in from..through {
            let context = format!("{context}, event {position} again");
            let event = self.history[position].clone();
            let before = Rc::clone(&self.world);
            self.deliver(&context, &event);
            assert!(
                *before == *self.world,
                "{context}: the model itself changed"
            );
            self.real.at(position as u64 + 1);
            self.glance(&context);
            if interleave.is_some_and(|every| position % every == 0) {
                let rev = self.rev(position, false);
                let recipe = Recipe {
                    subject: Some(position),
                    ..Recipe::default()
                };
                let body = self.commit_body(rev, position, &Action::Create(recipe));
                self.fresh(&context, position, body);
            }
        }
        self.real.at(self.history.len() as u64);
    }

    /// Delivers everything again, with a glance at the answers every thousand events.
    pub fn redeliver_everything(&mut self) {
        for position in 0..self.history.len() {
            let event = self.history[position].clone();
            self.deliver("everything again", &event);
            if position % 1_000 == 0 {
                self.glance("everything again");
            }
        }
    }

    fn exclude(&mut self, of: Excludable, excluded: bool) {
        let (did, target);
        let (text, is_target) = match of {
            Excludable::Account(number) => {
                did = &self.universe.dids[number % self.universe.dids.len()];
                (did, false)
            }
            Excludable::Target(number) => {
                target = &self.universe.targets[number % self.universe.targets.len()];
                (target, true)
            }
        };
        let entry = Excluded::parse(text, is_target).expect("a DID or a target");
        self.real.exclude(&entry, excluded);
        let world = Rc::make_mut(&mut self.world);
        let list = match of {
            Excludable::Account(_) => &mut world.excluded,
            Excludable::Target(_) => &mut world.excluded_targets,
        };
        if excluded {
            list.insert(entry.value);
        } else {
            list.remove(&entry.value);
        }
    }

    fn crash(&mut self, context: &str) {
        self.check_held(context);
        let durable = usize::try_from(self.real.crash()).unwrap();
        assert!(
            durable <= self.history.len(),
            "{context}: a cursor from the future"
        );
        if !self.rewound {
            // Exactly the events up to the durable cursor are there.
            // What is excluded does not depend on the events that are left.
            let mut world = World::default();
            world.excluded.clone_from(&self.world.excluded);
            world
                .excluded_targets
                .clone_from(&self.world.excluded_targets);
            let through = durable + usize::from(self.sealed_at == durable);
            for event in &self.history[..through] {
                world.apply(event);
            }
            let mut dice = Dice(11);
            let through_us = self.through_us();
            let context = format!(
                "{context}, restarted at {durable} of {}",
                self.history.len()
            );
            compare::everything(
                &context,
                &self.real.snapshot(),
                &world,
                through_us,
                &self.universe,
                &mut dice,
            );
        }
        // The source delivers from its cursor on, and the event at the cursor once more.
        for position in durable.saturating_sub(1)..self.history.len() {
            let event = self.history[position].clone();
            self.real.apply(&event);
            self.real.at(position as u64 + 1);
        }
        self.rewound = true;
        self.compare_all(&format!("{context}, delivered again from {durable}"), 13);
    }

    /// One operation.
    pub fn step(&mut self, context: &str, op: &Op) {
        match op {
            Op::Commit { did, writes } => {
                let rev = self.rev(*did, false);
                let mut written = BTreeSet::new();
                for (key, action) in writes {
                    // No commit writes a record twice, which only the log's window tells.
                    if self.in_order && !written.insert(key % self.universe.keys().len()) {
                        continue;
                    }
                    let body = self.commit_body(rev, *key, action);
                    self.fresh(context, *did, body);
                }
            }
            Op::LateCommit { did, key, action } => {
                let rev = self.rev(*did, true);
                let body = self.commit_body(rev, *key, action);
                self.fresh(context, *did, body);
            }
            Op::Account { did, standing } => {
                self.seqs += 1;
                self.fresh(context, *did, Self::account_body(self.seqs, *standing));
            }
            Op::StaleAccount {
                did,
                standing,
                behind,
            } => {
                let seq = self.seqs.saturating_sub(*behind).max(1);
                self.fresh(context, *did, Self::account_body(seq, *standing));
            }
            Op::Identity { did } => {
                self.seqs += 1;
                let body = Body::Identity {
                    seq: self.seqs,
                    handle: Some("alice.example".to_owned()),
                };
                self.fresh(context, *did, body);
            }
            Op::Exclusion { of, excluded } => self.exclude(*of, *excluded),
            Op::Repeat => self.rewind(context, self.history.len().saturating_sub(1), None),
            Op::Rewind { back, interleave } => {
                self.rewind(
                    context,
                    self.history.len().saturating_sub(*back),
                    *interleave,
                );
            }
            Op::RewindAll => self.rewind(context, 0, None),
            Op::Commitment => {
                self.real.commit();
                self.rewound = false;
            }
            Op::Seal => {
                self.real.seal();
                self.rewound = false;
                self.glance(context);
            }
            Op::Merge => {
                self.real.merge();
                self.glance(context);
            }
            Op::Compact => {
                self.real.compact();
                self.rewound = false;
                self.glance(context);
            }
            Op::Restart => {
                self.check_held(context);
                self.real.restart();
                self.rewound = false;
                // That it is the newest place has a test of its own.
                let durable = usize::try_from(self.real.durable()).unwrap();
                assert!(
                    durable <= self.history.len(),
                    "{context}: a cursor from the future"
                );
                self.glance(context);
            }
            Op::Crash => self.crash(context),
            Op::Check { seed } => self.compare_all(context, *seed),
            Op::Hold => {
                if self.held.len() < 3 {
                    self.held
                        .push((self.real.snapshot(), Rc::clone(&self.world)));
                }
            }
            Op::Walk {
                kind,
                target,
                source,
                other,
                reverse,
                limit,
                between,
            } => {
                let mut question = compare::question(
                    &self.universe.targets[target % self.universe.targets.len()],
                    compare::source(&self.universe, *source),
                );
                if *kind == WalkKind::RecordsOfDids {
                    question.dids = Some(self.universe.dids.iter().take(2).cloned().collect());
                }
                let far = matches!(kind, WalkKind::Many | WalkKind::ManyCounts);
                let walk = Walk {
                    question,
                    other: far.then(|| Other {
                        path: PATHS[*other % PATHS.len()].to_owned(),
                        subjects: None,
                    }),
                    grouped: matches!(kind, WalkKind::Dids | WalkKind::ManyCounts),
                    reverse: *reverse,
                    limit: *limit,
                };
                self.walk(context, &walk, between);
            }
        }
    }

    /// Walks a list page by page while the world changes: whatever stood unchanged throughout is given
    /// exactly once, and whatever is given stood in the list then.
    pub fn walk(&mut self, context: &str, walk: &Walk, between: &[Vec<Op>]) {
        // A walk stays with the form of the target that it began with; without links yet there is nothing to walk.
        let began = self.world.resolve(
            &walk.question.target,
            Some((&walk.question.collection, &walk.question.path)),
        );
        let mut stable = walk.items(&self.world);
        let mut given = Vec::new();
        let mut cursor: Option<String> = None;
        let mut changes = between.iter();
        loop {
            let now = walk.items(&self.world);
            let (page, next) = self.real.snapshot().page(walk, cursor.as_deref());
            let context = format!("{context}, {walk:?} from {cursor:?}");
            assert!(
                page.len() <= walk.limit as usize,
                "{context}: too long a page"
            );
            assert!(
                next.is_none() || page.len() == walk.limit as usize,
                "{context}: a short page {page:?}"
            );
            for item in &page {
                assert!(
                    now.iter().any(|(known, _)| known == item),
                    "{context}: {item} is not in the list"
                );
            }
            given.extend(page);
            let Some(next) = next else { break };
            cursor = Some(next);
            for op in changes.next().into_iter().flatten() {
                self.step(&context, op);
                let now = walk.items(&self.world);
                stable.retain(|item| now.contains(item));
            }
            let source = (
                walk.question.collection.as_str(),
                walk.question.path.as_str(),
            );
            if self.world.resolve(&walk.question.target, Some(source)) != began {
                return;
            }
        }
        for (item, _) in &stable {
            let times = given.iter().filter(|seen| *seen == item).count();
            assert_eq!(
                times, 1,
                "{context}, {walk:?}: {item} stood throughout; given {given:?}"
            );
        }
    }
}
