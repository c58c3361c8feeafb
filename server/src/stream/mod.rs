//! The link stream: what each event says about links, sent over websockets to those who want to know.
//!
//! - `feed.rs` the seam to the events
//! - `options.rs` what one subscriber asks for · `closing.rs` why it ends
//! - `upgrade.rs` the opening handshake · `socket.rs` one subscriber's task · `intake.rs` what subscribers send, bounded
//! - `subscriber.rs`, `queue.rs` one subscriber and its frames, as those see it who tell it something
//! - `dispatcher.rs` a thread that reads for all live subscribers of one kind · `teller.rs` what it does with each step ·
//!   `registry.rs` who listens to it, and how far it is
//! - `replay.rs` what one subscriber missed, up to where it joins a dispatcher
//! - `counters.rs` what is counted

mod closing;
mod counters;
mod dispatcher;
mod feed;
mod intake;
mod options;
mod queue;
mod registry;
mod replay;
mod socket;
mod subscriber;
mod teller;
mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response};
use orrery_query::stream::Start;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::addresses::{Addresses, Entered};
use crate::answer::HINT;
use crate::api::hint;
use crate::config::StreamConfig;
use crate::error::Error;
use crate::params::Params;
use crate::problem::Problem;
use counters::Counters;
use dispatcher::Dispatcher;
use queue::{Limits, Memory, Queue};
use subscriber::{Subscriber, Unlisted, Wants};
use upgrade::Upgrade;

pub use feed::{Feed, StepReader};
pub(crate) use options::{Options, parse_message};

/// What all subscriptions share.
pub(crate) struct Hub {
    feed: Arc<dyn Feed>,
    config: StreamConfig,
    instant: Arc<Dispatcher>,
    delayed: Arc<Dispatcher>,
    memory: Arc<Memory>,
    places: Arc<Semaphore>,
    /// Places of threads for replays and long messages.
    replays: Semaphore,
    /// A place for one large message of options: they are taken up one after the other.
    updates: Semaphore,
    /// What those want who do not listen yet.
    unlisted: Arc<Unlisted>,
    addresses: Arc<Addresses>,
    /// Units of unfinished long messages.
    intake: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    counters: Counters,
    ids: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// One subscriber's place, which it leaves however it ends.
struct Subscription {
    dispatcher: Arc<Dispatcher>,
    subscriber: Arc<Subscriber>,
    /// The next event when the subscriber came.
    live_from: u64,
    /// Where its replay begins; none where it has none.
    replay_from: Option<Start>,
    requires_hello: bool,
    is_attached: bool,
    _place: (OwnedSemaphorePermit, Option<Entered>),
}

impl Subscription {
    fn leave(&mut self) {
        if std::mem::take(&mut self.is_attached) {
            self.dispatcher.detach(&self.subscriber);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Hub {
    /// Starts the threads.
    pub(crate) fn start(
        feed: Arc<dyn Feed>,
        config: StreamConfig,
        stopped: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, Error> {
        let memory = Arc::<Memory>::default();
        let dispatcher = |delay| {
            Arc::new(Dispatcher::new(
                Arc::clone(&feed),
                delay,
                Arc::clone(&memory),
                config.replays_open_max,
            ))
        };
        let hub = Arc::new(Self {
            instant: dispatcher(None),
            delayed: dispatcher(Some(config.delay)),
            feed,
            memory,
            places: Arc::new(Semaphore::new(config.subscribers_max)),
            replays: Semaphore::new(config.replays_max),
            updates: Semaphore::new(1),
            unlisted: Arc::default(),
            addresses: Arc::default(),
            intake: Arc::new(Semaphore::new(intake::UNITS)),
            stopped,
            counters: Counters::default(),
            ids: AtomicU64::new(0),
            threads: Mutex::default(),
            config,
        });
        for (name, dispatcher) in [("links", &hub.instant), ("links-delayed", &hub.delayed)] {
            let dispatcher = Arc::clone(dispatcher);
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || dispatcher.run())
                .map_err(Error::Thread)?;
            hub.threads.lock().push(thread);
        }
        Ok(hub)
    }

    /// `/subscribe`: opens a subscription. What can be refused is refused before the connection is one.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        mut request: Request,
        client: IpAddr,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::parse(request.uri().query().unwrap_or_default())?;
        let options = Options::parse(&params)?;
        let hint = hint::of_subscription(&options.filters);
        let upgrade = Upgrade::of(&mut request)?;
        if *self.stopped.borrow() {
            return Err(Problem::too_many_subscribers());
        }
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Problem::too_many_subscribers())?;
        let at = self
            .addresses
            .enter(client, self.config.subscribers_per_address)
            .ok_or_else(Problem::too_many_subscribers_of_one)?;
        let subscription = self.subscription(options, (place, at))?;
        let mut response = upgrade.answer();
        // Subscribers have always been let in with values that match nothing, and frames of another kind would break some: beside them there is
        // room for a word.
        if let Some(hint) = hint {
            tracing::debug!(hint, "a subscription wants what cannot be");
            if let Ok(value) = HeaderValue::from_str(&hint) {
                response.headers_mut().insert(HINT, value);
            }
        }
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            match upgrade.upgraded.await {
                Ok(upgraded) => socket::serve(hub, subscription, upgraded).await,
                Err(error) => tracing::debug!(%error, "a subscriber was gone before it was one"),
            }
        });
        Ok(response)
    }

    /// A subscriber with its place at a dispatcher. One that neither waits nor missed anything listens from now on.
    fn subscription(
        &self,
        options: Options,
        place: (OwnedSemaphorePermit, Option<Entered>),
    ) -> Result<Subscription, Problem> {
        let full = |_| Problem::too_many_filters();
        let filters = socket::prepared(&options.filters).map_err(full)?;
        let wants = Wants::new(filters, &self.unlisted).map_err(full)?;
        let dispatcher = if options.is_instant {
            &self.instant
        } else {
            &self.delayed
        };
        let limits = Limits {
            frames_max: self.config.queue_frames,
            age_max: self.config.queue_age,
        };
        let subscriber = Arc::new(Subscriber {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            form: options.form,
            queue: Queue::new(limits, &self.memory),
            wants: Mutex::new(Some(Arc::new(wants))),
            hello: tokio::sync::Notify::new(),
        });
        dispatcher.attach();
        let subscription = Subscription {
            dispatcher: Arc::clone(dispatcher),
            subscriber,
            live_from: self.feed.next_seq(),
            replay_from: (options.start != Start::Now).then_some(options.start),
            requires_hello: options.requires_hello,
            is_attached: true,
            _place: place,
        };
        if subscription.replay_from.is_none() && !subscription.requires_hello {
            dispatcher
                .join(&subscription.subscriber, (0, None))
                .map_err(full)?;
        }
        Ok(subscription)
    }

    fn ended(&self, kind: &'static str) {
        self.counters.ended(kind);
    }

    /// Waits until all subscriptions have ended, which they do by themselves at the shutdown, and ends the threads.
    pub(crate) async fn finish(&self, grace: Duration) {
        let all = u32::try_from(self.config.subscribers_max).unwrap_or(u32::MAX);
        if timeout(grace, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("subscribers cut at shutdown");
        }
        self.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        let join = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the link stream panicked");
                }
            }
        });
        // A thread that waits for the disk is not waited for longer than subscribers are.
        let _ = timeout(grace, join).await;
    }

    fn stop(&self) {
        self.instant.stop();
        self.delayed.stop();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}
