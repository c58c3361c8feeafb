//! How long a start takes after a process was killed with a full memtable: all of it is read from the log again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use orrery_engine::{Options, Store};

use crate::Outcome;
use crate::events::Feed;
use crate::harness::arguments::Arguments;
use crate::harness::figures::{Budget, Figures};
use crate::harness::percentile::median;
use crate::harness::program::{Running, orrery};
use crate::load::{body, free_address};

/// Sealed events before.
const EVENTS: u64 = 1_048_576;
/// How much of the memtable is left free.
const FREE: u64 = 1_000;
const ROUNDS: u64 = 3;

/// Fills a directory, says so, and waits to be killed.
pub(super) fn fill(dir: &Path, arguments: &Arguments) -> Outcome {
    let options = Options::default();
    let memtable = u64::from(options.seal_events);
    let sealed = arguments.events.unwrap_or(EVENTS).div_ceil(memtable) * memtable;
    let store = Store::open(dir, options)?;
    let mut writer = store.writer()?;
    let mut feed = Feed::new(orrery_synth::Options::finite(
        arguments.seed(),
        sealed + memtable - FREE,
    ))?;
    while feed.apply_next(&mut writer)? {
        if feed.count.is_multiple_of(4_096) {
            writer.tick()?;
        }
    }
    writer.commit()?;
    let segments = store.status().segments;
    println!(
        "{segments} segments, {} MiB of memtable",
        store.status().memtable_bytes >> 20
    );
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["scenario-child", "fill"]).arg(dir.path());
    let events = arguments.events.unwrap_or(EVENTS).to_string();
    command.args(["--events", &events, "--seed", &arguments.seed().to_string()]);
    let (filler, told) = Running::start_and_hear(command)?;
    filler.kill()?;
    println!("  killed with {}", told.trim_end());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut took, mut cpu) = (Vec::new(), Vec::new());
    let mut peak = 0;
    for _ in 0..arguments.rounds.unwrap_or(ROUNDS).max(1) {
        let address = free_address()?;
        let mut command = Command::new(orrery()?);
        command
            .args(["serve", "--bind", &address.to_string(), "--data"])
            .arg(dir.path());
        let start = Instant::now();
        let server = Running::start(command)?;
        runtime.block_on(async {
            while body(address, "/_health").await.is_err() {
                server.usage()?;
                if start.elapsed() > Duration::from_secs(300) {
                    return Err("the server does not answer".into());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
        took.push(start.elapsed().as_secs_f64());
        cpu.push(server.usage()?.cpu_seconds);
        peak = peak.max(server.peak_kib());
        // As it came: without a word.
        server.kill()?;
    }
    figures.judged(
        "start after kill -9 with a full memtable",
        median(&took),
        "s",
        Budget::at_most(5.0, 2.0),
    );
    figures.add("CPU of it", median(&cpu), "s");
    figures.add("peak RssAnon of it", peak as f64 / 1_024.0, "MiB");
    Ok(())
}
