//! The command line: every option with its variable `ORRERY_*`, its default and its unit. Those of the
//! commands that work on a data directory without serving it are in `offline`, those of the configuration file in `config`, those of TLS
//! in `tls`, those that print texts about the command line itself in `texts`; how variables are read is in `variables`.

mod config;
mod offline;
mod texts;
mod tls;
mod variables;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use orrery_ingest::Selection;
use orrery_server::Network;

use crate::units;

pub(crate) use offline::{
    BackupArguments, CompactArguments, DumpArguments, DumpWhat, ExcludeAction, ExcludeArguments,
    InspectArguments, RepairArguments, ReplayArguments, ReplaySource, RestoreArguments,
    VerifyArguments,
};

pub(crate) use config::{ConfigArguments, DoctorArguments, FileArguments};
pub(crate) use texts::{CompletionsArguments, ManualArguments};
pub(crate) use tls::TlsArguments;
pub(crate) use variables::{
    commands, parse, refuse_empty_variables, serve_arguments, tell_unknown_variables,
};

/// The address that servers listen on by default.
const BIND_DEFAULT: &str = "127.0.0.1:6789";

/// Who links to what in the AT Protocol network.
///
/// orrery listens to the network's event stream and answers which records link to a target.
#[derive(Debug, Parser)]
#[command(
    name = "orrery",
    version = crate::VERSION,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        orrery demo\n  \
        orrery serve --data ./data --jetstream us-east-1\n  \
        orrery ingest --data ./data saved.jsonl.zst --json\n  \
        orrery synth --events 1000000 --seed 7 --out events.jsonl\n  \
        orrery inspect --data ./data\n  \
        orrery verify --data ./data\n  \
        orrery exclude add did:plc:z72i7hdynmk6r22z27h6tvur --operator 127.0.0.1:8766 --reason 'asked by its owner'\n\n\
        Exit codes: 0 done; 1 it failed, or (verify) found damage; 2 the command line makes no sense.\n\
        Every option can also be set by a variable, such as ORRERY_DATA for --data, and those of serve in a file: orrery help config."
)]
pub(crate) struct Cli {
    /// What to log, to standard error: error, warn, info, debug, trace, or by module
    /// (orrery_ingest=debug,warn) [default: warn]. RUST_LOG is heeded where this is not given.
    #[arg(long, global = true, value_name = "FILTER", env = "ORRERY_LOG")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole system on a synthetic stream, and print URLs to try
    Demo(DemoArguments),
    /// Follow the network and answer queries
    Serve(Box<ServeArguments>),
    /// Print the settings in effect, check them, or print a file to begin with
    Config(ConfigArguments),
    /// Tell whether this machine is up to it, and what to change
    Doctor(DoctorArguments),
    /// Load saved Jetstream events into a data directory
    Ingest(IngestArguments),
    /// Write a synthetic event stream as JSON lines, or serve it as a Jetstream server does
    Synth(SynthArguments),
    /// Show what a data directory holds, also beside a running server
    Inspect(InspectArguments),
    /// Merge the segments of a stopped data directory
    Compact(CompactArguments),
    /// Check every byte of a data directory, also beside a running server
    Verify(VerifyArguments),
    /// Write events of the log or links of the segments as JSON lines, also beside a running server
    Dump(DumpArguments),
    /// Copy a data directory as of one moment, also beside a running server; again only what is new
    Backup(BackupArguments),
    /// Make a data directory out of a backup
    Restore(RestoreArguments),
    /// Make a data directory anew out of another one's log or segments
    Replay(ReplayArguments),
    /// Bring damaged segments of a stopped data directory back from its log or a backup
    Repair(RepairArguments),
    /// Print the manual page of a command, in the format of man
    Manual(ManualArguments),
    /// Print what lets a shell complete orrery's command line
    Completions(CompletionsArguments),
    /// Leave what an account wrote, or links to a target, out of all answers, also of a running server
    Exclude(ExcludeArguments),
}

