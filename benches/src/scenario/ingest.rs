//! `orrery ingest` of a file, from outside, in turns with passes over the same file that do nothing but parse it; then the size of what it
//! made.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use orrery_engine::{Options, Store};
use orrery_ingest::{FileSource, Pipeline, Selection, begin_loading, pump};
use serde_json::Value;

use super::directory::{MIB, inspected, kept, number, run_orrery};
use super::reorder;
use crate::baseline::parse;
use crate::events;
use crate::harness::arguments::Arguments;
use crate::harness::callgrind;
use crate::harness::figures::{Budget, Figures, number as text};
use crate::harness::percentile::median;
use crate::harness::plot::{Curve, Plot};
use crate::harness::process::Process;
use crate::harness::program::{Observed, orrery, run_observed};
use crate::{Outcome, Result};

const EVENTS: u64 = 1_000_000;
const ROUNDS: u64 = 5;
/// Lengths of which the difference is counted under callgrind: what a start and an end cost falls out.
pub(super) const COUNTED: [u64; 2] = [20_000, 60_000];

/// In the order of the network.
pub(super) fn live(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let write = |path: &Path, events| {
        events::write_file(
            path,
            orrery_synth::Options::finite(arguments.seed(), events),
        )
    };
    measure(arguments, figures, "ingest", &write)
}

/// In the order in which a backfill brings the same events.
pub(super) fn backfill(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let write = |path: &Path, events| reorder::write_by_account(path, arguments.seed(), events);
    measure(arguments, figures, "backfill", &write)
}

fn measure(
    arguments: &Arguments,
    figures: &mut Figures,
    name: &str,
    write: &dyn Fn(&Path, u64) -> Result<u64>,
) -> Outcome {
    let events = arguments.events.unwrap_or(EVENTS);
    let rounds = arguments.rounds.unwrap_or(ROUNDS).max(1);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("events.jsonl");
    let bytes = write(&file, events)?;
    println!(
        "  {events} events of seed {}, {bytes} bytes of JSON, {rounds} rounds",
        arguments.seed()
    );
    let (mut rates, mut raws, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut walls, mut peaks, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    let data = dir.path().join("data");
    for _ in 0..rounds {
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        let (run, seen) = ingest(&file, &data)?;
        let summary: Value = serde_json::from_str(&run.output)?;
        let cpu = number(&summary, &["cpu_seconds"]);
        rates.push(number(&summary, &["events"]) / cpu);
        walls.push(run.wall_seconds);
        peaks.push(run.peak_rss_anon_kib as f64 / 1_024.0);
        written.push(run.write_bytes as f64);
        raws.push(parse_only(&file, |line| Ok(parse::raw(line)?))?);
        values.push(parse_only(&file, |line| Ok(parse::value(line)?))?);
        last = Some((summary, seen));
    }
    let (summary, seen) = last.ok_or("no round was run")?;
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    figures.noted(
        format!("{name}: events per CPU second, median of {rounds}"),
        median(&rates),
        "",
        Budget::at_least(60_000.0, 200_000.0),
        format!("{} to {}", text(least), text(most)),
    );
    let baseline = median(&raws);
    figures.add(
        "JSON into borrowed pieces only, events per CPU second",
        baseline,
        "",
    );
    figures.add(
        "JSON into a tree only, events per CPU second",
        median(&values),
        "",
    );
    figures.add(
        "ingest, of the borrowed pass",
        median(&rates) / baseline,
        "x",
    );
    figures.add("events per second", events as f64 / median(&walls), "");
    let peak = peaks.iter().copied().fold(0.0, f64::max);
    figures.judged("peak RssAnon", peak, "MiB", Budget::at_most(512.0, 256.0));
    figures.add(
        "bytes written, by the system",
        median(&written) / MIB,
        "MiB",
    );
    let index = ["seals", "merges", "masks"].map(|what| number(&summary, &["index_written", what]));
    let index: f64 = index.iter().sum();
    figures.add(
        "bytes written of the index, by the engine",
        index / MIB,
        "MiB",
    );
    if let Some(bytes) = summary.get("bytes") {
        kept(figures, bytes);
    }
    if !arguments.no_instructions && callgrind::is_there() {
        let each = instructions(dir.path(), write)?;
        figures.add("instructions per event", each, "");
    }
    inspected(figures, &data, "as ingested", false)?;
    let path = data.to_str().ok_or("a path that is no text")?;
    let compacted = run_orrery(&["compact", "--full", "--json", "--data", path])?;
    figures.add("full compaction", compacted.wall_seconds, "s");
    figures.add(
        "peak RssAnon of it",
        compacted.peak_rss_anon_kib as f64 / 1_024.0,
        "MiB",
    );
    let after = inspected(figures, &data, "compacted", true)?;
    let size = number(&after, &["bytes", "segments"]) + number(&after, &["bytes", "masks"]);
    let report: Value = serde_json::from_str(&compacted.output)?;
    let rewritten = (index + number(&report, &["bytes_after"])) / size;
    figures.judged(
        "index bytes written, of its size",
        rewritten,
        "x",
        Budget::at_most(6.0, 5.0),
    );
    if let Some(plots) = &arguments.plots {
        draw(plots, name, events, bytes, &seen)?;
    }
    Ok(())
}

fn ingest(file: &Path, data: &Path) -> Result<(crate::harness::program::Run, Vec<Observed>)> {
    let mut command = std::process::Command::new(orrery()?);
    command
        .args(["ingest", "--json", "--data"])
        .arg(data)
        .arg(file);
    let mut seen = Vec::new();
    let run = run_observed(command, &mut |observed| seen.push(observed))?;
    Ok((run, seen))
}

/// Events per CPU second of passes over the file, as many as take a second: the kernel counts CPU time in ticks of 10 ms.
fn parse_only(file: &Path, each: impl Fn(&[u8]) -> Result<u64>) -> Result<f64> {
    let before = Process::Own.cpu_seconds();
    let (mut count, mut sum) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
        while reader.read_until(b'\n', &mut line)? > 0 {
            sum = sum.wrapping_add(each(&line)?);
            count += 1;
            line.clear();
        }
        let seconds = Process::Own.cpu_seconds() - before;
        if seconds >= 1.0 || count == 0 {
            std::hint::black_box(sum);
            return Ok(count as f64 / seconds);
        }
    }
}

