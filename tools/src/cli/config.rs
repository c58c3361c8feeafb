//! The options of what reads the configuration file: the file itself, for every command that heeds it, and those of
//! `config` and `doctor`. Both of these take the options of `serve` too, which are added in `variables`.

use std::path::PathBuf;

use clap::Args;

/// Where settings are read from.
#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// Read settings from this file: TOML, keys are the names of options. Options and variables come before it; `orrery config
    /// --template` prints one [default: none]
    #[arg(long, value_name = "FILE", env = "ORRERY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// `config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery config --template > orrery.toml\n  \
    orrery config --config orrery.toml --check\n  \
    orrery config --config orrery.toml\n\n\
    It takes every option of `orrery serve` too, and tells what a server with the same options, variables and file would do: \
    an option comes before its variable ORRERY_*, that before the file, and that before the default. Of lists the first of these \
    counts as a whole. It writes nothing.\n\
    Exit codes: 0 printed, or no mistake; 1 there are mistakes, each told with its place; 2 wrong usage.")]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// Print a file with every key, its meaning, its variable and its default, all commented out
    #[arg(long, env = "ORRERY_TEMPLATE", conflicts_with = "check")]
    pub(crate) template: bool,
    /// Name every mistake, instead of printing the values that are in effect
    #[arg(long, env = "ORRERY_CHECK")]
    pub(crate) check: bool,
    /// Print one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery doctor --config /etc/orrery/orrery.toml\n  \
    orrery doctor --data ./data --jetstream us-east-1 --json\n\n\
    It takes every option of `orrery serve` too, and judges by them. The disk is tried for some seconds with a file of its own, which \
    nobody sees and which is gone afterwards. Beside a running server it disturbs that for so long.\n\
    Exit codes: 0 nothing fails, though there may be warnings; 1 something fails; 2 wrong usage.")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// Ask nobody: the source, the directory of DIDs and the name server are left out
    #[arg(long, env = "ORRERY_OFFLINE")]
    pub(crate) offline: bool,
    /// Print one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}
