//! The delay of the delayed stream: steps wait, and what is undone before its time has come is never told.
//!
//! Steps leave in the order in which they came, which is that of seqs. The oldest leaves when an event has
//! come that is a delay younger by the events' own times, so that a replay holds back what the live stream
//! held back; or a delay after it came, so that a quiet source delays nothing for ever. Times in the future say
//! nothing: one such event would let all others go at once.
//!
//! What leaves is given by [`Hold::release`], and counts until then: whoever stages releases when it
//! [is full](Hold::is_full).
//!
//! Undone is:
//! - of [`Step::changes`], a create whose delete comes: neither is told;
//! - of [`Step::plain`], all of a record's version when the record is written or deleted again. What is
//!   left is the newest version, a delay after it came.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::types::{Change, Operation, Step};

/// How long the delayed stream waits, in microseconds.
pub const DELAY_US: u64 = 21_000_000;
/// The most changes of both forms that are held; beyond, the oldest leave early. Some 12,000 links a second.
pub const HELD_LINKS_MAX: usize = 524_288;
/// The most bytes that are held, about; beyond, the oldest leave early.
pub const HELD_BYTES_MAX: usize = 128 << 20;

/// Steps that wait. It reads no clock: times of arrival are the caller's, in microseconds since any moment, and
/// never go back.
#[derive(Debug)]
pub struct Hold {
    delay_us: u64,
    links_max: usize,
    bytes_max: usize,
    seed: u64,
    /// In order of seq.
    held: VecDeque<Held>,
    /// How many were taken out of `held`: the number of its first.
    first: u64,
    /// Steps whose time has come, and which nothing undoes any more.
    ready: VecDeque<Ready>,
    held_size: Size,
    ready_size: Size,
    /// The newest time of an event.
    newest_us: u64,
    /// All events below were staged.
    staged: u64,
    /// For each record the held step that has its newest version.
    versions: HashMap<u64, u64>,
    /// For each link whose create is held: the step, and the place in its changes.
    creates: HashMap<u128, (u64, u32)>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Ready {
    step: Step,
    bytes: usize,
}

impl Ready {
    fn size(&self) -> Size {
        Size {
            links: links_of(&self.step),
            bytes: self.bytes,
        }
    }
}

/// How much some steps are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    links: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.links += other.links;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Self) {
        self.links -= other.links;
        self.bytes -= other.bytes;
    }
}

#[derive(Debug)]
struct Held {
    step: Step,
    /// Its time, as far as that is to be believed.
    time_us: u64,
    arrived_us: u64,
    /// Places in `step.changes` that are undone.
    undone: Vec<u32>,
    bytes: usize,
}

impl Held {
    fn size(&self) -> Size {
        Size {
            links: links_of(&self.step),
            bytes: self.bytes,
        }
    }

    fn into_step(mut self) -> Step {
        if !self.undone.is_empty() {
            self.undone.sort_unstable();
            let mut undone = self.undone.iter().copied().peekable();
            let mut place = 0;
            self.step.changes.retain(|_| {
                let stays = undone.next_if_eq(&place).is_none();
                place += 1;
                stays
            });
        }
        self.step
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new(DELAY_US, HELD_LINKS_MAX, HELD_BYTES_MAX)
    }
}

impl Hold {
    /// A hold of this delay and these bounds.
    #[must_use]
    pub fn new(delay_us: u64, links_max: usize, bytes_max: usize) -> Self {
        Self {
            delay_us,
            links_max,
            bytes_max,
            seed: super::secret_seed(),
            held: VecDeque::new(),
            first: 0,
            ready: VecDeque::new(),
            held_size: Size::default(),
            ready_size: Size::default(),
            newest_us: 0,
            staged: 0,
            versions: HashMap::new(),
            creates: HashMap::new(),
            scratch: Vec::new(),
        }
    }

    /// The seq behind the newest staged event.
    #[must_use]
    pub fn staged(&self) -> u64 {
        self.staged
    }

    /// The seq of the oldest step that has not left; that behind the newest staged event where all have.
    #[must_use]
    pub fn released(&self) -> u64 {
        let ready = self.ready.front().map(|ready| &ready.step);
        let oldest = ready.or_else(|| self.held.front().map(|held| &held.step));
        oldest.map_or(self.staged, |step| step.seq)
    }

    /// How many changes wait.
    #[must_use]
    pub fn links(&self) -> usize {
        self.held_size.links + self.ready_size.links
    }

