//! How much of the edge's work runs at once, and for how long. That work waits for other servers and not for the disk, so
//! it needs no thread: only a place, which nobody waits for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Edge;
use crate::index::Fact;
use crate::problem::Problem;
use crate::wire::status::StatusRecords;

/// The way to the edge, where there is one.
pub(crate) struct Gate {
    edge: Option<Arc<dyn Edge>>,
    places: Semaphore,
    deadline: Duration,
}

impl Gate {
    pub(crate) fn new(edge: Option<Arc<dyn Edge>>, running_max: usize, deadline: Duration) -> Self {
        Self {
            edge,
            places: Semaphore::new(running_max.min(Semaphore::MAX_PERMITS)),
            deadline,
        }
    }

    /// Whether there is an edge.
    pub(crate) fn is_open(&self) -> bool {
        self.edge.is_some()
    }

    /// The edge, for what takes no time.
    pub(crate) fn edge(&self) -> Result<&Arc<dyn Edge>, Problem> {
        self.edge.as_ref().ok_or_else(Problem::no_edge)
    }

    /// Runs work that may wait for other servers, within the bounds.
    pub(crate) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let _place = self
            .places
            .try_acquire()
            .map_err(|_| Problem::edge_overloaded())?;
        timeout(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(Problem::timeout(self.deadline.as_secs_f64())))
    }

    /// Places that are free.
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// What the status page tells of it.
    pub(crate) fn figures(&self) -> Option<StatusRecords> {
        self.edge.as_ref()?.figures()
    }

    /// The edge's numbers.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.edge
            .as_ref()
            .map(|edge| edge.facts())
            .unwrap_or_default()
    }
}
