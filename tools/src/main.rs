//! `orrery`, the program: reads the command line, wires engine, ingest, query and server together, and
//! says in plain words what went wrong. It holds no logic of the index.
//!
//! | file | owns |
//! | --- | --- |
//! | `cli.rs` | the command line |
//! | `config.rs` | settings out of options, variables and the configuration file |
//! | `units.rs` | sizes, durations and rates as people write them |
//! | `failure.rs` | errors for people, and exit codes |
//! | `output.rs` | standard output, which may be a closed pipe |
//! | `logging.rs` | where logs go and how many |
//! | `lost.rs` | events that the log lost, as answers and health tell of them |
//! | `signals.rs` | SIGINT and SIGTERM |
//! | `service.rs` | what the service manager is told, and the socket that it may pass |
//! | `index.rs` | the engine's store as what the server asks |
//! | `health.rs` | how far the index is behind its source |
//! | `tls.rs` | TLS as the command line has it |
//! | `running.rs` | store, follower and server as one running whole |
//! | `stream.rs` | the engine's store as what the link stream asks |
//! | `edge.rs` | the edge cache put together |
//! | `withheld.rs` | what `stream.rs` and `edge.rs` tell, less what is excluded |
//! | `facts.rs`, `vitals.rs` | the numbers of both for the metrics page, and how they are doing for the status page |
//! | `descriptors.rs` | how many files and connections may be open |
//! | `doctor.rs` | whether this machine is up to it |
//! | `probe.rs` | one HTTP request, for the demo's check of its own answers, and to an operator's address |
//! | `command/` | one file per subcommand |
#![forbid(unsafe_code)]

mod cli;
mod command;
mod config;
mod descriptors;
mod doctor;
mod edge;
mod facts;
mod failure;
mod health;
mod index;
mod logging;
mod lost;
mod output;
mod probe;
mod running;
mod service;
mod signals;
mod stream;
mod tls;
mod units;
mod vitals;
mod withheld;

use std::process::ExitCode;

use crate::cli::Command;
use crate::failure::Failure;

/// The version with the commit that it was built from, where that is known.
const VERSION: &str = env!("BUILD_VERSION");

fn main() -> ExitCode {
    // Where it does not, more memory stays with the process, and nothing else is different.
    orrery_engine::io::mmap::give_back_freed_memory();
    if let Err(failure) = cli::refuse_empty_variables(|name| std::env::var_os(name)) {
        return report(&failure);
    }
    let (cli, settings) = match cli::parse() {
        Ok(parsed) => parsed,
        Err(failure) => return report(&failure),
    };
    cli::tell_unknown_variables(std::env::vars_os().map(|(name, _)| name));
    let result = logging::start(cli.log.as_deref()).and_then(|()| match cli.command {
        Command::Demo(arguments) => command::demo::run(arguments),
        Command::Serve(arguments) => command::serve::run(*arguments, &settings),
        Command::Config(arguments) => command::config::run(&arguments, &settings),
        Command::Doctor(arguments) => command::doctor::run(&arguments, &settings),
        Command::Ingest(arguments) => command::ingest::run(arguments),
        Command::Synth(arguments) => command::synth::run(arguments),
        Command::Inspect(arguments) => command::inspect::run(&arguments),
        Command::Compact(arguments) => command::compact::run(&arguments),
        Command::Verify(arguments) => command::verify::run(&arguments),
        Command::Dump(arguments) => command::dump::run(&arguments),
        Command::Backup(arguments) => command::backup::run(&arguments),
        Command::Restore(arguments) => command::restore::run(&arguments),
        Command::Replay(arguments) => command::replay::run(&arguments),
        Command::Repair(arguments) => command::repair::run(&arguments),
        Command::Manual(arguments) => command::manual::run(&arguments),
        Command::Completions(arguments) => command::completions::run(&arguments),
        Command::Exclude(arguments) => command::exclude::run(&arguments),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Tells what went wrong. A closed pipe is nobody's fault: `orrery synth | head` ends in silence.
fn report(failure: &Failure) -> ExitCode {
    if failure.is_closed_output() {
        return ExitCode::SUCCESS;
    }
    output::note(format_args!("error: {failure}"));
    ExitCode::from(failure.exit_code())
}
