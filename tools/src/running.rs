//! Store, follower and server as one running whole, and its end: the server lets requests in flight
//! finish, then the follower commits what it has applied.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_engine::{Options, Store};
use orrery_ingest::{Cursor, FollowConfig, Follower, follow};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::edge::EdgeSettings;
use crate::failure::{Failure, Result};
use crate::health::{Health, OBSERVE_EVERY};
use crate::index::StoreIndex;
use crate::signals::Signals;
use crate::stream::StoreFeed;
use crate::{descriptors, output, service};

/// How long work on the blocking pool may go on after everything else has ended.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// A store that answers, and may follow a source.
pub(crate) struct Running {
    path: PathBuf,
    store: Store,
    index: Arc<StoreIndex>,
    health: Option<Arc<Health>>,
    follower: Option<Follower>,
}

/// Makes a runtime.
///
/// # Errors
///
/// [`Failure::System`].
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("cannot start the runtime"))
}

/// Ends a runtime without waiting for queries that nobody waits for.
pub(crate) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(LEFTOVERS);
}

/// Listens on `address`.
///
/// # Errors
///
/// [`Failure::Bind`], naming the address.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| Failure::Bind { address, source })
}

/// Has a read error in a mapped file leave word for the next start. Without that the error says less, and
/// nothing else changes.
pub(crate) fn watch_reads(path: &Path) {
    if std::fs::create_dir_all(path).is_err() {
        // No data directory, and none can be made; opening it says so.
        return;
    }
    if let Err(error) = orrery_engine::io::mmap::catch_faults(path) {
        tracing::warn!(%error, "read errors in mapped files are not watched");
    }
}

impl Running {
    /// Opens the data directory.
    ///
    /// # Errors
    ///
    /// [`Failure::Store`].
    pub(crate) fn open(path: &Path, options: Options) -> Result<Self> {
        service::opening(path);
        watch_reads(path);
        let store = Store::open(path, options).map_err(|source| Failure::Store {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            index: Arc::new(StoreIndex::new(store.clone())),
            store,
            health: None,
            follower: None,
        })
    }

    /// Follows a source from the durable cursor on.
    ///
    /// # Errors
    ///
    /// [`Failure::Ingest`] when the directory follows another source, or the settings cannot be used.
    pub(crate) fn follow(&mut self, config: FollowConfig, runtime: &Runtime) -> Result<()> {
        let writer = self.store.writer().map_err(|source| Failure::Store {
            path: self.path.clone(),
            source,
        })?;
        let stored = writer.durable_cursor().map(Cursor::try_from).transpose()?;
        let newest = self.store.snapshot().indexed_through_us();
        let source = config.jetstream.endpoints.first().cloned();
        let follower = follow(writer, stored.as_ref(), newest, config, runtime.handle())?;
        let health = Arc::new(Health::new(source.unwrap_or_default(), &follower));
        self.index.set_health(Arc::clone(&health));
        self.health = Some(health);
        self.follower = Some(follower);
        Ok(())
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The watch on the followed source.
    pub(crate) fn health(&self) -> Option<Arc<Health>> {
        self.health.clone()
    }

    /// Serves until a signal comes, the source fails, or `beside` ends. Where the index takes no more events,
    /// queries go on until a signal. A second signal cuts requests in flight short.
    ///
    /// # Errors
    ///
    /// Whatever ended it but a signal.
    pub(crate) async fn run(
        mut self,
        listener: TcpListener,
        config: orrery_server::Config,
        edge: &EdgeSettings,
        mut signals: Signals,
        beside: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(Failure::system("cannot use the listening socket"))?;
        descriptors::raise(config.stream.subscribers_max);
        let edge = edge.start(
            self.store.clone(),
            Arc::clone(&self.index),
            config.lag_limit,
        )?;
        let (end, is_over) = oneshot::channel::<()>();
        let mut server = pin!(orrery_server::serve(
            listener,
            self.index.clone(),
            Arc::new(StoreFeed::new(self.store.clone())),
            Some(edge),
            config,
            async {
                // Either sent or dropped, it is time to end.
                let _ = is_over.await;
            },
        ));
        let mut beside = pin!(beside);
        let mut observing = pin!(observe(self.health.clone()));
        let mut service = pin!(service::tell(Arc::clone(&self.index), self.health.clone()));
        let mut stopped = Ok(());
        let mut asked = None;
        let outcome = loop {
            tokio::select! {
                result = &mut server => return result.map_err(Failure::from),
                result = &mut beside => break result,
                () = ended(self.follower.as_mut()) => match stop(self.follower.take()).await {
                    Err(error @ orrery_ingest::Error::Sink { .. }) => {
                        output::note(format_args!(
                            "error: {error}. Nothing new is indexed; queries are answered until this is stopped"
                        ));
                        stopped = Err(error.into());
                    }
                    result => break result.map_err(Failure::from),
                },
                () = &mut observing => break Ok(()),
                () = &mut service => break Ok(()),
                name = signals.any() => {
                    tracing::info!("{name}: shutting down");
                    asked = Some((name, Instant::now()));
                    break Ok(());
                }
            }
        };
        service::stopping();
        drop(end);
        tokio::select! {
            result = &mut server => result?,
            name = again(&mut signals, asked) => {
                let again = if asked.is_some() { " again" } else { "" };
                output::note(format_args!("{name}{again}: ending at once"));
            }
        }
        stop(self.follower.take()).await?;
        outcome.and(stopped)
    }
}

/// Waits for a signal that is more than the one, if any, that has been heeded.
async fn again(signals: &mut Signals, asked: Option<(&'static str, Instant)>) -> &'static str {
    match asked {
        Some((first, since)) => signals.again(first, since).await,
        None => signals.any().await,
    }
}

/// Waits for the end of the follower, if there is one, and tells what ended it. It ends after its present
/// batch; its last commit may take a disk's while.
async fn stop(follower: Option<Follower>) -> orrery_ingest::Result<()> {
    let Some(follower) = follower else {
        return Ok(());
    };
    match tokio::task::spawn_blocking(move || follower.stop()).await {
        Ok(result) => result.map(drop),
        Err(_) => Err(orrery_ingest::Error::Panicked),
    }
}

/// Waits until the follower has ended by itself; for ever where there is none.
async fn ended(follower: Option<&mut Follower>) {
    match follower {
        Some(follower) => follower.ended().await,
        None => std::future::pending().await,
    }
}

/// Keeps an eye on the source, so that silence is noticed when nobody asks.
async fn observe(health: Option<Arc<Health>>) {
    let Some(health) = health else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(OBSERVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        health.observe();
    }
}
