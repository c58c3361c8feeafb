//! `orrery manual`: manual pages, made from the command line's own descriptions.

use std::io::Write as _;

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
        let written =
            std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(commands, dir));
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
    Man::new(page)
        .render(&mut out)
        .and_then(|()| out.flush())
        .map_err(Failure::stdout)
}
