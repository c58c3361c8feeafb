//! `orrery dump`: events of the log in the shape in which Jetstream sends them, or links of the segments, as
//! JSON lines. Holds one frame of the log, or one bit for each row of a segment, in memory.

use std::io::Write;

use orrery_engine::Error;
use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::offline::{Directory, Link, Span};
use orrery_links::syntax::Tid;
use orrery_server::format_time;
use serde::Serialize;

use crate::cli::{DumpArguments, DumpWhat};
use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run(arguments: &DumpArguments) -> Result<()> {
    if arguments.from_seq > arguments.to_seq {
        return Err(Failure::Usage(format!(
            "--from-seq {} is after --to-seq {}",
            arguments.from_seq, arguments.to_seq
        )));
    }
    let directory = Directory::open(&arguments.data).map_err(Failure::store(&arguments.data))?;
    let span = Span {
        from_seq: arguments.from_seq,
        to_seq: arguments.to_seq,
        since_us: arguments.since.unwrap_or(0),
        until_us: arguments.until.unwrap_or(u64::MAX),
    };
    let mut out = output::lines();
    let mut damages = 0u64;
    let mut others: Vec<String> = Vec::new();
    let failed = Failure::store(&arguments.data);
    let written = match arguments.what {
        DumpWhat::Events => directory.each_event(
            &span,
            &mut |damage| {
                damages += 1;
                output::note(format_args!("passed over: {damage}"));
            },
            &mut |seq, event| write_event(&mut out, seq, event).map_err(Stop::Output),
        ),
        DumpWhat::Links => {
            for (file, error) in directory.left_out() {
                let is_other =
                    matches!(error, Error::Format(orrery_formats::Error::Version { .. }));
                match is_other {
                    true => others.push(file.name.clone()),
                    false => damages += 1,
                }
                output::note(format_args!("passed over: {error}"));
            }
            directory.each_link(&span, &mut |link| {
                write_link(&mut out, link).map_err(Stop::Output)
            })
        }
    };
    match written {
        Ok(()) => {}
        Err(Stop::Output(source)) => return Err(Failure::stdout(source)),
        Err(Stop::Store(source)) => return Err(failed(source)),
    }
    out.flush().map_err(Failure::stdout)?;
    if damages > 0 {
        return Err(Failure::Damaged {
            path: arguments.data.clone(),
            places: format!("{damages} parts"),
        });
    }
    if !others.is_empty() {
        return Err(Failure::OtherVersions {
            path: arguments.data.clone(),
            segments: others,
        });
    }
    Ok(())
}

/// What ends a dump before its time.
enum Stop {
    Output(std::io::Error),
    Store(orrery_engine::Error),
}

impl From<orrery_engine::Error> for Stop {
    fn from(error: orrery_engine::Error) -> Self {
        Self::Store(error)
    }
}

fn json(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(Into::into)
}

/// Writes `"name":value` behind a comma.
fn member(out: &mut impl Write, name: &str, value: &impl Serialize) -> std::io::Result<()> {
    write!(out, ",\"{name}\":")?;
    json(out, value)
}

fn write_event(out: &mut impl Write, seq: u64, event: &Event<'_>) -> std::io::Result<()> {
    write!(out, "{{\"seq\":{seq}")?;
    member(out, "did", &event.did)?;
    member(out, "time_us", &event.time_us)?;
    match &event.body {
        Body::Commit {
            rev,
            collection,
            rkey,
            operation,
        } => {
            let rev = Tid::from_u64(*rev)
                .map(|tid| tid.to_string())
                .unwrap_or_default();
            let (name, record) = match operation {
                Operation::Create(record) => ("create", Some(record)),
                Operation::Update(record) => ("update", Some(record)),
                Operation::Delete => ("delete", None),
            };
            out.write_all(b",\"kind\":\"commit\",\"commit\":{\"operation\":")?;
            json(out, &name)?;
            member(out, "rev", &rev)?;
            member(out, "collection", collection)?;
            member(out, "rkey", rkey)?;
            if let Some(record) = record {
                write_record(out, record)?;
            }
        }
        Body::Identity { seq, handle } => {
            out.write_all(b",\"kind\":\"identity\",\"identity\":{\"did\":")?;
            json(out, &event.did)?;
            if let Some(handle) = handle {
                member(out, "handle", handle)?;
            }
            member(out, "seq", seq)?;
            member(out, "time", &format_time(event.time_us))?;
        }
        Body::Account {
            seq,
            active,
            status,
        } => {
            out.write_all(b",\"kind\":\"account\",\"account\":{\"did\":")?;
            json(out, &event.did)?;
            member(out, "active", active)?;
            if let Some(status) = status {
                member(out, "status", status)?;
            }
            member(out, "seq", seq)?;
            member(out, "time", &format_time(event.time_us))?;
        }
        // No source has such a kind, and who loads the line passes over it.
        Body::Exclusion { excluded } => {
            out.write_all(b",\"kind\":\"exclusion\",\"exclusion\":{\"did\":")?;
            json(out, &event.did)?;
            member(out, "excluded", excluded)?;
        }
    }
    out.write_all(b"}}\n")
}

fn write_record(out: &mut impl Write, record: &Record<'_>) -> std::io::Result<()> {
    if !record.cid.is_empty() {
        member(out, "cid", &record.cid)?;
    }
    match record.encoding {
        Encoding::Json => {
            out.write_all(b",\"record\":")?;
            // Line ends in JSON stand between tokens only; inside strings they are escaped.
            for piece in record
                .body
                .split_inclusive(|byte| matches!(byte, b'\n' | b'\r'))
            {
                match piece.split_last() {
                    Some((b'\n' | b'\r', rest)) => {
                        out.write_all(rest)?;
                        out.write_all(b" ")?;
                    }
                    _ => out.write_all(piece)?,
                }
            }
            Ok(())
        }
        Encoding::DagCbor => {
            out.write_all(b",\"record_dag_cbor\":\"")?;
            for byte in record.body {
                write!(out, "{byte:02x}")?;
            }
            out.write_all(b"\"")
        }
    }
}

fn write_link(out: &mut impl Write, link: &Link<'_>) -> std::io::Result<()> {
    write!(out, "{{\"seq\":{},\"time_us\":{}", link.seq, link.time_us)?;
    for (name, text) in [
        ("did", link.did),
        ("collection", link.collection),
        ("rkey", link.rkey),
        // As users write it: without the dot that only the oldest routes show.
        ("path", link.path.strip_prefix('.').unwrap_or(link.path)),
        ("target", link.target),
    ] {
        member(out, name, &text)?;
    }
    member(out, "dead", &link.dead)?;
    member(out, "hidden", &link.hidden)?;
    out.write_all(b"}\n")
}
