//! The command lines of what prints texts about the command line: manual pages and shell completions.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `manual`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery manual | man -l -\n  \
    orrery manual serve > orrery-serve.1\n  \
    orrery manual --to man1")]
pub(crate) struct ManualArguments {
    /// The command, such as serve [default: the page of orrery itself]
    #[arg(value_name = "COMMAND")]
    pub(crate) of: Option<String>,
    /// Write the pages of all commands as files into this directory instead
    #[arg(long, value_name = "DIR", env = "ORRERY_TO", conflicts_with = "of")]
    pub(crate) to: Option<PathBuf>,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery completions bash > /etc/bash_completion.d/orrery\n  \
    orrery completions fish > ~/.config/fish/completions/orrery.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
