//! The count route of a server against an axum route that returns the same bytes. Both servers have one core, and the clients the
//! other. First as fast as they answer, in turns, then at a fixed rate.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::task::LocalSet;

use super::directory::run_orrery;
use crate::baseline::constant;
use crate::edge::constant_route;
use crate::events;
use crate::harness::arguments::Arguments;
use crate::harness::figures::{Budget, Figures};
use crate::harness::program::{Running, on_first_core, orrery, pin};
use crate::hot_target::{LIKE, PATH};
use crate::load::{Asked, answers, body, free_address, paced, throughput};
use crate::{Outcome, Result, wrk};

const EVENTS: u64 = 200_000;
const ROUNDS: u64 = 5;
const TURN: Duration = Duration::from_secs(3);
/// Requests a second in the open loop.
const RATE: u64 = 2_000;
const SECONDS: u64 = 10;
/// The share of a core from which on a server is what limits.
const BUSY: f64 = 0.9;

/// A directory in which one post has half of the likes, and the post.
fn prepare(dir: &Path, arguments: &Arguments) -> Result<String> {
    let mut options =
        orrery_synth::Options::finite(arguments.seed(), arguments.events.unwrap_or(EVENTS));
    options.hot_like_share = 0.5;
    let hot = events::Feed::new(options.clone())?.generator().hot_target();
    let file = dir.join("events.jsonl");
    events::write_file(&file, options)?;
    let [data, file] = [dir.join("data"), file].map(|path| path.to_string_lossy().into_owned());
    run_orrery(&["ingest", "--data", &data, &file])?;
    Ok(hot)
}

/// A value as a query carries it.
pub(super) fn escaped(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let dir = tempfile::tempdir()?;
    let hot = escaped(&prepare(dir.path(), arguments)?);
    let pinned = pin();
    if !pinned {
        println!("  servers and clients share all cores (no taskset)");
    }
    let address = free_address()?;
    let mut command = on_first_core(pinned, &orrery()?);
    command
        .args(["serve", "--bind", &address.to_string(), "--data"])
        .arg(dir.path().join("data"));
    let server = Running::start(command)?;
    let rounds = arguments.rounds.unwrap_or(ROUNDS);
    let source = format!("{LIKE}:{}", PATH.trim_start_matches('.'));
    let routes = [
        (
            "count (/links/count)",
            format!("/links/count?target={hot}&collection={LIKE}&path={PATH}"),
        ),
        (
            "count (XRPC)",
            format!(
                "/xrpc/blue.microcosm.links.getBacklinksCount?subject={hot}&source={}",
                escaped(&source)
            ),
        ),
        (
            "page of 100",
            format!("/links?target={hot}&collection={LIKE}&path={PATH}&limit=100"),
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        answers(address).await?;
        for (place, (name, path)) in routes.iter().enumerate() {
            let answer = body(address, path).await?;
            println!("  {name}: {} bytes", answer.len());
            let file = dir.path().join("body");
            fs::write(&file, &answer)?;
            let (constant, constant_address) = constant_route(pinned, &file)?;
            answers(constant_address).await?;
            let asked = [
                Asked {
                    name,
                    running: &server,
                    address,
                    path,
                },
                Asked {
                    name: "constant",
                    running: &constant,
                    address: constant_address,
                    path: constant::PATH,
                },
            ];
            compare(figures, &asked, rounds, place == 0).await?;
            let paths = [path.clone()];
            let seconds = arguments.seconds.unwrap_or(SECONDS);
            for asked in &asked {
                let paths = if asked.address == address {
                    &paths[..]
                } else {
                    &[constant::PATH.to_owned()][..]
                };
                let mut took = paced(asked.address, paths, RATE, seconds).await?;
                println!("    {} at {RATE}/s, open loop: {}", asked.name, took.text());
                if asked.address == address {
                    let p999 = took.at(0.999).as_secs_f64() * 1e3;
                    figures.add(format!("{name} at {RATE}/s: p99.9"), p999, "ms");
                }
            }
        }
        figures.add(
            "peak RssAnon of the server",
            server.peak_kib() as f64 / 1_024.0,
            "MiB",
        );
        Ok(())
    }))
}

async fn compare(
    figures: &mut Figures,
    asked: &[Asked<'_>; 2],
    rounds: u64,
    is_judged: bool,
) -> Outcome {
    let by_wrk = wrk::is_there();
    let measured = throughput(asked, rounds, TURN, by_wrk).await?;
    let [route, constant] = measured.as_slice() else {
        return Err("two routes are measured".into());
    };
    let name = asked[0].name;
    let budget = if is_judged {
        Budget::at_least(60.0, 85.0)
    } else {
        Budget::None
    };
    // A core that is not busy could have answered more: then the clients were measured, and the ratio of what requests cost is the one that counts. With
    // busy cores both are the same.
    let by_throughput = constant.busy >= BUSY;
    let [first, second] = if by_throughput {
        [budget, Budget::None]
    } else {
        [Budget::None, budget]
    };
    figures.noted(
        format!("{name}, of the constant route, by throughput"),
        route.per_second / constant.per_second * 100.0,
        "%",
        first,
        format!(
            "medians of {rounds} turns each by {}; the server is busy {:.0} % of a core, the constant's {:.0} %{}",
            if by_wrk { "wrk" } else { "the own clients" },
            route.busy * 100.0,
            constant.busy * 100.0,
            if by_throughput { "" } else { ", so the clients were the limit" },
        ),
    );
    figures.judged(
        format!("{name}, of the constant route, by CPU of a request"),
        constant.cpu_us_each / route.cpu_us_each * 100.0,
        "%",
        second,
    );
    figures.add(format!("{name}: requests per second"), route.per_second, "");
    figures.add("constant: requests per second", constant.per_second, "");
    figures.add(format!("{name}: CPU of a request"), route.cpu_us_each, "us");
    figures.add("constant: CPU of a request", constant.cpu_us_each, "us");
    Ok(())
}
