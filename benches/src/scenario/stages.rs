//! Where the instructions of an ingest go: what callgrind counts, by the stage whose code it is. What the standard library and the
//! C library do counts for the stage that called them. Without valgrind there is no figure.

use std::path::Path;

use super::ingest::COUNTED;
use crate::events;
use crate::harness::arguments::Arguments;
use crate::harness::call_graph::CallGraph;
use crate::harness::callgrind;
use crate::harness::figures::{Budget, Figures};
use crate::{Outcome, Result};

/// A stage: what it does, parts of paths of its files, and beginnings of names of its functions. The first that fits counts.
type Stage = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const STAGES: &[Stage] = &[
    (
        "file read, lines split",
        &["/ingest/src/file"],
        &["<orrery_ingest::file", "orrery_ingest::file"],
    ),
    (
        "JSON of the event, around the record",
        &["/ingest/jetstream/src/"],
        &["orrery_jetstream::"],
    ),
    (
        "UTF-8 checked",
        &["/core/src/str/validations.rs"],
        &["core::str::converts::from_utf8"],
    ),
    (
        "JSON of the record, its links",
        &[
            "/formats/links/src/json/",
            "/formats/links/src/extract",
            "/formats/links/src/walk",
            "/formats/links/src/node",
        ],
        &[
            "orrery_links::json",
            "orrery_links::extract",
            "orrery_links::walk",
        ],
    ),
    (
        "DIDs, keys, at-uris and URLs checked",
        &["/formats/links/src/"],
        &["orrery_links::"],
    ),
    (
        "event validated and handed over",
        &["/ingest/src/"],
        &["orrery_ingest::"],
    ),
    (
        "form of targets",
        &[
            "/engine/src/actors/target_form",
            "/engine/src/writer/links.rs",
        ],
        &[
            "orrery_engine::actors::target_form",
            "orrery_engine::writer::links",
        ],
    ),
    (
        "account for sketches (SHA-256, by software here)",
        &[
            "/engine/src/writer/elements",
            "/sha2-",
            "/formats/src/sketch",
        ],
        &[
            "orrery_engine::writer::elements",
            "sha2::",
            "orrery_formats::sketch",
        ],
    ),
    (
        "rows of accounts hidden or deleted",
        &[
            "/engine/src/writer/own_rows",
            "/engine/src/writer/known_rows",
            "/engine/src/writer/accounts",
        ],
        &[
            "orrery_engine::writer::own_rows",
            "orrery_engine::writer::accounts",
        ],
    ),
    (
        "accounts: ids and states",
        &["/engine/src/actors/", "/engine/src/snapshot"],
        &["orrery_engine::actors", "orrery_engine::snapshot"],
    ),
    (
        "memtable: hours and days of collections",
        &["/engine/src/memtable/buckets", "/engine/src/buckets"],
        &["orrery_engine::memtable::buckets", "orrery_engine::buckets"],
    ),
    (
        "memtable: rows, targets, lists",
        &["/engine/src/memtable/"],
        &["orrery_engine::memtable"],
    ),
    (
        "samples",
        &["/engine/src/samples/", "/engine/src/writer/samples"],
        &["orrery_engine::samples", "orrery_engine::writer::samples"],
    ),
    (
        "row at the key, and what a commit undoes",
        &[
            "/engine/src/writer/rows",
            "/engine/src/writer/effects",
            "/engine/src/writer/repeats",
            "/formats/src/effect",
            "/formats/src/segment/reader",
        ],
        &[
            "orrery_engine::writer::rows",
            "orrery_engine::writer::effects",
            "orrery_engine::writer::repeats",
            "orrery_formats::effect",
            "orrery_formats::segment::reader",
        ],
    ),
    (
        "log: index of keys",
        &["/engine/src/log/keys", "/formats/src/keys"],
        &["orrery_engine::log::keys", "orrery_formats::keys"],
    ),
    (
        "log: frame compressed (zstd)",
        &["/zstd"],
        &["ZSTD_", "HUF_", "FSE_", "HIST_", "zstd"],
    ),
    (
        "log: event encoded, frame written, tail, window",
        &[
            "/engine/src/log/",
            "/engine/src/journal",
            "/engine/src/events/",
            "/engine/src/window/",
            "/formats/src/event",
            "/formats/src/frame",
            "/engine/src/io/",
        ],
        &[
            "orrery_engine::log",
            "orrery_engine::journal",
            "orrery_engine::events",
            "orrery_engine::window",
            "orrery_formats::event",
            "orrery_formats::frame",
            "orrery_engine::io",
        ],
    ),
    (
        "seal: keys of rows and targets",
        &["/formats/src/segment/keyblock"],
        &["orrery_formats::segment::keyblock"],
    ),
    (
        "seal: targets and lists",
        &[
            "/formats/src/segment/targets",
            "/formats/src/segment/lists",
            "/formats/src/segment/links",
            "/formats/src/bitmap",
        ],
        &[
            "orrery_formats::segment::targets",
            "orrery_formats::segment::lists",
            "orrery_formats::segment::links",
            "orrery_formats::bitmap",
        ],
    ),
    (
        "seal: rows and ranges of keys",
        &[
            "/formats/src/segment/rows",
            "/formats/src/segment/ef",
            "/formats/src/segment/key_ranges",
        ],
        &[
            "orrery_formats::segment::rows",
            "orrery_formats::segment::ef",
            "orrery_formats::segment::key_ranges",
        ],
    ),
    (
        "seal: accounts and filters",
        &[
            "/formats/src/segment/actors",
            "/formats/src/segment/did_index",
            "/formats/src/segment/states",
            "/formats/src/filter",
        ],
        &[
            "orrery_formats::segment::actors",
            "orrery_formats::segment::did_index",
            "orrery_formats::segment::states",
            "orrery_formats::filter",
        ],
    ),
    (
        "seal: what the segment is made of, out of the memtable",
        &["/engine/src/seal"],
        &["orrery_engine::seal"],
    ),
    (
        "seal: rows, links and targets put in order",
        &["/formats/src/segment/build", "/formats/src/segment/strings"],
        &[
            "orrery_formats::segment::build",
            "orrery_formats::segment::strings",
        ],
    ),
    (
        "seal: samples, buckets, passed keys, checksums",
        &[
            "/formats/src/segment/",
            "/formats/src/envelope",
            "/formats/src/monotone",
        ],
        &[
            "orrery_formats::segment",
            "orrery_formats::envelope",
            "orrery_formats::monotone",
        ],
    ),
    (
        "writer: order of an event, publishing",
        &["/engine/src/writer/"],
        &["orrery_engine::writer"],
    ),
];

