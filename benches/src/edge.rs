//! One cached record, asked for again and again: the route of the edge cache against an axum route that returns the same bytes.
//! Both servers have one core, and the clients the other. First as fast as they answer, in turns, then at a fixed rate, where the time
//! of each answer counts from when it should have been asked for.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until};

use crate::Outcome;
use crate::stream::{pin, program};

/// Turns of each server.
const ROUNDS: usize = 5;
/// How long a turn lasts.
const TURN: Duration = Duration::from_secs(3);
/// Connections that ask as fast as they are answered.
const CONNECTIONS: usize = 32;
/// Connections that share the fixed rate.
const PACED_CONNECTIONS: u64 = 50;
/// Requests a second, of all.
const RATE: u64 = 5_000;
/// Where the constant route is.
const CONSTANT: &str = "/constant";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures, each paced run for `seconds`.
pub(crate) fn run(seconds: u64) -> Outcome {
    let orrery = program()?;
    let pinned = pin();
    println!(
        "servers on {}, clients on the other",
        if pinned {
            "one core"
        } else {
            "any core (no taskset)"
        }
    );
    let data = tempfile::tempdir()?;
    let (_source, source) = source(&orrery)?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = on_first_core(pinned, &orrery);
    command
        .arg("serve")
        .arg("--data")
        .arg(data.path())
        .args(["--jetstream", &source, "--bind", &address.to_string()])
        .args(["--edge-disk", "64MiB"]);
    let edge = Running::start(command)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let path = a_record(address).await?;
        let body = body(address, &path).await?;
        println!("{path}: {} bytes", body.len());
        let file = data.path().join("body");
        fs::write(&file, &body)?;
        let constant_address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = on_first_core(pinned, &std::env::current_exe()?);
        command
            .arg("constant-route")
            .arg(constant_address.port().to_string())
            .env("ORRERY_BENCH_BODY", &file);
        let constant = Running::start(command)?;
        answers(constant_address).await?;
        throughput([
            (&edge, address, path.as_str()),
            (&constant, constant_address, CONSTANT),
        ])
        .await?;
        println!("at {RATE} requests a second, open loop:");
        for (name, at, path) in [
            ("getRecord", address, path.as_str()),
            ("constant", constant_address, CONSTANT),
            ("getRecord", address, path.as_str()),
        ] {
            paced(name, at, path, seconds).await?;
        }
        Ok(())
    }))
}

/// Serves a constant on a port, as the child of [`run`].
pub(crate) fn serve_constant(port: u64) -> Outcome {
    let body = Bytes::from(fs::read(
        std::env::var_os("ORRERY_BENCH_BODY").ok_or("ORRERY_BENCH_BODY names no file")?,
    )?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", u16::try_from(port)?)).await?;
        let answer = async move || ([(header::CONTENT_TYPE, "application/json")], body.clone());
        axum::serve(listener, Router::new().route(CONSTANT, get(answer))).await?;
        Ok(())
    })
}

/// A program, killed when dropped.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; nothing depends on how.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// CPU time so far, in clock ticks of 10 ms.
    fn ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything, stand the state and 10 more numbers before these two.
        let (_, rest) = stat.rsplit_once(')').ok_or("no such process")?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut next = || fields.next().unwrap_or_default().parse::<u64>();
        Ok(next()? + next()?)
    }
}

