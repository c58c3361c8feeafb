//! `orrery ingest`: saved events into a data directory.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orrery_engine::{Options, Store};
use orrery_ingest::{FileSource, LinkCounts, Pipeline, Reason, Source, Tally, begin_loading, pump};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::cli::{IngestArguments, SelectionArguments};
use crate::config::doubts;
use crate::failure::{Failure, NotOne, Result};
use crate::{output, running, units};

pub(crate) fn run(arguments: IngestArguments) -> Result<()> {
    let started = Instant::now();
    let selection = arguments.selection.selection()?;
    let SelectionArguments {
        collections,
        exclude,
    } = &arguments.selection;
    for (name, (wrong, right)) in doubts::of_selection(collections, exclude) {
        output::note(format_args!("warning: {name}: {wrong}; {right}"));
    }
    // All files are opened before the first is read, so that a wrong name costs nothing.
    let mut sources = arguments
        .files
        .iter()
        .map(|path| FileSource::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let failed = |source| Failure::Store {
        path: arguments.data.clone(),
        source,
    };
    running::watch_reads(&arguments.data);
    let mut options = Options::default();
    arguments.log_window.apply_and_keep(&mut options);
    arguments.disk.apply(&mut options);
    // Nobody waits for answers meanwhile.
    options.compact_share = 1.0;
    let store = Store::open(&arguments.data, options).map_err(failed)?;
    let mut writer = store.writer().map_err(failed)?;
    begin_loading(&mut writer, &selection).map_err(failed)?;
    let mut tally = Tally::default();
    let mut without_events = Vec::new();
    let mut link_counts = arguments.by_source.then(LinkCounts::default);
    for source in &mut sources {
        let progress = Progress::start(source);
        let pipeline = Pipeline {
            selection: selection.clone(),
            link_counts: link_counts.as_mut(),
            ..Pipeline::default()
        };
        let read = pump(source, &mut writer, pipeline);
        progress.finish();
        let read = read?;
        let bad: u64 = read.drops.iter().map(|(_, count)| count).sum();
        if read.events == 0 && read.unselected == 0 && bad > 0 {
            without_events.push(NotOne {
                file: source.name().to_owned(),
                lines: bad,
                has_events: read
                    .drops
                    .iter()
                    .any(|(reason, _)| reason == Reason::UnreadableRecord),
            });
        }
        tally.add(&read);
    }
    writer.seal().map_err(failed)?;
    writer.close().map_err(failed)?;

    let totals = store.snapshot().totals();
    let status = store.status();
    let mut bytes = Map::new();
    for (kind, size) in status.bytes {
        bytes.insert(kind.to_owned(), size.into());
    }
    let bad_lines: Map<String, Value> = tally
        .drops
        .iter()
        .map(|(reason, count)| (reason.name().to_owned(), count.into()))
        .collect();
    let mut summary = json!({
        "events": tally.events,
        "bad_lines": bad_lines,
        "unselected": tally.unselected,
        "repeats": tally.repeats,
        "records": tally.records,
        "links": tally.links,
        "records_live": totals.live_rows,
        "links_live": totals.live_links,
        "actors": totals.actors,
        "targets": totals.targets,
        "bytes": bytes,
        "index_written": {
            "seals": status.sealed_bytes,
            "merges": status.compaction.bytes_written,
            "masks": status.masks_written_bytes,
        },
        "seconds": round(started.elapsed().as_secs_f64()),
        "cpu_seconds": round(cpu_seconds()),
    });
    if let (Some(counts), Some(members)) = (&link_counts, summary.as_object_mut()) {
        let by_source: Map<String, Value> = counts
            .iter()
            .map(|(source, count)| (source.to_owned(), count.into()))
            .collect();
        members.insert("links_by_source".to_owned(), by_source.into());
    }
    if arguments.json {
        output::line(format_args!("{summary}"))?;
    } else {
        print_for_people(&summary, "")?;
    }
    if without_events.is_empty() {
        Ok(())
    } else {
        Err(Failure::NothingRead(without_events))
    }
}

/// User and system time of all threads of this process, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Microseconds are enough.
fn round(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// The summary as lines of names and values.
fn print_for_people(summary: &Value, indent: &str) -> Result<()> {
    let Some(members) = summary.as_object() else {
        return Ok(());
    };
    for (name, value) in members {
        let label = name.replace('_', " ");
        match value {
            Value::Object(inner) if inner.is_empty() => {
                output::line(format_args!("{indent}{label:<14} none"))?;
            }
            Value::Object(_) => {
                output::line(format_args!("{indent}{label}"))?;
                print_for_people(value, "  ")?;
            }
            Value::Number(number) => {
                let text = number
                    .as_u64()
                    .map_or(number.to_string(), units::count_text);
                output::line(format_args!("{indent}{label:<14} {text}"))?;
            }
            other => output::line(format_args!("{indent}{label:<14} {other}"))?,
        }
    }
    Ok(())
}

/// A bar on standard error, where that is a terminal, drawn by a thread that watches a counter.
struct Progress {
    bar: ProgressBar,
    done: std::sync::Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    fn start(source: &FileSource) -> Self {
        let done = std::sync::Arc::new(AtomicBool::new(false));
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
                done,
                thread: None,
            };
        }
        let bar = ProgressBar::with_draw_target(source.bytes_total(), ProgressDrawTarget::stderr());
        let template = if source.bytes_total().is_some() {
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{msg} {bytes} {bytes_per_sec} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(source.name().to_owned());
        let bytes = source.bytes_counter();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn({
                let (bar, done) = (bar.clone(), std::sync::Arc::clone(&done));
                move || {
                    while !done.load(Ordering::Relaxed) {
                        bar.set_position(bytes.load(Ordering::Relaxed));
                        std::thread::park_timeout(Duration::from_millis(200));
                    }
                }
            });
        Self {
            bar,
            done,
            // A bar that is not drawn is no reason to stop.
            thread: thread.ok(),
        }
    }

    fn finish(mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}
