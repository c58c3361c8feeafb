//! What one subscriber has yet to be sent: a bounded queue of frames that others wait for too. Frames are counted where they
//! are made, since thousands of queues may hold one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::closing::Closing;

/// The most bytes that queues may take all together; beyond, the longest are given up.
const MEMORY_MAX: usize = 256 << 20;
/// What one place in a queue takes.
const PLACE: usize = size_of::<Arc<Frame>>();
/// What a frame takes beside its text.
const FRAME: usize = size_of::<Frame>() + 64;
/// An empty queue keeps no more places than this.
const PLACES_KEPT: usize = 64;

/// How much all queues hold.
#[derive(Default)]
pub(crate) struct Memory {
    frames: AtomicUsize,
    places: AtomicUsize,
    queues: AtomicUsize,
}

impl Memory {
    /// Bytes of all frames and of the places that hold them.
    pub(crate) fn bytes(&self) -> usize {
        let places = self.places.load(Ordering::Relaxed).saturating_mul(PLACE);
        self.frames.load(Ordering::Relaxed).saturating_add(places)
    }

    /// The frames that a queue holds on average.
    fn mean(&self) -> usize {
        let queues = self.queues.load(Ordering::Relaxed).max(1);
        self.places.load(Ordering::Relaxed) / queues
    }
}

/// One frame as it is sent to all who want it.
pub(crate) struct Frame {
    text: Utf8Bytes,
    made: Instant,
    memory: Arc<Memory>,
}

impl Frame {
    pub(crate) fn new(text: String, made: Instant, memory: &Arc<Memory>) -> Arc<Self> {
        memory
            .frames
            .fetch_add(text.len() + FRAME, Ordering::Relaxed);
        Arc::new(Self {
            text: text.into(),
            made,
            memory: Arc::clone(memory),
        })
    }

    pub(crate) fn text(&self) -> Utf8Bytes {
        self.text.clone()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.memory
            .frames
            .fetch_sub(self.text.len() + FRAME, Ordering::Relaxed);
    }
}

/// When a queue is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Frames that it holds.
    pub(crate) frames_max: usize,
    /// The age of the oldest.
    pub(crate) age_max: Duration,
}

/// What a frame led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is the first of what is there: its reader is to be woken.
    First,
    /// With it the queue came to be half full.
    Half,
    /// Nothing else is to be done.
    Other,
}

/// The frames of one subscriber.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    closed: Notify,
    limits: Limits,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Arc<Frame>>,
    closing: Option<Closing>,
}

