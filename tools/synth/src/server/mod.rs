//! A Jetstream v1 server for loopback use: tests, benches and the demo. It speaks
//! the wire contract of `/subscribe` (inclusive microsecond cursors, filters,
//! `options_update`, zstd with the caller's dictionary, pings), serves any source
//! at any pace, and misbehaves on request.
//!
//! Where it differs from a production server: a cursor of any size is a time, never a
//! `seq`; `permessage-deflate` is not offered; events carry no `cursor` member.
//!
//! Files: `config` choices · `request` parameters, client messages, filters · `feed`
//! the events so far · `connection` one client.

mod config;
mod connection;
mod feed;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

pub use config::{Config, Faults, Pace, Source, Stamp};
use connection::{Counters, Shared};
use feed::Feed;

use crate::error::Error;

/// Clients served at once; more are turned away without an answer.
const CLIENTS_MAX: usize = 1024;

/// The start of every structured zstd dictionary.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// How often a paced feed moves on.
const TICK: Duration = Duration::from_millis(5);

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted, refused ones too.
    pub connections: u64,
    /// Connections answered 503 on purpose.
    pub refusals: u64,
    /// Connections broken on purpose.
    pub drops: u64,
    /// Events handed to sockets, repeats too.
    pub events_sent: u64,
    /// Events that appeared in the stream.
    pub events_produced: u64,
}

/// A running server. Dropping it stops the server, without waiting for it.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Handle {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that clients connect to, such as `ws://127.0.0.1:4711/subscribe`.
    pub fn url(&self) -> String {
        format!("ws://{}/subscribe", self.address)
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let Counters {
            connections,
            refusals,
            drops,
            events_sent,
        } = &self.shared.counters;
        Stats {
            connections: connections.load(Ordering::Relaxed),
            refusals: refusals.load(Ordering::Relaxed),
            drops: drops.load(Ordering::Relaxed),
            events_sent: events_sent.load(Ordering::Relaxed),
            events_produced: self.shared.feed.produced(),
        }
    }

    /// Stops accepting, closes every connection with 1001, and waits for all to end:
    /// at most a second or two.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::warn!("the server task did not end well");
        }
    }
}

/// Serves `config` on `listener` until the handle is stopped or dropped. Must be called
/// within a tokio runtime.
///
/// # Errors
///
/// [`Error::Option`] for options out of range, [`Error::Line`] for a line that is no
/// event or falls back in time, [`Error::Dictionary`], and [`Error::Listener`].
///
/// ```
/// use orrery_synth::{Config, Options, Source, serve};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let server = serve(listener, Config::new(Source::Generator(Options::finite(1, 1000))))?;
/// println!("listening on {}", server.url());
/// server.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn serve(listener: TcpListener, config: Config) -> Result<Handle, Error> {
    let address = listener.local_addr().map_err(Error::Listener)?;
    check(&config)?;
    let shared = Arc::new(Shared {
        feed: Feed::new(&config)?,
        config,
        counters: Counters::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(run(listener, Arc::clone(&shared), stopped));
    Ok(Handle {
        address,
        stop,
        task,
        shared,
    })
}

fn check(config: &Config) -> Result<(), Error> {
    let option = |option, value: &dyn std::fmt::Debug, reason| Error::Option {
        option,
        value: format!("{value:?}"),
        reason,
    };
    if let Pace::EventsPerSecond(rate) = config.pace
        && !(0.001..=10_000_000.0).contains(&rate)
    {
        return Err(option(
            "pace",
            &rate,
            "must be 0.001 to 10000000 events per second",
        ));
    }
    let share = config.faults.refuse_share;
    if !(0.0..=1.0).contains(&share) {
        return Err(option("refuse_share", &share, "must be 0 to 1"));
    }
    if config.ping_interval < Duration::from_millis(10) {
        return Err(option(
            "ping_interval",
            &config.ping_interval,
            "must be at least 10 ms",
        ));
    }
    match &config.dictionary {
        Some(dictionary) if !dictionary.starts_with(&DICTIONARY_MAGIC) => {
            let error = std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "it does not begin with 37 A4 30 EC",
            );
            Err(Error::Dictionary(error))
        }
        _ => Ok(()),
    }
}

async fn run(listener: TcpListener, shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    let mut clients = JoinSet::new();
    let mut stopping = stopped.clone();
    let pacer = pace(Arc::clone(&shared));
    tokio::pin!(pacer);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if clients.len() < CLIENTS_MAX => {
                    clients.spawn(connection::run(socket, Arc::clone(&shared), stopped.clone()));
                }
                Ok(_) => tracing::warn!("more than {CLIENTS_MAX} clients"),
                Err(error) => {
                    // Out of file descriptors, or the peer went already: both pass.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(TICK).await;
                }
            },
            Some(_) = clients.join_next() => {}
            () = &mut pacer => {}
            () = connection::stopped(&mut stopping) => break,
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// Lets events appear at the configured rate; never ends.
async fn pace(shared: Arc<Shared>) {
    if let Pace::EventsPerSecond(rate) = shared.config.pace {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut produced = 0_u64;
        loop {
            ticks.tick().await;
            let due = (started.elapsed().as_secs_f64() * rate) as u64;
            // At most a few milliseconds of work at a time; what is missed is caught up.
            let count = due.saturating_sub(produced).min(4096);
            produced += count;
            if count > 0 && !shared.feed.produce(count as usize) {
                break;
            }
        }
    }
    std::future::pending().await
}
