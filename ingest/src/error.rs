//! The errors of this crate. A bad event is no error but a counted [`Reason`](crate::Reason).

use std::io;

use crate::select::SelectionError;

/// The result of moving events from a source into a sink.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What ends a pipeline, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern that selects collections is not usable.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A file of events cannot be opened.
    #[error("cannot open {file}: {source}")]
    Open {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file of events ends in the middle, or cannot be read on. What came before is kept.
    #[error("cannot read {file} beyond line {line}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Lines that were read.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// The stored position belongs to another source.
    #[error(
        "the index follows {stored}, not {asked}: positions of one source mean little on another. \
         --force-source goes on from about the same time"
    )]
    OtherSource {
        /// The source whose position is stored, by [`without_secrets`](orrery_jetstream::without_secrets).
        stored: String,
        /// The source asked for, in the same way.
        asked: String,
    },
    /// The stored position is of a kind of source that this build does not know.
    #[error(
        "the index follows {endpoint} by a kind of source ({kind}) that this build does not know; \
         a newer build may"
    )]
    UnknownCursor {
        /// The source whose position is stored, by [`without_secrets`](orrery_jetstream::without_secrets).
        endpoint: String,
        /// The number of the kind.
        kind: u8,
    },
    /// The subscription cannot go on.
    #[error("cannot follow {endpoint}: {source}")]
    Jetstream {
        /// The server, by [`without_secrets`](orrery_jetstream::without_secrets).
        endpoint: String,
        /// Why.
        source: orrery_jetstream::Error,
    },
    /// The index does not take events any more.
    #[error("cannot write the index: {source}")]
    Sink {
        /// The index's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pipeline was told to stop while it waited for the index to take an event.
    #[error("stopped while the index was paused")]
    Stopped,
    /// The operating system gives no thread.
    #[error("cannot start the ingest thread: {source}")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The ingest thread ended without a result.
    #[error("the ingest thread panicked; this is a bug")]
    Panicked,
}

impl Error {
    /// Wraps the error of a sink.
    pub(crate) fn sink(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Sink {
            source: Box::new(source),
        }
    }
}
