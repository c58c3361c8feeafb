//! One piece of work per key, shared by all who want it.
//!
//! Owns [`Flights`]. What must hold: a caller that goes away stops nobody else, work that panics is an error for those
//! who wait and not a hang, and the number of pieces of work under way is bounded, forgotten ones included.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

/// Why shared work gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlightError {
    /// As much is under way as may be.
    #[error("{most} fetches are under way already")]
    Full {
        /// The limit.
        most: usize,
    },
    /// The work panicked, or the runtime is shutting down.
    #[error("the fetch ended without a result")]
    Lost,
}

/// Work under way, by key. Cheap to clone; clones share it.
pub struct Flights<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    board: Mutex<Board<K, V>>,
    most: usize,
}

struct Board<K, V> {
    by_key: HashMap<K, Flight<V>>,
    /// Pieces of work that have not ended, whether or not they are still in `by_key`.
    under_way: usize,
    next_number: u64,
}

struct Flight<V> {
    /// Tells this flight from a later one of the same key.
    number: u64,
    result: watch::Receiver<Option<V>>,
}

/// Held by the work; when it goes, however that comes about, the key is free again. The order matters: the key is
/// freed before the sender is dropped, so that nobody joins a flight that has ended without a result.
struct Landing<K: Eq + Hash, V> {
    shared: Arc<Shared<K, V>>,
    key: K,
    number: u64,
    result: watch::Sender<Option<V>>,
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// None under way, at most `most` at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let board = Board {
            by_key: HashMap::new(),
            under_way: 0,
            next_number: 0,
        };
        Self {
            shared: Arc::new(Shared {
                board: Mutex::new(board),
                most,
            }),
        }
    }

    /// The result of the work under way for `key`, or of `make`'s if there is none. `make` is called at most once; its
    /// future runs in a task of its own, to its end, whatever becomes of the callers. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`FlightError::Full`] where new work would be too much; [`FlightError::Lost`] where the work panicked.
    pub async fn run<F, W>(&self, key: K, make: F) -> Result<V, FlightError>
    where
        F: FnOnce() -> W,
        W: Future<Output = V> + Send + 'static,
    {
        let (mut result, landing) = self.board(key)?;
        if let Some(landing) = landing {
            landing.begin(make());
        }
        match result.wait_for(Option::is_some).await {
            Ok(value) => value.clone().ok_or(FlightError::Lost),
            Err(_) => Err(FlightError::Lost),
        }
    }

    /// Begins work for `key` without waiting for it, unless there is some under way: then this says `false`, and
    /// `make` is not called.
    ///
    /// # Errors
    /// [`FlightError::Full`] where new work would be too much.
    pub fn start<F, W>(&self, key: K, make: F) -> Result<bool, FlightError>
    where
        F: FnOnce() -> W,
        W: Future<Output = V> + Send + 'static,
    {
        let (_, landing) = self.board(key)?;
        let Some(landing) = landing else {
            return Ok(false);
        };
        landing.begin(make());
        Ok(true)
    }

    /// Those who come from now on do not join the work under way for `key`. It goes on for those who wait already.
    pub fn forget(&self, key: &K) {
        self.shared.board.lock().by_key.remove(key);
    }

    /// Whether those who come now would join work under way.
    #[must_use]
    pub fn is_under_way(&self, key: &K) -> bool {
        self.shared.board.lock().by_key.contains_key(key)
    }

    /// How much is under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.shared.board.lock().under_way
    }

    /// Joins the flight of `key`, or enters a new one; the landing is the duty to begin it.
    #[allow(clippy::type_complexity, reason = "private, and named nowhere else")]
    fn board(
        &self,
        key: K,
    ) -> Result<(watch::Receiver<Option<V>>, Option<Landing<K, V>>), FlightError> {
        let mut board = self.shared.board.lock();
        if let Some(flight) = board.by_key.get(&key) {
            return Ok((flight.result.clone(), None));
        }
        if board.under_way >= self.shared.most {
            return Err(FlightError::Full {
                most: self.shared.most,
            });
        }
        let (sender, receiver) = watch::channel(None);
        let number = board.next_number;
        board.next_number = number.wrapping_add(1);
        board.under_way += 1;
        let flight = Flight {
            number,
            result: receiver.clone(),
        };
        board.by_key.insert(key.clone(), flight);
        let landing = Landing {
            shared: Arc::clone(&self.shared),
            key,
            number,
            result: sender,
        };
        Ok((receiver, Some(landing)))
    }
}

impl<K, V> Landing<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn begin(self, work: impl Future<Output = V> + Send + 'static) {
        tokio::spawn(async move {
            // Dropped when the work ends, panics, or is never polled.
            let landing = self;
            let value = work.await;
            // Off the board first: whoever has the value and asks again is not given it again.
            landing.leave();
            landing.result.send_replace(Some(value));
        });
    }
}

impl<K: Eq + Hash, V> Landing<K, V> {
    /// Frees the key, unless it is that of a later flight by now.
    fn leave(&self) {
        let mut board = self.shared.board.lock();
        let flight = board.by_key.get(&self.key);
        if flight.is_some_and(|flight| flight.number == self.number) {
            board.by_key.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.leave();
        let mut board = self.shared.board.lock();
        board.under_way = board.under_way.saturating_sub(1);
    }
}
