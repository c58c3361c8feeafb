//! What a subscription can be told, with the defaults and the checks.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::cursor::Cursor;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::options::Options;

/// Settings of a [`Client`](crate::Client). Make one with [`Config::new`] and change its fields.
///
/// ```
/// use orrery_jetstream::{Config, Cursor};
///
/// let mut config = Config::new("us-east-1");
/// config.cursor = Some(Cursor::TimeUs(1_786_000_000_000_000));
/// config.options.wanted_collections = vec!["app.bsky.graph.follow".to_owned()];
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Servers in order of preference; the next one is tried after [`failures_before_switch`](Self::failures_before_switch).
    /// Each is a URL (`wss://host[:port][/path]`, default path `/subscribe`) or one of the names `us-east-1`,
    /// `us-east-2`, `us-west-1`, `us-west-2`, `us-east`, `us-west`.
    pub endpoints: Vec<String>,
    /// Where to begin, inclusive; `None` for live. A [`Cursor::Seq`] belongs to the first endpoint.
    pub cursor: Option<Cursor>,
    /// Which events to ask for. Long filters travel in a hello message instead of the URL.
    pub options: Options,
    /// Whether the server shall wait for the filter as a message before it sends anything. Rarely needed: the client
    /// does this by itself when the filter is too long for a URL.
    pub require_hello: bool,
    /// Whether to ask for zstd. About half the traffic, for about a microsecond per event.
    pub compress: bool,
    /// Largest message accepted, compressed or not, in bytes.
    pub message_bytes_max: usize,
    /// `User-Agent` of the upgrade request.
    pub user_agent: String,
    /// Limit for name resolution, TCP, TLS and the upgrade together.
    pub connect_timeout: Duration,
    /// A ping is sent after this much silence.
    pub ping_after: Duration,
    /// A connection is dead when nothing came for this long after a ping.
    pub pong_timeout: Duration,
    /// Delays between connection attempts.
    pub backoff: Backoff,
    /// Attempts without progress on one endpoint before the next of [`endpoints`](Self::endpoints) is tried.
    pub failures_before_switch: u32,
    /// Reading pauses while this many bytes of text wait for the consumer.
    pub queue_bytes_max: usize,
    /// Reading pauses while this many frames wait for the consumer.
    pub queue_frames_max: usize,
    /// Largest batch, in bytes of text; one larger frame still makes a batch of its own.
    pub batch_bytes_max: usize,
    /// Largest batch, in frames.
    pub batch_frames_max: usize,
    /// How far to go back when resuming at a time. Old servers reorder events around the switch from replay to live.
    pub rewind_time: Duration,
    /// How far to go back when resuming at a sequence number after a connection that was cut. A server that crashed
    /// can number its last events anew (at most some thousands), so those must be read again.
    pub rewind_seq: u64,
    /// TLS settings in place of the built-in web roots, for private certificate authorities.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Config {
    /// The default settings for one server: live, everything, compressed.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoints: vec![endpoint.into()],
            cursor: None,
            options: Options::default(),
            require_hello: false,
            compress: true,
            message_bytes_max: 32 << 20,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(15),
            ping_after: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            failures_before_switch: 3,
            queue_bytes_max: 32 << 20,
            queue_frames_max: 65_536,
            batch_bytes_max: 256 << 10,
            batch_frames_max: 1024,
            rewind_time: Duration::from_secs(5),
            rewind_seq: 10_000,
            tls: None,
        }
    }

    /// Checks every field and resolves the endpoints.
    pub(crate) fn check(&self) -> Result<Vec<Endpoint>, Error> {
        let bad = |name, problem: &str| Error::BadConfig {
            name,
            problem: problem.to_owned(),
        };
        if self.endpoints.is_empty() {
            return Err(bad("endpoints", "none given"));
        }
        if self.cursor.is_some_and(|cursor| !cursor.is_representable()) {
            return Err(bad(
                "cursor",
                "times are 10^15 us or more, sequence numbers less",
            ));
        }
        for (name, value) in [
            ("message_bytes_max", self.message_bytes_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("queue_frames_max", self.queue_frames_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("batch_frames_max", self.batch_frames_max),
        ] {
            if value == 0 {
                return Err(bad(name, "must not be 0"));
            }
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("ping_after", self.ping_after),
            ("pong_timeout", self.pong_timeout),
        ] {
            if value.is_zero() {
                return Err(bad(name, "must not be 0"));
            }
        }
        if !self
            .user_agent
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~'))
        {
            return Err(bad("user_agent", "only printable ASCII is allowed"));
        }
        self.options.check()?;
        self.endpoints
            .iter()
            .map(|endpoint| Endpoint::parse(endpoint))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::new("us-east-1");
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_accepted() {
        assert_eq!(Config::new("us-west-1").check().unwrap().len(), 1);
    }

    #[test]
    fn unusable_values_are_named() {
        assert!(problem(|config| config.endpoints.clear()).starts_with("endpoints"));
        assert!(problem(|config| config.endpoints.push("x".into())).contains("\"x\""));
        assert!(problem(|config| config.cursor = Some(Cursor::TimeUs(1))).starts_with("cursor"));
        assert!(problem(|config| config.queue_frames_max = 0).starts_with("queue_frames_max"));
        assert!(problem(|config| config.ping_after = Duration::ZERO).starts_with("ping_after"));
        assert!(problem(|config| config.user_agent = "a\r\nb".into()).starts_with("user_agent"));
    }
}
