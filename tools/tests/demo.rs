//! The demo shows URLs that answer, soon, and ends when asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Server, orrery};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[test]
fn the_demo_prints_urls_with_answers_within_20_s_and_ends_on_sigint() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let started = Instant::now();
    let mut child = orrery()
        .args(["demo", "--bind", &address.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
    let mut server = Server { child, address };
    let prefix = format!("http://{address}");
    let mut urls = Vec::new();
    for line in lines.by_ref() {
        if let Some(path) = line.trim().strip_prefix(&prefix) {
            urls.push(path.to_owned());
        }
        if line.contains("Ctrl-C") {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(urls.len() >= 3, "{urls:?}");
    for url in urls {
        let (status, _, body) = server.get(&url).unwrap();
        assert_eq!(status, 200, "{url}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let total = answer["total"].as_u64();
        let links = answer["links"].as_object().map(|links| links.len() as u64);
        assert!(total.or(links).unwrap() > 0, "{url}: {body}");
    }
    let progress = lines.find(|line| line.contains("on disk")).unwrap();
    for part in ["events", "links", "lag"] {
        assert!(progress.contains(part), "{progress}");
    }
    kill_process(Pid::from_child(&server.child), Signal::INT).unwrap();
    assert!(server.child.wait().unwrap().success());
}
