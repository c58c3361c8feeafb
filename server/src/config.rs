//! The settings of the server. Every bound has a default that suits a public instance on a small machine.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::operator::OperatorToken;
use crate::tls::Tls;

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain whose `did:web` this server answers for; none: `/.well-known/did.json` is not found.
    pub did_web_domain: Option<String>,
    /// Whether answers that damage could change are refused, with 503, instead of marked.
    pub strict: bool,
    /// Lag behind the source beyond which `/readyz` says no and health says `catching-up`.
    pub lag_limit: Duration,
    /// How long a request may take, its wait for a place in the pool included.
    pub request_deadline: Duration,
    /// How many index calls run at once.
    pub queries_max: usize,
    /// How many requests may wait for a place in the pool; one more is turned away with 503.
    pub queries_waiting_max: usize,
    /// Requests that may wait for records or identities of the rest of the network at the same time; one more is turned away with
    /// 503. What is in memory is answered all the same.
    pub edge_requests_max: usize,
    /// How long the records of one answer may take to be fetched, within the request's own deadline. What is not there by then is
    /// told as unavailable.
    pub hydrate_timeout: Duration,
    /// How many records of one answer are fetched at the same time.
    pub hydrate_concurrent: usize,
    /// The largest body of a request, in bytes, answered 413 beyond.
    pub body_bytes_max: usize,
    /// Open connections; more wait in the listener's backlog.
    pub connections_max: usize,
    /// Open connections of one address (an IPv6 client is its /64 network); one more is closed at once. Addresses of loopback, of
    /// [trusted proxies](Self::trusted_proxies) and of [`rate_allow`](Self::rate_allow) have as many as there are.
    pub connections_per_address: usize,
    /// How the public port speaks TLS; none: it does not.
    pub tls: Option<Tls>,
    /// How long a client may take for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Where to answer whatever is asked by plain HTTP with its address by https; none: nowhere. Only beside TLS.
    pub redirect: Option<SocketAddr>,
    /// How long a client may take to send a request head; idle connections end after it too.
    pub header_timeout: Duration,
    /// How long a client may leave an answer unread before its connection is closed.
    pub write_timeout: Duration,
    /// The largest request head, in bytes, at least 8,192. A larger one is answered 431.
    pub header_bytes_max: usize,
    /// The largest query string, in bytes, answered 414 beyond. The HTTP parser itself refuses request targets
    /// of more than 65,534 bytes.
    pub query_bytes_max: usize,
    /// A token bucket per client address; none: no limit.
    pub rate_limit: Option<RateLimit>,
    /// Clients that it does not hold for.
    pub rate_allow: Vec<Network>,
    /// Proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<Network>,
    /// Where to serve metrics as Prometheus text; none: not at all.
    pub metrics: Option<SocketAddr>,
    /// Whether `/status` is there; without it it is not found.
    pub status: bool,
    /// Where to serve the operator's routes, metrics among them; none: not at all.
    pub operator: Option<SocketAddr>,
    /// What whoever asks them proves itself by; needed where that is no loopback address.
    pub operator_token: Option<OperatorToken>,
    /// How long requests in flight may take to finish after the shutdown signal.
    pub shutdown_grace: Duration,
    /// The link stream.
    pub stream: StreamConfig,
}

