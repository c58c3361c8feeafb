//! The options of the commands that look at a data directory, or make one out of another.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use orrery_server::parse_time_us;

use super::FileArguments;

/// Reads a time, for options.
fn time_us(text: &str) -> Result<u64, String> {
    parse_time_us(text).ok_or_else(|| {
        format!(
            "{text:?} is no time; write it like 2026-01-31T12:00:00Z or as microseconds since 1970"
        )
    })
}

/// `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery inspect --data ./data\n  \
    orrery inspect --data ./data --json | jq .bytes_per_link\n  \
    orrery inspect --data ./data --top 20\n  \
    orrery inspect --data ./data --target at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3mabc2222222a\n\n\
    It takes no lock and shows the index as of the last seal. Exit codes: 0 shown; 1 the directory cannot be read; 2 wrong usage.")]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Print one JSON object; with one of the views below, one JSON object a line
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
    /// Show the N targets with the most links instead, dead ones included
    #[arg(long, value_name = "N", env = "ORRERY_TOP", group = "view")]
    pub(crate) top: Option<usize>,
    /// Show the lists of one target instead, by segment
    #[arg(long, value_name = "URI", env = "ORRERY_TARGET", group = "view")]
    pub(crate) target: Option<String>,
    /// Show the records of one account instead
    #[arg(long, value_name = "DID", env = "ORRERY_ACTOR", group = "view")]
    pub(crate) actor: Option<String>,
    /// Show the frames of the log instead
    #[arg(long = "log-frames", env = "ORRERY_LOG_FRAMES", group = "view")]
    pub(crate) log_frames: bool,
}

/// `compact`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery compact --data ./data\n  \
    orrery compact --data ./data --full --json\n\n\
    A running server merges segments by itself; this is for a stopped one. It needs room for what it writes beside what it replaces.\n\
    --full gives back the space of everything deleted, and leaves no trace of it in the segments.\n\
    Exit codes: 0 done; 1 it failed, which loses nothing, or the directory is in use; 2 wrong usage.")]
pub(crate) struct CompactArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory, which nothing else writes to
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Merge everything, not only what is due
    #[arg(long, env = "ORRERY_FULL")]
    pub(crate) full: bool,
    /// Print the summary as one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// `verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery verify --data ./data\n  \
    orrery verify --data ./data --quick && echo sound\n\n\
    Each damage is a line with file, section, offset, what is expected and what was found. It writes nothing and takes no lock.\n\
    A directory whose store was killed may end in a torn frame or edit, which is told too, and which the next start cuts off.\n\
    Exit codes: 0 no damage; 1 damage, or the directory cannot be read; 2 wrong usage.")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Print each damage as a JSON object, and last a summary as one
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
    /// Check only what checksums cover, not what the files say of each other
    #[arg(long, env = "ORRERY_QUICK")]
    pub(crate) quick: bool,
}

/// What `exclude` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExcludeAction {
    /// Add entries
    Add,
    /// Remove entries: what they hid is shown again, as it is by now
    Remove,
    /// Print the list
    List,
    /// Add entries from files of lines: an entry and, behind white space, its reason; or as list --json prints them
    Import,
}

/// `exclude`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery exclude add did:plc:z72i7hdynmk6r22z27h6tvur --reason 'asked by its owner' --operator 127.0.0.1:8766\n  \
    orrery exclude add at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3mabc2222222a --data ./data\n  \
    orrery exclude list --data ./data --json > list.jsonl\n  \
    orrery exclude import list.jsonl --data ./other\n\n\
    A DID stands for all that the account wrote, now and later; anything else for a target of links, which is also not told as a \
    record. So the URL of a profile stands for that page, and not for its account. It holds from the next answer on. What comes meanwhile is indexed, so that a removal leaves everything as if \
    there had been no entry. Nothing is erased: the bytes stay, in the log and in backups too.\n\
    Exit codes: 0 done; 1 it failed, or the index cannot follow now; 2 wrong usage.")]
