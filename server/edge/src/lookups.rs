//! Blocking look-ups, a fixed number at a time: a page fault must not stall a worker, and the disk gains nothing from more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orrery_server::EdgeError;
use tokio::sync::Semaphore;

/// Runs blocking work off the workers.
#[derive(Debug)]
pub(crate) struct Lookups {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// Leaves the count however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lookups {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(running_max.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// The result of `work`.
    ///
    /// # Errors
    /// [`EdgeError::Busy`] where too many wait, [`EdgeError::Unavailable`] where the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EdgeError> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.waiting);
                if before >= self.waiting_max {
                    return Err(busy());
                }
                // The semaphore is never closed.
                let place = Arc::clone(&self.places).acquire_owned().await;
                place.map_err(|_| busy())?
            }
        };
        let done = tokio::task::spawn_blocking(move || {
            let value = work();
            drop(place);
            value
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a look-up panicked");
            EdgeError::Unavailable("the server failed to look; its log says why".to_owned())
        })
    }
}

fn busy() -> EdgeError {
    EdgeError::Busy {
        message: "too many records are being looked up; try again in a moment".to_owned(),
        retry_after_s: 1,
    }
}
