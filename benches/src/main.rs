//! Measurements of orrery: single hot paths, and whole scenarios beside what the same work costs others.
//!
//! ```text
//! cargo build --release -p orrery && cargo run --release -p orrery-benches -- micro
//! cargo build --release -p orrery && cargo run --release -p orrery-benches -- scenario all
//! ```
#![expect(clippy::print_stdout, reason = "the figures are this program's output")]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod baseline;
mod compaction;
mod edge;
mod events;
mod harness;
mod hot_target;
mod ingest;
mod load;
mod many;
mod micro;
mod random;
mod scenario;
mod stats;
mod stream;
mod wrk;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use harness::arguments::Arguments;
use harness::figures::Figures;

/// Counts what each measured call allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a measurement can fail with.
type Outcome = Result<()>;

const USAGE: &str = "\
orrery-benches COMMAND [OPTIONS]

  micro [NAME...]       single hot paths, those whose names begin so
  scenario NAME...|all  whole programs under load, and their baselines
  ingest [EVENTS] [SEED], hot-target [LINKS], compaction [SECONDS], stats [EVENTS] [COLLECTIONS],
  stream [SECONDS] [SUBSCRIBERS], edge [SECONDS]

  --events N  --seed S  --rounds N  --seconds N   how much; each measurement has its default
  --plots DIR          draw curves into that directory, as SVG
  --markdown           print the figures as rows of a table, at the end
  --no-instructions    do not count instructions with valgrind";

fn main() -> ExitCode {
    // As the binary does.
    orrery_engine::io::mmap::give_back_freed_memory();
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            println!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let number = |place, default| arguments.number(place, default);
    let mut figures = Figures::default();
    let outcome = match arguments.command.as_str() {
        "micro" => micro::run(&arguments, &mut figures),
        "micro-counted" => micro::run_counted(&arguments),
        "scenario" => scenario::run(&arguments, &mut figures),
        "scenario-child" => scenario::run_child(&arguments),
        "ingest" => ingest::run(number(0, 1_000_000), number(1, 1)),
        "compaction" => compaction::run(number(0, 20)),
        "stats" => stats::run(number(0, 5_000_000), number(1, 3_000).max(2)),
        "stream" => stream::run(number(0, 60), number(1, 1_000)),
        "edge" => edge::run(number(0, 30).max(1)),
        "constant-route" => baseline::constant::serve(number(0, 0)),
        "hot-target" => hot_target::run(number(0, 1_000_000), &mut figures),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.markdown {
        println!("\n{}", figures.markdown());
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}
