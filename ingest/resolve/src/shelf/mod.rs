//! Values of one kind that are known, by key, and the asking for those that are not.
//!
//! Owns [`Shelf`]. What must hold: a source is asked once for a key however many wait; what an identity event has made
//! doubtful is asked for before it is served, and what was fetched before the event is not kept; a source that fails or
//! hangs delays nobody but those who need it; memory is bounded, whatever is asked for.

mod slot;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::error::ResolveError;
use crate::flight::Flights;
use crate::identity::ResolverOptions;
use crate::keep::{Keep, Kept, Space};
use crate::network::Boxed;
use slot::{Ages, Known, Slot, Verdict};

/// Keys share a generation by hash. Two that do share one only cost a fetch that is not kept.
const STRIPES: usize = 4096;
/// Values on their way to [`Keep`]; more are not kept there.
const SAVES_MOST: usize = 64;
/// Memory of an entry besides its key and value: the cache's own, and that of the map.
const ENTRY_BYTES: usize = 320;

/// A value that can be put on a shelf.
pub(crate) trait Value: Clone + Send + Sync + 'static {
    /// Bytes of memory, about.
    fn weight(&self) -> usize;
    /// What [`Keep`] gets.
    fn bytes(&self) -> &[u8];
    /// The value under `key` from what [`Keep`] had.
    fn from_bytes(key: &str, bytes: &[u8]) -> Option<Self>;
}

/// Asks the source for the value of a key.
pub(crate) type Ask<V> =
    Box<dyn Fn(Arc<str>) -> Boxed<'static, Result<V, ResolveError>> + Send + Sync>;

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) outdated: AtomicU64,
    pub(crate) refreshes_skipped: AtomicU64,
}

/// Values of one kind. Cheap to clone; clones share everything.
pub(crate) struct Shelf<V>(Arc<Inner<V>>);

impl<V> Clone for Shelf<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<V> {
    space: Space,
    ask: Ask<V>,
    ask_timeout: Duration,
    ages: Ages,
    clock: Clock,
    slots: Cache<Arc<str>, Slot<V>>,
    flights: Flights<Arc<str>, Result<V, ResolveError>>,
    refreshes: Arc<Semaphore>,
    saves: Arc<Semaphore>,
    keep: Arc<dyn Keep>,
    stripes: Box<[Stripe]>,
    hasher: RandomState,
    counts: Counts,
}

#[derive(Default)]
struct Stripe {
    /// How many invalidations there have been. Held while a slot is changed.
    generation: Mutex<u64>,
    /// Held while [`Keep`] is changed. Taken before `generation` where both are.
    keep: Mutex<()>,
}

impl<V: Value> Shelf<V> {
    pub(crate) fn new(
        space: Space,
        memory_bytes: u64,
        options: &ResolverOptions,
        keep: Arc<dyn Keep>,
        ask: Ask<V>,
    ) -> Self {
        let clock = Clock::new();
        let slots = Cache::builder()
            .max_capacity(memory_bytes)
            .weigher(|key: &Arc<str>, slot: &Slot<V>| {
                let value = match slot {
                    Slot::Known(known) => known.value.weight(),
                    Slot::Absent { .. } => key.len(),
                };
                u32::try_from(key.len() + value + ENTRY_BYTES).unwrap_or(u32::MAX)
            })
            .build();
        Self(Arc::new(Inner {
            space,
            ask,
            ask_timeout: options.ask_timeout,
            ages: Ages::new(options, clock.start_us()),
            clock,
            slots,
            flights: Flights::new(options.look_ups),
            refreshes: Arc::new(Semaphore::new(options.refreshes)),
            saves: Arc::new(Semaphore::new(SAVES_MOST)),
            keep,
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            hasher: RandomState::new(),
            counts: Counts::default(),
        }))
    }

    /// The value under a key, from memory, from [`Keep`], or from the source.
    pub(crate) async fn get(&self, key: &str) -> Result<V, ResolveError> {
        match self.judge(key) {
            Verdict::Serve(value) => Ok(value),
            Verdict::ServeAndRefresh(value) => {
                self.refresh(key);
                Ok(value)
            }
            Verdict::Fail(error) => Err(error),
            Verdict::Ask => {
                let shared: Arc<str> = key.into();
                let (shelf, asked) = (self.clone(), Arc::clone(&shared));
                let result = self.0.flights.run(shared, || shelf.fetch(asked, true));
                let result = result
                    .await
                    .map_err(|error| ResolveError::of_flight(error, key))?;
                // What came out of `Keep` may be old.
                if let Verdict::ServeAndRefresh(_) = self.judge(key) {
                    self.refresh(key);
                }
                result
            }
        }
    }

