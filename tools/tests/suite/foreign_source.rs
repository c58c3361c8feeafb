//! A source that is no Jetstream: what is told of it, and that nobody takes it for one that has nothing to say.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::common::Server;

/// Longer than a source is to be silent that counts as up to date.
const QUIET: Duration = Duration::from_secs(7);

async fn binary(socket: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
        return;
    };
    for _ in 0..20 {
        // A header of a firehose's frame.
        let frame = b"\xa2atg#commitbop\x01".to_vec();
        if socket.send(Message::binary(frame)).await.is_err() {
            return;
        }
    }
    while let Some(Ok(_)) = socket.next().await {}
}

async fn other_json(socket: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
        return;
    };
    for _ in 0..20 {
        let frame = Message::text(r#"{"kind":"link","link":{}}"#);
        if socket.send(frame).await.is_err() {
            return;
        }
    }
    while let Some(Ok(_)) = socket.next().await {}
}

async fn page(mut socket: TcpStream) {
    let mut bytes = [0; 4096];
    let _ = socket.read(&mut bytes).await;
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<br>";
    let _ = socket.write_all(answer.as_bytes()).await;
}

/// The address of a server that does `what` with each connection.
macro_rules! source {
    ($what:ident) => {{
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn($what(socket));
            }
        });
        format!("ws://{address}/subscribe")
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_of_another_kind_is_told_and_is_not_taken_for_one_that_is_silent() {
    let sources = [
        (source!(binary), "none of them is an event"),
        (source!(other_json), "none of them is an event"),
        (source!(page), "answers HTTP 200 in place of a stream"),
    ];
    let running: Vec<_> = sources
        .into_iter()
        .map(|(source, wanted)| {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let arguments = [
                "serve",
                "--data",
                data.to_str().unwrap(),
                "--jetstream",
                &source,
            ];
            (
                Server::start(&arguments, &dir.path().join("log")),
                wanted,
                dir,
            )
        })
        .collect();
    let looked = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        for (server, wanted, _dir) in &running {
            let told = || -> Value {
                let (_, _, body) = server.get("/status").unwrap();
                serde_json::from_str(&body).unwrap()
            };
            while !told()["advice"].to_string().contains(wanted) {
                assert!(started.elapsed() < Duration::from_secs(20), "{}", told());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        std::thread::sleep(QUIET.saturating_sub(started.elapsed()));
        for (server, wanted, _dir) in &running {
            let (_, _, body) = server.get("/status").unwrap();
            assert!(body.contains(wanted), "{body}");
            assert!(!body.contains("\"status\":\"ok\""), "{body}");
            assert_eq!(server.get("/readyz").unwrap().0, 503);
        }
    });
    looked.await.unwrap();
}
