//! A pipeline on a thread of its own, which is the only one that writes. The network side of the source
//! stays on the async runtime, and a bounded queue lies between the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use orrery_jetstream::{Client, Config, Handle};
use tokio::sync::watch;

use crate::counters::{Counters, CountersView};
use crate::error::{Error, Result};
use crate::live::JetstreamSource;
use crate::pipeline::{Pipeline, pump};
use crate::report::Tally;
use crate::resume::resume_point;
use crate::select::Selection;
use crate::sink::Sink;
use crate::source::{Cursor, Source};

/// How often a paused sink is asked whether it takes events again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What to follow.
#[derive(Debug, Clone)]
pub struct FollowConfig {
    /// Settings of the subscription. Its cursor is set by [`follow`].
    pub jetstream: Config,
    /// The name under which positions are stored; by default the first endpoint of `jetstream`, by
    /// [`source_name`](orrery_jetstream::source_name).
    pub name: Option<String>,
    /// Whether to go on from another source's position.
    pub force: bool,
    /// Which collections to index.
    pub selection: Selection,
}

impl FollowConfig {
    /// Whether the settings make sense, before anything is begun with them.
    ///
    /// # Errors
    /// [`Error::Jetstream`].
    pub fn check(&self) -> Result<()> {
        let checked = Client::new(self.jetstream.clone());
        let endpoints = self.jetstream.endpoints.iter();
        let shown = endpoints.map(|endpoint| orrery_jetstream::without_secrets(endpoint));
        checked.map(drop).map_err(|source| Error::Jetstream {
            endpoint: shown.collect::<Vec<_>>().join(", "),
            source,
        })
    }

    /// Follows one server, everything it sends.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            jetstream: Config::new(endpoint),
            name: None,
            force: false,
            selection: Selection::default(),
        }
    }
}

/// A running pipeline. Dropping it stops the pipeline without waiting for it.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    handle: Handle,
    ended: watch::Receiver<bool>,
    thread: Option<JoinHandle<Result<Tally>>>,
}

/// Whether a follower's pipeline goes on, as others may ask.
#[derive(Debug, Clone)]
pub struct Pulse {
    counters: Arc<Counters>,
    ended: watch::Receiver<bool>,
}

impl Pulse {
    /// A number that changes while the pipeline goes on, several times a second but for the time of one batch with
    /// its seal; `None` once it has ended, in whatever way.
    pub fn turns(&self) -> Option<u64> {
        (!*self.ended.borrow()).then(|| self.counters.turns())
    }
}

/// Sets its channel when it goes, however the thread ends.
struct EndGuard(watch::Sender<bool>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Follows a server from `stored` on, or live where nothing is stored, into `sink`. The network side runs
/// on `runtime`; the pipeline gets a thread.
///
/// `newest_time_us` is the time of the newest event in the index, used when the stored position does not
/// carry over.
///
/// # Errors
///
/// [`Error::OtherSource`], [`Error::Jetstream`] for settings that cannot be used, [`Error::Sink`],
/// [`Error::Thread`].
pub fn follow<K: Sink + Send + 'static>(
    mut sink: K,
    stored: Option<&Cursor>,
    newest_time_us: Option<u64>,
    mut config: FollowConfig,
    runtime: &tokio::runtime::Handle,
) -> Result<Follower> {
    let first = config.jetstream.endpoints.first();
    let name = config
        .name
        .or_else(|| first.map(|endpoint| orrery_jetstream::source_name(endpoint)))
        .unwrap_or_default();
    config.jetstream.cursor = resume_point(stored, newest_time_us, &name, config.force)?;
    let mut source = JetstreamSource::start(config.jetstream, name.into(), runtime.clone())?;
    source.was_read_through(stored.and(newest_time_us));
    // Once nothing is left that the settings could be refused for.
    sink.begin(&config.selection).map_err(Error::sink)?;
    let handle = source.handle();
    let stop = Arc::new(AtomicBool::new(false));
    let counters = Arc::new(Counters::default());
    let (sender, ended) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name("ingest".to_owned())
        .spawn({
            let (stop, counters) = (Arc::clone(&stop), Arc::clone(&counters));
            move || {
                let _guard = EndGuard(sender);
                let pipeline = Pipeline {
                    selection: config.selection,
                    counters: Some(&counters),
                    stop: Some(&stop),
                    retry_every: Some(RETRY_EVERY),
                    link_counts: None,
                };
                let tally = pump(&mut source, &mut sink, pipeline)?;
                end(sink, source.name())?;
                Ok(tally)
            }
        });
    Ok(Follower {
        stop,
        counters,
        handle,
        ended,
        thread: Some(thread.map_err(|source| Error::Thread { source })?),
    })
}

/// Closes the sink. One that is paused cannot make its last events durable, which is no failure: with them goes
/// their position, and the source sends them again.
fn end<K: Sink>(sink: K, name: &str) -> Result<()> {
    match sink.close() {
        Err(error) if K::passes(&error) => {
            tracing::warn!(
                "{name}: ended while paused: {error}. What is not durable is fetched again at the next start"
            );
            Ok(())
        }
        closed => closed.map_err(Error::sink),
    }
}

impl Follower {
    /// What was done so far.
    pub fn view(&self) -> CountersView {
        self.counters.view()
    }

    /// The counters, to be read from elsewhere.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Whether the pipeline goes on, to be asked from elsewhere.
    pub fn pulse(&self) -> Pulse {
        Pulse {
            counters: Arc::clone(&self.counters),
            ended: self.ended.clone(),
        }
    }

    /// Counters and control of the subscription: whether it is connected, its lag and its rate.
    pub fn subscription(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the pipeline has ended by itself, which is always an error's doing. Cancel safe.
    pub async fn ended(&mut self) {
        // The sender sets the value before it goes, so that either way it has ended.
        let _ = self.ended.wait_for(|&ended| ended).await;
    }

    /// Ends the pipeline after its present batch, waits for its last commit, and gives what it did. Blocks.
    ///
    /// # Errors
    ///
    /// What ended the pipeline, if it was not this call.
    pub fn stop(mut self) -> Result<Tally> {
        self.request_stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(Error::Panicked),
        }
    }

    fn request_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.close();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.request_stop();
    }
}

#[cfg(test)]
mod tests {
    use orrery_formats::event::Event;

    use super::*;
    use crate::sink::Outcome;

    #[derive(Debug, Clone, Copy, thiserror::Error)]
    #[error("closed: {passes}")]
    struct Closed {
        passes: bool,
    }

    /// Fails when it is closed.
    struct Failing(Closed);

    impl Sink for Failing {
        type Error = Closed;

        fn passes(error: &Closed) -> bool {
            error.passes
        }

        fn apply(&mut self, _event: &Event<'_>) -> Result<Outcome, Closed> {
            Err(self.0)
        }

        fn set_cursor(&mut self, _cursor: &Cursor) {}

        fn tick(&mut self) -> Result<(), Closed> {
            Err(self.0)
        }

        fn commit(&mut self) -> Result<(), Closed> {
            Err(self.0)
        }
    }

    #[test]
    fn a_sink_that_is_paused_at_the_end_is_no_failure_and_one_that_failed_is() {
        end(Failing(Closed { passes: true }), "a source").unwrap();
        let failed = end(Failing(Closed { passes: false }), "a source");
        assert!(matches!(failed, Err(Error::Sink { .. })), "{failed:?}");
    }
}
