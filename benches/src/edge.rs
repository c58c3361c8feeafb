//! One cached record, asked for again and again: the route of the edge cache against an axum route that returns the same bytes.
//! Both servers have one core, and the clients the other. First as fast as they answer, in turns, then at a fixed rate, where the time
//! of each answer counts from when it should have been asked for.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::baseline::constant;
use crate::harness::program::{Running, on_first_core, orrery, pin};
use crate::load::{Asked, answers, body, free_address, paced, throughput};
use crate::{Outcome, Result, wrk};

/// Turns of each server.
const ROUNDS: u64 = 5;
/// How long a turn lasts.
const TURN: Duration = Duration::from_secs(3);
/// Requests a second, of all.
const RATE: u64 = 5_000;

/// Measures, each paced run for `seconds`.
pub(crate) fn run(seconds: u64) -> Outcome {
    let orrery = orrery()?;
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
    let (_source, source) = source(&orrery, 400)?;
    let address = free_address()?;
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
        let (constant, constant_address) = constant_route(pinned, &file)?;
        answers(constant_address).await?;
        let asked = [
            Asked {
                name: "getRecord",
                running: &edge,
                address,
                path: &path,
            },
            Asked {
                name: "constant",
                running: &constant,
                address: constant_address,
                path: constant::PATH,
            },
        ];
        if let [edge, constant] = throughput(&asked, ROUNDS, TURN, wrk::is_there()).await?.as_slice() {
            println!(
                "getRecord {:.0} requests/s, {:.1} us of CPU each; constant {:.0}, {:.1} us: {:.0} % of the throughput, medians of {ROUNDS} turns",
                edge.per_second,
                edge.cpu_us_each,
                constant.per_second,
                constant.cpu_us_each,
                edge.per_second / constant.per_second * 100.0
            );
        }
        println!("at {RATE} requests a second, open loop:");
        for asked in asked.iter().chain(asked.first()) {
            let paths = [asked.path.to_owned()];
            let mut took = paced(asked.address, &paths, RATE, seconds).await?;
            println!("  {}: {} answers, {}", asked.name, took.len(), took.text());
        }
        Ok(())
    }))
}

/// A process that serves what is in `body`, and where it is.
pub(crate) fn constant_route(pinned: bool, body: &Path) -> Result<(Running, SocketAddr)> {
    let address = free_address()?;
    let mut command = on_first_core(pinned, &std::env::current_exe()?);
    command
        .arg("constant-route")
        .arg(address.port().to_string())
        .env(constant::BODY_VARIABLE, body);
    Ok((Running::start(command)?, address))
}

/// A synthetic stream of so many events a second, and where it is.
pub(crate) fn source(orrery: &Path, rate: u64) -> Result<(Running, String)> {
    let mut command = Command::new(orrery);
    command
        .args([
            "synth",
            "--serve",
            "127.0.0.1:0",
            "--rate",
            &rate.to_string(),
        ])
        .args(["--times", "now", "--json"]);
    let (running, line) = Running::start_and_hear(command)?;
    let told: serde_json::Value = serde_json::from_str(&line)?;
    let url = told.get("url").and_then(|url| url.as_str());
    let url = url.ok_or("the source does not say where it is")?.to_owned();
    Ok((running, url))
}

/// The path that asks for one of the records.
async fn a_record(address: SocketAddr) -> Result<String> {
    answers(address).await?;
    // The stream deletes the newest record of its first moments, with its seed, while it is asked for.
    sleep(Duration::from_secs(2)).await;
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
