//! The errors of this crate. Each says what was being done to which file, so that an operator can act
//! on it without reading code.

use std::path::{Path, PathBuf};

/// The result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    #[error("{op} {path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, such as `write` or `sync`.
        op: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Bytes on disk are damaged, or of a version this build does not read.
    #[error(transparent)]
    Format(#[from] orrery_formats::Error),
    /// An earlier write or sync failed. What the disk holds is unknown until the directory is opened
    /// again, so nothing more is written.
    #[error("nothing more is written after a failure: {why}")]
    Poisoned {
        /// The failure that stopped it, and what to do.
        why: String,
    },
    /// The next thing to be written may not fit on disk. Nothing has changed, and what was refused can be tried
    /// again once there is room.
    #[error(
        "the disk is too full to go on: the next step may take {}, and {} are left, since {limit}",
        crate::disk::Size(*need), crate::disk::Size(*free)
    )]
    DiskFull {
        /// The most bytes that the next step takes.
        need: u64,
        /// How many may still be written.
        free: u64,
        /// What bounds them.
        limit: crate::DiskLimit,
    },
    /// An event names an account that no readable segment knows, while one that has accounts is set aside: the
    /// account may be one of those, and would get a second id. Nothing has changed, and what was refused can be
    /// tried again.
    #[error(
        "it is not known which accounts {file} holds, which is set aside as damaged, and an event names one that \
         nothing else knows; stop, and run `orrery repair`"
    )]
    LostAccounts {
        /// The file of the segment.
        file: String,
    },
    /// An event may have been applied before, and what would tell stood in a damaged segment that may come back. Nothing
    /// has changed, and what was refused can be tried again.
    #[error(
        "whether an event was applied before cannot be told while {file} is set aside as damaged, and the log does not \
         reach back to it; stop, and run `orrery repair`"
    )]
    LostEvents {
        /// The file of the segment.
        file: String,
    },
    /// A DID cannot be told, since it stood in a damaged segment.
    #[error("the DID of account {actor} is not known while {file} is set aside as damaged")]
    LostDid {
        /// The account's id.
        actor: u32,
        /// The file of the segment.
        file: String,
    },
    /// Another process writes to the data directory.
    #[error("{path} is locked: another process has this data directory open; stop that one first", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A setting or a call that cannot be honoured.
    #[error("{0}")]
    Config(String),
    /// A fact that the engine itself guarantees does not hold: a bug worth a report.
    #[error("internal error: {0}; please report this")]
    Internal(String),
    /// The data directory contradicts itself in a way that no crash can cause.
    #[error("{path}: {what}", path = path.display())]
    Inconsistent {
        /// The file or directory.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
}

impl Error {
    /// Whether writing waits and nothing has changed: what was refused can be tried again.
    #[must_use]
    pub const fn is_pause(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. } | Self::LostAccounts { .. } | Self::LostEvents { .. }
        )
    }

    /// Whether a change of the exclude list was done all the same, and only a power cut may undo it.
    #[must_use]
    pub fn is_done_until_power_cut(&self) -> bool {
        crate::exclusions::is_not_durable(self)
    }

    /// Whether something could not be read, with nothing written before.
    pub(crate) fn is_of_reading(&self) -> bool {
        match self {
            Self::Format(_) => true,
            Self::Io { op, .. } => matches!(*op, "open" | "read" | "read the length of" | "map"),
            _ => false,
        }
    }

    /// What an operator can do after a write failed with this error.
    pub(crate) fn advice(&self) -> &'static str {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
                "free some space on that disk, then restart"
            }
            Self::Io { .. } => "see in the system's log whether the drive is sound, then restart",
            _ => "restart; nothing that was durable is lost",
        }
    }

    /// An I/O error of `op` on `path`, for `map_err`.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, op, source }
    }
}