pub(crate) struct ExcludeArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// What to do
    #[arg(value_enum, value_name = "ACTION")]
    pub(crate) action: ExcludeAction,
    /// DIDs, at-uris, URLs; of import, files, - for standard input
    #[arg(value_name = "WHAT")]
    pub(crate) what: Vec<String>,
    /// The data directory of a stopped server. As an option it stands in place of the server that a configuration file names; as
    /// a variable beside it
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The operator's address of a running server. With --data too, that is used where nothing listens here
    #[arg(long, value_name = "ADDR:PORT", value_parser = crate::units::parse_address, env = "ORRERY_OPERATOR")]
    pub(crate) operator: Option<SocketAddr>,
    /// The file with that server's token
    #[arg(long, value_name = "FILE", env = "ORRERY_OPERATOR_TOKEN_FILE")]
    pub(crate) operator_token_file: Option<PathBuf>,
    /// Take a DID for a target of links, and not for the account that wrote some
    #[arg(long, env = "ORRERY_AS_TARGET")]
    pub(crate) as_target: bool,
    /// Why, for the list
    #[arg(long, value_name = "TEXT", default_value = "", env = "ORRERY_REASON")]
    pub(crate) reason: String,
    /// Print JSON: a summary, or each entry of the list as an object on its line
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// What `dump` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DumpWhat {
    /// The events in the log, as Jetstream sends them, and with their seq
    Events,
    /// The links in the segments
    Links,
}

/// `dump`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery dump --data ./data --what events | zstd > events.jsonl.zst\n  \
    orrery dump --data ./data --what links --since 2026-01-31T00:00:00Z --until 2026-01-31T23:59:59Z\n\n\
    `orrery ingest` loads dumped events again. The log is a window: what it no longer holds, only segments have, as links.\n\
    Links are as of the last seal; dead ones were replaced or deleted, hidden ones are of accounts that are not shown.\n\
    It takes no lock. Exit codes: 0 written, or the reader went away; 1 it failed, or damage was passed over; 2 wrong usage.")]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "events", env = "ORRERY_WHAT")]
    pub(crate) what: DumpWhat,
    /// Write JSON lines; there is no other form
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
    /// The first seq
    #[arg(
        long,
        value_name = "SEQ",
        default_value_t = 0,
        env = "ORRERY_FROM_SEQ",
        hide_default_value = true
    )]
    pub(crate) from_seq: u64,
    /// The last seq
    #[arg(long, value_name = "SEQ", default_value_t = u64::MAX, env = "ORRERY_TO_SEQ", hide_default_value = true)]
    pub(crate) to_seq: u64,
    /// The earliest event time: RFC 3339, or microseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time_us, env = "ORRERY_SINCE")]
    pub(crate) since: Option<u64>,
    /// The latest event time
    #[arg(long, value_name = "TIME", value_parser = time_us, env = "ORRERY_UNTIL")]
    pub(crate) until: Option<u64>,
}

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery backup --data ./data --to /mnt/backup\n  \
    orrery backup --data ./data --to /mnt/backup --recheck --json\n\n\
    It takes no lock on the data directory and may run beside a server. Segments and closed log files are copied once. Until its last step, \
    what was backed up before still restores; an interrupted backup is completed by the next one. `orrery restore` makes a data \
    directory out of it. Exit codes: 0 done; 1 it failed, and the backup before still counts, or the directory \
    lacks something, which is named, and the backup is of the rest; 2 wrong usage.")]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Where the backup goes, or is; made where it is not there
    #[arg(long, value_name = "DEST", env = "ORRERY_TO")]
    pub(crate) to: PathBuf,
    /// Read what is backed up already and compare it, instead of believing its name and size
    #[arg(long, env = "ORRERY_RECHECK")]
    pub(crate) recheck: bool,
    /// Print what was done as one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery restore --from /mnt/backup --data ./data\n\n\
    Every byte is checked. The directory holds what the backup's moment held: a server goes on from the position it had then.\n\
    An interrupted restore leaves a directory that no server opens: remove it. Exit codes: 0 done; 1 it failed; 2 wrong usage.")]
