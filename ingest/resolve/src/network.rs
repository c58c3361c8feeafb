//! What the rest of this crate asks of the network, apart from how it is asked.
//!
//! Owns the trait and the types that cross it. [`Client`](crate::Client) is the implementation that talks to real
//! servers; tests of what is built on it bring their own.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::address::{self, Refusal};

/// A future whose type is not named.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The two questions there are: a GET, and a look-up of TXT records.
pub trait Network: Send + Sync + 'static {
    /// Fetches `request.url`. Any status is an answer; an error means there is none.
    fn get(&self, request: Request) -> Boxed<'_, Result<Answer, FetchError>>;

    /// The TXT records of `name`, each with its strings joined, in no particular order.
    fn txt<'a>(&'a self, name: &'a str) -> Boxed<'a, Result<Vec<String>, DnsError>>;
}

/// One GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `https://host[:port]/path?query`.
    pub url: String,
    /// A body longer than this is an error, and is not read to its end.
    pub most_bytes: usize,
    /// How many redirects are followed. Each hop is checked like a request of its own.
    pub redirects: u8,
    /// More headers, as name and value. They are not sent to another origin after a redirect.
    pub headers: Vec<(String, String)>,
    /// The `Accept` header. This one is kept across redirects.
    pub accept: Option<String>,
}

impl Request {
    /// A request for `url` without further headers, of which no redirect is followed.
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

/// A whole answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, never a redirect.
    pub status: u16,
    /// The `Content-Type` header, if it is text.
    pub content_type: Option<String>,
    /// The body, as it was sent.
    pub body: Bytes,
}

/// Why there is no answer to a GET.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL cannot be asked for: its syntax, scheme, port or host.
    #[error("{url:?} is not asked for: {problem}")]
    BadUrl {
        /// The URL as given, or as the redirect gave it.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host has an address that must not be connected to. No connection was made, to none of its addresses.
    #[error("{} is not asked: its address is {why}", told(host))]
    RefusedAddress {
        /// The host of the URL.
        host: String,
        /// The first address that was refused.
        address: IpAddr,
        /// The kind of address it is.
        why: Refusal,
    },
    /// The name does not exist or has no address.
    #[error("the name servers know no address of {host}")]
    NoSuchHost {
        /// The name.
        host: String,
    },
    /// The name could not be looked up.
    #[error("cannot look up {host}: {source}")]
    Dns {
        /// The name.
        host: String,
        /// What went wrong.
        source: DnsError,
    },
    /// No connection to any address of the host, or no TLS session.
    #[error("cannot connect to {}: {problem}", told(host))]
    Connect {
        /// The host of the URL.
        host: String,
        /// The failure at the last address, which is named where it is a public one.
        problem: String,
    },
    /// The answer was not complete in time. Waiting for a turn counts.
    #[error("no complete answer of {} within {after:?}", told(host))]
    Timeout {
        /// The host of the URL first asked for.
        host: String,
        /// The time there was.
        after: Duration,
    },
    /// The body is longer than was allowed.
    #[error("the answer of {} is longer than {most} bytes", told(host))]
    TooLarge {
        /// The host that answered.
        host: String,
        /// The limit.
        most: usize,
    },
    /// A redirect that is not followed: one too many, or without a usable target.
    #[error("redirect of {} not followed: {problem}", told(host))]
    Redirect {
        /// The host that answered.
        host: String,
        /// Why it is not followed.
        problem: String,
    },
    /// The host has asked not to be asked before some time has passed. It is not until then.
    #[error("{} asks to be left alone for {after:?}", told(host))]
    RetryLater {
        /// Host and port.
        host: String,
        /// What is left of the time.
        after: Duration,
    },
    /// Too many requests wait for this host, or for this client as a whole.
    #[error("too many requests wait for {}", told(host))]
    Busy {
        /// Host and port.
        host: String,
    },
    /// What came is not an HTTP answer this client can read, or the connection broke in the middle of it.
    #[error("unusable answer of {}: {problem}", told(host))]
    Protocol {
        /// The host that answered.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A host as those are told of it who ask a server for something: where it is an address and no public one, only that. It may have a port.
fn told(host: &str) -> &str {
    let parsed = host
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<IpAddr>()
        });
    match parsed {
        Ok(address) if address::check(address).is_err() => "an address of a private network",
        _ => host,
    }
}

/// Why a look-up brought nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsError {
    /// The name does not exist, or has no records of the type.
    #[error("no such records")]
    NoRecords,
    /// The servers could not tell.
    #[error("{problem}")]
    Failed {
        /// What went wrong.
        problem: String,
    },
    /// No server answered in time.
    #[error("no name server answered in time")]
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_reached_is_named_and_no_private_address_is() {
        let connect = |host: &str| {
            let error = FetchError::Connect {
                host: host.to_owned(),
                problem: "connection refused".to_owned(),
            };
            error.to_string()
        };
        for host in [
            "plc.directory",
            "plc.directory:443",
            "9.9.9.9",
            "9.9.9.9:443",
        ] {
            let told = connect(host);
            assert_eq!(
                told,
                format!("cannot connect to {host}: connection refused")
            );
        }
        for host in [
            "10.1.2.3",
            "10.1.2.3:8080",
            "[fd00::1]",
            "[fd00::1]:443",
            "127.0.0.1",
        ] {
            let told = connect(host);
            assert_eq!(
                told,
                "cannot connect to an address of a private network: connection refused"
            );
        }
        let refused = FetchError::RefusedAddress {
            host: "inner.example.com".to_owned(),
            address: "10.1.2.3".parse().unwrap(),
            why: Refusal::Private,
        };
        let refused = refused.to_string();
        assert!(
            refused.contains("inner.example.com") && !refused.contains("10.1"),
            "{refused}"
        );
    }
}
