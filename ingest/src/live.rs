//! A Jetstream subscription as a source. The network side runs on a tokio runtime; parsing and checking
//! happen here, on the thread that takes the events.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orrery_jetstream::{Client, Config, Delivery, Event as WireEvent, Handle, Subscription};

use crate::decode::decode;
use crate::error::{Error, Result};
use crate::reach::Reach;
use crate::reason::Reason;
use crate::source::{Cursor, CursorKind, Item, Next, Place, Source};

/// Times further ahead of this machine's clock become no position, in microseconds, so that one bad event
/// cannot make a restart skip everything to come.
const AHEAD_US_MAX: u64 = 600_000_000;

/// A running subscription.
#[derive(Debug)]
pub struct JetstreamSource {
    endpoint: Arc<str>,
    /// As errors and logs tell it.
    shown: String,
    runtime: tokio::runtime::Handle,
    subscription: Subscription,
    handle: Handle,
    /// Largest plausible time given; positions do not go back when the display time of an event does.
    time_us: Option<u64>,
    reach: Reach,
    /// Whether the source is out of reach since the last connection.
    is_out: bool,
}

impl JetstreamSource {
    /// Starts a subscription on `runtime`. Positions are stored under the name `endpoint`, which is
    /// usually that of the first of the configuration's endpoints.
    ///
    /// # Errors
    ///
    /// [`Error::Jetstream`] when the configuration cannot be used.
    pub fn start(
        config: Config,
        endpoint: Arc<str>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self> {
        let shown = orrery_jetstream::without_secrets(&endpoint);
        let error = |source| Error::Jetstream {
            endpoint: shown.clone(),
            source,
        };
        let time_us = match config.cursor {
            Some(orrery_jetstream::Cursor::TimeUs(time_us)) => Some(time_us),
            _ => None,
        };
        let subscription = {
            let _context = runtime.enter();
            Client::new(config)
                .map_err(error)?
                .subscribe()
                .map_err(error)?
        };
        Ok(Self {
            handle: subscription.handle(),
            endpoint,
            shown,
            runtime,
            subscription,
            time_us,
            reach: Reach::default(),
            is_out: false,
        })
    }

    /// Tells up to when the source was read where only a sequence number says where to go on.
    pub(crate) fn was_read_through(&mut self, time_us: Option<u64>) {
        self.time_us = self.time_us.or(time_us);
    }

    /// Counters and control of the subscription.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    fn cursor(&self, seq: Option<u64>) -> Option<Cursor> {
        let (kind, value) = match (seq, self.time_us) {
            (Some(seq), _) => (CursorKind::JetstreamSeq, seq),
            (None, Some(time_us)) => (CursorKind::JetstreamTime, time_us),
            (None, None) => return None,
        };
        Some(Cursor {
            kind,
            endpoint: Arc::clone(&self.endpoint),
            value,
        })
    }
}

impl Source for JetstreamSource {
    /// Must not be called on a worker of a tokio runtime.
    fn next(
        &mut self,
        wait: Duration,
        take: &mut dyn FnMut(Place, Item<'_>) -> Result<()>,
    ) -> Result<Next> {
        let next = async { tokio::time::timeout(wait, self.subscription.next()).await };
        let batch = match self.runtime.block_on(next) {
            Ok(Some(Delivery::Batch(batch))) => batch,
            Ok(Some(Delivery::Failed(source))) => {
                return Err(Error::Jetstream {
                    endpoint: self.shown.clone(),
                    source,
                });
            }
            Ok(None) => return Ok(Next::End),
            Ok(Some(Delivery::Disconnected { error, .. })) => {
                // One line for an outage, however many attempts it takes; the client logs each at `info`.
                if !self.is_out {
                    tracing::warn!("{}: {error}; trying again until it works", self.shown);
                }
                self.is_out = true;
                return Ok(Next::Idle);
            }
            Ok(Some(Delivery::Connected { cursor, .. })) => {
                self.reach.connected(match cursor {
                    Some(orrery_jetstream::Cursor::TimeUs(time_us)) => Some(time_us),
                    Some(orrery_jetstream::Cursor::Seq(_)) => self.time_us,
                    None => None,
                });
                if self.is_out {
                    tracing::warn!("{}: connected again", self.shown);
                }
                self.is_out = false;
                return Ok(Next::Idle);
            }
            // Silence, and whatever else the client tells of itself.
            Ok(Some(_)) | Err(_) => return Ok(Next::Idle),
        };
        let now_us = now_us();
        let time_us_max = now_us.saturating_add(AHEAD_US_MAX);
        let mut seq = None;
        for frame in batch.frames() {
            let wire = match WireEvent::parse(frame) {
                Ok(wire) => wire,
                Err(malformed) => {
                    self.handle.count_malformed(malformed);
                    take(0, Item::Dropped(Reason::Malformed(malformed)))?;
                    continue;
                }
            };
            seq = wire.cursor;
            if wire.time_us <= time_us_max {
                self.time_us = self.time_us.max(Some(wire.time_us));
                if let Some(since_us) = self.reach.event(wire.time_us, now_us) {
                    tracing::warn!(
                        since_us,
                        "{}: events that happened before this time are missing: the source does not reach back to where \
                         it was asked to go on. Answers tell that coverage begins here",
                        self.shown
                    );
                    take(0, Item::Missing { since_us })?;
                }
            }
            match decode(&wire) {
                Ok(event) => take(0, Item::Event(&event))?,
                Err(reason) => take(0, Item::Dropped(reason))?,
            }
        }
        if self.reach.is_open() {
            return Ok(Next::Batch(None));
        }
        Ok(Next::Batch(self.cursor(seq)))
    }

    fn name(&self) -> &str {
        &self.shown
    }
}

/// Microseconds since 1970 by this machine's clock.
fn now_us() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}
