//! What ends the program before its time, in words for people, and the exit code: 2 for a command line
//! that makes no sense, 1 for everything else.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::Mistake;

/// What commands on a directory want.
const A_DATA_DIRECTORY: &str = "a data directory, made by `orrery serve` or `orrery ingest`";

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that are well formed and make no sense together or at all.
    #[error("{0}")]
    Usage(String),
    /// Settings that cannot be used, each mistake with its place.
    #[error("{}", listed(.0))]
    Settings(Vec<Mistake>),
    /// A check of settings found mistakes, each told on its own line before.
    #[error("{0} in the configuration")]
    Mistaken(String),
    /// This machine is not up to it; what fails was told before.
    #[error("{0}")]
    Unfit(String),
    #[error("data directory {}: {}{}", path.display(), within(path, source), advice(source))]
    Store {
        path: PathBuf,
        source: orrery_engine::Error,
    },
    /// A backup was made of what is there.
    #[error("the backup of {} lacks what is damaged or missing there: {lacking}", path.display())]
    Incomplete { path: PathBuf, lacking: String },
    /// One of two directories failed; the source says which.
    #[error("cannot {what} {} into {}: {source}{}{left}", from.display(), to.display(), advice(source))]
    Transfer {
        what: &'static str,
        from: PathBuf,
        to: PathBuf,
        source: Box<orrery_engine::Error>,
        /// What stays of it, as a further sentence, or nothing.
        left: String,
    },
    #[error("there is no data directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// What is to be read is not there, or no directory.
    #[error("{} {what}; name {wanted}", path.display())]
    NotThere {
        path: PathBuf,
        what: &'static str,
        wanted: &'static str,
    },
    /// A check found damage, each told on its own line before.
    #[error("{places} of {} damaged", path.display())]
    Damaged { path: PathBuf, places: String },
    /// What was written lacks segments that another build reads.
    #[error(
        "what was written lacks {} of {}: this build does not read that version, which is no damage; dump with the build that \
         wrote it",
        segments.join(", "), path.display()
    )]
    OtherVersions {
        path: PathBuf,
        segments: Vec<String>,
    },
    /// An exclude list was changed, and the index does not show it yet.
    #[error("{0}")]
    Waits(String),
    #[error("the server at {address}: {why}")]
    Operator { address: SocketAddr, why: String },
    /// A repair could not bring everything back; what is not back was told before.
    #[error("not everything of {} is repaired: {what}", path.display())]
    Lost { path: PathBuf, what: String },
    #[error(transparent)]
    Ingest(#[from] orrery_ingest::Error),
    #[error(transparent)]
    Server(#[from] orrery_server::Error),
    #[error(transparent)]
    Synth(#[from] orrery_synth::Error),
    #[error("the edge cache cannot start: {0}")]
    Edge(String),
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or name another address by its option"
    )]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    /// Files without one event; what the others held is loaded.
    #[error(
        "{}; a line has to be a Jetstream event as JSON, and the summary counts by reason what is wrong",
        nothing_read(.0)
    )]
    NothingRead(Vec<NotOne>),
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
}

/// Mistakes as one message: alone, or a line each.
fn listed(mistakes: &[Mistake]) -> String {
    if let [mistake] = mistakes {
        return mistake.to_string();
    }
    let lines = mistakes.iter().map(|mistake| format!("\n  {mistake}"));
    format!(
        "{} mistakes in the configuration:{}",
        mistakes.len(),
        lines.collect::<String>()
    )
}

/// A file with lines of which none was taken.
#[derive(Debug)]
pub(crate) struct NotOne {
    /// Its name.
    pub(crate) file: String,
    /// How many lines it has.
    pub(crate) lines: u64,
    /// Whether there are events among them, whose records were refused.
    pub(crate) has_events: bool,
}

/// What files held instead of events that can be taken.
fn nothing_read(files: &[NotOne]) -> String {
    let files = files.iter().map(
        |NotOne {
             file,
             lines,
             has_events,
         }| match (lines, has_events) {
            (1, false) => format!("the one line of {file} is no event"),
            (lines, false) => format!("none of the {lines} lines of {file} is an event"),
            (1, true) => {
                format!("the one line of {file} is an event with a record that cannot be read")
            }
            (lines, true) => {
                format!(
                    "of the {lines} lines of {file} nothing could be taken, though some are events"
                )
            }
        },
    );
    let files: Vec<String> = files.collect();
    files.join("; ")
}

