//! `orrery manual`: manual pages, made from the command line's own descriptions.

use std::io::Write as _;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::cli::{self, ManualArguments};
use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run(arguments: &ManualArguments) -> Result<()> {
    // Help has no page of its own: each command's page is its help.
    let mut commands = cli::commands().disable_help_subcommand(true);
    // Gives each command its full name, `orrery-serve`.
    commands.build();
    if let Some(dir) = &arguments.to {
        let written = std::fs::create_dir_all(dir).and_then(|()| write_all(commands, dir));
        return written.map_err(|source| Failure::Output {
            what: format!("manual pages to {}", dir.display()),
            source,
        });
    }
    let page = match &arguments.of {
        None => commands,
        Some(name) => commands
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::Usage(format!("there is no command {name}")))?,
    };
    let mut out = output::lines();
    manual_of(page)
        .render(&mut out)
        .and_then(|()| out.flush())
        .map_err(Failure::stdout)
}

/// The page of a command. Each tells the program's version, which commands have none of.
fn manual_of(command: Command) -> Man {
    Man::new(command).source(format!("orrery {}", crate::VERSION))
}

/// Writes the pages of a command and of those below it.
fn write_all(command: Command, dir: &Path) -> std::io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        write_all(below.clone(), dir)?;
    }
    manual_of(command).generate_to(dir).map(drop)
}
