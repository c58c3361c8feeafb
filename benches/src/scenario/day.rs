//! A day of the network: what grows, and what is written. Events come as fast as they can, and everything that the passing of time would bring
//! happens at the event time at which it would: syncs every five seconds, and after each seal the merges that are due. The log window has its defaults.

use std::time::Duration;

use orrery_engine::{Options, Store, Writer};
use orrery_synth::Tempo;

use super::directory::{GIB, of_status};
use crate::events::Feed;
use crate::harness::arguments::Arguments;
use crate::harness::figures::{Budget, Figures};
use crate::harness::plot::{Curve, Plot};
use crate::harness::process::Process;
use crate::harness::program::Peak;
use crate::{Outcome, Result};

/// A tenth of a day's events; the whole day has 30,000,000.
const EVENTS: u64 = 3_000_000;
const DAY_US: u64 = 86_400_000_000;
/// Events of a day of the whole network, mid-2026.
const EVENTS_A_DAY: f64 = 30_000_000.0;
/// Points of a curve.
const SAMPLES: u64 = 144;

/// Bytes of a store by what they are.
struct Bytes {
    index: u64,
    log: u64,
}

fn bytes(store: &Store) -> Bytes {
    let mut sum = Bytes { index: 0, log: 0 };
    for (kind, bytes) in store.status().bytes {
        match kind {
            "log" => sum.log += bytes,
            _ => sum.index += bytes,
        }
    }
    sum
}

/// Runs the merges that are due.
fn merge(writer: &mut Writer) -> Result<()> {
    while writer.merge_due()? {
        writer.tick()?;
    }
    Ok(())
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let events = arguments.events.unwrap_or(EVENTS);
    let dir = tempfile::tempdir()?;
    let mut options = Options::default();
    let commit_us = u64::try_from(options.commit_interval.as_micros())?;
    // Both by event time instead, below.
    options.commit_interval = Duration::from_secs(86_400);
    options.compact = false;
    let store = Store::open(dir.path(), options)?;
    let mut writer = store.writer()?;
    let mut stream = orrery_synth::Options::finite(arguments.seed(), events);
    // The events of a part of a day come as densely as those of the whole.
    let span_us = (DAY_US as f64 * events as f64 / EVENTS_A_DAY) as u64;
    stream.tempo = Tempo::SpanUs(span_us);
    println!(
        "  {events} events over {:.1} h of event time",
        span_us as f64 / 3.6e9
    );
    let start_us = stream.start_us;
    let peak = Peak::watch(Process::Own);
    let before = Process::Own.usage().unwrap_or_default();
    let mut feed = Feed::new(stream)?;
    let mut curves = [
        "index, masks and manifest",
        "log window",
        "all bytes written",
    ]
    .map(Curve::new);
    let (mut committed_us, mut segments) = (start_us, store.status().segments);
    let sample_every = (events / SAMPLES).max(1);
    while feed.apply_next(&mut writer)? {
        if feed.time_us >= committed_us + commit_us {
            committed_us = feed.time_us;
            writer.commit()?;
            let status = store.status();
            if status.segments != segments {
                merge(&mut writer)?;
                segments = store.status().segments;
            }
        }
        if feed.count % sample_every == 0 {
            let hours = (feed.time_us - start_us) as f64 / 3.6e9;
            let now = bytes(&store);
            let written = Process::Own.usage().unwrap_or_default().write_bytes - before.write_bytes;
            let gib = [now.index, now.log, written].map(|bytes| bytes as f64 / GIB);
            for (curve, gib) in curves.iter_mut().zip(gib) {
                curve.push(hours, gib);
            }
        }
    }
    writer.seal()?;
    merge(&mut writer)?;
    let after = Process::Own.usage().unwrap_or_default();
    let grown = bytes(&store);
    let share = events as f64 / EVENTS_A_DAY;
    let whole = if events as f64 >= EVENTS_A_DAY {
        ""
    } else {
        ", from a part of the day"
    };
    figures.judged(
        format!("growth a day, log window aside{whole}"),
        grown.index as f64 / GIB / share,
        "GiB",
        Budget::at_most(2.0, 0.7),
    );
    let written = (after.write_bytes - before.write_bytes) as f64;
    figures.judged(
        format!("all bytes written a day{whole}"),
        written / GIB / share,
        "GiB",
        Budget::at_most(12.0, 6.0),
    );
    figures.add("log window at the end", grown.log as f64 / GIB, "GiB");
    let status = store.status();
    let index = status.sealed_bytes + status.compaction.bytes_written + status.masks_written_bytes;
    figures.judged(
        "index bytes written, of its size",
        index as f64 / grown.index.max(1) as f64,
        "x",
        Budget::at_most(6.0, 5.0),
    );
    figures.judged(
        "peak RssAnon (generator included)",
        peak.kib() as f64 / 1_024.0,
        "MiB",
        Budget::at_most(512.0, 256.0),
    );
    let cpu = after.cpu_seconds - before.cpu_seconds;
    figures.add(
        "events per CPU second (generator included)",
        events as f64 / cpu,
        "",
    );
    let totals = store.snapshot().totals();
    figures.add("live links", totals.live_links as f64, "");
    figures.add("accounts", totals.actors as f64, "");
    of_status(figures, &status);
    if let Some(plots) = &arguments.plots {
        let [index, log, written] = curves;
        let plot = Plot {
            title: "Bytes kept over a day of events",
            x: "hours of event time",
            y: "GiB",
            curves: &[index.clone(), log],
        };
        plot.write(plots, "day-kept")?;
        let plot = Plot {
            title: "Bytes written and index kept over a day of events",
            x: "hours of event time",
            y: "GiB",
            curves: &[written, index],
        };
        plot.write(plots, "day-written")?;
    }
    Ok(())
}
