//! The subscription: connections one after the other, and the consumer's end of the queue.
//!
//! Owns the order of things: wait for room, connect, run, note the end, wait, connect again. It never gives up unless
//! the error is one that retrying cannot change (see [`Error::is_fatal`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::{Outcome, Retries};
use crate::batch::Batch;
use crate::config::Config;
use crate::connect::{connect, web_tls};
use crate::cursor::Cursor;
use crate::decode::Decoder;
use crate::endpoint::{Endpoint, Request};
use crate::error::Error;
use crate::malformed::Malformed;
use crate::options::Options;
use crate::queue::Queue;
use crate::resume::Resume;
use crate::session::{End, Session};
use crate::shown::without_secrets;
use crate::stats::{Counters, Stats, add, now_us};

/// A connection that ends sooner than this without a frame counts as ended at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many of those in a row are reported as [`Error::EndedAtOnce`].
const AT_ONCE_REPORTED: u32 = 3;

/// A checked configuration, ready to subscribe.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
    endpoints: Vec<Endpoint>,
    tls: Arc<rustls::ClientConfig>,
}

/// What a subscription hands out, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// Frames; what follows a [`Connected`](Delivery::Connected) came over that connection.
    Batch(Batch),
    /// A connection stands.
    Connected {
        /// URL of the server, without the query.
        endpoint: String,
        /// Where the stream begins, `None` for live.
        cursor: Option<Cursor>,
    },
    /// A connection ended or an attempt failed; the next attempt follows by itself.
    Disconnected {
        /// Why.
        error: Error,
        /// Delay before the next attempt.
        retry_in: Duration,
    },
    /// Retrying cannot help; nothing follows.
    Failed(Error),
}

/// A running stream of events. Dropping it ends the connection.
///
/// Delivery is at least once. Between two connections nothing is skipped: the next one begins at the last frame that
/// was put into the queue, inclusive, and somewhat earlier where servers are known to need that. Positions across a
/// restart of the process are the consumer's to keep: store [`Event::position`](crate::Event::position) with what it
/// did, and pass it as [`Config::cursor`].
///
/// The queue outlives connections, so a consumer that is behind still gets everything that was read. While it is
/// full, reading pauses and no new connection is opened.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
}

/// Reads counters of and controls a [`Subscription`] from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    options: Mutex<Options>,
    options_version: AtomicU64,
    options_changed: Notify,
}

impl Client {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// [`Error::BadEndpoint`] or [`Error::BadConfig`], naming the value.
    pub fn new(config: Config) -> Result<Self, Error> {
        let endpoints = config.check()?;
        let tls = match &config.tls {
            Some(tls) => Arc::clone(tls),
            None => web_tls()?,
        };
        Ok(Self {
            config,
            endpoints,
            tls,
        })
    }

    /// Starts a subscription on the current tokio runtime, which needs its I/O and time drivers.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] outside a runtime, [`Error::Zstd`] when memory is short.
    pub fn subscribe(&self) -> Result<Subscription, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let decoder =
            Decoder::new(self.config.message_bytes_max).map_err(|source| Error::Zstd { source })?;
        let config = &self.config;
        let shared = Arc::new(Shared {
            queue: Queue::new(config.queue_bytes_max, config.queue_frames_max),
            counters: Counters::new(),
            options: Mutex::new(config.options.clone()),
            options_version: AtomicU64::new(0),
            options_changed: Notify::new(),
            config: config.clone(),
        });
        let runner = Runner {
            shared: Arc::clone(&shared),
            endpoints: self.endpoints.clone(),
            tls: Arc::clone(&self.tls),
            decoder,
            resume: Resume::new(config.cursor, config.rewind_time, config.rewind_seq),
            retries: Retries::new(config.backoff),
            endpoint: 0,
            compress: config.compress,
            connected_before: false,
            at_once: 0,
        };
        runtime.spawn(runner.run());
        Ok(Subscription { shared })
    }
}

impl Subscription {
    /// The next item, or `None` after [`Delivery::Failed`] or [`Handle::close`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.shared.queue.next().await
    }

    /// Like [`next`](Self::next) for a consumer on a thread of its own, outside the runtime's workers.
    ///
    /// # Panics
    ///
    /// When called on a worker of a tokio runtime, as [`tokio::runtime::Handle::block_on`] does.
    pub fn next_blocking(&mut self, runtime: &tokio::runtime::Handle) -> Option<Delivery> {
        match self.shared.queue.try_next() {
            Some(item) => item,
            None => runtime.block_on(self.shared.queue.next()),
        }
    }

    /// A handle for counters and control.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Handle {
    /// The counters as they stand.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot(self.shared.queue.level())
    }

    /// Counts a frame that [`Event::parse`](crate::Event::parse) refused, for [`Stats::malformed`].
    pub fn count_malformed(&self, reason: Malformed) {
        self.shared.counters.malformed(reason);
    }

    /// Replaces the whole filter, now and on later connections, without a reconnect.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] when servers would refuse the filter; the old one stays.
    pub fn update_options(&self, options: Options) -> Result<(), Error> {
        options.check()?;
        let mut current = self
            .shared
            .options
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = options;
        // Under the lock, so that a version is never newer than the filter read after it.
        self.shared.options_version.fetch_add(1, Ordering::Release);
        drop(current);
        self.shared.options_changed.notify_waiters();
        Ok(())
    }

    /// Ends the connection. What was read before is still handed out, then `None`.
    pub fn close(&self) {
        self.shared.queue.close();
    }
}

