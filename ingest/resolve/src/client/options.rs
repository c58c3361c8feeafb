//! The settings of a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::HostLimits;

/// Slower than one request in a quarter of an hour is no rate but a mistake, and its times would overflow.
const PER_SECOND_MIN: f64 = 0.001;

/// The settings of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How operators of other servers reach the one who runs this: an address or `+https://…`. Part of the `User-Agent`
    /// of every request.
    pub contact: String,
    /// Time for the connection to a host, TLS included. Several addresses share it.
    pub connect_timeout: Duration,
    /// Time for a whole request: waiting, looking up, connecting, redirects, the body.
    pub total_timeout: Duration,
    /// Time for a look-up.
    pub dns_timeout: Duration,
    /// What one host is asked at most.
    pub per_host: HostLimits,
    /// The same for single hosts that are asked more than others, such as a directory of all accounts: by `host:port`, the host in
    /// lower case.
    pub own_limits: Vec<(String, HostLimits)>,
    /// Requests at once, to all hosts together.
    pub concurrent: usize,
    /// How many of them may go to one IPv4 address or one IPv6 network of 48 bits, whatever names lead there. Should be
    /// a small part, so that a server that does not answer leaves the rest to others.
    pub per_address: usize,
    /// How many more may wait for that; those beyond are [`FetchError::Busy`](crate::FetchError::Busy) at once.
    pub per_address_waiting: usize,
    /// Hosts whose limits are remembered.
    pub most_hosts: usize,
    /// Connections kept open for the next request.
    pub idle_connections: usize,
    /// How long they are.
    pub idle_timeout: Duration,
    /// Connects to any address, also without TLS and by local names. For private networks and tests only.
    pub allow_private: bool,
    /// Addresses that are connected to whatever they are, also without TLS: services of one's own, such as a mirror of
    /// the PLC directory on this machine.
    pub trusted: Vec<SocketAddr>,
    /// The DNS server to ask. `None`: those the system is set up with, and its hosts file.
    pub dns: Option<SocketAddr>,
    /// TLS settings. `None`: the usual public authorities, with ring.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl ClientOptions {
    /// The defaults, which suit a server that asks the public internet.
    pub fn new(contact: impl Into<String>) -> Self {
        Self {
            contact: contact.into(),
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(10),
            dns_timeout: Duration::from_secs(4),
            per_host: HostLimits::default(),
            own_limits: Vec::new(),
            concurrent: 256,
            per_address: 48,
            per_address_waiting: 128,
            most_hosts: 4096,
            idle_connections: 128,
            idle_timeout: Duration::from_secs(30),
            allow_private: false,
            trusted: Vec::new(),
            dns: None,
            tls: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let bad = |name, problem: &str| {
            Err(ClientError::BadOption {
                name,
                problem: problem.to_owned(),
            })
        };
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if self.contact.trim().is_empty() || !self.contact.bytes().all(printable) {
            return bad("contact", "must be printable ASCII, and not empty");
        }
        if self.contact.contains(['(', ')', '\\']) {
            return bad("contact", "must not hold a parenthesis or a backslash");
        }
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("total_timeout", self.total_timeout),
            ("dns_timeout", self.dns_timeout),
        ] {
            if time.is_zero() {
                return bad(name, "must not be zero");
            }
        }
        for (name, count) in [
            ("concurrent", self.concurrent),
            ("per_address", self.per_address),
            ("most_hosts", self.most_hosts),
        ] {
            if count == 0 || count > tokio::sync::Semaphore::MAX_PERMITS {
                return bad(name, "must not be zero or beyond all measure");
            }
        }
        let own_limits = self.own_limits.iter().map(|(_, limits)| limits);
        for limits in [&self.per_host].into_iter().chain(own_limits) {
            if limits.concurrent == 0 || limits.concurrent > tokio::sync::Semaphore::MAX_PERMITS {
                return bad(
                    "per_host.concurrent",
                    "must not be zero or beyond all measure",
                );
            }
            let rate = limits.per_second;
            if rate.is_nan() || rate < PER_SECOND_MIN {
                return bad("per_host.per_second", "must be at least 0.001");
            }
            if limits.burst == 0 {
                return bad("per_host.burst", "must not be zero");
            }
        }
        Ok(())
    }
}

/// Why a client could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A setting cannot be used.
    #[error("{name}: {problem}")]
    BadOption {
        /// Name of the field of [`ClientOptions`].
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The TLS settings of this crate could not be made.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The system's DNS configuration could not be read.
    #[error("cannot set up DNS: {problem}")]
    Dns {
        /// What is wrong with it.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        let good = || ClientOptions::new("+https://example.com/contact");
        assert!(good().check().is_ok());
        type Change = fn(&mut ClientOptions);
        let changes: [(&str, Change); 13] = [
            ("contact", |options| options.contact = " ".to_owned()),
            ("contact", |options| {
                options.contact = "a\r\nb: c".to_owned()
            }),
            ("contact", |options| options.contact = "a) b (c".to_owned()),
            ("total_timeout", |options| {
                options.total_timeout = Duration::ZERO
            }),
            ("dns_timeout", |options| {
                options.dns_timeout = Duration::ZERO
            }),
            ("concurrent", |options| options.concurrent = 0),
            ("concurrent", |options| options.concurrent = usize::MAX),
            ("per_address", |options| options.per_address = 0),
            ("per_host.concurrent", |options| {
                options.per_host.concurrent = 0
            }),
            ("per_host.per_second", |options| {
                options.per_host.per_second = 0.0
            }),
            ("per_host.per_second", |options| {
                options.per_host.per_second = f64::NAN
            }),
            ("per_host.burst", |options| options.per_host.burst = 0),
            ("per_host.burst", |options| {
                let limits = HostLimits {
                    burst: 0,
                    ..HostLimits::default()
                };
                options.own_limits = vec![("a.example:443".to_owned(), limits)];
            }),
        ];
        for (expected, change) in changes {
            let mut options = good();
            change(&mut options);
            let error = options.check().unwrap_err();
            assert!(
                matches!(error, ClientError::BadOption { name, .. } if name == expected),
                "{expected}: {error}"
            );
        }
    }
}
