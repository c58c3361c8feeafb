//! Whether an ingest stays as quick as its index grows: one program takes all events, and after each step it waits while a program of its
//! own takes the first step's events into an empty directory. Both meet the same hours of the machine, so that their rates
//! can be compared, however much its speed changes; and both are fed alike, from a file that was written before, through a
//! pipe: a generator beside one of them would share the processor's caches with it.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::time::{Duration, Instant};

use crate::events::Feed;
use crate::harness::arguments::Arguments;
use crate::harness::figures::{Budget, Figures, number as text};
use crate::harness::plot::{Curve, Plot};
use crate::harness::program::{Running, orrery};
use crate::{Outcome, Result};

const EVENTS: u64 = 20_000_000;
/// Steps of an ingest.
const STEPS: u64 = 20;
/// How long a program must have used no CPU to be taken for done with what it was given: merges included.
const QUIET: Duration = Duration::from_millis(300);
/// How long it may take to be.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// A step: CPU seconds of the program that goes on, and of the fresh one behind it.
struct Step {
    grown: f64,
    fresh: f64,
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let step = (arguments.events.unwrap_or(EVENTS) / STEPS).max(1);
    let events = step * STEPS;
    let dir = tempfile::tempdir()?;
    println!("  {events} events in steps of {step}");
    let (steps, peak_kib) = measure(dir.path(), step, arguments.seed())?;
    let grown: f64 = steps.iter().map(|step| step.grown).sum();
    let fresh: f64 = steps.iter().map(|step| step.fresh).sum();
    if grown <= 0.0 || fresh <= 0.0 {
        return Err("too few events for CPU time that comes in ticks of 10 ms".into());
    }
    let rates = || steps.iter().map(|one| step as f64 / one.fresh);
    figures.noted(
        format!("{step} events into an empty directory: events per CPU second"),
        events as f64 / fresh,
        "",
        Budget::None,
        format!(
            "{} to {} in {STEPS} runs",
            text(rates().fold(f64::INFINITY, f64::min)),
            text(rates().fold(0.0, f64::max))
        ),
    );
    let all = events as f64 / grown;
    figures.add(format!("all {events}: events per CPU second"), all, "");
    figures.judged(
        "of the rate in an empty directory",
        100.0 * fresh / grown,
        "%",
        Budget::AtLeast {
            must: 75.0,
            aim: None,
        },
    );
    figures.add("peak RssAnon", peak_kib as f64 / 1_024.0, "MiB");
    let mut curve = Curve::new("rate, of that in an empty directory");
    let mut so_far = Curve::new("so far");
    let (mut grown, mut fresh) = (0.0, 0.0);
    for (number, one) in steps.iter().enumerate() {
        grown += one.grown;
        fresh += one.fresh;
        let millions = (number + 1) as f64 * step as f64 / 1e6;
        let share = 100.0 * one.fresh / one.grown;
        println!(
            "  {millions:8} M  {:8.2} s  beside {:.2} s  {share:6.1} %",
            one.grown, one.fresh
        );
        curve.push(millions, share);
        so_far.push(millions, 100.0 * fresh / grown);
    }
    if let Some(plots) = &arguments.plots {
        let plot = Plot {
            title: "Events per CPU second as the index grows, of those in an empty directory",
            x: "million events",
            y: "%",
            curves: &[curve, so_far],
        };
        plot.write(plots, "flat")?;
    }
    Ok(())
}

/// Feeds a program step by step, each followed by a fresh one that takes the first step. Tells also the most memory of the first.
fn measure(dir: &Path, step: u64, seed: u64) -> Result<(Vec<Step>, u64)> {
    let (first, later) = (dir.join("first.jsonl"), dir.join("later.jsonl"));
    let (program, mut pipe) = start(&dir.join("grown"))?;
    let mut feed = Feed::new(orrery_synth::Options::finite(seed, step * STEPS))?;
    let (mut steps, mut used) = (Vec::new(), 0.0);
    for number in 0..STEPS {
        let file = if number == 0 { &first } else { &later };
        write_next(&mut feed, step, file)?;
        pour(file, &mut pipe)?;
        let now = quiet(&program)?;
        steps.push(Step {
            grown: now - used,
            fresh: fresh(&first, &dir.join("fresh"))?,
        });
        used = now;
    }
    drop(pipe);
    let (usage, peak_kib) = program.ended()?;
    // What the end takes, a seal, belongs to the last step, as the fresh program's end does to each of its runs.
    if let Some(last) = steps.last_mut() {
        last.grown += usage.cpu_seconds - used;
    }
    Ok((steps, peak_kib))
}

/// Writes so many of the next events into a file.
fn write_next(feed: &mut Feed, events: u64, file: &Path) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
    let mut left = events;
    while left > 0 && feed.advance() {
        file.write_all(feed.line())?;
        file.write_all(b"\n")?;
        left -= 1;
    }
    Ok(file.flush()?)
}

/// Starts a program that takes what it is fed into a directory.
fn start(data: &Path) -> Result<(Running, ChildStdin)> {
    let mut command = Command::new(orrery()?);
    let arguments = ["ingest", "--json", "--data"];
    command.args(arguments).arg(data).arg("-");
    Running::start_fed(command)
}

fn pour(file: &Path, pipe: &mut ChildStdin) -> Result<()> {
    std::io::copy(&mut std::fs::File::open(file)?, pipe)?;
    Ok(())
}

/// The CPU seconds of a program that takes a file into an empty directory, which is gone behind it.
fn fresh(file: &Path, data: &Path) -> Result<f64> {
    let (program, mut pipe) = start(data)?;
    pour(file, &mut pipe)?;
    drop(pipe);
    let (usage, _) = program.ended()?;
    std::fs::remove_dir_all(data)?;
    Ok(usage.cpu_seconds)
}

/// Waits until the program has used no CPU for a while. Tells what it has used.
fn quiet(program: &Running) -> Result<f64> {
    let begun = Instant::now();
    let mut used = program.usage()?.cpu_seconds;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        if begun.elapsed() > QUIET_WITHIN {
            return Err("the program goes on working with nothing to do".into());
        }
        std::thread::sleep(QUIET / 10);
        let now = program.usage()?.cpu_seconds;
        if now > used {
            (used, since) = (now, Instant::now());
        }
    }
    Ok(used)
}
