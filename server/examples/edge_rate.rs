//! How many requests a second `com.atproto.repo.getRecord` answers from memory, beside a route of axum alone that gives the same
//! bytes: both in this process, over the same number of connections, in turns.
//!
//! `cargo run --release -p orrery-server --example edge_rate [seconds of each turn]`
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement that fails ends"
)]

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../tests/suite/common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use common::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 32;
const TURNS: usize = 5;
const TARGET: &str = "/xrpc/com.atproto.repo.getRecord?repo=did%3Aplc%3Az72i7hdynmk6r22z27h6tvur&collection=app.bsky.feed.like&rkey=warm1";

/// Answers a second over all connections.
async fn rate(address: SocketAddr, span: Duration) -> f64 {
    let (is_over, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (is_over, count) = (is_over.clone(), count.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let request = format!("GET {TARGET} HTTP/1.1\r\nhost: x\r\n\r\n");
                let mut buffer = vec![0; 16_384];
                while !is_over.load(Ordering::Relaxed) {
                    stream.write_all(request.as_bytes()).await.unwrap();
                    // Head and body come in one piece; the last byte of the body ends it.
                    let mut length = 0;
                    while !buffer[..length].ends_with(b"}}") {
                        let read = stream.read(&mut buffer[length..]).await.unwrap();
                        assert!(read > 0, "the server ended");
                        length += read;
                    }
                    assert!(buffer.starts_with(b"HTTP/1.1 200"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(span).await;
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args()
        .nth(1)
        .map_or(2.0, |arg| arg.parse().unwrap());
    let span = Duration::from_secs_f64(seconds);
    let server = Server::start().await;
    let body = server.get(TARGET).await.body;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alone = listener.local_addr().unwrap();
    let bytes = bytes::Bytes::from(body);
    let constant = get(async move || {
        let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        (kind, bytes.clone())
    });
    let router = Router::new().route("/xrpc/com.atproto.repo.getRecord", constant);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut sums = [0.0; 2];
    for turn in 0..TURNS {
        let ours = rate(server.address, span).await;
        let constant = rate(alone, span).await;
        sums[0] += ours;
        sums[1] += constant;
        println!("turn {turn}: getRecord {ours:.0}/s, axum alone {constant:.0}/s");
    }
    println!(
        "getRecord has {:.0} % of axum alone",
        100.0 * sums[0] / sums[1]
    );
}
