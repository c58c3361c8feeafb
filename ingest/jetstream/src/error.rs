//! Every way a subscription can go wrong, and which of them end it.
//!
//! Owns the error enum of the crate. A frame that is not an event is no error here but a counted
//! [`Malformed`](crate::Malformed); a message that cannot be unpacked is a counted
//! [`Undecodable`](crate::Undecodable).

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::shown::without_secrets_of;

/// What went wrong with a configuration, a connection attempt or a connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint is neither a known shorthand nor a usable URL.
    #[error("endpoint {endpoint:?}: {problem}")]
    BadEndpoint {
        /// The endpoint as configured, by [`without_secrets`](crate::without_secrets).
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration value cannot be used.
    #[error("{name}: {problem}")]
    BadConfig {
        /// Name of the configuration field.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A subscription was started outside a tokio runtime.
    #[error("a subscription needs a running tokio runtime")]
    NoRuntime,
    /// The zstd library could not set up a context.
    #[error("cannot set up zstd: {source}")]
    Zstd {
        /// The library's error.
        source: io::Error,
    },
    /// The host name did not resolve.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The host asked for.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// No TCP connection to any address of the host.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// The error of the last address tried.
        source: io::Error,
    },
    /// Connecting, the TLS handshake and the upgrade together took too long.
    #[error("no connection to {host} within {after:?}")]
    ConnectTimeout {
        /// The host asked for.
        host: String,
        /// The limit that passed.
        after: Duration,
    },
    /// The TLS handshake failed: no TLS there, a certificate that does not verify, or a cut connection.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The host asked for.
        host: String,
        /// The error of the TLS layer.
        source: io::Error,
    },
    /// The server answered 400: this request can never succeed.
    #[error("the server rejects the request (HTTP 400): {body}")]
    BadRequest {
        /// As much of the server's explanation as came with the headers.
        body: String,
    },
    /// The server answered the upgrade with another status than 101.
    #[error("the server refuses the upgrade (HTTP {status}): {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's `Retry-After`, where it gave one.
        retry_after: Option<Duration>,
        /// As much of the server's explanation as came with the headers.
        body: String,
    },
    /// The answer to the upgrade is not a valid websocket handshake.
    #[error("bad websocket handshake: {problem}")]
    BadUpgrade {
        /// What is wrong with it.
        problem: String,
    },
    /// The server closed with a close frame.
    #[error("the server closed the connection, code {}: {reason}", code.map_or("none".to_owned(), |code| code.to_string()))]
    Closed {
        /// The close code, where the frame had one.
        code: Option<u16>,
        /// The close reason, possibly empty.
        reason: String,
    },
    /// The connection ended without a close frame.
    #[error("the connection was cut: {problem}")]
    Reset {
        /// What the socket said.
        problem: String,
    },
    /// Neither data nor a pong came within the limit after a ping.
    #[error("no answer to a ping for {after:?}")]
    PingTimeout {
        /// The limit that passed.
        after: Duration,
    },
    /// A message is larger than the limit, so that the connection had to be given up.
    #[error("a message of {bytes} bytes or more exceeds the limit of {bytes_max}")]
    Oversized {
        /// Size as far as it was announced.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// A text message is not UTF-8, so that the connection had to be given up.
    #[error("a text message is not UTF-8")]
    InvalidUtf8,
    /// The server broke the websocket protocol.
    #[error("websocket protocol error: {problem}")]
    Protocol {
        /// What it did.
        problem: String,
    },
    /// The server compresses with a dictionary this crate lacks. The subscription goes on uncompressed.
    #[error("the server uses zstd dictionary {id}, which is unknown here")]
    UnknownDictionary {
        /// Id of that dictionary.
        id: u32,
    },
    /// The server keeps accepting connections only to end them at once.
    #[error("{times} connections in a row ended at once, the last one: {last}")]
    EndedAtOnce {
        /// How many in a row.
        times: u32,
        /// How the last one ended.
        last: Box<Error>,
    },
}

impl Error {
    /// Whether the same request would fail the same way for ever, whatever the server's history.
    ///
    /// Only HTTP 400 is that while connecting. Statuses 401, 403, 404 and the like end a subscription too, but only
    /// as long as it has never been connected: then the endpoint is most likely wrong. After a first success they are
    /// taken for a deployment in progress and retried.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::BadEndpoint { .. }
            | Self::BadConfig { .. }
            | Self::NoRuntime
            | Self::Zstd { .. }
            | Self::BadRequest { .. } => true,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::Refused { .. }
            | Self::BadUpgrade { .. }
            | Self::Closed { .. }
            | Self::Reset { .. }
            | Self::PingTimeout { .. }
            | Self::Oversized { .. }
            | Self::InvalidUtf8
            | Self::Protocol { .. }
            | Self::UnknownDictionary { .. }
            | Self::EndedAtOnce { .. } => false,
        }
    }

    /// This with nothing in it that is hidden of the address of the server, which may say what it was asked for. Every error of a connection
    /// comes through here before anybody sees it.
    pub(crate) fn without_secrets_of(self, address: &str) -> Self {
        let hide = |text: String| without_secrets_of(address, &text);
        match self {
            Self::BadRequest { body } => Self::BadRequest { body: hide(body) },
            Self::Refused {
                status,
                retry_after,
                body,
            } => Self::Refused {
                status,
                retry_after,
                body: hide(body),
            },
            Self::BadUpgrade { problem } => Self::BadUpgrade {
                problem: hide(problem),
            },
            Self::Closed { code, reason } => Self::Closed {
                code,
                reason: hide(reason),
            },
            Self::Reset { problem } => Self::Reset {
                problem: hide(problem),
            },
            Self::Protocol { problem } => Self::Protocol {
                problem: hide(problem),
            },
            Self::BadEndpoint { endpoint, problem } => Self::BadEndpoint {
                endpoint,
                problem: hide(problem),
            },
            Self::EndedAtOnce { times, last } => Self::EndedAtOnce {
                times,
                last: Box::new(last.without_secrets_of(address)),
            },
            // What this machine says.
            error @ (Self::BadConfig { .. }
            | Self::NoRuntime
            | Self::Zstd { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::PingTimeout { .. }
            | Self::Oversized { .. }
            | Self::InvalidUtf8
            | Self::UnknownDictionary { .. }) => error,
        }
    }

    /// Whether this ends a subscription that has (`connected_before`) or has not been connected yet.
    pub(crate) fn ends_subscription(&self, connected_before: bool) -> bool {
        match self {
            // 408, 425 and 429 ask for another try; 3xx is not followed, and like the other 4xx means a wrong address.
            Self::Refused {
                status: 408 | 425 | 429,
                ..
            } => false,
            Self::Refused {
                status: 300..=499, ..
            } => !connected_before,
            other => other.is_fatal(),
        }
    }

    /// Whether one message made the connection end, and would again when it is sent again.
    pub(crate) fn is_poison(&self) -> bool {
        matches!(self, Self::Oversized { .. } | Self::InvalidUtf8)
    }

    /// Whether the server ended the connection in good order, with its numbering intact.
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::UnknownDictionary { .. })
    }
}