    /// The value under a key if it is in memory, however old.
    pub(crate) fn peek(&self, key: &str) -> Option<V> {
        match self.0.slots.get(key) {
            Some(Slot::Known(known)) => Some(known.value),
            _ => None,
        }
    }

    /// What is known under the key may have changed: the next use asks the source, and what is being fetched now is
    /// not kept. The value stays for the case that the source is down.
    pub(crate) fn invalidate(&self, key: &str) {
        let inner = &*self.0;
        let stripe = inner.stripe(key);
        {
            let mut generation = stripe_lock(stripe);
            *generation = generation.wrapping_add(1);
            inner.flights.forget(&key.into());
            match inner.slots.get(key) {
                Some(Slot::Known(known)) => {
                    let known = Known {
                        doubtful: true,
                        trouble: None,
                        ..known
                    };
                    inner.slots.insert(key.into(), Slot::Known(known));
                }
                Some(Slot::Absent { .. }) => inner.slots.invalidate(key),
                None => {}
            }
        }
        let _keep = stripe.keep.lock();
        let Some(bytes) = inner.keep.load(inner.space, key) else {
            return;
        };
        match Kept::from_bytes(&bytes) {
            Some(kept) if kept.doubtful => {}
            Some(kept) => {
                let kept = Kept {
                    doubtful: true,
                    ..kept
                };
                inner.keep.save(inner.space, key, &kept.to_bytes());
            }
            None => inner.keep.forget(inner.space, key),
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Entries and their bytes in memory, about.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.0.slots.entry_count(), self.0.slots.weighted_size())
    }

    pub(crate) fn under_way(&self) -> usize {
        self.0.flights.under_way()
    }

    fn judge(&self, key: &str) -> Verdict<V> {
        let inner = &*self.0;
        match inner.slots.get(key) {
            Some(slot) => slot.judge(inner.clock.now_us(), &inner.ages),
            None => Verdict::Ask,
        }
    }

    /// Asks the source in the background, unless that is being done, or too much of it is. Then a later use will.
    fn refresh(&self, key: &str) {
        let Ok(permit) = Arc::clone(&self.0.refreshes).try_acquire_owned() else {
            count(&self.0.counts.refreshes_skipped);
            return;
        };
        let shared: Arc<str> = key.into();
        let (shelf, asked) = (self.clone(), Arc::clone(&shared));
        let started = self.0.flights.start(shared, || async move {
            let result = shelf.fetch(asked, false).await;
            drop(permit);
            result
        });
        if started.is_err() {
            count(&self.0.counts.refreshes_skipped);
        }
    }

    /// The work of a flight. With `content`, a value that may be served without asking is enough.
    async fn fetch(self, key: Arc<str>, content: bool) -> Result<V, ResolveError> {
        let generation = *stripe_lock(self.0.stripe(&key));
        // Another flight may have ended between the look at the slot and the boarding of this one.
        if !self.0.slots.contains_key(&key) {
            self.load(&key, generation).await;
        }
        match self.judge(&key) {
            Verdict::Serve(value) => return Ok(value),
            Verdict::ServeAndRefresh(value) if content => return Ok(value),
            Verdict::Fail(error) => return Err(error),
            Verdict::ServeAndRefresh(_) | Verdict::Ask => {}
        }
        count(&self.0.counts.asked);
        let asked = (self.0.ask)(Arc::clone(&key));
        let result = tokio::time::timeout(self.0.ask_timeout, asked).await;
        let result = result.unwrap_or_else(|_| {
            Err(ResolveError::Technical {
                name: key.to_string(),
                problem: format!("no result within {:?}", self.0.ask_timeout),
            })
        });
        self.settle(&key, generation, result).await
    }

    /// Puts what [`Keep`] has into memory.
    async fn load(&self, key: &Arc<str>, generation: u64) {
        let (inner, asked) = (Arc::clone(&self.0), Arc::clone(key));
        let loaded = tokio::task::spawn_blocking(move || {
            let bytes = inner.keep.load(inner.space, &asked)?;
            let kept = Kept::from_bytes(&bytes)?;
            let value = V::from_bytes(&asked, kept.value)?;
            Some((value, kept.confirmed_us, kept.doubtful))
        });
        let Ok(Some((value, confirmed_us, doubtful))) = loaded.await else {
            return;
        };
        let inner = &*self.0;
        let now_us = inner.clock.now_us();
        let now = stripe_lock(inner.stripe(key));
        let known = Known {
            value,
            confirmed_us,
            // A time that is yet to come was written by a clock that was wrong.
            doubtful: doubtful || *now != generation || confirmed_us > now_us,
            trouble: None,
        };
        if known.is_usable(now_us, &inner.ages) {
            inner.slots.insert(Arc::clone(key), Slot::Known(known));
        }
    }

