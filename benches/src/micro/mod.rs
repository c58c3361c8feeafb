//! Single hot paths, each by name: time, spread and allocations of an operation, and its instructions where valgrind is
//! there. `micro` runs all of them, `micro NAME...` those whose names begin so.

mod accept;
mod event;
mod frame;
mod list;
mod seal;
mod sketch;

use crate::harness::arguments::Arguments;
use crate::harness::callgrind;
use crate::harness::figures::{Budget, Figures, number};
use crate::harness::timing::{Subject, counted_round, time};
use crate::{Outcome, Result};

/// Events, where the arguments name no number.
const EVENTS: u64 = 50_000;
/// Fewer under callgrind, which takes some fifty times as long.
const EVENTS_COUNTED: u64 = 5_000;
const ROUNDS: u64 = 15;

/// Of what size a subject is.
#[derive(Debug, Clone, Copy)]
struct Size {
    events: u64,
    seed: u64,
}

type Make = fn(Size) -> Result<Box<dyn Subject>>;

/// All benches: name, what an operation is, how to make it.
const ALL: [(&str, &str, Make); 21] = [
    ("json-links", "JSON event → links", event::links),
    ("json-event", "JSON event → event", event::event),
    ("json-extract", "JSON record → links", event::extract),
    (
        "parse-raw",
        "JSON event → borrowed raw values (baseline)",
        event::raw,
    ),
    (
        "parse-value",
        "JSON event → serde_json Value (baseline)",
        event::value,
    ),
    ("accept", "event → log batch and memtable", accept::accept),
    ("accept-repeat", "event known already", accept::repeat),
    ("seal", "event of a full memtable, sealed", seal::seal),
    (
        "dictionary",
        "target looked up in a segment",
        list::dictionary,
    ),
    (
        "dictionary-absent",
        "target that a segment lacks",
        list::absent,
    ),
    ("list-read", "row of a long list, read in place", list::read),
    ("list-seek", "place in a long list, sought", list::seek),
    (
        "masked-list",
        "row of a long list against tombstones",
        list::masked,
    ),
    ("count", "count of a long list", list::count),
    ("page", "page of 100 of a long list", list::page),
    (
        "distinct",
        "row of a long list, counted by account",
        list::distinct,
    ),
    ("sketch-add", "account into a dense sketch", sketch::add),
    ("sketch-merge", "encoded sketch into another", sketch::merge),
    (
        "sketch-estimate",
        "estimate of a dense sketch",
        sketch::estimate,
    ),
    ("frame-encode", "event into a log frame", frame::encode),
    ("frame-decode", "event out of a log frame", frame::decode),
];

pub(crate) fn run(arguments: &Arguments, figures: &mut Figures) -> Outcome {
    let wanted = |name: &str| {
        let names = &arguments.names;
        names.is_empty() || names.iter().any(|wanted| name.starts_with(wanted.as_str()))
    };
    if let Some(unknown) = arguments.names.iter().find(|wanted| {
        !ALL.iter()
            .any(|(name, ..)| name.starts_with(wanted.as_str()))
    }) {
        let names = ALL.map(|(name, ..)| name).join(", ");
        return Err(format!("no bench begins with {unknown:?}; there are {names}").into());
    }
    let size = Size {
        events: arguments.events.unwrap_or(EVENTS).max(1_000),
        seed: arguments.seed(),
    };
    let rounds = arguments.rounds.unwrap_or(ROUNDS) as usize;
    let counts = !arguments.no_instructions && callgrind::is_there();
    figures.of(format!(
        "micro, {} events of seed {}, {rounds} rounds; instructions {}",
        size.events,
        size.seed,
        if counts {
            "by callgrind"
        } else {
            "not counted"
        }
    ));
    for (name, what, make) in ALL {
        if !wanted(name) {
            continue;
        }
        let timing = time(make(size)?.as_mut(), rounds)?;
        let mut note = format!(
            "{} to {}; {} B in {} allocations",
            number(timing.low_ns),
            number(timing.high_ns),
            number(timing.bytes),
            number(timing.allocations)
        );
        if counts {
            let instructions = instructions(name, size.seed)?;
            note.push_str(&format!("; {} instructions", number(instructions)));
        }
        let what = format!("{name}: {what}");
        figures.noted(what, timing.median_ns, "ns", Budget::None, note);
    }
    Ok(())
}

/// Instructions of one operation, counted in a process of its own.
fn instructions(name: &str, seed: u64) -> Result<f64> {
    let own = std::env::current_exe()?;
    let seed = seed.to_string();
    let ask = |what: &str| ["micro-counted", what, "--seed", &seed].map(str::to_owned);
    let counted = ask(name);
    let counted: Vec<&str> = counted.iter().map(String::as_str).collect();
    let sum = callgrind::instructions(&own, &counted, Some("*counted_round*"))?;
    // How many operations that was, told by the same run without callgrind.
    let told = std::process::Command::new(&own).args(&counted).output()?;
    let ops: u64 = String::from_utf8(told.stdout)?.trim().parse()?;
    Ok(sum as f64 / ops.max(1) as f64)
}

/// One round of one bench, as the child of [`instructions`]. Prints how many operations it was.
pub(crate) fn run_counted(arguments: &Arguments) -> Outcome {
    let wanted = arguments.names.first().ok_or("no bench is named")?;
    let (_, _, make) = ALL
        .iter()
        .find(|(name, ..)| name == wanted)
        .ok_or("there is no such bench")?;
    let mut subject = make(Size {
        events: EVENTS_COUNTED,
        seed: arguments.seed(),
    })?;
    subject.ready()?;
    println!("{}", counted_round(subject.as_mut())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bench_does_something_and_the_same_in_each_round() {
        for (name, _, make) in ALL {
            let size = Size {
                events: 1_000,
                seed: 3,
            };
            let mut subject = make(size).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut round = || {
                subject
                    .ready()
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                subject
                    .round()
                    .unwrap_or_else(|error| panic!("{name}: {error}"))
            };
            let first = round();
            assert!(first > 0, "{name}");
            assert_eq!(round(), first, "{name}");
        }
    }

    #[test]
    fn a_bench_that_is_not_there_is_told_with_those_that_are() {
        let arguments = Arguments {
            names: vec!["sketches".to_owned()],
            ..Arguments::default()
        };
        let error = run(&arguments, &mut Figures::default()).unwrap_err();
        assert!(error.to_string().contains("sketch-merge"), "{error}");
    }
}