pub(crate) struct RestoreArguments {
    /// The backup
    #[arg(long, value_name = "DEST", env = "ORRERY_FROM")]
    pub(crate) from: PathBuf,
    /// The new data directory, empty or not there
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// Print what was done as one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// What `replay` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplaySource {
    /// The events of the log, which must reach back to the first one
    Log,
    /// The segments, without their dead rows, and what they alone do not tell
    Segments,
}

/// `replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery replay --from ./data --data ./new\n  \
    orrery replay --from ./data --data ./new --source segments\n\n\
    Both answer like the original, and events keep their seqs. From the log everything is made anew; it is a window, and only a \
    directory that never trimmed it can be replayed so. From segments, events behind the last seal come from the log.\n\
    --from is only read. Exit codes: 0 done; 1 it failed; 2 wrong usage.")]
pub(crate) struct ReplayArguments {
    /// The data directory to read
    #[arg(long, value_name = "DIR", env = "ORRERY_FROM")]
    pub(crate) from: PathBuf,
    /// The new data directory, empty or not there
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// What to replay
    #[arg(long, value_enum, default_value = "log", env = "ORRERY_SOURCE")]
    pub(crate) source: ReplaySource,
    /// Print what was done as one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}

/// `repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    orrery repair --data ./data --dry-run\n  \
    orrery repair --data ./data --backup /mnt/backup --json\n  \
    orrery repair --data ./data --write-off\n\n\
    Every byte is read. A damaged segment comes back from its own file where that is sound again, else \
    from the backup, else from the log where that still holds all events from the segment's first on; \
    it and all segments behind it are then made anew. Other segments stay set aside, and answers stay \
    marked: each is named with its seqs and times. Where such a one does not give its accounts either, \
    events of accounts that only it may know wait, until a repair with a backup brings it back, or one \
    with --write-off gives it up for lost: accounts may then get second ids, and deletions of accounts \
    may miss records that were written before. Older events that only a lost segment could tell from \
    repeats wait too, whether it gives its accounts or not, and --write-off lets them go on: they count \
    as new, and accounts that its file gives keep their ids. Segments that a manifest which lost its end names no longer \
    are named again where they follow each other; a manifest that cannot be read is made anew out of an \
    older one or the backup. What the log lost stays marked in answers until --accept-gaps. Masks and key indexes are made anew by the next \
    start. Damaged segments and log files are kept under names that end in .damaged. It needs room for \
    what it writes beside what it replaces.\n\
    Exit codes: 0 everything is whole; 1 not everything is repaired or, with --dry-run, there is damage, \
    or it failed, which can be tried again; 2 wrong usage.")]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// The data directory, which nothing else writes to
    #[arg(long, value_name = "DIR", env = "ORRERY_DATA")]
    pub(crate) data: PathBuf,
    /// A backup of the directory, made by `orrery backup`
    #[arg(long, value_name = "DEST", env = "ORRERY_BACKUP")]
    pub(crate) backup: Option<PathBuf>,
    /// Accept what the log lost for good: answers and /_health do not tell of it any more
    #[arg(long, env = "ORRERY_ACCEPT_GAPS")]
    pub(crate) accept_gaps: bool,
    /// Give up for lost what does not come back, so that no event waits for it
    #[arg(long, env = "ORRERY_WRITE_OFF")]
    pub(crate) write_off: bool,
    /// Tell what is damaged and what can be repaired, and change nothing
    #[arg(long, env = "ORRERY_DRY_RUN")]
    pub(crate) dry_run: bool,
    /// Print what was found and done as one JSON object
    #[arg(long, env = "ORRERY_JSON")]
    pub(crate) json: bool,
}