/// The share of all that a stage may have without a word about it.
const UNEXPLAINED_MAX: f64 = 0.05;

fn of_file(file: &str) -> Option<usize> {
    let fits = |(_, files, _): &Stage| files.iter().any(|part| file.contains(part));
    STAGES.iter().position(fits)
}

fn of_function(name: &str) -> Option<usize> {
    let name = name.trim_start_matches('<');
    let fits = |(_, _, names): &Stage| {
        names
            .iter()
            .any(|part| name.starts_with(part.trim_start_matches('<')))
    };
    STAGES.iter().position(fits)
}

pub(super) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    if !callgrind::is_there() {
        println!("  valgrind is not there: no instructions are counted");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let [few, many] = COUNTED;
    let before = counted(dir.path(), arguments.seed(), few)?;
    let after = counted(dir.path(), arguments.seed(), many)?;
    let events = (many - few) as f64;
    let each: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(few, many)| (many - few) / events)
        .collect();
    let all: f64 = each.iter().sum();
    let mut figure = |what: &str, value: f64, budget| {
        let share = format!("{:.1} %", value / all * 100.0);
        figures.noted(what.to_owned(), value, "", budget, share);
    };
    let names = STAGES.iter().map(|(name, ..)| *name);
    for (name, value) in names.zip(&each) {
        figure(name, *value, Budget::None);
    }
    let rest = each.last().copied().unwrap_or_default();
    let budget = Budget::AtMost {
        must: (all * UNEXPLAINED_MAX).round(),
        aim: None,
    };
    figure("none of these", rest, budget);
    figure("instructions per event", all, Budget::None);
    Ok(())
}

/// Instructions by stage of an ingest of so many events.
fn counted(dir: &Path, seed: u64, events: u64) -> Result<Vec<f64>> {
    let path = |name: &str| dir.join(format!("{name}-{events}"));
    let (file, data, out) = (path("events.jsonl"), path("data"), path("callgrind"));
    events::write_file(&file, orrery_synth::Options::finite(seed, events))?;
    let [file, data] = [&file, &data].map(|path| path.to_str().unwrap_or_default());
    let arguments = ["scenario-child", "ingest", file, data];
    callgrind::written(&std::env::current_exe()?, &arguments, &out)?;
    let graph = CallGraph::parse(&std::fs::read_to_string(&out)?);
    Ok(graph.by_stage(STAGES.len(), &of_file, &of_function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(stage: Option<usize>) -> &'static str {
        stage.map_or("none", |stage| STAGES[stage].0)
    }

    #[test]
    fn the_first_stage_that_fits_counts() {
        for (file, stage) in [
            (
                "/a/formats/links/src/json/scan.rs",
                "JSON of the record, its links",
            ),
            (
                "/a/formats/links/src/syntax/did.rs",
                "DIDs, keys, at-uris and URLs checked",
            ),
            (
                "/a/engine/src/memtable/buckets.rs",
                "memtable: hours and days of collections",
            ),
            (
                "/a/engine/src/memtable/mod.rs",
                "memtable: rows, targets, lists",
            ),
            ("/rustc/library/core/src/slice/mod.rs", "none"),
        ] {
            assert_eq!(name(of_file(file)), stage, "{file}");
        }
        for (function, stage) in [
            (
                "<orrery_ingest::file::FileSource as S>::next",
                "file read, lines split",
            ),
            ("ZSTD_compressBlock_fast", "log: frame compressed (zstd)"),
            ("malloc", "none"),
        ] {
            assert_eq!(name(of_function(function)), stage, "{function}");
        }
    }
}
