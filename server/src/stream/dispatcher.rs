//! One thread reads for all live subscribers of one kind: those who are told at once, or those who are told after the delay.
//! It runs while there are any, and looks for new events every few milliseconds.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use orrery_query::stream::{DELAY_US, Forms, Hold, Read, Start};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use super::closing::Closing;
use super::feed::{Feed, StepReader};
use super::queue::Memory;
use super::registry::{Registry, Run};
use super::subscriber::{Subscriber, Told, Wants};
use super::teller::Teller;
use crate::time::now_us;

/// Pause between looks for new events.
const POLL: Duration = Duration::from_millis(5);
/// Pause after a failed read.
const RETRY: Duration = Duration::from_secs(1);
/// Events of one read.
const EVENTS: usize = 512;
/// Both forms of steps: somebody may want either.
const FORMS: Forms = Forms {
    plain: true,
    changes: true,
};

/// One of the two threads, as all others see it.
pub(crate) struct Dispatcher {
    pub(super) feed: Arc<dyn Feed>,
    /// The delay in microseconds; none: at once.
    delay_us: Option<u64>,
    pub(super) registry: Mutex<Registry>,
    /// Tells the thread of the first subscriber, and of the end.
    work: Condvar,
    pub(super) memory: Arc<Memory>,
    /// Frames put into queues.
    pub(super) frames: AtomicU64,
    /// Places of replays: each may hold much of what is to be delayed.
    pub(super) replays: Semaphore,
}

impl Dispatcher {
    pub(crate) fn new(
        feed: Arc<dyn Feed>,
        delay: Option<Duration>,
        memory: Arc<Memory>,
        replays_max: usize,
    ) -> Self {
        Self {
            feed,
            delay_us: delay.map(|delay| u64::try_from(delay.as_micros()).unwrap_or(DELAY_US)),
            registry: Mutex::default(),
            work: Condvar::new(),
            memory,
            frames: AtomicU64::new(0),
            replays: Semaphore::new(replays_max),
        }
    }

    /// A hold of its delay, and of these bounds.
    pub(super) fn hold(&self, links_max: usize, bytes_max: usize) -> Option<Hold> {
        self.delay_us
            .map(|delay_us| Hold::new(delay_us, links_max, bytes_max))
    }

    /// Counts a subscriber in: from now on the dispatcher reads every event.
    pub(super) fn attach(&self) {
        let mut registry = self.registry.lock();
        if registry.attached == 0 {
            registry.begin = self.feed.next_seq();
            self.work.notify_one();
        }
        registry.attached += 1;
    }

    /// Counts a subscriber out.
    pub(super) fn detach(&self, subscriber: &Subscriber) {
        let mut registry = self.registry.lock();
        registry.leave(subscriber);
        registry.attached = registry.attached.saturating_sub(1);
    }

    /// Has a subscriber told all that comes, behind a place.
    pub(super) fn join(&self, subscriber: &Arc<Subscriber>, told: Told) -> Result<(), Closing> {
        self.registry.lock().join(subscriber, told)
    }

    /// How far it is; none while it does not run yet.
    pub(super) fn place(&self) -> Option<Run> {
        self.registry.lock().run
    }

    /// As [`join`](Self::join), if `is_here` says of the dispatcher's place that it is the subscriber's, and gives what the
    /// subscriber was told last. Gives whether it was.
    pub(super) fn join_at(
        &self,
        subscriber: &Arc<Subscriber>,
        is_here: impl FnOnce(Run) -> Option<Told>,
    ) -> Result<bool, Closing> {
        let mut registry = self.registry.lock();
        match registry.run.and_then(is_here) {
            Some(told) => registry.join(subscriber, told).map(|()| true),
            None => Ok(false),
        }
    }

    pub(super) fn change(&self, subscriber: &Subscriber, wants: Wants) -> Result<(), Closing> {
        self.registry.lock().change(subscriber, wants)
    }

    /// Subscribers that listen, or will.
    pub(super) fn subscribers(&self) -> usize {
        self.registry.lock().attached
    }

    /// Values in the indexes of filters.
    pub(super) fn entries(&self) -> usize {
        self.registry.lock().entries()
    }

    /// Events that are there and not yet read.
    pub(super) fn behind(&self) -> u64 {
        let run = self.registry.lock().run;
        run.map_or(0, |run| self.feed.next_seq().saturating_sub(run.read))
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.registry.lock().is_stopped = true;
        self.work.notify_one();
    }

