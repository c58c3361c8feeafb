//! The bounded queue between the connection and the consumer.
//!
//! Owns the bounds (bytes and frames) and the two ends' ways to wait. A batch is admitted while the queue is below
//! both bounds, so it may pass each of them by at most one batch. Notices of connection changes are always admitted
//! and count as one frame; the connection side makes none while the queue is full.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::batch::Batch;
use crate::client::Delivery;

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    bytes_max: usize,
    frames_max: usize,
    /// Wakes the consumer.
    filled: Notify,
    /// Wakes the connection: there is room, or the consumer is gone.
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Delivery>,
    bytes: usize,
    frames: usize,
    /// The consumer wants no more.
    closed: bool,
    /// The connection side will add no more.
    finished: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize, frames_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            bytes_max,
            frames_max,
            filled: Notify::new(),
            drained: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is valid between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State) -> bool {
        state.bytes >= self.bytes_max || state.frames >= self.frames_max
    }

    /// Moves `batch` in and leaves it empty, unless the queue is full.
    pub(crate) fn try_push(&self, batch: &mut Batch) -> bool {
        let mut state = self.state();
        if self.is_full(&state) {
            return false;
        }
        state.bytes += batch.bytes();
        state.frames += batch.len();
        state
            .items
            .push_back(Delivery::Batch(std::mem::take(batch)));
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Adds news of the connection.
    pub(crate) fn push_notice(&self, notice: Delivery) {
        let mut state = self.state();
        state.frames += 1;
        state.items.push_back(notice);
        drop(state);
        self.filled.notify_one();
    }

    /// Says that nothing more will come.
    pub(crate) fn finish(&self) {
        self.state().finished = true;
        self.filled.notify_one();
    }

    /// Says that the consumer wants no more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.drained.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Frames and bytes waiting.
    pub(crate) fn level(&self) -> (usize, usize) {
        let state = self.state();
        (state.frames, state.bytes)
    }

    /// Waits until the queue is not full or is closed.
    pub(crate) async fn room(&self) {
        self.wait_drained(|state| state.closed || !self.is_full(state))
            .await;
    }

    /// Waits until the consumer wants no more.
    pub(crate) async fn closed(&self) {
        self.wait_drained(|state| state.closed).await;
    }

    async fn wait_drained(&self, done: impl Fn(&State) -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.drained.notified());
            // Registered before the check, so that a change between check and wait is not missed.
            notified.as_mut().enable();
            if done(&self.state()) {
                return;
            }
            notified.await;
        }
    }

    /// The next item if there is one: `Some(None)` after the end, `None` when one has to wait.
    pub(crate) fn try_next(&self) -> Option<Option<Delivery>> {
        let mut state = self.state();
        let Some(item) = state.items.pop_front() else {
            return state.finished.then_some(None);
        };
        let was_full = self.is_full(&state);
        match &item {
            Delivery::Batch(batch) => {
                state.bytes = state.bytes.saturating_sub(batch.bytes());
                state.frames = state.frames.saturating_sub(batch.len());
            }
            _ => state.frames = state.frames.saturating_sub(1),
        }
        let has_room = !self.is_full(&state);
        drop(state);
        if was_full && has_room {
            self.drained.notify_waiters();
        }
        Some(Some(item))
    }

    /// The next item, or `None` after the end.
    pub(crate) async fn next(&self) -> Option<Delivery> {
        loop {
            // One consumer only, and `notify_one` keeps its permit, so that a change before the wait is not missed.
            if let Some(item) = self.try_next() {
                return item;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(frames: &[&str]) -> Batch {
        let mut batch = Batch::default();
        frames.iter().for_each(|frame| batch.push(frame));
        batch
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_the_consumer_takes() {
        for queue in [Queue::new(4, 1000), Queue::new(1000, 2)] {
            assert!(queue.try_push(&mut batch(&["abc", "def"])));
            let mut second = batch(&["ghi"]);
            assert!(!queue.try_push(&mut second));
            assert_eq!(second.len(), 1);
            let (room, item) = tokio::join!(queue.room(), queue.next());
            assert_eq!(room, ());
            assert!(matches!(item, Some(Delivery::Batch(batch)) if batch.len() == 2));
            assert!(queue.try_push(&mut second));
            assert!(second.is_empty());
            assert_eq!(queue.level(), (1, 3));
        }
    }

    #[tokio::test]
    async fn what_waits_is_delivered_before_the_end() {
        let queue = Queue::new(100, 100);
        assert!(queue.try_next().is_none());
        queue.try_push(&mut batch(&["a"]));
        queue.finish();
        assert!(matches!(queue.next().await, Some(Delivery::Batch(_))));
        assert!(queue.next().await.is_none());
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn closing_wakes_the_connection() {
        let queue = Queue::new(1, 1);
        queue.try_push(&mut batch(&["abc"]));
        tokio::join!(queue.room(), queue.closed(), async {
            tokio::task::yield_now().await;
            queue.close();
        });
        assert!(queue.is_closed());
    }
}