impl Queue {
    pub(crate) fn new(limits: Limits, memory: &Arc<Memory>) -> Self {
        memory.queues.fetch_add(1, Ordering::Relaxed);
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            closed: Notify::new(),
            limits,
            memory: Arc::clone(memory),
        }
    }

    /// Adds a frame. A queue that is over a limit gives up all it has: what was sent before stays a beginning of what was
    /// meant.
    pub(crate) fn push(&self, frame: &Arc<Frame>) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Other;
        }
        let held = state.frames.len();
        let age = state
            .frames
            .front()
            .map_or(Duration::ZERO, |front| front.made.elapsed());
        let is_over = held >= self.limits.frames_max || age > self.limits.age_max;
        let is_greedy = held > self.memory.mean() && self.memory.bytes() > MEMORY_MAX;
        if is_over || is_greedy {
            self.end(&mut state, Closing::too_slow(held, age));
            return Pushed::Other;
        }
        state.frames.push_back(Arc::clone(frame));
        self.memory.places.fetch_add(1, Ordering::Relaxed);
        match held {
            0 => Pushed::First,
            held if held == self.limits.frames_max / 2 => Pushed::Half,
            _ => Pushed::Other,
        }
    }

    /// Whether it is more than half full.
    pub(crate) fn is_filling(&self) -> bool {
        self.len() > self.limits.frames_max / 2
    }

    /// Wakes the reader, once several frames are there.
    pub(crate) fn wake(&self) {
        self.filled.notify_one();
    }

    /// Takes up to `most` frames; waits for the first.
    pub(crate) async fn take(&self, most: usize, taken: &mut Vec<Arc<Frame>>) {
        loop {
            if self.try_take(most, taken) {
                return;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self, most: usize, taken: &mut Vec<Arc<Frame>>) -> bool {
        let mut state = self.state.lock();
        let count = state.frames.len().min(most);
        taken.extend(state.frames.drain(..count));
        self.memory.places.fetch_sub(count, Ordering::Relaxed);
        if state.frames.is_empty() && state.frames.capacity() > PLACES_KEPT {
            state.frames = VecDeque::new();
        }
        count > 0
    }

    /// How many frames it holds.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().frames.len()
    }

    /// Ends it: nothing more is taken or given.
    pub(crate) fn close(&self, closing: Closing) {
        self.end(&mut self.state.lock(), closing);
    }

    fn end(&self, state: &mut State, closing: Closing) {
        if state.closing.is_none() {
            self.memory
                .places
                .fetch_sub(state.frames.len(), Ordering::Relaxed);
            state.frames = VecDeque::new();
            state.closing = Some(closing);
            self.closed.notify_one();
        }
    }

    /// Waits until it is ended from the other side. For one waiter.
    pub(crate) async fn closed(&self) -> Closing {
        loop {
            if let Some(closing) = &self.state.lock().closing {
                return closing.clone();
            }
            self.closed.notified().await;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let held = self.state.get_mut().frames.len();
        self.memory.places.fetch_sub(held, Ordering::Relaxed);
        self.memory.queues.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(frames_max: usize) -> Limits {
        Limits {
            frames_max,
            age_max: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn frames_come_in_order_and_wake_once() {
        let memory = Arc::<Memory>::default();
        let queue = Queue::new(limits(10), &memory);
        let frames: Vec<_> = (0..5)
            .map(|n| Frame::new(n.to_string(), Instant::now(), &memory))
            .collect();
        let wakes: Vec<Pushed> = frames.iter().map(|frame| queue.push(frame)).collect();
        let other = Pushed::Other;
        assert_eq!(wakes, [Pushed::First, other, other, other, other]);
        let mut taken = Vec::new();
        queue.take(3, &mut taken).await;
        queue.take(3, &mut taken).await;
        let texts: Vec<_> = taken.iter().map(|frame| frame.text()).collect();
        assert_eq!(texts, ["0", "1", "2", "3", "4"]);
        drop((taken, frames, queue));
        assert_eq!(memory.bytes(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_gives_up_all_it_has_and_says_why() {
        let memory = Arc::<Memory>::default();
        let queue = Queue::new(limits(3), &memory);
        for n in 0..9 {
            queue.push(&Frame::new(n.to_string(), Instant::now(), &memory));
        }
        let closing = queue.closed().await;
        assert_eq!(closing.code(), 1013);
        assert!(closing.reason().contains("too slow"), "{closing:?}");
        assert_eq!((queue.len(), memory.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn a_queue_whose_oldest_frame_is_old_ends() {
        let memory = Arc::<Memory>::default();
        let limits = Limits {
            frames_max: 100,
            age_max: Duration::from_millis(20),
        };
        let queue = Queue::new(limits, &memory);
        queue.push(&Frame::new("a".into(), Instant::now(), &memory));
        std::thread::sleep(Duration::from_millis(30));
        queue.push(&Frame::new("b".into(), Instant::now(), &memory));
        assert_eq!(queue.closed().await.code(), 1013);
    }

    #[test]
    fn beyond_the_memory_of_all_the_longer_queues_end() {
        let memory = Arc::<Memory>::default();
        let long = Queue::new(limits(100), &memory);
        let short = Queue::new(limits(100), &memory);
        let small = Frame::new("a".into(), Instant::now(), &memory);
        for _ in 0..10 {
            long.push(&small);
        }
        let large = Frame::new("x".repeat(MEMORY_MAX), Instant::now(), &memory);
        short.push(&small);
        long.push(&large);
        assert_eq!((short.len(), long.len()), (1, 0));
    }
}
