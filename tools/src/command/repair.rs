//! `orrery repair`: a damaged data directory made whole from its log and a backup, as far as they reach.

use std::time::Instant;

use orrery_engine::offline::{Outcome, RepairOptions, RepairReport, RepairedSegment, repair};
use orrery_server::format_time;
use serde_json::{Value, json};

use crate::cli::RepairArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &RepairArguments) -> Result<()> {
    for (what, dir) in [
        ("data directory", Some(&arguments.data)),
        ("backup", arguments.backup.as_ref()),
    ] {
        if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
            let dir = dir.display();
            return Err(Failure::Usage(format!("there is no {what} {dir}")));
        }
    }
    let started = Instant::now();
    let mut options = RepairOptions::default();
    options.backup.clone_from(&arguments.backup);
    options.accept_gaps = arguments.accept_gaps;
    options.dry_run = arguments.dry_run;
    options.write_off = arguments.write_off;
    let report = repair(&arguments.data, &options).map_err(Failure::store(&arguments.data))?;
    let seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    let written = if arguments.json {
        output::line(format_args!(
            "{}",
            as_json(&report, arguments.dry_run, seconds)
        ))
    } else {
        print(&report, arguments.dry_run)
    };
    // Where nobody reads any more, the exit code still says what was found.
    match written {
        Err(failure) if !failure.is_closed_output() => return Err(failure),
        _ => {}
    }
    let found = found(&report);
    if arguments.dry_run && !found.is_empty() {
        return Err(Failure::Damaged {
            path: arguments.data.clone(),
            places: found,
        });
    }
    if report.is_whole() {
        return Ok(());
    }
    Err(Failure::Lost {
        path: arguments.data.clone(),
        what: lost(&report),
    })
}

/// What is damaged, in a few words; nothing where nothing is.
fn found(report: &RepairReport) -> String {
    let unnamed = report.adopted.len() + report.unnamed.len();
    let lost_its_end = report.manifest.is_none() && unnamed > 0;
    let manifest = [
        (report.manifest.is_some(), "the manifest".to_owned()),
        (
            lost_its_end,
            format!(
                "the manifest, which lacks {},",
                units::counted_text(unnamed as u64, "segment")
            ),
        ),
    ];
    let counted = [
        (report.segments.len(), "segment"),
        (report.logs.len(), "log file"),
        (report.derived.len(), "derived file"),
    ]
    .map(|(count, one)| (count > 0, units::counted_text(count as u64, one)));
    let list = (report.exclusions.is_some(), "the exclude list".to_owned());
    let parts = manifest.into_iter().chain(counted).chain([list]);
    let parts: Vec<String> = parts
        .filter_map(|(is_there, what)| is_there.then_some(what))
        .collect();
    parts.join(" and ")
}

/// What is not back, in a few words.
fn lost(report: &RepairReport) -> String {
    let segments = report.segments.iter();
    let segments = segments
        .filter(|segment| segment.outcome == Outcome::Lost)
        .count();
    let logs = report.logs.iter().filter(|log| log.is_unsealed).count();
    let count = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {one}s")),
    };
    let parts = [
        count(segments + report.unnamed.len(), "segment"),
        count(logs, "damaged log file"),
        count(report.gaps.len(), "log gap"),
    ];
    let list = report.exclusions.as_ref();
    let list = list.map(|_| "the exclude list".to_owned());
    let parts: Vec<String> = parts.into_iter().flatten().chain(list).collect();
    parts.join(", ")
}

fn print(report: &RepairReport, dry_run: bool) -> Result<()> {
    let again = if dry_run { "can be named" } else { "named" };
    if let Some(why) = &report.manifest {
        output::line(format_args!("the manifest was damaged: {why}"))?;
    }
    for file in &report.adopted {
        output::line(format_args!(
            "segments/{file}: {again} again by the manifest, which had lost its end"
        ))?;
    }
    for file in &report.unnamed {
        output::line(format_args!(
            "segments/{file}: the manifest has lost it, and no chain of sound segments leads to it; it is kept and not \
             read"
        ))?;
    }
    for gap in &report.gaps {
        let last = gap
            .last_seq
            .map_or_else(|| "the end".to_owned(), units::count_text);
        output::line(format_args!(
            "seq {} to {last}: lost by the log; answers say so until --accept-gaps",
            units::count_text(gap.first_seq)
        ))?;
    }
    for segment in &report.segments {
        output::line(format_args!("{}", of_segment(segment, dry_run)))?;
    }
    for log in &report.logs {
        let file = &log.file;
        let means = if log.is_lost {
            "damaged, and events that it had are in no sound segment; the log's window begins behind it"
        } else if log.is_unsealed {
            "damaged, with events that are in no segment; the next start says which are lost and asks the source for \
             them again"
        } else {
            "damaged, and its events are in segments; the log's window begins behind it"
        };
        output::line(format_args!("{file}: {means}"))?;
        output::note(format_args!("  {}", log.why));
    }
    for file in &report.derived {
        output::line(format_args!(
            "{file}: damaged; the next start makes it anew"
        ))?;
    }
    if let Some(why) = &report.exclusions {
        output::line(format_args!(
            "EXCLUSIONS: the exclude list is damaged, and a start is refused: put the file back from a backup, or remove it and \
             import the list anew, before the server is reached"
        ))?;
        output::note(format_args!("  {why}"));
    }
    for file in &report.written {
        output::note(format_args!("written: segments/{file}"));
    }
    for file in &report.kept {
        output::note(format_args!("kept: {file}; it may be removed"));
    }
    for note in &report.notes {
        output::note(format_args!("note: {note}"));
    }
    if report.is_cut_short {
        output::note(format_args!(
            "note: the rest is looked at once the manifest is put right, which a repair does first"
        ));
    }
    let named = report.adopted.len() + report.unnamed.len() + report.gaps.len();
    let damaged = report.segments.len() + report.logs.len() + report.derived.len();
    if report.manifest.is_none() && report.exclusions.is_none() && named + damaged == 0 {
        return output::line(format_args!("no damage"));
    }
    Ok(())
}