impl Shared {
    pub(crate) fn options(&self) -> Options {
        self.options
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a filter newer than version `known`; returns its version.
    pub(crate) async fn options_newer_than(&self, known: u64) -> u64 {
        loop {
            let mut notified = std::pin::pin!(self.options_changed.notified());
            notified.as_mut().enable();
            let version = self.options_version.load(Ordering::Acquire);
            if version != known {
                return version;
            }
            notified.await;
        }
    }
}

/// The task behind a subscription.
struct Runner {
    shared: Arc<Shared>,
    endpoints: Vec<Endpoint>,
    tls: Arc<rustls::ClientConfig>,
    decoder: Decoder,
    resume: Resume,
    retries: Retries,
    /// Index of the endpoint in use.
    endpoint: usize,
    compress: bool,
    connected_before: bool,
    /// Connections in a row that ended at once.
    at_once: u32,
}

impl Runner {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Some(error) = self.run_until_fatal().await {
            tracing::warn!(%error, "subscription failed");
            shared.queue.push_notice(Delivery::Failed(error));
        }
        shared.queue.finish();
    }

    /// Returns the fatal error, or nothing when the consumer is gone.
    async fn run_until_fatal(&mut self) -> Option<Error> {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.queue.room().await;
            if shared.queue.is_closed() {
                return None;
            }
            let (error, outcome) = self.attempt().await?;
            if error.ends_subscription(self.connected_before) {
                return Some(error);
            }
            let retry_after = match &error {
                Error::Refused { retry_after, .. } => *retry_after,
                _ => None,
            };
            let retry_in = self.retries.delay(outcome, retry_after);
            self.switch_endpoint();
            tracing::info!(%error, ?retry_in, "disconnected");
            shared
                .queue
                .push_notice(Delivery::Disconnected { error, retry_in });
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = shared.queue.closed() => return None,
            }
        }
    }

    /// Connects and runs one connection to its end; `None` when the consumer ended it.
    async fn attempt(&mut self) -> Option<(Error, Outcome)> {
        let shared = Arc::clone(&self.shared);
        let endpoint = self
            .endpoints
            .get(self.endpoint)
            .or(self.endpoints.first())?;
        let plan = self.resume.plan(self.endpoint);
        // The version first: a filter that changes in between is then sent once more, and never missed.
        let options_version = shared.options_version.load(Ordering::Acquire);
        let mut options = shared.options();
        let own_limit = u32::try_from(shared.config.message_bytes_max).unwrap_or(u32::MAX);
        if plan.limit_size && options.max_message_size_bytes == 0 {
            options.max_message_size_bytes = own_limit;
        }
        if plan.skips {
            add(&shared.counters.skips, 1);
            tracing::warn!(cursor = ?plan.cursor, "stepping over a message that ends every connection");
        }
        let request = Request {
            cursor: plan.cursor,
            compress: self.compress,
            require_hello: shared.config.require_hello,
            options,
        };
        let (url, says_hello) = endpoint.request_url(&request);
        let asked_us = now_us();
        let connecting = connect(endpoint, &url, &shared.config, &self.tls);
        let connected = tokio::select! {
            biased;
            () = shared.queue.closed() => return None,
            connected = connecting => connected,
        };
        let socket = match connected {
            Ok(socket) => socket,
            Err(error) => {
                add(&shared.counters.failed_attempts, 1);
                shared.counters.refused(match &error {
                    Error::Refused { status, .. } => *status,
                    Error::BadRequest { .. } => 400,
                    _ => 0,
                });
                let error = error.without_secrets_of(endpoint.url());
                return Some((error, Outcome::Failed));
            }
        };
        let opened = Instant::now();
        self.connected_before = true;
        self.resume.opened(asked_us);
        add(&shared.counters.connections, 1);
        shared.counters.refused(0);
        shared.counters.connected.store(true, Ordering::Relaxed);
        tracing::info!(endpoint = without_secrets(endpoint.url()), cursor = ?plan.cursor, "connected");
        shared.queue.push_notice(Delivery::Connected {
            endpoint: endpoint.url().to_owned(),
            cursor: plan.cursor,
        });

        let frames_before = shared.counters.frames();
        let mut session = Session::new(
            &shared,
            socket,
            &mut self.decoder,
            &mut self.resume,
            self.endpoint,
            options_version,
        );
        if says_hello && let Ok(hello) = request.options.to_update() {
            session.send_text(hello);
        }
        let End::Failed(error) = session.run().await else {
            return None;
        };
        let error = error.without_secrets_of(endpoint.url());
        add(&shared.counters.disconnects, 1);
        if matches!(error, Error::UnknownDictionary { .. }) {
            self.compress = false;
        }
        let advanced = self.resume.closed(error.is_orderly(), error.is_poison());
        let lived = opened.elapsed();
        if lived < AT_ONCE && shared.counters.frames() == frames_before && !error.is_poison() {
            self.at_once = self.at_once.saturating_add(1);
        } else {
            self.at_once = 0;
        }
        let error = if self.at_once >= AT_ONCE_REPORTED {
            Error::EndedAtOnce {
                times: self.at_once,
                last: Box::new(error),
            }
        } else {
            error
        };
        let outcome = match advanced {
            _ if lived >= shared.config.backoff.stable_after => Outcome::Stable,
            true => Outcome::Advanced,
            false => Outcome::Failed,
        };
        Some((error, outcome))
    }

    /// Moves on to the next server when this one keeps failing and the position can be taken along.
    fn switch_endpoint(&mut self) {
        let limit = self.shared.config.failures_before_switch.max(1);
        if self.retries.failures() > 0
            && self.retries.failures().is_multiple_of(limit)
            && self.endpoints.len() > 1
            && self.resume.is_portable()
        {
            self.endpoint = (self.endpoint + 1) % self.endpoints.len();
        }
    }
}
