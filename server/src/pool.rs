//! The bounded pool: index calls may block on the disk, so they run on blocking threads, a fixed number at a
//! time, with a fixed number of requests waiting and a deadline for each. A call that outlives its request
//! keeps its place until it ends, so the bound holds whatever clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

pub(crate) struct Pool {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    deadline: Duration,
}

/// One waiting request; leaves the count however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(running_max: usize, waiting_max: usize, deadline: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(running_max.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waiting_max,
            deadline,
        }
    }

    /// Runs `work` off the async workers. A panic in it ends in a problem, not in the process.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let deadline = Instant::now() + self.deadline;
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.waiting);
                if before >= self.waiting_max {
                    return Err(Problem::overloaded());
                }
                match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
                    Ok(Ok(place)) => place,
                    // The semaphore is never closed; a wait to the deadline is overload, not a slow query.
                    Ok(Err(_)) | Err(_) => return Err(Problem::overloaded()),
                }
            }
        };
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => {
                tracing::error!(%error, "a query panicked");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::timeout(self.deadline.as_secs_f64())),
        }
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Places that are free.
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }
}
