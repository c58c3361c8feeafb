//! `orrery inspect`: what a data directory holds, and what its parts cost.

use std::fmt::Write as _;
use std::io::Write;

use orrery_engine::SourceCursor;
use orrery_engine::offline::{Directory, Span, is_actor_section, is_sample_section};
use orrery_links::syntax::{Did, Handle, Tid};
use orrery_server::{format_time, target_hint};
use serde_json::{Value, json};

use crate::cli::InspectArguments;
use crate::failure::{Failure, Result};
use crate::{output, units};

pub(crate) fn run(arguments: &InspectArguments) -> Result<()> {
    let failed = Failure::store(&arguments.data);
    let directory = Directory::open(&arguments.data).map_err(&failed)?;
    let json = arguments.json;
    if arguments.top.is_some() || arguments.target.is_some() || arguments.actor.is_some() {
        for (file, error) in directory.left_out() {
            // Most errors name their file themselves.
            let (name, error) = (&file.name, error.to_string());
            let why = error
                .strip_prefix(&**name)
                .and_then(|why| why.strip_prefix(": "));
            let why = why.unwrap_or(&error);
            output::note(format_args!("the answer lacks segment {name}: {why}"));
        }
    }
    if let Some(count) = arguments.top {
        return top(&directory, count, json, &failed);
    }
    if let Some(target) = &arguments.target {
        return one_target(&directory, target, json, &failed);
    }
    if let Some(did) = &arguments.actor {
        return one_actor(&directory, did, json, &failed);
    }
    if arguments.log_frames {
        return log_frames(&directory, json, &failed);
    }
    let mut summary = summary(&directory);
    let unsealed = unsealed(&directory).map_err(&failed)?;
    if let Some(members) = summary.as_object_mut() {
        members.insert("unsealed".to_owned(), unsealed);
    }
    if json {
        output::line(format_args!("{summary}"))
    } else {
        output::line(format_args!("{}", for_people(&summary).trim_end()))
    }
}

/// `bytes` over `count`, to a thousandth; nothing without any.
fn per(bytes: u64, count: u64) -> Value {
    if count == 0 {
        return Value::Null;
    }
    json!((bytes as f64 / count as f64 * 1000.0).round() / 1000.0)
}

fn cursor(cursor: Option<&SourceCursor>) -> Value {
    cursor.map_or(
        Value::Null,
        |cursor| json!({"kind": cursor.kind, "endpoint": orrery_jetstream::without_secrets(&cursor.endpoint), "value": cursor.value}),
    )
}

/// What the log holds behind the last seal: events that are durable, and that no figure of the segments counts.
fn unsealed(directory: &Directory) -> orrery_engine::Result<Value> {
    let from_seq = directory.state().sealed_through.saturating_add(1);
    let (mut events, mut last_seq, mut position) = (0_u64, None, None);
    directory.each_frame::<orrery_engine::Error>(
        &Span {
            from_seq,
            ..Span::ALL
        },
        &mut |damage| output::note(format_args!("damaged: {damage}")),
        &mut |frame| {
            events += frame.last_seq.saturating_sub(frame.first_seq.max(from_seq)) + 1;
            last_seq = Some(frame.last_seq);
            position = frame.cursor.clone().or_else(|| position.take());
            Ok(())
        },
    )?;
    Ok(json!({
        "events": events,
        "last_seq": last_seq,
        "cursor": cursor(position.as_ref()),
    }))
}

