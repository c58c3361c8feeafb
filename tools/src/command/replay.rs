//! `orrery replay`: a data directory made anew out of another one.

use orrery_engine::Options;
use orrery_engine::offline::{replay_log, replay_segments};
use serde_json::json;

use crate::cli::{ReplayArguments, ReplaySource};
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &ReplayArguments) -> Result<()> {
    let replay = match arguments.source {
        ReplaySource::Log => replay_log,
        ReplaySource::Segments => replay_segments,
    };
    let failed = Failure::transfer_to_new("replay", &arguments.from, &arguments.data);
    let report = replay(&arguments.from, &arguments.data, Options::default()).map_err(failed)?;
    for note in &report.notes {
        output::note(format_args!("note: {note}"));
    }
    if arguments.json {
        return output::line(format_args!(
            "{}",
            json!({
                "events": report.events,
                "segments": report.segments,
                "rows": report.rows,
                "log_files": report.log_files,
                "last_seq": report.last_seq,
                "notes": report.notes,
            })
        ));
    }
    output::line(format_args!(
        "replayed up to seq {}: {} of the log, {}, {}",
        units::count_text(report.last_seq),
        units::counted_text(report.events, "event"),
        units::counted_text(report.segments, "segment"),
        units::counted_text(report.rows, "row"),
    ))
}
