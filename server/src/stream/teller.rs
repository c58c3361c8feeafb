//! What a dispatcher's thread does with each step: it goes through the delay, where there is one, and to the subscribers.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use orrery_query::stream::{Change, HELD_BYTES_MAX, HELD_LINKS_MAX, Hold, Info, Step};

use super::dispatcher::Dispatcher;
use super::registry::{Outcome, Run};
use crate::time::now_us as wall_us;

/// Frames after which those who are to have them are woken, and given some time, before more come. Without that the
/// deletion of one large account, or a source that catches up, would overrun all queues.
const BURST: usize = 2048;
/// How long a burst waits for queues to drain, and for how long while none does.
const BURST_WAIT: Duration = Duration::from_millis(100);
const BURST_IDLE: Duration = Duration::from_millis(50);
/// Pause between looks at queues.
const LOOK: Duration = Duration::from_millis(1);

/// The steps of one run of a dispatcher.
pub(super) struct Teller<'a> {
    dispatcher: &'a Dispatcher,
    hold: Option<Hold>,
    /// What is to be told once all events below have left the hold.
    infos: VecDeque<(u64, Info)>,
    is_delayed: bool,
    run: Run,
    /// The event of the last step that was told.
    last: Option<u64>,
    pub(super) outcome: Outcome,
}

impl<'a> Teller<'a> {
    /// Begins where `next` is the next event to be read.
    pub(super) fn new(dispatcher: &'a Dispatcher, next: u64) -> Self {
        let run = Run {
            read: next,
            told: next,
            is_within: false,
        };
        dispatcher.registry.lock().run = Some(run);
        let hold = dispatcher.hold(HELD_LINKS_MAX, HELD_BYTES_MAX);
        Self {
            dispatcher,
            is_delayed: hold.is_some(),
            hold,
            infos: VecDeque::new(),
            run,
            last: None,
            outcome: Outcome::default(),
        }
    }

    /// Takes the next step: to be told at once or, where there is a delay, by [`release`](Self::release). What leaves the
    /// delay because of it is told before the next comes, so that no more waits than the bounds of the delay allow.
    pub(super) fn take(&mut self, step: Step, arrived_us: u64) {
        match &mut self.hold {
            Some(hold) => {
                hold.stage(step, arrived_us, wall_us());
                self.give(0);
            }
            None => self.tell(&step),
        }
    }

    /// Tells what has left the delay by `now_us`.
    fn give(&mut self, now_us: u64) {
        let Some(mut hold) = self.hold.take() else {
            return;
        };
        hold.release(now_us, u64::MAX, &mut |step| {
            self.inform_below(step.seq);
            self.tell(&step);
            ControlFlow::Continue(())
        });
        self.inform_below(hold.released());
        self.hold = Some(hold);
    }

    /// Tells what is due, wakes those who were told something, and says how far the reader is.
    pub(super) fn release(&mut self, now_us: u64, read: u64) {
        self.give(now_us);
        self.run.told = read;
        if let Some(hold) = &self.hold
            && hold.released() < hold.staged()
        {
            self.run.told = hold.released();
        }
        // Of an event of many steps some may have left while others wait.
        self.run.is_within = self.last == Some(self.run.told);
        self.run.read = read;
        self.dispatcher.registry.lock().run = Some(self.run);
        self.wake();
        self.outcome.frames = 0;
        self.outcome.filling.clear();
    }

    /// Tells something behind all that was taken.
    pub(super) fn inform(&mut self, info: Info) {
        let behind = self.hold.as_ref().map_or(0, Hold::staged);
        self.infos.push_back((behind, info));
        let left = self.hold.as_ref().map_or(0, Hold::released);
        self.inform_below(left);
    }

    fn inform_below(&mut self, seq: u64) {
        while let Some((_, info)) = self.infos.front().filter(|(behind, _)| *behind <= seq) {
            let info = *info;
            self.infos.pop_front();
            let registry = self.dispatcher.registry.lock();
            let memory = &self.dispatcher.memory;
            registry.inform(&info, Instant::now(), memory, &mut self.outcome);
            drop(registry);
            self.wake();
        }
    }

    fn tell(&mut self, step: &Step) {
        let feed = &self.dispatcher.feed;
        let is_withheld =
            |change: &Change| feed.is_withheld(&change.source_record, &change.subject);
        if step.plain.iter().chain(&step.changes).any(is_withheld) {
            let mut told = step.clone();
            told.plain.retain(|change| !is_withheld(change));
            told.changes.retain(|change| !is_withheld(change));
            return self.give_out(&told);
        }
        self.give_out(step);
    }

    fn give_out(&mut self, step: &Step) {
        let before = self.outcome.frames;
        let mut registry = self.dispatcher.registry.lock();
        registry.tell(
            step,
            Instant::now(),
            &self.dispatcher.memory,
            &mut self.outcome,
        );
        self.last = Some(step.seq);
        // How far the delay is tells `release`.
        let is_whole = step.is_last && !self.is_delayed;
        self.run.told = step.seq.saturating_add(u64::from(is_whole));
        self.run.is_within = !is_whole;
        registry.run = Some(self.run);
        drop(registry);
        let frames = self.outcome.frames - before;
        self.dispatcher
            .frames
            .fetch_add(frames as u64, Ordering::Relaxed);
        if self.outcome.frames >= BURST {
            self.outcome.frames = 0;
            self.wake();
            self.pace();
        }
    }

    /// Wakes those who were told something.
    fn wake(&mut self) {
        for subscriber in self.outcome.touched.drain(..) {
            subscriber.queue.wake();
        }
    }

    /// Waits while queues that are more than half full drain, but not long: who does not read is not waited for.
    pub(super) fn pace(&mut self) {
        let filling = &mut self.outcome.filling;
        let begun = Instant::now();
        let mut moved = begun;
        let mut least = usize::MAX;
        loop {
            filling.retain(|subscriber| subscriber.queue.is_filling());
            let left: usize = filling
                .iter()
                .map(|subscriber| subscriber.queue.len())
                .sum();
            if left < least {
                least = left;
                moved = Instant::now();
            }
            if left == 0 || begun.elapsed() > BURST_WAIT {
                return;
            }
            if moved.elapsed() > BURST_IDLE {
                // The next burst does not wait for them again.
                filling.clear();
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}