    /// Keeps what the source has said, unless an invalidation came in between; gives what those who wait are told.
    async fn settle(
        &self,
        key: &Arc<str>,
        generation: u64,
        result: Result<V, ResolveError>,
    ) -> Result<V, ResolveError> {
        let inner = &*self.0;
        let now_us = inner.clock.now_us();
        let is_fresh = result.is_ok();
        if !is_fresh {
            count(&inner.counts.failed);
        }
        let (is_current, result) = {
            let now = stripe_lock(inner.stripe(key));
            let (slot, result) = self.outcome(key, now_us, result);
            let is_current = *now == generation;
            if is_current {
                inner.slots.insert(Arc::clone(key), slot);
            }
            (is_current, result)
        };
        if !is_current {
            count(&inner.counts.outdated);
            return result;
        }
        match &result {
            // A value from before, told because the source is down, is in `Keep` as it was.
            Ok(value) if is_fresh => self.save(key, generation, value.clone(), now_us),
            Ok(_) => {}
            Err(error) if error.replaces_known() => self.forget(key, generation).await,
            Err(_) => {}
        }
        result
    }

    /// The slot after the source's answer, and what those who wait are told.
    fn outcome(
        &self,
        key: &str,
        now_us: u64,
        result: Result<V, ResolveError>,
    ) -> (Slot<V>, Result<V, ResolveError>) {
        let ages = &self.0.ages;
        let error = match result {
            Ok(value) => {
                let known = Known {
                    value: value.clone(),
                    confirmed_us: now_us,
                    doubtful: false,
                    trouble: None,
                };
                return (Slot::Known(known), Ok(value));
            }
            Err(error) => error,
        };
        if !error.replaces_known()
            && let Some(Slot::Known(known)) = self.0.slots.get(key)
        {
            let told = if known.is_usable(now_us, ages) {
                Ok(known.value.clone())
            } else {
                Err(error.clone())
            };
            return (Slot::Known(known.after_failure(error, now_us)), told);
        }
        let pause = if error.is_definitive() {
            ages.negative
        } else {
            ages.failure_pause
        };
        let slot = Slot::Absent {
            error: error.clone(),
            until_us: now_us.saturating_add(pause),
        };
        (slot, Err(error))
    }

    /// Hands a value to [`Keep`] without waiting for it.
    fn save(&self, key: &Arc<str>, generation: u64, value: V, confirmed_us: u64) {
        let Ok(permit) = Arc::clone(&self.0.saves).try_acquire_owned() else {
            return;
        };
        let (inner, key) = (Arc::clone(&self.0), Arc::clone(key));
        tokio::task::spawn_blocking(move || {
            let kept = Kept {
                doubtful: false,
                confirmed_us,
                value: value.bytes(),
            };
            let bytes = kept.to_bytes();
            inner.change_keep(&key, generation, |keep| {
                keep.save(inner.space, &key, &bytes);
            });
            drop(permit);
        });
    }

    async fn forget(&self, key: &Arc<str>, generation: u64) {
        let (inner, key) = (Arc::clone(&self.0), Arc::clone(key));
        let forgotten = tokio::task::spawn_blocking(move || {
            inner.change_keep(&key, generation, |keep| keep.forget(inner.space, &key));
        });
        if forgotten.await.is_err() {
            tracing::warn!("a kept identity could not be forgotten");
        }
    }
}

impl<V> Inner<V> {
    fn stripe(&self, key: &str) -> &Stripe {
        let hash = self.hasher.hash_one(key);
        let at = usize::try_from(hash % STRIPES as u64).unwrap_or_default();
        #[allow(clippy::indexing_slicing, reason = "there are `STRIPES` of them")]
        &self.stripes[at]
    }

    /// Changes [`Keep`], unless there has been an invalidation. One that comes from now on waits for the change, and
    /// then finds it there to be marked.
    fn change_keep(&self, key: &str, generation: u64, change: impl FnOnce(&dyn Keep)) {
        let stripe = self.stripe(key);
        let _keep = stripe.keep.lock();
        if *stripe_lock(stripe) == generation {
            change(&*self.keep);
        }
    }
}

fn stripe_lock(stripe: &Stripe) -> MutexGuard<'_, u64> {
    stripe.generation.lock()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