fn on_first_core(pinned: bool, program: &std::path::Path) -> Command {
    if !pinned {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// A synthetic stream, and where it is.
fn source(orrery: &std::path::Path) -> Result<(Running, String)> {
    let mut command = Command::new(orrery);
    command
        .args(["synth", "--serve", "127.0.0.1:0", "--rate", "400"])
        .args(["--times", "now", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or("the source has no output")?;
    let running = Running { child };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let told: serde_json::Value = serde_json::from_str(&line)?;
    let url = told.get("url").and_then(|url| url.as_str());
    let url = url.ok_or("the source does not say where it is")?.to_owned();
    Ok((running, url))
}

/// Waits until someone answers.
async fn answers(address: SocketAddr) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("nobody answers".into())
}

/// The path that asks for one of the records.
async fn a_record(address: SocketAddr) -> Result<String> {
    answers(address).await?;
    for _ in 0..200 {
        let samples = body(address, "/records?collection=app.bsky.feed.post&limit=1").await?;
        let samples: serde_json::Value = serde_json::from_slice(&samples)?;
        if let Some(sample) = samples.get(0) {
            let part = |name: &str| {
                let part = sample.get(name).and_then(|part| part.as_str());
                part.ok_or("a sample lacks a part")
            };
            let (did, collection, rkey) = (part("did")?, part("collection")?, part("rkey")?);
            return Ok(format!(
                "/xrpc/com.atproto.repo.getRecord?repo={did}&collection={collection}&rkey={rkey}"
            ));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("no record comes".into())
}

/// The body of an answer.
async fn body(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut connection = Connection::open(address, path).await?;
    connection.ask().await?;
    if !connection.head.starts_with(b"HTTP/1.1 200") {
        let text = String::from_utf8_lossy(&connection.head).into_owned();
        return Err(format!("{path}: {text}").into());
    }
    Ok(connection.body)
}

/// A connection that asks the same over and over.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
        Ok(Self {
            stream,
            request,
            head: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Asks, and reads the whole answer.
    async fn ask(&mut self) -> Result<()> {
        const LENGTH: &[u8] = b"content-length: ";
        self.stream.write_all(&self.request).await?;
        let mut answer = std::mem::take(&mut self.head);
        answer.clear();
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed".into());
            }
            let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = answer.get(..end).unwrap_or_default();
            let mut lines = head.split(|byte| *byte == b'\n');
            let length = lines
                .find_map(|line| line.strip_prefix(LENGTH))
                .ok_or("an answer without a length")?;
            let length: usize = std::str::from_utf8(length)?.trim_end().parse()?;
            while answer.len() < end + 4 + length {
                if self.stream.read_buf(&mut answer).await? == 0 {
                    return Err("the connection was closed".into());
                }
            }
            self.body.clear();
            self.body
                .extend_from_slice(answer.get(end + 4..).unwrap_or_default());
            self.head = answer;
            return Ok(());
        }
    }
}

/// Asks both in turns, as fast as they answer.
async fn throughput(servers: [(&Running, SocketAddr, &str); 2]) -> Outcome {
    let mut rates = [Vec::new(), Vec::new()];
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let figures = rates.iter_mut().zip(&mut costs);
        for ((running, address, path), (rates, costs)) in servers.iter().zip(figures) {
            let before = running.ticks()?;
            let started = Instant::now();
            let until = started + TURN;
            let mut clients = JoinSet::new();
            for _ in 0..CONNECTIONS {
                let (address, path) = (*address, (*path).to_owned());
                clients.spawn_local(async move {
                    let mut connection = Connection::open(address, &path)
                        .await
                        .map_err(|error| error.to_string())?;
                    let mut asked = 0_u64;
                    while Instant::now() < until {
                        connection.ask().await.map_err(|error| error.to_string())?;
                        if !connection.head.starts_with(b"HTTP/1.1 200") {
                            return Err("an answer that is none".to_owned());
                        }
                        asked += 1;
                    }
                    Ok(asked)
                });
            }
            let mut asked = 0;
            while let Some(client) = clients.join_next().await {
                asked += client??;
            }
            let ticks = running.ticks()? - before;
            rates.push(asked as f64 / started.elapsed().as_secs_f64());
            costs.push(ticks as f64 * 10_000.0 / asked as f64);
        }
    }
    let [edge, constant] = rates.map(median);
    let [edge_cost, constant_cost] = costs.map(median);
    println!(
        "getRecord {edge:.0} requests/s, {edge_cost:.1} us of CPU each; constant {constant:.0}, {constant_cost:.1} us: \
         {:.0} % of the throughput, medians of {ROUNDS} turns",
        edge / constant * 100.0
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Asks at a fixed rate, whether or not answers come.
async fn paced(name: &str, address: SocketAddr, path: &str, seconds: u64) -> Outcome {
    let start = tokio::time::Instant::now() + Duration::from_millis(100);
    let each = RATE / PACED_CONNECTIONS;
    let mut clients = JoinSet::new();
    for place in 0..PACED_CONNECTIONS {
        let path = path.to_owned();
        clients.spawn_local(async move {
            let failed = |error: Box<dyn std::error::Error>| error.to_string();
            let mut connection = Connection::open(address, &path).await.map_err(failed)?;
            let mut took = Vec::new();
            for number in 0..each * seconds {
                let at = number * 1_000_000 / each + place * 1_000_000 / RATE;
                let due = start + Duration::from_micros(at);
                sleep_until(due).await;
                connection.ask().await.map_err(failed)?;
                took.push(due.elapsed().as_micros());
            }
            Ok::<_, String>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(client) = clients.join_next().await {
        took.extend(client??);
    }
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        let took = took.get(place).or(took.last()).copied();
        took.unwrap_or_default() as f64 / 1_000.0
    };
    println!(
        "  {name}: {} answers, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, most {:.2} ms",
        took.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}