/// What the engine says about the directory `path`, which is named before it, or about something else.
fn within(path: &Path, error: &orrery_engine::Error) -> String {
    match error {
        orrery_engine::Error::Inconsistent { path: of, what } if of == path => what.clone(),
        error => error.to_string(),
    }
}

/// What can be done about a manifest or a version that cannot be read, as a further sentence, or nothing.
fn advice(error: &orrery_engine::Error) -> &'static str {
    use orrery_engine::Error::Format;
    match error {
        Format(orrery_formats::Error::Corrupt(at)) if at.file.starts_with("MANIFEST-") => {
            ". Leave all files as they are: `orrery repair` takes up an older manifest where there is one, and with \
             --backup, even an older backup of this directory, it makes the manifest anew"
        }
        Format(orrery_formats::Error::Corrupt(at)) if at.file == "EXCLUSIONS" => {
            ". Put the exclude list back from a backup, or remove the file and import the list anew; the links of accounts \
             that were on it stay hidden meanwhile, and records are shown"
        }
        Format(orrery_formats::Error::Version { found, oldest, .. }) if found < oldest => {
            ". Nothing was changed: go on with the build that wrote it, or load the events anew into another directory"
        }
        Format(orrery_formats::Error::Version { .. }) => {
            ". Nothing was changed: a newer build wrote it, and reads it"
        }
        _ => "",
    }
}

impl Failure {
    /// The code that the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Settings(_)
            | Self::Synth(orrery_synth::Error::Option { .. })
            | Self::Server(orrery_server::Error::Setting { .. } | orrery_server::Error::Acme(_))
            | Self::Ingest(orrery_ingest::Error::Selection(_)) => 2,
            _ => 1,
        }
    }

    /// Whether the reader of standard output went away.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// For `map_err` on calls of the operating system.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// For `map_err` on calls of the engine about the data directory `path`.
    pub(crate) fn store(path: &Path) -> impl Fn(orrery_engine::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            Self::not_there(&path, &source, A_DATA_DIRECTORY).unwrap_or_else(|| Self::Store {
                path: path.clone(),
                source,
            })
        }
    }

    /// What is to be said where the engine failed for want of the directory itself: the system's words name some file in it.
    fn not_there(path: &Path, source: &orrery_engine::Error, wanted: &'static str) -> Option<Self> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let orrery_engine::Error::Io { source, .. } = source else {
            return None;
        };
        let what = match source.kind() {
            NotFound if !path.exists() => "is not there",
            NotADirectory if path.is_file() => "is a file",
            _ => return None,
        };
        Some(Self::NotThere {
            path: path.to_owned(),
            what,
            wanted,
        })
    }

    /// For `map_err` on calls of the engine that make something at `to` out of what is at `from`.
    pub(crate) fn transfer(
        what: &'static str,
        from: &Path,
        to: &Path,
    ) -> impl FnOnce(orrery_engine::Error) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        let wanted = match what {
            "restore" => "the directory of a backup, made by `orrery backup`",
            _ => A_DATA_DIRECTORY,
        };
        move |source| {
            Self::not_there(&from, &source, wanted).unwrap_or_else(|| Self::Transfer {
                what,
                from,
                to,
                source: Box::new(source),
                left: String::new(),
            })
        }
    }

    /// As [`transfer`](Self::transfer), into a directory that is new: what an earlier end leaves of it is named.
    pub(crate) fn transfer_to_new(
        what: &'static str,
        from: &Path,
        to: &Path,
    ) -> impl FnOnce(orrery_engine::Error) -> Self {
        let is_empty = |mut entries: std::fs::ReadDir| entries.next().is_none();
        let was_new = std::fs::read_dir(to).map_or_else(|_| !to.exists(), is_empty);
        let made = Self::transfer(what, from, to);
        move |source| {
            let mut failure = made(source);
            if let Self::Transfer { to, left, .. } = &mut failure
                && was_new
                && to.exists()
            {
                *left = format!(
                    ". What was written of {} stays; remove it before trying again",
                    to.display()
                );
            }
            failure
        }
    }

    /// For `map_err` on writes to standard output.
    pub(crate) fn stdout(source: io::Error) -> Self {
        Self::Output {
            what: "standard output".to_owned(),
            source,
        }
    }
}
