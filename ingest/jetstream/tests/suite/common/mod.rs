//! A websocket server on loopback that does what a test tells it, well or badly.
#![allow(
    dead_code,
    reason = "each test file compiles this module for itself and uses a part"
)]
#![allow(
    clippy::result_large_err,
    reason = "the websocket crate gives the callback its type"
)]

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::SinkExt as _;
use orrery_jetstream::{
    Backoff, Batch, Client, Config, DICTIONARY, Delivery, Error, Event, Subscription,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// A time like those on the wire, before now.
pub const T0: u64 = 1_760_000_000_000_000;

pub type Ws = WebSocketStream<TcpStream>;

/// Where the server listens and how often it was connected to.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `script` for each TCP connection with its number, from 0.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::new(AtomicUsize::new(0)),
        };
        let accepted = Arc::clone(&server.accepted);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, tcp));
            }
        });
        server
    }

    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// A configuration with short delays.
    pub fn config(&self) -> Config {
        let mut config = Config::new(format!("ws://{}", self.address));
        config.backoff = Backoff {
            base: Duration::from_millis(2),
            max: Duration::from_millis(4),
            ..Backoff::default()
        };
        config.compress = false;
        config
    }
}

/// Query members of the upgrade request, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(pub Vec<(String, String)>, pub HashMap<String, String>);

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn cursor(&self) -> Option<u64> {
        self.get("cursor").map(|value| value.parse().unwrap())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.1.get(name).map(String::as_str)
    }
}

/// Upgrades the connection.
pub async fn accept(tcp: TcpStream) -> (Ws, Query) {
    let mut query = Query::default();
    let ws = tokio_tungstenite::accept_hdr_async(tcp, |request: &Request, response: Response| {
        assert_eq!(request.uri().path(), "/subscribe");
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.0.push((name.to_owned(), value.to_owned()));
        }
        for (name, value) in request.headers() {
            query
                .1
                .insert(name.to_string(), value.to_str().unwrap().to_owned());
        }
        Ok(response)
    })
    .await
    .unwrap();
    (ws, query)
}

/// Reads the request's header and answers with `response` in place of an upgrade.
pub async fn refuse(mut tcp: TcpStream, response: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(tcp.read_u8().await.unwrap());
    }
    tcp.write_all(response.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let _ = tcp.read_u8().await;
}

/// An event with number `n`: its record key, and its time in milliseconds after [`T0`].
pub fn event(n: u64, seq: Option<u64>) -> String {
    let time_us = T0 + n * 1000;
    let cursor = seq
        .map(|seq| format!("\"cursor\":{seq},"))
        .unwrap_or_default();
    format!(
        r#"{{"did":"did:plc:a","time_us":{time_us},{cursor}"kind":"commit","commit":{{"rev":"3m","operation":"delete","collection":"c.d.e","rkey":"{n}"}}}}"#
    )
}

/// The number given to [`event`].
pub fn number(event: &Event<'_>) -> u64 {
    let orrery_jetstream::Kind::Commit(commit) = &event.kind else {
        panic!("not a commit")
    };
    commit.rkey.parse().unwrap()
}

pub fn numbers(batch: &Batch) -> Vec<u64> {
    batch
        .events()
        .map(|event| number(&event.unwrap()))
        .collect()
}

/// Sends text; false when the client is gone.
pub async fn send(ws: &mut Ws, text: impl Into<String>) -> bool {
    ws.send(Message::text(text.into())).await.is_ok()
}

/// Makes the compressed form of a message.
pub fn pack(text: &[u8]) -> Vec<u8> {
    zstd::bulk::Compressor::with_dictionary(3, DICTIONARY)
        .unwrap()
        .compress(text)
        .unwrap()
}

/// Keeps the connection until the client ends it, answering pings.
pub async fn idle(mut ws: Ws) {
    use futures_util::StreamExt as _;
    while let Some(Ok(_)) = ws.next().await {}
}

pub fn subscribe(config: Config) -> Subscription {
    Client::new(config).unwrap().subscribe().unwrap()
}

/// The next item, or a panic after ten seconds.
pub async fn next(subscription: &mut Subscription) -> Option<Delivery> {
    tokio::time::timeout(Duration::from_secs(10), subscription.next())
        .await
        .expect("nothing delivered for ten seconds")
}

/// The next reason for a disconnect, passing over everything else.
pub async fn next_error(subscription: &mut Subscription) -> Error {
    loop {
        match next(subscription)
            .await
            .expect("the end of the subscription")
        {
            Delivery::Disconnected { error, .. } => return error,
            Delivery::Failed(error) => panic!("failed: {error}"),
            _ => {}
        }
    }
}

/// Event numbers in order of delivery, until `last` was delivered.
pub async fn collect_until(subscription: &mut Subscription, last: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        match next(subscription)
            .await
            .expect("the end of the subscription")
        {
            Delivery::Batch(batch) => seen.extend(numbers(&batch)),
            Delivery::Failed(error) => panic!("failed: {error}"),
            _ => {}
        }
    }
    seen
}

/// A file of the shared test data, or `None`, said on standard error, where there is none.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ORRERY_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let path = root.join("data").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}