/// Which collections to index.
#[derive(Debug, Args)]
#[command(next_help_heading = "Collections")]
pub(crate) struct SelectionArguments {
    /// Index only these collections: NSIDs or prefixes such as app.bsky.*, separated by commas
    #[arg(
        long,
        value_name = "NSID,...",
        value_delimiter = ',',
        env = "ORRERY_COLLECTIONS"
    )]
    pub(crate) collections: Vec<String>,
    /// Leave these collections out, though they may be among the others
    #[arg(
        long,
        value_name = "NSID,...",
        value_delimiter = ',',
        env = "ORRERY_EXCLUDE"
    )]
    pub(crate) exclude: Vec<String>,
}

impl SelectionArguments {
    /// The selection they describe.
    ///
    /// # Errors
    ///
    /// When a pattern is none.
    pub(crate) fn selection(&self) -> Result<Selection, orrery_ingest::Error> {
        Ok(Selection::new(&self.collections, &self.exclude)?)
    }
}

/// The log window behind the index.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log window")]
pub(crate) struct LogArguments {
    /// Largest size of the log window behind the index [default: 2GiB; ingest keeps what is there, if that is more]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_log_size, env = "ORRERY_LOG_SIZE")]
    pub(crate) log_size: Option<u64>,
    /// Largest age of the log window behind the index [default: 48h; ingest keeps what is there]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, env = "ORRERY_LOG_AGE")]
    pub(crate) log_age: Option<Duration>,
}

impl LogArguments {
    /// Puts them into the settings of a store.
    pub(crate) fn apply(&self, options: &mut orrery_engine::Options) {
        options.log_bytes_max = self.log_size.unwrap_or(options.log_bytes_max);
        options.log_age_max = self.log_age.unwrap_or(options.log_age_max);
    }

    /// As [`apply`](Self::apply), for a command that only adds: what a server keeps is its own to give up.
    pub(crate) fn apply_and_keep(&self, options: &mut orrery_engine::Options) {
        options.log_keeps_bytes = self.log_size.is_none() && self.log_age.is_none();
        self.apply(options);
    }
}

/// How much of the disk to take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Disk")]
pub(crate) struct DiskArguments {
    /// Pause taking events before the data directory takes more than this [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_bytes, env = "ORRERY_DISK_LIMIT")]
    pub(crate) disk_limit: Option<u64>,
    /// Pause taking events before less than this is free on the file system
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::parse_bytes, env = "ORRERY_DISK_RESERVE")]
    pub(crate) disk_reserve: u64,
    /// How much of the data directory samples may take: whole records, the newest of each collection
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::parse_bytes, env = "ORRERY_SAMPLES_LIMIT")]
    pub(crate) samples_limit: u64,
}

impl DiskArguments {
    /// Puts them into the settings of a store.
    pub(crate) fn apply(&self, options: &mut orrery_engine::Options) {
        options.disk_limit = self.disk_limit;
        options.disk_reserve = self.disk_reserve;
        options.samples_limit = self.samples_limit;
    }
}