    /// Whether all that has not left, and what has only to be released of it, is more than the bounds allow. Then some of it
    /// is to be released before more is staged.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut all = self.held_size;
        all.add(self.ready_size);
        self.is_beyond(all)
    }

    fn is_beyond(&self, size: Size) -> bool {
        size.links > self.links_max || size.bytes > self.bytes_max
    }

    /// Takes the next step in. Steps come in order of seq, those that say nothing too. `wall_us` is the present as
    /// events tell it, in microseconds since 1970.
    pub fn stage(&mut self, step: Step, now_us: u64, wall_us: u64) {
        self.staged = step.seq.saturating_add(u64::from(step.is_last));
        let time_us = if step.time_us <= wall_us {
            step.time_us
        } else {
            self.newest_us
        };
        self.newest_us = self.newest_us.max(time_us);
        // Before the step undoes anything: what its time lets go was told before it came, however many steps are
        // staged between two releases.
        while self
            .held
            .front()
            .is_some_and(|held| self.newest_us.saturating_sub(held.time_us) >= self.delay_us)
        {
            self.let_go();
        }
        let step = self.undo(step);
        if step.is_empty() {
            return;
        }
        let number = self.first.saturating_add(self.held.len() as u64);
        if !step.plain.is_empty() {
            self.versions.insert(step.key, number);
        }
        for (place, change) in step.changes.iter().enumerate() {
            if change.operation == Operation::Create {
                let link = link_hash(self.seed, &mut self.scratch, change);
                // Of a link that was told or is told twice, the delete must be told too.
                if self.creates.remove(&link).is_none() && !step.repeats {
                    self.creates.insert(link, (number, place as u32));
                }
            }
        }
        let held = Held {
            bytes: bytes_of(&step),
            step,
            time_us,
            arrived_us: now_us,
            undone: Vec::new(),
        };
        self.held_size.add(held.size());
        self.held.push_back(held);
        while self.is_beyond(self.held_size) {
            if !self.let_go() {
                break;
            }
        }
    }

    /// Takes out of the held steps what this one undoes, and out of this one the deletes of that.
    fn undo(&mut self, mut step: Step) -> Step {
        if step.key != 0
            && let Some(number) = self.versions.remove(&step.key)
            && let Some(held) = number_in(&mut self.held, self.first, number)
        {
            let plain = std::mem::take(&mut held.step.plain);
            self.held_size.links -= plain.len();
        }
        step.changes.retain(|change| {
            if change.operation != Operation::Delete {
                return true;
            }
            let link = link_hash(self.seed, &mut self.scratch, change);
            let Some((number, place)) = self.creates.remove(&link) else {
                return true;
            };
            if let Some(held) = number_in(&mut self.held, self.first, number) {
                held.undone.push(place);
            }
            false
        });
        step
    }

    /// Makes the oldest held step ready. Tells whether there was one.
    fn let_go(&mut self) -> bool {
        let Some(held) = self.held.pop_front() else {
            return false;
        };
        let number = self.first;
        self.first += 1;
        if !held.step.plain.is_empty() && self.versions.get(&held.step.key) == Some(&number) {
            self.versions.remove(&held.step.key);
        }
        for change in &held.step.changes {
            if change.operation == Operation::Create {
                let link = link_hash(self.seed, &mut self.scratch, change);
                // Else it is a newer create of the link, which stays undoable.
                if self.creates.get(&link).is_some_and(|(of, _)| *of == number) {
                    self.creates.remove(&link);
                }
            }
        }
        self.held_size.remove(held.size());
        let bytes = held.bytes;
        let step = held.into_step();
        if !step.is_empty() {
            let ready = Ready { step, bytes };
            self.ready_size.add(ready.size());
            self.ready.push_back(ready);
        }
        true
    }

    /// Gives the steps of events below `before` whose time has come, in order, until `each` breaks it off: the rest is
    /// given by the next call.
    pub fn release(
        &mut self,
        now_us: u64,
        before: u64,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) {
        while self.held.front().is_some_and(|held| {
            held.step.seq < before && now_us.saturating_sub(held.arrived_us) >= self.delay_us
        }) {
            self.let_go();
        }
        self.give(before, each);
    }

    /// Gives all steps of events below `before`, whether or not their time has come, until `each` breaks it off: for
    /// a subscriber who is to go on where others stand already.
    pub fn release_all(&mut self, before: u64, each: &mut dyn FnMut(Step) -> ControlFlow<()>) {
        while self.held.front().is_some_and(|held| held.step.seq < before) {
            self.let_go();
        }
        self.give(before, each);
    }

    fn give(&mut self, before: u64, each: &mut dyn FnMut(Step) -> ControlFlow<()>) {
        while self
            .ready
            .front()
            .is_some_and(|ready| ready.step.seq < before)
        {
            let Some(ready) = self.ready.pop_front() else {
                return;
            };
            self.ready_size.remove(ready.size());
            if each(ready.step).is_break() {
                return;
            }
        }
    }
}

fn number_in(held: &mut VecDeque<Held>, first: u64, number: u64) -> Option<&mut Held> {
    held.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
}

fn links_of(step: &Step) -> usize {
    step.plain.len() + step.changes.len()
}

/// Bytes of the texts of both forms; those that they share count twice.
fn bytes_of(step: &Step) -> usize {
    let changes = step.plain.iter().chain(&step.changes);
    size_of::<Held>() + changes.map(Change::bytes).sum::<usize>()
}

/// What says which link it is. Two links with one hash would need some 2^64 attempts against a secret seed.
fn link_hash(seed: u64, scratch: &mut Vec<u8>, change: &Change) -> u128 {
    scratch.clear();
    for text in [&change.source_record, &change.source, &change.subject] {
        scratch.extend_from_slice(text.as_bytes());
        // No text has this byte.
        scratch.push(0xff);
    }
    xxh3_128_with_seed(scratch, seed)
}

#[cfg(test)]
mod tests;
