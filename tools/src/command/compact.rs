//! `orrery compact`: merges the segments of a stopped data directory.

use std::time::Instant;

use orrery_engine::offline::Directory;
use orrery_engine::{CompactReport, Degraded, Options, Store, Writer};
use serde_json::json;

use crate::cli::CompactArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &CompactArguments) -> Result<()> {
    // A store would make it.
    if !arguments.data.is_dir() {
        return Err(Failure::NoDirectory(arguments.data.clone()));
    }
    if !Store::is_at(&arguments.data).map_err(Failure::store(&arguments.data))? {
        // Says what it is instead.
        Directory::open(&arguments.data).map_err(Failure::store(&arguments.data))?;
    }
    let started = Instant::now();
    let mut options = Options::default();
    // Merges run in this thread, so that they are done when the command ends.
    options.compact = false;
    options.compact_share = 1.0;
    // The log window is the server's: a command that merges gives none of it up.
    options.log_bytes_max = u64::MAX;
    options.log_age_max = std::time::Duration::MAX;
    let failed = Failure::store(&arguments.data);
    let (store, report) = Store::open(&arguments.data, options)
        .and_then(|store| {
            let mut writer = store.writer()?;
            let report = if arguments.full {
                writer.compact_full(&mut |segments, bytes| {
                    let size = units::bytes_text(bytes);
                    tracing::info!("merging {segments} segments of {size}");
                })
            } else {
                compact_due(&store, &mut writer)
            }?;
            writer.close()?;
            Ok((store, report))
        })
        .map_err(failed)?;
    let damaged = store.status().degraded;
    drop(store);
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        let summary = json!({
            "merges": report.merges,
            "segments_before": report.segments.0,
            "segments_after": report.segments.1,
            "bytes_before": report.bytes.0,
            "bytes_after": report.bytes.1,
            "seconds": (seconds * 1e3).round() / 1e3,
        });
        output::line(format_args!("{summary}"))?;
        return whole(arguments, &damaged);
    }
    let merges = units::counted_text(report.merges, "merge");
    output::line(format_args!(
        "{merges}: {} of {} became {} of {} in {seconds:.1} s",
        units::counted_text(report.segments.0 as u64, "segment"),
        units::bytes_text(report.bytes.0),
        report.segments.1,
        units::bytes_text(report.bytes.1),
    ))?;
    whole(arguments, &damaged)
}

/// Segments that are set aside take part in no merge, which is no success.
fn whole(arguments: &CompactArguments, damaged: &[Degraded]) -> Result<()> {
    for segment in damaged {
        output::note(format_args!(
            "{} is set aside as damaged: {}",
            segment.file, segment.why
        ));
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let places = units::counted_text(damaged.len() as u64, "segment");
    Err(Failure::Damaged {
        path: arguments.data.clone(),
        places,
    })
}

/// The merges that a running store would make by and by.
fn compact_due(store: &Store, writer: &mut Writer) -> orrery_engine::Result<CompactReport> {
    let sizes = |store: &Store| {
        let status = store.status();
        let bytes = status.bytes.iter().find(|(kind, _)| *kind == "segments");
        (status.segments, bytes.map_or(0, |(_, bytes)| *bytes))
    };
    writer.seal()?;
    let mut report = CompactReport::default();
    (report.segments.0, report.bytes.0) = sizes(store);
    while writer.merge_due()? {
        // Nothing came since the seal, so this installs what was merged.
        writer.tick()?;
        report.merges += 1;
    }
    (report.segments.1, report.bytes.1) = sizes(store);
    Ok(report)
}