    /// The thread.
    pub(super) fn run(&self) {
        while let Some(begin) = self.wait_for_subscribers() {
            let run = || match self.open(begin) {
                Ok(reader) => self.follow(reader, begin),
                Err(error) => {
                    tracing::error!(%error, "the link stream cannot be read");
                    self.rest(RETRY);
                }
            };
            // What it did is in the registry, which is whole whenever its lock is free, or goes with the run.
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                tracing::error!("the link stream panicked; its subscribers are closed");
                self.begin_anew();
                self.rest(RETRY);
            }
        }
        self.registry.lock().close_all(&Closing::shutdown());
    }

    /// Behind a panic: those who listen may lack something and are closed, and the next run is of what comes from now on.
    fn begin_anew(&self) {
        let mut registry = self.registry.lock();
        registry.close_all(&Closing::failed());
        registry.run = None;
        registry.begin = self.feed.next_seq();
    }

    /// Where to begin once there are subscribers; none at the end.
    fn wait_for_subscribers(&self) -> Option<u64> {
        let mut registry = self.registry.lock();
        registry.run = None;
        while registry.attached == 0 && !registry.is_stopped {
            self.work.wait(&mut registry);
        }
        (!registry.is_stopped).then_some(registry.begin)
    }

    /// A reader of what comes from `begin` on and, where that is told late, of what is due within the delay.
    fn open(&self, begin: u64) -> Result<Box<dyn StepReader>, crate::index::IndexError> {
        if let Some(delay_us) = self.delay_us {
            let start = Start::Time(now_us().saturating_sub(delay_us));
            let mut reader = self.feed.reader(start, FORMS)?;
            // Where the log does not reach back so far, what is left of the rest is not told as if it came now.
            let first = reader.read(0, 0, &mut |_| ControlFlow::Continue(()))?;
            let is_whole = !matches!(first, Read::Info(_));
            if is_whole && reader.next_seq() <= begin {
                return Ok(reader);
            }
        }
        self.feed.reader(Start::Seq(begin), FORMS)
    }

    /// Waits, but not beyond the end.
    fn rest(&self, time: Duration) {
        let mut registry = self.registry.lock();
        if !registry.is_stopped {
            self.work.wait_for(&mut registry, time);
        }
    }

    /// Whether nobody is left. Then nobody joins any more: not before the next run, which begins elsewhere.
    fn is_over(&self) -> bool {
        let mut registry = self.registry.lock();
        let is_over = registry.is_stopped || registry.attached == 0;
        if is_over {
            registry.run = None;
        }
        is_over
    }

    /// Reads and tells while there are subscribers. Events from `begin` on come as they are read.
    fn follow(&self, mut reader: Box<dyn StepReader>, begin: u64) {
        let begun = Instant::now();
        let mut teller = Teller::new(self, reader.next_seq());
        while !self.is_over() {
            let delay_us = self.delay_us.unwrap_or_default();
            let read = reader.read(EVENTS, u64::MAX, &mut |step| {
                let came_before = step.seq < begin;
                let age_us = if came_before {
                    now_us().saturating_sub(step.time_us)
                } else {
                    0
                };
                teller.take(step, micros(begun) - age_us.min(delay_us));
                ControlFlow::Continue(())
            });
            teller.release(micros(begun), reader.next_seq());
            match read {
                Ok(Read::More) => {}
                Ok(Read::CaughtUp) => self.rest(POLL),
                Ok(Read::Info(info)) => teller.inform(info),
                Err(error) => {
                    tracing::error!(%error, "the link stream cannot be read");
                    self.rest(RETRY);
                }
            }
        }
    }
}

/// The present in microseconds, from an offset on: times of arrival may lie before the beginning.
fn micros(begun: Instant) -> u64 {
    const OFFSET_US: u64 = 1 << 40;
    OFFSET_US + u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexError;
    use crate::stream::queue::{Frame, Limits, Queue};

    struct Nothing;

    impl Feed for Nothing {
        fn next_seq(&self) -> u64 {
            1
        }

        fn reader(&self, _: Start, _: Forms) -> Result<Box<dyn StepReader>, IndexError> {
            Err(IndexError::Failed("there is nothing".into()))
        }
    }

    fn dispatcher() -> Dispatcher {
        Dispatcher::new(Arc::new(Nothing), None, Arc::default(), 1)
    }

    #[test]
    fn nobody_joins_a_dispatcher_that_ends() {
        let dispatcher = dispatcher();
        let _teller = Teller::new(&dispatcher, 1);
        dispatcher.attach();
        assert!(!dispatcher.is_over());
        assert!(dispatcher.place().is_some());
        dispatcher.registry.lock().attached = 0;
        assert!(dispatcher.is_over());
        // One that came just now waits for the next run.
        assert!(dispatcher.place().is_none());
    }

    #[test]
    fn who_stops_reading_is_waited_for_once() {
        let dispatcher = dispatcher();
        let mut teller = Teller::new(&dispatcher, 1);
        let limits = Limits {
            frames_max: 10,
            age_max: Duration::from_secs(60),
        };
        let deaf = Arc::new(Subscriber {
            id: 0,
            form: crate::stream::options::Form::Plain,
            queue: Queue::new(limits, &dispatcher.memory),
            wants: Mutex::new(None),
            hello: tokio::sync::Notify::new(),
        });
        let frame = Frame::new("a".into(), Instant::now(), &dispatcher.memory);
        for _ in 0..8 {
            deaf.queue.push(&frame);
        }
        teller.outcome.filling.push(Arc::clone(&deaf));
        teller.pace();
        assert!(teller.outcome.filling.is_empty());
    }
}