/// What `orrery ingest` does with a file, as a child of [`instructions`]: that command itself ends under valgrind when it asks for its CPU
/// time, by a call into the kernel's page of functions that valgrind does not map.
pub(super) fn ingest_here(file: &Path, data: &Path) -> Outcome {
    let mut options = Options::default();
    options.compact_share = 1.0;
    let store = Store::open(data, options)?;
    let mut writer = store.writer()?;
    let selection = Selection::default();
    begin_loading(&mut writer, &selection)?;
    pump(
        &mut FileSource::open(file)?,
        &mut writer,
        Pipeline::default(),
    )?;
    writer.seal()?;
    writer.close()?;
    Ok(())
}

/// Instructions of one event of an ingest, all threads: the difference of two lengths.
fn instructions(dir: &Path, write: &dyn Fn(&Path, u64) -> Result<u64>) -> Result<f64> {
    let mut counts = Vec::new();
    for events in COUNTED {
        let file = dir.join(format!("counted-{events}.jsonl"));
        let data = dir.join(format!("counted-{events}"));
        write(&file, events)?;
        let [file, data] = [&file, &data].map(|path| path.to_str().unwrap_or_default());
        let arguments = ["scenario-child", "ingest", file, data];
        let own = std::env::current_exe()?;
        counts.push(callgrind::instructions(&own, &arguments, None)?);
    }
    let [few, many] = counts.as_slice() else {
        return Err("two lengths are counted".into());
    };
    Ok(many.saturating_sub(*few) as f64 / (COUNTED[1] - COUNTED[0]) as f64)
}

/// Curves of rate and memory over the events, as far as the bytes read tell how many those were.
fn draw(plots: &Path, name: &str, events: u64, bytes: u64, seen: &[Observed]) -> Outcome {
    let millions = |read: u64| read.min(bytes) as f64 / bytes.max(1) as f64 * events as f64 / 1e6;
    let mut rate = Curve::new("events per CPU second");
    let mut memory = Curve::new("RssAnon");
    let mut written = Curve::new("bytes written");
    // Looks that lie a twentieth of the events apart: CPU time comes in ticks of 10 ms.
    let step = events as f64 / 1e6 / 20.0;
    let mut last = None::<Observed>;
    for look in seen {
        let from = last.map_or(0.0, |last| millions(last.read_bytes));
        let to = millions(look.read_bytes);
        memory.push(to, look.usage.rss_anon_kib as f64 / 1_024.0);
        written.push(to, look.usage.write_bytes as f64 / MIB);
        let cpu = look.usage.cpu_seconds - last.map_or(0.0, |last| last.usage.cpu_seconds);
        if to - from >= step && cpu > 0.0 {
            rate.push(to, (to - from) * 1e6 / cpu / 1e3);
            last = Some(*look);
        }
    }
    let plot = |title: &str, y: &str, curve: Curve, file: &str| {
        let plot = Plot {
            title,
            x: "million events",
            y,
            curves: &[curve],
        };
        plot.write(plots, &format!("{name}-{file}"))
    };
    plot(
        "Events per CPU second as the index grows",
        "thousands",
        rate,
        "rate",
    )?;
    plot(
        "Anonymous memory as the index grows",
        "MiB",
        memory,
        "memory",
    )?;
    plot(
        "Bytes written as the index grows",
        "MiB",
        written,
        "written",
    )
}
