//! What a data directory costs, as figures: bytes by kind, by the engine's own counters and by `orrery inspect`.

use std::path::Path;
use std::process::Command;

use orrery_engine::Status;
use serde_json::Value;

use crate::Result;
use crate::harness::figures::{Budget, Figures};
use crate::harness::program::{self, Run, orrery};

pub(super) const MIB: f64 = (1 << 20) as f64;
pub(super) const GIB: f64 = (1 << 30) as f64;

/// Runs `orrery` with these arguments, to its end.
pub(super) fn run_orrery(arguments: &[&str]) -> Result<Run> {
    let mut command = Command::new(orrery()?);
    command.args(arguments);
    program::run(command)
}

/// A number of a JSON object, by the names on the way to it; 0 where there is none.
pub(super) fn number(value: &Value, path: &[&str]) -> f64 {
    let at = path.iter().try_fold(value, |value, name| value.get(name));
    at.and_then(Value::as_f64).unwrap_or(0.0)
}

/// The bytes of an object of bytes by kind.
pub(super) fn kept(figures: &mut Figures, bytes: &Value) {
    for (kind, bytes) in bytes.as_object().into_iter().flatten() {
        let bytes = bytes.as_f64().unwrap_or(0.0);
        figures.add(format!("bytes kept: {kind}"), bytes / MIB, "MiB");
    }
}

/// What a store has kept and written.
pub(super) fn of_status(figures: &mut Figures, status: &Status) {
    for (kind, bytes) in &status.bytes {
        figures.add(format!("bytes kept: {kind}"), *bytes as f64 / MIB, "MiB");
    }
    let written = [
        ("seals", status.sealed_bytes),
        ("merges", status.compaction.bytes_written),
        ("masks", status.masks_written_bytes),
    ];
    for (what, bytes) in written {
        figures.add(
            format!("bytes written by {what}"),
            bytes as f64 / MIB,
            "MiB",
        );
    }
}

/// What `orrery inspect` says of a directory: bytes per link and per account; where these are judged, by section too.
pub(super) fn inspected(
    figures: &mut Figures,
    data: &Path,
    when: &str,
    is_judged: bool,
) -> Result<Value> {
    let data = data.to_str().ok_or("a path that is no text")?;
    let run = run_orrery(&["inspect", "--data", data, "--json"])?;
    let summary: Value = serde_json::from_str(&run.output)?;
    let budgets = if is_judged {
        [Budget::at_most(16.5, 14.0), Budget::at_most(28.0, 22.0)]
    } else {
        [Budget::None; 2]
    };
    for (what, name, budget) in [
        ("a live link", "bytes_per_link", budgets[0]),
        ("an account", "bytes_per_actor", budgets[1]),
    ] {
        let what = format!("index, {when}: {what}");
        figures.judged(what, number(&summary, &[name]), "B", budget);
    }
    if !is_judged {
        return Ok(summary);
    }
    for section in summary
        .get("sections")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = section.get("name").and_then(Value::as_str).unwrap_or("-");
        println!(
            "    {name:28} {:>8.3} B a live link",
            number(section, &["bytes_per_link"])
        );
    }
    Ok(summary)
}
