//! What the rest of this crate asks of a network: one GET and one TXT look-up.
//!
//! Everything about identity and records is written over [`Network`], so that it
//! can be tested without sockets.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

/// A future on the heap that may be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The whole URL.
    pub url: String,
    /// Most bytes of body; more is [`FetchError::TooLarge`].
    pub most_bytes: usize,
    /// How many redirects are followed. Each hop is checked as the first was.
    pub redirects: u8,
    /// Further headers; never sent to another origin after a redirect.
    pub headers: Vec<(String, String)>,
    /// The `Accept` header.
    pub accept: Option<String>,
}

impl Request {
    /// A GET without redirects or headers.
    #[must_use]
    pub fn new(url: impl Into<String>, most_bytes: usize) -> Self {
        Self {
            url: url.into(),
            most_bytes,
            redirects: 0,
            headers: Vec::new(),
            accept: None,
        }
    }
}

/// An answer, of whatever status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer to a GET.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not a URL that may be asked.
    #[error("bad URL {url:?}: {problem}")]
    BadUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host is, or resolves to, an address that must not be connected to.
    #[error("{host} is at {address}, which is not asked: {why}")]
    RefusedAddress {
        /// The host asked for.
        host: String,
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        why: &'static str,
    },
    /// DNS says that there is no such host.
    #[error("no such host: {host}")]
    NoSuchHost {
        /// The host asked for.
        host: String,
    },
    /// DNS did not work.
    #[error("cannot resolve {host}: {problem}")]
    Dns {
        /// The host asked for.
        host: String,
        /// What went wrong.
        problem: String,
    },
    /// No connection, or no TLS on it.
    #[error("cannot connect to {host}: {problem}")]
    Connect {
        /// The host asked for.
        host: String,
        /// What went wrong.
        problem: String,
    },
    /// Not done in time.
    #[error("no answer within {after:?}")]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
    /// The body is larger than the limit.
    #[error("the answer is larger than {most} bytes")]
    TooLarge {
        /// The limit in force.
        most: usize,
    },
    /// A redirect that is not followed.
    #[error("redirect from {url}: {problem}")]
    Redirect {
        /// Where the redirect came from.
        url: String,
        /// Why it is not followed.
        problem: String,
    },
    /// The host wants to be left alone for a while.
    #[error("{host} is not to be asked for another {after:?}")]
    RetryLater {
        /// The host asked for.
        host: String,
        /// How much longer.
        after: Duration,
    },
    /// Too many requests to the host are waiting here.
    #[error("too many requests to {host} are waiting")]
    Busy {
        /// The host asked for.
        host: String,
    },
    /// What came is not HTTP, or was cut.
    #[error("bad answer from {host}: {problem}")]
    Protocol {
        /// The host asked for.
        host: String,
        /// What went wrong.
        problem: String,
    },
}

/// Why there are no TXT values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The name does not exist or has no TXT records: an answer, not a failure.
    #[error("no such records")]
    NoRecords,
    /// DNS did not work.
    #[error("DNS failed: {problem}")]
    Failed {
        /// What went wrong.
        problem: String,
    },
    /// Not done in time.
    #[error("DNS did not answer in time")]
    Timeout,
}

/// Asks the rest of the network.
pub trait Network: Send + Sync + 'static {
    /// One GET.
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Answer, FetchError>>;

    /// The TXT values of a name, each with its strings joined.
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, DnsError>>;
}