/// How to answer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answers")]
pub(crate) struct HttpArguments {
    /// The address and port to answer on
    #[arg(long, value_name = "ADDR:PORT", default_value = BIND_DEFAULT, value_parser = units::parse_address, env = "ORRERY_BIND")]
    pub(crate) bind: SocketAddr,
    /// Lag behind the source beyond which /readyz says no
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = units::parse_duration, env = "ORRERY_LAG_LIMIT")]
    pub(crate) lag_limit: Duration,
    /// Refuse answers that damage could change, with 503 IndexDegraded, instead of marking them
    #[arg(long, env = "ORRERY_STRICT")]
    pub(crate) strict: bool,
    /// Answer /.well-known/did.json for did:web:DOMAIN
    #[arg(long, value_name = "DOMAIN", value_parser = units::parse_domain, env = "ORRERY_DID_WEB_DOMAIN")]
    pub(crate) did_web_domain: Option<String>,
    /// Requests per second and address, with a burst, such as 10/50; loopback is not limited
    /// [default: no limit]
    #[arg(long, value_name = "RATE[/BURST]", value_parser = units::parse_rate_limit, env = "ORRERY_RATE_LIMIT")]
    pub(crate) rate_limit: Option<(f64, u32)>,
    /// Clients that the limit does not hold for: addresses or networks, such as 10.0.0.0/8, separated by commas
    #[arg(
        long,
        value_name = "NET,...",
        value_delimiter = ',',
        env = "ORRERY_RATE_ALLOW"
    )]
    pub(crate) rate_allow: Vec<Network>,
    /// Addresses or networks of proxies whose X-Forwarded-For names the client, separated by commas
    #[arg(
        long,
        value_name = "NET,...",
        value_delimiter = ',',
        env = "ORRERY_TRUSTED_PROXY"
    )]
    pub(crate) trusted_proxy: Vec<Network>,
    /// Open subscriptions of the link stream; one more is turned away with 503
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "ORRERY_SUBSCRIBERS_MAX")]
    pub(crate) subscribers_max: u32,
    /// Open subscriptions of one address, or of one /64 of IPv6; loopback is not limited
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "ORRERY_SUBSCRIBERS_PER_ADDRESS")]
    pub(crate) subscribers_per_address: u32,
    /// Serve the operator's routes on this address, such as 127.0.0.1:8766: metrics, the exclude list, which programs ask
    /// [default: off]
    #[arg(long, value_name = "ADDR:PORT", value_parser = units::parse_address, env = "ORRERY_OPERATOR")]
    pub(crate) operator: Option<SocketAddr>,
    /// A file with the token that the operator's routes want, at least 16 characters; needed where others can reach that
    /// address [default: none]
    #[arg(long, value_name = "FILE", env = "ORRERY_OPERATOR_TOKEN_FILE")]
    pub(crate) operator_token_file: Option<PathBuf>,
    /// Serve metrics as Prometheus text on this address, such as 127.0.0.1:8765 [default: off]
    #[arg(long, value_name = "ADDR:PORT", value_parser = units::parse_address, env = "ORRERY_METRICS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Answer nothing at /status, which tells anybody how this server is doing: lag, rates, disk, memory, requests by route
    #[arg(long, env = "ORRERY_NO_STATUS")]
    pub(crate) no_status: bool,
}

/// Records and identities of the network.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records and identities")]
pub(crate) struct EdgeArguments {
    /// How the servers that are asked for records and identities can reach you: a URL or a mail address, sent along with
    /// each request [default: none]
    #[arg(long, value_name = "TEXT", value_parser = units::parse_contact, env = "ORRERY_CONTACT")]
    pub(crate) contact: Option<String>,
    /// Ask nobody: records and identities are told as far as they are here, however old. So it is without --jetstream
    #[arg(long, env = "ORRERY_NO_FETCH")]
    pub(crate) no_fetch: bool,
    /// Where DIDs of the method plc are looked up. An address in it is asked wherever it is, by http too
    #[arg(long, value_name = "URL", default_value = crate::edge::PLC_DEFAULT, env = "ORRERY_PLC")]
    pub(crate) plc: String,
    /// The name server to ask [default: the system's]
    #[arg(long, value_name = "ADDR:PORT", value_parser = units::parse_address, env = "ORRERY_DNS")]
    pub(crate) dns: Option<SocketAddr>,
    /// Ask hosts in private networks too, also by http, and resolve handles that end in .test: for a network of one's own. Whoever
    /// may ask this server can then reach what it can reach
    #[arg(long, env = "ORRERY_ALLOW_PRIVATE_NETWORK")]
    pub(crate) allow_private_network: bool,
    /// Memory for records and identities
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = units::parse_edge_memory, env = "ORRERY_EDGE_MEMORY")]
    pub(crate) edge_memory: u64,
    /// How much of the data directory fetched records and identities may take, at least 4MiB; 0: nothing is kept on disk
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = units::parse_edge_disk, env = "ORRERY_EDGE_DISK")]
    pub(crate) edge_disk: u64,
}

