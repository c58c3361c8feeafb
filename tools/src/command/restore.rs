//! `orrery restore`: a data directory out of a backup.

use orrery_engine::offline::restore;
use serde_json::json;

use crate::cli::RestoreArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &RestoreArguments) -> Result<()> {
    let failed = Failure::transfer_to_new("restore", &arguments.from, &arguments.data);
    let report = restore(&arguments.from, &arguments.data).map_err(failed)?;
    for note in &report.notes {
        output::note(format_args!("note: {note}"));
    }
    if arguments.json {
        return output::line(format_args!(
            "{}",
            json!({
                "number": report.number,
                "files": report.files,
                "bytes": report.bytes,
                "sealed_through": report.sealed_through,
                "notes": report.notes,
            })
        ));
    }
    output::line(format_args!(
        "backup {} restored: {}, {}",
        report.number,
        units::files_text(report.files),
        units::bytes_text(report.bytes)
    ))
}