/// Everything of the directory as one object.
fn summary(directory: &Directory) -> Value {
    let state = directory.state();
    let sizes = directory.sizes();
    let (live_links, actors) = (state.counts.live_links, directory.actors());
    let id = state
        .directory
        .id
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
    let segments: Vec<Value> = directory
        .segments()
        .iter()
        .map(|file| {
            let entry = &file.entry;
            let mut segment = json!({
                "name": file.name,
                "first_seq": entry.first_seq,
                "last_seq": entry.last_seq,
                "first_time_us": entry.first_time_us,
                "last_time_us": entry.last_time_us,
                "bytes": entry.bytes,
            });
            let members = segment.as_object_mut();
            match (file.segment(), members) {
                (Ok(opened), Some(members)) => {
                    let info = opened.info();
                    for (name, count) in [
                        ("rows", info.rows),
                        ("links", info.links),
                        ("targets", info.targets),
                        ("lists", info.lists),
                        ("actors", info.actors_count),
                        ("states", info.states),
                        ("kills", info.kills),
                        ("passed_keys", info.passed),
                    ] {
                        members.insert(name.to_owned(), count.into());
                    }
                }
                (Err(error), Some(members)) => {
                    members.insert("error".to_owned(), error.to_string().into());
                }
                _ => {}
            }
            segment
        })
        .collect();
    let sections: Vec<Value> = sizes
        .sections
        .iter()
        .map(|(name, bytes)| {
            let about = if is_actor_section(name) {
                "actors"
            } else if is_sample_section(name) {
                "samples"
            } else {
                "links"
            };
            json!({
                "name": name,
                "bytes": bytes,
                "bytes_per_link": per(*bytes, live_links),
                "about": about,
            })
        })
        .collect();
    let gaps: Vec<Value> = state
        .gaps
        .iter()
        .map(|gap| {
            json!({"first_seq": gap.first_seq, "last_seq": gap.last_seq, "file": gap.file, "offset": gap.offset})
        })
        .collect();
    let quarantined: Vec<Value> = directory
        .quarantined()
        .iter()
        .map(|entry| {
            let file = directory
                .segments()
                .iter()
                .find(|file| file.entry.id == entry.id);
            json!({"segment": file.map(|file| &file.name), "why": entry.why})
        })
        .collect();
    let log_files: Vec<Value> = directory
        .log_files()
        .iter()
        .map(|file| json!({"name": file.name, "first_seq": file.first_seq, "bytes": file.bytes}))
        .collect();
    let selections: Vec<Value> = state
        .selections
        .iter()
        .map(|entry| {
            json!({"first_seq": entry.first_seq, "since_us": entry.since_us, "collections": entry.only, "exclude": entry.except})
        })
        .collect();
    json!({
        "bytes_per_link": per(sizes.index_without_actors(), live_links),
        "bytes_per_actor": per(sizes.actor_sections(), actors),
        "live_links": live_links,
        "live_records": state.counts.live_rows,
        "actors": actors,
        "authors": state.counts.authors,
        "directory": id,
        "manifest": directory.manifest_name(),
        "sealed_through": state.sealed_through,
        "last_time_us": state.last_time_us,
        "cursor": cursor(state.source_cursor.as_ref()),
        "log_floor": state.log_floor,
        "window_complete": state.window_complete,
        "selections": selections,
        "gaps": gaps,
        "quarantined": quarantined,
        "bytes": {
            "manifest": sizes.manifest,
            "segments": sizes.segments,
            "masks": sizes.masks,
            "log": sizes.log,
            "key_indexes": sizes.key_indexes,
            "cache": sizes.cache,
        },
        "segments": segments,
        "sections": sections,
        "log_files": log_files,
    })
}

fn count(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), units::count_text)
}

fn size(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), units::bytes_text)
}

fn time(value: &Value) -> String {
    match value.as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(time_us) => format_time(time_us),
    }
}

fn ratio(value: &Value) -> String {
    value
        .as_f64()
        .map_or("-".to_owned(), |value| format!("{value:.2}"))
}

