//! The link stream of a real server on one core, with its source and its subscribers on the other: memory of idle
//! subscribers, delivery to many with mixed filters, and replay to one while live goes on.

mod feed;
mod lookups;
mod plan;

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::process::Process;
use crate::harness::program::{on_first_core, orrery, pin};
use crate::{Outcome, Result};
use feed::{Feed, Ledger};
use plan::{Wanted, chained, mixed};

/// 2,400 links a second, at 1.2 links an event.
const EVENTS_PER_SECOND: u64 = 2_000;
/// Subscribers that get nothing.
const IDLE: u64 = 5_000;
/// Events whose links are replayed: about a million links.
const REPLAYED_EVENTS: u64 = 880_000;
/// How long the last frames may take.
const DRAIN: Duration = Duration::from_secs(3);

type Socket = WebSocketStream<TcpStream>;

pub(crate) fn run(seconds: u64, subscribers: u64) -> Outcome {
    let orrery = orrery()?;
    let pinned = pin();
    println!(
        "server on {}, source and clients on the other",
        if pinned {
            "one core"
        } else {
            "any core (no taskset)"
        }
    );
    lookups::run()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        live(&orrery, pinned, seconds, subscribers).await?;
        replay(&orrery, pinned).await
    }))
}

/// A running server. Killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; nothing depends on how.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(orrery: &Path, pinned: bool, data: &Path, source: &str) -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = on_first_core(pinned, orrery);
        let child = command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--jetstream", source, "--bind", &free.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            address: free,
        })
    }

    async fn is_up(&self) -> Result<()> {
        for _ in 0..200 {
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err("the server does not answer".into())
    }

    fn process(&self) -> Process {
        Process::Id(self.child.id())
    }

    fn rss_anon_kib(&self) -> u64 {
        self.process().rss_anon_kib()
    }

    fn cpu_seconds(&self) -> f64 {
        self.process().cpu_seconds()
    }

    async fn subscribe(&self, query: &str) -> Result<Socket> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}/subscribe?{query}", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        Ok(socket)
    }
}

/// What a subscriber got.
#[derive(Default)]
struct Got {
    count: u64,
    hash: u64,
    end: Option<String>,
}

/// Counts frames and their lags until the socket ends or is let go.
fn listen(
    mut socket: Socket,
    ledger: Rc<RefCell<Ledger>>,
    lags: Rc<RefCell<Vec<u32>>>,
    got: Rc<RefCell<Got>>,
) -> JoinHandle<()> {
    spawn_local(async move {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let hash = xxh3_64(text.as_bytes());
                    let mut got = got.borrow_mut();
                    got.count += 1;
                    got.hash = chained(got.hash, hash);
                    if let Some(sent) = ledger.borrow().sent_at.get(&hash) {
                        lags.borrow_mut().push(sent.elapsed().as_micros() as u32);
                    }
                }
                Some(Ok(Message::Ping(_))) => {
                    // The answer is queued by the library and needs a flush.
                    if socket.flush().await.is_err() {
                        break;
                    }
                }
                Some(Ok(_)) => {}
                end => {
                    got.borrow_mut().end = Some(format!("{end:?}"));
                    break;
                }
            }
        }
    })
}

/// The value below which that share of the sorted values is, in milliseconds.
fn percentile(sorted: &[u32], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    let place = place.min(sorted.len().saturating_sub(1));
    f64::from(sorted.get(place).copied().unwrap_or(0)) / 1_000.0
}

async fn live(orrery: &Path, pinned: bool, seconds: u64, subscribers: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut feed = Feed::new(EVENTS_PER_SECOND, 5).await?;
    let server = Server::start(orrery, pinned, &dir.path().join("data"), &feed.url()?)?;
    server.is_up().await?;
    feed.accept().await?;
    feed.send(EVENTS_PER_SECOND, Duration::from_secs(1)).await?;

    let before = server.rss_anon_kib();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let query = "wantedSubjects=at%3A%2F%2Fdid%3Aplc%3Anobody";
        idle.push(server.subscribe(query).await?);
    }
    sleep(Duration::from_secs(1)).await;
    let after = server.rss_anon_kib();
    println!(
        "{IDLE} idle subscribers: {:.1} KiB each",
        after.saturating_sub(before) as f64 / IDLE as f64
    );
    drop(idle);
    sleep(Duration::from_secs(1)).await;

    let popular = feed.generator().popular_targets(400);
    let plans = mixed(subscribers, &popular);
    let lags = Rc::new(RefCell::new(Vec::new()));
    let mut listeners = Vec::new();
    let first = feed.ledger.borrow().links.len();
    for wanted in &plans {
        let socket = server.subscribe(&wanted.query()).await?;
        let got = Rc::default();
        let task = listen(
            socket,
            Rc::clone(&feed.ledger),
            Rc::clone(&lags),
            Rc::clone(&got),
        );
        listeners.push((task, got));
    }
    sleep(Duration::from_secs(1)).await;
    let cpu = server.cpu_seconds();
    feed.send(EVENTS_PER_SECOND, Duration::from_secs(seconds))
        .await?;
    let cpu = server.cpu_seconds() - cpu;
    sleep(DRAIN).await;
    check(&plans, &listeners, &feed, first)?;
    let mut lags = lags.borrow_mut();
    lags.sort_unstable();
    let links = feed.ledger.borrow().links.len() - first;
    println!(
        "{subscribers} subscribers with mixed filters, {links} links in {seconds} s, {} frames: each got exactly its own",
        lags.len()
    );
    println!(
        "  lag p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms; server {:.0} % of a core",
        percentile(&lags, 0.5),
        percentile(&lags, 0.99),
        percentile(&lags, 0.999),
        percentile(&lags, 1.0),
        100.0 * cpu / seconds as f64
    );
    Ok(())
}

