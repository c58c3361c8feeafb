//! How much is asked of one host.
//!
//! Owns, per host and port: how many requests run at once, how fast they follow each other, how many may wait, and
//! until when the host wants to be left alone. A request first gets its turn here and only then takes a place among all
//! ([`places`](crate::places)), so a host that does not answer holds up nobody but those who ask it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::network::FetchError;

/// The longest time a host is left alone at its own wish.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(3600);

/// What one host, by name and port, is asked at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostLimits {
    /// Requests at once.
    pub concurrent: usize,
    /// Requests per second in the long run. Infinite: no limit.
    pub per_second: f64,
    /// Requests that may follow each other without a pause after a quiet time.
    pub burst: u32,
    /// Requests that may wait for their turn; more are [`FetchError::Busy`] at once.
    pub waiting: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            concurrent: 8,
            per_second: 10.0,
            burst: 100,
            waiting: 128,
        }
    }
}

/// All hosts asked lately.
#[derive(Debug)]
pub(crate) struct Hosts {
    limits: HostLimits,
    /// By authority: those that are asked more, or less, than any other.
    own_limits: Vec<(String, HostLimits)>,
    most: usize,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
struct Host {
    limits: HostLimits,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    pace: Mutex<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When a host asked at the permitted rate would have had all requests up to now (the "theoretical arrival time" of
    /// the generic cell rate algorithm).
    due: Instant,
    held_until: Option<Instant>,
}

/// The right to ask one host once. Another gets it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    host: Arc<Host>,
    _slot: OwnedSemaphorePermit,
}

impl Turn {
    /// Nothing more is asked of the host for this long, and those who wait for it are told.
    pub(crate) fn hold(&self, wish: Duration) -> Duration {
        let wish = wish.min(HOLD_MAX);
        let until = Instant::now() + wish;
        let mut pace = self.host.pace.lock();
        pace.held_until = Some(pace.held_until.map_or(until, |before| before.max(until)));
        wish
    }
}

/// Counts one waiting request for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hosts {
    /// `limits` for all but those in `own_limits`. No more than `most` hosts are remembered.
    pub(crate) fn new(
        limits: HostLimits,
        own_limits: Vec<(String, HostLimits)>,
        most: usize,
    ) -> Self {
        Self {
            limits,
            own_limits,
            most,
            hosts: Mutex::new(HashMap::new()),
        }
    }

    /// Waits until `authority` may be asked. Dropping the future gives up the place in the queue.
    pub(crate) async fn turn(&self, authority: &str) -> Result<Turn, FetchError> {
        let busy = || FetchError::Busy {
            host: authority.to_owned(),
        };
        let host = self.host(authority).ok_or_else(busy)?;
        host.not_held(authority)?;
        let slot = match Arc::clone(&host.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                let before = host.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&host.waiting);
                if before >= host.limits.waiting {
                    return Err(busy());
                }
                // Never closed, so this only ends with a slot.
                Arc::clone(&host.slots)
                    .acquire_owned()
                    .await
                    .map_err(|_| busy())?
            }
        };
        // Whoever waits here has a slot, so no more than `concurrent` places in the pace can be taken in vain.
        let delay = host.take_token(Instant::now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        host.not_held(authority)?;
        Ok(Turn { host, _slot: slot })
    }

    fn host(&self, authority: &str) -> Option<Arc<Host>> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(authority) {
            return Some(Arc::clone(host));
        }
        let now = Instant::now();
        if hosts.len() >= self.most {
            make_room(&mut hosts, self.most, now);
        }
        if hosts.len() >= self.most {
            return None;
        }
        let own = self.own_limits.iter().find(|(of, _)| of == authority);
        let limits = own.map_or(self.limits, |(_, limits)| *limits);
        let host = Arc::new(Host {
            limits,
            slots: Arc::new(Semaphore::new(limits.concurrent)),
            waiting: AtomicUsize::new(0),
            pace: Mutex::new(Pace {
                due: now,
                held_until: None,
            }),
        });
        hosts.insert(authority.to_owned(), Arc::clone(&host));
        Some(host)
    }
}

/// Forgets hosts that would be the same if they were seen for the first time; failing that, one that is not being asked:
/// the one whose wish to be left alone ends first, so that strangers' hosts cannot push out long ones by short ones.
fn make_room(hosts: &mut HashMap<String, Arc<Host>>, most: usize, now: Instant) {
    // A host has one owner besides the map for each request that asks or waits.
    let idle = |host: &Arc<Host>| Arc::strong_count(host) == 1;
    hosts.retain(|_, host| {
        let pace = *host.pace.lock();
        !idle(host) || pace.due > now || pace.held_until.is_some_and(|until| until > now)
    });
    if hosts.len() < most {
        return;
    }
    let first = hosts
        .iter()
        .filter(|(_, host)| idle(host))
        .min_by_key(|(_, host)| {
            let pace = host.pace.lock();
            (pace.held_until, pace.due)
        })
        .map(|(authority, _)| authority.clone());
    if let Some(authority) = first {
        hosts.remove(&authority);
    }
}

impl Host {
    /// Counts one request and says how long it has to wait.
    fn take_token(&self, now: Instant) -> Duration {
        // An infinite rate makes this zero.
        let interval = Duration::try_from_secs_f64(1.0 / self.limits.per_second);
        let interval = interval.unwrap_or(Duration::ZERO);
        let credit = interval * self.limits.burst.saturating_sub(1);
        let mut pace = self.pace.lock();
        let due = pace.due.max(now);
        pace.due = due + interval;
        due.saturating_duration_since(now).saturating_sub(credit)
    }

    fn not_held(&self, authority: &str) -> Result<(), FetchError> {
        let held = self.pace.lock().held_until;
        let after = held.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if after.is_zero() {
            return Ok(());
        }
        Err(FetchError::RetryLater {
            host: authority.to_owned(),
            after,
        })
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
