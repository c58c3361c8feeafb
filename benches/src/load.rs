//! A load of HTTP requests over connections that stay open: as fast as answers come, in turns between servers, or at a fixed
//! rate, where the time of each answer counts from when it should have been asked for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::harness::percentile::{Times, median};
use crate::harness::program::Running;
use crate::{Result, wrk};

/// Connections that ask as fast as they are answered.
const CONNECTIONS: usize = 32;
/// Connections that share a fixed rate.
const PACED_CONNECTIONS: u64 = 50;

/// One thing to ask of one server.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) running: &'a Running,
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
}

/// What a server did in its turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    pub(crate) per_second: f64,
    pub(crate) cpu_us_each: f64,
    /// CPU seconds of the server a second: where it falls short of the cores that the server has, the clients were what is measured.
    pub(crate) busy: f64,
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until someone answers.
pub(crate) async fn answers(address: SocketAddr) -> Result<()> {
    for _ in 0..1_200 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("nobody answers".into())
}

/// The body of an answer, which has to be a success.
pub(crate) async fn body(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    connection.ask(path).await?;
    if !connection.head.starts_with(b"HTTP/1.1 200") {
        let text = String::from_utf8_lossy(&connection.head).into_owned();
        return Err(format!("{path}: {text}").into());
    }
    Ok(connection.body().to_vec())
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// The last answer, head and body.
    head: Vec<u8>,
    body_at: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: Vec::new(),
            head: Vec::new(),
            body_at: 0,
        })
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn ask(&mut self, path: &str) -> Result<()> {
        self.request.clear();
        for part in ["GET ", path, " HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
            self.request.extend_from_slice(part.as_bytes());
        }
        self.stream.write_all(&self.request).await?;
        let answer = &mut self.head;
        answer.clear();
        loop {
            if self.stream.read_buf(answer).await? == 0 {
                return Err("the connection was closed".into());
            }
            let Some(body_at) = head_end(answer) else {
                continue;
            };
            let head = answer.get(..body_at).unwrap_or_default();
            let end = body_at + content_length(head)?;
            while answer.len() < end {
                if self.stream.read_buf(answer).await? == 0 {
                    return Err("the connection was closed".into());
                }
            }
            self.body_at = body_at;
            return Ok(());
        }
    }

    fn is_success(&self) -> bool {
        self.head.starts_with(b"HTTP/1.1 200")
    }

    fn body(&self) -> &[u8] {
        self.head.get(self.body_at..).unwrap_or_default()
    }
}

/// Where the body begins, once the whole head is there.
fn head_end(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

fn content_length(head: &[u8]) -> Result<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let mut lines = head.split(|byte| *byte == b'\n');
    let length = lines
        .find_map(|line| line.strip_prefix(LENGTH))
        .ok_or("an answer without a length")?;
    Ok(std::str::from_utf8(length)?.trim_end().parse()?)
}

/// Asks in turns, each for `turn`, as fast as answers come: with `wrk` if told so. Medians of `rounds` turns, in the order
/// of `asked`.
pub(crate) async fn throughput(
    asked: &[Asked<'_>],
    rounds: u64,
    turn: Duration,
    by_wrk: bool,
) -> Result<Vec<Throughput>> {
    let mut figures: Vec<[Vec<f64>; 3]> = vec![Default::default(); asked.len()];
    for _ in 0..rounds.max(1) {
        for (asked, [rates, costs, busy]) in asked.iter().zip(&mut figures) {
            let before = asked.running.usage()?.cpu_seconds;
            let started = Instant::now();
            let answered = if by_wrk {
                wrk::answered(asked.address, asked.path, turn)?
            } else {
                as_fast_as_possible(asked, started + turn).await?
            };
            let took = started.elapsed().as_secs_f64();
            let cpu = asked.running.usage()?.cpu_seconds - before;
            rates.push(answered as f64 / took);
            costs.push(cpu * 1e6 / answered.max(1) as f64);
            busy.push(cpu / took);
        }
    }
    let figures = figures.iter().map(|[rates, costs, busy]| Throughput {
        per_second: median(rates),
        cpu_us_each: median(costs),
        busy: median(busy),
    });
    Ok(figures.collect())
}

/// How many answers came until then.
async fn as_fast_as_possible(asked: &Asked<'_>, until: Instant) -> Result<u64> {
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, path) = (asked.address, asked.path.to_owned());
        clients.spawn_local(async move {
            let failed = |error: Box<dyn std::error::Error>| error.to_string();
            let mut connection = Connection::open(address).await.map_err(failed)?;
            let mut answered = 0_u64;
            while Instant::now() < until {
                connection.ask(&path).await.map_err(failed)?;
                if !connection.is_success() {
                    return Err(format!("{path}: an answer that is none"));
                }
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client??;
    }
    Ok(answered)
}

/// Asks `rate` times a second for so many seconds, whether or not answers come: each of the paths in its turn.
pub(crate) async fn paced(
    address: SocketAddr,
    paths: &[String],
    rate: u64,
    seconds: u64,
) -> Result<Times> {
    let start = tokio::time::Instant::now() + Duration::from_millis(100);
    let mut clients = JoinSet::new();
    for place in 0..PACED_CONNECTIONS {
        let paths = paths.to_vec();
        clients.spawn_local(async move {
            let failed = |error: Box<dyn std::error::Error>| error.to_string();
            let mut connection = Connection::open(address).await.map_err(failed)?;
            let mut took = Times::default();
            for number in (place..rate * seconds).step_by(PACED_CONNECTIONS as usize) {
                let due = start + Duration::from_micros(number * 1_000_000 / rate);
                sleep_until(due).await;
                // A stride without a common factor with the number of connections.
                let path = paths.get(number as usize * 7_919 % paths.len().max(1));
                let path = path.ok_or("nothing to ask")?;
                connection.ask(path).await.map_err(failed)?;
                if !connection.is_success() {
                    return Err(format!("{path}: an answer that is none"));
                }
                took.add(due.elapsed());
            }
            Ok::<_, String>(took)
        });
    }
    let mut took = Times::default();
    while let Some(client) = clients.join_next().await {
        took.extend(client??);
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: a\r\ncontent-length: 12\r\n\r\nhello";
        let end = head_end(answer).unwrap();
        assert_eq!(answer.get(end..), Some(&b"hello"[..]));
        assert_eq!(content_length(&answer[..end]).unwrap(), 12);
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n"), None);
        assert!(content_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_paced_load_asks_as_often_as_it_should_and_counts_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let wait = Duration::from_millis(20);
            let answer = async move || {
                sleep(wait).await;
                "x"
            };
            let app = axum::Router::new().route("/", axum::routing::get(answer));
            tokio::task::spawn_local(async move { axum::serve(listener, app).await });
            let mut took = paced(address, &["/".to_owned()], 200, 1).await.unwrap();
            assert_eq!(took.len(), 200);
            assert!(took.at(0.01) >= wait);
            let missing = paced(address, &["/no".to_owned()], 10, 1).await;
            assert!(missing.is_err());
        }));
    }
}