/// The summary as text.
fn for_people(summary: &Value) -> String {
    let get = |name: &str| summary.get(name).unwrap_or(&Value::Null);
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    let text = |value: Value| value.as_str().unwrap_or("-").to_owned();
    let list = |name: &str| get(name).as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "{label:<16} {value}");
    };
    line("directory", text(get("directory").clone()));
    line("manifest", text(get("manifest").clone()));
    line("sealed through", count(get("sealed_through")));
    line("last event", time(get("last_time_us")));
    line(
        "cursor",
        match get("cursor") {
            Value::Null => "none".to_owned(),
            cursor => format!(
                "{} at {}",
                text(of(cursor, "endpoint")),
                of(cursor, "value")
            ),
        },
    );
    for entry in list("selections") {
        let names = |name: &str| {
            let names = of(&entry, name).as_array().cloned().unwrap_or_default();
            let names: Vec<String> = names.into_iter().map(text).collect();
            names.join(", ")
        };
        let (only, except) = (names("collections"), names("exclude"));
        let only = if only.is_empty() {
            "all".to_owned()
        } else {
            only
        };
        let except = if except.is_empty() {
            except
        } else {
            format!(" except {except}")
        };
        let from = count(&of(&entry, "first_seq"));
        line("selected", format!("{only}{except}, from seq {from} on"));
    }
    let unsealed = get("unsealed");
    let events = of(unsealed, "events").as_u64();
    if let Some(events) = events.filter(|events| *events > 0) {
        let position = match of(unsealed, "cursor") {
            Value::Null => String::new(),
            cursor => format!(", cursor {}", of(&cursor, "value")),
        };
        line(
            "behind the seal",
            format!(
                "{} up to seq {}{position}, in the log and not counted below",
                units::counted_text(events, "event"),
                count(&of(unsealed, "last_seq")),
            ),
        );
    }
    line("live links", count(get("live_links")));
    line("live records", count(get("live_records")));
    line("actors", count(get("actors")));
    line("bytes a link", ratio(get("bytes_per_link")));
    line("bytes an actor", ratio(get("bytes_per_actor")));
    for (name, bytes) in get("bytes").as_object().into_iter().flatten() {
        line(&name.replace('_', " "), size(bytes));
    }
    for gap in list("gaps") {
        let (first, last) = (of(&gap, "first_seq"), of(&gap, "last_seq"));
        line(
            "lost",
            format!("seq {first} to {last}, in {}", text(of(&gap, "file"))),
        );
    }
    for entry in list("quarantined") {
        let (segment, why) = (text(of(&entry, "segment")), text(of(&entry, "why")));
        line("quarantined", format!("{segment}: {why}"));
    }
    let mut rows = vec![
        [
            "segment",
            "events from",
            "to",
            "rows",
            "links",
            "targets",
            "lists",
            "actors",
            "states",
            "kills",
            "size",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for segment in list("segments") {
        let mut row = vec![
            text(of(&segment, "name")),
            time(&of(&segment, "first_time_us")),
            time(&of(&segment, "last_time_us")),
        ];
        for name in [
            "rows", "links", "targets", "lists", "actors", "states", "kills",
        ] {
            row.push(count(&of(&segment, name)));
        }
        row.push(size(&of(&segment, "bytes")));
        rows.push(row);
    }
    out.push('\n');
    push_table(&mut out, &rows, 3);
    for segment in list("segments") {
        if let Some(error) = of(&segment, "error").as_str() {
            let _ = writeln!(out, "not read: {error}");
        }
    }
    let mut rows = vec![["section", "bytes", "a link"].map(str::to_owned).to_vec()];
    for section in list("sections") {
        rows.push(vec![
            text(of(&section, "name")),
            count(&of(&section, "bytes")),
            ratio(&of(&section, "bytes_per_link")),
        ]);
    }
    out.push('\n');
    push_table(&mut out, &rows, 1);
    out
}

/// Columns as wide as their widest cell; the first `left` of them flush left, the others flush right.
fn push_table(out: &mut String, rows: &[Vec<String>], left: usize) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column < left {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

type Failed<'a> = &'a dyn Fn(orrery_engine::Error) -> Failure;

/// Prints rows of a view: as JSON lines, or as a table.
fn print_rows(rows: &[Value], columns: &[&str], left: usize, json: bool) -> Result<()> {
    let mut out = output::lines();
    let mut text = String::new();
    if json {
        for row in rows {
            let _ = writeln!(text, "{row}");
        }
    } else {
        let mut table = vec![columns.iter().map(|name| name.replace('_', " ")).collect()];
        for row in rows {
            let cells = columns.iter().map(|name| match row.get(*name) {
                None | Some(Value::Null) => "-".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            });
            table.push(cells.collect::<Vec<_>>());
        }
        push_table(&mut text, &table, left);
    }
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::stdout)
}

fn top(directory: &Directory, count: usize, json: bool, failed: Failed<'_>) -> Result<()> {
    let rows: Vec<Value> = directory
        .top_targets(count)
        .map_err(failed)?
        .into_iter()
        .map(|top| json!({"target": top.target, "links": top.links, "lists": top.lists}))
        .collect();
    print_rows(&rows, &["target", "links", "lists"], 1, json)
}

fn one_target(directory: &Directory, target: &str, json: bool, failed: Failed<'_>) -> Result<()> {
    let rows: Vec<Value> = directory
        .target_lists(target)
        .map_err(failed)?
        .into_iter()
        .map(|list| {
            let path = list.path.strip_prefix('.').unwrap_or(&list.path);
            json!({
                "segment": list.segment,
                "source": format!("{}:{path}", list.collection),
                "rows": list.rows,
                "dead": list.dead,
            })
        })
        .collect();
    if rows.is_empty() {
        output::note(format_args!("no segment has links to {target}"));
        if let Some(hint) = target_hint(target) {
            output::note(format_args!("{hint}"));
        }
    }
    print_rows(&rows, &["segment", "source", "rows", "dead"], 2, json)
}

fn one_actor(directory: &Directory, did: &str, json: bool, failed: Failed<'_>) -> Result<()> {
    let Some(actor) = directory.actor(did).map_err(failed)? else {
        output::note(format_args!("no segment knows {did}"));
        if let Some(hint) = not_a_did(did) {
            output::note(format_args!("{hint}"));
        }
        return Ok(());
    };
    let mut out = output::lines();
    let rev = Tid::from_u64(actor.last_rev)
        .ok()
        .filter(|_| actor.last_rev != 0);
    let head = json!({
        "did": did,
        "id": actor.id,
        "last_rev": rev.map(|rev| rev.to_string()),
        "hidden": actor.hidden,
        "excluded": actor.excluded,
    });
    let mut write = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").map_err(Stop::Output);
    let mut print = || {
        if json {
            write(format_args!("{head}"))?;
        } else {
            let shown = match (actor.hidden, actor.excluded) {
                (_, true) => "excluded",
                (true, false) => "hidden",
                (false, false) => "shown",
            };
            let rev = rev.map_or("no revision".to_owned(), |rev| format!("revision {rev}"));
            write(format_args!("{did}, actor {}, {rev}, {shown}", actor.id))?;
        }
        directory.each_actor_row(actor.id, &mut |row| {
            if json {
                write(format_args!(
                    "{}",
                    json!({
                        "segment": row.segment,
                        "seq": row.seq,
                        "time_us": row.time_us,
                        "collection": row.collection,
                        "rkey": row.rkey,
                        "links": row.links,
                        "dead": row.dead,
                    })
                ))
            } else {
                let state = if row.dead { "dead" } else { "live" };
                write(format_args!(
                    "{:>12}  {}  {state}  {} links  {}/{}",
                    row.seq,
                    format_time(row.time_us),
                    row.links,
                    row.collection,
                    row.rkey
                ))
            }
        })
    };
    finish(print(), failed)?;
    out.flush().map_err(Failure::stdout)
}

/// What is wrong with something that should have been an account's DID.
fn not_a_did(text: &str) -> Option<String> {
    let wrong = Did::parse(text).err()?;
    let bare = text.strip_prefix('@').unwrap_or(text);
    Some(match Handle::parse(bare) {
        Ok(_) => format!(
            "{bare} is a handle, and accounts are known by their DIDs: name the one that \
             /xrpc/com.atproto.identity.resolveHandle?handle={bare} tells"
        ),
        Err(_) => format!("{text} is no DID: {wrong}"),
    })
}

/// What ends a view before its time.
enum Stop {
    Output(std::io::Error),
    Store(orrery_engine::Error),
}

impl From<orrery_engine::Error> for Stop {
    fn from(error: orrery_engine::Error) -> Self {
        Self::Store(error)
    }
}

fn finish(result: Result<(), Stop>, failed: Failed<'_>) -> Result<()> {
    result.map_err(|stop| match stop {
        Stop::Output(source) => Failure::stdout(source),
        Stop::Store(source) => failed(source),
    })
}

fn log_frames(directory: &Directory, json: bool, failed: Failed<'_>) -> Result<()> {
    let mut out = output::lines();
    let result = directory.each_frame(
        &Span::ALL,
        &mut |damage| output::note(format_args!("damaged: {damage}")),
        &mut |frame| {
            let events = frame.last_seq - frame.first_seq + 1;
            let line = if json {
                json!({
                    "file": frame.file,
                    "offset": frame.offset,
                    "bytes": frame.bytes,
                    "raw_bytes": frame.raw_bytes,
                    "first_seq": frame.first_seq,
                    "last_seq": frame.last_seq,
                    "events": events,
                    "first_time_us": frame.first_time_us,
                    "cursor": cursor(frame.cursor.as_ref()),
                })
                .to_string()
            } else {
                let cursor = frame.cursor.as_ref();
                format!(
                    "{} {:>10}  seq {} to {}  {events} events  {} ({} raw)  {}  cursor {}",
                    frame.file,
                    frame.offset,
                    frame.first_seq,
                    frame.last_seq,
                    units::bytes_text(frame.bytes),
                    units::bytes_text(u64::from(frame.raw_bytes)),
                    format_time(frame.first_time_us),
                    cursor.map_or("none".to_owned(), |cursor| cursor.value.to_string()),
                )
            };
            writeln!(out, "{line}").map_err(Stop::Output)
        },
    );
    finish(result, failed)?;
    out.flush().map_err(Failure::stdout)
}
