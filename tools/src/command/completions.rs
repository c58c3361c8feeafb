//! `orrery completions`: what a shell needs to complete the command line.

use std::io::Write as _;

use crate::cli::{self, CompletionsArguments};
use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run(arguments: &CompletionsArguments) -> Result<()> {
    // Made in memory first: the generator panics where its writer fails, and a pipe may be closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli::commands(), "orrery", &mut script);
    let mut out = output::lines();
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(Failure::stdout)
}