/// `demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  orrery demo\n  orrery demo --rate 20000 --bind 127.0.0.1:8080\n\n\
        A demo that is killed by SIGKILL leaves its temporary directory, orrery-demo-*; remove it by hand."
)]
pub(crate) struct DemoArguments {
    /// The address and port to answer on
    #[arg(long, value_name = "ADDR:PORT", default_value = BIND_DEFAULT, value_parser = units::parse_address, env = "ORRERY_BIND")]
    pub(crate) bind: SocketAddr,
    /// Keep the data in this directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Synthetic events per second
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 2000.0,
        value_parser = units::parse_event_rate,
        env = "ORRERY_RATE"
    )]
    pub(crate) rate: f64,
    /// The seed of the synthetic stream
    #[arg(long, default_value_t = 1, env = "ORRERY_SEED")]
    pub(crate) seed: u64,
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery serve --data ./data --jetstream us-east-1\n  \
    orrery serve --data ./data --jetstream wss://jetstream.example/subscribe --bind 0.0.0.0:6789\n  \
    orrery serve --data ./data --jetstream us-east-1 --bind 0.0.0.0:443 --bind-http 0.0.0.0:80 --tls-domain links.example.org --tls-accept-terms\n  \
    orrery serve --data ./data --jetstream us-west-2 --collections 'app.bsky.graph.*' --exclude app.bsky.graph.block\n\n\
    It ends cleanly on SIGINT and SIGTERM and goes on from the durable cursor when started again.")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory; made where it is not there
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Follow this server: us-east-1, us-east-2, us-west-1, us-west-2, or a ws or wss URL. Without it,
    /// queries are answered from what is there
    #[arg(long, value_name = "SERVER", env = "ORRERY_JETSTREAM")]
    pub(crate) jetstream: Option<String>,
    /// Go on from about the same time when the directory followed another server before
    #[arg(long, env = "ORRERY_FORCE_SOURCE")]
    pub(crate) force_source: bool,
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    #[command(flatten)]
    pub(crate) http: HttpArguments,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    #[command(flatten)]
    pub(crate) edge: EdgeArguments,
    #[command(flatten)]
    pub(crate) log_window: LogArguments,
    /// The share of the time, above 0 and up to 1, that the thread which merges segments works; it works all the time
    /// while segments gather faster than that
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = units::parse_share, env = "ORRERY_COMPACT_SHARE")]
    pub(crate) compact_share: f64,
    #[command(flatten)]
    pub(crate) disk: DiskArguments,
    /// Read the index into memory instead of mapping its files: a read error is then an error message and
    /// not the end of the process. Takes as much memory as the index has bytes
    #[arg(long, env = "ORRERY_NO_MMAP")]
    pub(crate) no_mmap: bool,
}

/// `ingest`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery ingest --data ./data monday.jsonl.gz tuesday.jsonl.zst\n  \
    zcat saved.gz | orrery ingest --data ./data - --json\n\n\
    Loading a file again changes nothing. The position in a followed stream is not moved.\n\
    Exit codes: 0 done; 1 it failed, or a file has lines and no event that can be taken; 2 wrong usage.")]
pub(crate) struct IngestArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory; made where it is not there
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Files of JSON lines, plain, gzip or zstd; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print the summary as one JSON object, the last line of standard output
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
    /// Count the links of accepted records by source too; reads each record once more
    #[arg(long, env = "ORRERY_BY_SOURCE")]
    pub(crate) by_source: bool,
    #[command(flatten)]
    pub(crate) log_window: LogArguments,
    #[command(flatten)]
    pub(crate) disk: DiskArguments,
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
}

/// `synth`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery synth --events 1000000 --seed 7 --out events.jsonl\n  \
    orrery synth --events 100000 --seed 1 --hot-share 0.5 | orrery ingest --data ./data -\n  \
    orrery synth --serve 127.0.0.1:7000 --rate 2400\n\n\
    A server takes cursors, filters and compression as a Jetstream (v1) server does, at ws://ADDR/subscribe.\n\
    Exit codes: 0 done; 1 it failed; 2 wrong usage.")]