/// One segment, for people.
fn of_segment(segment: &RepairedSegment, dry_run: bool) -> String {
    let range = format!(
        "segments/{}: seq {} to {}, {} to {}",
        segment.file,
        units::count_text(segment.first_seq),
        units::count_text(segment.last_seq),
        format_time(segment.first_time_us),
        format_time(segment.last_time_us),
    );
    let would = if dry_run { "can be " } else { "" };
    let (became, was) = match segment.outcome {
        Outcome::Sound => ("sound again and read again", String::new()),
        Outcome::FromBackup => ("copied from the backup", String::new()),
        Outcome::FromLog => ("made anew from the log", String::new()),
        Outcome::Lost => ("not brought back", segment.tried.join("; ")),
    };
    let would = if segment.outcome == Outcome::Lost {
        ""
    } else {
        would
    };
    let mut text = format!(
        "{range}: {would}{became}\n  it was damaged: {}",
        segment.why
    );
    if !was.is_empty() {
        text.push_str("\n  not repaired: ");
        text.push_str(&was);
    }
    if segment.outcome == Outcome::Lost {
        text.push_str("\n  ");
        text.push_str(means(segment, dry_run));
    }
    text
}

/// What it means that a segment stays set aside, and what can be done.
fn means(segment: &RepairedSegment, dry_run: bool) -> &'static str {
    match (segment.is_written_off, segment.has_accounts) {
        (true, _) if dry_run => {
            "it would be written off: what only it held is lost, how many rows is not known, and no event waits for it"
        }
        (true, true) => {
            "it is written off: what only it held is lost, how many rows is not known, but for its accounts, which can \
             be read; no event waits for it; a backup still brings it back"
        }
        (true, false) => {
            "it is written off: what only it held is lost, how many rows is not known, and no event waits for it; a \
             backup still brings it back"
        }
        (false, true) => {
            "answers go without it, marked; its accounts can be read, so events go on, but for older ones that only it \
             could tell from repeats; a backup can bring it back, by --backup, or --write-off gives it up for lost, \
             so that these go on too"
        }
        (false, false) => {
            "answers go without it, marked, and events of accounts that only it may know wait; a backup can bring it \
             back, by --backup, or --write-off gives it up for lost, so that events go on"
        }
    }
}

fn as_json(report: &RepairReport, dry_run: bool, seconds: f64) -> Value {
    let segments = report.segments.iter().map(|segment| {
        json!({
            "file": segment.file,
            "outcome": segment.outcome.name(),
            "first_seq": segment.first_seq,
            "last_seq": segment.last_seq,
            "first_time": format_time(segment.first_time_us),
            "last_time": format_time(segment.last_time_us),
            "why": segment.why,
            "tried": segment.tried,
            "written_off": segment.is_written_off,
            "accounts": segment.has_accounts,
        })
    });
    let logs = report.logs.iter().map(|log| {
        json!({
            "file": log.file,
            "offset": log.offset,
            "why": log.why,
            "unsealed": log.is_unsealed,
            "lost": log.is_lost,
        })
    });
    json!({
        "whole": report.is_whole(),
        "manifest": report.manifest,
        "adopted": report.adopted,
        "unnamed": report.unnamed,
        "gaps": report.gaps.iter().map(|gap| json!({"first_seq": gap.first_seq, "last_seq": gap.last_seq}))
            .collect::<Vec<_>>(),
        "dry_run": dry_run,
        "segments": segments.collect::<Vec<_>>(),
        "logs": logs.collect::<Vec<_>>(),
        "derived": report.derived,
        "exclusions": report.exclusions,
        "written": report.written,
        "kept": report.kept,
        "notes": report.notes,
        "seconds": seconds,
    })
}
