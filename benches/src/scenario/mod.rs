//! Whole programs under load, each by name. Figures that are about a process are taken of the `orrery` binary beside this
//! one, from outside; those about the engine alone are taken in this process.

mod account_delete;
mod day;
mod deletes;
mod directory;
mod flat;
mod http;
mod ingest;
mod mixed;
mod reorder;
mod restart;
mod stages;

use crate::harness::arguments::Arguments;
use crate::harness::figures::Figures;
use crate::{Outcome, compaction, hot_target, many, stream};

type Scenario = fn(&Arguments, &mut Figures) -> Outcome;

/// All scenarios: name, what it is, how to run it.
const ALL: &[(&str, &str, Scenario)] = &[
    (
        "ingest",
        "file → sealed index, beside JSON parsing alone",
        ingest::live,
    ),
    (
        "backfill",
        "the same events by account, years later",
        ingest::backfill,
    ),
    (
        "flat",
        "a long ingest beside fresh ones, step by step",
        flat::run,
    ),
    ("stages", "instructions of an ingest, by stage", stages::run),
    (
        "hot-target",
        "a target with a million links",
        |arguments, figures| hot_target::run(arguments.events.unwrap_or(1_000_000), figures),
    ),
    (
        "many-to-many",
        "counts by what records link to beside",
        |arguments, figures| many::run(arguments.events.unwrap_or(1_000_000), figures),
    ),
    ("deletes", "records deleted from all over", deletes::run),
    (
        "account-delete",
        "an account hidden, shown and deleted",
        account_delete::run,
    ),
    ("mixed", "queries while events come in", mixed::run),
    ("http", "the count route beside a constant", http::run),
    (
        "stream",
        "links to a thousand subscribers",
        |arguments, _| stream::run(arguments.seconds.unwrap_or(60), 1_000),
    ),
    (
        "restart",
        "start after kill -9 with a full memtable",
        restart::run,
    ),
    ("compaction", "queries beside merges", |arguments, _| {
        compaction::run(arguments.seconds.unwrap_or(20))
    }),
    ("day", "growth over 24 hours of events", day::run),
    #[cfg(feature = "lsm")]
    (
        "lsm",
        "the same links in an embedded LSM store",
        crate::baseline::lsm::run,
    ),
];

pub(crate) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let is_all = arguments.names.iter().any(|name| name == "all");
    let is_known = |wanted: &String| wanted == "all" || ALL.iter().any(|(name, ..)| name == wanted);
    if arguments.names.is_empty() || !arguments.names.iter().all(is_known) {
        println!("scenarios: all, or any of");
        for (name, what, _) in ALL {
            println!("  {name:16}{what}");
        }
        return Err("which one?".into());
    }
    for (name, what, scenario) in ALL {
        if is_all || arguments.names.iter().any(|wanted| wanted == name) {
            figures.of(format!("scenario {name}: {what}"));
            scenario(arguments, figures)?;
        }
    }
    Ok(())
}

/// The other half of a scenario that needs a second process of this program.
pub(crate) fn run_child(arguments: &Arguments) -> Outcome {
    match arguments.names.as_slice() {
        [what, file, data] if what == "ingest" => ingest::ingest_here(file.as_ref(), data.as_ref()),
        [what, dir] if what == "fill" => restart::fill(dir.as_ref(), arguments),
        _ => Err("there is no such child".into()),
    }
}