pub(crate) struct SynthArguments {
    /// How many events. A server ends 2 s after the last was sent; without it, it goes on for ever
    #[arg(
        long,
        value_name = "N",
        env = "ORRERY_EVENTS",
        required_unless_present = "serve"
    )]
    pub(crate) events: Option<u64>,
    /// Serve the stream on this address instead of writing it
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_parser = units::parse_address,
        env = "ORRERY_SERVE",
        conflicts_with = "out"
    )]
    pub(crate) serve: Option<SocketAddr>,
    /// What a server stamps events with: the times of the seed, or the present
    #[arg(
        long,
        value_enum,
        default_value = "seed",
        env = "ORRERY_TIMES",
        requires = "serve"
    )]
    pub(crate) times: SynthTimes,
    /// Print where it serves, and at its end what it sent, as JSON objects
    #[arg(long, env = "ORRERY_JSON", requires = "serve")]
    pub(crate) json: bool,
    /// The seed: the same seed and options give the same bytes everywhere
    #[arg(long, value_name = "S", default_value_t = 1, env = "ORRERY_SEED")]
    pub(crate) seed: u64,
    /// Where to write; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-", env = "ORRERY_OUT")]
    pub(crate) out: PathBuf,
    /// Replace the file of --out where there is one
    #[arg(long, env = "ORRERY_FORCE", requires = "out")]
    pub(crate) force: bool,
    /// The share of likes, 0 to 1, that go to one post
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        value_parser = units::parse_part,
        env = "ORRERY_HOT_SHARE"
    )]
    pub(crate) hot_share: f64,
    /// Events per second of event time; and of a server, in truth
    #[arg(long, value_name = "EVENTS", default_value_t = orrery_synth::EVENTS_PER_SECOND_DEFAULT, value_parser = units::parse_event_rate, conflicts_with = "span", env = "ORRERY_RATE")]
    pub(crate) rate: f64,
    /// Spread the events over this much event time instead, such as 48h
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, env = "ORRERY_SPAN")]
    pub(crate) span: Option<Duration>,
    /// The order of an import: creates only, repo by repo, with keys of years
    #[arg(long, env = "ORRERY_BACKFILL")]
    pub(crate) backfill: bool,
}

/// What a served event is stamped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SynthTimes {
    /// The times that the seed gives, the same in every run
    Seed,
    /// The time of sending
    Now,
}

#[cfg(test)]
mod documents;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        variables::commands().debug_assert();
    }

    /// Where a line is broken by hand in the midst of a sentence, a terminal of another width breaks it twice.
    #[test]
    fn no_text_below_the_options_is_broken_by_hand() {
        let mut left = vec![Cli::command()];
        let mut texts = 0;
        while let Some(command) = left.pop() {
            let text = command.get_after_help().map(ToString::to_string);
            texts += text.iter().count();
            let lines = text.iter().flat_map(|text| text.lines());
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with(' ')) {
                let is_whole = line.ends_with(['.', ':']);
                assert!(is_whole, "{}: {line}", command.get_name());
            }
            left.extend(command.get_subcommands().cloned());
        }
        // That of the program itself, and those of nearly all of its commands.
        assert!(
            texts > Cli::command().get_subcommands().count() / 2,
            "{texts}"
        );
    }

    #[test]
    fn every_option_has_its_variable() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let long = argument.get_long().unwrap();
                if matches!(long, "help" | "version") {
                    continue;
                }
                let wanted = format!("ORRERY_{}", long.to_uppercase().replace('-', "_"));
                let variable = argument.get_env().and_then(|name| name.to_str());
                assert_eq!(
                    variable,
                    Some(wanted.as_str()),
                    "{} --{long}",
                    command.get_name()
                );
            }
        }
    }
}
