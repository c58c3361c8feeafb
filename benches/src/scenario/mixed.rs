//! A server that follows a stream at the network's bursts while it answers queries at a fixed rate. Server and source have
//! one core, the clients the other.

use std::time::Duration;

use orrery_synth::Options;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::directory::{MIB, run_orrery};
use super::http::escaped;
use crate::edge::source;
use crate::events::{Feed, liked_post, write_file};
use crate::harness::arguments::Arguments;
use crate::harness::figures::Figures;
use crate::harness::program::{Running, on_first_core, orrery, pin};
use crate::hot_target::{LIKE, PATH};
use crate::load::{answers, free_address, paced};
use crate::{Outcome, Result};

/// Events in the directory before.
const EVENTS: u64 = 500_000;
/// Events a second, and queries a second.
const EVENTS_RATE: u64 = 2_000;
const QUERIES_RATE: u64 = 500;
const SECONDS: u64 = 30;

/// What to ask: counts, pages and distinct counts of the likes of posts.
fn paths(arguments: &Arguments, events: u64) -> Result<Vec<String>> {
    let mut feed = Feed::new(Options::finite(arguments.seed(), events))?;
    let mut paths = Vec::new();
    while feed.advance() {
        if feed.count % 251 != 0 {
            continue;
        }
        if let Some(post) = liked_post(feed.line()) {
            let query = format!("target={}&collection={LIKE}&path={PATH}", escaped(&post));
            let route = match paths.len() % 4 {
                0 => "/links/count/distinct-dids",
                1 => "/links/count",
                _ => "/links",
            };
            paths.push(format!("{route}?{query}"));
        }
    }
    Ok(paths)
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let events = arguments.events.unwrap_or(EVENTS);
    let seconds = arguments.seconds.unwrap_or(SECONDS);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("events.jsonl");
    write_file(&file, Options::finite(arguments.seed(), events))?;
    let paths = paths(arguments, events)?;
    let data = dir.path().join("data");
    let [data_text, file_text] = [&data, &file].map(|path| path.to_string_lossy().into_owned());
    run_orrery(&["ingest", "--data", &data_text, &file_text])?;
    let pinned = pin();
    let orrery = orrery()?;
    let (_source, url) = source(&orrery, EVENTS_RATE)?;
    let address = free_address()?;
    let mut command = on_first_core(pinned, &orrery);
    command
        .args(["serve", "--bind", &address.to_string(), "--jetstream", &url])
        .args(["--no-fetch", "--data"])
        .arg(&data);
    let server = Running::start(command)?;
    println!(
        "  {EVENTS_RATE} events and {QUERIES_RATE} queries a second over {} targets, {seconds} s",
        paths.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        answers(address).await?;
        // Until the stream flows.
        sleep(Duration::from_secs(2)).await;
        let before = server.usage()?;
        let mut took = paced(address, &paths, QUERIES_RATE, seconds).await?;
        let after = server.usage()?;
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            figures.add(
                format!("query {name}"),
                took.at(share).as_secs_f64() * 1e3,
                "ms",
            );
        }
        let cpu = (after.cpu_seconds - before.cpu_seconds) / seconds as f64;
        figures.add("CPU of the server", cpu * 100.0, "%");
        figures.add(
            "peak RssAnon of the server",
            server.peak_kib() as f64 / 1_024.0,
            "MiB",
        );
        let written = (after.write_bytes - before.write_bytes) as f64 / MIB;
        figures.add(
            "bytes written a minute",
            written * 60.0 / seconds as f64,
            "MiB",
        );
        Ok(())
    }))
}