/// That every subscriber got its own links, all of them, in order, and nothing else.
fn check(
    plans: &[Wanted],
    listeners: &[(JoinHandle<()>, Rc<RefCell<Got>>)],
    feed: &Feed,
    first: usize,
) -> Outcome {
    let ledger = feed.ledger.borrow();
    let links = ledger.links.get(first..).unwrap_or_default();
    for (number, (wanted, (task, got))) in plans.iter().zip(listeners).enumerate() {
        task.abort();
        let got = got.borrow();
        let (count, hash) = wanted.truth(links);
        if (count, hash) != (got.count, got.hash) || got.end.is_some() {
            return Err(format!(
                "subscriber {number} ({}) got {} frames in place of {count}{}; ended: {:?}",
                wanted.query(),
                got.count,
                if count == got.count {
                    ", of which some are others"
                } else {
                    ""
                },
                got.end
            )
            .into());
        }
    }
    Ok(())
}

async fn replay(orrery: &Path, pinned: bool) -> Outcome {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let file = dir.path().join("events.jsonl");
    let made = Command::new(orrery)
        .args([
            "synth",
            "--seed",
            "9",
            "--events",
            &REPLAYED_EVENTS.to_string(),
            "--out",
        ])
        .arg(&file)
        .stderr(Stdio::null())
        .status()?;
    let loaded = Command::new(orrery)
        .arg("ingest")
        .arg("--data")
        .arg(&data)
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !(made.success() && loaded.success()) {
        return Err("the directory to replay could not be made".into());
    }
    fs::remove_file(&file)?;
    let mut feed = Feed::new(EVENTS_PER_SECOND, 6).await?;
    let server = Server::start(orrery, pinned, &data, &feed.url()?)?;
    server.is_up().await?;
    feed.accept().await?;
    let feeding = spawn_local(async move {
        let sent = feed.send(EVENTS_PER_SECOND, Duration::from_secs(90)).await;
        sent.map_err(|error| error.to_string())
    });
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let mut socket = server.subscribe("instant=true&cursor=1").await?;
    let mut links = 0_u64;
    let mut last = (0_u64, 0_u64);
    let mut live_after = None;
    let mut live = 0_u64;
    while live < 2 * EVENTS_PER_SECOND {
        let message = timeout(Duration::from_secs(60), socket.next()).await?;
        let text = match message.ok_or("the stream ended")?? {
            Message::Text(text) => text,
            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
            _ => continue,
        };
        if text.starts_with(r#"{"kind":"info""#) {
            println!("  {}", &*text);
            continue;
        }
        // Parsing all of it would measure this client.
        let (_, rest) = text
            .rsplit_once("\"cursor\":\"")
            .ok_or("a frame without a cursor")?;
        let (seq, index) = rest
            .split('"')
            .next()
            .and_then(|c| c.split_once('.'))
            .ok_or("a bad cursor")?;
        let place = (seq.parse()?, index.parse()?);
        if place <= last {
            return Err(format!("{place:?} behind {last:?}").into());
        }
        last = place;
        if text.starts_with(r#"{"kind":"link","origin":"live""#) {
            live_after.get_or_insert_with(|| start.elapsed());
            live += 1;
        } else {
            links += 1;
        }
    }
    let took = live_after.ok_or("no live link")?.as_secs_f64();
    println!(
        "replay to one subscriber while live goes on: {links} links in {took:.1} s, {:.0} a second, in order, none twice",
        links as f64 / took
    );
    feeding.abort();
    Ok(())
}
