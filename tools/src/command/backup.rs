//! `orrery backup`: a copy of a data directory as of one moment.

use orrery_engine::offline::backup;
use serde_json::json;

use crate::cli::BackupArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &BackupArguments) -> Result<()> {
    let report = backup(&arguments.data, &arguments.to, arguments.recheck)
        .map_err(Failure::transfer("back up", &arguments.data, &arguments.to))?;
    for note in &report.notes {
        output::note(format_args!("note: {note}"));
    }
    if arguments.json {
        let cursor = report.cursor.as_ref().map(
            |cursor| json!({"kind": cursor.kind, "endpoint": orrery_jetstream::without_secrets(&cursor.endpoint), "value": cursor.value}),
        );
        output::line(format_args!(
            "{}",
            json!({
                "number": report.number,
                "files_copied": report.files_copied,
                "bytes_copied": report.bytes_copied,
                "files_skipped": report.files_skipped,
                "bytes_skipped": report.bytes_skipped,
                "files_removed": report.files_removed,
                "sealed_through": report.sealed_through,
                "last_seq": report.last_seq,
                "cursor": cursor,
                "notes": report.notes,
                "incomplete": report.incomplete,
            })
        ))?;
        return whole(arguments, &report.incomplete);
    }
    output::line(format_args!(
        "backup {} up to seq {}: {} copied ({}), {} there already ({}), {} removed",
        report.number,
        units::count_text(report.last_seq),
        units::files_text(report.files_copied),
        units::bytes_text(report.bytes_copied),
        report.files_skipped,
        units::bytes_text(report.bytes_skipped),
        report.files_removed,
    ))?;
    whole(arguments, &report.incomplete)
}

/// A backup that lacks something counts, and is no success.
fn whole(arguments: &BackupArguments, incomplete: &[String]) -> Result<()> {
    if incomplete.is_empty() {
        return Ok(());
    }
    Err(Failure::Incomplete {
        path: arguments.data.clone(),
        lacking: incomplete.join("; "),
    })
}
