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
    #[error("writing stopped after an earlier failure ({why}); reopen the data directory")]
    Poisoned {
        /// The failure that stopped it.
        why: String,
    },
    /// Another process writes to the data directory.
    #[error("{path} is locked: another process has this data directory open", path = path.display())]
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
    /// An I/O error of `op` on `path`, for `map_err`.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, op, source }
    }
}
