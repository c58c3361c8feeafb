//! Why the server could not start. Everything that can go wrong with one request is a
//! [`Problem`](crate::problem::Problem) instead and ends as an answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The result of running the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file for TLS cannot be used.
    #[error("{}: {problem}", path.display())]
    TlsFile {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificates cannot be asked for like that.
    #[error("certificates: {0}")]
    Acme(String),
    /// The address for redirects to https could not be bound.
    #[error("cannot listen on {address} for redirects to https: {source}")]
    RedirectBind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address for metrics could not be bound.
    #[error("cannot listen on {address} for metrics: {source}")]
    MetricsBind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's address could not be bound.
    #[error("cannot listen on {address} for the operator's routes: {source}")]
    OperatorBind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of the link stream could not be started.
    #[error("cannot start a thread for the link stream: {0}")]
    Thread(#[source] std::io::Error),
    /// A setting makes no sense.
    #[error("bad setting {name}: {reason}")]
    Setting {
        /// The field of [`Config`](crate::Config).
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn tls_file(path: &Path, problem: String) -> Self {
        Self::TlsFile {
            path: path.to_owned(),
            problem,
        }
    }
}
