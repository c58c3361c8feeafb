//! A source that is no Jetstream: what is told of it, and that nobody takes it for one that has nothing to say.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::common::{Server, orrery, text};

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

/// Answers with the status that the path begins with, or closes with that reason, and says what was asked for.
async fn echo(mut socket: TcpStream) {
    let mut asked = [0; 4096];
    let length = socket.peek(&mut asked).await.unwrap();
    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
    let path = asked.split(' ').nth(1).unwrap();
    let said: String = format!("there is no {path}").chars().take(100).collect();
    let status = path.split('/').nth(1).unwrap();
    if status != "close" {
        let length = said.len();
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: {length}\r\n\r\n{said}");
        let _ = socket.write_all(answer.as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        return;
    }
    let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
        return;
    };
    let frame = CloseFrame {
        code: 1008.into(),
        reason: said.into(),
    };
    let _ = socket.close(Some(frame)).await;
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_source_says_back_is_told_by_nobody() {
    let source = source!(echo).replace("/subscribe", "");
    for asked in ["401", "404", "429", "500", "200", "close"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let source = format!("{source}/{asked}/token/SECRET456?apikey=SECRET789");
        let settings = [
            "--data",
            data.to_str().unwrap(),
            "--jetstream",
            &source,
            "--no-fetch",
            "--bind",
            "127.0.0.1:0",
        ];
        let told_as = format!("there is no /{asked}/token/(hidden)?(hidden)");
        let doctor = orrery().arg("doctor").args(settings).output().unwrap();
        let told = text(&doctor.stdout) + &text(&doctor.stderr);
        assert!(told.contains(&told_as), "{told}");
        assert!(!told.contains("SECRET"), "{told}");

        let log = dir.path().join("log");
        let mut serve = orrery()
            .args(["serve", "--log", "debug"])
            .args(settings)
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let ends = ["401", "404"].contains(&asked);
        let begun = Instant::now();
        loop {
            let has_ended = serve.try_wait().unwrap().is_some();
            let told = std::fs::read_to_string(&log).unwrap();
            if has_ended || !ends && told.contains(&told_as) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{told}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = serve.kill();
        serve.wait().unwrap();
        let told = std::fs::read_to_string(&log).unwrap();
        assert!(told.contains(&told_as), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
}
