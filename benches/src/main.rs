//! Whole scenarios, measured in one run each. Usage:
//!
//! ```text
//! cargo run --release -p orrery-benches -- ingest [EVENTS] [SEED]
//! cargo run --release -p orrery-benches -- hot-target [LINKS]
//! cargo run --release -p orrery-benches -- many-to-many [LINKS]
//! cargo run --release -p orrery-benches -- compaction [SECONDS]
//! cargo run --release -p orrery-benches -- stats [EVENTS] [COLLECTIONS]
//! cargo build --release -p orrery && cargo run --release -p orrery-benches -- stream [SECONDS] [SUBSCRIBERS]
//! cargo build --release -p orrery && cargo run --release -p orrery-benches -- edge [SECONDS]
//! ```
#![expect(clippy::print_stdout, reason = "the figures are this program's output")]
#![forbid(unsafe_code)]

mod compaction;
mod edge;
mod hot_target;
mod ingest;
mod many_to_many;
mod process;
mod stats;
mod stream;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what each measured call allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a scenario can fail with.
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().unwrap_or_default();
    let numbers: Result<Vec<u64>, _> = args.map(|arg| arg.replace('_', "").parse()).collect();
    let Ok(numbers) = numbers else {
        println!("the arguments behind the scenario are whole numbers");
        return ExitCode::from(2);
    };
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let outcome = match scenario.as_str() {
        "ingest" => ingest::run(number(0, 1_000_000), number(1, 1)),
        "compaction" => compaction::run(number(0, 20)),
        "stats" => stats::run(number(0, 5_000_000), number(1, 3_000).max(2)),
        "stream" => stream::run(number(0, 60), number(1, 1_000)),
        "edge" => edge::run(number(0, 30).max(1)),
        // The other half of `edge`.
        "constant-route" => edge::serve_constant(number(0, 0)),
        "hot-target" => hot_target::run(number(0, 1_000_000)),
        "many-to-many" => many_to_many::run(number(0, 1_000_000).max(1)),
        _ => {
            println!(
                "scenarios: ingest [EVENTS] [SEED], hot-target [LINKS], many-to-many [LINKS], compaction [SECONDS], stats [EVENTS] [COLLECTIONS], stream [SECONDS] [SUBSCRIBERS], edge [SECONDS]"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}