/// The settings of the link stream.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// Open subscriptions; one more is turned away with 503. They take no place of [`Config::connections_max`].
    pub subscribers_max: usize,
    /// Open subscriptions of one client address (an IPv6 client is its /64 network); one more is turned away with 503. Clients on
    /// a loopback address are not limited.
    pub subscribers_per_address: usize,
    /// Frames that may wait for one subscriber; one that falls further behind is dropped.
    pub queue_frames: usize,
    /// How long the oldest of them may wait.
    pub queue_age: Duration,
    /// Time between pings; the answer to one must come before the next.
    pub ping_interval: Duration,
    /// How long the other side may take to answer a close frame.
    pub close_timeout: Duration,
    /// The largest message of a subscriber, in bytes.
    pub message_bytes_max: usize,
    /// How long a message of more than 64 KiB may take to come.
    pub message_timeout: Duration,
    /// How many replays are read at once; more take turns.
    pub replays_max: usize,
    /// How many subscribers, of those who are told at once and of those who are told after the delay each, may be told at the same
    /// time what they missed; more wait. A replay of the delayed may hold some 16 MiB.
    pub replays_open_max: usize,
    /// How long links are held back from subscribers who do not ask for all at once.
    pub delay: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            subscribers_max: 10_000,
            subscribers_per_address: 100,
            queue_frames: 16_384,
            queue_age: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            message_bytes_max: 10 << 20,
            message_timeout: Duration::from_secs(30),
            replays_max: (cores / 2).max(1),
            replays_open_max: 32,
            delay: Duration::from_secs(21),
        }
    }
}

/// A token bucket per client address (an IPv6 client is its /64 network).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Requests per second that an address gets in the long run.
    pub per_second: f64,
    /// Requests it may make at once after a pause.
    pub burst: u32,
    /// Whether clients on a loopback address are limited too.
    pub loopback: bool,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            did_web_domain: None,
            strict: false,
            lag_limit: Duration::from_secs(60),
            request_deadline: Duration::from_secs(10),
            queries_max: 2 * cores,
            queries_waiting_max: 256,
            edge_requests_max: 512,
            hydrate_timeout: Duration::from_secs(5),
            hydrate_concurrent: 16,
            body_bytes_max: 1 << 20,
            connections_max: 1024,
            connections_per_address: 256,
            tls: None,
            handshake_timeout: Duration::from_secs(10),
            redirect: None,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            header_bytes_max: 128 * 1024,
            query_bytes_max: 60 * 1024,
            rate_limit: None,
            rate_allow: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics: None,
            status: true,
            operator: None,
            operator_token: None,
            shutdown_grace: Duration::from_secs(10),
            stream: StreamConfig::default(),
        }
    }
}

impl Config {
    /// Refuses settings under which nothing could be served.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |name, reason| Err(Error::Setting { name, reason });
        if self.queries_max == 0 {
            return bad("queries_max", "must be at least 1");
        }
        if self.connections_max == 0 {
            return bad("connections_max", "must be at least 1");
        }
        if self.connections_per_address == 0 {
            return bad("connections_per_address", "must be at least 1");
        }
        if self.edge_requests_max == 0 {
            return bad("edge_requests_max", "must be at least 1");
        }
        if self.hydrate_concurrent == 0 {
            return bad("hydrate_concurrent", "must be at least 1");
        }
        // What a semaphore counts in, and can give at once.
        if !(1..=u32::MAX as usize >> 3).contains(&self.stream.subscribers_max) {
            return bad("stream.subscribers_max", "must be from 1 to 536870911");
        }
        if self.stream.queue_frames == 0 {
            return bad("stream.queue_frames", "must be at least 1");
        }
        if self.stream.replays_max == 0 {
            return bad("stream.replays_max", "must be at least 1");
        }
        if self.stream.replays_open_max == 0 {
            return bad("stream.replays_open_max", "must be at least 1");
        }
        if self.stream.subscribers_per_address == 0 {
            return bad("stream.subscribers_per_address", "must be at least 1");
        }
        if self.stream.ping_interval.is_zero() {
            return bad("stream.ping_interval", "must be above 0");
        }
        if let (Some(address), None) = (self.operator, &self.operator_token)
            && !address.ip().to_canonical().is_loopback()
        {
            return bad(
                "operator",
                "an address that others can reach needs an operator's token",
            );
        }
        if self.redirect.is_some() && self.tls.is_none() {
            return bad("redirect", "leads to https, so there must be TLS");
        }
        if self.header_bytes_max < 8192 {
            return bad("header_bytes_max", "must be at least 8192");
        }
        if let Some(limit) = self.rate_limit
            && !(limit.per_second.is_finite() && limit.per_second > 0.0 && limit.burst > 0)
        {
            return bad("rate_limit", "rate and burst must be above 0");
        }
        Ok(())
    }
}
