//! Measures the whole client over loopback: websocket, decompression, queue and [`Event::parse`].
//!
//! `cargo run --release --example throughput -- events.jsonl [compress]`. The server sends the file's lines over and
//! over from a thread of its own, so the figure includes the work of both sides on a machine with few cores.
#![allow(clippy::print_stdout, reason = "the figures are the purpose")]

use std::time::Instant;

use futures_util::SinkExt as _;
use orrery_jetstream::{Client, Config, DICTIONARY, Delivery, Event};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const EVENTS: usize = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: throughput <events.jsonl> [compress]")?;
    let compress = std::env::args().nth(2).is_some();
    let text = std::fs::read_to_string(path)?;
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, DICTIONARY)?;
    let mut messages = Vec::new();
    for line in text.lines() {
        messages.push(match compress {
            true => Message::binary(compressor.compress(line.as_bytes())?),
            false => Message::text(line),
        });
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(listener, messages))
    });

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut config = Config::new(format!("ws://{address}"));
    config.compress = compress;
    let client = Client::new(config)?;
    let mut subscription = runtime.block_on(async { client.subscribe() })?;
    let (mut events, mut batches, start) = (0usize, 0usize, Instant::now());
    while events < EVENTS {
        if let Some(Delivery::Batch(batch)) = subscription.next_blocking(runtime.handle()) {
            batches += 1;
            events += batch
                .frames()
                .filter(|frame| Event::parse(frame).is_ok())
                .count();
        }
    }
    let rate = events as f64 / start.elapsed().as_secs_f64();
    println!(
        "{rate:.0} events/s, {} events per batch",
        events / batches.max(1)
    );
    Ok(())
}

async fn serve(listener: std::net::TcpListener, messages: Vec<Message>) -> std::io::Result<()> {
    let (tcp, _) = TcpListener::from_std(listener)?.accept().await?;
    let mut ws = tokio_tungstenite::accept_async(tcp)
        .await
        .map_err(std::io::Error::other)?;
    for message in messages.iter().cycle() {
        if ws.feed(message.clone()).await.is_err() {
            break;
        }
    }
    Ok(())
}
