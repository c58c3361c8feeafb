//! `orrery verify`: every byte of a data directory, checked.

use orrery_engine::offline::verify::{Damage, verify};
use serde_json::json;

use crate::cli::VerifyArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &VerifyArguments) -> Result<()> {
    let mut written = Ok(());
    let mut tell = |damage: &Damage| {
        if written.is_ok() {
            // Where nobody reads any more, the exit code still says what was found.
            written = if arguments.json {
                output::line_if_read(format_args!("{}", as_json(damage)))
            } else {
                output::line_if_read(format_args!("{damage}"))
            };
        }
    };
    let report = verify(&arguments.data, arguments.quick, &mut tell)
        .map_err(Failure::store(&arguments.data))?;
    written?;
    if arguments.json {
        let summary = json!({
            "files": report.files,
            "bytes": report.bytes,
            "damages": report.damages,
            "notes": report.notes,
        });
        output::line_if_read(format_args!("{summary}"))?;
    } else {
        for note in &report.notes {
            output::note(format_args!("note: {note}"));
        }
    }
    if report.damages > 0 {
        let places = match report.damages {
            1 => "one place".to_owned(),
            more => format!("{} places", units::count_text(more)),
        };
        return Err(Failure::Damaged {
            path: arguments.data.clone(),
            places,
        });
    }
    if !arguments.json {
        output::line_if_read(format_args!(
            "no damage in {}, {}",
            units::files_text(report.files),
            units::bytes_text(report.bytes)
        ))?;
    }
    Ok(())
}

fn as_json(damage: &Damage) -> serde_json::Value {
    json!({
        "file": damage.file,
        "section": damage.section,
        "offset": damage.offset,
        "expected": damage.expected,
        "found": damage.found,
    })
}
