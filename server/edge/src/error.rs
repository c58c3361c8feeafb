//! Why there is no edge cache.

use orrery_resolve::ResolveError;

/// Why there is no edge cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory of DIDs cannot be used.
    #[error("{0}")]
    Resolver(#[source] ResolveError),
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// With the error of this crate.
pub type Result<T> = std::result::Result<T, Error>;
